"""Toy detectors and examples for tests of evaluation and audit: small enough that attacks take milliseconds."""

import numpy as np
import torch
from torch import nn

from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.detectors import Outputs
from pushpull.evaluation.examples import Example


class Toy(nn.Module):
    """Speaking is a loud frame with a bright picture: a linear score of both, with embeddings to measure.

    Args:
        scale: of the logits.
        shift: of the log-odds.
        heads: whether it has heads of sound and picture alone.
    """

    def __init__(self, name="toy", *, scale=1.0, shift=0.0, heads=True, card=None):
        super().__init__()
        self.scale, self.shift, self.heads = scale, shift, heads
        self.gain = nn.Parameter(torch.tensor([1.0, 1.0]))
        self.card = {"name": name, "row": name} | (card or {})

    def features(self, inputs):
        audio = inputs["audio"].unflatten(1, (-1, SAMPLES_PER_FRAME)).mean(-1)
        video = inputs["video"].flatten(2).mean(-1)
        return 1000 * audio * self.gain[0], (video - 128) * self.gain[1]

    def forward(self, inputs):
        sound, picture = self.features(inputs)
        margin = self.scale * (sound + picture + self.shift)

        def logits(x):
            return torch.stack([-x / 2, x / 2], -1)

        z_a, z_v = (torch.stack([x, torch.ones_like(x)], -1) for x in (sound, picture))
        if not self.heads:
            return Outputs(logits(margin))
        said = logits(margin), logits(self.scale * sound), logits(self.scale * picture)
        return Outputs(*said, e_a=z_a, e_v=z_v, z_a=z_a, z_v=z_v)


def toy_example(name, *, speaking, frames=6, strength=0.3, base=None, seed=0):
    """A clip whose score is ``strength`` on the right side, with some noise."""
    rng = np.random.default_rng([seed, len(name), sum(map(ord, name))])
    side = 1 if speaking else -1
    video = np.full((frames, 112, 112), 128 + side * strength, np.float32)
    video += rng.normal(0, 0.05, (frames, 1, 1)).astype(np.float32)
    audio = rng.normal(0, 1e-3, frames * SAMPLES_PER_FRAME).astype(np.float32)
    labels = np.full(frames, int(speaking), np.int64)
    return Example(Clip(audio=audio, video=video, labels=labels, name=name), "toy", base or name, "toys")


def toy_examples(count=6, **options):
    return [toy_example(f"clip{i}", speaking=i % 2 == 0, **options) for i in range(count)]
