"""Scores that assume speech as likely as silence, whatever share of the training frames was speech."""

import math

import torch
from torch import nn

HEADS = ("headAV", "headA", "headV", "lossAV.FC", "lossV.FC")  # of TalkNet; of Light-ASD and LR-ASD


@torch.no_grad()
def assume_prior(model: nn.Module, trained: float, assumed: float) -> None:
    """Move the zero of a trained model's log-odds from one prior probability of *speaking* to another.

    A network trained with cross-entropy gives posterior log-odds: the evidence plus the log-odds of the prior, which
    is the share of speaking frames it was trained on. With one speaking frame in four it wants 1.1 nats of evidence
    before it says *speaking*, and on people it has never seen it has less than on those it knows. The difference of
    the two priors' log-odds goes into the biases of all of its classifiers (logit adjustment: Menon et al. 2021,
    "Long-tail learning via logit adjustment", Eq. 10; for a uniform prior). Ranks, and with them AVA-AP, stay.

    Args:
        model: a network that is trained here; changed in place.
        trained, assumed: shares of speaking frames, each between 0 and 1, neither of them 0 or 1.

    Raises:
        ValueError: one of them is not.
    """
    shift = log_odds(assumed) - log_odds(trained)
    for head in (module for name, module in model.named_modules() if name in HEADS):
        bias = head.bias
        # Half on each class: the weights are stored in half precision, which is finer near 0.
        bias += torch.tensor([-shift / 2, shift / 2], dtype=bias.dtype, device=bias.device)


def log_odds(share: float) -> float:
    """Of a probability.

    Raises:
        ValueError: it is not between 0 and 1, or one of them.
    """
    if not 0 < share < 1:
        raise ValueError(f"a prior is a share of speaking frames between 0 and 1, got {share}")
    return math.log(share / (1 - share))
