"""Attack: what the loop in ``pushpull.attacks.loop`` asks of every attack, and the attacks that are known by name.

An attack answers three questions about a batch of rows (one row = one restart of one clip): where it starts, where it
goes next given the gradient and the loss there, and what it must remember, as tensors with one entry per row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushpull.attacks.budget import Box, Budget
from pushpull.attacks.check import (
    check_initial,
    check_run,
    require_flag,
    require_whole,
    warn_of_no_gradient,
    warn_of_scale,
)
from pushpull.attacks.float64 import refine
from pushpull.attacks.loop import run_attack
from pushpull.attacks.result import AttackResult, Step
from pushpull.attacks.start import Streams, Tensors


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What every attack has in common.

    Args:
        keep: "best" keeps each clip's iterate of highest loss, the unattacked clip included; "last" keeps the final
            one, as published algorithms do.
        grid: keep every iterate on the values that a file can store (8-bit frames, 16-bit samples). Where eps is
            below one storage step nothing can move; ``AttackResult.movable`` says how much can.
        early_stop: a clip all of whose masked frames are won leaves the batch, and the iterate that won them is kept,
            whatever its loss; of several restarts that did, the one of highest loss.

    Raises:
        ValueError: a parameter is of the wrong type, not finite or out of range; the message names it.
    """

    keep: str = "best"
    grid: bool = False
    early_stop: bool = False

    title: ClassVar[str] = ""
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
        initial: Tensors | None = None,
        on_step: Callable[[Step], bool | None] | None = None,
        max_rows: int = 8,
        autocast: torch.dtype | None = None,
        float64_fallback: bool = False,
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
            initial: {name: (B, ...)} where the first restart starts, such as what was found on another detector:
                inputs, not differences; projected onto the budget. The other restarts start as ever, and so do
                modalities that it leaves out. The unattacked clip stays a candidate for "best".
            on_step: called with a ``Step`` after every evaluation; returning False or raising ``Cancelled`` stops the
                attack, and the best so far is returned.
            max_rows: restarts are attacked together as long as restarts x B stays within this; fewer after the
                device ran out of memory.
            autocast: torch.bfloat16 or torch.float16 runs the model in mixed precision.
            float64_fallback: attack clips whose gradient was exactly zero somewhere, with frames left to win, once more
                in float64, where cross entropy saturates later, and then on from what that found; see ``in_float64``.
                They follow in ``trace``.

        Raises:
            ValueError: shapes, types, ranges or names do not fit, those of the model's outputs included; there is no
                clip; the loss of an unattacked clip is not finite; or a model cannot be run in float64 that must be.

        Warns:
            UserWarning: a picture whose budget is in 0..255 lies in 0..1; the model gives probabilities instead of
                logits; no gradient of a clip was ever other than zero, so that it comes back as it was (or as the best
                random start).
        """
        options = {
            "budgets": budgets,
            "objective": objective,
            "targeted": targeted,
            "mask": mask,
            "seed": seed,
            "initial": initial,
            "on_step": on_step,
            "max_rows": max_rows,
            "autocast": autocast,
        }
        check_run(inputs, labels, mask, budgets, seed, on_step)
        check_initial(initial, inputs)
        warn_of_scale(inputs, budgets, stacklevel=2)
        result = run_attack(self, model, inputs, labels, **options)
        if float64_fallback:
            result = refine(self, result, model, inputs, labels, **options)
        back = "unchanged" if initial is None else "as the better of clip and start"
        outcome = f"they come back {'as the best random start' if self.random_start else back}"
        warn_of_no_gradient(torch.nonzero(result.no_gradient).flatten().tolist(), outcome, stacklevel=2)
        return result


ATTACKS: dict[str, type[Attack]] = {}


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


def attack_titles() -> dict[str, str]:
    """What people read for each name of ``ATTACKS``; the name itself where a class states no ``title`` of its own."""
    return {name: vars(attack).get("title") or name for name, attack in ATTACKS.items()}
