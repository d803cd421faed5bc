"""The Results tab: what was measured, with its limits, from docs/results."""

from collections import Counter
from collections.abc import Sequence

import gradio as gr

from pushpull.demo.results import Result, read_results
from pushpull.files import shipped_folder

INTRODUCTION = """
<p class="pp-results-about">What attacks leave of the detectors that ship, measured on held-out clips, beside the
paper's own numbers. Every number can be made again by the command under its table, from the checkpoint whose hash
stands in the files.</p>"""
NOTHING = """
<p class="pp-results-about">There are no results here: they lie in docs/results of the repository. Make your own with
<code>python -m pushpull.evaluate table1 --data talkset:FOLDER --out DIR</code>.</p>"""


def results_tab() -> None:
    """Build the tab: a choice of results, the first of them open."""
    found = labelled(read_results(shipped_folder("docs") / "results"))
    if not found:
        gr.HTML(NOTHING, js_on_load=None)
        return
    gr.HTML(INTRODUCTION, js_on_load=None)
    label, first = next(iter(found.items()))
    chosen = gr.Dropdown(list(found), value=label, label="Result", filterable=False, elem_id="pp-result-choice")
    shown = gr.HTML(first.html, js_on_load=None, elem_id="pp-result")
    tables = gr.Markdown(first.markdown, elem_id="pp-result-text")

    def show(label: str) -> tuple[str, str]:
        return found[label].html, found[label].markdown

    chosen.change(show, chosen, [shown, tables], queue=False, show_progress="hidden", api_visibility="private")


def labelled(results: Sequence[Result]) -> dict[str, Result]:
    """The results by what the choice calls them: their titles, and where several have one, the folder as well."""
    titles = Counter(result.title for result in results)
    return {r.title if titles[r.title] == 1 else f"{r.title} ({r.name})": r for r in results}
