"""The visual encoder: a spatio-temporal stem and ResNet per frame, then temporal convolutions.

Attribute names (frontend3D, conv1a, outbna, ...) are the official state dict's, so that its tensors load unchanged.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEM_FRAMES = 5  # frames the stem sees at once
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
        total = self.conv2a(F.relu(self.bn1a(self.conv1a(x)))) + shortcut
        x = F.relu(self.outbna(total))
        x = self.conv2b(F.relu(self.bn1b(self.conv1b(x))))
        return F.relu(self.outbnb(x + total))


class ResNet(nn.Module):
    """(frames, C, H, W) -> (frames, widths[-1])."""

    def __init__(self, widths: tuple[int, ...], strides: tuple[int, ...]):
        super().__init__()
        for index, stride in enumerate(strides):
            self.add_module(f"layer{index + 1}", ResidualLayer(widths[index], widths[index + 1], stride))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x.mean(dim=(2, 3))


class VisualFrontend(nn.Module):
    """(B, T, 112, 112) normalised frames -> (B, T, widths[-1]), each clip on its own.

    The stem is a convolution over 5 x k x k of one channel. It is computed as a 2-D convolution whose input
    channels are the five frames: the same sums, and on a CPU a backward pass 2-3 times cheaper.
    """

    def __init__(self, kernel: int, stride: int, pool: bool, widths: tuple[int, ...], strides: tuple[int, ...]):
        super().__init__()
        self.frontend3D = nn.Sequential(
            nn.Conv3d(
                1,
                widths[0],
                (STEM_FRAMES, kernel, kernel),
                stride=(1, stride, stride),
                padding=(STEM_FRAMES // 2, kernel // 2, kernel // 2),
                bias=False,
            ),
            nn.BatchNorm3d(widths[0], **NORM),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)) if pool else nn.Identity(),
        )
        self.pool = pool
        self.resnet = ResNet(widths, strides)

    def forward(self, video: Tensor) -> Tensor:
        batch, frames = video.shape[:2]
        return self.resnet(self.stem(video)).view(batch, frames, -1)

    def stem(self, video: Tensor) -> Tensor:
        """(B, T, H, W) -> (B*T, C, h, w)."""
        conv, norm = self.frontend3D[0], self.frontend3D[1]
        x = stack_frames(video).contiguous(memory_format=torch.channels_last)
        x = F.conv2d(x, conv.weight[:, 0], conv.bias, conv.stride[1:], conv.padding[1:])
        x = norm(x[:, :, None])[:, :, 0]
        # A maximum commutes with ReLU, and after it there is a quarter of the values to rectify.
        return F.relu(F.max_pool2d(x, 3, stride=2, padding=1) if self.pool else x)


def stack_frames(video: Tensor) -> Tensor:
    """(B, T, H, W) -> (B*T, 5, H, W): each frame with its two neighbours either side, zeros beyond the clip."""
    half = STEM_FRAMES // 2
    padded = F.pad(video, (0, 0, 0, 0, half, half))
    return padded.unfold(1, STEM_FRAMES, 1).permute(0, 1, 4, 2, 3).flatten(0, 1)


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
