"""Who asked for an attack, whose has begun, and who wants it to stop."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REMEMBERED = 1000  # visitors who asked and went away before their turn
NOTHING = object()  # what somebody has chosen who took their clip away
LATE = 15.0  # seconds that a browser may take to tell of a cancelled request


class Requests:
    """What every visitor asked for last. A browser tells of refused requests and of cancelled ones in the same way, and
    of cancelled ones at any time, also when the next one already runs: which of them it was is known here."""

    def __init__(self):
        self._waiting: dict[str, None] = {}
        self._cancelled: dict[str, float] = {}
        self._running: dict[str, threading.Event] = {}
        self._choices: dict[str, object] = {}

    def choose(self, visitor: str, clip: object = None) -> None:
        """The visitor chose another clip, or NOTHING: what is still read of the one before is not wanted."""
        _put(self._choices, visitor, clip or object())
        self.leave(visitor)

    def has_nothing(self, visitor: str) -> bool:
        """Whether the visitor took their clip away and has chosen none since."""
        return self._choices.get(visitor) is NOTHING

    def leave(self, visitor: str) -> None:
        """Another clip, face or model ends what the visitor asked for, as Cancel does; if there is anything to end."""
        if visitor in self._waiting or visitor in self._running:
            self.withdraw(visitor)

    def wanted(self, visitor: str) -> Callable[[], bool]:
        """Of what is read from now on: whether the visitor still wants it, having chosen nothing else since."""
        choice = self._choices.get(visitor)
        return lambda: self._choices.get(visitor) is choice

    def ask(self, visitor: str) -> None:
        """Run was pressed: the visitor is on the way to the queue."""
        _put(self._waiting, visitor, None)

    def withdraw(self, visitor: str) -> None:
        """Cancel was pressed; the browser will report the request as failed, sooner or later."""
        self._waiting.pop(visitor, None)
        self._running.pop(visitor, None)
        _put(self._cancelled, visitor, time.monotonic())

    @contextmanager
    def begin(self, visitor: str) -> Iterator[threading.Event]:
        """Around an attack whose turn has come; set once the visitor wants it to stop."""
        self._waiting.pop(visitor, None)
        stop = self._running[visitor] = threading.Event()
        try:
            yield stop
        except GeneratorExit:
            # Gradio ended it, perhaps before it is told here why.
            if self._running.get(visitor) is stop:
                self.withdraw(visitor)
            raise
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
        if time.monotonic() - self._cancelled.pop(visitor, -LATE) < LATE:
            return False
        if visitor not in self._waiting:
            return False
        del self._waiting[visitor]
        return True

    def __len__(self) -> int:
        return len(self._running)


def _put(known: dict, visitor: str, value) -> None:
    known.pop(visitor, None)
    known[visitor] = value
    while len(known) > REMEMBERED:
        del known[next(iter(known))]
