"""APGD: projected gradient descent whose step size adapts to each row (Croce & Hein 2020, algorithm 1)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushpull.attacks.base import Attack, register_attack
from pushpull.attacks.budget import Box
from pushpull.attacks.start import Tensors, random_point

# The constants of the paper.
FIRST_STEP = 2.0  # of eps
MOMENTUM = 0.75  # weight alpha of the new step; the rest goes on in the direction of the last
RISING = 0.75  # rho: the share of steps that must raise the loss, or the step is too long
FIRST_PERIOD, SHORTER, LEAST_PERIOD = 0.22, 0.03, 0.06  # of all steps, between checkpoints


def checkpoints(steps: int) -> list[int]:
    """Iterates at which the step size is looked at, 0 first."""
    shares = [0.0, FIRST_PERIOD]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - SHORTER, LEAST_PERIOD))
    # Rounded first: 0.57 x 100 is a little above 57 in binary.
    return sorted({math.ceil(round(share * steps, 6)) for share in shares})


@register_attack("apgd")
@dataclass(frozen=True, kw_only=True)
class APGD(Attack):
    """Auto-PGD: steps with momentum, halved where they no longer help (Croce & Hein 2020).

    Every row (a restart of a clip) has one schedule for all its modalities: the step is the same fraction of each eps,
    2 at first. At checkpoints it is halved, and the row goes back to its best point, if fewer than 3/4 of the steps
    since the last one raised the loss, or if neither step size nor best loss have changed since then.

    Args:
        steps: gradient steps.
        restarts: each from a point drawn uniformly from the l-infinity ball; the best of each clip is kept.
    """

    title: ClassVar[str] = "APGD, adaptive steps"

    steps: int = 100
    restarts: int = 1

    @property
    def random_start(self) -> bool:
        return True

    def start(self, box, streams):
        return {name: random_point(box, name, streams) for name in box.origin}, {}

    def update(self, x, gradient, loss, memory, box, streams):
        if memory:
            x, gradient = _observe(x, gradient, loss, memory, checkpoints(self.steps))
            weight = MOMENTUM
        else:
            _begin(x, gradient, loss, memory)
            weight = 1.0
        towards = box.project(_sign_step(x, gradient, memory["size"], box))
        moved = {}
        for name, values in x.items():
            before, memory[f"before/{name}"] = memory[f"before/{name}"], values
            moved[name] = values + weight * (towards[name] - values) + (1 - weight) * (values - before)
        memory["step"] = memory["step"] + 1
        return moved


def _begin(x: Tensors, gradient: Tensors, loss: Tensor, memory: Tensors) -> None:
    """What each row remembers, after its first point."""
    memory["step"] = torch.zeros_like(loss, dtype=torch.int64)
    memory["rises"] = torch.zeros_like(loss, dtype=torch.int64)
    memory["size"] = torch.full_like(loss, FIRST_STEP)
    memory["halved"] = torch.zeros_like(loss, dtype=torch.bool)
    memory["loss"], memory["best_loss"], memory["checked_loss"] = loss, loss, loss
    for name, values in x.items():
        memory[f"before/{name}"], memory[f"best/{name}"], memory[f"slope/{name}"] = values, values, gradient[name]


def _observe(
    x: Tensors, gradient: Tensors, loss: Tensor, memory: Tensors, checks: list[int]
) -> tuple[Tensors, Tensors]:
    """Take note of a point; at checkpoints shorten steps that are too long. The point and gradient to go on from."""
    memory["rises"] = memory["rises"] + (loss > memory["loss"])
    memory["loss"] = loss
    better = loss > memory["best_loss"]
    memory["best_loss"] = torch.where(better, loss, memory["best_loss"])
    for name, values in x.items():
        memory[f"best/{name}"] = torch.where(_each(better, values), values, memory[f"best/{name}"])
        memory[f"slope/{name}"] = torch.where(_each(better, values), gradient[name], memory[f"slope/{name}"])

    step = int(memory["step"][0])  # the same in every row
    if step not in checks:
        return x, gradient
    period = step - checks[checks.index(step) - 1]
    unchanged = ~memory["halved"] & (memory["best_loss"] <= memory["checked_loss"])
    halved = (memory["rises"] < RISING * period) | unchanged
    memory["size"] = torch.where(halved, memory["size"] / 2, memory["size"])
    memory["halved"], memory["checked_loss"] = halved, memory["best_loss"]
    memory["rises"] = torch.zeros_like(memory["rises"])
    return (
        {name: torch.where(_each(halved, values), memory[f"best/{name}"], values) for name, values in x.items()},
        {name: torch.where(_each(halved, slope), memory[f"slope/{name}"], slope) for name, slope in gradient.items()},
    )


def _sign_step(x: Tensors, direction: Tensors, size: Tensor, box: Box) -> Tensors:
    """x + size x eps x sign(direction), ``size`` (rows,); at least one step of the grid, or rounding undoes it."""
    moved = {}
    for name, values in x.items():
        alpha = (size.to(values.dtype) * box.eps[name]).clamp(box.grid[name] or 0.0, torch.finfo(values.dtype).max)
        moved[name] = values + _each(alpha, values) * direction[name].sign()
    return moved


def _each(rows: Tensor, like: Tensor) -> Tensor:
    """(rows,) shaped to go with ``like`` (rows, ...)."""
    return rows.reshape(-1, *[1] * (like.ndim - 1))
