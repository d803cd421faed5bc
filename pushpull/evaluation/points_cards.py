"""Operating points as cards hold them: beside the weights, or with the published files."""

import json
from collections.abc import Sequence
from pathlib import Path

from pushpull.detectors import Card, CheckpointError
from pushpull.detectors.catalogue import MEASURED, measured, published_by
from pushpull.detectors.load import file_of
from pushpull.detectors.points import CARD_KEY
from pushpull.evaluation.points_rows import DEVELOPMENT
from pushpull.files import read_text, replacing, sha256


def card_points(rows: Sequence[dict], card: Card, *, command: str) -> dict[str, dict]:
    """What a card holds of its points: threshold, how it was chosen, and what it gave there.

    Args:
        rows: of one detector, see :func:`pushpull.evaluation.points_rows.rows_of`.
        card: its own.
        command: that measured it.
    """
    points = {}
    for row in rows:
        if row["role"] != DEVELOPMENT or "rate" not in row:
            continue
        points[row["point"]] = {
            "threshold": row["threshold"],
            "threshold_interval": _short([row["threshold_interval"]["low"], row["threshold_interval"]["high"]]),
            "rate": row["rate"],
            "over": row["over"],
            "found": _short(row["found"]),
            "false_alarms": _short(row["false_alarms"]),
            "data": row["data"],
            "set": row["set"],
            "command": command,
            "sha256": card.sha256,
        }
    return points


def _short(value):
    """Numbers as people read them, at any depth; all digits are in the results."""
    if isinstance(value, dict):
        return {name: _short(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_short(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def file_to_write(name: str) -> Path:
    """Where the points of a detector go: the card beside its weights, or the list of published ones.

    Raises:
        CheckpointError: it has no card of its own.
    """
    weights = file_of(name)
    if published_by(sha256(weights)) is not None:
        return MEASURED
    card = weights.with_suffix(".json")
    if not card.is_file():
        raise CheckpointError(f"{weights} has no card beside it, {card.name}, that its points could be written into")
    return card


def write_points(path: Path, points: dict[str, dict], *, sha256: str) -> None:
    """Write a detector's points into what :func:`file_to_write` named; the weights stay as they are.

    Args:
        path: a card, or the list of published detectors' points.
        points: see :func:`card_points`.
        sha256: of the weights that they were measured on.

    Raises:
        CheckpointError: the card is of other weights.
    """
    values = json.loads(read_text(path))
    if path == MEASURED:
        values[sha256] = points
    elif values.get("sha256") != sha256:
        raise CheckpointError(f"{path} is not the card of the weights that were measured ({sha256})")
    else:
        values[CARD_KEY] = points
    with replacing(path, "w") as file:
        file.write(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    measured.cache_clear()
