"""The pictures of any file, each where its own time says, at a constant rate."""

import math
import os
import re
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from pushpull.clip import FPS
from pushpull.media.clock import (
    BACKWARDS,
    TICKS,
    Approach,
    Opened,
    approaches,
    beside,
    broken_clock,
    moment,
    most_pixels,
    open_source,
    timed,
)
from pushpull.media.ffmpeg import READING, FFmpeg, Limits, MediaError
from pushpull.media.probe import too_long

LARGEST = 3840 * 2160  # pixels that a picture comes out with; larger ones are shrunk, 25 MB each would be 106
LONGEST_LAST = 0.5  # seconds that the last picture stands at most; its own length is in no file
THIN = 1.5  # a file with more than so many pictures for each wanted one is thinned out before they are converted
LARGE_THREADS = 2  # decoders hold as many pictures as they have threads, and more; of large ones only so many


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

    The first stands from the file's beginning on, if it is late. Rotation is applied and pixels are made square.
    Pictures of more than 3840 x 2160 pixels are shrunk to as many. Closing the iterator ends ffmpeg.

    Args:
        path: the file.
        limits: refused beyond these.
        max_side: shrink so that neither side is longer than this, in pixels.
        rate: another number of pictures per second: each is the one nearest in time, or the last before it where
            none is near.
        start, seconds: only this part of the file; the rest is not decoded but for
            what its first picture depends on.

    Yields:
        (H, W, 3) uint8 RGB, all of one size.

    Raises:
        MediaError: no picture in the file, its clock runs back, or it cannot be read within ``limits``. Damage shows
            when it is reached.
    """
    file = open_source(path, limits, part=start > 0 or seconds is not None)
    file.about.require_video(file.name)
    most = limits.max_seconds * rate
    wanted = None if seconds is None else round(seconds * rate)
    count = 0
    for approach in approaches(file, start, seconds):
        with _decoder(file, approach, max_side, rate) as run:
            pictures = _pictures(run, file.name, approach.begin)
            first = next(pictures, None)
            if not approach.last and (first is None or first[0] > 0.5 / float(rate)):
                continue
            for frame in _placed(first, pictures, float(rate), file.name, start):
                if count == wanted:
                    return
                count += 1
                if count > most:
                    raise too_long(file.name, limits)
                yield frame
            run.finish()
            break
    if count == 0 and start > 0:
        raise MediaError(f"{file.name}: there is nothing from {start:g} s on. It ends before that: begin earlier.")
    if count == 0:
        raise MediaError(
            f"{file.name}: not one picture could be decoded. Export it again, as MP4, WebM, MKV, AVI or MPEG."
        )


def _decoder(file: Opened, approach: Approach, max_side, rate) -> FFmpeg:
    """ffmpeg, writing every picture as PPM and the time it is due."""
    large = file.about.size is not None and file.about.size[0] * file.about.size[1] > LARGEST
    arguments = ["-threads", str(LARGE_THREADS)] if large else []
    arguments += ["-max_pixels", str(most_pixels(file.limits)), *approach.arguments]
    filters = _thinning(file.about.rate, float(rate), approach.begin)
    filters += ["scale=w='max(1,round(iw*sar))':h=ih", "setsar=1"]
    shares = [f"{max_side}/max(iw,ih)"] if max_side is not None else []
    shares += [f"sqrt({LARGEST}/(iw*ih))"] if large else []
    if shares:
        share = "min(1," + ",".join(shares[:1]) + ")" if len(shares) == 1 else f"min(1,min({shares[0]},{shares[1]}))"
        filters.append(f"scale=w='max(1,round(iw*{share}))':h='max(1,round(ih*{share}))':flags=area")
    arguments += ["-map", f"0:{file.about.picture}", "-vf", ",".join(filters), "-pix_fmt", "rgb24"]
    arguments += ["-fps_mode", "passthrough", "-enc_time_base", f"1:{TICKS}", *timed()]
    # PPM carries each picture's size, so neither size nor rotation has to be known beforehand.
    arguments += ["-c:v", "ppm", "-f", "image2pipe", "pipe:1", *beside(file)]
    return FFmpeg(arguments, name=file.name, timeout=file.limits.timeout, loglevel=READING)


def _thinning(has: float | None, rate: float, begin: float) -> list[str]:
    """Of a file with many more pictures than are wanted, the first that is nearest to each wanted moment.

    An expression and not the filter ``fps``, which begins anew, and loses its place, when ffmpeg rebuilds its filters
    because the picture's size or colours change.
    """
    if has is None or has <= THIN * rate:
        return []
    early = 0.5 / has - begin
    place, before = (f"floor(({name}+{early:.6f})*{rate:.6f})" for name in ("t", "prev_selected_t"))
    return [f"select='isnan(prev_selected_t)+not(eq({place},{before}))'"]


def _pictures(run: FFmpeg, name: str, begin: float) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds from ``begin``, and the picture that is due then."""
    times: list[float] = []
    while (frame := _read_ppm(run, name)) is not None:
        times += [moment(tick, begin) for tick in run.ticks()]
        if not times:
            raise MediaError(f"{name}: ffmpeg does not tell its times. Reinstall the package imageio-ffmpeg.")
        yield times.pop(0), frame


def _placed(first, rest, rate: float, name: str, start: float) -> Iterator[np.ndarray]:
    """Pictures 0, 1, 2 ... at ``rate``: each place has the picture nearest to it, or the last before it."""
    if first is None:
        return
    shown, held = first
    place, last, gap = 0, shown, 1 / rate
    for time, frame in rest:
        if time < last - BACKWARDS:
            raise broken_clock(name, start + last, last - time)
        following = _place(time, rate)
        if following > place:
            for _ in range(following - place):
                yield held
            place, shown, held = following, time, frame
        elif abs(time - place / rate) < abs(shown - place / rate):
            shown, held = time, frame
        last, gap = max(last, time), (time - last if time > last else gap)
    end = round((last + min(gap, LONGEST_LAST)) * rate)
    if end <= 0:  # all of them are over before the part begins
        return
    for _ in range(max(end - place, 1)):
        yield held


def _place(time: float, rate: float) -> int:
    return math.floor(time * rate + 0.5)


def _read_ppm(run: FFmpeg, name: str) -> np.ndarray | None:
    """The next picture of a pipe of binary PPM files, None at its end."""
    header = run.read(2)
    if not header:
        return None
    while header.count(b"\n") < 3 and len(header) < 64:
        header += run.read(1)
    found = re.fullmatch(rb"P6\n(\d+) (\d+)\n255\n", bytes(header))
    if found is None:
        raise MediaError(f"{name}: ffmpeg's output cannot be understood. Reinstall the package imageio-ffmpeg.")
    width, height = int(found[1]), int(found[2])
    pixels = run.read(width * height * 3)
    if len(pixels) < width * height * 3:
        run.finish()
        raise MediaError(f"{name}: the last picture is cut off. The file is damaged: export it again.")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)
