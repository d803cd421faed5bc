"""Files that are whole or not there, and their checksums."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PARTIAL = ".partial"  # suffix of what is being written; a killed process leaves it behind


@contextmanager
def replacing(path: Path, mode: str = "wb") -> Iterator[IO]:
    """A handle on a file that appears under its name only once the block has ended and all of it is on disk.

    Args:
        path: the file; what is there stays until then, and stays if the block raises.
        mode: "wb", or "w" for UTF-8 text whose line ends are left alone.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with open(partial, mode, **text) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
