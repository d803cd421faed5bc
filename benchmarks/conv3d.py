"""The visual encoder of Light-ASD and LR-ASD as it is first written: with Conv3d, channels first.

What :mod:`pushpull.detectors.flat` is measured against, and tested against.
"""

import torch.nn.functional as F
from torch import Tensor

from pushpull.detectors.streams import Block, Step, VisualEncoder


class Conv3dEncoder(VisualEncoder):
    """(B, T, 112, 112) normalised pictures -> e_v (B, T, 128), by the weights of another encoder."""

    def __init__(self, encoder: VisualEncoder):
        super(VisualEncoder, self).__init__()
        self.block1, self.block2, self.block3 = encoder.block1, encoder.block2, encoder.block3

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures[:, None]
        for block in (self.block1, self.block2):
            x = F.max_pool3d(_block(block, x), (1, 3, 3), (1, 2, 2), (0, 1, 1))
        return _block(self.block3, x).amax(dim=(3, 4)).transpose(1, 2)


def _block(block: Block, x: Tensor) -> Tensor:
    branches, after = block.steps()
    first, *others = (_run(branch, x) for branch in branches)
    return _run(after, sum(others, first))


def _run(steps: list[Step], x: Tensor) -> Tensor:
    for conv, norm in steps:
        clips, frames = x.shape[0], x.shape[2]
        pictures = norm(conv(x).transpose(1, 2).flatten(0, 1))  # nn.BatchNorm2d, as all pictures weigh the same
        x = F.relu(pictures.unflatten(0, (clips, frames)).transpose(1, 2))
    return x
