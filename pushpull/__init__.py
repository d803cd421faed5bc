"""Adversarial robustness of audio-visual active speaker detection: the public API."""

from pushpull import threads

threads.prepare()  # before torch, which brings OpenMP

from pushpull import _torchaudio  # noqa: E402

_torchaudio.prepare()

from pushpull.clip import Clip  # noqa: E402

__all__ = ["Clip"]
__version__ = "0.1.0"
