"""A finished attack for whoever comes first: shipped with the app, or made when it starts.

Usage:
    python -m pushpull.demo.example      make the shipped one anew, after the default detector has changed

It is what the form's first choices give on the first sample. It counts only as long as sample and detector are those
that it was made with: anything else is made anew, in the background.
"""

import json
import logging
import shutil
import sys
import tempfile
import threading
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from pushpull.config import Parser
from pushpull.demo import panels
from pushpull.demo.background import BackgroundTask
from pushpull.demo.context import ASSETS, DemoContext
from pushpull.demo.form import Form
from pushpull.demo.loaded import GIVEN, DetectorCache
from pushpull.demo.presentation import attacked_view
from pushpull.demo.storage import NAME, ResultFolder, ResultStore
from pushpull.detectors.checkpoint import find_checkpoint, with_sidecar
from pushpull.detectors.points import point_of, usual_point
from pushpull.files import sha256
from pushpull.runs.run import execute

log = logging.getLogger("pushpull.demo")
SHIPPED = ASSETS / "example"
ABOUT, VIEW = "example.json", "view.json"
# Of the view: the first sight shows the scene, clean and attacked, and the score. All of it would be 8 MB.
LEFT_OUT = ("embeddings", "spectrogram", "sound")
SCREENS, SHOT = ("clean", "adversarial"), "scene"


@dataclass(frozen=True)
class Made:
    """What an example was made of and what came of it.

    Args:
        sample: the clip's file name.
        clip, checkpoint: SHA-256 of the clip and of the detector's weights.
        threshold: where the detector decided, in the network's own log-odds.
        title: of the clip.
        before, after: share of frames, 0..1, in which the detector said speaking.
        grey, sound: the largest change of a pixel, in grey levels, and of a sample, of full scale.
    """

    sample: str
    clip: str
    checkpoint: str
    threshold: float
    title: str
    before: float
    after: float
    grey: float
    sound: float


class Example:
    """The example of one app.

    Args:
        context: detectors and samples.
        shipped: the folder that comes with the app; None for none.
    """

    def __init__(self, context: DemoContext, shipped: Path | None = SHIPPED):
        self._context, self._made = context, None
        self._folder: Path | None = None
        self._temporary: Path | None = None
        if shipped is not None:
            self._look(shipped)

    @property
    def ready(self) -> bool:
        """Whether there is one now."""
        return self._made is not None

    @property
    def sample(self) -> int | None:
        """Index of the clip in the gallery; None without an example."""
        names = [sample.path.name for sample in self._context.samples()]
        return names.index(self._made.sample) if self._made and self._made.sample in names else None

    def html(self) -> str:
        """The player with its sentence; "" as long as there is none."""
        return "" if self._made is None else shown(self._made)

    def find(self, name: str) -> Path | None:
        """A file of it, by name; None if there is none. Never anything outside its folder."""
        if self._folder is None or not NAME.fullmatch(name):
            return None
        path = self._folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def prepare(self) -> threading.Thread:
        """In the background: read the example's clip, so that repeating it need not wait; make it if there is none."""

        def work(_report):
            samples, name = self._context.samples(), self._context.detectors.default()
            if not samples or name is None:
                return
            self._context.detectors.get(name)  # not two at once
            self._context.read_sample(samples[0])
            if not self.ready:
                self._temporary = Path(tempfile.mkdtemp(prefix="pushpull-example-"))
                write_example(self._context, self._temporary)
                self._look(self._temporary)

        def run():
            try:
                with BackgroundTask(work) as task:
                    task.result()
            except Exception as error:  # the page does without: nobody asked for it
                log.warning("no example: %s", error)

        thread = threading.Thread(target=run, daemon=True, name="example")
        thread.start()
        return thread

    def close(self) -> None:
        """Delete what was made."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _look(self, folder: Path) -> None:
        try:
            made = Made(**json.loads((folder / ABOUT).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return
        if (made.clip, made.checkpoint, made.threshold) == ingredients(self._context):
            self._made, self._folder = made, folder


def ingredients(context: DemoContext) -> tuple[str, str, float] | None:
    """SHA-256 of the first sample and of the default detector's weights, and where it decides; None if one is missing.

    A detector that was given in memory has no file: its name stands for it.
    """
    samples, name = context.samples(), context.detectors.default()
    if not samples or name is None:
        return None
    card = context.detectors.cards()[name]
    where, clip = card["where"], sha256(samples[0].path)
    if where == GIVEN:
        return clip, name, point_of(context.detectors.get(name)).threshold
    weights = find_checkpoint(name, context.detectors.folder) if where == "shipped" else Path(where)
    told = with_sidecar(weights, card | {"sha256": sha256(weights)})
    return clip, told["sha256"], usual_point(told).threshold


def write_example(context: DemoContext, folder: Path) -> Made:
    """Attack the first sample as the form's first choices say and write player, clips and ``example.json``.

    Raises:
        MediaError, CheckpointError: the clip or the detector cannot be used.
    """
    sample, name = context.samples()[0], context.detectors.default()
    subject = context.read_sample(sample)
    network = context.detectors.get(name)
    with context.cpu:
        run = execute(network, subject.clips(network)[0], Form(name).spec(subject, 0))
    folder.mkdir(parents=True, exist_ok=True)
    attacked_view(ResultFolder("example", folder), subject, 0, run)
    shorten(folder)
    clip, checkpoint, threshold = ingredients(context)
    before, after = (float((run.margins[column] > 0).mean()) for column in ("clean", "stored"))
    made = Made(
        sample=sample.path.name,
        clip=clip,
        checkpoint=checkpoint,
        threshold=threshold,
        title=sample.title,
        before=before,
        after=after,
        grey=float(np.abs(run.adversarial_clip.video - run.clip.video).max()),
        sound=float(np.abs(run.adversarial_clip.audio - run.clip.audio).max()),
    )
    (folder / ABOUT).write_text(json.dumps(vars(made), indent=1) + "\n", encoding="utf-8")
    return made


def shorten(folder: Path) -> None:
    """Leave of a view what the first sight shows."""
    view = json.loads((folder / VIEW).read_text(encoding="utf-8"))
    screens = [screen for screen in view["screens"] if screen["id"] in SCREENS]
    for screen in screens:
        screen["files"] = {SHOT: screen["files"][SHOT]}
    wanted = {VIEW, *(screen["files"][SHOT] for screen in screens)}
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()
    short = {name: value for name, value in view.items() if name not in LEFT_OUT} | {"screens": screens}
    (folder / VIEW).write_text(json.dumps(short), encoding="utf-8")


def shown(made: Made) -> str:
    """The first sight of the page, as HTML."""
    return f"""
<div class="pp-example">
  <p class="pp-sentence">The detector said <em>speaking</em> in <em class="pull">{100 * made.before:.0f} %</em> of this
  clip’s frames. With noise on top, no more than {made.grey:.2g} of 255 grey levels in the picture and
  {100 * made.sound:.2g} % of full scale in the sound, it says so in <em class="push">{100 * made.after:.0f} %</em>.</p>
  {panels.player(f"example/{VIEW}", autoplay=True)}
  <p class="pp-quiet">Made earlier from the clip <em>{escape(made.title)}</em>, with the choices that the form shows at
  first.</p>
</div>"""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m pushpull.demo.example", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="FOLDER", help="where it goes (assets/example)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        context = DemoContext(detectors=DetectorCache(), store=ResultStore(root=Path(folder)))
        shutil.rmtree(options.out, ignore_errors=True)
        made = write_example(context, options.out)
    size = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{options.out}: {made.title}, {100 * made.before:.0f} % to {100 * made.after:.0f} %, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
