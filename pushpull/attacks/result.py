"""What an attack tells: a ``Step`` after every evaluation, an ``AttackResult`` at its end."""

from dataclasses import dataclass, field

from torch import Tensor

Tensors = dict[str, Tensor]


class Cancelled(Exception):
    """Raised by an ``on_step`` callback to stop the attack; the best so far is returned."""


@dataclass(frozen=True)
class Step:
    """What one evaluation found, for one restart, as means over the clips of the batch.

    Args:
        step, steps: iterate 0 is the start; iterate ``steps`` is the last. Where random starts were tried, iterate 0
            comes twice: the clip itself, and the starts.
        restart, restarts: which of the restarts, from 0.
        loss: objective at this iterate.
        best_loss: highest objective so far in this restart; with ``early_stop``, of what won all frames.
        won_share: share of the masked frames that this iterate wins: against the labels, or for the targets.
        flipped_share: share of all frames that it has decided otherwise than the unattacked clip; by every member of an
            ensemble.
        grad_norm: per modality, l2 norm of the gradient; empty where none was taken (last iterate, noise).
        zero_grad_share: per modality, share of gradient elements that are exactly zero.
        progress: share of the whole attack that is done, 0..1.
        random_start: per modality, share of the clips that took a random start because their own gradient was exactly
            zero; 0 where it was tried and the gradient stayed zero. Empty unless this is the evaluation of such starts.
    """

    step: int
    steps: int
    restart: int
    restarts: int
    loss: float
    best_loss: float
    won_share: float
    flipped_share: float
    grad_norm: dict[str, float]
    zero_grad_share: dict[str, float]
    progress: float
    random_start: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack found.

    Args:
        adversarial: {name: (B, ...)}, within eps and range of the inputs to the last bit.
        stored: the same after being written to a file and read back; rounding may exceed eps by half a storage step.
        delta: adversarial - inputs.
        loss: (B,) objective of ``adversarial``.
        clean_loss: (B,) objective of the unattacked clips (on the grid if ``grid``).
        flipped_ever: (B, T) bool, masked frames that some iterate of some restart won; the unattacked clip is one.
        movable: {name: (B,)} share of the elements that the budget lets take more than one value.
        no_gradient: (B,) bool, clips of which no evaluation had a gradient other than exactly zero, although some frame
            counts; never with an attack that takes none.
        stalled: (B,) bool, clips of which some evaluation had none while frames were left to win.
        trace: every ``Step``, in order.
        cancelled: whether the attack was stopped before its end.
    """

    adversarial: Tensors
    stored: Tensors
    delta: Tensors
    loss: Tensor
    clean_loss: Tensor
    flipped_ever: Tensor
    movable: Tensors
    no_gradient: Tensor
    stalled: Tensor
    trace: tuple[Step, ...]
    cancelled: bool
