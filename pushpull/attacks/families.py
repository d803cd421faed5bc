"""The attacks: frozen parameter sets of the one loop in ``pushpull.attacks.loop``.

An attack answers three questions about a batch of rows (one row = one restart of one clip): where it starts, where it
goes next given the gradient and the loss there, and what it must remember, as tensors with one entry per row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushpull.attacks.budget import Box, Budget
from pushpull.attacks.check import require_flag, require_number, require_whole
from pushpull.attacks.loop import AttackResult, Step, run_attack
from pushpull.attacks.start import Streams, Tensors, draw, random_point


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What every attack has in common.

    Args:
        keep: "best" keeps each clip's iterate of highest loss, the unattacked clip included; "last" keeps the final
            one, as published algorithms do.
        grid: keep every iterate on the values that a file can store (8-bit frames, 16-bit samples). Where eps is
            below one storage step nothing can move; ``AttackResult.movable`` says how much can.
        early_stop: a clip all of whose masked frames are won leaves the batch.

    Raises:
        ValueError: a parameter is of the wrong type, not finite or out of range; the message names it.
    """

    keep: str = "best"
    grid: bool = False
    early_stop: bool = False

    uses_gradient: ClassVar[bool] = True
    steps: ClassVar[int] = 1
    restarts: ClassVar[int] = 1

    def __post_init__(self):
        if self.keep not in ("best", "last"):
            raise ValueError(f'keep must be "best" or "last", got {self.keep!r}')
        for name in ("grid", "early_stop"):
            require_flag(self, name)
        for name in ("steps", "restarts"):
            require_whole(self, name)
        if self.steps < 1 or self.restarts < 1:
            raise ValueError(f"steps and restarts must be at least 1, got {self.steps} and {self.restarts}")

    @property
    def random_start(self) -> bool:
        """Whether rows start anywhere but at the unattacked clip.

        Where they do not, a modality of a row whose gradient there is exactly zero gets one random start, see
        ``pushpull.attacks.start``.
        """
        return False

    def start(self, box: Box, streams: Streams) -> tuple[Tensors, Tensors]:
        """First point of every row, and what the attack remembers (tensors with one entry per row)."""
        return box.origin, {}

    def update(self, x: Tensors, gradient: Tensors, loss: Tensor, memory: Tensors, box: Box, streams: Streams):
        """The next point of every row, before it is projected onto ``box``; may replace entries of ``memory``."""
        raise NotImplementedError

    def run(
        self,
        model: Callable,
        inputs: Tensors,
        labels: Tensor,
        *,
        budgets: dict[str, Budget],
        objective: str | Callable = "training_aware",
        targeted: bool = False,
        mask: Tensor | None = None,
        seed: int = 0,
        on_step: Callable[[Step], bool | None] | None = None,
        max_rows: int = 8,
        autocast: torch.dtype | None = None,
    ) -> AttackResult:
        """Attack a batch of clips.

        Args:
            model: takes {name: (B, ...)} and returns outputs with ``logits_av`` (B, T, K), K >= 2, or those logits.
                If it has a method ``fix(inputs)``, the modalities whose budget is 0 go through it once, and the
                callable it returns takes the others (with more rows than were fixed if that was one). Every call gets
                copies, which it may write to. Modules in it or behind it run in evaluation mode and are left as they
                were: modes, gradient flags and buffers.
            inputs: {name: (B, ...)} float32 or float64, within the range of their budget.
            labels: (B, T) int64 in 0..K-1; untargeted, what to move away from; targeted, what to move to.
            budgets: one per modality; a modality without one is frozen.
            objective: a name of ``OBJECTIVES`` or a callable of the same kind; it is maximised.
            targeted: whether ``labels`` are targets.
            mask: (B, T) bool, the frames that count; None means all.
            seed: clip i of the batch draws from the stream seed + i, whatever the batch and the device.
            on_step: called with a ``Step`` after every evaluation; returning False or raising ``Cancelled`` stops the
                attack, and the best so far is returned.
            max_rows: restarts are attacked together as long as restarts x B stays within this; fewer after the
                device ran out of memory.
            autocast: torch.bfloat16 or torch.float16 runs the model in mixed precision.

        Raises:
            ValueError: shapes, types, ranges or names do not fit, those of the model's outputs included; there is no
                clip; or the loss of an unattacked clip is not finite.

        Warns:
            UserWarning: a picture whose budget is in 0..255 lies in 0..1; the model gives probabilities instead of
                logits; no gradient of a clip was ever other than zero, so that it comes back as it was (or as the best
                random start).
        """
        return run_attack(
            self,
            model,
            inputs,
            labels,
            budgets=budgets,
            objective=objective,
            targeted=targeted,
            mask=mask,
            seed=seed,
            on_step=on_step,
            max_rows=max_rows,
            autocast=autocast,
        )


