"""One attack from the form to what the page shows and gives away of it, whichever kind it is."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from pushpull.attacks import Step
from pushpull.demo import tables
from pushpull.demo.context import DemoContext
from pushpull.demo.form import Form
from pushpull.demo.intake import LIMITS, Subject
from pushpull.demo.kept import Kept, marked
from pushpull.demo.made import file_prefix, made_with
from pushpull.demo.noises import UNIVERSAL, load, origin
from pushpull.demo.presentation import attacked_view, downloads, remarks
from pushpull.demo.storage import ResultFolder
from pushpull.runs.run import Run, execute
from pushpull.runs.save import write_results
from pushpull.runs.survive import survive
from pushpull.runs.survive_spec import SurviveSpec
from pushpull.runs.survived import Survived

NOTHING_TO_GAIN = "There was nothing to gain: the model said what the aim wants of every frame before the attack."
ENCODING = 600.0  # seconds for one file of 20 s, at low priority beside whatever else the machine does

# Of what follows an attack, about how much is done once the clips that show it are there, and before each of the files.
PREPARED = 0.45
WRITTEN_BEFORE = {
    "the bit-exact clip": PREPARED,
    "the scene": 0.5,
    "the annotated video": 0.6,
    "scores and figures": 0.85,
}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of it.

    Args:
        subject, face: what was attacked.
        folder: where its files go; a file that was to survive is there already.
        run: the attack.
        survived: what became of it in a file; None if it was to survive nothing.
        noise: the file of the noise for every clip that was added; None for other attacks.
    """

    subject: Subject
    face: int
    folder: ResultFolder
    run: Run
    survived: Survived | None = None
    noise: Path | None = None

    def view(self, *, films: bool = True) -> str:
        """Write what the player shows; its address. Without ``films`` the clean clip alone plays, at once."""
        return attacked_view(self.folder, self.subject, self.face, self.run, self.survived, films=films)

    @property
    def flipped(self) -> float:
        """Share of the frames, 0..1, that the attack made the detector decide otherwise than in the clean clip."""
        column = self.run.metrics["adversarial"]
        return column["flipped"] / column["frames"]

    def sentence(self) -> str:
        """The result in one breath and what it was made with, as HTML."""
        run = self.run
        words = [NOTHING_TO_GAIN] if run.nothing_to_gain else []
        if self.noise is not None:
            words.append(
                f"The noise knows nothing of this clip: it was fitted before{escape(origin(load(self.noise)))}."
            )
        if self.survived is not None:
            words += tables.survival_words(self.survived)
        stored = self.survived is None
        codec = None if stored else self.survived.spec.codec
        return tables.sentence(
            run.margins, run.eps, cancelled=run.result.cancelled, frozen=run.frozen, stored=stored, more=words
        ) + made_with([run.spec.model], run.spec, self.face, self.subject.title, codec)

    def numbers(self) -> str:
        """The numbers, as HTML."""
        run = self.run
        first = "" if self.survived is None else tables.survival(self.survived)
        return first + tables.numbers(run.metrics, f"Right is {run.reference}.", remarks(run))

    def write(self, say: Callable[[str], object] = lambda text: None) -> dict[str, Path]:
        """Write the files to take away; {name: path}."""
        survived = self.survived
        more = None if survived is None else {"survive": survived.section()}
        found = write_results(self.folder.path, self.run, source=self.subject.source, limits=LIMITS, say=say, more=more)
        if self.noise is not None:
            found[self.noise.name] = Path(shutil.copyfile(self.noise, self.folder.path / self.noise.name))
        if survived is not None:
            found |= {path.name: path for path in survived.files.values()}
        return found

    def downloads(self) -> str:
        """Links to what :meth:`write` wrote, as HTML."""
        prefix = file_prefix(self.subject.source.path, self.run.spec)
        return downloads(self.folder, self.subject, prefix, None if self.noise is None else self.noise.name)

    def keep(self, form: Sequence, progress: str, player: str) -> Kept:
        """Lay beside the files what the page shows in the end, for its address to lead there again.

        Args:
            form: its values, in the order of ``Form``.
            progress, player: those parts as HTML.
        """
        parts = {"progress": progress, "sentence": self.sentence(), "player": player, "numbers": self.numbers()}
        parts["files"] = marked(self.downloads(), self.folder)
        kept = Kept(tab="attack", form=tuple(form), parts=parts)
        kept.write(self.folder)
        return kept


def carry_out(
    context: DemoContext,
    subject: Subject,
    face: int,
    form: Form,
    detector,
    *,
    on_step: Callable[[Step], bool | None],
    say: Callable[[str], object] = lambda text: None,
) -> Outcome:
    """Run the attack that ``form`` describes.

    Args:
        context: noises and results.
        subject, face: what is attacked; the face from 0.
        detector: the one that the form names.
        on_step: called after every evaluation, as for ``Attack.run``.
        say: called with what is done after the attack.

    Raises:
        ValueError: a value is missing, out of range or does not go with others; the message says which.
        MediaError: the clip cannot be read again, or a file not be written.
    """
    noises = context.noises_found()
    spec, clip = form.spec(subject, face, noises), subject.clips(detector)[face]
    folder = context.store.open()
    if (channel := form.channel) is not None:
        asked, limits = SurviveSpec.of(spec, channel), replace(LIMITS, timeout=ENCODING)
        survived = survive(
            detector, clip, folder.path, asked, model=form.model, limits=limits, on_step=on_step, say=say
        )
        return Outcome(subject, face, folder, survived.run, survived=survived)
    run = execute(detector, clip, spec, on_step)
    if form.attack != UNIVERSAL:
        return Outcome(subject, face, folder, run)
    # What a report says of the noise must not tell where the server keeps it: it lies beside the report.
    noise = form.noise_of(noises)
    told = replace(run.spec, attack=replace(run.spec.attack, noise=noise.name))
    return Outcome(subject, face, folder, replace(run, spec=told), noise=noise)
