"""Differentiable stand-ins for what happens to a clip on its way: blurred, rounded, resized, compressed, delayed.

A stand-in takes {"audio": (rows, N) full scale, "video": (rows, T, H, W) grey levels} and a generator of random
numbers, and gives the same back as it may come out; an input that it is not about passes as it is. What it draws, it
draws once for all rows. See :mod:`pushpull.attacks.eot` for how attacks go through them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pushpull.attacks.budget import STORAGE_STEP, as_stored
from pushpull.clip import SAMPLE_RATE, SAMPLES_PER_FRAME

Tensors = dict[str, Tensor]
StandIn = Callable[[Tensors, np.random.Generator], Tensors]

BLOCK = 8  # pixels, side of the blocks whose frequencies a codec rounds
TAPS = 101  # of the low-pass filter; 6 ms of sound


def through(stand_ins: tuple[StandIn, ...], inputs: Tensors, rng: np.random.Generator) -> Tensors:
    """One stand-in after the other."""
    for stand_in in stand_ins:
        inputs = stand_in(inputs, rng)
    return inputs


@dataclass(frozen=True)
class Rounded:
    """8-bit pictures and 16-bit sound; the gradient passes as if nothing had been rounded (straight-through)."""

    def __call__(self, inputs: Tensors, rng: np.random.Generator) -> Tensors:
        return inputs | {
            name: _straight(inputs[name], as_stored(name, inputs[name])) for name in STORAGE_STEP if name in inputs
        }


@dataclass(frozen=True)
class Blurred:
    """Pictures under a Gaussian whose standard deviation is drawn from ``low`` to ``high`` pixels."""

    low: float = 0.3
    high: float = 1.0

    def __call__(self, inputs: Tensors, rng: np.random.Generator) -> Tensors:
        sigma = rng.uniform(self.low, self.high)
        if "video" not in inputs or sigma <= 0:
            return inputs
        return inputs | {"video": _blur(inputs["video"], sigma)}


@dataclass(frozen=True)
class Resized:
    """Pictures at a side drawn from ``low`` to ``high`` pixels, and back at their own."""

    low: int = 84
    high: int = 224

    def __call__(self, inputs: Tensors, rng: np.random.Generator) -> Tensors:
        side = int(rng.integers(self.low, self.high, endpoint=True))
        if "video" not in inputs:
            return inputs
        video = inputs["video"]
        return inputs | {"video": _resize(_resize(video, side), video.shape[-2:])}


@dataclass(frozen=True, eq=False)
class Pasted:
    """A change of the face that was put into a wide picture, where the face is ``side`` pixels wide, and cut out again.

    What a smaller face cannot hold is lost. The face itself is left alone: only what was changed is resized.

    Args:
        clean: (1, T, H, W) the face as it was.
        side: pixels.
        inside: what happens to the wide picture meanwhile.
    """

    clean: Tensor
    side: int
    inside: tuple[StandIn, ...] = ()

    def __call__(self, inputs: Tensors, rng: np.random.Generator) -> Tensors:
        if "video" not in inputs:
            return inputs
        clean = self.clean.to(inputs["video"])
        there, size = _resize(clean, self.side), clean.shape[-2:]
        scene = there + _resize(inputs["video"] - clean, self.side)
        scene = through(self.inside, {"video": scene}, rng)["video"]
        return inputs | {"video": clean + _resize(scene - there, size)}


@dataclass(frozen=True)
class Reframed:
    """Pictures whose cut moves by up to ``pixels`` and grows by up to ``scale``: a face found again, not quite there.

    One cut for the whole clip, as face tracks are steady.
    """

    pixels: float = 1.0
    scale: float = 0.02

    def __call__(self, inputs: Tensors, rng: np.random.Generator) -> Tensors:
        across, down = rng.uniform(-self.pixels, self.pixels, 2)
        zoom = 1 + rng.uniform(-self.scale, self.scale)
        if "video" not in inputs:
            return inputs
        video = inputs["video"]
        height, width = video.shape[-2:]
        theta = video.new_tensor([[zoom, 0, 2 * across / width], [0, zoom, 2 * down / height]])
        grid = F.affine_grid(theta.expand(len(video), 2, 3), [*video.shape], align_corners=False)
        return inputs | {"video": F.grid_sample(video, grid, padding_mode="border", align_corners=False)}


@dataclass(frozen=True)
class Compressed:
    """Pictures as a codec leaves them: the frequencies of 8 x 8 blocks rounded to multiples of a step.

    The step is drawn from ``low`` to ``high`` grey levels (x264 at quality 18, 23, 28: about 5, 9, 16). Where blocks
    begin is drawn as well: a codec's grid is not that of the face. The gradient is that of Shin and Song's soft
    rounding (2017), round(x) + (x - round(x))^3, plus ``leak`` of the straight-through one.
    """

    low: float = 5.0
    high: float = 12.0
    leak: float = 0.1

    def __call__(self, inputs: Tensors, rng: np.random.Generator) -> Tensors:
        step = float(rng.uniform(self.low, self.high))
        left, top = (int(start) for start in rng.integers(0, BLOCK, 2))
        if "video" not in inputs or step <= 0:
            return inputs
        video = inputs["video"]
        rows, frames, height, width = video.shape
        right, bottom = -(left + width) % BLOCK, -(top + height) % BLOCK
        padded = F.pad(video, (left, right, top, bottom), mode="replicate")
        basis = _cosines(video)
        blocks = padded.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK)  # (rows, T, down, across, 8, 8)
        found = basis @ blocks @ basis.T / step
        nearest = found.detach().round()
        soft = nearest + (found - nearest) ** 3
        soft = soft + self.leak * (found - found.detach())
        back = basis.T @ (step * _straight(soft, nearest)) @ basis
        down, across = back.shape[2:4]
        whole = back.transpose(3, 4).reshape(rows, frames, down * BLOCK, across * BLOCK)
        return inputs | {"video": whole[..., top : top + height, left : left + width]}


@dataclass(frozen=True)
class Delayed:
    """Sound that comes up to ``frames`` earlier or later than the picture, in steps of ``step`` samples."""

    frames: int = 1
    step: int = SAMPLES_PER_FRAME

    def __call__(self, inputs: Tensors, rng: np.random.Generator) -> Tensors:
        most = self.frames * SAMPLES_PER_FRAME // self.step
        late = int(rng.integers(-most, most, endpoint=True)) * self.step
        if "audio" not in inputs or late == 0:
            return inputs
        audio = inputs["audio"]
        length = audio.shape[1]
        late = max(-length, min(length, late))
        moved = F.pad(audio[:, : length - late], (late, 0)) if late > 0 else F.pad(audio[:, -late:], (0, -late))
        return inputs | {"audio": moved}


@dataclass(frozen=True)
class BandLimited:
    """Sound without what lies above a frequency drawn from ``low`` to ``high`` Hz: a linear-phase filter, in step."""

    low: float = 4000.0
    high: float = 7500.0

    def __call__(self, inputs: Tensors, rng: np.random.Generator) -> Tensors:
        hertz = rng.uniform(self.low, self.high)
        if "audio" not in inputs:
            return inputs
        audio = inputs["audio"]
        kernel = _low_pass(hertz).to(audio)
        return inputs | {"audio": F.conv1d(audio[:, None], kernel[None, None], padding=TAPS // 2)[:, 0]}


@dataclass(frozen=True, eq=False)
class Actual:
    """The real thing, which has no gradient, with that of stand-ins (Athalye et al. 2018, BPDA).

    Args:
        send: {name: (rows, ...)} -> what really comes back, of the same shapes.
        like: the stand-ins whose gradient is taken.
    """

    send: Callable[[Tensors], Tensors]
    like: tuple[StandIn, ...] = ()

    def __call__(self, inputs: Tensors, rng: np.random.Generator) -> Tensors:
        near = through(self.like, inputs, rng)
        real = self.send({name: values.detach() for name, values in inputs.items()})
        return {name: _straight(values, real[name].to(values)) for name, values in near.items()}


def _straight(near: Tensor, value: Tensor) -> Tensor:
    """``value`` to the last bit, with the gradient of ``near``."""
    return _Straight.apply(near, value)


class _Straight(torch.autograd.Function):
    # near + (value - near).detach() would be off by a rounding error.
    @staticmethod
    def forward(context, near, value):
        return value.detach().clone()

    @staticmethod
    def backward(context, gradient):
        return gradient, None


def _resize(video: Tensor, size) -> Tensor:
    """(rows, T, H, W) at ``size``, a side or (H, W); bilinear, widened when it shrinks so that nothing aliases."""
    size = (size, size) if isinstance(size, int) else tuple(size)
    return F.interpolate(video, size=size, mode="bilinear", antialias=True)


def _blur(video: Tensor, sigma: float) -> Tensor:
    reach = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=video.dtype, device=video.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    pictures = video.flatten(0, 1)[:, None]
    pictures = F.conv2d(F.pad(pictures, (reach, reach, 0, 0), mode="replicate"), kernel.reshape(1, 1, 1, -1))
    pictures = F.conv2d(F.pad(pictures, (0, 0, reach, reach), mode="replicate"), kernel.reshape(1, 1, -1, 1))
    return pictures[:, 0].reshape(video.shape)


def _cosines(like: Tensor) -> Tensor:
    """(8, 8) orthonormal DCT-II: rows are frequencies."""
    pixel = torch.arange(BLOCK, dtype=torch.float64)
    basis = torch.cos(math.pi * (2 * pixel + 1) * pixel[:, None] / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return basis.to(like)


def _low_pass(hertz: float) -> Tensor:
    """(TAPS,) windowed sinc that passes constants unchanged."""
    offsets = torch.arange(TAPS, dtype=torch.float64) - TAPS // 2
    kernel = torch.sinc(2 * hertz / SAMPLE_RATE * offsets) * torch.hann_window(
        TAPS, periodic=False, dtype=torch.float64
    )
    return kernel / kernel.sum()
