"""The report of an attack run: scores per frame as a table, and everything else as JSON that the run repeats from."""

import json
import math
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pushpull import __version__
from pushpull.attacks.budget import STORAGE_STEP
from pushpull.clip import FPS
from pushpull.files import read_text, sha256
from pushpull.job import Outcome
from pushpull.models import TalkNet
from pushpull.order import Order
from pushpull.plots.scores import probability

FORMAT = "pushpull.perturb/1"
STORAGE_UNITS = {"audio": "16-bit steps (1/32768 of full scale)", "video": "grey levels (of 255)"}
UNITS = {
    "average_precision": "0..1",
    "prevalence": "0..1, the average precision of scores that say nothing",
    "frame_accuracy": "share of frames, 0..1",
    "robust_accuracy": "share of frames aimed at, 0..1",
    "success_rate": "share of frames aimed at, 0..1",
    "flipped": "frames",
    "frames": "frames at 25 per second",
    "ecr_a": "ratio",
    "ecr_v": "ratio",
    "snr_audio_db": "dB",
    "snr_video_db": "dB",
    "psnr_db": "dB re 255 grey levels",
    "ssim": "-1..1",
    "max_audio": STORAGE_UNITS["audio"],
    "mean_audio": STORAGE_UNITS["audio"],
    "max_video": STORAGE_UNITS["video"],
    "mean_video": STORAGE_UNITS["video"],
}


def scores_table(outcome: Outcome, offset: float = 0.0) -> pd.DataFrame:
    """One row per frame of the face.

    Columns: ``frame`` (from 0, the face's first), ``time_s`` (seconds into the file), ``label`` (1 speaking, 0 not:
    what counted as right), ``target`` (what a targeted attack wanted; empty where it wanted nothing), and for the
    clean, the adversarial and the stored clip ``probability_*`` of speaking and ``logodds_*``, which do not saturate.

    Args:
        outcome: of the attack.
        offset: seconds into the file at which the face's first frame lies.
    """
    frames = outcome.clip.frames
    table = {
        "frame": np.arange(frames),
        "time_s": np.round(offset + np.arange(frames) / FPS, 6),
        "label": outcome.labels[0].numpy(),
    }
    target = pd.array([pd.NA] * frames, dtype="Int64")
    if outcome.targets is not None:
        counted = torch.ones_like(outcome.targets, dtype=torch.bool) if outcome.mask is None else outcome.mask
        target[counted[0].numpy()] = outcome.targets[0][counted[0]].numpy()
    table["target"] = target
    table |= {f"probability_{name}": probability(margin) for name, margin in outcome.margins.items()}
    table |= {f"logodds_{name}": margin.astype(np.float64) for name, margin in outcome.margins.items()}
    return pd.DataFrame(table)


@dataclass(frozen=True)
class Source:
    """The file that was attacked.

    Args:
        path: as the user gave it.
        sha256: of its bytes.
        bytes: its size.
    """

    path: str
    sha256: str
    bytes: int

    @classmethod
    def of(cls, path: str | os.PathLike) -> "Source":
        """Reads the file once."""
        return cls(str(path), sha256(path), Path(path).stat().st_size)


def environment(model: TalkNet) -> dict:
    """What besides order, clip and checkpoint the last bits of the numbers depend on."""
    device = next(model.parameters()).device
    return {
        "pushpull": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }


