"""Files that are whole or not there, and their checksums."""

import codecs
import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock, Timeout

PARTIAL = ".partial"  # suffix of what is being written; a killed process leaves it behind
LOCK = ".lock"  # in a folder that one process at a time works in


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


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of ``folder`` for as long as the block lasts; one that dies lets them in again.

    A file system without locks keeps nobody out.

    Raises:
        ValueError: another process is in such a block.
    """
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        told = f"another process works in {folder} now: wait until it is done, or give another --out"
        raise ValueError(told) from None
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()


def read_text(path: str | os.PathLike) -> str:
    """A text file as people's editors write it: UTF-8, with or without a byte order mark, UTF-16 with one, or Latin-1.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it begins as UTF-16 and is not (a ValueError).
    """
    content = Path(path).read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252" if _is_cp1252(content) else "latin-1")


def _is_cp1252(content: bytes) -> bool:
    """False if there are bytes that Windows' Western code page, Latin-1 with typographic quotes, leaves undefined."""
    return not any(byte in content for byte in b"\x81\x8d\x8f\x90\x9d")


def read_arrays(path: Path, *names: str, again: str) -> list[np.ndarray]:
    """Some of the arrays in a file that ``np.savez`` wrote.

    Args:
        again: what to do where it is missing or damaged, for the message.

    Raises:
        ValueError: it is.
    """
    try:
        with np.load(path) as stored:
            return [stored[name] for name in names]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is missing or damaged ({error}): {again}") from error


def check_folder(folder: Path) -> None:
    """Raise ValueError unless files can be written to ``folder``, which need not exist: asked before long work.

    Nothing is made. A full disk is not foreseen.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    except OSError as error:  # a name that is too long, or a folder that may not be looked into
        raise ValueError(f"{folder} cannot be a folder: {error.strerror}. Give another.") from error
    if not there.is_dir():
        raise ValueError(f"{there} is no folder, so nothing can be written to {folder}. Give another.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{there} cannot be written to: permission denied. Give another folder.")


def check_file(path: Path, endings: tuple[str, ...] = ()) -> None:
    """Raise ValueError unless a file can be written as ``path``, whose name ends in one of ``endings``, if any."""
    if path.is_dir() or not path.name:
        raise ValueError(f"{path} is a folder: name a file in it")
    if endings and path.suffix.lower() not in endings:
        raise ValueError(f"{path} must end in {' or '.join(endings)}")
    check_folder(path.parent)


def check_free(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Raise ValueError if one of ``paths`` is there already, unless it may be replaced."""
    if not overwrite and (there := [str(path) for path in paths if path.exists()]):
        raise ValueError(f"{', '.join(there)} already there: give another name, or allow to replace with --overwrite")


def shipped_folder(name: str) -> Path:
    """The folder ``name`` of the checkout; of an installed package, what came with it."""
    checkout = Path(__file__).resolve().parents[1] / name
    return checkout if checkout.is_dir() else Path(__file__).resolve().parent / name


def shown(name: str) -> str:
    """A file's name as a title: on one line, and without the bytes of it that are no UTF-8."""
    return " ".join(name.encode("utf-8", "replace").decode().split())


def distinct_names(paths: Iterable[Path]) -> dict[Path, str]:
    """{path: its name, with as many of the folders above it as tell it from the others}; a path given twice is one."""
    parts = {path: path.absolute().parts for path in paths}
    lengths = dict.fromkeys(parts, 1)
    while True:
        names = {path: Path(*whole[-lengths[path] :]).as_posix() for path, whole in parts.items()}
        counts = Counter(names.values())
        longer = [path for path, name in names.items() if counts[name] > 1 and lengths[path] < len(parts[path])]
        if not longer:
            return names
        for path in longer:
            lengths[path] += 1


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
