"""Published detectors from their authors' pages into the user's cache: resumable, checked, converted."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from pushpull.detectors.catalogue import PUBLISHED, Published
from pushpull.detectors.checkpoint import CheckpointError
from pushpull.detectors.load import FOLDER_VARIABLE, cache_folder, folders, load_detector, load_published, save_detector
from pushpull.files import PARTIAL, sha256

BLOCK = 1 << 16  # bytes per read
TIMEOUT = 30  # seconds without a byte
RANGE_REFUSED = 416  # HTTP's answer to a range that the file has not
TRIES = 3  # connections that may break before a download gives up, to be resumed by the next call

Progress = Callable[[int, int], None]


class FetchError(RuntimeError):
    """A download that did not come to its end; the message says what to do."""


def fetch(name: str, *, folder: str | Path | None = None, progress: Progress | None = None) -> Path:
    """A published detector as safetensors with its card; downloaded only if it is not there yet.

    A file that was put into the folder, or into that of PUSHPULL_DETECTORS, by hand is taken instead of a download.
    What a broken download has brought stays, and the next call goes on from there.

    Args:
        name: of PUBLISHED.
        folder: where to; the user's cache if None.
        progress: called with (bytes so far, bytes in all).

    Returns:
        The path of ``NAME.safetensors``.

    Raises:
        CheckpointError: no published detector of this name, or a file put there by hand that is not that one.
        FetchError: not reachable, broken off, or not the file that was expected; no room or permission to write.
    """
    if name not in PUBLISHED:
        raise CheckpointError(f"no published detector is called {name!r}; there are: {', '.join(PUBLISHED)}")
    published = PUBLISHED[name]
    target = Path(folder) if folder is not None else cache_folder()
    done = target / f"{name}.safetensors"
    if done.is_file() and _is_sound(done, published):
        return done
    try:
        target.mkdir(parents=True, exist_ok=True)
        by_hand = _by_hand(published, [target, *folders()])
        original = by_hand or download(published, target / f"{name}.model", progress)
        path = save_detector(done, load_published(original))
        if by_hand is None:
            original.unlink()
    except OSError as error:
        raise FetchError(f"cannot write to {target}: {error}") from error
    return path


def download(published: Published, path: Path, progress: Progress | None = None) -> Path:
    """Bring a published file to ``path``, going on with ``path.partial`` if that is there.

    Raises:
        FetchError: as :func:`fetch`.
    """
    partial = path.with_name(path.name + PARTIAL)
    if partial.is_file() and partial.stat().st_size > published.size:
        partial.unlink()
    for tries_left in reversed(range(TRIES)):
        try:
            _read(published, partial, progress)
            break
        except (HTTPException, OSError) as error:  # all of urllib's are OSErrors
            if isinstance(error, urllib.error.HTTPError) and error.code == RANGE_REFUSED:
                partial.unlink(missing_ok=True)
            elif isinstance(error, urllib.error.HTTPError) or not tries_left:
                code = f"HTTP {error.code} " if isinstance(error, urllib.error.HTTPError) else ""
                reason = code + (str(getattr(error, "reason", error)) or type(error).__name__)
                raise FetchError(_by_hand_text(published, path, reason)) from error
    else:
        raise FetchError(_by_hand_text(published, path, "the server refuses to go on with what is there"))
    found = sha256(partial)
    if found != published.sha256:
        partial.unlink()
        raise FetchError(
            f"{published.url} is not the file that was expected: its SHA-256 is {found}, not {published.sha256}. It "
            "was deleted; its authors may have replaced it, or something between here and there changes downloads"
        )
    os.replace(partial, path)
    return path


def _read(published: Published, partial: Path, progress: Progress | None) -> None:
    """Append what is missing of the file.

    Raises:
        OSError, HTTPException: what urllib raises, and ConnectionError when the answer ends early.
        FetchError: no room or permission to write.
    """
    there = partial.stat().st_size if partial.is_file() else 0
    if there == published.size:
        return
    request = urllib.request.Request(published.url, headers={"User-Agent": "pushpull"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        if answer.status != 206:  # the server sends it all, whatever was asked for
            there = 0
        if not there:
            _write(partial, b"", "wb")
        # One byte more than expected tells another file from this one, and is all that is read of it.
        while there <= published.size and (block := answer.read(min(BLOCK, published.size + 1 - there))):
            _write(partial, block, "ab")
            there += len(block)
            if progress is not None:
                progress(there, published.size)
    if there < published.size:
        raise ConnectionError(f"the connection ended after {there} of {published.size} bytes")


def _write(partial: Path, block: bytes, mode: str) -> None:
    try:
        with open(partial, mode) as file:
            file.write(block)
    except OSError as error:
        raise FetchError(f"cannot write to {partial}: {error}") from error


def _is_sound(path: Path, published: Published) -> bool:
    """Whether a detector that is there is the published one; a damaged one is fetched again.

    Raises:
        CheckpointError: it is another one, which is not ours to replace.
    """
    try:
        detector = load_detector(path, "cpu")
    except CheckpointError:
        return False
    if detector.card.get("source_sha256") == published.sha256:
        return True
    raise CheckpointError(f"{path} is another detector than the published {published.name}: move it away, or rename it")


def _by_hand(published: Published, places: list[Path]) -> Path | None:
    """The file itself, where a person has put it."""
    for path in (place / f"{published.name}.model" for place in places):
        if path.is_file():
            if (found := sha256(path)) != published.sha256:
                raise CheckpointError(
                    f"{path} is not the published {published.name}: its SHA-256 is {found}, not {published.sha256}; "
                    "download it again, or give your own file another name"
                )
            return path
    return None


def _by_hand_text(published: Published, path: Path, reason: str) -> str:
    return (
        f"cannot fetch {published.name} ({reason}). Try again, which goes on where this stopped; or download "
        f"{published.url} elsewhere and put it at {path}, or as {path.name} into a folder that {FOLDER_VARIABLE} names"
    )
