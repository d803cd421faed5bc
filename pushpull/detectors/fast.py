"""A private copy of Light-ASD or LR-ASD made for attacks: the same outputs and input gradients, sooner.

Normalisations are folded into the convolutions before them. Activations lie with their channels last, as
(B, T, h, w, C): seen as B T pictures a convolution across the picture is a two-dimensional one, and seen as B
"pictures" of T by h w pixels so is one along time, without a copy in between.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pushpull.detectors.lr_asd import Gate
from pushpull.detectors.streams import AudioEncoder, Block, TwoStreams, VisualEncoder


class FoldedStep(nn.Module):
    """A convolution with its normalisation folded in, and the ReLU after it, on (N, C, h, w) with channels last.

    One of stride 2 becomes one of stride 1 that reads :func:`halved` pictures: back to its few inputs that is faster.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module):
        super().__init__()
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        padding = conv.padding
        self.along_time = weight.ndim == 5 and weight.shape[2] > 1
        if weight.ndim == 5:  # (out, in, t, k, k), with a size of 1 in time or across the picture
            weight = weight[..., 0] if self.along_time else weight[:, :, 0]
            padding = padding[:2] if self.along_time else padding[1:]
        if conv.stride[-1] == 2:
            weight, padding = _of_halved(weight), (1, 1)
        outputs, inputs, *size = weight.shape
        self.conv = nn.Conv2d(inputs, outputs, size, padding=padding, device="meta")
        self.conv.weight = nn.Parameter(weight.detach().clone(memory_format=torch.channels_last), False)
        self.conv.bias = nn.Parameter(bias.detach().clone(), False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.conv(x))


def halved(pictures: Tensor) -> Tensor:
    """(N, 1, h, w) -> (N, 4, h / 2, w / 2): each square of four pixels becomes four channels."""
    return F.pixel_unshuffle(pictures, 2)


def _of_halved(weight: Tensor) -> Tensor:
    """The kernel (out, 4, 3, 3) on halved pictures that does what (out, 1, k, k) of stride 2, k of 3 or 5, does."""
    size = weight.shape[-1]
    before = (5 - size) // 2
    return F.pixel_unshuffle(F.pad(weight, (before, before + 1) * 2), 2)


class FoldedBlock(nn.Module):
    """:class:`Block` in evaluation mode, on (N, C, h, w); for faces N is B T."""

    def __init__(self, block: Block):
        super().__init__()
        branches, after = block.steps()
        self.branches = nn.ModuleList(nn.ModuleList(FoldedStep(*step) for step in branch) for branch in branches)
        self.after = nn.ModuleList(FoldedStep(*step) for step in after)

    def forward(self, x: Tensor, frames: int = 1) -> Tensor:
        """``frames`` is T, for faces."""
        x = x.contiguous(memory_format=torch.channels_last)  # once for every branch
        first, *others = (_run(branch, x, frames) for branch in self.branches)
        return _run(self.after, sum(others, first), frames)


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


def _run(steps: nn.ModuleList, x: Tensor, frames: int) -> Tensor:
    for step in steps:
        x = _as_pictures(step(_as_clips(x, frames)), x.shape[2], frames) if step.along_time else step(x)
    return x


class FoldedVisualEncoder(nn.Module):
    """:class:`VisualEncoder` in evaluation mode."""

    def __init__(self, encoder: VisualEncoder):
        super().__init__()
        self.block1, self.block2, self.block3 = (
            FoldedBlock(block) for block in (encoder.block1, encoder.block2, encoder.block3)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        clips, frames = pictures.shape[:2]
        x = halved(pictures.flatten(0, 1)[:, None])
        x = F.max_pool2d(self.block1(x, frames), 3, 2, 1)
        x = F.max_pool2d(self.block2(x, frames), 3, 2, 1)
        return self.block3(x, frames).amax(dim=(2, 3)).unflatten(0, (clips, frames))


def fast_copy(detector: TwoStreams) -> TwoStreams:
    """Copy ``detector`` for attacks; the original is untouched and shares nothing with it.

    The copy is in evaluation mode with frozen parameters (only inputs get gradients). It is called as the original,
    ``fix`` included, and agrees with it to float32 rounding. A copy made for attacks gives a copy of itself.
    """
    fast = copy.deepcopy(detector).eval()
    if isinstance(fast.model.visualEncoder, FoldedVisualEncoder):
        return fast
    fast.model.visualEncoder = FoldedVisualEncoder(fast.model.visualEncoder)
    for module in list(fast.modules()):
        if isinstance(module, AudioEncoder):
            for name in ("block1", "block2", "block3"):
                setattr(module, name, FoldedBlock(getattr(module, name)))
        elif isinstance(module, Gate):
            _fold(module)
    return fast.requires_grad_(False).eval()


def _fold(gate: Gate) -> None:
    norm = gate.bn
    gate.attention.weight, gate.attention.bias = fuse_conv_bn_weights(
        gate.attention.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    gate.bn = nn.Identity()
