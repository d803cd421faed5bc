"""The Compare tab: one clip and one attack on several models, their scores above each other."""

from types import SimpleNamespace

import gradio as gr

from pushpull.demo import compare_view, models, panels
from pushpull.demo.attack_tab import CARD_CLICKS, CLOCK, HEAVY, QUICK, READING, STOP, WITHIN, choose, unread
from pushpull.demo.compare_actions import HOW, MAX_MODELS, NOT_YET, RUN, TRANSFER, WHITE_BOX, CompareActions
from pushpull.demo.context import DemoContext
from pushpull.demo.form import MODALITY_NAMES, QUERIES, TARGET_NAMES, attack_names

SCROLL = "() => document.querySelector('#pp-compared')?.scrollIntoView({ behavior: 'smooth', block: 'start' })"


def compare_tab(page: gr.Blocks, context: DemoContext, shared: SimpleNamespace) -> None:
    """Build the tab inside ``page`` and wire it; ``shared`` holds the Attack tab's components and the tabs."""
    ui = SimpleNamespace(
        subject=gr.State(None, time_to_live=7200),  # intake.Subject
        face=gr.State(0),
        chosen=gr.State(None),  # the pressed card of the gallery
        clock=gr.Timer(CLOCK, active=False),  # ticks while somebody waits for a turn
        # The form's span is left to the Attack tab; these stand in its place.
        span=[gr.State(0.0), gr.State(1.0), gr.State(False)],
    )
    act = CompareActions(context, ui)
    with gr.Row(equal_height=False, elem_classes="pp-columns"):
        with gr.Column(scale=6, min_width=320, elem_classes="pp-side"):
            with gr.Column(elem_classes="pp-step"):
                gr.HTML(panels.heading(1, "Choose a clip"), js_on_load=None)
                ui.gallery = gr.HTML(act.gallery(None, None), js_on_load=CARD_CLICKS, elem_id="pp-compare-gallery")
                ui.status = gr.HTML("", js_on_load=None, elem_id="pp-compare-status")
                ui.faces = gr.HTML("", js_on_load=CARD_CLICKS, elem_id="pp-compare-faces", visible=False)
            with gr.Column(elem_classes="pp-step"):
                gr.HTML(panels.heading(2, "Choose models"), js_on_load=None)
                model_form(ui, context)
            with gr.Column(elem_classes="pp-step"):
                gr.HTML(panels.heading(3, "Choose an attack"), js_on_load=None)
                attack_form(ui)
                ui.run = gr.Button(RUN, variant="primary", elem_id="pp-compare-run", size="lg")
        with gr.Column(scale=11, min_width=320, elem_id="pp-compared", elem_classes="pp-main"):
            ui.progress = gr.HTML("", js_on_load=None, elem_id="pp-compare-progress")
            with gr.Row(visible=False, elem_classes="pp-brakes") as ui.brakes:
                ui.stop = gr.Button(STOP, elem_id="pp-compare-stop", size="sm", scale=0, min_width=190)
                ui.cancel = gr.Button("Cancel", elem_id="pp-compare-cancel", size="sm", scale=0, min_width=110)
            ui.sentence = gr.HTML("", js_on_load=None, elem_id="pp-compare-sentence")
            ui.player = gr.HTML(NOT_YET, js_on_load=None, elem_id="pp-compare-player")
            ui.numbers = gr.HTML("", js_on_load=None, elem_id="pp-compare-numbers")
            ui.files = gr.HTML("", js_on_load=None, elem_id="pp-compare-files")
            gr.HTML(compare_view.EXPLANATION, js_on_load=None)
    wire(page, ui, act, shared)


def model_form(ui: SimpleNamespace, context: DemoContext) -> None:
    """Which models, and whether each is attacked itself."""
    cards = context.detectors.cards()
    chosen = models.to_compare(cards)
    ui.models = gr.Dropdown(
        models.choices(cards),
        value=chosen,
        multiselect=True,
        max_choices=MAX_MODELS,
        label=f"Models, two to {MAX_MODELS}",
        elem_id="pp-compare-models",
    )
    ui.how = gr.Radio([(text, key) for key, text in HOW.items()], value=WHITE_BOX, label="How", elem_id="pp-how")
    # Its choices are those models: gradio would refuse one that the page shows before it is told of others.
    ui.source = gr.Dropdown(
        chosen,
        value=next(iter(chosen), None),
        allow_custom_value=True,
        label="Noise made on",
        visible=False,
        elem_id="pp-source",
    )


