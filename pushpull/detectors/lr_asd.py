"""LR-ASD: one path of small kernels in each block, gates on the joint embedding, two recurrent layers side by side.

J. Liao, H. Duan, K. Feng, W. Zhao, Y. Yang, L. Chen, Y. Chen, "LR-ASD: Lightweight and Robust Network for Active
Speaker Detection", IJCV 2025.
"""

import torch
from torch import Tensor, nn

from pushpull.detectors.registry import register_detector
from pushpull.detectors.streams import EMBEDDING, NORM, Block, Faces, OneLayerGRU, Sound, TwoStreams

DROPOUT = 0.5  # before each recurrent layer


class LRBlock(Block):
    """Across with 5 to half the channels and with 3 to all of them, then along time with 5 and with 3."""

    def __init__(self, layers: type[Faces] | type[Sound], inputs: int, width: int, stride: int = 1):
        super().__init__()
        letter = layers.letter
        convolutions = (
            (letter, 1, layers.across(inputs, width // 2, 5, stride)),
            (letter, 2, layers.across(width // 2, width, 3)),
            ("t", 1, layers.along(width, width, 5)),
            ("t", 2, layers.along(width, width, 3)),
        )
        for kind, number, conv in convolutions:
            self.add_module(f"{kind}_{number}", conv)
            self.add_module(f"{kind}_norm_{number}", layers.norm(conv.out_channels, **NORM))
        self.branches = (tuple((f"{kind}_{number}", f"{kind}_norm_{number}") for kind, number, _ in convolutions),)


class Gate(nn.Module):
    """(B, T, width) -> the same, every channel times a share of 0 to 1 that all channels of its frame decide."""

    def __init__(self, width: int):
        super().__init__()
        self.attention = nn.Conv1d(width, width, 1, bias=False)
        self.bn = nn.BatchNorm1d(width, **NORM)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.bn(self.attention(x.transpose(1, 2))).sigmoid().transpose(1, 2)


class SideBySide(nn.Module):
    """(B, T, 256) -> (B, T, 128): one recurrent layer forwards, one backwards in time, gated together."""

    def __init__(self):
        super().__init__()
        self.gru_forward = OneLayerGRU(2 * EMBEDDING, EMBEDDING // 2)
        self.gru_backward = OneLayerGRU(2 * EMBEDDING, EMBEDDING // 2)
        self.attention = Gate(EMBEDDING)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        ahead = self.gru_forward(self.dropout(x))
        back = self.gru_backward(self.dropout(x.flip(1))).flip(1)
        return self.attention(torch.cat([ahead, back], dim=-1))


@register_detector("lr-asd")
class LRASD(TwoStreams):
    """LR-ASD, 0.84 M parameters: embeddings are gated side by side."""

    block = LRBlock
    mark = "model.fusion.attention.weight"

    def __init__(self):
        super().__init__()
        self.model.fusion = Gate(2 * EMBEDDING)
        self.model.detector = SideBySide()

    def join(self, e_a: Tensor, e_v: Tensor) -> Tensor:
        return self.model.detector(self.model.fusion(torch.cat([e_a, e_v], dim=-1)))
