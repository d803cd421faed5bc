"""Where examples come from, by the options of a command: held-out clips, or videos that the detectors label."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pushpull.clip import FPS
from pushpull.data.sources import crops_of, read_sources
from pushpull.data.talkset import TalkSetOptions
from pushpull.evaluation.examples import Example, SetOptions, make_examples
from pushpull.faces import TALKNET_DEMO, read_clips
from pushpull.files import distinct_names

Cuts = dict[str, list[Example]]


def held_out_examples(
    data: str,
    options: SetOptions,
    crops: Sequence[str] = (TALKNET_DEMO,),
    *,
    workers: int = 1,
    progress: Callable | None = None,
) -> Cuts:
    """Examples of the sources in ``data`` (see ``pushpull.data.sources``), by crop.

    Footage is cut once for every crop, and talking heads come in it where they were made in it; AVA lies on disk in one
    crop, the same for all.

    Args:
        crops: as the cards of the detectors name them, the first detector's first.

    Raises:
        ValueError, FileNotFoundError: as ``read_sources`` and ``make_examples``.
    """
    cuts: Cuts = {}
    for crop in dict.fromkeys(crops):
        footage = TalkSetOptions(crop=crop)
        if cuts and crop not in crops_of(data, footage).values():
            continue  # no source can be cut that way
        pool = read_sources(data, footage, workers=workers, progress=progress)[options.split]
        cuts[crop] = make_examples(pool, options)
    names = [[example.name for example in examples] for examples in cuts.values()]
    if any(other != names[0] for other in names):
        raise ValueError(
            "the footage gives other clips in another crop: faces near the edge of the picture? Use one crop"
        )
    return cuts


def video_examples(paths: Sequence[Path], crops: Sequence[str], frames: int, *, most: int = 0) -> Cuts:
    """Every face of some videos in pieces of ``frames`` frames, by crop; what is right is for detectors to say.

    Intervals are over faces. A video that is named twice is read once; videos of one name in several folders are told
    apart by these.

    Args:
        crops: as cards name them; each of the videos is read once for all of them.
        frames: of a piece; a shorter rest is left out, a face with fewer is one piece. 0: every face is one piece.
        most: pieces in all, of every video as many as of the others where it has so many; 0 takes them all.

    Raises:
        MediaError: a video cannot be read, or shows no face.
    """
    crops = list(dict.fromkeys(crops))
    cuts: Cuts = {crop: [] for crop in crops}
    names = distinct_names({path.resolve(): path for path in reversed(paths)}.values())
    for path in (path for path in dict.fromkeys(paths) if path in names):
        footage = read_clips(path, crops=crops)
        for crop in crops:
            for number, clip in enumerate(footage.cut_as(crop), start=1):
                length = frames if 0 < frames <= clip.frames else clip.frames
                for start in range(0, clip.frames - length + 1, length):
                    # Labels are the detectors' own; these hold their place.
                    piece = replace(clip.span(start, start + length), labels=np.zeros(length, dtype=np.int64))
                    # Pieces of one face are one base clip: they are not independent.
                    cuts[crop].append(Example(piece, f"film at {start / FPS:g} s", f"face {number}", names[path]))
    return {crop: _of_each_video(examples, most) if most else examples for crop, examples in cuts.items()}


def _of_each_video(examples: list[Example], most: int) -> list[Example]:
    """``most`` of the examples at most, in their order: the first of every video, then the second of each, ..."""
    seen: Counter[str] = Counter()
    turns = []
    for index, example in enumerate(examples):
        turns.append((seen[example.source], index))
        seen[example.source] += 1
    return [examples[index] for index in sorted(index for _, index in sorted(turns)[:most])]
