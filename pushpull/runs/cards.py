"""Folders of sample clips and the cards beside them, NAME.json, as people bring them.

A card says what its clip shows, and who speaks in it when. One that cannot be read, or a face on it that makes no
sense, is left out with a warning: it costs itself, not the gallery or the study.
"""

import json
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from pushpull.files import read_text

SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".mpg")


@dataclass(frozen=True)
class Card:
    """What is known of a clip.

    Args:
        title: empty if the card has none.
        caption: a sentence on it, or empty.
        faces: each has ``box``, four numbers x1, y1, x2, y2 in pixels of the picture, and ``labels``, "1" speaking or
            "0" not for every frame, see :func:`pushpull.runs.labels.card_labels`.
    """

    title: str = ""
    caption: str = ""
    faces: tuple[dict, ...] = ()


def find_clips(folder: Path) -> list[Path]:
    """The videos of a folder, by name, but for hidden ones: a Mac leaves ``._NAME.mp4``, no video, beside NAME.mp4."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())


def read_card(clip: Path) -> Card:
    """The card of a clip; an empty one where there is none, or none that can be read."""
    path = clip.with_suffix(".json")
    if not path.is_file():
        return Card()
    try:
        said = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        warnings.warn(f"{path} is left out: it is no JSON ({error})", stacklevel=2)
        return Card()
    if not isinstance(said, dict):
        warnings.warn(f"{path} is left out: it holds no JSON object", stacklevel=2)
        return Card()
    title, caption = (said.get(name) if isinstance(said.get(name), str) else "" for name in ("title", "caption"))
    listed = said.get("faces") or []
    faces = [_face(face) for face in listed] if isinstance(listed, list) else [None]
    if None in faces:
        warnings.warn(
            f"{path}: a face on it is left out, without a box of four numbers or labels of 0 and 1", stacklevel=2
        )
    return Card(title, caption, tuple(face for face in faces if face is not None))


def _face(face) -> dict | None:
    """One face of a card, or None if it makes no sense."""
    try:
        box, labels = [float(side) for side in face["box"]], face["labels"]
        whole = len(box) == 4 and all(map(math.isfinite, box)) and re.fullmatch("[01]*", labels)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return {"box": box, "labels": labels} if whole else None
