"""The numbers themselves: of detection, of robustness and of how visible a perturbation is.

What is not defined (no positive frames, no perturbation, silence) is ``nan``; nothing here replaces it by a number that
looks real.
"""

import math

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

PEAK = 255.0  # grey levels
SAMPLE_STEPS = 32768  # 16-bit steps in full scale


def _array(values) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def average_precision(scores, labels) -> float:
    """AVA's average precision, the paper's "mAP", in 0..1.

    Frames are ranked by score; precision is made monotone from the right (VOC) and integrated over recall. Where
    scores tie, positives rank last, whatever the row order: constant scores give the prevalence, not 1. Without ties
    it equals the official AVA-ActiveSpeaker tool.

    Args:
        scores: any shape, higher means speaking; use the logit margin, which unlike a probability never saturates.
        labels: same shape, 1 speaking, 0 not.

    Returns:
        nan if no label is positive or a score is nan.
    """
    scores, labels = _array(scores).ravel(), _array(labels).ravel()
    if scores.shape != labels.shape:
        raise ValueError(f"scores and labels must match, got {scores.shape} and {labels.shape}")
    if not (labels == 1).any() or np.isnan(scores).any():
        return math.nan
    order = np.lexsort((labels, -scores))
    hits = (labels[order] == 1).astype(np.float64)
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    # Recall rises by the same amount at every positive and not in between.
    return float((envelope * hits).sum() / found[-1])


def prevalence(labels) -> float:
    """Share of frames that are speaking: the value average precision has when scores say nothing. nan if no frames."""
    labels = _array(labels)
    return float((labels == 1).mean()) if labels.size else math.nan


def frame_accuracy(predicted, labels) -> float:
    """Share of frames predicted right. nan if no frames."""
    right = _array(predicted) == _array(labels)
    return float(right.mean()) if right.size else math.nan


def robust_accuracy(flipped_ever, mask=None) -> float:
    """Share of frames that no iterate of the attack won (``AttackResult.flipped_ever``). nan if no frames."""
    flipped = _array(flipped_ever)
    flipped = flipped if mask is None else flipped[_array(mask)]
    return float((~flipped).mean()) if flipped.size else math.nan


def success_rate(clean, attacked, labels) -> float:
    """Of the frames predicted right before the attack, the share predicted wrong after. nan if none was right."""
    clean, attacked, labels = _array(clean), _array(attacked), _array(labels)
    right = clean == labels
    return float((attacked[right] != labels[right]).mean()) if right.any() else math.nan


def target_rate(attacked, targets) -> float:
    """Share of frames predicted as the attacker wants. nan if no frames."""
    return frame_accuracy(attacked, targets)


def ecr(z, z_attacked) -> float:
    """Embedding change ratio: mean over frames of ||z - z~||_2 / ||z||_2 (paper section 4.3).

    Args:
        z, z_attacked: (..., T, D) embeddings before and after. Frames where z is 0 have no ratio and are left out.

    Returns:
        nan if no frame is left.
    """
    z, z_attacked = _array(z).astype(np.float64), _array(z_attacked).astype(np.float64)
    size = np.linalg.norm(z, axis=-1)
    change = np.linalg.norm(z - z_attacked, axis=-1)
    known = size > 0
    return float((change[known] / size[known]).mean()) if known.any() else math.nan


def snr_db(clean, attacked) -> float:
    """Signal-to-noise ratio of a perturbation in dB: 10 log10(sum x^2 / sum (x~ - x)^2).

    inf without a perturbation, -inf where the signal itself is zero, nan where both are.
    """
    clean, attacked = _array(clean).astype(np.float64), _array(attacked).astype(np.float64)
    signal, noise = float((clean**2).sum()), float(((attacked - clean) ** 2).sum())
    if noise == 0:
        return math.nan if signal == 0 else math.inf
    return -math.inf if signal == 0 else 10 * math.log10(signal / noise)


def psnr(clean, attacked, peak: float = PEAK) -> float:
    """Peak signal-to-noise ratio in dB, by scikit-image: 10 log10(peak^2 / mean (x~ - x)^2). inf without a change."""
    clean, attacked = _array(clean).astype(np.float64), _array(attacked).astype(np.float64)
    if np.array_equal(clean, attacked):
        return math.inf
    return float(peak_signal_noise_ratio(clean, attacked, data_range=peak))


def ssim(clean, attacked, peak: float = PEAK) -> float:
    """Structural similarity, mean over the frames of (..., H, W) video, by scikit-image (7 x 7 windows)."""
    clean, attacked = _array(clean).astype(np.float64), _array(attacked).astype(np.float64)
    frames = zip(clean.reshape(-1, *clean.shape[-2:]), attacked.reshape(-1, *attacked.shape[-2:]), strict=True)
    return float(np.mean([structural_similarity(a, b, data_range=peak) for a, b in frames]))