def attack_form(ui: SimpleNamespace) -> None:
    """What the attack is made of."""

    def choose(names: dict[str, str], value: str, label: str, *, kind=gr.Dropdown, **options):
        return kind([(text, key) for key, text in names.items()], value=value, label=label, **options)

    aims = {key: text for key, text in TARGET_NAMES.items() if key != "span"}
    with gr.Row():
        ui.attack = choose(attack_names(), "bim", "Attack", min_width=140)
        ui.modality = choose(MODALITY_NAMES, "both", "What it may change", min_width=140)
    ui.eps = gr.Slider(0, 40, 5, step=0.5, label="Budget ε_av", elem_id="pp-compare-eps")
    ui.budget = gr.HTML(panels.budgets(5, "both"), js_on_load=None)
    ui.target = choose(aims, "untargeted", "Aim", kind=gr.Radio, elem_id="pp-compare-target")
    with gr.Row():
        label = f"Steps (of Square {QUERIES} queries each)"
        ui.steps = gr.Slider(1, 100, 10, step=1, label=label, elem_id="pp-compare-steps", min_width=140)
        ui.restarts = gr.Slider(1, 10, 1, step=1, label="Starts", min_width=140)


def wire(page: gr.Blocks, ui: SimpleNamespace, act: CompareActions, shared: SimpleNamespace) -> None:
    """Which action follows which event."""
    other = [shared.attack.subject, shared.attack.face]
    clip = [ui.subject, ui.face, ui.chosen, ui.gallery, ui.status, ui.faces]
    shared.tab["compare"].select(act.arrive, [ui.subject, ui.chosen, *other], clip, **QUICK)
    buttons = [ui.run, ui.brakes, ui.stop, ui.clock]
    shown = [ui.progress, ui.sentence, ui.player, ui.numbers, ui.files]
    results = [*shown, *buttons]
    page.load(act.refresh, None, [*act.form, *shown], **QUICK)

    queued = ui.run.click(act.queue_up, [ui.subject, ui.models], results, **QUICK)
    asked = [ui.subject, ui.face, *act.form]
    again = HEAVY | {"trigger_mode": "multiple", "show_progress": "hidden"}
    running = queued.then(act.compare, asked, results, **again)
    running.failure(act.turned_away, None, [ui.progress, *buttons], **QUICK)
    queued.then(None, None, None, js=SCROLL, api_visibility="private")
    for event in (ui.cancel.click, ui.gallery.select, ui.faces.select):
        event(None, cancels=[running], api_visibility="private")
    ui.stop.click(act.stop, None, ui.stop, **QUICK)
    ui.cancel.click(act.cancelled, None, [ui.progress, *buttons], **QUICK)

    ui.gallery.select(choose(act.context, act.visitor), None, ui.run, **QUICK)
    reading = READING | {"trigger_mode": "multiple", "show_progress_on": ui.status}
    picked = ui.gallery.select(act.pick_clip, other, [*clip, *results], **reading)
    picked.failure(unread(ui, act), None, [ui.status, *buttons], **QUICK)
    ui.clock.tick(act.where, None, ui.progress, **QUICK)
    ui.faces.select(act.pick_face, ui.subject, [ui.face, ui.faces, ui.status, *results], **QUICK)
    ui.models.change(act.choose_models, [ui.models, ui.source], ui.source, **QUICK)
    ui.how.change(lambda how: gr.Dropdown(visible=how == TRANSFER), ui.how, ui.source, **QUICK)
    within = QUICK | {"js": WITHIN.replace("BOX", "pp-compare-eps"), "trigger_mode": "always_last"}
    for component in (ui.eps, ui.modality):
        component.change(panels.budgets, [ui.eps, ui.modality], ui.budget, **within)
