"""How tensors lie in a checkpoint's file: as they are, as 16-bit floats, or as 8-bit integers with a scale a channel.

Eight bits (Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference", per-channel weights)
make a file a quarter of its size in float32. They are a way to store: a loaded model computes in float32.
"""

import torch
from torch import Tensor

STORED = ("float32", "float16", "int8")
SCALE = "scales."  # before the name of the tensor whose channels it belongs to
LEVELS = 127
SMALL = 10_000  # values of a tensor, below which there is nothing to save: the heads, depthwise kernels
MANTISSA = 2**11  # a scale has 11 bits, so that its products with 8 are exact in float32: stored twice is stored once


def pack(state: dict[str, Tensor], weights: str) -> dict[str, Tensor]:
    """What goes into the file for ``state``.

    Args:
        state: tensors by name, on the CPU.
        weights: of STORED. "float16" keeps vectors, among them running variances, and what 16 bits cannot hold in
            float32; "int8" does the same to all but matrices and kernels of at least 10,000 values, which become
            round(w / s), where the s of each output is about its largest value / 127.

    Raises:
        ValueError: ``weights`` is none of these.
    """
    if weights not in STORED:
        raise ValueError(f"weights are stored as {', '.join(STORED)}, got {weights!r}")
    packed = {}
    for name, tensor in state.items():
        if weights == "float32" or tensor.ndim < 2 or not tensor.is_floating_point() or not tensor.isfinite().all():
            packed[name] = tensor
        elif weights == "int8" and tensor.numel() >= SMALL:
            scale = _scale(tensor)
            packed[SCALE + name] = scale
            packed[name] = (tensor.float() / _along(scale, tensor)).round().to(torch.int8)
        else:
            packed[name] = tensor if tensor.abs().max() > torch.finfo(torch.float16).max else tensor.half()
    return packed


def unpack(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, those with a scale as float32, others as they were stored.

    Raises:
        ValueError: a scale belongs to nothing in the file, or not to the tensor that it names.
    """
    state = {name: tensor for name, tensor in stored.items() if not name.startswith(SCALE)}
    for name, scale in stored.items():
        if name.startswith(SCALE):
            whole = state.get(name.removeprefix(SCALE))
            if whole is None or whole.dtype != torch.int8 or scale.shape != whole.shape[:1]:
                raise ValueError(f"{name} belongs to no 8-bit tensor of as many channels")
            state[name.removeprefix(SCALE)] = whole.float() * _along(scale, whole)
    return state


def _scale(tensor: Tensor) -> Tensor:
    """(channels,) float32; 1 for a channel of zeros."""
    largest = tensor.float().flatten(1).abs().amax(dim=1) / LEVELS
    mantissa, exponent = torch.frexp(largest)
    rounded = torch.ldexp((mantissa * MANTISSA).ceil() / MANTISSA, exponent)
    return torch.where(largest > 0, rounded, 1.0)


def _along(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.reshape(-1, *[1] * (tensor.ndim - 1))
