"""Where the faces of a file are, remembered by its content: looking for them is nine tenths of reading a video."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from pushpull.faces.find import Found
from pushpull.faces.tracking import Track
from pushpull.files import replacing, sha256

VERSION = 2  # of detector, tracker and search; what another version found is not read
MOST = 1000  # files that are remembered, of some ten kilobytes each; then the oldest go
FOLDER, OFF = "PUSHPULL_CACHE", "off"  # environment variable: another folder, or OFF


def _default_folder() -> Path | None:
    told = os.environ.get(FOLDER)
    if told == OFF:
        return None
    return Path(told or platformdirs.user_cache_dir("pushpull")) / "faces"


@dataclass(frozen=True)
class TrackCache:
    """Tracks on disk. Faces themselves are not kept, only their places; whatever goes wrong with a cache is a miss.

    Args:
        folder: made if needed; None remembers nothing.
    """

    folder: Path | None = None

    def __post_init__(self):
        if self.folder is None:
            object.__setattr__(self, "folder", _default_folder())

    def key(self, path: str | os.PathLike, start: float, seconds: float | None) -> str:
        """What the faces of this part of this content are kept under."""
        if self.folder is None:
            return ""
        # All digits that tell one frame from the next, also hours into a film.
        part = f"{start:.10g}-{'end' if seconds is None else format(seconds, '.10g')}"
        return f"{sha256(path)}-{part}-v{VERSION}"

    def get(self, key: str) -> Found | None:
        """What was found, or None."""
        if self.folder is None:
            return None
        path = self.folder / f"{key}.npz"
        try:
            with np.load(path) as held:
                height, width, frames, count = (int(value) for value in held["facts"])
                tracks = [Track(int(held[f"start{i}"]), held[f"boxes{i}"], held[f"scores{i}"]) for i in range(count)]
            os.utime(path)  # the last that was used goes last
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return Found(tracks, (height, width), frames)

    def put(self, key: str, found: Found) -> None:
        """Remember it."""
        if self.folder is None:
            return
        arrays = {"facts": np.array([*found.size, found.frames, len(found.tracks)])}
        for i, track in enumerate(found.tracks):
            arrays |= {f"start{i}": np.array(track.start), f"boxes{i}": track.boxes, f"scores{i}": track.scores}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.folder / f"{key}.npz") as file:
                np.savez(file, **arrays)
            held = sorted(self.folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
            for path in held[:-MOST]:
                path.unlink(missing_ok=True)
        except OSError:
            pass  # a full or read-only disk: as if there were no cache
