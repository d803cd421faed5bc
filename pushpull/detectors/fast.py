"""A private copy of Light-ASD or LR-ASD made for attacks: the same outputs and input gradients, sooner.

Normalisations are folded into the convolutions before them, and parameters are frozen.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pushpull.detectors.flat import along_time, flat_kernel, run_along
from pushpull.detectors.lr_asd import Gate
from pushpull.detectors.streams import AudioEncoder, Block, TwoStreams, VisualEncoder


class FoldedStep(nn.Module):
    """A convolution with its normalisation folded in, and the ReLU after it, on (N, C, h, w) with channels last."""

    def __init__(self, conv: nn.Module, norm: nn.Module):
        super().__init__()
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        self.along_time = along_time(conv)
        weight, padding = flat_kernel(conv, weight)
        outputs, inputs, *size = weight.shape
        self.conv = nn.Conv2d(inputs, outputs, size, padding=padding, device="meta")
        self.conv.weight = nn.Parameter(weight.detach().clone(memory_format=torch.channels_last), False)
        self.conv.bias = nn.Parameter(bias.detach().clone(), False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.conv(x))


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


def _run(steps: nn.ModuleList, x: Tensor, frames: int) -> Tensor:
    for step in steps:
        x = run_along(step, x, frames) if step.along_time else step(x)
    return x


def fast_copy(detector: TwoStreams) -> TwoStreams:
    """Copy ``detector`` for attacks; the original is untouched and shares nothing with it.

    The copy is in evaluation mode with frozen parameters (only inputs get gradients). It is called as the original,
    ``fix`` included, and agrees with it to float32 rounding. A copy made for attacks gives a copy of itself.
    """
    fast = copy.deepcopy(detector).eval()
    if isinstance(fast.model.visualEncoder.block1, FoldedBlock):
        return fast
    for module in list(fast.modules()):
        if isinstance(module, AudioEncoder | VisualEncoder):
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
