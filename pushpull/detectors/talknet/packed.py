"""A residual layer for attacks on a CPU: weights laid out for oneDNN once, sums and ReLUs within the convolutions.

An attack calls the same frozen convolutions hundreds of times. PyTorch's own would bring the weights into oneDNN's
layout at every call, forward and backward, and pass over the activations again for each sum and ReLU. Here the layout
is made once; and back to its input a convolution of stride 1 is one itself, of the weights turned round.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ONE_DNN = torch.ops.mkldnn  # PyTorch's names for oneDNN's operators, those its compiler uses


def packable(x: Tensor) -> bool:
    """Whether (B, C, h, w) ``x`` is something these operators take: float32 on a CPU with oneDNN, no autocast."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
        and hasattr(ONE_DNN, "_convolution_pointwise")
    )


class PackedWeight:
    """A weight (out, in, k, k) laid out for inputs of the shape that it last met: oneDNN's choice depends on it."""

    def __init__(self, weight: Tensor, stride: list[int], padding: list[int]):
        self.weight, self.shape = weight.contiguous(), (padding, stride, [1, 1], 1)
        self.laid_out: tuple[torch.Size, Tensor] | None = None

    def arguments(self, x: Tensor, bias: Tensor | None) -> tuple:
        """What oneDNN's operators take after their inputs."""
        laid_out = self.laid_out  # one look: another thread may lay it out for an input of its own meanwhile
        if laid_out is None or laid_out[0] != x.shape:
            packed = ONE_DNN._reorder_convolution_weight(self.weight, *self.shape, list(x.shape))
            self.laid_out = laid_out = x.shape, packed
        return laid_out[1], bias, *self.shape


class PackedConv:
    """A frozen float32 convolution without groups or dilation, on (B, C, h, w) in channels-last order."""

    def __init__(self, conv: nn.Conv2d):
        self.weight, self.bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
        self.stride, self.padding = list(conv.stride), list(conv.padding)
        self.ahead = PackedWeight(self.weight, self.stride, self.padding)
        self.turned = None
        if self.stride == [1, 1]:
            padding = [size - 1 - pad for size, pad in zip(conv.kernel_size, self.padding, strict=True)]
            self.turned = PackedWeight(self.weight.transpose(0, 1).flip(2, 3), self.stride, padding)

    def __call__(self, x: Tensor, *, relu: bool = False) -> Tensor:
        return ONE_DNN._convolution_pointwise(
            x, *self.ahead.arguments(x, self.bias), "relu" if relu else "none", [], ""
        )

    def onto(self, total: Tensor, x: Tensor, *, relu: bool = False) -> Tensor:
        """``total`` with the convolution of ``x`` added in place."""
        unary = ("relu", [], "") if relu else (None, [], None)
        return ONE_DNN._convolution_pointwise_(total, x, *self.ahead.arguments(x, self.bias), "add", 1.0, *unary)

    def back(self, grad: Tensor, x: Tensor) -> Tensor:
        """The gradient with respect to the input ``x`` (of which the shape alone matters)."""
        if self.turned is not None:
            return ONE_DNN._convolution_pointwise(grad, *self.turned.arguments(grad, None), "none", [], "")
        shape = self.stride, self.padding, [1, 1], False, [0, 0], 1
        return torch.ops.aten.convolution_backward(grad, x, self.weight, None, *shape, [True, False, False])[0]

    def back_onto(self, total: Tensor, grad: Tensor, x: Tensor) -> Tensor:
        """``total`` with :meth:`back` added in place."""
        if self.turned is None:
            return total.add_(self.back(grad, x))
        return ONE_DNN._convolution_pointwise_(
            total, grad, *self.turned.arguments(grad, None), "add", 1.0, None, [], None
        )


class PackedLayer:
    """The convolutions and scales of a folded residual layer, see pushpull.detectors.talknet.fast."""

    def __init__(self, layer: nn.Module):
        self.conv1a, self.conv2a = PackedConv(layer.conv1a), PackedConv(layer.conv2a)
        self.conv1b, self.conv2b = PackedConv(layer.conv1b), PackedConv(layer.conv2b)
        self.downsample = None if layer.downsample is None else PackedConv(layer.downsample)
        self.middle_scale, self.middle_shift, self.scale = layer.outbna.scale, layer.outbna.shift, layer.scale

    def __call__(self, x: Tensor) -> Tensor:
        return _Residual.apply(x.contiguous(memory_format=torch.channels_last), self)

    def __deepcopy__(self, memo):
        return None  # packed tensors cannot be copied; the copy packs its own


class _Residual(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, layer):
        a = layer.conv1a(x, relu=True)
        total = layer.conv2a.onto(x.clone() if layer.downsample is None else layer.downsample(x), a)
        middle = torch.addcmul(layer.middle_shift, total, layer.middle_scale).relu_()
        b = layer.conv1b(middle, relu=True)
        y = layer.conv2b.onto(total.mul_(layer.scale), b, relu=True)
        ctx.layer = layer
        ctx.save_for_backward(x, a, middle, b, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        layer = ctx.layer
        x, a, middle, b, y = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grad.contiguous(memory_format=torch.channels_last), y, 0)
        inner = layer.conv1b.back(_where_positive(b, layer.conv2b.back(grad, b)), middle)
        grad = grad.mul_(layer.scale).addcmul_(_where_positive(middle, inner), layer.middle_scale)
        inner = _where_positive(a, layer.conv2a.back(grad, a))
        if layer.downsample is not None:
            grad = layer.downsample.back(grad, x)
        return layer.conv1a.back_onto(grad, inner, x), None


def _where_positive(output, grad):
    """``grad`` where a ReLU's ``output`` is positive and 0 elsewhere, in place."""
    return torch.ops.aten.threshold_backward(grad, output, 0, grad_input=grad)
