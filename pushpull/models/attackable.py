"""A private copy of a model made for attacks: the same outputs and input gradients, sooner."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pushpull.models.audio import AudioEncoder, SEBlock
from pushpull.models.talknet import TalkNet
from pushpull.models.visual import ResidualLayer, VisualConv1D, VisualFrontend


class ScaleShift(nn.Module):
    """What is left of a batch normalisation in evaluation mode that follows no convolution."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        self.register_buffer("scale", scale[:, None, None].detach().clone())
        self.register_buffer("shift", (norm.bias - norm.running_mean * scale)[:, None, None].detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale)


def attackable(model: TalkNet) -> TalkNet:
    """Copy ``model`` for attacks; the original is untouched and shares nothing with it.

    The copy is in evaluation mode with frozen parameters (only inputs get gradients), batch normalisations
    folded into the convolutions before them, and weights in channels-last order. It is called as the original,
    ``fix`` included, and agrees with it to float32 rounding.
    """
    fast = copy.deepcopy(model).eval().requires_grad_(False)
    for module in fast.modules():
        match module:
            case VisualFrontend():
                _fold(module.frontend3D, "0", "1")
            case ResidualLayer():
                _fold(module, "conv1a", "bn1a")
                _fold(module, "conv1b", "bn1b")
                module.outbna = ScaleShift(module.outbna)
                module.outbnb = ScaleShift(module.outbnb)
            case VisualConv1D():
                _fold(module.net, "0", "1")
            case AudioEncoder():
                _fold(module, "conv1", "bn1")
            case SEBlock():
                module.bn1 = ScaleShift(module.bn1)
                _fold(module, "conv2", "bn2")
                if module.downsample is not None:
                    _fold(module.downsample, "0", "1")
    for module in fast.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    return fast.requires_grad_(False)


def _fold(parent: nn.Module, conv_name: str, norm_name: str) -> None:
    """Put the normalisation's scale into the convolution's weights and its shift into the bias."""
    conv, norm = getattr(parent, conv_name), getattr(parent, norm_name)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    setattr(parent, norm_name, nn.Identity())
