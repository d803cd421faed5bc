"""The audio-visual interaction losses of the paper (section 3.3): push the classes apart, pull each together.

They act on e_a and e_v, the embeddings before cross-attention, over all frames of a batch. All four are minimised.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

NAMES = ("L1", "L2", "L3", "L4")
SPEAKING, SILENT = 1, 0


def interaction_losses(e_a: Tensor, e_v: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """L1 to L4 of one batch (paper, Eq. 6-10).

    * L1, intra-modality inter-class dispersion: cos of the two classes' centres, summed over the modalities; -2..2.
    * L2, intra-modality intra-class dissimilarity: minus the mean cos of each frame and its class's centre, summed
      over classes and modalities; -4..4.
    * L3, inter-modality intra-class dissimilarity: minus the cos of audio and visual centre, summed over classes;
      -2..2.
    * L4, inter-modality intra-class distance: the mean of ||e_v - e_a||_2 over each class's frames, summed over
      classes. The first sum of Eq. 10 is printed with the frames of the wrong class; here each class has its own.
      It is in the embeddings' own units: it also falls when they shrink, so log :func:`embedding_norms` beside it.

    A batch without one of the classes skips the terms that need it: what is left of L2, L3 and L4 is the other
    class's, and L1 is 0.

    Args:
        e_a, e_v: (B, T, D) or (K, D) embeddings of the same frames; computed in float32 at least.
        labels: (B, T) or (K,), 1 speaking, 0 not.

    Returns:
        {"L1": scalar, ..., "L4": scalar}, each finite and differentiable in both embeddings.

    Raises:
        ValueError: shapes do not fit together.
    """
    if e_a.shape != e_v.shape or e_a.shape[:-1] != labels.shape:
        raise ValueError(
            f"e_a and e_v must be alike and labels one per frame, got {tuple(e_a.shape)}, {tuple(e_v.shape)} and "
            f"{tuple(labels.shape)}"
        )
    e_a, e_v = (e.flatten(0, -2).to(torch.promote_types(e.dtype, torch.float32)) for e in (e_a, e_v))
    labels = labels.flatten()
    # Sums over all frames, weighted, and not over chosen ones: a choice would have to wait for the device.
    belongs = torch.stack([labels == SPEAKING, labels == SILENT]).to(e_a.dtype)  # (2, K)
    counts = belongs.sum(dim=1)
    shares = (
        belongs / counts.clamp(min=1)[:, None]
    )  # of a frame in its class's mean; all 0 where there is no such frame
    centres_a, centres_v = shares @ e_a, shares @ e_v  # (2, D)

    both = (counts > 0).all()
    apart = _cos(centres_a[0], centres_a[1]) + _cos(centres_v[0], centres_v[1])
    alike = sum((shares * _cos(e, centres[:, None])).sum() for e, centres in ((e_a, centres_a), (e_v, centres_v)))
    return {
        "L1": torch.where(both, apart, 0.0),
        "L2": -alike,
        "L3": -((counts > 0) * _cos(centres_a, centres_v)).sum(),
        "L4": (shares * _distance(e_a, e_v)).sum(),
    }


def embedding_norms(e_a: Tensor, e_v: Tensor) -> dict[str, Tensor]:
    """Mean l2 norms of (..., D) embeddings, for logs: a falling L4 means little where these fall as fast."""
    return {name: e.detach().float().norm(dim=-1).mean() for name, e in (("norm_a", e_a), ("norm_v", e_v))}


def _cos(x: Tensor, y: Tensor) -> Tensor:
    return F.cosine_similarity(x, y, dim=-1)


def _distance(x: Tensor, y: Tensor) -> Tensor:
    """(K, D), (K, D) -> (K,). The slope of a norm at 0 is not a number; where x = y the distance is as good as 0."""
    return (x - y).square().sum(dim=-1).clamp(min=1e-12).sqrt()
