"""The Attack tab: choose a clip, a face and an attack; run it; look, listen and take the results away."""

from collections.abc import Callable
from types import SimpleNamespace

import gradio as gr

from pushpull.demo import models, panels
from pushpull.demo.actions import READS, RUN, STOP, Actions
from pushpull.demo.context import DemoContext
from pushpull.demo.example import Example
from pushpull.demo.first_visit import COPY, OPEN_LINKED, FirstVisit
from pushpull.demo.form import (
    METHOD_NAMES,
    MODALITY_NAMES,
    NOTHING,
    OBJECTIVE,
    QUERIES,
    SURVIVE_NAMES,
    TARGET_NAMES,
    attack_names,
    objective_names,
)
from pushpull.demo.form_fits import FormFits
from pushpull.demo.intake import MAX_SECONDS
from pushpull.demo.line import FULL
from pushpull.demo.noises import UNIVERSAL, noise_card
from pushpull.demo.noises import choices as noise_choices

# Clicks on cards reach Python as `select` events.
CARD_CLICKS = """
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-card]");
  if (card) trigger("select", { card: Number(card.dataset.card) });
});
// The cards are drawn anew when one is chosen: who came by keyboard stays where they were.
let held = null;
element.addEventListener("focusin", (event) => (held = event.target.closest("[data-card]")?.dataset.card ?? null));
element.addEventListener("focusout", (event) => { if (event.relatedTarget) held = null; });
new MutationObserver(() => {
  if (held === null || document.activeElement !== document.body) return;
  element.querySelector(`[data-card="${held}"]`)?.focus({ preventScroll: true });
}).observe(element, { childList: true, subtree: true });
"""
# What a budget's box says while somebody types, nothing or too much, is no number that gradio takes. The budgets shown
# are those of the number that it will say once it is left.
WITHIN = """(eps, modality) => {
  const box = document.querySelector("#BOX input[type=number]");
  return [Math.min(box.max, Math.max(box.min, eps ?? box.dataset.kept ?? box.min)), modality];
}"""
PRIVATE = {"api_visibility": "private"}
QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# Attacks wait for one another; reading a clip takes seconds, so it does not wait behind them, only behind its like.
HEAVY = {"concurrency_id": "cpu", "concurrency_limit": 1, "api_visibility": "private"}
READING = {"concurrency_id": "reading", "concurrency_limit": 1, "api_visibility": "private"}
API = "Attack one face of a video. Returns spec, metrics and the addresses of the files to take away."
REPEAT = "Run this attack now, live"
SCROLL = "() => document.querySelector('#pp-results')?.scrollIntoView({ behavior: 'smooth', block: 'start' })"
CLOCK = 1.5  # seconds
CAMERA = {"video": {"width": 640, "height": 480, "frameRate": 25}}


def attack_tab(page: gr.Blocks, context: DemoContext, shared: SimpleNamespace) -> None:
    """Build the tab inside ``page`` and wire it; other tabs find its components in ``shared.attack``."""
    example = shared.example
    ui = shared.attack = layout(context, example)
    act = Actions(context, ui)
    visit = FirstVisit(context, example, ui, form_of(ui))
    wire(ui, act, visit)
    welcome(page, ui, visit)


