"""From the official CSVs and the films to a tree in TalkNet's layout."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd

from pushpull.data.ava.film import FilmCut, cut_film, finished_cut
from pushpull.data.ava.layout import AUDIBLE, LABELS, SPLITS, Layout, Track, write_loader
from pushpull.data.ava.official import read_annotation
from pushpull.data.processes import in_processes
from pushpull.data.talkset import SUFFIXES
from pushpull.files import replacing


def prepare(
    annotation: str | Path,
    videos: str | Path,
    root: str | Path,
    *,
    split: str,
    workers: int = 1,
    progress: Callable[[range], Iterable] | None = None,
) -> tuple[list[Track], dict[str, str]]:
    """Cut every annotated track out of its film and write the loader CSV; films that are done are not done again.

    Args:
        annotation: folder of one split's official CSVs.
        videos: folder of the films, ``VIDEO.mp4`` or the like, searched with its sub-folders.
        root: the tree; some 100 GB for all of AVA.
        split: "train" or "val".
        workers: processes, a film each; for more than one see :func:`pushpull.data.processes.in_processes`. Each
            holds some hundred MB.
        progress: wraps the range of film numbers, as tqdm does.

    Returns:
        (the tracks, {film or track: why it is left out}).

    Raises:
        FileNotFoundError: no such folder, or no CSV.
        FileExistsError: another program's tree is in the way.
        ValueError: a CSV is damaged, or no film gave a track.
        OSError: the disk is full. Whatever stops it, the same call goes on where it stopped.
    """
    if split not in SPLITS:
        raise ValueError(f"AVA's labelled splits are {' and '.join(SPLITS)}, got {split!r}")
    films, layout = read_annotation(annotation), Layout(Path(root))
    paths = _find_films(Path(videos))
    cuts: dict[str, FilmCut] = {}
    left_out: dict[str, str] = {}
    with closing(_cuts(layout, split, films, paths, workers)) as made:
        numbers = range(len(films))
        for film, cut in (next(made) for _ in (progress(numbers) if progress else numbers)):
            if isinstance(cut, str):
                left_out[film] = cut
            else:
                cuts[film] = cut
                left_out |= cut.left_out
    tracks = [track for film in sorted(cuts) for track in _tracks(films[film], cuts[film])]
    if not tracks:
        raise ValueError(f"no film gave a track; the first: {next(iter(left_out.items()), None)}")
    layout.loader(split).parent.mkdir(parents=True, exist_ok=True)
    _write_left_out(layout.left_out(split), left_out)
    _write_original(layout.original(split), (films[film][_kept(films[film], cuts[film])] for film in sorted(cuts)))
    write_loader(layout.loader(split), zip(tracks, _shuffled(tracks), strict=True))
    return tracks, left_out


def instance_ids(rows: pd.DataFrame) -> pd.Series:
    """TalkNet's ``instance_id``: the track's name and the number, from 0, of the stretch of one label in it."""
    entity, label = rows["entity_id"], rows["label"]
    stretch = ((label != label.shift()) | (entity != entity.shift())).cumsum()
    number = stretch - stretch.groupby(entity, sort=False).transform("min")
    return entity + ":" + number.astype(str)


def _find_films(folder):
    """{name without suffix: path}; none is no error here, as films may be deleted once they are cut."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    return {
        path.stem: path for path in sorted(folder.rglob("[!.]*")) if path.suffix.lower() in SUFFIXES and path.is_file()
    }


def _cuts(layout, split, films, paths, workers) -> Iterator[tuple[str, FilmCut | str]]:
    """(film, what it gave) for every film, as they come to be."""
    todo = []
    for film, rows in films.items():
        if (cut := finished_cut(layout, split, film, rows, paths.get(film))) is not None:
            yield film, cut
        elif film not in paths:
            yield film, f"there is no {film}.mp4, .mkv or the like among the films"
        else:
            todo.append((layout, split, film, rows, paths[film]))
    workers = min(workers, len(todo))
    if workers <= 1:
        yield from ((job[2], cut_film(*job)) for job in todo)
    else:
        yield from ((job[2], cut) for job, cut in in_processes(cut_film, todo, workers=workers))


def _kept(rows, cut):
    return rows["entity_id"].isin(cut.rates)


def _tracks(rows, cut):
    rows = rows[_kept(rows, cut)]
    for entity, labels in rows.groupby("entity_id", sort=False)["label"]:
        yield Track(entity, cut.rates[entity], "".join("01"[label == AUDIBLE] for label in labels))


def _shuffled(tracks):
    """A number for each track: TalkNet sorts tracks of one length by it, so that a batch holds several films."""
    order = sorted(range(len(tracks)), key=lambda i: hashlib.sha256(tracks[i].entity.encode()).digest())
    ranks = {index: rank for rank, index in enumerate(order)}
    return [ranks[index] for index in range(len(tracks))]


def _write_original(path, films):
    """The annotation of what is in the loader CSV, in the same order: TalkNet's scores are matched by the row."""
    with replacing(path, "w") as file:
        for number, rows in enumerate(films):
            rows = rows.assign(label_id=rows["label"].map(LABELS.index), instance_id=instance_ids(rows))
            rows.to_csv(file, index=False, header=number == 0, lineterminator="\n")


def _write_left_out(path, left_out):
    with replacing(path, "w") as file:
        csv.writer(file, lineterminator="\n").writerows([("what", "why"), *sorted(left_out.items())])
