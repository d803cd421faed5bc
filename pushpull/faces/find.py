"""Every face of a video from where it appears to where it is lost.

The detector costs more than everything else together, so it looks at every fourth frame, at both sides of a cut and at
the last one. In between a face that both ends agree on moves straight; where they do not agree (somebody came, went,
or moved fast) the frames between are looked at, too.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass

import numpy as np

from pushpull.clip import FPS
from pushpull.faces.detect import DETECTION_SIDE, FaceDetector
from pushpull.faces.tracking import SceneCuts, Track, Tracker, overlaps
from pushpull.media import Limits, probe, read_frames

STRIDE = 4  # frames
AGREED = 0.5  # intersection over union of a face at both ends of a stride, from which it moved straight in between
AHEAD = 6  # strides that are decoded ahead of the detector, so that it never waits; 30 MB of 640 x 640 pixels

Progress = Callable[[float | None, str], object]


@dataclass(frozen=True, eq=False)
class Found:
    """Tracks of a video, longest and biggest first, with (H, W) of its pictures and their number."""

    tracks: list[Track]
    size: tuple[int, int]
    frames: int


@dataclass(eq=False)
class _Look:
    """One frame on its way: its picture until it is not needed any more, and what the detector says of it."""

    picture: np.ndarray | None
    cut: bool
    wanted: Future | None = None
    faces: np.ndarray | None = None
    done: bool = False


def find_tracks(
    video: str | os.PathLike | Iterable[np.ndarray],
    *,
    limits: Limits = Limits(),
    progress: Progress | None = None,
    stride: int = STRIDE,
) -> list[Track]:
    """Every face of a video, longest and biggest first.

    Frames are looked at one by one and let go: memory does not grow with the length of the video.

    Args:
        video: a file, or (H, W, 3) uint8 RGB frames at 25 fps.
        limits: for a file, see :func:`pushpull.media.read_frames`.
        progress: called as ``progress(share, message)`` with share 0..1, or None when the length is unknown;
            what it raises ends the search.
        stride: look for faces in every n-th frame; 1 looks at all of them.

    Raises:
        MediaError: the file cannot be read.
    """
    return find(video, limits=limits, progress=progress, stride=stride).tracks


def find(
    video: str | os.PathLike | Iterable[np.ndarray],
    *,
    limits: Limits = Limits(),
    start: float = 0.0,
    seconds: float | None = None,
    progress: Progress | None = None,
    seen: Callable[[np.ndarray, np.ndarray], object] | None = None,
    stride: int = STRIDE,
) -> Found:
    """As :func:`find_tracks`, with what else is learned on the way.

    Args:
        start, seconds: the part of a file to search.
        seen: called with a picture and the box x1, y1, x2, y2 in it of each face once it was followed long enough.
    """
    expected, size = seconds, None
    if isinstance(video, (str, os.PathLike)):
        part = {"start": start, "seconds": seconds}
        whole = probe(video, limits=limits.any_length() if start or seconds else limits).seconds
        if whole is not None:
            expected = min(whole - start, seconds or whole)
        with closing(read_frames(video, limits=limits, **part)) as frames:
            size = next(frames).shape[:2]
        # ffmpeg shrinks faster than a wide picture can be piped.
        video = read_frames(video, limits=limits, max_side=DETECTION_SIDE, **part)
    tracker, count, scale, told = Tracker(), 0, np.ones(5, np.float32), 0
    with _ended(video) as frames, FaceDetector() as detector:
        for look in _looked_at(frames, detector, stride):
            count += 1
            if count == 1:
                size = size or look.picture.shape[:2]
                scale[:4] = np.tile([size[1] / look.picture.shape[1], size[0] / look.picture.shape[0]], 2)
            tracker.update(look.faces * scale, cut=look.cut)
            if tracker.seen > told and seen is not None:
                for box in tracker.current(tracker.seen - told):
                    seen(look.picture, box / scale[:4])
            told = max(told, tracker.seen)
            if progress is not None:
                share = None if not expected else min(1.0, count / FPS / expected)
                progress(share, f"looking for faces: {count / FPS:.0f} s, {tracker.seen} found")
    return Found(tracker.tracks(), size, count)


def _looked_at(frames: Iterable[np.ndarray], detector: FaceDetector, stride: int) -> Iterator[_Look]:
    """Every frame in its order, with its faces."""
    cuts, stretch, waiting = SceneCuts(), [], deque()
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="between") as threads:

        def close(looks: list[_Look]) -> None:
            # What lies between two looks waits for both; several such waits keep every process busy.
            waiting.append((looks, threads.submit(_fill, looks, detector)))

        try:
            for index, picture in enumerate(frames):
                look = _Look(picture, cuts.update(picture))
                if look.cut and stretch:
                    _ask(stretch[-1], detector)
                    close(stretch)
                    stretch = []
                stretch.append(look)
                if index % stride == 0 or look.cut:
                    _ask(look, detector)
                    if len(stretch) > 1:
                        close(stretch)
                        stretch = [look]
                while len(waiting) > AHEAD:
                    yield from _finished(*waiting.popleft())
            if stretch:
                _ask(stretch[-1], detector)
                close(stretch)
            while waiting:
                yield from _finished(*waiting.popleft())
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _ask(look: _Look, detector: FaceDetector) -> None:
    if look.wanted is None:
        look.wanted = detector.submit(look.picture)


def _finished(looks: list[_Look], filled: Future) -> Iterator[_Look]:
    """The frames of a stretch that were not handed on with the one before."""
    filled.result()
    for look in looks:
        if not look.done:
            look.done = True
            look.faces = look.faces[look.faces[:, 4] >= Tracker.likely]
            yield look


def _fill(looks: list[_Look], detector: FaceDetector) -> None:
    """Faces for the frames in between: on straight lines, or with a look half-way where both ends differ."""
    before, after = _answer(looks[0]), _answer(looks[-1])
    if len(looks) < 3:
        return
    pairs = _same(before, after)
    if pairs is None:
        middle = len(looks) // 2
        _ask(looks[middle], detector)
        _fill(looks[: middle + 1], detector)
        _fill(looks[middle:], detector)
        return
    for number, look in enumerate(looks[1:-1], start=1):
        share = number / (len(looks) - 1)
        look.faces = (1 - share) * before[pairs[0]] + share * after[pairs[1]]


def _answer(look: _Look) -> np.ndarray:
    answer = look.wanted.result()
    if look.faces is None:
        look.faces = answer
    return answer


def _same(before: np.ndarray, after: np.ndarray) -> tuple[list[int], list[int]] | None:
    """Indices of the faces that stayed, or None where something happened that is worth another look."""
    shared, pairs = overlaps(before, after), ([], [])
    while shared.size and shared.max() >= AGREED:
        row, column = np.unravel_index(shared.argmax(), shared.shape)
        pairs[0].append(int(row))
        pairs[1].append(int(column))
        shared[row], shared[:, column] = -1, -1
    for faces, matched in ((before, pairs[0]), (after, pairs[1])):
        if (np.delete(faces, matched, axis=0)[:, 4] >= Tracker.sure).any():
            return None
    return pairs


def _ended(frames):
    """A context that ends an iterator which holds an ffmpeg; a list has nothing to end."""
    return closing(frames) if hasattr(frames, "close") else nullcontext(frames)
