"""The card beside a checkpoint's weights, NAME.json: what is added to it after the weights were written.

The card inside the weights file stays as training wrote it, and with it the file's SHA-256.
"""

import json
import os
from pathlib import Path

from pushpull.detectors.checkpoint import CheckpointError
from pushpull.files import read_text, replacing, sha256


def read_sidecar(weights: str | os.PathLike) -> dict:
    """The card beside ``weights``, a ``.safetensors`` file.

    Raises:
        CheckpointError: there is none, it is no JSON object, or it is that of other weights.
    """
    weights = Path(weights)
    path = weights.with_suffix(".json")
    try:
        card, digest = json.loads(read_text(path)), sha256(weights)
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read: weights and their card lie side by side") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    if not isinstance(card, dict) or card.get("sha256") != digest:
        raise CheckpointError(
            f"{path} is not the card of {weights.name}, whose SHA-256 is {digest[:16]}...: restore the pair"
        )
    return card


def has_sidecar(weights: str | os.PathLike) -> bool:
    """Whether the card beside ``weights`` is theirs."""
    try:
        read_sidecar(weights)
    except CheckpointError:
        return False
    return True


def add_to_card(weights: str | os.PathLike, **parts) -> Path:
    """Replace ``parts`` of the card beside ``weights`` and keep the rest; the card's path.

    Raises:
        CheckpointError: as :func:`read_sidecar`.
    """
    card, path = read_sidecar(weights) | parts, Path(weights).with_suffix(".json")
    with replacing(path, "w") as file:
        file.write(json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path
