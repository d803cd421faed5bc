"""The official AVA-ActiveSpeaker CSVs, checked row by row."""

from pathlib import Path

import numpy as np
import pandas as pd

from pushpull.data.ava.layout import BOX, COLUMNS, LABELS, is_plain_name

NUMBERS = ["frame_timestamp", *BOX]  # seconds, and the box in shares of the picture
FAR = 0.5  # shares of the picture that a box may stand out of it; one in pixels stands out further


def read_annotation(source: str | Path) -> dict[str, pd.DataFrame]:
    """The annotation of every film in a folder of CSVs (or in one file), with or without a header.

    Returns:
        {film: rows}, films by name, rows by track and time: the official columns, numbers as float64.

    Raises:
        FileNotFoundError: no such folder, or no CSV in it.
        ValueError: a file or row is not what it should be; the message names file and line.
    """
    source = Path(source)
    files = [source] if source.is_file() else sorted(source.rglob("[!.]*.csv"))
    if not files:
        raise FileNotFoundError(
            f"no CSV in {source}: give the folder of one split's official files (VIDEO-activespeaker.csv)"
        )
    films, origin, films_of = {}, {}, {}
    for path in files:
        for film, rows in _read(path).groupby("video_id", sort=False):
            if film in origin:
                raise ValueError(f"{path}: the film {film} is in {origin[film]} too; keep one of them")
            origin[film], films[film] = path, rows.drop(columns="video_id").reset_index(drop=True)
            for entity in rows["entity_id"].unique():
                if films_of.setdefault(entity, film) != film:
                    raise ValueError(f"{path}: the track {entity} belongs to the film {films_of[entity]} too")
    return {film: films[film].assign(video_id=film)[COLUMNS] for film in sorted(films)}


def _read(path):
    """One file's rows, checked, by track and time."""
    try:
        rows = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    header = rows.iloc[0].tolist()
    first_line = 1
    if header[0] == "video_id":
        if absent := [name for name in COLUMNS if name not in header]:
            raise ValueError(f"{path}:1: the header lacks {', '.join(absent)}; expected {','.join(COLUMNS)}")
        rows, first_line = rows.iloc[1:].set_axis(header, axis=1)[COLUMNS], 2
    elif len(header) == len(COLUMNS):
        rows = rows.set_axis(COLUMNS, axis=1)
    else:
        raise ValueError(f"{path}:1: expected the columns {','.join(COLUMNS)}, got {','.join(header)[:80]}")
    rows = rows.reset_index(drop=True)

    def refuse(bad, what):
        if bad.any():
            line = int(np.argmax(bad.to_numpy()))
            raise ValueError(f"{path}:{first_line + line}: {what}: {','.join(rows.iloc[line].astype(str))}")

    refuse(~rows["video_id"].map(is_plain_name), "no name of a film")
    refuse(~rows["entity_id"].map(is_plain_name), "no name of a track")
    refuse(~rows["label"].isin(LABELS), f"the label is one of {', '.join(LABELS)}")
    numbers = rows[NUMBERS].apply(pd.to_numeric, errors="coerce")
    refuse(~np.isfinite(numbers).all(axis=1), "seconds and box must be numbers")
    refuse(numbers["frame_timestamp"] < 0, "seconds cannot be negative")
    box = numbers[list(BOX)]
    refuse((box < -FAR).any(axis=1) | (box > 1 + FAR).any(axis=1), "a box is in shares of the picture, 0 to 1")
    refuse((box.iloc[:, 0] >= box.iloc[:, 2]) | (box.iloc[:, 1] >= box.iloc[:, 3]), "the box is empty")
    # Pictures are named by hundredths of a second.
    moments = pd.DataFrame({"entity": rows["entity_id"], "moment": (numbers["frame_timestamp"] * 100).round()})
    refuse(moments.duplicated(), "the same track at the same moment again")
    rows[NUMBERS] = numbers
    return rows.astype(dict.fromkeys(NUMBERS, float)).sort_values(["entity_id", "frame_timestamp"], kind="stable")
