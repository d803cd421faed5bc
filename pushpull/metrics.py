"""Metrics of detection, of robustness and of how visible a perturbation is.

A number that is not defined (no positive frames, no perturbation, silence) is ``nan`` in the functions and ``None``
in a ``Report``, which says why in ``notes``; nothing here replaces it by a number that looks real.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from pushpull.attacks.objectives import logits_of

Tensors = dict[str, Tensor]
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
    """Peak signal-to-noise ratio in dB: 10 log10(peak^2 / mean (x~ - x)^2). inf without a perturbation."""
    clean, attacked = _array(clean).astype(np.float64), _array(attacked).astype(np.float64)
    error = float(((attacked - clean) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def ssim(clean, attacked, peak: float = PEAK) -> float:
    """Structural similarity, mean over the frames of (..., H, W) video, by scikit-image (7 x 7 windows)."""
    clean, attacked = _array(clean).astype(np.float64), _array(attacked).astype(np.float64)
    frames = zip(clean.reshape(-1, *clean.shape[-2:]), attacked.reshape(-1, *attacked.shape[-2:]), strict=True)
    return float(np.mean([structural_similarity(a, b, data_range=peak) for a, b in frames]))


@dataclass(frozen=True)
class Column:
    """One column of a report: the numbers of one version of the clips. None where not defined; see ``Report.notes``.

    Args:
        average_precision, prevalence: in 0..1, over all the frames of all clips together; the second is the floor.
        frame_accuracy: share of frames this version is predicted right on.
        robust_accuracy: share of the aimed-at frames that no iterate of the attack won.
        success_rate: of the frames right before, the share wrong after; of a targeted attack, the share at the target.
        flipped, frames: predictions that differ from the clean ones, and how many frames there are.
        ecr_a, ecr_v: embedding change ratio of z_a and z_v.
        snr_audio_db, snr_video_db, psnr_db, ssim: size of the perturbation; PSNR and SSIM are of the video.
        max_audio, max_video: largest absolute change, in 16-bit steps (1/32768) and in grey levels.
        mean_audio, mean_video: mean absolute change, same units.
    """

    average_precision: float | None
    prevalence: float | None
    frame_accuracy: float | None
    robust_accuracy: float | None
    success_rate: float | None
    flipped: int
    frames: int
    ecr_a: float | None
    ecr_v: float | None
    snr_audio_db: float | None
    snr_video_db: float | None
    psnr_db: float | None
    ssim: float | None
    max_audio: float
    max_video: float
    mean_audio: float
    mean_video: float


@dataclass(frozen=True)
class Report:
    """The metrics of an attack in three columns: clean, float (as the attack found it), stored (as a file holds it).

    Args:
        columns: {"clean": ..., "float": ..., "stored": ...}.
        notes: {"column.metric": why it is None}.
    """

    columns: dict[str, Column]
    notes: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Plain numbers, strings and None: ready for JSON."""
        return {"columns": {name: asdict(column) for name, column in self.columns.items()}, "notes": dict(self.notes)}

    @classmethod
    def from_dict(cls, values: dict) -> "Report":
        """The inverse of ``to_dict``; unknown keys raise TypeError."""
        return cls({name: Column(**column) for name, column in values["columns"].items()}, dict(values["notes"]))

    def rows(self) -> list[dict]:
        """One row per metric with a value per column and a note: ready for a table or CSV."""
        rows = []
        for metric in Column.__dataclass_fields__:
            row = {"metric": metric} | {name: getattr(column, metric) for name, column in self.columns.items()}
            notes = [f"{name}: {self.notes[f'{name}.{metric}']}" for name in row if f"{name}.{metric}" in self.notes]
            rows.append(row | {"note": "; ".join(notes)})
        return rows


WHY = {
    "average_precision": "no frame is labelled as speaking, or a score is not a number",
    "prevalence": "no frames",
    "frame_accuracy": "no frames",
    "robust_accuracy": "the attack's iterates are known in the float column only",
    "success_rate": "no frame was predicted right before the attack",
    "ecr_a": "the model gives no z_a, or it is zero",
    "ecr_v": "the model gives no z_v, or it is zero",
    "snr_audio_db": "the sound is not changed, or is digital silence",
    "snr_video_db": "the picture is not changed, or is black",
    "psnr_db": "the picture is not changed",
    "ssim": "not computed",
}