def layout(context: DemoContext, example: Example) -> SimpleNamespace:
    """The tab's components, by name."""
    ui = SimpleNamespace(
        subject=gr.State(None, time_to_live=7200),  # intake.Subject
        face=gr.State(0),
        sample=gr.State(None),  # index of the chosen sample clip
        wished=gr.State(None),  # index of the face that the page's address asks for, until its sample is read
        clock=gr.Timer(CLOCK, active=False),  # ticks while somebody waits for an attack's turn
    )
    with gr.Row(equal_height=False, elem_id="pp-context"):
        with gr.Column(scale=6, min_width=320, elem_id="pp-form"):
            ui.linked = gr.HTML("", js_on_load=None, elem_id="pp-linked")
            with gr.Column(elem_classes="pp-step"):
                gr.HTML(panels.heading(1, "Choose a clip") + panels.START_HERE, js_on_load=None)
                clip_form(ui, context)
            with gr.Column(elem_classes="pp-step"):
                gr.HTML(panels.heading(2, "Choose a face"), js_on_load=None)
                ui.faces = gr.HTML(panels.NO_FACES, js_on_load=CARD_CLICKS, elem_id="pp-faces")
            with gr.Column(elem_classes="pp-step"):
                gr.HTML(panels.heading(3, "Choose an attack"), js_on_load=None)
                attack_form(ui, context)
                ui.run = gr.Button(RUN, variant="primary", elem_id="pp-run", size="lg")
                ui.copy = gr.Button("Copy a link to this clip and attack", elem_id="pp-copy", size="sm")
                ui.link = gr.HTML("", js_on_load=None)
        with gr.Column(scale=11, min_width=320, elem_id="pp-results"):
            ui.progress = gr.HTML("", js_on_load=None, elem_id="pp-progress")
            with gr.Row(visible=False, elem_id="pp-brakes") as ui.brakes:
                ui.stop = gr.Button(STOP, elem_id="pp-stop", size="sm", scale=0, min_width=190)
                ui.cancel = gr.Button("Cancel", elem_id="pp-cancel", size="sm", scale=0, min_width=110)
            ui.sentence = gr.HTML("", js_on_load=None, elem_id="pp-sentence")
            ui.player = gr.HTML(example.html() or panels.NOTHING_YET, js_on_load=None, elem_id="pp-player")
            ui.repeat = gr.Button(REPEAT, variant="primary", elem_id="pp-repeat")  # shown beside the example alone
            ui.numbers = gr.HTML("", js_on_load=None, elem_id="pp-numbers")
            ui.files = gr.HTML("", js_on_load=None, elem_id="pp-files")
            gr.HTML(panels.EXPLANATION, js_on_load=None)
    return ui


def clip_form(ui: SimpleNamespace, context: DemoContext) -> None:
    """Where the clip comes from: a sample, an upload, the visitor's camera; and which part of a long one."""
    ui.gallery = gr.HTML(context.gallery(), js_on_load=CARD_CLICKS, elem_id="pp-gallery")
    ui.video = gr.Video(
        sources=["upload", "webcam"],
        webcam_options=gr.WebcamOptions(mirror=False, constraints=CAMERA),
        include_audio=True,
        label=f"Your own clip, up to {MAX_SECONDS:g} s",
        height=210,
        buttons=[],
        elem_id="pp-video",
    )
    ui.status = gr.HTML("", js_on_load=None, elem_id="pp-status")
    with gr.Row(visible=False) as ui.trim:
        ui.start = gr.Slider(0, 1, 0, step=0.5, label=f"Take {MAX_SECONDS:g} s from second", elem_id="pp-start")
        ui.retake = gr.Button("Take this part", size="sm", elem_id="pp-retake", scale=0, min_width=140)


def attack_form(ui: SimpleNamespace, context: DemoContext) -> None:
    """What the attack is made of; the ordinary choices first, the rest folded away."""

    def choose(names: dict[str, str], value: str, label: str, *, kind=gr.Dropdown, **options):
        return kind([(text, key) for key, text in names.items()], value=value, label=label, **options)

    cards = context.detectors.cards()
    name = next(iter(cards), None)
    ui.model = gr.Dropdown(models.choices(cards), value=name, label="Model under attack", elem_id="pp-model")
    ui.card = gr.HTML(models.model_card(cards.get(name)), js_on_load=None)
    ui.attack = choose(attack_names(noises=True), "pgd", "Attack", elem_id="pp-attack")
    noises = context.noises_found()
    with gr.Column(visible=False, elem_id="pp-noises") as ui.noise_part:
        name = next(iter(noises), None)
        ui.noise = gr.Dropdown(noise_choices(noises), value=name, label="Noise", elem_id="pp-noise")
        ui.noise_card = gr.HTML(noise_card(noises.get(name)), js_on_load=None)
    ui.modality = choose(MODALITY_NAMES, "both", "What it may change", elem_id="pp-modality")
    hint = "5 is the paper's main point; 0 changes nothing"
    ui.eps = gr.Slider(0, 40, 5, step=0.5, label="Budget ε_av", info=hint, elem_id="pp-eps")
    ui.budget = gr.HTML(panels.budgets(5, "both"), js_on_load=None, elem_id="pp-budget")
    ui.target = choose(TARGET_NAMES, "untargeted", "Aim", kind=gr.Radio, elem_id="pp-target")
    with gr.Row(visible=False) as ui.span:
        ui.span_start = gr.Number(0.0, label="from second", minimum=0, step=0.1, min_width=90)
        ui.span_stop = gr.Number(1.0, label="to second", minimum=0, step=0.1, min_width=90)
        ui.span_speaking = gr.Dropdown(
            [("not speaking", False), ("speaking", True)], value=False, label="say", min_width=120
        )
    with gr.Accordion("Advanced", open=False, elem_id="pp-advanced"):
        with gr.Row():
            label = f"Steps (of Square {QUERIES} queries each)"
            ui.steps = gr.Slider(1, 100, 10, step=1, label=label, elem_id="pp-steps", min_width=140)
            label = "Starts (PGD, APGD, Square)"
            ui.restarts = gr.Slider(1, 10, 2, step=1, label=label, elem_id="pp-restarts", min_width=140)
        with gr.Row():
            ui.objective = choose(objective_names(), OBJECTIVE, "Objective", elem_id="pp-objective", min_width=170)
            ui.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=80)
        hint = "Every step stays on 8-bit frames and 16-bit samples, so that adversarial and stored are one"
        ui.grid = gr.Checkbox(False, label="Storable values only", info=hint, elem_id="pp-grid")
    with gr.Accordion("What it shall survive", open=False, elem_id="pp-surviving") as ui.survive_part:
        hint = "A file of the whole scene is written, read again, its face found anew, and yours to take away"
        ui.survive = choose(SURVIVE_NAMES, NOTHING, "Survive", info=hint, elem_id="pp-survive")
        ui.survive_by = choose(METHOD_NAMES, "actual", "The attack", elem_id="pp-survive-by")
        ui.surviving = gr.HTML("", js_on_load=None)


