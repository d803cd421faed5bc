"""Toy detectors on clips of full size, whose best universal noise is known."""

import numpy as np
import torch
from torch import nn

from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.detectors import Outputs


class LinearDetector(nn.Module):
    """Log-odds of a frame = <w_a, its samples> + <w_v, its picture> + bias.

    All of ``w_a`` are above 0, so that the best loop for any offset is the constant eps; the best picture is
    eps sign(w_v).
    """

    def __init__(self, bias: float = 0.0):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.audio = nn.Parameter(0.5 + torch.rand(SAMPLES_PER_FRAME, generator=generator))
        self.video = nn.Parameter(torch.randn(112, 112, generator=generator))
        self.bias = nn.Parameter(torch.tensor(float(bias)))
        self.calls = 0
        self.card = {"name": "linear", "sha256": "0" * 64}

    def forward(self, inputs):
        self.calls += 1
        video = inputs["video"]
        audio = inputs["audio"].unflatten(1, (video.shape[1], SAMPLES_PER_FRAME))
        margin = audio @ self.audio + ((video - 128) * self.video).sum((-2, -1)) / 1000 + self.bias
        return Outputs(torch.stack([-margin / 2, margin / 2], -1))


def grey_clip(frames: int = 4, seed: int = 0, labels=None, name: str = "clip") -> Clip:
    """A clip in the middle of its range, which no small noise leaves."""
    rng = np.random.default_rng(seed)
    audio = rng.uniform(-0.1, 0.1, frames * SAMPLES_PER_FRAME).astype(np.float32)
    video = rng.integers(100, 156, (frames, 112, 112), dtype=np.uint8)
    return Clip(audio=audio, video=video, labels=None if labels is None else np.asarray(labels, np.int64), name=name)
