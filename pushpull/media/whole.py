"""A short video in memory at once, and the one definition of grey."""

import os
from dataclasses import dataclass

import numpy as np

from pushpull.media.ffmpeg import Limits
from pushpull.media.pictures import read_frames
from pushpull.media.sound import read_audio


@dataclass(frozen=True, eq=False)
class Media:
    """A short video in memory: frames (T, H, W, 3) uint8 RGB at 25 fps, audio (N,) float32 full scale at 16 kHz."""

    frames: np.ndarray
    audio: np.ndarray


def read_media(path: str | os.PathLike, *, limits: Limits = Limits(max_seconds=60)) -> Media:
    """All of a short video at once; see :func:`pushpull.media.read_frames` and :func:`pushpull.media.read_audio`."""
    return Media(frames=np.stack(list(read_frames(path, limits=limits))), audio=read_audio(path, limits=limits))


def grey(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB -> (...) uint8 grey levels, 0.299 R + 0.587 G + 0.114 B rounded.

    The one definition for training and use; ffmpeg's own grey differs from it by up to 32 levels.
    """
    weighted = rgb[..., 0] * np.uint32(299) + rgb[..., 1] * np.uint32(587) + rgb[..., 2] * np.uint32(114)
    return ((weighted + np.uint32(500)) // np.uint32(1000)).astype(np.uint8)
