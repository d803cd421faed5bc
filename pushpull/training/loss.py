"""What training minimises, how fast, and on which batches."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pushpull.data.batches import Batch, make_batch
from pushpull.detectors import Outputs
from pushpull.detectors.streams import TwoStreams
from pushpull.training.avil import NAMES, embedding_norms, interaction_losses
from pushpull.training.networks import Network
from pushpull.training.options import WARMUP_MIX, WARMUP_SECONDS, TrainOptions


def training_loss(
    options: TrainOptions, outputs: Outputs, labels: Tensor, step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """CE_all + sum of lambda_j L_j (paper, Eq. 4 and 11) of one batch, and its parts for people to look at.

    A network without one of the heads has no loss of it: Light-ASD and LR-ASD have no audio-only one.

    Args:
        labels: (B, T) int64.
        step: before ``options.warmup_steps`` CE_v has its own weight.

    Returns:
        (loss, {"av", "a", "v"} cross-entropies in nats; with an interaction loss also "L1".."L4", "norm_a", "norm_v").
        Those of heads that there are.
    """
    visual_weight = options.warmup_visual_weight if step < options.warmup_steps else options.visual_weight
    heads = {"av": outputs.logits_av, "a": outputs.logits_a, "v": outputs.logits_v}
    heads = {name: logits for name, logits in heads.items() if logits is not None}
    losses = {name: cross_entropy(logits.float().flatten(0, 1), labels.flatten()) for name, logits in heads.items()}
    loss = losses["av"]
    for name, weight in (("a", options.audio_weight), ("v", visual_weight)):
        if name in losses:
            loss = loss + weight * losses[name]
    norms = {}
    if any(options.lambdas):
        interaction = interaction_losses(outputs.e_a, outputs.e_v, labels)
        # Those without weight are only looked at.
        for weight, name in zip(options.lambdas, NAMES, strict=True):
            if weight:
                loss = loss + weight * interaction[name]
        losses |= interaction
        norms = embedding_norms(outputs.e_a, outputs.e_v)
    # Not numbers yet: reading one waits for the device, which has the backward pass to do.
    return loss, {name: value.detach() for name, value in losses.items()} | norms


def training_batch(options: TrainOptions, pool, index: int) -> Batch:
    """Batch number ``index``, ``options.accumulate`` of them a step: of the curriculum first, then of every kind."""
    if index < options.warmup_steps * options.accumulate:
        # The sound as recorded: that lips and voice belong together is what is to be found here.
        whole = {"shortest": WARMUP_SECONDS, "longest": WARMUP_SECONDS, "sound_early": 0, "sound_late": 0}
        short = replace(options.batches, **whole)
        return make_batch(pool, WARMUP_MIX, short, seed=options.seed, step=index)
    return make_batch(pool, options.mix, options.batches, seed=options.seed, step=index)


def learning_rate(options: TrainOptions, step: int, epoch_steps: int) -> float:
    """Of one step: a linear ramp, then cosine or exponential decay."""
    ramp = min(1.0, (step + 1) / max(1, options.ramp))
    if options.schedule == "exponential":
        return options.learning_rate * ramp * options.decay ** (step // epoch_steps)
    # A plain float: numpy's own would make the optimizer's state something that only an unsafe load reads.
    return options.learning_rate * ramp * float(0.01 + 0.99 * (1 + np.cos(np.pi * step / options.steps)) / 2)


def set_temperature(network: Network, options: TrainOptions, step: int) -> None:
    """Of the audio-visual logits of Light-ASD and LR-ASD: from ``options.temperature`` to 1 in a straight line."""
    if isinstance(network, TwoStreams):
        network.temperature = 1 + (options.temperature - 1) * (1 - step / options.steps)


def draws(seed: int, index: int) -> torch.Generator:
    """Seed dropout for batch number ``index``, and return the generator of its augmentation."""
    random = np.random.SeedSequence([seed, index, 1]).generate_state(2)
    torch.manual_seed(int(random[0]))
    return torch.Generator().manual_seed(int(random[1]))
