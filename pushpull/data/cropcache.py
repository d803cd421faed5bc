"""What was cut out of videos, kept on disk by their content, and several processes that fill it."""

import hashlib
import json
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.data.cutting import cut_video
from pushpull.data.processes import in_processes
from pushpull.faces import TALKNET_DEMO
from pushpull.files import PARTIAL, replacing
from pushpull.media import MediaError

VERSION = 1  # of the crops; what another version cut is not read
FEW = 16  # videos a process: for fewer, starting one (seconds, for importing torch) takes longer than it saves
ABANDONED = 3600  # seconds after which a half-written file is nobody's: writing one takes a fraction of one


@dataclass(frozen=True)
class CropCache:
    """The crops of any number of videos, cut by one recipe.

    A video's listing, ``KEY.json``, is written after its crops, ``KEY-START.npz``, and each appears under its name
    only when it is whole: killed at any moment, the work goes on where it stopped.

    Args:
        folder: some 1 MB for 3 seconds.
        stride, shortest, longest, crop: the recipe, see :func:`pushpull.data.cutting.cut_video`.
    """

    folder: Path
    stride: int
    shortest: float
    longest: float
    crop: str = TALKNET_DEMO

    def fetch(self, path: Path, digest: str) -> dict:
        """What one video gave, cut now if the cache does not have it whole.

        Returns:
            {"clips": [{"file": name in the folder, "start": frame, "frames": T}], "why": why there are none, or None}
        """
        listed = self.listed(digest)
        return self._cut(path, digest) if listed is None else listed

    def fill(self, videos: Sequence[tuple[Path, str]], *, workers: int) -> Iterator[tuple[Path, dict]]:
        """(path, :meth:`fetch` of it) for every (path, digest), as they come to be; the same with any ``workers``.

        Processes and not threads: the face detector, more than half of the work, holds the interpreter's lock. See
        :func:`pushpull.data.processes.in_processes` for what a script has to mind.

        Raises:
            ChildProcessError: a worker was killed; what is cut so far is kept.
        """
        missing = []
        for path, digest in videos:
            if (listed := self.listed(digest)) is not None:
                yield path, listed
            else:
                missing.append((path, digest))
        workers = min(workers, len(missing) // FEW)
        if workers <= 1:
            yield from ((path, self.fetch(path, digest)) for path, digest in missing)
        else:
            for (path, _), listed in in_processes(self.fetch, missing, workers=workers):
                yield path, listed

    def listed(self, digest: str) -> dict | None:
        """What the cache holds of a video; None if it was not cut yet, or something of it is missing or cut off."""
        try:
            index = json.loads(self._listing(digest).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        # A zip file's directory is at its end: one that was cut off has none.
        return index if all(zipfile.is_zipfile(self.folder / clip["file"]) for clip in index["clips"]) else None

    def sweep(self) -> None:
        """Remove what killed processes left half-written."""
        for path in self.folder.glob(f"*{PARTIAL}"):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink(missing_ok=True)

    def _cut(self, path, digest):
        clips = []
        try:
            recipe = {"stride": self.stride, "shortest": self.shortest, "longest": self.longest, "crop": self.crop}
            cut = cut_video(path, **recipe)
            for start, video, audio in cut:
                name = f"{self._key(digest)}-{start}.npz"
                with replacing(self.folder / name) as handle:
                    np.savez(handle, video=video, audio=audio)
                clips.append({"file": name, "start": start, "frames": len(video)})
        except MediaError as error:
            # Not listed: a disk that was full or a machine that was busy may not be the next time.
            return {"clips": [], "why": str(error)}
        index = {"clips": clips, "why": None if clips else "no stretch with exactly one face in view"}
        with replacing(self._listing(digest)) as handle:
            handle.write(json.dumps(index).encode())
        return index

    def _key(self, digest):
        recipe = [VERSION, digest, self.stride, self.shortest, self.longest]
        # Nose to chin was the only crop once: what is in a cache is found again.
        recipe += [] if self.crop == TALKNET_DEMO else [self.crop]
        return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:32]

    def _listing(self, digest):
        return self.folder / f"{self._key(digest)}.json"
