"""The detectors a visitor can choose from: cards at once, weights when first needed, one in memory at a time."""

import threading
from collections.abc import Sequence
from pathlib import Path

from pushpull.demo.cards import with_sidecar
from pushpull.detectors import CheckpointError, Detector, decided, describe, list_detectors, load_detector
from pushpull.detectors.checkpoint import CHECKPOINTS, find_checkpoint

PREFERRED = "talknet-lite"
GIVEN = "given"  # ``where`` of the card of a detector that the app was started with


class DetectorCache:
    """Everything in the registry, and the detectors that the app was started with.

    Those are the checkpoints of a folder, the published detectors in the user's cache, the files of the folder that
    PUSHPULL_DETECTORS names, and detectors in memory.

    Args:
        folder: where the checkpoints are.
        given: detectors, the first of which is chosen when nobody chose; each goes by the name on its card.
        device: as :func:`pushpull.detectors.load_detector`.

    Raises:
        ValueError: two of the given detectors have the same name.
    """

    def __init__(self, folder: Path = CHECKPOINTS, *, given: Sequence[Detector] = (), device: str = "auto"):
        self.folder, self.device = Path(folder), device
        self.given = {str(describe(detector)["name"]): decided(detector) for detector in given}
        if len(self.given) < len(given):
            raise ValueError(f"two of the given detectors have the same name; there are: {', '.join(self.given)}")
        self._lock = threading.Lock()
        self._held: Detector | None = None
        self._stamp: tuple | None = None

    def all_cards(self) -> dict[str, dict]:
        """The cards by name: given ones, the preferred one, then the others; also of those to be fetched.

        Each has ``where``: "given", "shipped", "published" (not on this machine yet) or the path of its file. Shipped
        ones have what was added to the card beside their weights.

        Raises:
            CheckpointError: PUSHPULL_DETECTORS names no folder.
        """
        cards = {card["name"]: with_sidecar(card, self.folder) for card in list_detectors(self.folder)}
        cards |= {name: describe(detector) | {"name": name, "where": GIVEN} for name, detector in self.given.items()}
        order = [*self.given, PREFERRED]

        def rank(name: str) -> tuple[int, str]:
            return order.index(name) if name in order else len(order), name

        return {name: cards[name] for name in sorted(cards, key=rank)}

    def cards(self) -> dict[str, dict]:
        """Those of :meth:`all_cards` that can be used at once."""
        return {name: card for name, card in self.all_cards().items() if card["where"] != "published"}

    def default(self) -> str | None:
        """The detector that is chosen when nobody chose; None if there is none at all."""
        return next(iter(self.cards()), None)

    def loaded(self) -> str | None:
        """The name of the model that is in memory, a given one where no other is; None if there is none yet."""
        stamp = self._stamp
        return next(iter(self.given), None) if stamp is None else stamp[0].stem

    def get(self, name: str) -> Detector:
        """The detector, loaded if it is not the one in memory, or if its file has changed.

        Raises:
            CheckpointError: there is none of this name, or it cannot be read; the message says what to do.
        """
        if name in self.given:
            return self.given[name]
        cards = self.cards()
        if not name:
            raise CheckpointError(
                f"There is no model yet: {self.folder} holds no checkpoint. Train one with "
                "`python -m pushpull.train`, or fetch a published one with `python -m pushpull.detectors fetch "
                "lr-asd-ava`, then reload the page."
            )
        if name not in cards:
            raise CheckpointError(f"no detector is called {name!r} here; there are: {', '.join(cards) or 'none yet'}")
        shipped = cards[name]["where"] == "shipped"
        path = find_checkpoint(name, self.folder) if shipped else Path(cards[name]["where"])
        stamp = (path, path.stat().st_mtime_ns)
        with self._lock:
            if stamp != self._stamp:
                self._held = self._stamp = None  # free the old weights before the new ones come
                self._held, self._stamp = load_detector(path, self.device), stamp
            return self._held

    def warm(self) -> threading.Thread:
        """Load the default detector in the background, so that the first visitor need not wait for it."""

        def load():
            if (name := self.default()) is not None:
                self.get(name)

        thread = threading.Thread(target=load, daemon=True, name="warm")
        thread.start()
        return thread
