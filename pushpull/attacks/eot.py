"""Expectation over transformations (Athalye et al. 2018): an attack that is to survive what happens to its clip.

``Through`` wraps a model so that it sees a clip as it may come out of storage and transport; every attack of the one
loop then maximises what is left after that, without knowing of it.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from pushpull.attacks.objectives import logits_of
from pushpull.attacks.stand_ins import StandIn, Tensors, through


class Through(nn.Module):
    """A model behind stand-ins: its outputs, averaged over random draws of what happens to the clip.

    Every call draws anew, from ``seed`` and the number of the call; as an attack leaves a model as it found it, the
    same attack on the same wrapper gives the same result. All rows of a call share their draws, so that a batch gets
    what its clips get alone, as long as it is called as often: with one restart, and no random start from silence. The
    iterate that an attack keeps is the best of such averages: with few ``samples`` and
    wide draws, prefer ``keep="last"``.

    Args:
        model: what an attack takes: {name: (rows, ...)} to logits, or outputs with ``logits_av``.
        stand_ins: what happens to the clip, in this order.
        samples: draws for each call; time and memory of an attack grow with it.
        seed: of the draws.

    Raises:
        ValueError: no draw.
    """

    def __init__(self, model: Callable, stand_ins: tuple[StandIn, ...], *, samples: int = 1, seed: int = 0):
        super().__init__()
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        self.model, self.stand_ins, self.samples, self.seed = model, tuple(stand_ins), samples, seed
        # A buffer, because those are put back after an attack.
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, inputs: Tensors):
        call = int(self.calls)
        self.calls += 1
        found = []
        for sample in range(self.samples):
            rng = np.random.default_rng([self.seed, call, sample])
            found.append(self.model(through(self.stand_ins, inputs, rng)))
        return found[0] if len(found) == 1 else _mean(found)


def _mean(outputs: list):
    """The mean of tensors, or of named tuples of them entry by entry; of other outputs, of their decisive logits."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return torch.stack(outputs).mean(0)
    if hasattr(first, "_make"):
        columns = zip(*outputs, strict=True)
        return first._make(None if column[0] is None else torch.stack(column).mean(0) for column in columns)
    return torch.stack([logits_of(part) for part in outputs]).mean(0)
