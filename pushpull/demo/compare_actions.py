"""What happens on the Compare tab's events: choosing clip, face and models, running and stopping a comparison."""

import threading
from types import SimpleNamespace

import gradio as gr
from gradio.components import Component

from pushpull.attacks import Step
from pushpull.demo import compare_view, models, panels
from pushpull.demo.actions import READS, RESULTS_ARE_THERE, STOP, Actions, face_cards
from pushpull.demo.background import BackgroundTask
from pushpull.demo.context import DemoContext, poster
from pushpull.demo.form import Form
from pushpull.demo.intake import Subject
from pushpull.demo.kept import Kept, gone, marked
from pushpull.demo.line import Turn, in_words
from pushpull.demo.made import made_with
from pushpull.demo.presentation import score
from pushpull.runs.compare import compare_each, gather
from pushpull.runs.run import Run, most_speaking

MAX_MODELS = 6  # of a comparison: each takes as long as an attack
RUN = "Compare them"
FILES_OF_EACH = 3  # what is written of a comparison, for each of its models
ATTACK_TAB = -1  # the card of the clip that is in the Attack tab
WHITE_BOX, TRANSFER = "white_box", "transfer"
HOW = {WHITE_BOX: "Attack each model itself", TRANSFER: "One model's noise on all"}
NOT_YET = panels.empty("Choose a clip and at least two models. Their scores appear here above each other.")
Updates = dict[Component, object]


