"""Any video file in: 25 frames per second of RGB, and 16 kHz mono sound that starts with them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from pushpull.clip import FPS, SAMPLE_RATE
from pushpull.ffmpeg import FFmpeg, Limits, MediaError, source, trim
from pushpull.stimulus import (
    dequantise_audio,
    quantise_audio,
    quantise_video,
    read_stimulus,
    write_preview,
    write_stimulus,
)

__all__ = [
    "Limits",
    "Media",
    "MediaError",
    "Probe",
    "dequantise_audio",
    "grey",
    "probe",
    "quantise_audio",
    "quantise_video",
    "read_audio",
    "read_frames",
    "read_media",
    "read_stimulus",
    "write_preview",
    "write_stimulus",
]

PROBE_TIMEOUT = 30.0  # seconds; reading a header takes a fraction of one


@dataclass(frozen=True)
class Probe:
    """What a file says about itself: ``seconds`` is None where it does not say (a browser's webcam recording).

    ``rate`` is the pictures a second, to two decimals, the mean where it varies; None where there is none or unknown.
    """

    seconds: float | None
    video: bool
    audio: bool
    rate: float | None = None

    def require_video(self, name: str) -> None:
        """Raise MediaError unless there is a picture."""
        if not self.video:
            raise MediaError(f"{name} has no picture, only sound or data. Give a video that shows the speakers' faces.")

    def require_audio(self, name: str) -> None:
        """Raise MediaError unless there is sound."""
        if not self.audio:
            raise MediaError(f"{name} has no sound. Give a video with the voices in it: the model listens as it looks.")


@dataclass(frozen=True, eq=False)
class Media:
    """A short video in memory: frames (T, H, W, 3) uint8 RGB at 25 fps, audio (N,) float32 full scale at 16 kHz."""

    frames: np.ndarray
    audio: np.ndarray


def probe(path: str | os.PathLike, *, limits: Limits = Limits()) -> Probe:
    """Open ``path`` and read its header.

    Raises:
        MediaError: it is not a media file, is missing, empty, or says that it is over ``limits``.
    """
    name = Path(path).name
    timeout = min(limits.timeout, PROBE_TIMEOUT)
    with FFmpeg(source(path, limits), name=name, timeout=timeout, loglevel="info") as run:
        # Without an output ffmpeg ends in status 1 after it has described its input.
        _, said = run.wait()
    if not re.search(r"^Input #0,", said, re.MULTILINE):
        raise MediaError(
            f"{name} is not a video that can be read: the file is no video, or is damaged or cut off. Export it again, "
            f"as MP4, WebM, MKV, AVI or MPEG. ffmpeg says: {trim(said)}"
        )
    if re.search(r"^Input #0, mov,mp4", said, re.MULTILINE) and _mp4_is_cut(Path(path)):
        raise MediaError(
            f"{name} is truncated: it stops before its end. Copy, record or export it again, and let it finish."
        )
    streams = re.findall(r"^\s*Stream #0:\d+.*?: (Video|Audio): (.*)$", said, re.MULTILINE)
    found = re.search(r"Duration: (\d+):(\d+):([\d.]+)", said)
    seconds = None if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
    if seconds is not None and seconds > limits.max_seconds + 1:
        raise _too_long(name, limits)
    for kind, rest in streams:
        size = re.search(r", (\d+)x(\d+)", rest)
        if kind == "Video" and size is not None and int(size[1]) * int(size[2]) > limits.max_pixels:
            raise MediaError(
                f"{name}: its pictures have {size[1]} x {size[2]} pixels, more than the limit of {limits.max_pixels} "
                "in all. Make them smaller."
            )
    pictures = [rest for kind, rest in streams if kind == "Video" and "attached pic" not in rest]
    rate = re.search(r", ([\d.]+) (?:fps|tbr)\b", pictures[0]) if pictures else None
    return Probe(
        seconds=seconds,
        video=bool(pictures),
        audio=any(kind == "Audio" for kind, _ in streams),
        rate=float(rate[1]) if rate and float(rate[1]) > 0 else None,
    )


def read_audio(
    path: str | os.PathLike, *, limits: Limits = Limits(), start: float = 0.0, seconds: float | None = None
) -> np.ndarray:
    """The sound of a file, or of ``seconds`` of it from ``start`` on, resampled and mixed down.

    Returns:
        (N,) float32 in [-1, 1] at 16 kHz, on the grid k / 32768. Sample 0 is heard with frame 0 of
        :func:`read_frames`: a sound that starts late is preceded by silence.

    Raises:
        MediaError: no sound in the file, or it cannot be read within ``limits``.
    """
    name = Path(path).name
    probe(path, limits=limits).require_audio(name)
    most = int(limits.max_seconds * SAMPLE_RATE) * 2
    arguments = [*_span(start, seconds), *source(path, limits), "-map", "0:a:0", "-vn", "-sn", "-dn"]
    # first_pts=0: without it a late start is lost, and lips and sound part.
    arguments += ["-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "s16le", "pipe:1"]
    with FFmpeg(arguments, name=name, timeout=limits.timeout) as run:
        data = run.read_all(most + SAMPLE_RATE * 2)  # a second more than the frames' limit: sound may outlast them
        if len(data) > most + SAMPLE_RATE * 2:
            raise _too_long(name, limits)
        run.finish()
    if not data:
        raise MediaError(f"{name}: its sound track is empty. Record or export it again.")
    return dequantise_audio(np.frombuffer(data, dtype="<i2"))


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

    Rotation is applied and pixels are made square. Closing the iterator ends ffmpeg.

    Args:
        path: the file.
        limits: refused beyond these.
        max_side: shrink so that neither side is longer than this, in pixels.
        rate: another number of pictures per second: each is the one nearest in time.
        start, seconds: only this part of the file, the rest of which is not decoded but for the seek.

    Yields:
        (H, W, 3) uint8 RGB, all of one size.

    Raises:
        MediaError: no picture in the file, or it cannot be read within ``limits``. Damage shows when it is reached.
    """
    name = Path(path).name
    probe(path, limits=limits).require_video(name)
    # start_time=0 holds the first picture from 0 on, as first_pts=0 does for the sound.
    filters = [f"fps=fps={rate}:start_time=0", "scale=w='max(1,round(iw*sar))':h=ih", "setsar=1"]
    if max_side is not None:
        filters.append(
            f"scale=w='max(1,round(iw*min(1,{max_side}/max(iw,ih))))':h='max(1,round(ih*min(1,{max_side}/max(iw,ih))))'"
            ":flags=area"
        )
    arguments = ["-max_pixels", str(limits.max_pixels), *_span(start, seconds), *source(path, limits)]
    arguments += ["-map", "0:V:0", "-an", "-sn", "-dn"]
    arguments += ["-vf", ",".join(filters), "-pix_fmt", "rgb24", "-fps_mode", "passthrough"]
    # PPM carries each picture's size, so neither size nor rotation has to be known beforehand.
    arguments += ["-c:v", "ppm", "-f", "image2pipe", "pipe:1"]
    most = int(limits.max_seconds * rate)
    count = 0
    with FFmpeg(arguments, name=name, timeout=limits.timeout) as run:
        while (frame := _read_ppm(run, name)) is not None:
            count += 1
            if count > most:
                raise _too_long(name, limits)
            yield frame
        run.finish()
    if count == 0:
        raise MediaError(f"{name}: not one picture could be decoded. Export it again, as MP4, WebM, MKV, AVI or MPEG.")


def read_media(path: str | os.PathLike, *, limits: Limits = Limits(max_seconds=60)) -> Media:
    """All of a short video at once; see :func:`read_frames` and :func:`read_audio`."""
    return Media(frames=np.stack(list(read_frames(path, limits=limits))), audio=read_audio(path, limits=limits))


def grey(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB -> (...) uint8 grey levels, 0.299 R + 0.587 G + 0.114 B rounded.

    The one definition for training and use; ffmpeg's own grey differs from it by up to 32 levels.
    """
    weighted = rgb[..., 0] * np.uint32(299) + rgb[..., 1] * np.uint32(587) + rgb[..., 2] * np.uint32(114)
    return ((weighted + np.uint32(500)) // np.uint32(1000)).astype(np.uint8)


def _span(start, seconds):
    """ffmpeg's arguments, before its input, that read a part of it."""
    return (["-ss", f"{start:.6f}"] if start else []) + ([] if seconds is None else ["-t", f"{seconds:.6f}"])


def _mp4_is_cut(path: Path) -> bool:
    """True if an MP4's last box is longer than what is left of the file.

    ffmpeg opens a file whose index is cut off as one with fewer streams, and the advice would be about missing sound.
    """
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:  # the length follows, in 64 bits
                length = int.from_bytes(header[8:16], "big")
            if length < 8:  # 0: to the end of the file; the rest is no box
                return False
            at += length
    return at > size


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


def _too_long(name: str, limits: Limits) -> MediaError:
    return MediaError(f"{name} is longer than {limits.max_seconds:g} s, the limit. Cut out the part you want.")