@torch.no_grad()
def compare(model: Callable, clean: Tensors, versions: dict[str, Tensors], labels: Tensor, **options) -> Report:
    """Score versions of the same clips with ``model`` and compare them; see ``tabulate``.

    Args:
        model: takes a dict of tensors, returns ``Outputs``.
        clean: {"audio": (B, N), "video": (B, T, 112, 112)} before the attack.
        versions: what to compare with it, e.g. {"float": result.adversarial, "stored": result.stored}.
        labels: (B, T) int64, what is right.
        options: as ``tabulate``.
    """
    inputs = {"clean": clean, **versions}
    return tabulate({name: model(version) for name, version in inputs.items()}, inputs, labels, **options)


def tabulate(
    outputs: dict,
    inputs: dict[str, Tensors],
    labels: Tensor,
    *,
    mask: Tensor | None = None,
    aimed: Tensor | None = None,
    targets: Tensor | None = None,
    flipped_ever: Tensor | None = None,
) -> Report:
    """A report from what the model said about each version of the clips.

    Args:
        outputs: {"clean": Outputs, "float": ..., ...}; where z_a or z_v is missing, its ECR is None.
        inputs: {"clean": {"audio", "video"}, ...}, same keys.
        labels: (B, T) int64, what is right.
        mask: (B, T) bool, the frames that count; None means all.
        aimed: (B, T) bool, the frames that the attack was after; None means those of ``mask``. Success rate and
            robust accuracy are over these.
        targets: (B, T) int64, what a targeted attack wants; None for an untargeted one.
        flipped_ever: (B, T) bool, from the attack; belongs to the version "float".
    """
    mask = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask
    aimed = mask if aimed is None else aimed
    columns, notes = {}, {}
    for name in outputs:
        column = _prediction(outputs["clean"], outputs[name], labels, mask)
        column |= _success(outputs["clean"], outputs[name], labels, aimed, targets)
        column |= _perturbation(inputs["clean"], inputs[name])
        known = name == "float" and flipped_ever is not None
        column["robust_accuracy"] = robust_accuracy(flipped_ever, aimed) if known else None
        for metric, value in column.items():
            if value is None or not math.isfinite(value):
                column[metric] = None
                notes[f"{name}.{metric}"] = WHY[metric]
        columns[name] = Column(**column)
    return Report(columns, notes)


def _prediction(before, after, labels, mask) -> dict:
    was, logits = (logits_of(outputs).float()[mask] for outputs in (before, after))
    ratios = {}
    for name in ("z_a", "z_v"):
        z, z_attacked = (getattr(outputs, name, None) for outputs in (before, after))
        ratios[name] = None if z is None else ecr(z[mask], z_attacked[mask])
    return {
        "average_precision": average_precision(logits[:, 1] - logits[:, 0], labels[mask]),
        "prevalence": prevalence(labels[mask]),
        "frame_accuracy": frame_accuracy(logits.argmax(-1), labels[mask]),
        "flipped": int((was.argmax(-1) != logits.argmax(-1)).sum()),
        "frames": int(mask.sum()),
        "ecr_a": ratios["z_a"],
        "ecr_v": ratios["z_v"],
    }


def _success(before, after, labels, aimed, targets) -> dict:
    was, now = (logits_of(outputs).argmax(-1)[aimed] for outputs in (before, after))
    rate = success_rate(was, now, labels[aimed]) if targets is None else target_rate(now, targets[aimed])
    return {"success_rate": rate}


def _perturbation(clean, attacked) -> dict:
    sound, picture = ((attacked[name] - clean[name]).abs().double() for name in ("audio", "video"))
    return {
        "snr_audio_db": snr_db(clean["audio"], attacked["audio"]),
        "snr_video_db": snr_db(clean["video"], attacked["video"]),
        "psnr_db": psnr(clean["video"], attacked["video"]),
        # Structural similarity is slow, and 1 by definition where nothing changed.
        "ssim": ssim(clean["video"], attacked["video"]) if picture.any() else 1.0,
        "max_audio": sound.max().item() * SAMPLE_STEPS,
        "max_video": picture.max().item(),
        "mean_audio": sound.mean().item() * SAMPLE_STEPS,
        "mean_video": picture.mean().item(),
    }
