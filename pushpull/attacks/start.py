"""Where rows start: the clip itself, or random points of the budget where that gives no direction.

Sound that is exactly 0 has a gradient of exactly 0 in every model that takes a logarithm with a floor, and so may a
picture of one grey level: a signed step stays where it is for ever. Such a modality of a row gets one random start.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushpull.attacks.budget import Box
from pushpull.attacks.victim import Victim

Tensors = dict[str, Tensor]
# One generator per modality for each row, so that a row draws the same numbers in any batch.
Streams = list[dict[str, torch.Generator]]


def draw(like: Tensor, name: str, streams: Streams) -> Tensor:
    """Uniform numbers in [0, 1), one row from each stream; drawn on the CPU so that every device sees the same."""
    rows = [torch.rand(like.shape[1:], generator=stream[name], dtype=like.dtype) for stream in streams]
    return torch.stack(rows).to(like.device)


def random_point(box: Box, name: str, streams: Streams) -> Tensor:
    """A point of every row drawn uniformly from the l-infinity ball of one modality, before projection."""
    origin = box.origin[name]
    return origin + box.eps[name] * (2 * draw(origin, name, streams) - 1)


@dataclass(frozen=True, eq=False)
class Point:
    """Where the rows of a batch are, and what the model says there.

    Args:
        x: {name: (rows, ...)}.
        loss: (rows,).
        won: (rows, T) bool.
        decided: (rows, T, models), each model's class; one model unless an ensemble is attacked.
        gradient: {name: (rows, ...)}; empty where none was taken.
    """

    x: Tensors
    loss: Tensor
    won: Tensor
    decided: Tensor
    gradient: Tensors

    def rows(self, index: Tensor) -> "Point":
        """Some of the rows."""
        x, gradient = ({n: v[index] for n, v in part.items()} for part in (self.x, self.gradient))
        return Point(x, self.loss[index], self.won[index], self.decided[index], gradient)

    def sloped(self) -> Tensors:
        """Whether any element of the gradient is not exactly 0, per modality: (rows,) bool."""
        return {name: values.flatten(1).any(dim=1) for name, values in self.gradient.items()}


def stuck(point: Point, box: Box, wanted: Tensor) -> Tensors:
    """Per modality, which rows have a gradient of exactly zero although they may move: (rows,) bool.

    Args:
        wanted: (rows,) bool, rows that are worth a start; others have nothing to attack, or are won.
    """
    sloped = point.sloped()
    movable = {name: (box.lower[name] < box.upper[name]).flatten(1).any(dim=1) for name in sloped}
    return {name: wanted & movable[name] & ~sloped[name] for name in sloped}


def start_anew(
    point: Point, where: Tensors, victim: Victim, box: Box, streams: Streams
) -> tuple[Point, Point, Tensor, Tensors]:
    """Give the modalities of the rows in ``where`` a random start, and keep those that find a gradient there.

    A row in which none of them does stays at ``point``: it is the model that gives no gradient, not the clip. In a row
    in which one does, the others that still do not go back to where they were.

    Returns:
        (the point of every row; the starts that were tried, of the rows that took one; those rows' indices; per
        modality, which of all rows took its start).
    """
    index = torch.nonzero(torch.stack(list(where.values())).any(dim=0)).flatten()
    whole = len(index) == len(point.loss)
    x = {name: values[index].clone() for name, values in point.x.items()}
    for name, rows in where.items():
        those = torch.nonzero(rows[index]).flatten()
        if len(those):
            part = box.rows(index[those]).only([name])
            drawn = random_point(part, name, [streams[i] for i in index[those].tolist()])
            x[name][those] = part.project({name: drawn})[name]
    tried = Point(x, *(victim if whole else victim.rows(index)).evaluate(x, gradient=True))
    took = {name: where[name][index] & sloped for name, sloped in tried.sloped().items()}
    better = torch.stack(list(took.values())).any(dim=0) & torch.isfinite(tried.loss)
    tried, taken = tried.rows(better), index[better]
    took = {name: rows[better] for name, rows in took.items()}

    settled = {name: values.clone() for name, values in tried.x.items()}
    for name, rows in took.items():
        back = where[name][taken] & ~rows
        settled[name][back] = point.x[name][taken[back]]
    moved = _put(point, taken, replace(tried, x=settled))
    everywhere = {name: torch.zeros_like(rows) for name, rows in where.items()}
    for name, rows in took.items():
        everywhere[name][taken] = rows
    return moved, tried, taken, everywhere


def _put(point: Point, index: Tensor, part: Point) -> Point:
    """``point`` with ``part`` in some of its rows."""

    def put(whole: Tensor, some: Tensor) -> Tensor:
        return whole.index_copy(0, index, some)

    return Point(
        {name: put(values, part.x[name]) for name, values in point.x.items()},
        put(point.loss, part.loss),
        put(point.won, part.won),
        put(point.decided, part.decided),
        {name: put(values, part.gradient[name]) for name, values in point.gradient.items()},
    )
