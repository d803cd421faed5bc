"""Scores of tracks, and the file of them that the official evaluation tool reads."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pushpull.data.ava.layout import AUDIBLE, COLUMNS, SPLITS, Layout, picture_times, read_loader, scores_at
from pushpull.data.ava.pool import AvaPool
from pushpull.detectors import Detector
from pushpull.files import replacing


@torch.no_grad()
def predict(
    model: Detector, pool: AvaPool, *, device: str | torch.device = "cpu", progress: Callable | None = None
) -> dict[str, np.ndarray]:
    """{track: (T,) float32 log-odds of speaking}, each track as a whole, as TalkNet is evaluated.

    Args:
        model: in evaluation mode on ``device``.
        progress: wraps the range of clip numbers, as tqdm does.
    """
    numbers = range(len(pool))
    scores = {}
    for number in progress(numbers) if progress else numbers:
        clip = pool[number]
        scores[clip.name] = model(clip.inputs(device)).margin[0].float().cpu().numpy()
    return scores


def write_predictions(
    root: str | Path, split: str, scores: Mapping[str, np.ndarray], out: str | Path, *, header: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Write the annotation's rows with a score each, from scores at 25 frames a second.

    ``average_precision(*write_predictions(...))`` is AVA's mAP, as the official tool computes it from the file.

    Args:
        root: the tree.
        split: AVA's own name, "train" or "val" (which :func:`read_ava` gives as "test").
        scores: {track: (T,)}, higher means speaking; one for every track of the split.
        out: the CSV: the official columns, every label SPEAKING_AUDIBLE, and the score.
        header: write the columns' names, as TalkNet's val_res.csv has them. The official tool wants none.

    Returns:
        (scores (R,) float64, labels (R,) int64) of the rows, in the file's order; 1 is SPEAKING_AUDIBLE.

    Raises:
        FileNotFoundError: the tree lacks the split's loader CSV or its annotation.
        ValueError: a track has no scores, too few or too many, or one that is no number; or the tree's two CSVs are
            not of the same tracks.
    """
    if split not in SPLITS:
        raise ValueError(f"AVA's labelled splits are {' and '.join(SPLITS)} (read_ava's 'test' is val), got {split!r}")
    layout = Layout(Path(root))
    tracks = {track.entity: track for track in read_loader(layout.loader(split))}
    rows = read_original(layout.original(split))
    if absent := [entity for entity in tracks if entity not in scores]:
        raise ValueError(f"{len(absent)} tracks have no scores, the first {absent[0]}; the figure is of all of them")
    result = np.empty(len(rows))
    for entity, index in rows.groupby("entity_id", sort=False).indices.items():
        track = tracks.get(entity)
        if track is None or len(index) != track.pictures:
            raise ValueError(f"{entity}: {layout.original(split)} and {layout.loader(split)} do not go together")
        mine = np.asarray(scores[entity])
        if mine.shape != (track.frames,) or not np.isfinite(mine).all():
            raise ValueError(f"{entity} needs ({track.frames},) finite scores, got {mine.shape}")
        seconds = rows["frame_timestamp"].to_numpy()[index]
        order = np.argsort(seconds, kind="stable")
        result[index[order]] = scores_at(mine, picture_times(seconds[order], track.rate))
    with replacing(Path(out), "w") as file:
        table = rows.assign(label=AUDIBLE, score=result)[[*COLUMNS, "score"]]
        table.to_csv(file, index=False, header=header, lineterminator="\n")
    return result, (rows["label"] == AUDIBLE).to_numpy().astype(np.int64)


def read_original(path: Path) -> pd.DataFrame:
    """The annotation of a split: the official columns, and what else the file has.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it cannot be read, or a column is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: it holds the rows that scores are for")
    try:
        rows = pd.read_csv(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    if absent := [name for name in COLUMNS if name not in rows]:
        raise ValueError(f"{path}:1: the header lacks {', '.join(absent)}")
    return rows
