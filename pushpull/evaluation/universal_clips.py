"""Clips that a universal noise is fitted on or tried on: training data, split as for training, or any videos."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from pushpull.clip import Clip
from pushpull.data.mix import MAKERS, NoStillLips, make_example, other_clip
from pushpull.data.sources import Corpus, read_sources, source_names
from pushpull.data.talkset import SPLITS, TalkSetOptions, find_videos
from pushpull.faces import read_clips
from pushpull.files import sha256
from pushpull.media import MediaError

VIDEOS = "videos:"  # before a file or folder of which every face is a clip, without labels
KINDS = ("in_sync", "swapped")


class Sample(NamedTuple):
    """A clip, and what it was made from: clips of one base are not independent of each other."""

    base: str
    clip: Clip


class Samples(NamedTuple):
    """Clips of one source.

    Args:
        name: of the source and split, without this machine's folders.
        fingerprint: names the set of clips.
        clips: of about equal shares of the kinds that were asked for.
    """

    name: str
    fingerprint: str
    clips: list[Sample]


def read_samples(
    data: str,
    *,
    split: str,
    count: int,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
    crop: str = "talknet_demo",
    footage: TalkSetOptions = TalkSetOptions(),
    workers: int = 1,
    progress: Callable | None = None,
) -> Samples:
    """Some clips of a source.

    Args:
        data: as ``pushpull.train --data`` takes it; or ``videos:PATH``, a video or a folder of them, every face of
            which is a clip without labels and without a split.
        split: "train", "validation" or "test".
        count: how many clips at most, drawn by ``seed``.
        kinds: of ``pushpull.data.mix``, in turn: "in_sync" clips speak where there is speech, the others never do.
        crop: how faces of ``videos:`` are cut out; those of other sources are cut as TalkNet's demo does.
        footage: how footage is cut and split.
        workers: processes that cut out faces which are not in the cache.
        progress: wraps what is gone through, as tqdm does.

    Raises:
        ValueError: an unknown kind or split, or no clip.
        FileNotFoundError: no such folder, or no video in it.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {', '.join(SPLITS)}, got {split!r}")
    if count < 1:
        raise ValueError(f"there must be at least one clip, got {count}")
    if unknown := sorted(set(kinds) - set(MAKERS)) or not kinds:
        raise ValueError(f"kinds are {', '.join(MAKERS)}, got {', '.join(kinds) if unknown else 'none'}")
    if data.startswith(VIDEOS):
        found = _faces(Path(data.removeprefix(VIDEOS)), crop, progress)
    else:
        corpus = read_sources(data, footage, workers=workers, progress=progress)[split]
        names = f"{source_names(data)} {split}"
        found = Samples(names, corpus.fingerprint, _examples(corpus, count, kinds, seed))
    if not found.clips:
        raise ValueError(f"{data} gave no clip: it needs faces with sound, and for swapped voices two clips in a split")
    return found._replace(clips=found.clips[:count])


def _examples(corpus: Corpus, count: int, kinds: Sequence[str], seed: int) -> list[Sample]:
    if len(corpus) < 2:
        return []
    chosen = np.random.default_rng([seed, len(corpus)]).permutation(len(corpus))[:count]
    samples = []
    for number, index in enumerate(map(int, chosen)):
        clip, kind = corpus[index], kinds[number % len(kinds)]
        rng = np.random.default_rng([seed, index, crc32(kind.encode())])
        neighbour = lambda index=index, rng=rng: other_clip(corpus, index, rng)  # noqa: E731
        try:
            example = make_example(kind, clip, neighbour, rng, start=0, frames=clip.frames)
        except NoStillLips:
            continue
        samples.append(Sample(clip.name, example))
    return samples


def _faces(place: Path, crop: str, progress: Callable | None) -> Samples:
    """Every face of a video, or of the videos of a folder; a file that cannot be read is left out."""
    files = [place] if place.is_file() else find_videos(place)
    samples, digests = [], []
    for path in progress(files) if progress else files:
        try:
            footage = read_clips(path, crops=[crop])
        except MediaError:
            continue
        digests.append(sha256(path))
        samples += [Sample(path.name, clip) for clip in footage.clips]
    return Samples(f"{VIDEOS}{place.name}", hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16], samples)
