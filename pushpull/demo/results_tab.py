"""The Results tab: what was measured, with its limits, from docs/results."""

import gradio as gr

from pushpull.demo.results import read_results
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
    found = {result.title: result for result in read_results(shipped_folder("docs") / "results")}
    if not found:
        gr.HTML(NOTHING, js_on_load=None)
        return
    gr.HTML(INTRODUCTION, js_on_load=None)
    first = found[next(iter(found))]
    chosen = gr.Dropdown(list(found), value=first.title, label="Result", filterable=False, elem_id="pp-result-choice")
    shown = gr.HTML(first.html, js_on_load=None, elem_id="pp-result")
    tables = gr.Markdown(first.markdown, elem_id="pp-result-text")

    def show(title: str) -> tuple[str, str]:
        return found[title].html, found[title].markdown

    chosen.change(show, chosen, [shown, tables], queue=False, show_progress="hidden", api_visibility="private")
