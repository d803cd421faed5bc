"""What the pages work with: models, results, sample clips, and who asked for what."""

import threading
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pushpull.demo import panels
from pushpull.demo.intake import Subject, take_in
from pushpull.demo.labels import with_labels
from pushpull.demo.line import Line
from pushpull.demo.loaded import DetectorCache
from pushpull.demo.noises import find_noises
from pushpull.demo.requests import Requests
from pushpull.demo.storage import ResultStore
from pushpull.files import shipped_folder
from pushpull.media import Limits, MediaError, read_frames
from pushpull.runs.cards import find_clips, read_card
from pushpull.runs.noise import SHIPPED

ASSETS = shipped_folder("assets")
POSTER_FRAME = 12  # half a second in: the first frame is often black
POSTER_SIDE = 320  # pixels
KNOWN = 8  # samples whose faces are remembered: 10 MB for a face of 20 s


@dataclass(frozen=True)
class Sample:
    """A clip that comes with the app.

    Args:
        path: the video.
        title, caption: what the gallery says; from ``NAME.json`` beside it where there is one.
        faces: from there too: where each face is and when it speaks, see ``labels.with_labels``.
    """

    path: Path
    title: str
    caption: str = ""
    faces: tuple[dict, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Sample":
        card = read_card(path)
        return cls(path, card.title or path.stem.replace("_", " ").replace("-", " "), card.caption, card.faces)


@lru_cache(maxsize=64)
def poster(path: Path) -> str:
    """A frame near the start of a video, as a data URI; empty if it cannot be read."""
    limits = Limits(timeout=20.0, max_seconds=24 * 3600.0)
    try:
        with closing(read_frames(path, limits=limits, max_side=POSTER_SIDE)) as frames:
            chosen = None
            for index, frame in enumerate(frames):
                chosen = frame
                if index >= POSTER_FRAME:
                    break
    except MediaError:
        return ""
    return "" if chosen is None else panels.picture(chosen)


@dataclass(frozen=True, kw_only=True)
class DemoContext:
    """One per app.

    Args:
        detectors: the models.
        store: where results go.
        clips: the folder of the gallery's clips.
        requests: what visitors asked for, and whose attack can be stopped.
        known: samples whose faces were found before, by file, its time and where the part begins.
        cpu: held by the attack that runs; one that was cancelled may still be finishing its step.
        line: who waits, and for how long.
        noises: the folder of the noises for every clip.
    """

    detectors: DetectorCache
    store: ResultStore
    clips: Path = ASSETS
    requests: Requests = field(default_factory=Requests)
    known: dict[tuple, Subject] = field(default_factory=dict)
    cpu: threading.Lock = field(default_factory=threading.Lock)
    line: Line = field(default_factory=Line)
    noises: Path = SHIPPED

    def gallery(self, chosen: int | None = None) -> str:
        """The gallery as HTML, one card pressed."""
        return panels.gallery([(sample, poster(sample.path)) for sample in self.samples()], chosen)

    def samples(self) -> list[Sample]:
        """The gallery, by name."""
        return [Sample.read(path) for path in find_clips(self.clips)]

    def noises_found(self) -> dict[str, Path]:
        """The noises for every clip that there are now, by name."""
        return find_noises(self.noises)

    def read_sample(self, sample: Sample, *, start: float = 0.0, **reports) -> Subject:
        """The faces of a sample, with their labels, remembered for the next visitor: everybody looks at the same ones.

        Args:
            sample: of the gallery.
            start, reports: as :func:`pushpull.demo.intake.take_in`.
        """
        key = (sample.path, sample.path.stat().st_mtime_ns, start)
        if (found := self.known.get(key)) is None:
            subject = take_in(sample.path, self.store, title=sample.title, start=start, **reports)
            while len(self.known) >= KNOWN:
                self.known.pop(next(iter(self.known)), None)
            found = self.known[key] = with_labels(subject, sample.faces)
        return found
