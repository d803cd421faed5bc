"""Light-ASD: two branches of kernels 3 and 5 in each block, and two recurrent layers, one after the other.

J. Liao, H. Duan, K. Feng, W. Zhao, Y. Yang, L. Chen, "A Light Weight Model for Active Speaker Detection", CVPR 2023.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from pushpull.detectors.registry import register_detector
from pushpull.detectors.streams import EMBEDDING, NORM, Block, Faces, OneLayerGRU, Sound, TwoStreams


class LightBlock(Block):
    """For kernels of 3 and of 5: across, then along time; the sum of both through a convolution of size 1."""

    def __init__(self, layers: type[Faces] | type[Sound], inputs: int, width: int, stride: int = 1):
        super().__init__()
        branches = []
        for size in (3, 5):
            across, along = f"{layers.letter}_{size}", f"t_{size}"
            self.add_module(across, layers.across(inputs, width, size, stride))
            self.add_module(f"bn_{across}", layers.norm(width, **NORM))
            self.add_module(along, layers.along(width, width, size))
            self.add_module(f"bn_{along}", layers.norm(width, **NORM))
            branches.append(((across, f"bn_{across}"), (along, f"bn_{along}")))
        self.last = layers.along(width, width, 1)
        self.bn_last = layers.norm(width, **NORM)
        self.branches = tuple(branches)
        self.after = (("last", "bn_last"),)


class BothWays(nn.Module):
    """(B, T, 128) -> the same: forwards in time, then backwards over what the forward one says."""

    def __init__(self):
        super().__init__()
        self.gru_forward = OneLayerGRU(EMBEDDING, EMBEDDING)
        self.gru_backward = OneLayerGRU(EMBEDDING, EMBEDDING)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.gru_forward(x))
        return F.gelu(self.gru_backward(x.flip(1)).flip(1))


@register_detector("light-asd")
class LightASD(TwoStreams):
    """Light-ASD, 1.03 M parameters: embeddings are summed."""

    block = LightBlock
    mark = "model.GRU.gru_forward.weight_ih_l0"

    def __init__(self):
        super().__init__()
        self.model.GRU = BothWays()

    def join(self, e_a: Tensor, e_v: Tensor) -> Tensor:
        return self.model.GRU(e_a + e_v)
