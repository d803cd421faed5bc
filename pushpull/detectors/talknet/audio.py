"""The audio encoder: a squeeze-and-excitation ResNet over the feature frames."""

import torch.nn.functional as F
from torch import Tensor, nn

REDUCTION = 8  # of the squeeze-and-excitation bottleneck
STRIDES = (1, 2, 2, 1)  # of the layers, in frequency and time: four feature frames become one video frame


class SqueezeExcitation(nn.Module):
    """Scales channels by a gate computed from their means over frequency and time."""

    def __init__(self, width: int):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(width, width // REDUCTION), nn.ReLU(), nn.Linear(width // REDUCTION, width), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean(dim=(2, 3)))[:, :, None, None]


class SEBlock(nn.Module):
    """conv, ReLU, norm, conv, norm, gate, residual, ReLU."""

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.se = SqueezeExcitation(width)
        self.downsample = None
        if stride != 1 or before != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(F.relu(self.conv1(x)))
        x = self.se(self.bn2(self.conv2(x)))
        return F.relu(x + shortcut)


class AudioEncoder(nn.Module):
    """(B, 4T, F) feature frames -> (B, T, widths[-1]). Any F: frequency is averaged out at the end."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...]):
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 7, stride=(2, 1), padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        befores = (widths[0], *widths)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(SEBlock(before, width, stride), *(SEBlock(width, width, 1) for _ in range(count - 1)))
            for before, width, stride, count in zip(befores, widths, STRIDES, blocks, strict=False)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        x = features.transpose(1, 2)[:, None]
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=2).transpose(1, 2)
