"""What happens on the Attack tab's events: reading clips, scoring faces, running and stopping attacks."""

import json
import logging
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np

from pushpull.attacks import Step
from pushpull.clip import FPS
from pushpull.demo import models, panels
from pushpull.demo.background import BackgroundTask
from pushpull.demo.context import DemoContext
from pushpull.demo.form import Form
from pushpull.demo.intake import MAX_SECONDS, Subject, take_in
from pushpull.demo.line import Turn, in_words
from pushpull.demo.outcome import PREPARED, WRITTEN_BEFORE, carry_out
from pushpull.demo.presentation import clean_view, score
from pushpull.demo.requests import NOTHING
from pushpull.detectors import CheckpointError
from pushpull.media import MediaError
from pushpull.runs.run import most_speaking
from pushpull.runs.save import REPORT

log = logging.getLogger("pushpull.demo")
REFUSALS = (MediaError, CheckpointError, ValueError)
ANSWERED = ("spec", "budgets", "metrics", "storage", "digest", "survive")  # what of a report the API answers with
RESULTS_ARE_THERE = "The results are there, writing files"
RUN, READS, ASKING, STOP = "Run the attack", "Reading the clip …", "Asking the model …", "Stop, keep the best"


class Actions:
    """Event handlers of one tab.

    Args:
        context: models, results, samples.
        ui: the tab's components by name; handlers return {component: value}.
    """

    def __init__(self, context: DemoContext, ui: SimpleNamespace):
        self.context, self.ui = context, ui

    # Reading a clip

    def pick_sample(self, request: gr.Request, model: str, wished: int | None, event: gr.EventData):
        """A card of the gallery was clicked; with a face if the page's address asks for one."""
        yield {self.ui.wished: None}  # once: whoever chooses another clip then gets the face that speaks most
        yield from self.read_sample(request, int(event.card), model, wished)

    def read_sample(self, request: gr.Request, index: int | None, model: str, wished=None, start: float = 0.0):
        """A sample clip, by its place in the gallery."""
        samples = self.context.samples()
        if index is None or not 0 <= index < len(samples):
            yield self.idle() | {self.ui.status: panels.alert("That sample clip is gone. Reload the page.")}
            return
        first = {self.ui.video: None}
        for update in self._read(request, samples[index].path, samples[index].title, start, model, index, wished):
            yield first | update
            first = {}

    def take_upload(self, request: gr.Request, path: str | None, model: str, start: float = 0.0):
        """A file was uploaded, or a recording finished."""
        if path is None:
            yield self._blank(None)
            return
        yield from self._read(request, Path(path), Path(path).name, start, model, None)

    def retake(self, request: gr.Request, path: str | None, sample: int | None, start: float, model: str):
        """Another part of the same long clip."""
        if sample is not None:
            yield from self.read_sample(request, sample, model, start=start)
        else:
            yield from self.take_upload(request, path, model, start)

    def clear(self, request: gr.Request):
        """The visitor's clip was removed."""
        self.context.requests.choose(request.session_hash, NOTHING)
        return self._blank(None)

    def _blank(self, sample: int | None) -> dict:
        ui = self.ui
        fresh = {ui.status: "", ui.gallery: self.context.gallery(sample), ui.faces: panels.NO_FACES}
        fresh |= {ui.subject: None, ui.face: 0, ui.sample: sample, ui.trim: gr.Row(visible=False)}
        return fresh | self._no_results() | {ui.player: panels.NOTHING_YET}

    def _no_results(self) -> dict:
        ui = self.ui
        return dict.fromkeys((ui.progress, ui.sentence, ui.numbers, ui.files), "") | self.idle()

    def _read(self, request: gr.Request, path: Path, title: str, start: float, model: str, sample, wished=None):
        ui, wanted = self.ui, self.context.requests.wanted(request.session_hash)
        begun = {ui.status: panels.waiting(f"Reading {title}"), ui.player: panels.reading(title)}
        yield self._blank(sample) | begun | {ui.run: gr.Button(READS, interactive=False)}

        def work(report):
            faces: list[np.ndarray] = []
            latest = [(None, "")]

            def tell(progress):
                latest[0] = progress
                report((*progress, list(faces)))

            def seen(thumbnail):
                faces.append(thumbnail)
                tell(latest[0])

            subject = self._take_in(path, title, start, sample, tell, seen)
            if self.context.detectors.default() is None:
                return subject, None, None, 0
            tell((None, "asking the model about every face"))
            network = self.context.detectors.get(model)
            scores = [score(network, clip)[0] for clip in subject.clips(network)]
            chosen = wished if wished is not None and wished < len(scores) else most_speaking(scores)
            tell((None, "preparing the player"))
            return subject, scores, clean_view(self.context, subject, chosen, network), chosen

        try:
            with BackgroundTask(work) as task:
                for share, text, faces in task.reports():
                    if not wanted():
                        break
                    found = {ui.faces: panels.found(faces)} if faces else {}
                    said = {ui.status: panels.working(share, text), ui.player: panels.reading(title, share, text)}
                    yield said | found
                else:
                    subject, scores, address, chosen = task.result()
        except Exception as error:
            if wanted():
                failed = {ui.status: self.refuse(error, "This clip cannot be used")}
                yield self.idle() | failed | {ui.player: panels.NOTHING_YET}
                return
        if not wanted():
            # What was told last of the reading may have reached the page after it was cleared.
            if self.context.requests.has_nothing(request.session_hash):
                yield self._blank(None)
            return
        yield self.idle() | {
            ui.subject: subject,
            ui.face: chosen,
            ui.faces: face_cards(subject, scores, chosen),
            ui.player: panels.player(address) if address else panels.NOTHING_YET,
            ui.status: about(subject) + no_such_face(subject, wished),
            ui.trim: gr.Row(visible=subject.cut),
            ui.start: trim_slider(subject),
        }

    def _take_in(self, path: Path, title: str, start: float, sample: int | None, report, seen) -> Subject:
        if sample is None:
            return take_in(path, self.context.store, title=title, start=start, report=report, seen=seen)
        return self.context.read_sample(self.context.samples()[sample], start=start, report=report, seen=seen)

    # Choosing a face and a model

    def pick_face(self, request: gr.Request, subject: Subject | None, event: gr.EventData):
        """A face's card was clicked."""
        self.context.requests.leave(request.session_hash)
        face = int(event.card)
        if subject is None or not 0 <= face < len(subject.footage.clips):
            return {self.ui.progress: panels.alert("That face is gone. Choose a clip.")}
        return {self.ui.face: face} | self._asking()

    def pick_model(self, request: gr.Request, subject: Subject | None, model: str):
        """Another model was chosen: its card."""
        self.context.requests.leave(request.session_hash)
        card = {self.ui.card: models.model_card(self.context.detectors.cards().get(model))}
        return card if subject is None else card | self._asking()

    def _asking(self) -> dict:
        """Nothing runs, and nothing can be run until the model has been asked."""
        return self.idle() | {self.ui.progress: "", self.ui.run: gr.Button(ASKING, interactive=False)}

    def ask(self, request: gr.Request, subject: Subject | None, face: int, model: str):
        """What the model thinks of the faces, once another of either was chosen."""
        wanted = self.context.requests.wanted(request.session_hash)
        said = self.idle() if subject is None else self._show(subject, face, model)
        return said if wanted() else gr.skip()  # the clip that was chosen since has the buttons

    def _show(self, subject: Subject, face: int, model: str) -> dict:
        ui = self.ui
        cleared = self._no_results()
        try:
            network = self.context.detectors.get(model)
            scores = [score(network, clip)[0] for clip in subject.clips(network)]
            address = clean_view(self.context, subject, face, network)
        except Exception as error:
            return cleared | {ui.progress: self.refuse(error, "The model cannot be asked")}
        return cleared | {ui.faces: face_cards(subject, scores, face), ui.player: panels.player(address)}

    # The attack

    def queue_up(self, request: gr.Request, subject: Subject | None):
        """Run was pressed: say so at once, before the queue."""
        ui = self.ui
        if subject is None:
            return {ui.progress: panels.alert("Choose a clip first: a sample, an upload or a recording.")}
        self.context.requests.ask(request.session_hash)
        return self._no_results() | {
            ui.progress: panels.waiting("Asking for a turn: attacks run one at a time on this machine"),
            ui.clock: gr.Timer(active=True),
            ui.run: gr.Button("Running …", interactive=False),
            ui.brakes: gr.Row(visible=True),
            ui.stop: gr.Button(STOP, interactive=True),
        }

    def idle(self) -> dict:
        """The buttons as they are when nothing runs."""
        ui = self.ui
        return {
            ui.run: gr.Button(RUN, interactive=True),
            ui.brakes: gr.Row(visible=False),
            ui.clock: gr.Timer(active=False),
        }

    def where(self, request: gr.Request):
        """Somebody waits for an attack's turn: their place, and how long it will be."""
        place = self.context.line.place(request.session_hash)
        return gr.skip() if place is None else panels.waiting(in_words(place))

    def turned_away(self, request: gr.Request):
        """The browser lost an attack: it was not taken, or it was cancelled and all is said."""
        if not self.context.requests.refused(request.session_hash):
            return gr.skip()
        return self.idle() | {self.ui.progress: panels.alert(self.context.line.refusal())}

    def stop(self, request: gr.Request):
        """End the visitor's attack at its next step and keep what it has."""
        self.context.requests.stop(request.session_hash)
        return gr.Button("Stopping …", interactive=False)

    def cancelled(self, request: gr.Request):
        """Cancel was pressed; gradio itself ends the attack, or takes it out of the queue."""
        self.context.requests.withdraw(request.session_hash)
        return self.idle() | {self.ui.progress: panels.note("Cancelled. Nothing was stored.")}

    def attack(self, request: gr.Request, subject: Subject | None, face: int, *values):
        """Run the attack the form describes, with live progress."""
        if subject is None:
            yield self.idle()
            return
        with self.context.line.turn() as turn, self.context.requests.begin(request.session_hash) as stop:
            yield {self.ui.clock: gr.Timer(active=False), self.ui.progress: panels.waiting("Starting")}
            yield from self._attack(turn, stop, subject, face, *values)

    def _attack(self, turn: Turn, stop: threading.Event, subject: Subject, face: int, *values):
        ui = self.ui
        began = time.monotonic()
        trace: list[Step] = []

        def work(report):
            def on_step(step: Step) -> bool:
                trace.append(step)
                turn.comes_to(step.progress)
                report("")
                return not stop.is_set()

            network = self.context.detectors.get(form.model)
            with self.context.cpu:
                outcome = carry_out(self.context, subject, face, form, network, on_step=on_step, say=report)
            turn.comes_to(1.0)
            return outcome, outcome.view(films=False)

        def how_far(text: str, flipped: float | None = None) -> str:
            return progress(trace, time.monotonic() - began, turn.share, text, flipped)

        try:
            form = Form(*values)
            with BackgroundTask(work) as task:
                for text in task.reports():
                    yield {ui.progress: how_far(text)}
                outcome, address = task.result()
            # What it found is there before the clips that show it.
            yield {
                ui.progress: how_far("The results are there, preparing the clips", outcome.flipped),
                ui.brakes: gr.Row(visible=False),
                ui.sentence: outcome.sentence(),
                ui.player: panels.player(address),
                ui.numbers: outcome.numbers(),
            }
            with BackgroundTask(lambda _report: outcome.view()) as task:
                address = task.result()
            turn.follows_to(PREPARED)
            yield {
                ui.progress: how_far(RESULTS_ARE_THERE, outcome.flipped),
                ui.player: panels.player(address),
                ui.files: panels.waiting("Writing the files to take away"),
            }
            with BackgroundTask(outcome.write) as task:
                for text in task.reports():
                    turn.follows_to(WRITTEN_BEFORE.get(text, PREPARED))
                    said = how_far(f"{RESULTS_ARE_THERE}: {text}", outcome.flipped)
                    yield {ui.files: panels.waiting(f"Writing {text}"), ui.progress: said}
                task.result()
            ended = "Stopped early" if outcome.run.result.cancelled else "Done"
            done = panels.attacking(trace, time.monotonic() - began, note=ended, done=True, flipped=outcome.flipped)
            kept = outcome.keep(values, done, panels.player(address))
        except Exception as error:
            yield self.idle() | {ui.progress: self.refuse(error, "The attack did not run"), ui.files: ""}
            return
        yield self.idle() | {ui.files: kept.parts["files"], ui.progress: done}

    # The same for programs

    def answer(
        self, video: str | None, model: str, attack: str, modality: str, eps_av: float, target: str,
        span_start: float, span_stop: float, span_speaking: bool, steps: int, restarts: int, objective: str,
        seed: int, grid: bool, noise: str | None, survive: str, survive_by: str, face: int,
    ) -> dict:  # fmt: skip
        """Attack one face (from 1) of ``video``: the report's main parts, and {name: address} of the files."""
        if video is None:
            raise gr.Error("video is missing: pass handle_file(path)", print_exception=False)
        form = Form(
            model, attack, modality, eps_av, target, span_start, span_stop, span_speaking,
            steps, restarts, objective, seed, grid, noise, survive, survive_by,
        )  # fmt: skip

        def work(_report):
            subject = take_in(Path(video), self.context.store)
            if not 1 <= face <= len(subject.footage.clips):
                raise ValueError(f"there is no face {face}: the video shows {len(subject.footage.clips)}")
            network = self.context.detectors.get(model)
            outcome = carry_out(self.context, subject, face - 1, form, network, on_step=on_step)
            return outcome.folder, outcome.write()

        def on_step(step: Step) -> bool:
            turn.comes_to(step.progress)
            return True

        try:
            with self.context.line.turn() as turn, BackgroundTask(work) as task:
                folder, files = task.result()
        except REFUSALS as error:
            raise gr.Error(plain(error), print_exception=False) from error
        report = json.loads(files[REPORT].read_text(encoding="utf-8"))
        # Not the whole report: gradio's client takes its `source`, which has a `path`, for a file to download.
        return {key: report[key] for key in ANSWERED if key in report} | {
            "files": {name: folder.url(name) for name in files}
        }

    @staticmethod
    def refuse(error: Exception, title: str) -> str:
        """What went wrong, as HTML, and in passing as a message; what nobody foresaw goes to the log."""
        if isinstance(error, REFUSALS):
            words = plain(error)
            if words != str(error):
                log.info("%s: %s", title, error)
            gr.Warning(words, title=title, duration=12)
            return panels.alert(f"{title}. {words}")
        log.error("unexpected error", exc_info=error)
        gr.Warning("Something went wrong on the server; its log says what. Try another clip or setting.", title=title)
        return panels.alert(
            f"{title}: something went wrong on the server, whose log says what. Try another clip or setting."
        )


