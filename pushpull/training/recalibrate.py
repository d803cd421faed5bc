"""Batch normalisation's running statistics, estimated anew for weights that have stopped moving."""

from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn


class _NormsInTraining(nn.Module):
    """A model of which :func:`torch.optim.swa_utils.update_bn` puts only the normalisations into training mode.

    With dropout on, statistics behind it would not be those of the model in use.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return self.model(inputs)

    def train(self, mode: bool = True):
        self.model.eval()
        self.model.training = mode  # of the whole: a batch is then taken at once, not in spans
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.train(mode)
        return self


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[dict[str, Tensor]]) -> None:
    """Replace every running mean and variance by its plain average over ``batches``, and leave all else as it was.

    The official visual layers follow their inputs with momentum .01: after a few hundred steps the running averages
    still hold what the untrained network gave. In training mode nobody notices, since batches normalise themselves;
    in evaluation mode scores are shifted. (Precise batch normalisation: Wu and Johnson 2021, "Rethinking 'Batch' in
    BatchNorm".)

    Args:
        model: takes one of ``batches`` at a time. Its weights do not change; dropout is off.
        batches: inputs like those the model will be used on, at least one.

    Raises:
        ValueError: no batch was given; the old statistics stay.
    """
    batches = iter(batches)
    try:
        first = next(batches)
    except StopIteration:
        raise ValueError("recalibration needs at least one batch") from None
    modes = [(module, module.training) for module in model.modules()]
    momenta = [(module, module.momentum) for module in model.modules() if isinstance(module, _BatchNorm)]
    try:
        update_bn(chain([first], batches), _NormsInTraining(model))
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
