"""The report of an attack run: scores per frame as a table, and everything else as JSON that the run repeats from."""

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pushpull.attacks.budget import STORAGE_STEP
from pushpull.clip import FPS
from pushpull.detectors import Point
from pushpull.files import read_text, sha256
from pushpull.metrics import GREY, STORED_STEP
from pushpull.plots.scores import probability
from pushpull.runs.run import Run
from pushpull.runs.spec import RunSpec

FORMAT = "pushpull.perturb/2"
OLD_FORMAT = "pushpull.perturb/1"  # the same under other names; its runs still repeat
STORAGE_UNITS = {"audio": STORED_STEP, "video": GREY}


def scores_table(run: Run) -> pd.DataFrame:
    """One row per frame of the face.

    Columns: ``frame`` (from 0, the face's first), ``time_s`` (seconds into the file), ``label`` (1 speaking, 0 not:
    what counted as right), ``target`` (what a targeted attack wanted; empty where it wanted nothing), and for the
    clean, the adversarial and the stored clip ``probability_*`` of speaking and ``logodds_*``, which do not saturate.
    Both are relative to where the detector decides: above 0.5, and above 0, is speech.

    Args:
        run: the attack.
    """
    offset = run.clip.origin.offset if run.clip.origin else 0.0
    frames = run.clip.frames
    table = {
        "frame": np.arange(frames),
        "time_s": np.round(offset + np.arange(frames) / FPS, 6),
        "label": run.labels[0].numpy(),
    }
    target = pd.array([pd.NA] * frames, dtype="Int64")
    if run.targets is not None:
        counted = torch.ones_like(run.targets, dtype=torch.bool) if run.mask is None else run.mask
        target[counted[0].numpy()] = run.targets[0][counted[0]].numpy()
    table["target"] = target
    table |= {f"probability_{name}": probability(margin) for name, margin in run.margins.items()}
    table |= {f"logodds_{name}": margin.astype(np.float64) for name, margin in run.margins.items()}
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


def storage(run: Run) -> dict:
    """What of the perturbation survives in a file of 8-bit frames and 16-bit samples, per modality and in words."""
    statement, parts = [], {}
    for name, title in (("audio", "sound"), ("video", "picture")):
        versions = {"adversarial": run.result.delta[name], "stored": run.result.stored[name] - run.clip.inputs()[name]}
        sizes = {
            version: {size: run.metrics[version][f"{size}_{name}"] for size in ("max", "mean")} for version in versions
        }
        changed = {version: (delta != 0).float().mean().item() for version, delta in versions.items()}
        parts[name] = {
            "unit": STORAGE_UNITS[name],
            "eps": run.eps[name] / STORAGE_STEP[name],
            **sizes,
            "changed_share": changed,
        }
        unit = STORAGE_UNITS[name].split(" (")[0]
        found, stored = sizes["adversarial"], sizes["stored"]
        statement.append(
            f"The {title} changed by at most {found['max']:.4g} {unit} ({found['mean']:.4g} on average); in a file by "
            f"at most {stored['max']:.4g} ({stored['mean']:.4g} on average)."
        )
    if run.frozen:
        words = " and the ".join({"audio": "sound", "video": "picture"}[name] for name in run.frozen)
        statement.append(
            f"The budget of the {words} is below one storage step, so on the grid nothing of it could move."
        )
    return parts | {"statement": " ".join(statement)}


def run_report(run: Run, *, source: Source | None = None, files: dict[str, str] | None = None) -> dict:
    """Everything about a run, ready for JSON; ``read_report`` reads it back.

    Args:
        run: the attack.
        source: the file that the user gave; None is the one that the clip was cut from.
        files: names of what was written beside the report, with what each is.
    """
    steps = [_finite(asdict(step)) for step in run.result.trace]
    origin = run.clip.origin
    if source is None and origin is not None:
        source = Source.of(origin.path)
    place = {"face_starts_s": round(origin.offset if origin else 0.0, 6), "frames": run.clip.frames}
    return {
        "format": FORMAT,
        "environment": run.environment,
        "source": (asdict(source) if source else {"path": None, "sha256": None, "bytes": None}) | place,
        "checkpoint": {key: run.card.get(key) for key in ("name", "sha256", "variant", "size", "parameters")}
        | {"point": run.point.to_dict()},
        "made_on": run.source_card and {key: run.source_card.get(key) for key in ("name", "sha256", "point")},
        "spec": run.spec.to_dict(),
        "budgets": {name: asdict(budget) for name, budget in run.budgets.items()},
        "reference": run.reference,
        "metrics": run.metrics.to_dict(),
        "storage": storage(run),
        "loss": _finite({"clean": run.result.clean_loss.item(), "adversarial": run.result.loss.item()}),
        "stopped_after": len(steps) if run.result.cancelled else None,
        "seconds": round(run.elapsed, 3),
        "digest": run.digest(),
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
        spec: what was done.
        source: the file it was done to.
        checkpoint: SHA-256 of the weights; None if the model came from no file.
        point: where the detector decided; its own threshold in reports from before there were operating points.
        environment: versions and device.
        digest: of the perturbation, per modality.
        stopped_after: evaluations after which the run was stopped; None if it ran to its end.
        survive: what it was to survive, see ``SurviveSpec.of``; None if nothing.
    """

    spec: RunSpec
    source: Source
    checkpoint: str | None
    point: Point
    environment: dict
    digest: dict[str, str]
    stopped_after: int | None
    survive: dict | None = None


def read_report(path: str | os.PathLike) -> Past:
    """The part of a ``report.json`` that a rerun needs.

    Raises:
        ValueError: the file is missing, no JSON, no report of this package or of a later version, or its spec cannot
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
    if kind == OLD_FORMAT and "order" in values:
        values, kind = values | {"spec": values["order"]}, FORMAT
    if kind != FORMAT:
        raise ValueError(f"{path} is no report this version can repeat: its format is {kind!r}, not {FORMAT!r}.")
    if values.get("made_on"):
        made_on = values["made_on"].get("name")
        raise ValueError(f"{path} scores a perturbation that was made on {made_on}: repeat the report of that one")
    if isinstance(values.get("source"), dict) and values["source"].get("path") is None:
        raise ValueError(
            f"{path} is about a clip that came from no file, so it cannot be repeated from here. Repeat it in Python."
        )
    try:
        return Past(
            spec=RunSpec.from_dict(values["spec"]),
            source=Source(*(values["source"][name] for name in ("path", "sha256", "bytes"))),
            checkpoint=values["checkpoint"]["sha256"],
            point=Point.from_dict(values["checkpoint"].get("point") or Point().to_dict()),
            environment=dict(values["environment"]),
            digest=dict(values["digest"]),
            stopped_after=values["stopped_after"],
            survive=values.get("survive") and dict(values["survive"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error} is missing or not what it should be.") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