def plain(error: Exception) -> str:
    """What a visitor reads of an error: without ffmpeg's own words, which say nothing to most."""
    return error.plain if isinstance(error, MediaError) else str(error)


def progress(trace: list[Step], seconds: float, share: float, text: str, flipped: float | None = None) -> str:
    """How far an attack and what follows it is, ``share`` of all, as HTML."""
    if not trace:
        return panels.waiting(text or "Starting")
    return panels.attacking(list(trace), seconds, share=share, note=text, flipped=flipped)


def about(subject: Subject) -> str:
    """What was read, in a line."""
    footage = subject.footage
    words = " ".join(subject.remarks)
    return panels.about(subject.title, footage.seconds, footage.size, len(footage.clips), words)


def no_such_face(subject: Subject, wished: int | None) -> str:
    """That an address asked for a face (from 0) that the clip does not show, as HTML; "" where it does."""
    there = len(subject.footage.clips)
    if wished is None or wished < there:
        return ""
    return panels.alert(
        f"The link asks for face {wished + 1}, and the clip shows {there}: the one that speaks most is chosen."
    )


def face_cards(subject: Subject, scores: list | None, chosen: int) -> str:
    """The faces of a clip as cards."""
    spans = [(track.start / FPS, track.stop / FPS) for track in subject.footage.tracks]
    return panels.faces(subject.footage.thumbnails, spans, scores, chosen)


def trim_slider(subject: Subject):
    """The slider that chooses the part of a long clip."""
    if not subject.cut:
        return gr.Slider(value=0)
    last = max(0.5, round(subject.seconds - MAX_SECONDS, 1))
    return gr.Slider(minimum=0, maximum=last, value=min(subject.start, last))
