"""Square: random search without gradients (Andriushchenko et al. 2020), on pictures and on sound."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushpull.attacks.base import Attack, register_attack
from pushpull.attacks.budget import Box
from pushpull.attacks.start import Streams, draw

# The share of a modality that one proposal redraws: as in AutoAttack at first, halved after these of 10,000 queries.
FIRST_SHARE = 0.8
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
SCHEDULE = 10_000
LONGEST_WAVE = 160  # samples: 100 Hz at 16 kHz, the lower end of voices


def share(step: int, steps: int) -> float:
    """The share of the elements that query ``step`` of ``steps`` redraws."""
    at = step * SCHEDULE / steps
    return FIRST_SHARE / 2 ** sum(at > halving for halving in HALVINGS)


@register_attack("square")
@dataclass(frozen=True, kw_only=True)
class Square(Attack):
    """Square attack: propose, keep what raises the loss, with ever smaller proposals; no gradients.

    Each query redraws a part of one modality, in turn, so that what is kept is due to it; each has its own budget. All
    values are at the ends of their budget, where small steps are of no use to a random search.

    * Of a picture it is a square in space over a stretch of frames, with one sign: the convolutions that see mouths run
      over time as well. It covers the same fraction of height, width and time.
    * Of a sound it is a stretch of time with a square wave of random period, 2 to 160 samples: one sign throughout
      would be a click at either end and no sound between.

    Rows start from columns of the picture, and samples of the sound, of random signs. Compared with an attack that has
    gradients, it tells whether they mislead.

    Args:
        steps: queries, one evaluation each; papers use 5,000 and more.
        restarts: independent searches; the best of each clip is kept.
        keep: "last" is the last query, whether it was of use or not.
    """

    title: ClassVar[str] = "Square, random search (no gradient)"
    uses_gradient: ClassVar[bool] = False

    steps: int = 1000
    restarts: int = 1

    @property
    def random_start(self) -> bool:
        return True

    def start(self, box, streams):
        points = {}
        for name, values in box.origin.items():
            line = values.reshape(len(values), -1, values.shape[-1])[:, 0]  # columns are alike from top to bottom
            signs = draw(line, name, streams).reshape(-1, *[1] * (values.ndim - 2), values.shape[-1])
            points[name] = values + box.eps[name] * _sign(signs - 0.5)
        return points, {}

    def update(self, x, gradient, loss, memory, box, streams):
        if not memory:
            memory["step"], memory["loss"] = torch.zeros_like(loss, dtype=torch.int64), loss
            memory.update({f"best/{name}": values for name, values in x.items()})
        else:
            better = loss > memory["loss"]
            memory["loss"] = torch.where(better, loss, memory["loss"])
            for name, values in x.items():
                taken = better.reshape(-1, *[1] * (values.ndim - 1))
                memory[f"best/{name}"] = torch.where(taken, values, memory[f"best/{name}"])
        step = int(memory["step"][0])  # the same in every row
        memory["step"] = memory["step"] + 1
        proposed = {name: memory[f"best/{name}"] for name in x}
        name = list(x)[step % len(x)]
        proposed[name] = _redraw(proposed[name], box, name, streams, share(step + 1, self.steps))
        return proposed


def _redraw(x: Tensor, box: Box, name: str, streams: Streams, part: float) -> Tensor:
    """A copy of ``x`` (rows, ...) in which a part of every row is at the ends of its budget."""
    shape, origin, eps = x.shape[1:], box.origin[name], box.eps[name]
    extent = [max(1, round(size * part ** (1 / len(shape)))) for size in shape]
    moved = x.clone()
    for row, stream in enumerate(streams):
        chance = torch.rand(len(shape) + 3, generator=stream[name], dtype=torch.float64).tolist()
        where = (row,)
        for size, length, luck in zip(shape, extent, chance, strict=False):
            first = int(luck * (size - length + 1))
            where += (slice(first, first + length),)
        sign = 1.0 if chance[-1] < 0.5 else -1.0
        if len(shape) == 1:
            period = 2 * (LONGEST_WAVE / 2) ** chance[-2]
            instants = torch.arange(extent[0], dtype=torch.float64) / period + chance[-3]
            sign = _sign(0.5 - instants % 1).to(x) * sign
        if ((x[where] - origin[where]).sign() == sign).all():  # nothing would change
            sign = -sign
        moved[where] = origin[where] + eps * sign
    return moved


def _sign(values: Tensor) -> Tensor:
    """-1 or 1, also of 0."""
    return torch.where(values < 0, -torch.ones_like(values), torch.ones_like(values))
