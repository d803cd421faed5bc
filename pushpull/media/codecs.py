"""Videos as people keep and send them: lossy, and the same few settings wherever the package writes one."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from pushpull.media.stimulus import encode, quantise_audio

# H.264 and VP9 in the form that every player shows: even sides, studio range, BT.709.
ORDINARY = ("-vf", "pad=w='ceil(iw/2)*2':h='ceil(ih/2)*2',setsar=1,scale=out_color_matrix=bt709:out_range=tv")
TAGS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")


@dataclass(frozen=True)
class Codec:
    """How a video file is encoded.

    Args:
        name: as users give it, "h264-23".
        title: for people.
        container: "mp4" or "webm"; also the file's ending.
        options: ffmpeg's, for picture and sound.
    """

    name: str
    title: str
    container: str
    options: tuple[str, ...]


def h264(crf: int) -> Codec:
    """H.264 at a constant rate factor of 0..51 (lower is better and larger; x264's default is 23), AAC at 96 kbit/s."""
    video = ("-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-pix_fmt", "yuv420p", "-g", "25")
    options = (*ORDINARY, *video, *TAGS, "-c:a", "aac", "-b:a", "96k")
    return Codec(f"h264-{crf}", f"H.264 CRF {crf}, AAC 96k", "mp4", options)


def vp9(crf: int) -> Codec:
    """VP9 at a constant quality of 0..63 (lower is better and larger; 31 is usual for the web), Opus at 96 kbit/s."""
    video = ("-c:v", "libvpx-vp9", "-crf", str(crf), "-b:v", "0", "-deadline", "good", "-cpu-used", "4")
    options = (*ORDINARY, *video, "-pix_fmt", "yuv420p", "-row-mt", "1", *TAGS, "-c:a", "libopus", "-b:a", "96k")
    return Codec(f"vp9-{crf}", f"VP9 CRF {crf}, Opus 96k", "webm", options)


CODECS: dict[str, Codec] = {codec.name: codec for codec in (h264(18), h264(23), h264(28), vp9(31))}


def write_video(
    path: str | os.PathLike, frames: Iterable[np.ndarray], audio: np.ndarray, codec: Codec, *, timeout: float = 600.0
) -> Path:
    """Write pictures and sound as an ordinary, lossy video file.

    Args:
        path: where to; replaced if it exists.
        frames: (H, W, 3) uint8 RGB or (H, W) uint8 grey pictures at 25 fps, all of one size; an array or any iterator.
        audio: (N,) float full scale or int16 at 16 kHz.
        codec: of :data:`CODECS`, or :func:`h264` or :func:`vp9` at another rate.
        timeout: seconds that ffmpeg may take.

    Raises:
        ValueError: shapes or types are not those above.
        MediaError: ffmpeg failed.
    """
    path = Path(path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("there are no frames to write")
    if first.dtype != np.uint8 or first.ndim not in (2, 3) or (first.ndim == 3 and first.shape[2] != 3):
        raise ValueError(f"frames must be (H, W, 3) or (H, W) uint8, got {first.shape} {first.dtype}")
    samples = audio if audio.dtype == np.int16 else quantise_audio(audio)

    def chunks():
        for frame in chain([first], frames):
            if frame.shape != first.shape or frame.dtype != np.uint8:
                raise ValueError(f"all frames must be {first.shape} uint8, got {frame.shape} {frame.dtype}")
            # ffmpeg's way from grey to studio range loses two grey levels; its way from RGB loses half a one.
            yield (frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=-1)).tobytes()

    encode(path, chunks(), "rgb24", first.shape[:2], samples, codec.options, timeout, container=codec.container)
    return path


def write_preview(
    path: str | os.PathLike, frames: Iterable[np.ndarray], audio: np.ndarray, *, crf: int = 18, timeout: float = 600.0
) -> Path:
    """Write a video that every browser plays, H.264 and AAC in MP4: for looking at, not for measuring.

    Args:
        path, frames, audio, timeout: as :func:`write_video`.
        crf: 0..51, lower is better and larger.

    Raises:
        ValueError, MediaError: as :func:`write_video`.
    """
    return write_video(path, frames, audio, h264(crf), timeout=timeout)
