"""The Results tab: what was measured, with its limits, from docs/results."""

import re
from collections import Counter
from collections.abc import Sequence

import gradio as gr

from pushpull.demo.results import Result, read_results
from pushpull.files import shipped_folder

INTRODUCTION = """
<p class="pp-results-about">What attacks leave of detectors, measured on held-out clips, beside the paper's own
numbers. Most are of detectors that ship; those <em>from scratch</em> are of others of the same rows, trained to tell
what a loss does from what is luck, and do not ship. The main results come first, then audits, single seeds, and more.
Every number can be made again by the command under its table, from the checkpoint whose hash stands in the
files.</p>"""
# Folders of one training seed: "seed-1-audit-b3", "seed-0-eps-5".
SEED = re.compile(r"seed-(\d+)-")
BUDGET = re.compile(r"-eps-(\d+)$")
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
    """The results by what the choice calls them, group by group: main results, audits, single seeds, and more.

    That is their titles, with the seed where it is one of several, and with the folder where several still have one.
    """
    ordered = sorted(results, key=lambda result: _group(result.name))
    names = {result.name: _titled(result) for result in ordered}
    times = Counter(names.values())
    return {
        name if times[name] == 1 else f"{name} ({result.name})": result
        for result, name in ((result, names[result.name]) for result in ordered)
    }


def _group(folder: str) -> int:
    """Where a result stands in the choice; within a group the order stays."""
    if folder.startswith("audit-"):
        return 1
    if SEED.match(folder):
        return 2
    return 3 if folder.endswith(("-other", "-elsewhere")) else 0


def _titled(result: Result) -> str:
    """Its title; of one training seed with its number, and the budget that the folder's name tells."""
    found = SEED.match(result.name)
    if not found:
        return result.title
    budget = BUDGET.search(result.name)
    return f"{result.title} (seed {found[1]} from scratch{f', eps_av {budget[1]}' if budget else ''})"
