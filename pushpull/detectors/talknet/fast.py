"""A private copy of a model made for attacks: the same outputs and input gradients, sooner."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pushpull.detectors.talknet.audio import AudioEncoder, SEBlock
from pushpull.detectors.talknet.network import TalkNet
from pushpull.detectors.talknet.visual import ResidualLayer, ResNet, VisualConv1D, VisualFrontend


class ScaleShift(nn.Module):
    """What is left of a batch normalisation in evaluation mode that follows no convolution."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        self.register_buffer("scale", scale[:, None, None].detach().clone())
        self.register_buffer("shift", (norm.bias - norm.running_mean * scale)[:, None, None].detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale)


class FoldedResidualLayer(nn.Module):
    """:class:`ResidualLayer` in evaluation mode, normalisations folded.

    The last one scales conv2b's sum with the running total: its scale goes into conv2b, and into the total as
    they are added.
    """

    def __init__(self, layer: ResidualLayer):
        super().__init__()
        self.conv1a = _folded(layer.conv1a, layer.bn1a)
        self.conv2a = layer.conv2a
        self.downsample = None if layer.stride == 1 else layer.downsample
        self.outbna = ScaleShift(layer.outbna)
        self.conv1b = _folded(layer.conv1b, layer.bn1b)
        self.conv2b = _folded(layer.conv2b, layer.outbnb)
        self.register_buffer("scale", ScaleShift(layer.outbnb).scale)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        total = self.conv2a(F.relu_(self.conv1a(x))) + shortcut
        x = self.conv2b(F.relu_(self.conv1b(F.relu_(self.outbna(total)))))
        return F.relu_(torch.addcmul(x, total, self.scale))


def attackable(model: TalkNet) -> TalkNet:
    """Copy ``model`` for attacks; the original is untouched and shares nothing with it.

    The copy is in evaluation mode with frozen parameters (only inputs get gradients), batch normalisations
    folded into the convolutions before them, and weights in channels-last order. It is called as the original,
    ``fix`` included, and agrees with it to float32 rounding. A copy made for attacks gives a copy of itself.
    """
    fast = copy.deepcopy(model).eval()
    if any(isinstance(module, FoldedResidualLayer) for module in fast.modules()):
        return fast
    for module in list(fast.modules()):
        match module:
            case VisualFrontend():
                _fold(module.frontend3D, "0", "1")
            case ResNet():
                for name, layer in list(module.named_children()):
                    setattr(module, name, FoldedResidualLayer(layer))
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


def _folded(conv: nn.Module, norm: nn.Module) -> nn.Module:
    """``conv`` with the normalisation's scale in its weights and its shift in its bias."""
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return conv


def _fold(parent: nn.Module, conv: str, norm: str) -> None:
    setattr(parent, conv, _folded(getattr(parent, conv), getattr(parent, norm)))
    setattr(parent, norm, nn.Identity())
