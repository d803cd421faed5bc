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
    present = [frames for frames in (labels == SPEAKING, labels == SILENT) if frames.any()]
    audio, video = ([e[frames] for frames in present] for e in (e_a, e_v))
    centres_a, centres_v = ([frames.mean(dim=0) for frames in classes] for classes in (audio, video))

    zero = (e_a.sum() + e_v.sum()) * 0
    losses = dict.fromkeys(NAMES, zero)
    if len(present) == 2:
        losses["L1"] = _cos(*centres_a) + _cos(*centres_v)
    for a, v, centre_a, centre_v in zip(audio, video, centres_a, centres_v, strict=True):
        losses["L2"] = losses["L2"] - _cos(a, centre_a).mean() - _cos(v, centre_v).mean()
        losses["L3"] = losses["L3"] - _cos(centre_a, centre_v)
        losses["L4"] = losses["L4"] + _distance(a, v).mean()
    return losses


def embedding_norms(e_a: Tensor, e_v: Tensor) -> dict[str, float]:
    """Mean l2 norms of (..., D) embeddings, for logs: a falling L4 means little where these fall as fast."""
    return {"norm_a": e_a.detach().float().norm(dim=-1).mean().item()} | {
        "norm_v": e_v.detach().float().norm(dim=-1).mean().item()
    }


def _cos(x: Tensor, y: Tensor) -> Tensor:
    return F.cosine_similarity(x, y.expand_as(x), dim=-1)


def _distance(x: Tensor, y: Tensor) -> Tensor:
    """(K, D), (K, D) -> (K,). The slope of a norm at 0 is not a number; where x = y the distance is as good as 0."""
    return (x - y).square().sum(dim=-1).clamp(min=1e-12).sqrt()
