"""Long tracks scored in windows as long as those that a detector was trained on.

TalkNet normalises over all of a track and attends to all of it; it learned both on a few seconds. Which is better
is measured by ``benchmarks/long_tracks.py``; docs/training.md has the figures.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pushpull.clip import FPS, SAMPLES_PER_FRAME
from pushpull.detectors.base import Detector, Outputs, attack_copy, card_of

AT_ONCE = 1500  # frames of windows in one call: what is needed for a minute bounds the memory of ten
STEPS = {"audio": SAMPLES_PER_FRAME, "video": 1}  # elements along time that belong to one frame


class Windowed(nn.Module):
    """A detector that scores tracks longer than a window in windows that overlap by half.

    All outputs of a frame, logits and embeddings, are averages over the windows that hold it, weighted by a triangle
    that is highest in the middle of a window; the last window ends with the track. Gradients reach all inputs, so that
    an attack works on what is scored. A track of up to a window is given to the detector as it is.

    Args:
        detector: what scores a window.
        seconds: of a window, at least 0.08.

    Raises:
        ValueError: too short a window.
    """

    def __init__(self, detector: Detector, seconds: float):
        super().__init__()
        if not 2 / FPS <= seconds < float("inf"):
            raise ValueError(f"a window is at least two frames, {2 / FPS} s, long, got {seconds}")
        self.detector, self.seconds, self.frames = detector, seconds, round(seconds * FPS)
        self.card = dict(getattr(detector, "card", None) or {}) | {"window_seconds": seconds}
        self.train(getattr(detector, "training", False))

    @property
    def reference_embeddings(self) -> dict[str, Tensor]:
        """Those of the detector."""
        return getattr(self.detector, "reference_embeddings", None) or {}

    def forward(self, inputs: dict[str, Tensor]) -> Outputs:
        """Score every frame of {"audio": (B, 640 T), "video": (B, T, 112, 112)}.

        Raises:
            ValueError: sound and picture of different length, or what the detector refuses.
        """
        frames = _frames(inputs)
        if frames is None or frames <= self.frames:
            return self.detector(inputs)
        starts = window_starts(frames, self.frames)
        parts = [self.detector(_cut(inputs, some, self.frames)) for some in self._shares(starts, _clips(inputs))]
        return _averaged(parts, starts, frames, self.frames)

    def fast(self) -> "Windowed":
        """A copy made for attacks: windows of the detector's own."""
        return Windowed(attack_copy(self.detector), self.seconds).requires_grad_(False)

    def fix(self, inputs: dict[str, Tensor]) -> Callable[[dict[str, Tensor]], Outputs]:
        """Encode some modalities once, window by window; the rest are given at every call.

        A detector without a ``fix`` of its own is given all of its inputs at every call.

        Raises:
            ValueError: as the detector's, here and at the call.
        """
        if not inputs:
            return self
        inner = getattr(self.detector, "fix", None)
        frames = _frames(inputs)
        if inner is None:
            return lambda others: self(as_many(inputs, others))
        if frames is None or frames <= self.frames:
            return inner(inputs)
        starts = window_starts(frames, self.frames)
        # One window at a time: the detector uses a fixed batch of one for all clips of the others.
        fixed = [inner(_cut(inputs, [start], self.frames)) for start in starts]

        def call(others: dict[str, Tensor]) -> Outputs:
            if _frames(others) not in (None, frames):
                raise ValueError(f"sound and picture differ in length: {frames} and {_frames(others)} frames")
            parts = [one(_cut(others, [start], self.frames)) for one, start in zip(fixed, starts, strict=True)]
            return _averaged(parts, starts, frames, self.frames)

        return call

    def _shares(self, starts: list[int], clips: int) -> list[list[int]]:
        each = max(1, AT_ONCE // (self.frames * clips))
        return [starts[first : first + each] for first in range(0, len(starts), each)]


def windowed(detector: Detector) -> Detector:
    """The detector as its card wants long tracks scored: in windows of ``window_seconds``, or itself if it names none.

    Raises:
        ValueError: the card's ``window_seconds`` is no length.
    """
    seconds = card_of(detector).window_seconds
    return detector if seconds is None or isinstance(detector, Windowed) else Windowed(detector, seconds)


def window_starts(frames: int, window: int) -> list[int]:
    """The first frames of the windows that cover ``frames``, more than one window."""
    return [*range(0, frames - window, window // 2), frames - window]


def _frames(inputs):
    lengths = {value.shape[1] // STEPS[name] for name, value in inputs.items() if name in STEPS and value.ndim > 1}
    if len(lengths) > 1:
        raise ValueError(f"sound and picture differ in length: {' and '.join(map(str, sorted(lengths)))} frames")
    return next(iter(lengths), None)


def _clips(inputs):
    return max(len(value) for value in inputs.values())


def as_many(fixed, others):
    """All inputs, a fixed batch of one repeated for every clip of the others."""
    clips = _clips(others) if others else 1
    return others | {name: v.expand(clips, *v.shape[1:]) if len(v) == 1 else v for name, v in fixed.items()}


def _cut(inputs, starts, window):
    """The windows of all clips as one batch, window after window."""
    return {
        name: torch.cat([value[:, s * STEPS[name] : (s + window) * STEPS[name]] for s in starts])
        for name, value in inputs.items()
    }


def _averaged(parts: list[Outputs], starts: list[int], frames: int, window: int) -> Outputs:
    outputs = Outputs.cat(parts)
    some = outputs.logits_av
    weight = torch.bartlett_window(window + 2, periodic=False, dtype=some.dtype, device=some.device)[1:-1, None]
    total = torch.zeros(frames, 1, dtype=some.dtype, device=some.device)
    for start in starts:
        total[start : start + window] += weight

    def together(value: Tensor) -> Tensor:
        windows = value.unflatten(0, (len(starts), -1))  # (windows, B, window, D)
        track = value.new_zeros(windows.shape[1], frames, windows.shape[-1])
        for start, one in zip(starts, windows, strict=True):
            track = track + nn.functional.pad(weight * one, (0, 0, start, frames - window - start))
        return track / total

    return outputs.map(together)
