"""Batch normalisation's running statistics, estimated anew for weights that have stopped moving."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


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
        ValueError: no batch was given.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    count = 0
    try:
        for inputs in batches:
            if count == 0:  # not earlier: without a batch the old statistics stay
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # a plain average
                    norm.train()
            model(inputs)
            count += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, was in training:
            module.training = was
    if count == 0:
        raise ValueError("recalibration needs at least one batch")
