"""The visual encoder: a spatio-temporal stem and ResNet per frame, then temporal convolutions.

Attribute names (frontend3D, conv1a, outbna, ...) are the official state dict's, so that its tensors load unchanged.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

STEM_FRAMES = 5  # frames the stem sees at once
# Of the stem's output in a span encoded at once in evaluation mode: 256 frames of the full size, which keeps about 4 MB
# per frame for the backward pass, some 4,200 of lite.
SPAN_VALUES = 57_100_000
EARLY_LAYERS = 2  # residual layers whose activations are large, and weights small, enough for cached spans
CACHED_VALUES = 5_500_000  # of the stem's output per cached span, 22 MB: 25 frames of the full size
NORM = {"momentum": 0.01, "eps": 1e-3}


class ResidualLayer(nn.Module):
    """Two pre-activated residual pairs; the second adds to the sum *before* its normalisation.

    With stride 1 the shortcut is the identity: ``downsample`` is then unused and exists because official
    checkpoints hold it.
    """

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1a = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.bn1a = nn.BatchNorm2d(width, **NORM)
        self.conv2a = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.downsample = nn.Conv2d(before, width, 1, stride=stride, bias=False)
        self.outbna = nn.BatchNorm2d(width, **NORM)
        self.conv1b = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1b = nn.BatchNorm2d(width, **NORM)
        self.conv2b = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.outbnb = nn.BatchNorm2d(width, **NORM)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.stride == 1 else self.downsample(x)
        total = self.conv2a(F.relu_(self.bn1a(self.conv1a(x)))) + shortcut
        x = F.relu_(self.outbna(total))
        x = self.conv2b(F.relu_(self.bn1b(self.conv1b(x))))
        return F.relu_(self.outbnb(x + total))


class ResNet(nn.Module):
    """layer1, layer2, ... of the visual front-end."""

    def __init__(self, widths: tuple[int, ...], strides: tuple[int, ...]):
        super().__init__()
        for index, stride in enumerate(strides):
            self.add_module(f"layer{index + 1}", ResidualLayer(widths[index], widths[index + 1], stride))

    def layers(self) -> list[nn.Module]:
        return list(self.children())


class VisualFrontend(nn.Module):
    """(B, T, 112, 112) normalised frames -> (B, T, widths[-1]), each clip on its own.

    In evaluation mode frames are taken in spans, which changes nothing but time and memory: long spans bound
    what a long clip needs (and are computed again in the backward pass), short ones keep the large early
    activations in a CPU's cache. ``whole`` takes a clip at once, for normalisations that look at all of it.
    """

    whole = False

    def __init__(self, kernel: int, stride: int, pool: bool, widths: tuple[int, ...], strides: tuple[int, ...]):
        super().__init__()
        padding = (kernel - stride + 1) // 2
        self.frontend3D = nn.Sequential(
            nn.Conv3d(
                1,
                widths[0],
                (STEM_FRAMES, kernel, kernel),
                stride=(1, stride, stride),
                padding=(STEM_FRAMES // 2, padding, padding),
                bias=False,
            ),
            nn.BatchNorm3d(widths[0], **NORM),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)) if pool else nn.Identity(),
        )
        self.pool = pool
        self.resnet = ResNet(widths, strides)

    def forward(self, video: Tensor) -> Tensor:
        windows = self.windows(video)
        batch, frames = windows.shape[:2]
        span = max(1, SPAN_VALUES // (batch * self.stem_values(windows)))
        if self.training or self.whole or frames <= span:
            return self.encode(windows)
        if not torch.is_grad_enabled():
            return torch.cat([self.encode(part) for part in windows.split(span, dim=1)], dim=1)
        parts = [
            checkpoint(self.encode, part, use_reentrant=False, preserve_rng_state=False)
            for part in windows.split(span, dim=1)
        ]
        return torch.cat(parts, dim=1)

    def encode(self, windows: Tensor) -> Tensor:
        """(B, T, h, w, 5, s, s) windows -> (B, T, widths[-1])."""
        batch, frames = windows.shape[:2]
        layers = self.resnet.layers()
        early, late = nn.Sequential(*layers[:EARLY_LAYERS]), nn.Sequential(*layers[EARLY_LAYERS:])
        if self.training or self.whole or windows.device.type != "cpu":
            x = early(self.stem(windows))
        else:
            span = max(1, CACHED_VALUES // (batch * self.stem_values(windows)))
            parts = [early(self.stem(part)).unflatten(0, (batch, -1)) for part in windows.split(span, dim=1)]
            x = torch.cat(parts, dim=1).flatten(0, 1)
        return late(x).mean(dim=(2, 3)).unflatten(0, (batch, frames))

    def stem_values(self, windows: Tensor) -> int:
        """How many values the stem gives for one frame, about."""
        return windows.shape[2] * windows.shape[3] * self.frontend3D[0].out_channels

    def windows(self, video: Tensor) -> Tensor:
        """(B, T, H, W) -> (B, T, h, w, 5, s, s): blocks of stride x stride pixels over five frames, a view.

        Zeros lie beyond the clip and around the frame, as the convolution's padding would put them.
        """
        conv = self.frontend3D[0]
        stride, padding, kernel = conv.stride[1], conv.padding[1], conv.kernel_size[1]
        half = STEM_FRAMES // 2
        size = video.shape[-1]
        blocks = (size + 2 * padding - kernel) // stride + -(-kernel // stride)
        after = blocks * stride - size - padding
        padded = F.pad(video, (padding, after, padding, after, half, half))
        blocked = padded.unflatten(3, (blocks, stride)).unflatten(2, (blocks, stride)).transpose(3, 4).contiguous()
        return blocked.unfold(1, STEM_FRAMES, 1).permute(0, 1, 2, 3, 6, 4, 5)

    def stem(self, windows: Tensor) -> Tensor:
        """(B, T, h, w, 5, s, s) -> (B*T, C, h', w').

        The 5 x k x k convolution of one channel and stride s, as a dense one of 5 s^2 channels and stride 1: the
        same sums, and on a CPU a backward pass 2-3 times cheaper.
        """
        conv, norm = self.frontend3D[0], self.frontend3D[1]
        stride, kernel = conv.stride[1], conv.kernel_size[1]
        taps = -(-kernel // stride)
        missing = taps * stride - kernel
        weight = F.pad(conv.weight[:, 0], (0, missing, 0, missing))
        weight = weight.unflatten(3, (taps, stride)).unflatten(2, (taps, stride))
        weight = weight.permute(0, 1, 3, 5, 2, 4).flatten(1, 3).contiguous(memory_format=torch.channels_last)
        x = windows.flatten(4).flatten(0, 1).permute(0, 3, 1, 2)
        x = norm(F.conv2d(x, weight, conv.bias).unsqueeze(2)).squeeze(2)
        # A maximum commutes with ReLU, and after it there is a quarter of the values to rectify.
        return F.relu_(F.max_pool2d(x, 3, stride=2, padding=1) if self.pool else x)


class GlobalLayerNorm(nn.Module):
    """Normalises (B, C, T) over channels and time together."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, width, 1))
        self.beta = nn.Parameter(torch.zeros(1, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=(1, 2), keepdim=True)
        variance = centred.square().mean(dim=(1, 2), keepdim=True)
        return self.gamma * centred * (variance + 1e-8).rsqrt() + self.beta


class TemporalBlock(nn.Module):
    """Residual depthwise-separable convolution over time, (B, C, T) -> (B, C, T)."""

    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm1d(width),
            nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False),
            nn.PReLU(),
            GlobalLayerNorm(width),
            nn.Conv1d(width, width, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class VisualTCN(nn.Module):
    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.net = nn.Sequential(*(TemporalBlock(width) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class VisualConv1D(nn.Module):
    """(B, C, T) -> (B, 128, T)."""

    def __init__(self, width: int, hidden: int, embedding: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(width, hidden, 5, padding=2), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Conv1d(hidden, embedding, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