def storage(outcome: Outcome) -> dict:
    """What of the perturbation survives in a file of 8-bit frames and 16-bit samples, per modality and in words."""
    statement, parts = [], {}
    columns = outcome.metrics.columns
    for name, title in (("audio", "sound"), ("video", "picture")):
        found, kept = (outcome.result.delta[name], outcome.result.stored[name] - outcome.clip.inputs()[name])
        parts[name] = {
            "unit": STORAGE_UNITS[name],
            "eps": outcome.eps[name] / STORAGE_STEP[name],
            "float": {
                "max": getattr(columns["float"], f"max_{name}"),
                "mean": getattr(columns["float"], f"mean_{name}"),
            },
            "stored": {
                "max": getattr(columns["stored"], f"max_{name}"),
                "mean": getattr(columns["stored"], f"mean_{name}"),
            },
            "changed_share": {"float": (found != 0).float().mean().item(), "stored": (kept != 0).float().mean().item()},
        }
        unit = STORAGE_UNITS[name].split(" (")[0]
        statement.append(
            f"The {title} changed by at most {parts[name]['float']['max']:.4g} {unit} "
            f"({parts[name]['float']['mean']:.4g} on average); in a file by at most {parts[name]['stored']['max']:.4g} "
            f"({parts[name]['stored']['mean']:.4g} on average)."
        )
    if outcome.frozen:
        words = " and the ".join({"audio": "sound", "video": "picture"}[name] for name in outcome.frozen)
        statement.append(
            f"The budget of the {words} is below one storage step, so on the grid nothing of it could move."
        )
    return parts | {"statement": " ".join(statement)}


def run_report(
    outcome: Outcome, *, source: Source, model: TalkNet, offset: float = 0.0, files: dict[str, str] | None = None
) -> dict:
    """Everything about a run, ready for JSON; ``read_report`` reads it back.

    Args:
        outcome: of the attack.
        source: the file that the user gave.
        model: the detector that was attacked; its card says which.
        offset: seconds into the file at which the face's first frame lies.
        files: names of what was written beside the report, with what each is.
    """
    steps = [_finite(asdict(step)) for step in outcome.result.trace]
    card = model.card
    return {
        "format": FORMAT,
        "environment": environment(model),
        "source": asdict(source) | {"face_starts_s": round(offset, 6), "frames": outcome.clip.frames},
        "checkpoint": {key: card.get(key) for key in ("name", "sha256", "variant", "size", "parameters")},
        "order": outcome.order.to_dict(),
        "budgets": {name: asdict(budget) for name, budget in outcome.budgets.items()},
        "reference": outcome.reference,
        "metrics": outcome.metrics.to_dict() | {"units": UNITS},
        "storage": storage(outcome),
        "loss": _finite({"clean": outcome.result.clean_loss.item(), "adversarial": outcome.result.loss.item()}),
        "stopped_after": len(steps) if outcome.result.cancelled else None,
        "seconds": round(outcome.elapsed, 3),
        "digest": outcome.digest(),
        "files": files or {},
        "trace": steps,
    }


def _finite(value):
    """Numbers that JSON does not have become None, at any depth."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Past:
    """What of an earlier report a rerun needs.

    Args:
        order: what was done.
        source: the file it was done to.
        checkpoint: SHA-256 of the weights; None if the model came from no file.
        environment: versions and device.
        digest: of the perturbation, per modality.
        stopped_after: evaluations after which the run was stopped; None if it ran to its end.
    """

    order: Order
    source: Source
    checkpoint: str | None
    environment: dict
    digest: dict[str, str]
    stopped_after: int | None


def read_report(path: str | os.PathLike) -> Past:
    """The part of a ``report.json`` that a rerun needs.

    Raises:
        ValueError: the file is missing, no JSON, no report of this package or of a later version, or its order cannot
            be understood; the message says which.
    """
    path = Path(path)
    try:
        values = json.loads(read_text(path))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}. Give the report.json of an earlier run.") from error
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}). Give the report.json of an earlier run.") from error
    kind = values.get("format") if isinstance(values, dict) else None
    if kind != FORMAT:
        raise ValueError(f"{path} is no report this version can repeat: its format is {kind!r}, not {FORMAT!r}.")
    try:
        return Past(
            order=Order.from_dict(values["order"]),
            source=Source(*(values["source"][name] for name in ("path", "sha256", "bytes"))),
            checkpoint=values["checkpoint"]["sha256"],
            environment=dict(values["environment"]),
            digest=dict(values["digest"]),
            stopped_after=values["stopped_after"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error} is missing or not what it should be.") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