def form_of(ui: SimpleNamespace) -> list:
    """The form's components, in the order of ``Form``."""
    return [
        ui.model, ui.attack, ui.modality, ui.eps, ui.target, ui.span_start, ui.span_stop, ui.span_speaking,
        ui.steps, ui.restarts, ui.objective, ui.seed, ui.grid, ui.noise, ui.survive, ui.survive_by,
    ]  # fmt: skip


def folds_of(ui: SimpleNamespace) -> list:
    """The parts of the form that only some of its values call for."""
    return [ui.span, ui.noise_part, ui.survive_part]


def outputs_of(ui: SimpleNamespace) -> tuple[list, list, list]:
    """What an attack's actions change of the buttons, of the results, and what another clip changes."""
    buttons = [ui.run, ui.brakes, ui.stop, ui.clock]
    results = [ui.progress, ui.sentence, ui.player, ui.numbers, ui.files, *buttons]
    clip = [ui.status, ui.gallery, ui.faces, ui.subject, ui.face, ui.sample, ui.trim, ui.start, *results]
    return buttons, results, clip


def start(begin: Callable, ui: SimpleNamespace, act: Actions, form: list):
    """Have an attack follow an event (``ui.run.click``, or ``.then`` of another); the event that ``cancels`` names."""
    buttons, results, _ = outputs_of(ui)
    queued = begin(act.queue_up, ui.subject, results, **QUICK)
    # Were it "once", the browser would wait for the end of a run that was cancelled, and never start another. It has a
    # name, or gradio would give it its function's, which is that of the endpoint for programs.
    again = HEAVY | {"trigger_mode": "multiple", "show_progress": "hidden", "api_name": "run"}
    running = queued.then(act.attack, [ui.subject, ui.face, *form], results, **again)
    running.failure(act.turned_away, None, [ui.progress, *buttons], **QUICK)
    queued.then(None, None, None, js=SCROLL, api_visibility="private")
    return running


def choose(context: DemoContext, visitor: Callable[[gr.Request], str] = lambda request: request.session_hash):
    """A listener for another clip that ends the reading of the one before; it comes before the new one's.

    It gives what becomes of the button that runs an attack: nothing can be run until the new one was read.
    """

    def chose(request: gr.Request):
        context.requests.choose(visitor(request))
        return gr.Button(READS, interactive=False)

    return chose


def unread(ui: SimpleNamespace, act):
    """A listener for a clip that the queue did not take; ``act`` knows the buttons."""
    return lambda: act.idle() | {ui.status: panels.alert(FULL)}


def welcome(page: gr.Blocks, ui: SimpleNamespace, visit: FirstVisit) -> None:
    """What happens when the page is loaded, and the links that lead to it."""
    here = [ui.model, ui.card, ui.gallery, ui.linked, ui.wished, ui.noise_card, *folds_of(ui)]
    here += [ui.status, ui.progress, ui.sentence, ui.player, ui.numbers, ui.files]
    page.load(visit.arrive, None, [*here, *visit.form[1:]], **QUICK).then(None, None, None, js=OPEN_LINKED, **PRIVATE)
    copied = ui.copy.click(visit.link, [ui.sample, ui.subject, ui.face, *visit.form], ui.link, **QUICK)
    copied.then(None, None, None, js=COPY, **PRIVATE)


