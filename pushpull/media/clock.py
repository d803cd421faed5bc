"""The one clock of a file: where its first picture lies on it, and the 25 instants a second that begin there.

A demuxer may set its zero by the streams that are in use, and then a run of ffmpeg that reads only the pictures has
another zero than one that reads only the sound (MPEG transport and program streams, Ogg). So every run here names both:
what it does not decode goes, undecoded, to nowhere.
"""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pushpull.clip import FPS
from pushpull.media.ffmpeg import TIMES, FFmpeg, Limits, MediaError, source
from pushpull.media.probe import Probe

TICKS = 90_000  # a second, in units in which the first picture's time is asked for
# Before a wanted instant: decoding can begin only at a key frame, and transport streams are searched by guess.
RUN_UP = 15.0  # seconds
LONGEST_GAP = 60.0  # seconds without a picture or a sound; beyond it the clock itself is broken


@dataclass(frozen=True)
class Clock:
    """Frame k of what is read is shown from ``origin`` + k / 25 on.

    Args:
        origin: seconds on ffmpeg's clock for the file; less than 1/25 after its zero, so that the first picture lies on
            a frame exactly. Where the first picture comes late, frames before it show it, too.
        lead: frames before the first picture.
    """

    origin: float
    lead: int


def read_clock(path: str | os.PathLike, header: Probe, limits: Limits) -> Clock:
    """Where the first picture of a file is; 0 if it has none.

    Raises:
        MediaError: no picture can be decoded.
    """
    if not header.video:
        return Clock(0.0, 0)
    name = Path(path).name
    arguments = [*bounded(limits), *source(path, limits), "-map", "0:V:0", "-an", "-sn", "-dn", "-frames:v", "1"]
    arguments += ["-vf", f"settb=1/{TICKS}", "-enc_time_base", f"1/{TICKS}", "-fps_mode", "passthrough", TIMES]
    arguments += ["-f", "null", "-", *nowhere(header, "0:a?", once=True)]
    with FFmpeg(arguments, name=name, timeout=limits.timeout, timed=True) as run:
        first = run.next_time()
        if first is None:
            run.finish()
            raise MediaError(
                f"{name}: not one picture could be decoded. Export it again, as MP4, WebM, MKV, AVI or MPEG."
            )
    seconds = Fraction(first[0], TICKS)
    lead = max(0, int(seconds * FPS))
    return Clock(float(seconds - Fraction(lead, FPS)), lead)


def seek(begin: float) -> list[str]:
    """ffmpeg's arguments, before its input, that begin at or before ``begin`` seconds, where its clock then reads 0."""
    return ["-noaccurate_seek", "-ss", f"{begin:.6f}"] if begin else []


def nowhere(header: Probe, streams: str, *, once: bool = False) -> list[str]:
    """ffmpeg's arguments for a second output that uses ``streams`` without decoding them."""
    if not (header.audio if ":a" in streams else header.video):
        return []
    return ["-map", streams, "-c", "copy", *(["-frames", "1"] if once else []), "-f", "null", "-"]


def bounded(limits: Limits) -> list[str]:
    """ffmpeg's argument that keeps a decoder from pictures larger than the header said; it counts their padding too."""
    return ["-max_pixels", str(limits.max_pixels + limits.max_pixels // 8 + (1 << 20))]
