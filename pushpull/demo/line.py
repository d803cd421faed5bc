"""Who waits for what: places in gradio's queue, and how long it will be, in words."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import gradio as gr

REMEMBERED = 10  # of the attacks that ended, how many the expected wait is reckoned from
REST = 20.0  # seconds for player and files, before any were made
KNOWN = 0.05  # of a piece of work, from where on its pace tells how long it takes
FULL = "Too many people are waiting. Try again in some minutes."
ODD = "It was not run: a value of the form is none that it can have. Correct it, then run again."
ATTACKS, CLIPS = "cpu", "reading"  # gradio's concurrency_id of what waits for its turn


@dataclass(frozen=True)
class Place:
    """Where somebody stands.

    Args:
        ahead: how many others go first, the one whose turn it is included.
        seconds: until their turn, as far as known; None if nothing is known yet.
    """

    ahead: int
    seconds: float | None


class Turn:
    """One attack whose turn has come: the attack itself, then what shows and stores it.

    Args:
        attack, rest: seconds that the two took with others; ``attack`` is None before any.
    """

    def __init__(self, attack: float | None = None, rest: float = REST):
        self._began, self._attacked, self._share, self._after = time.monotonic(), None, 0.0, 0.0
        self._attack, self._rest, self._told = attack, rest, 0.0

    def comes_to(self, share: float) -> None:
        """How far the attack is, 0..1; what follows it (player, files) comes after 1."""
        self._share = share
        if share >= 1 and self._attacked is None:
            self._attacked = time.monotonic()

    def follows_to(self, share: float) -> None:
        """How far what follows the attack is, 0..1."""
        self._after = share

    def split(self) -> tuple[float, float]:
        """Seconds that the attack took, and seconds after it, until now."""
        now = time.monotonic()
        end = self._attacked or now
        return end - self._began, now - end

    def left(self) -> float | None:
        """Seconds until all of it ends, by its own pace where it has one, else as with others; None if not known."""
        took, after = self.split()
        if self._attacked is not None:
            rest = after / self._after if self._after > KNOWN else self._rest
            # Later than expected: nobody knows how much.
            return rest - after if rest > after else None
        whole = took / self._share if self._share > KNOWN else self._attack
        return None if whole is None else max(0.0, whole - took) + self._rest

    @property
    def share(self) -> float:
        """How far all of it is, 0..1, player and files included; it never goes back."""
        took, after = self.split()
        left = self.left()
        if left is not None and took + after + left > 0:
            self._told = max(self._told, (took + after) / (took + after + left))
        return min(self._told, 0.99)


class Line:
    """The queues of one page. Gradio keeps them; how long an attack takes is measured here."""

    def __init__(self):
        self._page: gr.Blocks | None = None
        self._took: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self._turn: Turn | None = None

    def follow(self, page: gr.Blocks) -> None:
        """The page whose queues these are, once it is built."""
        self._page = page

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Around an attack whose turn has come. One that ends by itself tells how long others will take."""
        turn = self._turn = Turn(*self._expected())
        try:
            yield turn
            self._took.append(turn.split())
        finally:
            self._turn = None

    def place(self, visitor: str | None, kind: str = ATTACKS) -> Place | None:
        """Where a visitor (gradio's session hash) stands; None if they wait for nothing of this kind."""
        queue = self._queue(kind)
        if queue is None:
            return None
        waiting = [event.session_hash for event in list(queue.queue)]
        if visitor not in waiting:
            return None
        before = waiting.index(visitor)
        return Place(before + queue.current_concurrency, self._seconds(before) if kind == ATTACKS else None)

    def lengths(self) -> dict[str, int]:
        """How many wait and how many are served now, by kind of work: ``{"attack_waiting": ...}``."""
        counted = {}
        for name, kind in (("attacks", ATTACKS), ("clips", CLIPS)):
            queue = self._queue(kind)
            counted[f"{name}_waiting"] = 0 if queue is None else len(queue.queue)
            counted[f"{name}_running"] = 0 if queue is None else queue.current_concurrency
        return counted

    def refusal(self) -> str:
        """Why gradio did not take an attack, in a sentence: so many wait, or it found a value out of its range."""
        queues = getattr(self._page, "_queue", None)
        # Some of those who made it full may have gone since.
        full = queues is None or queues.max_size is None or 2 * len(queues) >= queues.max_size
        return FULL if full else ODD

    def _queue(self, kind: str):
        # gradio has no public way to ask for one visitor's place.
        queues = getattr(self._page, "_queue", None)
        # Those in which nobody waits are false, though somebody may be served.
        return None if queues is None else queues.event_queue_per_concurrency_id.get(kind)

    def _expected(self) -> tuple[float | None, float]:
        """Seconds that an attack takes, None before any, and what follows it, as with those before."""
        took = list(self._took)
        if not took:
            return None, REST
        return sum(attack for attack, _ in took) / len(took), sum(rest for _, rest in took) / len(took)

    def _seconds(self, before: int) -> float | None:
        attack, rest = self._expected()
        turn = self._turn
        left = turn.left() if turn else 0.0
        if left is None or (before and attack is None):
            return None
        return left + (before * (attack + rest) if before else 0.0)


def in_words(place: Place, what: str = "attack") -> str:
    """A place as a sentence or two."""
    if place.ahead <= 0:
        return "Your turn comes now"
    others = f"one {what} goes" if place.ahead == 1 else f"{place.ahead} {what}s go"
    said = f"You are number {place.ahead} in the queue: {others} first"
    return said if place.seconds is None else f"{said}. Yours starts in {duration(place.seconds)}"


def duration(seconds: float) -> str:
    """A wait as people say it."""
    if seconds < 8:
        return "a moment"
    if seconds < 90:
        return f"about {5 * max(1, round(seconds / 5))} seconds"
    return f"about {max(2, round(seconds / 60))} minutes"
