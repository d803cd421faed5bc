"""Look for everything that a tree's loader CSVs promise, and say what is there and what is wrong.

Sounds are read; pictures are counted and not decoded, since a tree has millions.
"""

import csv
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.clip import FPS, SAMPLE_RATE
from pushpull.data.ava.layout import AUDIBLE, SPLITS, Layout, Track, read_loader
from pushpull.data.ava.pool import read_sound, sorted_pictures
from pushpull.data.ava.predictions import read_original

SHORT = 0.25  # seconds that a track's sound may lack: TalkNet's script leaves out the last picture's


@dataclass(frozen=True)
class SplitReport:
    """What one of AVA's splits holds.

    Args:
        films, tracks: how many.
        pictures: at the films' rates.
        frames: at 25 a second.
        speaking: share of pictures with an audible voice.
        problems: a sentence each, naming the file.
    """

    films: int
    tracks: int
    pictures: int
    frames: int
    speaking: float
    problems: tuple[str, ...]

    @property
    def hours(self) -> float:
        return self.frames / FPS / 3600


def check(root: str | Path, progress: Callable[[Iterable[Track]], Iterable[Track]] | None = None):
    """{"train" | "val": SplitReport} of the splits that are there.

    Args:
        progress: wraps the list of tracks, as tqdm does.

    Raises:
        FileNotFoundError: neither is.
    """
    layout = Layout(Path(root))
    there = [split for split in SPLITS if layout.loader(split).is_file()]
    if not there:
        raise FileNotFoundError(f"{root} holds neither csv/train_loader.csv nor csv/val_loader.csv")
    return {split: _check(layout, split, progress) for split in there}


def _check(layout, split, progress):
    try:
        tracks = read_loader(layout.loader(split))
    except ValueError as error:
        return SplitReport(0, 0, 0, 0, 0.0, (str(error),))
    shown = progress(tracks) if progress else tracks
    problems = [problem for track in shown for problem in _media(layout, split, track)]
    problems += _annotation(layout, split, tracks)
    pictures = sum(track.pictures for track in tracks)
    return SplitReport(
        films=len({track.video for track in tracks}),
        tracks=len(tracks),
        pictures=pictures,
        frames=sum(track.frames for track in tracks),
        speaking=sum(track.speaking.count("1") for track in tracks) / max(1, pictures),
        problems=tuple(problems),
    )


def _media(layout, split, track):
    """What is wrong with a track's pictures and sound."""
    folder = layout.pictures(split, track.video) / track.entity
    try:
        names = sorted_pictures(folder)
        if len(names) != track.pictures:
            yield f"{folder}: {len(names)} pictures for {track.pictures} labels"
        for name in names:
            if os.path.getsize(folder / name) == 0:
                yield f"{folder / name} is empty"
    except ValueError as error:
        yield str(error)
    path = layout.sounds(split, track.video) / f"{track.entity}.wav"
    try:
        seconds, wanted = len(read_sound(path)) / SAMPLE_RATE, track.frames / FPS
        if seconds < wanted - SHORT:
            yield f"{path} has {seconds:.2f} s of sound for {wanted:.2f} s of pictures; the rest is taken for silence"
    except ValueError as error:
        yield str(error)


def _annotation(layout, split, tracks):
    """What is wrong between the loader CSV and the annotation, and what the preparer left out."""
    left_out = layout.left_out(split)
    if left_out.is_file():
        with left_out.open(encoding="utf-8", newline="") as file:
            yield from (f"left out {what}: {why}" for what, why in list(csv.reader(file))[1:])
    if not layout.original(split).is_file():
        yield f"there is no {layout.original(split)}: predictions cannot be written for the official tool"
        return
    try:
        rows = read_original(layout.original(split)).sort_values(["entity_id", "frame_timestamp"], kind="stable")
    except ValueError as error:
        yield str(error)
        return
    speaking = np.where(rows["label"] == AUDIBLE, "1", "0")
    annotated = {
        entity: "".join(speaking[index]) for entity, index in rows.reset_index().groupby("entity_id").indices.items()
    }
    for track in tracks:
        if annotated.pop(track.entity, None) != track.speaking:
            yield f"{track.entity}: labels differ from those in {layout.original(split)}"
    if annotated:
        yield f"{len(annotated)} tracks of {layout.original(split)} are in no line of the loader CSV"
