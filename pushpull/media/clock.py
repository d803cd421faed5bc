"""One zero for the pictures of a file and for its sound; and how to get near a part of it."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pushpull.clip import FPS
from pushpull.media.ffmpeg import CLOCK, READING, FFmpeg, Limits, MediaError, source
from pushpull.media.probe import PROBE_TIMEOUT, Probe, other_streams, probe

TICKS = 90_000  # a second, of the times that ffmpeg is asked to write
# Containers in which ffmpeg can jump; the others, which are rare and short, are read from their beginning.
SEEKABLE = {"mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "mxf", "nut"}
# Seconds before a part at which reading begins. A jump may land behind the last key frame, or behind sound that lies
# earlier in the file than its picture, so what comes out is looked at, and the next margin tried.
MARGINS = (1.0, 12.0, 60.0)
BACKWARDS = 0.5  # seconds that a clock may run back before the file is refused


@dataclass(frozen=True)
class Opened:
    """A file that was opened: its header, and ``zero``, where its pictures and its sound begin, on ffmpeg's clock.

    That is the file's own beginning, put off by less than a picture so that the first picture falls on the grid of 25
    a second: the sound moves with it, where a picture that is rounded to the grid would leave the sound behind.
    """

    path: Path
    limits: Limits
    about: Probe
    zero: float  # seconds

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Approach:
    """How to read a part: what goes before and into ffmpeg's input, and when the part begins on that run's clock.

    ``last`` tells that nothing earlier can be read.
    """

    arguments: list[str]
    begin: float
    last: bool


def open_source(path: str | os.PathLike, limits: Limits, *, part: bool = False) -> Opened:
    """Probe a file, of any length if only a ``part`` of it is wanted, and find its zero.

    Raises:
        MediaError: see :func:`pushpull.media.probe`.
    """
    path = Path(path)
    about = probe(path, limits=limits.any_length() if part else limits)
    first = _first_picture(path, about, limits) if about.video else 0.0
    return Opened(path, limits, about, first - max(0, math.floor(first * FPS + 0.01)) / FPS)


def approaches(file: Opened, start: float, seconds: float | None) -> Iterator[Approach]:
    """Ways to read the part of ``file`` from ``start`` on, nearest first."""
    opening = source(file.path, file.limits)
    if file.about.container in SEEKABLE:
        for margin in MARGINS:
            jump = file.zero + start - margin
            if start > 0 and jump > 0:
                yield Approach(["-ss", f"{jump:.6f}", *_until(margin, seconds), *opening], margin, False)
    yield Approach([*_until(file.zero + start, seconds), *opening], file.zero + start, True)


def beside(file: Opened) -> list[str]:
    """ffmpeg's arguments, after its output, that keep one clock for every run over ``file``."""
    return other_streams(file.about)


def timed(more: str = "") -> list[str]:
    """ffmpeg's arguments, of an output, that write when each picture or piece of sound is due, and ``more`` of it."""
    return ["-stats_enc_pre", CLOCK, "-stats_enc_pre_fmt", f"{{pts}} {{tb}} {more}".strip()]


def moment(tick: tuple[str, ...], begin: float) -> float:
    """Seconds from ``begin`` to what a line of the clock is about."""
    return float(int(tick[0]) * Fraction(tick[1])) - begin


def broken_clock(name: str, at: float, back: float) -> MediaError:
    """The refusal of a file whose clock runs back by ``back`` seconds, ``at`` seconds into it."""
    return MediaError(
        f"{name}: {at:.1f} s into it its clock jumps back by {back:.1f} s, as where files were put one behind another, "
        "so pictures and sound cannot be matched. Join its parts in a video editor, or export it again."
    )


def _until(begin, seconds):
    """A second more than is wanted, so that what comes late in the file is there."""
    return [] if seconds is None else ["-t", f"{begin + seconds + 1:.6f}"]


def _first_picture(path, about, limits):
    """Seconds on ffmpeg's clock; 0 if not one picture can be decoded, which the reader of pictures will say."""
    # One thread: others would decode pictures that nobody wants.
    arguments = ["-threads", "1", "-max_pixels", str(most_pixels(limits)), *source(path, limits)]
    arguments += ["-map", f"0:{about.picture}", "-frames:v", "1", "-enc_time_base", f"1:{TICKS}"]
    arguments += ["-fps_mode", "passthrough", *timed(), "-f", "null", "-"]
    # All of the other streams would be read to their end, and one packet of each is enough to set the clock.
    others = other_streams(about)
    arguments += [*others[:-3], "-t", f"{1 / FPS}", *others[-3:]] if others else []
    with FFmpeg(arguments, name=path.name, timeout=min(limits.timeout, PROBE_TIMEOUT), loglevel=READING) as run:
        run.wait()
        ticks = run.ticks()
    return moment(ticks[0], 0.0) if ticks and ticks[0][0].lstrip("-").isdigit() else 0.0


def most_pixels(limits: Limits) -> int:
    """What decoders are held to: they count the stored picture, whose sides are multiples of up to 128."""
    return int(limits.max_pixels * 1.1) + (1 << 14)
