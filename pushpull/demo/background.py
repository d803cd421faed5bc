"""Long work in a thread of its own, with reports on the way and a way to stop it."""

import contextlib
import ctypes
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator

DONE = object()
# An attack takes every core for a minute, and clicks and answers in the same process are small: they go first.
NICENESS = 15


class Stopped(Exception):
    """Raised inside the work, by its own ``report``, once it has been told to stop."""


def step_back() -> None:
    """Let every thread of ordinary priority go before this one, on Linux; elsewhere nothing happens.

    Linux alone gives a thread a priority of its own. Threads and processes that this one starts later inherit it:
    torch's and ffmpeg's. It cannot be taken back, so only a thread that ends with its work may call this.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # forbidden in some containers: then as fast as before, no faster
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def give_back() -> None:
    """Give the system the memory that was freed, on Linux; elsewhere nothing happens.

    glibc keeps it for later, in pieces that the next attack, another in size, does not fit: without this a server that
    needs half a gigabyte holds two after ten attacks.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)


class BackgroundTask:
    """Run ``work(report)`` in a thread that yields the processor to everybody else's.

    A context manager: leaving it before the work is done stops the work at its next report. It is not waited for:
    gradio leaves from within its event loop, where waiting would hold up every visitor.

    Args:
        work: called with ``report``, a callable of one value; what it returns is :meth:`result`.
        every: seconds between the reports that are handed on; of those in between only the latest counts.
    """

    def __init__(self, work: Callable[[Callable[[object], None]], object], *, every: float = 0.15):
        self._work, self._every = work, every
        self._news: queue.SimpleQueue = queue.SimpleQueue()
        self._stop = threading.Event()
        self._value = self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="task")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()

    def _report(self, value: object) -> None:
        if self._stop.is_set():
            raise Stopped
        self._news.put(value)

    def _run(self):
        step_back()
        try:
            self._value = self._work(self._report)
        except BaseException as error:  # noqa: BLE001  (raised again by result, in the caller's thread)
            self._error = error
        self._news.put(DONE)
        give_back()

    def reports(self) -> Iterator[object]:
        """The latest report, at most one every ``every`` seconds, until the work is done."""
        while True:
            news = [self._news.get()]
            while not self._news.empty():
                news.append(self._news.get())
            values = [value for value in news if value is not DONE]
            if values:
                yield values[-1]
            if news[-1] is DONE:
                return
            self._stop.wait(self._every)

    def result(self) -> object:
        """What the work returned.

        Raises:
            Exception: what the work raised.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value
