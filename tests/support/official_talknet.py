"""The official TalkNet as published, written a second time and as plainly as possible: the yardstick of ours.

Plain Conv3d, every batch normalisation on its own, clips flattened into the time axis, features computed outside by
python_speech_features. Attribute names give the official state dict, losses included.
"""

import numpy as np
import torch
from torch import nn

NORM = {"momentum": 0.01, "eps": 0.001}


class VisualBlock(nn.Module):
    def __init__(self, before, width, stride):
        super().__init__()
        self.stride = stride
        self.conv1a = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1a = nn.BatchNorm2d(width, **NORM)
        self.conv2a = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.downsample = nn.Conv2d(before, width, 1, stride, bias=False)
        self.outbna = nn.BatchNorm2d(width, **NORM)
        self.conv1b = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn1b = nn.BatchNorm2d(width, **NORM)
        self.conv2b = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.outbnb = nn.BatchNorm2d(width, **NORM)

    def forward(self, x):
        y = self.conv2a(torch.relu(self.bn1a(self.conv1a(x))))
        s = y + (x if self.stride == 1 else self.downsample(x))
        y = self.conv1b(torch.relu(self.outbna(s)))
        y = self.conv2b(torch.relu(self.bn1b(y)))
        return torch.relu(self.outbnb(y + s))


class VisualResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = VisualBlock(64, 64, 1)
        self.layer2 = VisualBlock(64, 128, 2)
        self.layer3 = VisualBlock(128, 256, 2)
        self.layer4 = VisualBlock(256, 512, 2)
        self.avgpool = nn.AvgPool2d(4)

    def forward(self, x):
        return self.avgpool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


class VisualFrontend(nn.Module):
    def __init__(self):
        super().__init__()
        self.frontend3D = nn.Sequential(
            nn.Conv3d(1, 64, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(64, **NORM),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        self.resnet = VisualResNet()

    def forward(self, frames):
        """(B*T, 112, 112) -> (B*T, 512)"""
        x = self.frontend3D(frames[None, None])[0]
        return self.resnet(x.transpose(0, 1)).flatten(1)


class GlobalNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, width, 1))
        self.beta = nn.Parameter(torch.zeros(1, width, 1))

    def forward(self, x):
        mean = x.mean(dim=1, keepdim=True).mean(dim=2, keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=1, keepdim=True).mean(dim=2, keepdim=True)
        return self.gamma * (x - mean) / torch.sqrt(variance + 1e-8) + self.beta


class TemporalBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm1d(512),
            nn.Conv1d(512, 512, 3, padding=1, groups=512, bias=False),
            nn.PReLU(),
            GlobalNorm(512),
            nn.Conv1d(512, 512, 1, bias=False),
        )

    def forward(self, x):
        return self.net(x) + x


class Net(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.net = nn.Sequential(*layers)

    def forward(self, x):
        return self.net(x)


class Squeeze(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(width, width // 8), nn.ReLU(), nn.Linear(width // 8, width), nn.Sigmoid())

    def forward(self, x):
        gate = self.fc(nn.functional.adaptive_avg_pool2d(x, 1)[:, :, 0, 0])
        return x * gate[:, :, None, None]


class AudioBlock(nn.Module):
    def __init__(self, before, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.se = Squeeze(width)
        if before != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False),
                nn.BatchNorm2d(width),
            )

    def forward(self, x):
        y = self.bn1(torch.relu(self.conv1(x)))
        y = self.se(self.bn2(self.conv2(y)))
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class AudioEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 7, (2, 1), 3, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(AudioBlock(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(AudioBlock(16, 32, (2, 2)), *(AudioBlock(32, 32, 1) for _ in range(3)))
        self.layer3 = nn.Sequential(AudioBlock(32, 64, (2, 2)), *(AudioBlock(64, 64, 1) for _ in range(5)))
        self.layer4 = nn.Sequential(AudioBlock(64, 128, (1, 1)), *(AudioBlock(128, 128, 1) for _ in range(2)))

    def forward(self, features):
        x = features.unsqueeze(1).transpose(2, 3)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, 8, dropout=0.1)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, src, tar):
        src, tar = src.transpose(0, 1), tar.transpose(0, 1)
        src = self.norm1(src + self.self_attn(tar, src, src)[0])
        src = self.norm2(src + self.linear2(torch.relu(self.linear1(src))))
        return src.transpose(0, 1)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.visualFrontend = VisualFrontend()
        self.visualTCN = Net(*(TemporalBlock() for _ in range(5)))
        self.visualConv1D = Net(
            nn.Conv1d(512, 256, 5, padding=2), nn.BatchNorm1d(256), nn.ReLU(), nn.Conv1d(256, 128, 1)
        )
        self.audioEncoder = AudioEncoder()
        self.crossA2V = Attention(128)
        self.crossV2A = Attention(128)
        self.selfAV = Attention(256)


class Head(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.FC = nn.Linear(width, 2)


class OfficialTalkNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Model()
        self.lossAV = Head(256)
        self.lossA = Head(128)
        self.lossV = Head(128)

    def forward(self, features, video):
        """(B, 4T, 13), (B, T, 112, 112) grey levels -> logits av, a, v, (B*T, 2) each."""
        batch, frames = video.shape[:2]
        model = self.model
        e_a = model.audioEncoder(features)
        x = (video.reshape(batch * frames, 112, 112) / 255 - 0.4161) / 0.1688
        x = model.visualFrontend(x).view(batch, frames, 512).transpose(1, 2)
        e_v = model.visualConv1D(model.visualTCN(x)).transpose(1, 2)
        z_a = model.crossA2V(src=e_a, tar=e_v)
        z_v = model.crossV2A(src=e_v, tar=e_a)
        joint = torch.cat((z_a, z_v), 2)
        joint = model.selfAV(src=joint, tar=joint)
        return self.lossAV.FC(joint.flatten(0, 1)), self.lossA.FC(z_a.flatten(0, 1)), self.lossV.FC(z_v.flatten(0, 1))


def official_features(audio: np.ndarray, frames: int) -> np.ndarray:
    """(640 T,) full scale -> (4 T, 13) by python_speech_features, zeros beyond the clip's end."""
    from python_speech_features import mfcc, sigproc

    emphasised = sigproc.preemphasis(audio.astype(np.float64) * 32768, 0.97)
    # The library zero-pads only as far as its own last frame; a hop more gives the 4 T-th.
    emphasised = np.concatenate([emphasised, np.zeros(160)])
    features = mfcc(emphasised, 16000, numcep=13, winlen=0.025, winstep=0.010, preemph=0)
    assert len(features) == 4 * frames
    return features


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights as a trained network might have them: no normalisation is the identity, nothing is a constant."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    with torch.no_grad():
        for child in module.modules():
            for name, value in child.named_parameters(recurse=False):
                if value.ndim >= 2 and min(value.shape[:2]) > 0 and name not in ("gamma", "beta"):
                    fan = value[0].numel()
                    value.copy_(torch.randn(value.shape, generator=generator) * (1.5 / fan) ** 0.5)
                elif name in ("weight", "gamma"):
                    value.copy_(uniform(value, 0.1, 0.4) if isinstance(child, nn.PReLU) else uniform(value, 0.6, 1.4))
                else:
                    value.copy_(uniform(value, -0.3, 0.3))
            if hasattr(child, "running_mean"):
                child.running_mean.copy_(uniform(child.running_mean, -0.3, 0.3))
                child.running_var.copy_(uniform(child.running_var, 0.5, 1.5))
                child.num_batches_tracked.fill_(7)
    return module.eval()
