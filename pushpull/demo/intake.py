"""From whatever a visitor uploads to faces with sound; every refusal says what to do instead."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pushpull.clip import Clip
from pushpull.demo.storage import ResultFolder, ResultStore
from pushpull.detectors import describe
from pushpull.faces import FACE_BOX, TALKNET_DEMO, Footage, read_clips
from pushpull.faces.scene import Scene
from pushpull.media import Limits, measured_seconds, probe
from pushpull.runs.report import Source

MAX_SECONDS = 20.0  # a 20 s clip is 500 frames: the longest whose attack on two cores one still waits for
MAX_BYTES = 200 * 1024**2
MAX_FACES = 6
CROPS = (TALKNET_DEMO, FACE_BOX)  # one reading of a file serves every detector
LIMITS = Limits(max_seconds=MAX_SECONDS + 0.5, max_bytes=MAX_BYTES, timeout=120.0)
ANY_LENGTH = Limits(max_seconds=24 * 3600.0, max_bytes=MAX_BYTES, timeout=120.0)


@dataclass(frozen=True, eq=False)
class Subject:
    """A visitor's clip, ready to be attacked.

    Args:
        title: the file's name, for people.
        source: the file itself, for the report.
        path: the file that was read.
        start: seconds into the file at which the part that was read begins.
        length: seconds of the part that was read; None where it is all of it.
        seconds: length of the file.
        footage: its faces.
        folder: for what does not depend on any attack.
    """

    title: str
    source: Source
    path: Path
    start: float
    length: float | None
    seconds: float
    footage: Footage
    folder: ResultFolder

    @property
    def cut(self) -> bool:
        """Whether only a part of the upload was taken."""
        return self.length is not None

    @property
    def remarks(self) -> list[str]:
        """What part of the file was taken, and what to know of its sound and faces, in sentences."""
        words = [*self.footage.remarks]
        if self.cut:
            end = self.start + self.footage.seconds
            of = f"Seconds {self.start:.1f} to {end:.1f} of {self.seconds:.0f}"
            words.insert(0, f"{of}: the demo takes {MAX_SECONDS:g} s.")
        if self.footage.silent:
            words.append("Its sound is silent, so the model hears nobody. Attacks on the picture still work.")
        return words

    def clips(self, detector) -> list[Clip]:
        """The faces as ``detector`` wants them cut, in the order of ``footage``; with their labels.

        Raises:
            ValueError: its card names a crop that is none of ours.
        """
        crop = describe(detector)["crop"]
        if crop not in CROPS:
            raise ValueError(f"the detector's card asks for the crop {crop!r}; there are {', '.join(CROPS)}")
        return self.footage.cut_as(crop)

    def scene(self, face: int) -> Scene:
        """The wide picture around a face, from 0."""
        return Scene(self.footage.clips[face].origin, LIMITS)


def take_in(
    path: str | Path,
    store: ResultStore,
    *,
    title: str | None = None,
    start: float = 0.0,
    report: Callable[[tuple[float | None, str]], object] = lambda _: None,
    seen: Callable[[np.ndarray], object] = lambda _: None,
) -> Subject:
    """Read a file, the 20 s from ``start`` if it is longer.

    Args:
        path: any file at all.
        store: for what is made of it.
        title: what to call it; its file name if None.
        start: seconds.
        report: called with (share done or None, what is being done); what it raises ends the work.
        seen: called with the thumbnail (160, 160, 3) of each face as it is found.

    Raises:
        MediaError: it cannot be used; the message says why and what to do.
    """
    path = Path(path)
    report((None, "opening the file"))
    about = probe(path, limits=ANY_LENGTH)
    about.require_video(path.name)
    about.require_audio(path.name)
    # A browser's recording does not say how long it is.
    seconds = about.seconds or measured_seconds(path, about, limits=ANY_LENGTH) or 0.0
    begin, length = 0.0, None
    if seconds > LIMITS.max_seconds:
        begin, length = min(max(0.0, start), max(0.0, seconds - 1.0)), MAX_SECONDS
    footage = read_clips(
        path,
        start=begin,
        seconds=length,
        crops=CROPS,
        limits=LIMITS,
        max_tracks=MAX_FACES,
        progress=lambda share, say: report((share, say)),
        seen=seen,
    )
    # What a report says of a visitor's file must not tell where the server keeps it.
    source = replace(Source.of(path), path=path.name)
    return Subject(title or path.name, source, path, begin, length, seconds, footage, store.open())