def wire(ui: SimpleNamespace, act: Actions, visit: FirstVisit) -> None:
    """Which action follows which event."""
    buttons, results, clip = outputs_of(ui)
    form = visit.form

    def read_again(request: gr.Request, model: str):
        yield from act.read_sample(request, visit.example.sample, model)

    chosen = ui.repeat.click(visit.first_choices, None, [*form, *folds_of(ui)], **QUICK)
    repeated = chosen.then(read_again, ui.model, [*clip, ui.video], show_progress_on=ui.status, **READING)
    running = [start(ui.run.click, ui, act, form), start(repeated.then, ui, act, form)]
    ui.clock.tick(act.where, None, ui.progress, **QUICK)
    # Another clip, face or model ends the attack on the one before: its results would not belong to what is shown.
    # These listeners come first: a browser waits for each of an event's before it turns to the next, seconds where a
    # clip is read, and would then end an attack that was started meanwhile.
    others = (ui.gallery.select, ui.video.upload, ui.video.stop_recording, ui.retake.click)
    for event in (ui.cancel.click, *others, ui.video.clear, ui.faces.select, ui.model.change):
        event(None, cancels=running, api_visibility="private")
    for event in others:
        event(choose(visit.context), None, ui.run, **QUICK)
    ui.stop.click(act.stop, None, ui.stop, **QUICK)
    ui.cancel.click(act.cancelled, None, [ui.progress, *buttons], **QUICK)

    # Were it "once", another clip could not be chosen before the first was read.
    reading = READING | {"trigger_mode": "multiple", "show_progress_on": ui.status}
    picked = [*clip, ui.video, ui.wished]
    part = [ui.video, ui.sample, ui.start, ui.model]
    reads = [
        ui.gallery.select(act.pick_sample, [ui.model, ui.wished], picked, **reading),
        ui.video.upload(act.take_upload, [ui.video, ui.model], clip, **reading),
        ui.video.stop_recording(act.take_upload, [ui.video, ui.model], clip, **reading),
        ui.retake.click(act.retake, part, picked, **reading),
    ]
    for read in reads:
        read.failure(unread(ui, act), None, [ui.status, *buttons], **QUICK)
    ui.video.clear(act.clear, None, clip, **QUICK)
    # First what takes no time, among it that nothing can be run yet.
    chosen = (
        ui.faces.select(act.pick_face, ui.subject, [ui.face, ui.progress, *buttons], **QUICK),
        ui.model.change(act.pick_model, [ui.subject, ui.model], [ui.card, ui.progress, *buttons], **QUICK),
    )
    for event in chosen:
        event.then(act.ask, [ui.subject, ui.face, ui.model], [ui.faces, *results], **reading)

    within = QUICK | {"js": WITHIN.replace("BOX", "pp-eps"), "trigger_mode": "always_last"}
    for component in (ui.eps, ui.modality):
        component.change(panels.budgets, [ui.eps, ui.modality], ui.budget, **within)
    ui.target.change(lambda target: gr.Row(visible=target == "span"), ui.target, ui.span, **QUICK)
    fit = FormFits(visit.context, ui)
    ui.attack.change(lambda attack: gr.Column(visible=attack == UNIVERSAL), ui.attack, ui.noise_part, **QUICK)
    ui.noise.change(fit.card, ui.noise, ui.noise_card, **QUICK)
    # What a visitor chooses brings what goes with it; what a link sets stays as the link says.
    for component in (ui.attack, ui.noise):
        component.input(fit.noise, [ui.attack, ui.noise], [ui.eps, ui.modality, ui.target, ui.survive], **QUICK)
    ui.survive.input(fit.survive, [ui.survive, ui.attack], [ui.eps, ui.attack, ui.steps, ui.surviving], **QUICK)
    for_programs(ui, act, form)


def for_programs(ui: SimpleNamespace, act: Actions, form: list) -> None:
    """The same through the form's own components, so that gradio checks every value as it does a visitor's."""
    face, answer = gr.Number(1, precision=0, minimum=1, visible=False), gr.JSON(visible=False)
    gr.Button(visible=False).click(
        act.answer,
        [ui.video, *form, face],
        answer,
        api_name="attack",
        api_description=API,
        **(HEAVY | {"api_visibility": "public"}),
    )
