"""From whatever a visitor uploads to faces with sound; every refusal says what to do instead."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.demo.vault import Drawer, Vault
from pushpull.faces import Footage, read_clips
from pushpull.media import Limits, probe
from pushpull.runs.report import Source
from pushpull.scene import Scene, excerpt

MAX_SECONDS = 20.0  # a 20 s clip is 500 frames: the longest whose attack on two cores one still waits for
MAX_BYTES = 200 * 1024**2
MAX_FACES = 6
LIMITS = Limits(max_seconds=MAX_SECONDS + 0.5, max_pixels=3840 * 2160, max_bytes=MAX_BYTES, timeout=120.0)
ANY_LENGTH = Limits(max_seconds=24 * 3600.0, max_pixels=LIMITS.max_pixels, max_bytes=MAX_BYTES, timeout=120.0)
SILENCE = 1e-3  # full scale, -60 dBFS: below it nobody speaks


@dataclass(frozen=True, eq=False)
class Subject:
    """A visitor's clip, ready to be attacked.

    Args:
        title: the file's name, for people.
        source: the file itself, for the report.
        path: the file that was read: the upload, or the part that was cut out of it.
        start: seconds into the upload at which ``path`` begins.
        length: seconds of the upload that ``path`` was cut to; None where it is all of it.
        seconds: length of the upload; None where the file does not say.
        footage: its faces.
        drawer: where what does not depend on any attack is kept.
    """

    title: str
    source: Source
    path: Path
    start: float
    length: float | None
    seconds: float | None
    footage: Footage
    drawer: Drawer

    @property
    def cut(self) -> bool:
        """Whether only a part of the upload was taken."""
        return self.seconds is not None and self.seconds > LIMITS.max_seconds

    @property
    def silent(self) -> bool:
        """Whether the sound holds nothing that could be speech."""
        return max(float(np.abs(clip.audio).max()) for clip in self.footage.clips) < SILENCE

    def scene(self, face: int) -> Scene:
        """The wide picture around a face, from 0."""
        return Scene(self.path, self.footage.tracks[face], self.footage.size, LIMITS)


def take_in(
    path: str | Path,
    vault: Vault,
    *,
    title: str | None = None,
    start: float = 0.0,
    report: Callable[[tuple[float | None, str]], object] = lambda _: None,
) -> Subject:
    """Read a file, the 20 s from ``start`` if it is longer or does not say how long it is.

    Args:
        path: any file at all.
        vault: where a part that is cut out is kept.
        title: what to call it; its file name if None.
        start: seconds.
        report: called with (share done or None, what is being done); what it raises ends the work.

    Raises:
        MediaError: it cannot be used; the message says why and what to do.
    """
    path = Path(path)
    report((None, "opening the file"))
    about = probe(path, limits=ANY_LENGTH)
    about.require_video(path.name)
    about.require_audio(path.name)
    part, begin, length = path, 0.0, None
    drawer = vault.open()
    if about.seconds is None or about.seconds > LIMITS.max_seconds:
        begin = 0.0 if about.seconds is None else min(max(0.0, start), max(0.0, about.seconds - 1.0))
        length = MAX_SECONDS
        report((None, f"cutting out {MAX_SECONDS:g} s"))
        part = excerpt(path, drawer.path / f"{path.stem}.mkv", start=begin, seconds=length, limits=ANY_LENGTH)
    footage = read_clips(part, limits=LIMITS, max_tracks=MAX_FACES, progress=lambda share, say: report((share, say)))
    source = Source(path.name, Source.of(path).sha256, path.stat().st_size)
    return Subject(title or path.name, source, part, begin, length, about.seconds, footage, drawer)
