"""The clips of the test to try: made once on each machine by a process of its own, then found again.

They are as good as a study's: attacked, stored bit-exactly, read back and scored (xab.stimuli). They are not shipped,
because seven megabytes of lossless video would be in every copy of the repository for half a minute's work.
"""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from ..files import clip_names
from ..plan import Design, pair_specs, paper_preset
from ..store import Pair, Stimulus

# One pair of a speaking and one of a silent face for each of BIM, MIM and PGD, as short as a clip can be that one
# still remembers; before them one with noise that is plain to see and hear.
DESIGN = paper_preset(title="Can you tell?", seconds=2.0, speech=1, non_speech=1, training=1, catch=0)
PREFERRED = ("1-speaking-indoors.mp4", "3-speaking-garden.mp4", "5-listening.mp4", "9-chewing.mp4")
MANIFEST = "pairs.json"
ABANDONED = 3600.0  # seconds after which a folder that nobody finished is removed
FILES_OF_A_PAIR = 4  # two twins in two encodings


class Worker(Protocol):
    """A process that makes clips; subprocess.Popen is one."""

    pid: int

    def poll(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the clips are; ``failed`` when the process ended without them."""

    made: int
    of: int
    failed: bool = False


def design_for(assets: Path) -> Design:
    """DESIGN on the shipped clips, or on whatever clips a folder of one's own has."""
    there = set(clip_names(assets))
    return replace(DESIGN, clips=PREFERRED if set(PREFERRED) <= there else ())


def folder_for(data: Path, design: Design) -> Path:
    """Where the clips of a design are: another design has another folder."""
    return data / "tryout" / hashlib.sha256(design.to_json().encode()).hexdigest()[:16]


def unfinished(folder: Path, process: int) -> Path:
    """Where a process writes, before it gives the folder its name."""
    return folder.with_name(f"{folder.name}.{process}")


def write_pairs(folder: Path, pairs: list[Pair]) -> None:
    """Give the clips of this process their place, whole or not at all."""
    writing = unfinished(folder, os.getpid())
    # Paths are relative to the folder, which is called otherwise from here on.
    named = [
        replace(pair, stimuli=tuple(replace(file, path=Path(file.path).name) for file in pair.stimuli))
        for pair in pairs
    ]
    (writing / MANIFEST).write_text(json.dumps([asdict(pair) for pair in named]), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    writing.rename(folder)


def read_pairs(folder: Path) -> list[Pair] | None:
    """The pairs of a folder, None if they are not made yet, or by a version that wrote something else."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        pairs = [Pair(**{**pair, "stimuli": tuple(Stimulus(**file) for file in pair["stimuli"])}) for pair in found]
        return pairs or None
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


class Clips:
    """The pairs to try, and the process that makes them when somebody first asks.

    Args:
        data: the folder of the test's data.
        assets: clips to make them from.
        start: starts the process.
    """

    def __init__(self, data: Path, assets: Path, start: Callable[[], Worker]):
        self.design = design_for(assets)
        self.folder = folder_for(data, self.design)
        self._start = start
        self._worker: Worker | None = None
        self._pairs: list[Pair] | None = None
        self._lock = threading.Lock()

    def pairs(self) -> list[Pair] | None:
        """The pairs; None while they are not made."""
        if self._pairs is None:
            self._pairs = read_pairs(self.folder)
        return self._pairs

    def prepare(self) -> None:
        """Have the clips made unless they are there or being made."""
        with self._lock:
            if self.pairs() is not None or (self._worker and self._worker.poll() is None):
                return
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._sweep()
            self._worker = self._start()

    def progress(self) -> Progress:
        of = len(pair_specs(self.design))
        worker = self._worker
        if worker is None or (worker.poll() is not None and self.pairs() is None):
            return Progress(made=0, of=of, failed=True)
        files = unfinished(self.folder, worker.pid).glob("*.mp4")
        return Progress(made=min(of, len(list(files)) // FILES_OF_A_PAIR), of=of)

    def _sweep(self) -> None:
        """Remove what a process that was killed left."""
        for path in self.folder.parent.glob(f"{self.folder.name}.*"):
            if time.time() - path.stat().st_mtime > ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
