"""Ctrl-C and a polite kill, put off until the work they interrupt is whole."""

import signal
import threading


def end_politely() -> None:
    """Make a polite kill as good as Ctrl-C, until :class:`Stopping` puts it off to the end of a step.

    It raises by itself: a shell that starts a job in the background has it ignore Ctrl-C.
    """

    def stop(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


class Stopping:
    """While entered, a first SIGINT or SIGTERM only sets ``wanted``; a second one interrupts at once.

    An interrupt in the middle of a training step would leave weights that belong to no step. Outside the main thread,
    which alone receives signals, nothing happens and ``wanted`` stays false.
    """

    def __init__(self):
        self.wanted = False
        self._before = {}

    def __enter__(self) -> "Stopping":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            # None: it was installed from outside Python, and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _ask(self, *_):
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
