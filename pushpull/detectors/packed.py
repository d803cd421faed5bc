"""A folded block for attacks on a CPU: weights laid out for oneDNN once, ReLUs within convolutions, sums in place."""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pushpull.detectors.talknet.packed import PackedConv

threshold_backward = torch.ops.aten.threshold_backward


def as_clips(x: Tensor, frames: int) -> Tensor:
    """(B T, C, h, w) -> (B, C, T, h w), both with channels last."""
    pictures, channels, height, width = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(pictures // frames, frames, height * width, channels)
    return flat.permute(0, 3, 1, 2)


def as_pictures(x: Tensor, height: int, frames: int) -> Tensor:
    """(B, C, T, h w) -> (B T, C, h, w), both with channels last."""
    clips, channels, _, pixels = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(clips * frames, height, pixels // height, channels)
    return flat.permute(0, 3, 1, 2)


class PackedStep:
    """A convolution and its ReLU, on (N, C, h, w) with channels last."""

    def __init__(self, step: nn.Module):
        self.conv, self.along_time = PackedConv(step.conv), step.along_time

    def __call__(self, x: Tensor, frames: int) -> Tensor:
        if not self.along_time:
            return self.conv(x, relu=True)
        return as_pictures(self.conv(as_clips(x, frames), relu=True), x.shape[2], frames)

    def back(self, grad: Tensor, x: Tensor, frames: int) -> Tensor:
        """From the gradient before the ReLU to that of the input ``x``."""
        if not self.along_time:
            return self.conv.back(grad, x)
        return as_pictures(self.conv.back(as_clips(grad, frames), as_clips(x, frames)), x.shape[2], frames)


class PackedBlock:
    """The convolutions of a folded block, see pushpull.detectors.fast."""

    def __init__(self, block: nn.Module):
        self.branches = [[PackedStep(step) for step in branch] for branch in block.branches]
        self.after = [PackedStep(step) for step in block.after]

    def __call__(self, x: Tensor, frames: int) -> Tensor:
        return _Block.apply(x.contiguous(memory_format=torch.channels_last), self, frames)

    def __deepcopy__(self, memo):
        return None  # packed tensors cannot be copied; the copy packs its own


class _Block(torch.autograd.Function):
    """Saves the input, and the outputs of every step in the order in which they are computed."""

    @staticmethod
    def forward(ctx, x, block, frames):
        saved, total = [x], None
        for branch in block.branches:
            y = _ahead(branch, x, frames, saved)
            total = y if total is None else total + y
        y = total
        if block.after:
            saved.append(total)
            y = _ahead(block.after, total, frames, saved)
        ctx.block, ctx.frames = block, frames
        ctx.save_for_backward(*saved)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        block, frames = ctx.block, ctx.frames
        x, *outputs = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        if block.after:
            inputs_and_outputs = [outputs.pop() for _ in range(len(block.after) + 1)][::-1]
            grad = _back(block.after, grad, inputs_and_outputs, frames)
        total = None
        for branch in block.branches:
            own, outputs = outputs[: len(branch)], outputs[len(branch) :]
            found = _back(branch, grad, [x, *own], frames)
            total = found if total is None else total.add_(found)
        return total, None, None


def _ahead(steps: list[PackedStep], x: Tensor, frames: int, saved: list[Tensor]) -> Tensor:
    for step in steps:
        x = step(x, frames)
        saved.append(x)
    return x


def _back(steps: list[PackedStep], grad: Tensor, tensors: list[Tensor], frames: int) -> Tensor:
    """``tensors`` are the first step's input, and each step's output. ``grad`` stays as it is."""
    grad = threshold_backward(grad, tensors[-1], 0)
    for index in reversed(range(len(steps))):
        grad = steps[index].back(grad, tensors[index], frames)
        if index:  # ours by now, so it may be changed
            grad = threshold_backward(grad, tensors[index], 0, grad_input=grad)
    return grad
