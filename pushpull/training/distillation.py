"""Distillation: the embeddings of a trained detector as targets for those of another, whatever the sizes of the two.

A large network that begins with random weights spends most of a short run finding out where to look. A small one that
knows it already can tell: e_a and e_v are 128 numbers a frame in every size (Romero et al. 2015, "FitNets: hints for
thin deep nets"; here the pupil is the larger one). The labels say the rest.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pushpull.detectors import Outputs
from pushpull.training.networks import Network


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """Whose embeddings a network in training is drawn to, and how long.

    Args:
        source: a checkpoint, name or path; "" for none.
        weight: of the distillation loss at the first step.
        until: the share of the run's steps over which the weight falls linearly to 0; the rest is without it.

    Raises:
        ValueError: a number is out of range.
    """

    source: str = ""
    weight: float = 1.0
    until: float = 0.5

    def __post_init__(self):
        if self.weight < 0 or not 0 < self.until <= 1:
            raise ValueError(
                f"distillation.weight is at least 0, got {self.weight}; distillation.until is a share of the run above "
                f"0, got {self.until}"
            )

    def weight_at(self, step: int, steps: int) -> float:
        """Of one step of ``steps``; 0 without a source."""
        return self.weight * max(0.0, 1 - step / (self.until * steps)) if self.source else 0.0


def distillation_loss(teacher: Network, inputs: dict[str, Tensor], outputs: Outputs) -> Tensor:
    """The share of the variance of the teacher's e_a and e_v that the pupil's leave unexplained, added up.

    Each is the mean squared distance over the teacher's variance in this batch: 0 for the same embeddings, 1 for the
    best constant ones, so that it does not matter how large a teacher's embeddings are.

    Args:
        inputs: what both networks were given.
        outputs: the pupil's, of these inputs first; what follows them (adversarial examples, which would fool a
            teacher too) is left alone.

    Returns:
        A scalar, differentiable in ``outputs``; finite where all embeddings of a batch are alike, too.
    """
    with torch.no_grad():
        told = teacher(inputs)
    loss = outputs.e_a.new_zeros((), dtype=torch.float32)
    for target, own in ((told.e_a, outputs.e_a), (told.e_v, outputs.e_v)):
        target, own = target.float().flatten(0, 1), own[: len(target)].float().flatten(0, 1)
        variance = (target - target.mean(dim=0)).square().mean()
        loss = loss + (own - target).square().mean() / variance.clamp(min=1e-6)
    return loss
