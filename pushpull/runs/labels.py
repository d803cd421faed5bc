"""Labels from a file or a clip's card: who speaks when, for one face, frame by frame."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from pushpull.clip import FPS
from pushpull.data.speech import read_align
from pushpull.tracking import Track

HALF_FRAME = 0.5 / FPS + 1e-6  # seconds; a label belongs to the frame whose first instant is no further away
WORDS = {
    "1": 1,
    "0": 0,
    "true": 1,
    "false": 0,
    "speaking": 1,
    "silent": 0,
    "speaking_audible": 1,
    "speaking_not_audible": 0,
    "not_speaking": 0,
}


def read_labels(path: str | os.PathLike, frames: int, offset: float = 0.0) -> str:
    """Labels of a face's frames, as ``RunSpec.labels`` takes them.

    Args:
        path: a CSV with the columns ``time_s`` (seconds into the video) and ``label`` (1 or 0, or AVA's
            SPEAKING_AUDIBLE, SPEAKING_NOT_AUDIBLE, NOT_SPEAKING), one row for each frame at 25 per second, such as
            ``scores.csv``; or a GRID word alignment ``.align``.
        frames: T, frames of the face.
        offset: seconds into the video at which its first one lies.

    Raises:
        ValueError: the file cannot be read or understood, or a frame has no label; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file. Give a CSV of labels or an .align file.")
    if path.suffix == ".align":
        first = round(offset * FPS)
        speech = read_align(path, first + frames)[first:]
        return "".join("1" if speaking else "0" for speaking in speech)
    try:
        table = pd.read_csv(path, dtype=str)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path} is no CSV ({error}). Give a CSV with the columns time_s and label.") from error
    if missing := [name for name in ("time_s", "label") if name not in table.columns]:
        raise ValueError(f"{path} has no column {' and '.join(missing)}; it has {', '.join(table.columns)}.")
    times = pd.to_numeric(table["time_s"], errors="coerce")
    labels = table["label"].str.strip().str.lower().map(WORDS)
    for name, values in (("time_s", times), ("label", labels)):
        if values.isna().any():
            row = int(np.flatnonzero(values.isna())[0])
            raise ValueError(f"{path}, line {row + 2}: {name} cannot be {table[name].iloc[row]!r}.")
    return _nearest(path, times.to_numpy(np.float64), labels.to_numpy(np.int64), frames, offset)


def _nearest(path: Path, times: np.ndarray, labels: np.ndarray, frames: int, offset: float) -> str:
    wanted = offset + np.arange(frames) / FPS
    if len(times) == 0:
        raise ValueError(f"{path} holds no labels.")
    order = np.argsort(times, kind="stable")
    times, labels = times[order], labels[order]
    after = np.searchsorted(times, wanted).clip(1, max(1, len(times) - 1))
    before = after - 1
    after = after.clip(max=len(times) - 1)
    nearest = np.where(np.abs(times[after] - wanted) < np.abs(times[before] - wanted), after, before)
    far = np.flatnonzero(np.abs(times[nearest] - wanted) > HALF_FRAME)
    if len(far):
        raise ValueError(
            f"{path} has no label for {len(far)} of the {frames} frames of the face, the first at "
            f"{wanted[far[0]]:.2f} s. It needs one for each frame at 25 per second."
        )
    return "".join(str(label) for label in labels[nearest])


def card_labels(faces: list[dict], track: Track, first: int = 0) -> np.ndarray | None:
    """Who speaks in a clip that comes with a card: labels of the face that ``track`` follows, or None if unknown.

    Args:
        faces: of the card: ``box`` (x1, y1, x2, y2 in pixels of the wide picture) within which the face stays, and
            ``labels``, "1" speaking or "0" not for every frame of the file.
        track: the face, counted from frame ``first`` of the file.
        first: frames of the file that were left out before.
    """
    x1, y1, x2, y2 = np.median(track.boxes, axis=0)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    here = (face["labels"] for face in faces if _holds(face["box"], x, y))
    labels = next(here, "")[first + track.start : first + track.stop]
    return np.array([int(label) for label in labels], dtype=np.int64) if len(labels) == len(track.boxes) else None


def _holds(box: list[float], x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
