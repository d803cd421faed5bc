"""Where training clips come from: folders of footage and of talking heads, alone or mixed.

A source is ``KIND:FOLDER``, several are separated by commas: ``talkset:grid_s1,talkheads:heads``. A bare folder is
``talkset``.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

from pushpull.clip import Clip
from pushpull.data.talkheads.pool import HeadPool, read_pool
from pushpull.data.talkset import SPLITS, TalkSet, TalkSetOptions, prepare

KINDS = ("talkset", "talkheads")


class Corpus(Sequence):
    """Clips in sync of one or several pools, labels = speech activity, and what those pools hold besides.

    Args:
        pools: in-sync clips, each a sequence with ``first``, ``frames`` and ``fingerprint``.
        finished: pools of labelled examples of kinds that cannot be made from clips in sync (chewing, turns, ...).
    """

    def __init__(self, pools: Sequence[TalkSet | HeadPool], finished: Sequence[HeadPool] = ()):
        self.pools = tuple(pools)
        self.finished = tuple(pool for pool in finished if len(pool))
        self._stops = list(accumulate(len(pool) for pool in self.pools))

    def __len__(self) -> int:
        return self._stops[-1] if self._stops else 0

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < len(self):
            raise IndexError(index)
        which = bisect_right(self._stops, index)
        return self.pools[which][index - (self._stops[which - 1] if which else 0)]

    def first(self, count: int) -> "Corpus":
        """About ``count`` clips in sync: the first of every pool, by its share."""
        shares = [max(2, round(count * len(pool) / max(1, len(self)))) for pool in self.pools]
        return Corpus([pool.first(share) for pool, share in zip(self.pools, shares, strict=True)])

    @property
    def frames(self) -> int:
        """Video frames of the clips in sync."""
        return sum(pool.frames for pool in self.pools)

    @property
    def fingerprint(self) -> str:
        """Names the set of clips; of a single pool of footage it is that pool's."""
        prints = [pool.fingerprint for pool in (*self.pools, *self.finished)]
        return prints[0] if len(prints) == 1 else hashlib.sha256(" ".join(prints).encode()).hexdigest()[:16]


def parse_sources(text: str) -> list[tuple[str, Path]]:
    """``KIND:FOLDER[,KIND:FOLDER ...]`` as (kind, folder).

    Raises:
        ValueError: nothing given, or an unknown kind.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, colon, folder = part.partition(":")
        if not colon or Path(part).is_dir():
            kind, folder = "talkset", part
        if kind not in KINDS or not folder:
            raise ValueError(f"a source is KIND:FOLDER with KIND one of {', '.join(KINDS)}, got {part!r}")
        found.append((kind, Path(folder)))
    if not found:
        raise ValueError("say what to train on: --data FOLDER, talkset:FOLDER or talkheads:FOLDER, comma-separated")
    return found


def source_names(text: str) -> str:
    """The sources without their folders' parents: what a card says of where its data lay."""
    return ",".join(
        folder.resolve().name if kind == "talkset" else f"{kind}:{folder.resolve().name}"
        for kind, folder in parse_sources(text)
    )


def read_sources(
    text: str,
    footage: TalkSetOptions,
    *,
    workers: int = 1,
    progress: Callable | None = None,
    left_out: Callable[[Path, str], None] = lambda path, why: None,
) -> dict[str, Corpus]:
    """{"train" | "validation" | "test": Corpus} of every source in ``text``.

    Args:
        footage: how folders of footage become clips; talking heads were split when they were made.
        workers: processes that crop footage.
        progress: wraps the list of files, as tqdm does.
        left_out: told of every file of footage that gave no clip, and why.

    Raises:
        ValueError, FileNotFoundError: no such kind or folder, nothing in it, or its manifest is damaged.
    """
    pools: dict[str, list] = {split: [] for split in SPLITS}
    finished: dict[str, list] = {split: [] for split in SPLITS}
    for kind, folder in parse_sources(text):
        if kind == "talkset":
            splits, missing = prepare(folder, footage, workers=workers, progress=progress)
            for path, why in missing.items():
                left_out(path, why)
        else:
            splits = {}
            for split, heads in read_pool(folder).items():
                splits[split] = heads.of_kind("in_sync")
                finished[split].append(heads.of_kind(*(set(heads.kinds) - {"in_sync"})))
        for split in SPLITS:
            pools[split].append(splits[split])
    return {split: Corpus(pools[split], finished[split]) for split in SPLITS}
