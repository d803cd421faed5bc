"""Convolutions that look across the picture or along time, never both at once, as two-dimensional ones.

Activations lie with their channels last, as (B, T, h, w, C). Seen as B T pictures a convolution across the picture is a
two-dimensional one, and seen as B "pictures" of T by h w pixels so is one along time, without a copy in between: twice
as fast as Conv3d on a processor, and the same numbers to rounding.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def halved(pictures: Tensor) -> Tensor:
    """(N, 1, h, w) -> (N, 4, h / 2, w / 2), channels last: each square of four pixels becomes four channels."""
    return F.pixel_unshuffle(pictures, 2).contiguous(memory_format=torch.channels_last)


def flat_kernel(conv: nn.Module, weight: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The kernel and padding of the two-dimensional convolution that does what ``conv`` does with ``weight``.

    One of stride 2 becomes one of stride 1 that reads :func:`halved` pictures: back to its few inputs that is faster.
    """
    padding = tuple(conv.padding)
    if weight.ndim == 5:  # (out, in, t, k, k), with a size of 1 in time or across the picture
        along = along_time(conv)
        weight = weight[..., 0] if along else weight[:, :, 0]
        padding = padding[:2] if along else padding[1:]
    if conv.stride[-1] == 2:
        return _of_halved(weight), (1, 1)
    return weight, padding


def along_time(conv: nn.Module) -> bool:
    """Whether ``conv`` is a Conv3d along time: :func:`run_along` runs what it becomes."""
    return conv.weight.ndim == 5 and conv.weight.shape[2] > 1


def run_along(step: Callable[[Tensor], Tensor], x: Tensor, frames: int) -> Tensor:
    """``step``, a two-dimensional convolution along time and what follows it, on (B T, C, h, w); T is ``frames``."""
    return _as_pictures(step(_as_clips(x, frames)), x.shape[2], frames)


def _as_clips(x: Tensor, frames: int) -> Tensor:
    """(B T, C, h, w) -> (B, C, T, h w), both with channels last."""
    pictures, channels, height, width = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(pictures // frames, frames, height * width, channels)
    return flat.permute(0, 3, 1, 2)


def _as_pictures(x: Tensor, height: int, frames: int) -> Tensor:
    """(B, C, T, h w) -> (B T, C, h, w), both with channels last."""
    clips, channels, _, pixels = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(clips * frames, height, pixels // height, channels)
    return flat.permute(0, 3, 1, 2)


def _of_halved(weight: Tensor) -> Tensor:
    """The kernel (out, 4, 3, 3) on halved pictures that does what (out, 1, k, k) of stride 2, k of 3 or 5, does."""
    size = weight.shape[-1]
    before = (5 - size) // 2
    return F.pixel_unshuffle(F.pad(weight, (before, before + 1) * 2), 2)