class CompareActions:
    """Event handlers of the tab.

    Args:
        context: detectors, results, samples.
        ui: the tab's components by name; handlers return {component: value}.
    """

    def __init__(self, context: DemoContext, ui: SimpleNamespace):
        self.context, self.ui = context, ui

    # Clip, face and models

    def gallery(self, chosen: int | None, other: Subject | None) -> str:
        """Sample clips as cards, and the clip of the Attack tab before them if one is there."""
        samples = self.context.samples()
        found = [(index, sample.title, "", poster(sample.path)) for index, sample in enumerate(samples)]
        if other is not None:
            picture = panels.picture(other.footage.thumbnails[0])
            found.insert(0, (ATTACK_TAB, other.title, "from the Attack tab", picture))
        return panels.clip_cards(found, chosen)

    def arrive(self, mine: Subject | None, chosen: int | None, other: Subject | None, other_face: int) -> Updates:
        """The tab was opened: without a clip of its own it takes that of the Attack tab."""
        ui = self.ui
        if mine is None and other is not None:
            return self._taken(other, other_face, ATTACK_TAB, other)
        return {ui.gallery: self.gallery(chosen, other)}

    def refresh(self, request: gr.Request) -> Updates:
        """The page was loaded: the models that there are now, and the result that its address names."""
        ui, cards = self.ui, self.context.detectors.cards()
        chosen = models.to_compare(cards)
        first = {
            ui.models: gr.Dropdown(models.choices(cards), value=chosen),
            ui.source: gr.Dropdown(chosen, value=next(iter(chosen), None)),
        }
        token = request.query_params.get("compared")
        if token is None:
            return first
        kept = Kept.find(self.context.store, token, "compare", self.form)
        if kept is None:
            return first | {ui.progress: panels.alert(gone(self.context.store.max_age))}
        form = dict(zip(self.form, kept.form, strict=True))
        names = [name for name in form[ui.models] if name in cards]
        how, source = form[ui.how], form[ui.source]
        return (
            form
            | {getattr(ui, name): html for name, html in kept.parts.items()}
            | {
                ui.models: gr.Dropdown(models.choices(cards), value=names),
                ui.source: gr.Dropdown(names, value=source if source in names else None, visible=how == TRANSFER),
            }
        )

    @property
    def form(self) -> list[Component]:
        """What the form holds, in the order in which :meth:`compare` takes it."""
        ui = self.ui
        attack = [ui.attack, ui.modality, ui.eps, ui.target, *ui.span, ui.steps, ui.restarts]
        return [ui.models, ui.how, ui.source, *attack]

    def pick_clip(self, request: gr.Request, other: Subject | None, other_face: int, event: gr.EventData):
        """A card of the gallery was clicked."""
        ui, index = self.ui, int(event.card)
        wanted = self.context.requests.wanted(self.visitor(request))
        if index == ATTACK_TAB and other is not None:
            yield self._no_results() | self._taken(other, other_face, ATTACK_TAB, other)
            return
        samples = self.context.samples()
        if not 0 <= index < len(samples):
            yield self.idle() | {ui.status: panels.alert("That clip is gone. Reload the page.")}
            return
        begun = {ui.gallery: self.gallery(index, other), ui.status: panels.waiting(f"Reading {samples[index].title}")}
        before = {ui.subject: None, ui.face: 0, ui.faces: gr.HTML("", visible=False)} | self._no_results()
        yield before | begun | {ui.run: gr.Button(READS, interactive=False)}

        def work(report):
            subject = self.context.read_sample(samples[index], report=report)
            name = self.context.detectors.default()
            if name is None or len(subject.footage) == 1:
                return subject, 0
            network = self.context.detectors.get(name)
            return subject, most_speaking([score(network, clip)[0] for clip in subject.clips(network)])

        try:
            with BackgroundTask(work) as task:
                for share, text in task.reports():
                    if not wanted():
                        return
                    yield {ui.status: panels.working(share, text)}
                subject, face = task.result()
        except Exception as error:
            if wanted():
                yield self.idle() | {ui.status: Actions.refuse(error, "This clip cannot be used")}
            return
        if wanted():
            yield self._taken(subject, face, index, other) | self.idle()

    def pick_face(self, request: gr.Request, subject: Subject | None, event: gr.EventData) -> Updates:
        """A face's card was clicked."""
        self.context.requests.leave(self.visitor(request))
        face = int(event.card)
        if subject is None or not 0 <= face < len(subject.footage):
            return self.idle() | {self.ui.status: panels.alert("That face is gone. Choose a clip.")}
        return self._no_results() | {self.ui.face: face, self.ui.faces: face_cards(subject, None, face)}

    def _taken(self, subject: Subject, face: int, chosen: int, other: Subject | None) -> Updates:
        ui = self.ui
        several = len(subject.footage) > 1
        return {
            ui.subject: subject,
            ui.face: face,
            ui.chosen: chosen,
            ui.gallery: self.gallery(chosen, other),
            ui.status: panels.note(f"{subject.title}: {subject.footage.seconds:.1f} s"),
            ui.faces: gr.HTML(face_cards(subject, None, face) if several else "", visible=several),
        }

    def choose_models(self, names: list[str], source: str | None):
        """Other models were chosen: one of them is the source of a transfer."""
        return gr.Dropdown(choices=names, value=source if source in names else next(iter(names), None))

    # The comparison

    def queue_up(self, request: gr.Request, subject: Subject | None, names: list[str]) -> Updates:
        """Run was pressed: say so at once, before the queue."""
        ui = self.ui
        if problem := self._problem(subject, names):
            return {ui.progress: panels.alert(problem)}
        self.context.requests.ask(self.visitor(request))
        cleared = dict.fromkeys((ui.sentence, ui.player, ui.numbers, ui.files), "")
        asking = panels.waiting("Asking for a turn: attacks run one at a time on this machine")
        return cleared | {
            ui.progress: asking,
            ui.clock: gr.Timer(active=True),
            ui.run: gr.Button("Running …", interactive=False),
            ui.brakes: gr.Row(visible=True),
            ui.stop: gr.Button(STOP, interactive=True),
        }

    def _problem(self, subject: Subject | None, names: list[str]) -> str | None:
        if subject is None:
            return "Choose a clip first: a sample, or the clip of the Attack tab."
        if not 2 <= len(names) <= MAX_MODELS:
            return f"Choose two to {MAX_MODELS} models to compare; {len(names)} chosen."
        return None

    def idle(self) -> Updates:
        """The buttons as they are when nothing runs."""
        ui = self.ui
        return {
            ui.run: gr.Button(RUN, interactive=True),
            ui.brakes: gr.Row(visible=False),
            ui.clock: gr.Timer(active=False),
        }

    def _no_results(self) -> Updates:
        ui = self.ui
        cleared = dict.fromkeys((ui.progress, ui.sentence, ui.numbers, ui.files), "")
        return self.idle() | cleared | {ui.player: NOT_YET}

    def where(self, request: gr.Request):
        """Somebody waits for a turn: their place, and how long it will be."""
        place = self.context.line.place(request.session_hash)
        return gr.skip() if place is None else panels.waiting(in_words(place))

    def turned_away(self, request: gr.Request):
        """The browser lost a comparison: it was not taken, or it was cancelled and all is said."""
        if not self.context.requests.refused(self.visitor(request)):
            return gr.skip()
        return self.idle() | {self.ui.progress: panels.alert(self.context.line.refusal())}

    def stop(self, request: gr.Request):
        """End the comparison at its next step and keep what there is."""
        self.context.requests.stop(self.visitor(request))
        return gr.Button("Stopping …", interactive=False)

    def cancelled(self, request: gr.Request) -> Updates:
        """Cancel was pressed; gradio itself ends the run, or takes it out of the queue."""
        self.context.requests.withdraw(self.visitor(request))
        return self.idle() | {self.ui.progress: panels.note("Cancelled. Nothing was stored.")}

    @staticmethod
    def visitor(request: gr.Request) -> str:
        """Who compares, apart from their attacks."""
        return f"{request.session_hash}/compare"

    def compare(self, request: gr.Request, subject: Subject | None, face: int, names, how, source, *values):
        """Run the comparison that the form describes, with live progress."""
        if self._problem(subject, names):
            # It was said before the queue, and the buttons may be those of the next request by now. A generator that
            # ends without a word would have gradio empty its outputs, what was said among them.
            yield gr.skip()
            return
        with self.context.line.turn() as turn, self.context.requests.begin(self.visitor(request)) as stop:
            yield {self.ui.clock: gr.Timer(active=False), self.ui.progress: panels.waiting("Starting")}
            yield from self._compare(turn, stop, subject, face, names, how, source, *values)

    def _compare(self, turn: Turn, stop: threading.Event, subject: Subject, face: int, names, how, source, *values):
        ui = self.ui
        transfer_from = source if how == TRANSFER else None
        state = Progress(names, turn)

        def work(report):
            def tell() -> None:
                turn.comes_to(min(state.attacked, 0.99))
                report("")

            spec = Form(names[0], *values).spec(subject, face)
            found = self._attack(spec, subject, face, transfer_from, stop, state, tell)
            turn.comes_to(1.0)
            report("Preparing the view")
            comparison = gather(found, names, transfer_from)
            folder = self.context.store.open()
            return comparison, folder, compare_view.write_compare(folder, subject, face, comparison)

        try:
            with BackgroundTask(work) as task:
                for note in task.reports():
                    yield {ui.progress: state.html(note)}
                comparison, folder, address = task.result()
            stopped, files = "Stopped early. " if stop.is_set() else "", 0
            parts = {
                "sentence": compare_view.headline(comparison)
                + made_with(list(comparison.runs), comparison.spec, face, subject.title),
                "player": compare_view.player(address),
                "numbers": compare_view.table(comparison),
            }
            yield {getattr(ui, name): html for name, html in parts.items()} | {
                ui.progress: state.html(stopped + RESULTS_ARE_THERE),
                ui.brakes: gr.Row(visible=False),
                ui.files: panels.waiting("Writing the files to take away"),
            }
            with BackgroundTask(lambda say: compare_view.write_files(folder, subject, comparison, say)) as task:
                for text in task.reports():
                    files += 1
                    turn.follows_to(min(0.9, files / (FILES_OF_EACH * len(comparison.runs))))
                    said = state.html(f"{stopped}{RESULTS_ARE_THERE}: {text}")
                    yield {ui.files: panels.waiting(f"Writing {text}"), ui.progress: said}
                parts["files"] = marked(task.result(), folder)
            parts["progress"] = state.html("Stopped early" if stopped else "Done", done=True)
            Kept(tab="compare", form=(names, how, source, *values), parts=parts).write(folder)
        except Exception as error:
            yield self.idle() | {ui.progress: Actions.refuse(error, "The comparison did not run"), ui.files: ""}
            return
        yield self.idle() | {ui.files: parts["files"], ui.progress: parts["progress"]}

    def _attack(self, spec, subject, face, transfer_from, stop, state, tell) -> list[tuple[str, Run]]:
        """The runs, as far as the visitor let them come."""

        def on_step(name: str, step: Step) -> bool:
            state.step(name, step)
            tell()
            return not stop.is_set()

        found: list[tuple[str, Run]] = []
        get, cut = self.context.detectors.get, lambda detector: subject.clips(detector)[face]
        with self.context.cpu:
            for name, run in compare_each(state.names, get, cut, spec, transfer_from=transfer_from, on_step=on_step):
                found.append((name, run))
                state.done(name, run)
                tell()
                if stop.is_set() and transfer_from is None:
                    break
        return found


class Progress:
    """How far a comparison is; written by its thread, read by the page.

    Args:
        names: the models.
        turn: what knows how long player and files take after the attacks.
    """

    def __init__(self, names: list[str], turn: Turn):
        self.names, self.told, self.trace, self._turn = list(names), {}, [], turn
        self.now: str | None = None

    def step(self, name: str, step: Step) -> None:
        """A step of the attack on ``name``."""
        if name != self.now:
            self.now, self.trace = name, []
        self.trace.append(step)

    def done(self, name: str, run: Run) -> None:
        """The run of ``name`` is there."""
        self.told[name] = compare_view.outcome(run)

    @property
    def attacked(self) -> float:
        """Of the attacks, 0..1."""
        begun = self.trace[-1].progress if self.trace and self.now not in self.told else 0.0
        return (len(self.told) + begun) / len(self.names)

    def html(self, note: str = "", *, done: bool = False) -> str:
        """The list of models and the bar, which is full once all is ``done``."""
        share = 1.0 if done else self._turn.share
        return compare_view.progress(self.names, dict(self.told), list(self.trace), self.now, share, note)
