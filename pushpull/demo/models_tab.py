"""The Models tab: every detector's card, to be sorted, filtered, fetched and attacked."""

from types import SimpleNamespace

import gradio as gr

from pushpull.demo import models, panels
from pushpull.demo.attack_tab import QUICK
from pushpull.demo.background import BackgroundTask
from pushpull.demo.cards import GROUPS, entry, group
from pushpull.demo.context import DemoContext
from pushpull.detectors import CheckpointError, FetchError, fetch

CLICKS = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-attack], [data-fetch]");
  if (button) trigger("select", { attack: button.dataset.attack ?? "", fetch: button.dataset.fetch ?? "" });
});
"""
FETCHING = {"concurrency_id": "fetching", "concurrency_limit": 1, "api_visibility": "private"}
ORDERS = {
    "": "as listed",
    "attacked": "AVA-AP attacked, above its floor",
    "held": "frames held",
    "clean": "AVA-AP clean",
    "size": "smallest file",
    "name": "name",
}
INTRODUCTION = (
    "Every detector that can be attacked here. AVA-AP ranks frames by score; a detector that knows nothing reaches the "
    "floor. <em>Attacked</em> is the worst of BIM, MIM and PGD, white-box, on held-out clips; <em>frames held</em> are "
    "those that no step of any of them flips. Figures without an interval come from few clips: read them as rough."
)


def models_tab(page: gr.Blocks, context: DemoContext, shared: SimpleNamespace) -> None:
    """Build the tab inside ``page`` and wire it; ``shared`` holds the Attack tab's components and the tabs."""
    status = gr.HTML("", js_on_load=None, elem_id="pp-models-status")
    cards = gr.HTML(listing(context), js_on_load=CLICKS, elem_id="pp-models")
    model = shared.attack.model
    page.load(lambda: listing(context), None, cards, **QUICK)

    def choose(event: gr.EventData):
        """A button was pressed: attack with this one, or fetch it."""
        if event.attack:
            known = context.detectors.cards()
            yield {
                model: gr.Dropdown(models.choices(known), value=event.attack),
                shared.tabs: gr.Tabs(selected="attack"),
            }
            return
        yield from bring(event.fetch)

    def bring(name: str):
        """Fetch a published detector, with progress."""
        yield {status: panels.waiting(f"Fetching {name}")}

        def work(report):
            return fetch(name, progress=lambda done, total: report((done, total)))

        try:
            with BackgroundTask(work) as task:
                for done, total in task.reports():
                    text = f"Fetching {name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB"
                    yield {status: panels.working(done / max(1, total), text)}
                task.result()
        except (CheckpointError, FetchError) as error:
            yield {status: panels.alert(str(error))}
            return
        known = context.detectors.cards()
        yield {
            status: panels.note(f"{name} is here now and can be attacked and compared."),
            cards: listing(context),
            model: gr.Dropdown(models.choices(known)),
        }

    cards.select(choose, None, [model, shared.tabs, status, cards], show_progress="hidden", **FETCHING)


def listing(context: DemoContext) -> str:
    """All cards with the means to sort and filter them, as HTML."""
    known = list(context.detectors.all_cards().values())
    present = {group(card) for card in known}
    chips = "".join(
        f'<button type="button" data-group="{name}" aria-pressed="false">{text}</button>'
        for name, text in GROUPS.items()
        if name in present
    )
    orders = "".join(f'<option value="{name}">{text}</option>' for name, text in ORDERS.items())
    entries = "".join(entry(card) for card in known)
    return (
        f'<pp-models><p class="pp-models-about">{INTRODUCTION}</p><div class="pp-models-bar">'
        '<input type="search" placeholder="Search cards" aria-label="Search cards">'
        f'<label>Sort by <select aria-label="Sort by">{orders}</select></label>'
        f'<div class="pp-segments" role="group" aria-label="Show">{chips}</div>'
        f'<output class="pp-quiet" aria-live="polite">{len(known)} detectors</output></div>'
        f'<div class="pp-models-list">{entries}</div></pp-models>'
    )