def _sign_step(x: Tensors, direction: Tensors, box: Box, step_size: float) -> Tensors:
    """x + alpha sign(direction), alpha = step_size x eps; at least one step of the grid, or rounding undoes it."""
    moved = {}
    for name, values in x.items():
        # An infinite step would make no number of a gradient of 0.
        alpha = min(max(step_size * box.eps[name], box.grid[name] or 0.0), torch.finfo(values.dtype).max)
        moved[name] = values + alpha * direction[name].sign()
    return moved


@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Fast gradient sign method: one step of the whole budget (Goodfellow et al. 2014)."""

    def update(self, x, gradient, loss, memory, box, streams):
        return _sign_step(x, gradient, box, 1.0)


@dataclass(frozen=True, kw_only=True)
class BIM(Attack):
    """Basic iterative method, paper Eq. 2 (Kurakin et al. 2016).

    Args:
        steps: M, gradient steps.
        step_size: alpha as a fraction of eps; None is 2.5 / steps, which reaches every corner of the box from its
            centre with room to turn (Madry et al. 2017).
    """

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


@dataclass(frozen=True, kw_only=True)
class MIM(BIM):
    """Momentum iterative method (Dong et al. 2018).

    The gradient is divided by its mean absolute value, per clip and modality, before it joins the running sum: clips
    and modalities whose gradients differ by orders of magnitude keep independent momenta.

    Args:
        momentum: decay of the running sum, at least 0; 0 is BIM.
    """

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


@dataclass(frozen=True, kw_only=True)
class PGD(BIM):
    """Projected gradient descent (Madry et al. 2017): BIM from gamma random starts, the best of each *clip* kept.

    Args:
        restarts: gamma, each from a point drawn uniformly from the l-infinity ball.
    """

    restarts: int = 5

    @property
    def random_start(self) -> bool:
        return True

    def start(self, box, streams):
        return {name: random_point(box, name, streams) for name in box.origin}, {}


@dataclass(frozen=True, kw_only=True)
class Noise(Attack):
    """Random noise, the baseline that any gradient must beat. No gradients.

    Args:
        steps: independent draws; the one of highest loss is kept.
        kind: "sign" draws corners of the box (+-eps), "uniform" draws from all of it.
    """

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


ATTACKS: dict[str, type[Attack]] = {"fgsm": FGSM, "bim": BIM, "mim": MIM, "pgd": PGD, "noise": Noise}


def register_attack(name: str) -> Callable[[type[Attack]], type[Attack]]:
    """Class decorator: make a frozen dataclass of :class:`Attack`'s kind known by ``name`` to shell, page and reports.

    Raises:
        TypeError: what is decorated is no subclass of ``Attack``.
        ValueError: the name is another attack's.
    """

    def register(attack: type[Attack]) -> type[Attack]:
        if not (isinstance(attack, type) and issubclass(attack, Attack)):
            raise TypeError(f"{attack!r} is no subclass of Attack")
        if ATTACKS.setdefault(name, attack) is not attack:
            raise ValueError(f"{name!r} is registered already, as {ATTACKS[name].__name__}")
        return attack

    return register
