"""The plain attacks: frozen parameter sets of the one loop in ``pushpull.attacks.loop``."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from pushpull.attacks.base import Attack, register_attack
from pushpull.attacks.budget import Box
from pushpull.attacks.check import require_number
from pushpull.attacks.start import Tensors, draw, random_point


def _sign_step(x: Tensors, direction: Tensors, box: Box, step_size: float) -> Tensors:
    """x + alpha sign(direction), alpha = step_size x eps; at least one step of the grid, or rounding undoes it."""
    moved = {}
    for name, values in x.items():
        # An infinite step would make no number of a gradient of 0.
        alpha = min(max(step_size * box.eps[name], box.grid[name] or 0.0), torch.finfo(values.dtype).max)
        moved[name] = values + alpha * direction[name].sign()
    return moved


@register_attack("fgsm")
@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Fast gradient sign method: one step of the whole budget (Goodfellow et al. 2014)."""

    title: ClassVar[str] = "FGSM, one step"

    def update(self, x, gradient, loss, memory, box, streams):
        return _sign_step(x, gradient, box, 1.0)


@register_attack("bim")
@dataclass(frozen=True, kw_only=True)
class BIM(Attack):
    """Basic iterative method, paper Eq. 2 (Kurakin et al. 2016).

    Args:
        steps: M, gradient steps.
        step_size: alpha as a fraction of eps; None is 2.5 / steps, which reaches every corner of the box from its
            centre with room to turn (Madry et al. 2017).
    """

    title: ClassVar[str] = "BIM, iterative"

    steps: int = 10
    step_size: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.step_size is not None:
            require_number(self, "step_size", "is a fraction of eps above 0", above=0)

    @property
    def relative_step(self) -> float:
        """alpha / eps."""
        return 2.5 / self.steps if self.step_size is None else self.step_size

    def update(self, x, gradient, loss, memory, box, streams):
        return _sign_step(x, gradient, box, self.relative_step)


@register_attack("mim")
@dataclass(frozen=True, kw_only=True)
class MIM(BIM):
    """Momentum iterative method (Dong et al. 2018).

    The gradient is divided by its mean absolute value, per clip and modality, before it joins the running sum: clips
    and modalities whose gradients differ by orders of magnitude keep independent momenta.

    Args:
        momentum: decay of the running sum, at least 0; 0 is BIM.
    """

    title: ClassVar[str] = "MIM, with momentum"

    momentum: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        require_number(self, "momentum", "is a decay of at least 0", least=0)

    def start(self, box, streams):
        return box.origin, {name: torch.zeros_like(values) for name, values in box.origin.items()}

    def update(self, x, gradient, loss, memory, box, streams):
        for name, values in gradient.items():
            size = values.abs().flatten(1).mean(1).reshape(-1, *[1] * (values.ndim - 1))
            unit = torch.where(size > 0, values / size, torch.zeros_like(values))
            decay = min(self.momentum, torch.finfo(values.dtype).max)
            memory[name] = decay * memory[name] + unit
        return _sign_step(x, memory, box, self.relative_step)


@register_attack("pgd")
@dataclass(frozen=True, kw_only=True)
class PGD(BIM):
    """Projected gradient descent (Madry et al. 2017): BIM from gamma random starts, the best of each *clip* kept.

    Args:
        restarts: gamma, each from a point drawn uniformly from the l-infinity ball.
    """

    title: ClassVar[str] = "PGD, random starts"

    restarts: int = 5

    @property
    def random_start(self) -> bool:
        return True

    def start(self, box, streams):
        return {name: random_point(box, name, streams) for name in box.origin}, {}


@register_attack("noise")
@dataclass(frozen=True, kw_only=True)
class Noise(Attack):
    """Random noise, the baseline that any gradient must beat. No gradients.

    Args:
        steps: independent draws; the one of highest loss is kept.
        kind: "sign" draws corners of the box (+-eps), "uniform" draws from all of it.
    """

    title: ClassVar[str] = "Random noise (no gradient)"

    steps: int = 10
    kind: str = "sign"

    uses_gradient: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        if self.kind not in ("sign", "uniform"):
            raise ValueError(f'kind must be "sign" or "uniform", got {self.kind!r}')

    def update(self, x, gradient, loss, memory, box, streams):
        drawn = {}
        for name, values in box.origin.items():
            noise = 2 * draw(values, name, streams) - 1
            if self.kind == "sign":
                noise = torch.where(noise < 0, -torch.ones_like(noise), torch.ones_like(noise))
            drawn[name] = values + box.eps[name] * noise
        return drawn
