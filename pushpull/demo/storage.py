"""Folders of results under names nobody can guess, served by the app and deleted when old."""

import contextlib
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

TOKEN = re.compile(r"[0-9a-f]{32}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()-]*")


@dataclass(frozen=True)
class ResultFolder:
    """One folder of results.

    Args:
        token: 32 hexadecimal digits from the system's random source.
        path: the folder.
    """

    token: str
    path: Path

    def url(self, name: str) -> str:
        """Where the page finds the file ``name``, relative to the page."""
        return f"results/{self.token}/{name}"

    def share(self, path: Path) -> None:
        """Have ``path``, a file of another folder, here too, without a second copy where the disk allows it."""
        here = self.path / path.name
        if here.exists():
            return
        try:
            os.link(path, here)
        except OSError:
            shutil.copyfile(path, here)


@dataclass(frozen=True, kw_only=True)
class ResultStore:
    """All results.

    Args:
        root: the folder that holds them; made if needed, and nothing else may lie in it.
        max_age: seconds after which a folder is deleted.
    """

    root: Path
    max_age: float = 2 * 3600.0

    def __post_init__(self):
        self.root.mkdir(parents=True, exist_ok=True)

    def open(self) -> ResultFolder:
        """A new, empty folder; old ones are cleared away first."""
        self.sweep()
        token = secrets.token_hex(16)
        path = self.root / token
        path.mkdir(mode=0o700)
        return ResultFolder(token, path)

    def find(self, token: str, name: str) -> Path | None:
        """The file ``name`` of a folder; None if there is none. Never anything outside the store."""
        if not TOKEN.fullmatch(token) or not NAME.fullmatch(name):
            return None
        path = self.root / token / name
        return path if path.is_file() and not path.is_symlink() else None

    def sweep(self) -> int:
        """Delete the folders that are older than ``max_age``; how many."""
        limit, old = time.time() - self.max_age, []
        for path in self.root.iterdir():
            with contextlib.suppress(FileNotFoundError):  # swept by another thread meanwhile
                old += [path] if path.is_dir() and path.stat().st_mtime < limit else []
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)
