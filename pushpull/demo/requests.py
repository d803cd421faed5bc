"""Who asked for an attack, whose has begun, and who wants it to stop."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

REMEMBERED = 1000  # visitors who asked and went away before their turn


class Requests:
    """What every visitor asked for last. A browser tells of refused requests and of cancelled ones in the same way, and
    of cancelled ones at any time, also when the next one already runs: which of them it was is known here."""

    def __init__(self):
        self._waiting: dict[str, None] = {}
        self._running: dict[str, threading.Event] = {}

    def ask(self, visitor: str) -> None:
        """Run was pressed: the visitor is on the way to the queue."""
        self._waiting.pop(visitor, None)
        self._waiting[visitor] = None
        while len(self._waiting) > REMEMBERED:
            del self._waiting[next(iter(self._waiting))]

    def withdraw(self, visitor: str) -> None:
        """Cancel was pressed."""
        self._waiting.pop(visitor, None)

    @contextmanager
    def begin(self, visitor: str) -> Iterator[threading.Event]:
        """Around an attack whose turn has come; set once the visitor wants it to stop."""
        self._waiting.pop(visitor, None)
        stop = self._running[visitor] = threading.Event()
        try:
            yield stop
        finally:
            # One that was cancelled may end after the visitor's next one began.
            if self._running.get(visitor) is stop:
                del self._running[visitor]

    def stop(self, visitor: str) -> bool:
        """Stop what the visitor runs at its next step; whether anything runs."""
        if (event := self._running.get(visitor)) is None:
            return False
        event.set()
        return True

    def refused(self, visitor: str) -> bool:
        """Whether what the browser reports as failed was turned away: asked for, never begun and not withdrawn."""
        return self._waiting.pop(visitor, "begun") is None

    def __len__(self) -> int:
        return len(self._running)
