"""The models a visitor can choose from: cards at once, weights when first needed, one in memory at a time."""

import threading
from pathlib import Path

from pushpull.detectors import CheckpointError, Detector, list_models, load_model
from pushpull.detectors.checkpoint import CHECKPOINTS, find_checkpoint
from pushpull.detectors.windowed import windowed

PREFERRED = "talknet-lite"


class DetectorCache:
    """Checkpoints of one folder.

    Args:
        folder: where the checkpoints are.
        device: as :func:`pushpull.detectors.load_model`.
    """

    def __init__(self, folder: Path = CHECKPOINTS, *, device: str = "auto"):
        self.folder, self.device = Path(folder), device
        self._lock = threading.Lock()
        self._held: Detector | None = None
        self._stamp: tuple | None = None

    def cards(self) -> dict[str, dict]:
        """The cards by name, the preferred model first."""
        cards = {card["name"]: card for card in list_models(self.folder)}
        return dict(sorted(cards.items(), key=lambda item: (item[0] != PREFERRED, item[0])))

    def default(self) -> str | None:
        """The model that is chosen when nobody chose; None if there is none at all."""
        return next(iter(self.cards()), None)

    def get(self, name: str) -> Detector:
        """The model, loaded if it is not the one in memory, or if its file has changed.

        Raises:
            CheckpointError: there is none of this name, or it cannot be read; the message says what to do.
        """
        if not name:
            raise CheckpointError(
                f"There is no model yet: {self.folder} holds no checkpoint. Train one with "
                "`python -m pushpull.train`, or import an official TalkNet file with "
                "`python -m pushpull.detectors.checkpoint --import FILE checkpoints/NAME`, then reload the page."
            )
        path = find_checkpoint(name, self.folder)
        stamp = (path, path.stat().st_mtime_ns)
        with self._lock:
            if stamp != self._stamp:
                self._held = self._stamp = None  # free the old weights before the new ones come
                self._held, self._stamp = windowed(load_model(path, self.device)), stamp
            return self._held

    def warm(self) -> threading.Thread:
        """Load the default model in the background, so that the first visitor need not wait for it."""

        def load():
            if (name := self.default()) is not None:
                self.get(name)

        thread = threading.Thread(target=load, daemon=True, name="warm")
        thread.start()
        return thread
