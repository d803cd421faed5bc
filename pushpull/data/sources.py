"""Where training clips come from: footage, talking heads and AVA, alone or mixed.

A source is ``KIND:FOLDER``, several are separated by commas: ``talkset:grid_s1,talkheads:heads``. A bare folder is
``talkset``. ``*WEIGHT`` behind a source says how often one of its clips is drawn, relative to one of another source.
``talkheads:300`` stands for 300 talking heads that are made first, in the user's cache.

A source is called after its folder. Folders of one name are told apart by as much of their path as that takes.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from pushpull.clip import Clip
from pushpull.data.ava import AvaOptions, read_ava
from pushpull.data.cached import CachedPool
from pushpull.data.mix import base_clip
from pushpull.data.talkheads.pool import HeadPool, crop_used, read_pool
from pushpull.data.talkset import SPLITS, TalkSet, TalkSetOptions, default_cache, prepare
from pushpull.faces import FACE_BOX, TALKNET_DEMO

READERS = ("talkset", "talkheads", "ava")
SAME_SOURCE = 0.8  # of swapped voices: a recorded voice on a rendered face is easily told, and rare in the world


@dataclass(frozen=True, eq=False)
class Part:
    """What one source gives to one split.

    Args:
        name: of the source, as cards tell it.
        pool: clips in sync, labels = speech activity, or None: a sequence with ``first``, ``frames``, ``fingerprint``.
        finished: labelled examples of types that cannot be made from clips in sync (chewing, turns, AVA's), or None;
            it also has ``types``, one name per clip.
        weight: how often one of its clips is drawn, relative to one of another part.
    """

    name: str
    pool: TalkSet | HeadPool | CachedPool | None
    finished: HeadPool | CachedPool | None = None
    weight: float = 1.0


class Corpus(Sequence):
    """Clips in sync of one or several sources, labels = speech activity, and what those sources hold besides."""

    def __init__(self, parts: Sequence[Part]):
        self.parts = tuple(parts)
        self._pools = [part for part in self.parts if part.pool is not None and len(part.pool)]
        self._others = [part for part in self.parts if part.finished is not None and len(part.finished)]
        self._stops = list(accumulate(len(part.pool) for part in self._pools))

    def __len__(self) -> int:
        return self._stops[-1] if self._stops else 0

    def __getitem__(self, index: int) -> Clip:
        which, place = self._place(index)
        return self._pools[which].pool[place]

    def other(self, index: int, rng: np.random.Generator) -> Clip:
        """Some other clip than ``index``, of the same source four times out of five."""
        which, _ = self._place(index)
        start, stop = self._stops[which] - len(self._pools[which].pool), self._stops[which]
        if stop - start < 2 or rng.random() >= SAME_SOURCE:
            start, stop = 0, len(self)
        return self[start + int((index - start + rng.integers(1, stop - start)) % (stop - start))]

    def base(self, index: int) -> str:
        """The base clip of a clip, see :func:`pushpull.data.mix.base_clip`."""
        which, place = self._place(index)
        return base_clip(self._pools[which].pool, place)

    def first(self, count: int) -> "Corpus":
        """About ``count`` clips in sync: the first of every source, by its share; what is finished if all is."""
        if not len(self):
            few = [Part(part.name, None, part.finished.first(count), part.weight) for part in self._others]
            return Corpus(few)
        shares = [max(2, round(count * len(part.pool) / len(self))) for part in self._pools]
        return Corpus(
            [
                Part(part.name, part.pool.first(share), None, part.weight)
                for part, share in zip(self._pools, shares, strict=True)
            ]
        )

    def by_source(self) -> dict[str, "Corpus"]:
        """Each source by itself."""
        return {part.name: Corpus([part]) for part in self.parts}

    @property
    def finished(self) -> tuple[HeadPool | CachedPool, ...]:
        """The pools of finished examples."""
        return tuple(part.finished for part in self._others)

    @property
    def finished_shares(self) -> np.ndarray:
        """How often each of them is drawn from, in sum 1."""
        sizes = np.array([part.weight * len(part.finished) for part in self._others])
        return sizes / sizes.sum()

    @property
    def shares(self) -> np.ndarray | None:
        """(len,) how often each clip is drawn, in sum 1; None where all are alike."""
        weights = [part.weight for part in self._pools]
        if len(set(weights)) < 2:
            return None
        shares = np.repeat(weights, [len(part.pool) for part in self._pools])
        return shares / shares.sum()

    @property
    def frames(self) -> int:
        """Video frames of the clips in sync, or of the finished ones where there are no others."""
        return sum(part.pool.frames for part in self._pools) or sum(part.finished.frames for part in self._others)

    @property
    def fingerprint(self) -> str:
        """Names the set of clips; of a single pool of footage it is that pool's."""
        pools = [part.pool for part in self._pools] + [part.finished for part in self._others]
        prints = [pool.fingerprint for pool in pools] + [f"*{part.weight:g}" for part in self.parts if part.weight != 1]
        return prints[0] if len(prints) == 1 else hashlib.sha256(" ".join(prints).encode()).hexdigest()[:16]

    def _place(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        which = bisect_right(self._stops, index)
        return which, index - (self._stops[which - 1] if which else 0)


class Source(NamedTuple):
    """One source as it was named."""

    kind: str
    folder: Path
    weight: float = 1.0

    @property
    def made(self) -> int:
        """How many talking heads are to be made for it; 0 where the folder is one that there is."""
        name = str(self.folder)
        return int(name) if self.kind == "talkheads" and name.isdecimal() and not self.folder.exists() else 0


def parse_sources(text: str) -> list[Source]:
    """``KIND:FOLDER[*WEIGHT][,KIND:FOLDER ...]`` taken apart.

    Raises:
        ValueError: nothing given, an unknown kind, or a weight that is not above 0.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        weighed = re.fullmatch(r"(.+)\*([0-9.]+)", part)
        name, weight = (weighed[1], float(weighed[2])) if weighed and not Path(part).exists() else (part, 1.0)
        kind, colon, folder = name.partition(":")
        if not colon or Path(name).is_dir():
            kind, folder = "talkset", name
        if kind not in READERS or not folder or not weight > 0:
            raise ValueError(
                f"a source is KIND:FOLDER or KIND:FOLDER*WEIGHT with KIND one of {', '.join(READERS)}, got {part!r}"
            )
        found.append(Source(kind, Path(folder), weight))
    if not found:
        raise ValueError("say what to train on: --data FOLDER, talkset:FOLDER or talkheads:FOLDER, comma-separated")
    return found


def source_names(text: str) -> str:
    """The sources as they are called: what a card says of where its data lay, which is no path of this machine's."""
    sources = parse_sources(text)
    return ",".join(
        name + (f"*{source.weight:g}" if source.weight != 1 else "")
        for name, source in zip(_names(sources), sources, strict=True)
    )


def crops_of(text: str, footage: TalkSetOptions) -> dict[str, str]:
    """How the faces of each source of ``text`` were cut out: {its name: "talknet_demo" or "face_box"}.

    AVA's are its annotated boxes; a folder of talking heads has one crop or two; all else is cut as ``footage`` says.
    """
    found, sources = {}, parse_sources(text)
    for name, source in zip(_names(sources), sources, strict=True):
        made = source.kind == "talkheads" and (source.folder / "manifest.json").is_file()
        own = crop_used(source.folder, footage.crop) if made else footage.crop
        found[name] = FACE_BOX if source.kind == "ava" else own
    return found


def read_sources(
    text: str,
    footage: TalkSetOptions,
    *,
    ava: AvaOptions = AvaOptions(),
    workers: int = 1,
    progress: Callable | None = None,
    left_out: Callable[[Path, str], None] = lambda path, why: None,
) -> dict[str, Corpus]:
    """{"train" | "validation" | "test": Corpus} of every source in ``text``.

    Args:
        footage: how folders of footage become clips; talking heads were split when they were made.
        ava: how AVA's tracks are split, by films.
        workers: processes that crop footage and make talking heads.
        progress: wraps the list of files, as tqdm does.
        left_out: told of every file of footage that gave no clip, and why.

    Raises:
        ValueError, FileNotFoundError: no such kind or folder, nothing in it, its manifest is damaged, or a folder is
            named twice.
    """
    parts: dict[str, list[Part]] = {split: [] for split in SPLITS}
    sources = parse_sources(text)
    for name, source in zip(_names(sources), sources, strict=True):
        pools, finished = {}, {}
        if source.kind == "talkset":
            pools, missing = prepare(source.folder, footage, workers=workers, progress=progress)
            for path, why in missing.items():
                left_out(path, why)
        elif source.kind == "ava":
            finished = read_ava(source.folder, ava, left_out=left_out)
        else:
            folder = source.folder
            if source.made:
                folder = _made(source, footage.crop, workers, progress is not None)
            for split, heads in read_pool(folder, footage.crop).items():
                pools[split] = heads.of_type("in_sync")
                finished[split] = heads.of_type(*(set(heads.types) - {"in_sync"}))
        for split in SPLITS:
            # AVA would not fit into memory, and gives windows of its clips.
            keep = CachedPool if source.kind != "ava" else lambda pool: pool
            pool, rest = (keep(x[split]) if split in x else None for x in (pools, finished))
            parts[split].append(Part(name, pool, rest, source.weight))
    return {split: Corpus(parts[split]) for split in SPLITS}


def _names(sources: Sequence[Source]) -> list[str]:
    """What each source is called, no two alike.

    Raises:
        ValueError: the same folder twice.
    """
    paths = [(str(source.made),) if source.made else source.folder.resolve().parts for source in sources]
    lengths = [1] * len(sources)  # of the end of the path that is told
    while True:
        names = [_name(source, path[-n:]) for source, path, n in zip(sources, paths, lengths, strict=True)]
        alike = [number for number, name in enumerate(names) if names.count(name) > 1]
        if not alike:
            return names
        longer = [number for number in alike if lengths[number] < len(paths[number])]
        if not longer:
            raise ValueError(
                f"{names[alike[0]]} is named twice: give each source once, with *WEIGHT if it is to count more"
            )
        for number in longer:
            lengths[number] += 1


def _name(source: Source, told: Sequence[str]) -> str:
    name = Path(*told).as_posix()
    return name if source.kind == "talkset" else f"{source.kind}:{name}"


def _made(source: Source, crop: str, workers: int, bar: bool) -> Path:
    """The folder of as many talking heads as the source asks for, made now unless they are there already."""
    # Here and not above: these need the optional packages that render.
    from pushpull.data.talkheads.device import RenderError
    from pushpull.data.talkheads.make import MakeOptions, make
    from pushpull.data.talkheads.voice import VoiceError

    name = f"{source.made}" if crop == TALKNET_DEMO else f"{source.made}-{crop}"
    folder = default_cache().parent / "talkheads" / name
    try:
        with tqdm(total=source.made, unit="clip", desc="talking heads", disable=not bar) as shown:
            options = MakeOptions(clips=source.made, crop=crop)
            make(options, folder, workers=workers, progress=lambda there: shown.update(there - shown.n))
    except (RenderError, VoiceError) as error:
        raise ValueError(str(error)) from error
    return folder
