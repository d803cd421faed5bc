"""The pictures of any video file, 25 a second on the file's own clock."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from pushpull.clip import FPS
from pushpull.media.clock import LONGEST_GAP, RUN_UP, bounded, nowhere, read_clock, seek
from pushpull.media.ffmpeg import TIMES, FFmpeg, Limits, MediaError, source
from pushpull.media.probe import Probe, probe, too_long
from pushpull.media.sound import read_audio

# Larger pictures are shrunk to this on the way: faces in them are large enough, and a picture fits into memory.
LARGEST = 3840 * 2160  # pixels


@dataclass(frozen=True, eq=False)
class Media:
    """A short video in memory: frames (T, H, W, 3) uint8 RGB at 25 fps, audio (N,) float32 full scale at 16 kHz."""

    frames: np.ndarray
    audio: np.ndarray


def read_frames(
    path: str | os.PathLike,
    *,
    limits: Limits = Limits(),
    max_side: int | None = None,
    rate: float | Fraction = FPS,
    start: float = 0.0,
    seconds: float | None = None,
) -> Iterator[np.ndarray]:
    """The pictures of a file, one at a time, at 25 per second whatever rate or rates the file has.

    Each is the one nearest in time, by the file's own clock, whatever changes on the way (size, colours, rate); the
    first one lies on the grid of frames exactly. Rotation is applied, pixels are made square, and pictures above 3840 x
    2160 pixels are shrunk to that. Closing the iterator ends ffmpeg.

    Args:
        path: the file.
        limits: refused beyond these; its ``max_seconds`` is about what is read.
        max_side: shrink so that neither side is longer than this, in pixels.
        rate: another number of pictures per second.
        start, seconds: only this part of the file: the frames from ``start`` on that reading all of it would give.

    Yields:
        (H, W, 3) uint8 RGB, all of one size.

    Raises:
        MediaError: no picture in the file, or in this part, or it cannot be read within ``limits``. Damage shows when
            it is reached.
    """
    name, rate = Path(path).name, Fraction(rate).limit_denominator(1_000_000)
    header = probe(path, limits=limits.any_length() if start or seconds is not None else limits)
    header.require_video(name)
    clock = read_clock(path, header, limits)
    first = round(start * rate)
    wanted = int(limits.max_seconds * rate) + 1 if seconds is None else max(1, round(seconds * rate))
    count = 0
    for begin in _beginnings(start):
        arguments = _arguments(path, header, limits, begin, clock.origin, max_side, rate)
        with FFmpeg(arguments, name=name, timeout=limits.timeout, timed=True) as run:
            pictures = _on_grid(_timed(run, name, rate), first, late=begin > 0)
            for frame in islice(pictures, wanted):
                count += 1
                if count > limits.max_seconds * rate:
                    raise too_long(name, limits)
                yield frame
            if count < wanted:
                run.finish()
        if count:
            return
    if start:
        raise MediaError(f"{name}: there is nothing from {start:g} s on. Its pictures end before that: begin earlier.")
    raise MediaError(f"{name}: not one picture could be decoded. Export it again, as MP4, WebM, MKV, AVI or MPEG.")


def read_media(path: str | os.PathLike, *, limits: Limits = Limits(max_seconds=60)) -> Media:
    """All of a short video at once; see :func:`read_frames` and :func:`pushpull.media.read_audio`."""
    return Media(frames=np.stack(list(read_frames(path, limits=limits))), audio=read_audio(path, limits=limits))


def grey(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB -> (...) uint8 grey levels, 0.299 R + 0.587 G + 0.114 B rounded.

    The one definition for training and use; ffmpeg's own grey differs from it by up to 32 levels.
    """
    weighted = rgb[..., 0] * np.uint32(299) + rgb[..., 1] * np.uint32(587) + rgb[..., 2] * np.uint32(114)
    return ((weighted + np.uint32(500)) // np.uint32(1000)).astype(np.uint8)


def _beginnings(start: float) -> list[float]:
    """Where to begin to decode: some seconds before, and if nothing can be decoded there, at the file's beginning."""
    early = max(0.0, start - RUN_UP)
    return [early, 0.0] if early else [0.0]


def _arguments(path, header: Probe, limits: Limits, begin: float, origin: float, max_side: int | None, rate):
    """ffmpeg's: pictures as PPM on its output, which carries their size, and the time of each beside it."""
    shrink = f"min(1,sqrt({LARGEST}/(iw*ih)))"
    if max_side is not None:
        shrink = f"min({shrink},{max_side}/max(iw,ih))"
    filters = [
        # The instants are counted from the clock's origin by the pictures' own times: when something changes in
        # mid-file, ffmpeg makes its filters anew, and whatever counts from its first picture begins to count again.
        f"setpts=PTS+({begin - origin:.9f})/TB",
        f"fps=fps={rate}",
        "scale=w='max(1,round(iw*sar))':h=ih",
        "setsar=1",
        f"scale=w='max(1,round(iw*{shrink}))':h='max(1,round(ih*{shrink}))':flags=area",
    ]
    arguments = [*bounded(limits), *seek(begin), *source(path, limits), "-map", "0:V:0", "-an", "-sn", "-dn"]
    arguments += ["-vf", ",".join(filters), "-pix_fmt", "rgb24", "-fps_mode", "passthrough", TIMES]
    return [*arguments, "-c:v", "ppm", "-f", "image2pipe", "pipe:1", *nowhere(header, "0:a?")]


def _timed(run: FFmpeg, name: str, rate: Fraction) -> Iterator[tuple[int, np.ndarray]]:
    """(instant, picture) of every picture that ffmpeg puts out."""
    last = None
    while (time := run.next_time()) is not None:
        if last is not None and time[0] - last > LONGEST_GAP * rate:
            raise MediaError(
                f"{name}: its clock jumps from {float(last / rate):.1f} to {float(time[0] / rate):.1f} s. "
                "Export it again, or cut out the part before."
            )
        last = time[0]
        yield last, _read_ppm(run, name)


def _on_grid(timed: Iterator[tuple[int, np.ndarray]], first: int, *, late: bool) -> Iterator[np.ndarray]:
    """A picture for every instant from ``first`` on: the latest there is; before the first one, that.

    Nothing at all if ``late`` and the first picture comes after ``first``: decoding began too late.
    """
    at, shown = first, None
    for instant, picture in timed:
        if late and shown is None and instant > first:
            return
        while at < instant:
            yield picture if shown is None else shown
            at += 1
        if at == instant:
            yield picture
            at += 1
        shown = picture


def _read_ppm(run: FFmpeg, name: str) -> np.ndarray:
    """The next picture of a pipe of binary PPM files."""
    header = run.read(2)
    while header and header.count(b"\n") < 3 and len(header) < 64:
        header += run.read(1)
    found = re.fullmatch(rb"P6\n(\d+) (\d+)\n255\n", bytes(header))
    if found is None:
        run.finish()
        raise MediaError(f"{name}: ffmpeg's output cannot be understood. Reinstall the package imageio-ffmpeg.")
    width, height = int(found[1]), int(found[2])
    pixels = run.read(width * height * 3)
    if len(pixels) < width * height * 3:
        run.finish()
        raise MediaError(f"{name}: the last picture is cut off. The file is damaged: export it again.")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)
