"""A detector of one's own: any torch module, or function, that scores faces against sound."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from pushpull.clip import SAMPLES_PER_FRAME
from pushpull.detectors.base import MODALITIES, Card, Outputs
from pushpull.detectors.front_ends import FRONT_ENDS
from pushpull.detectors.talknet.network import check_inputs, check_named, check_pair

WAVEFORM = "waveform"
FEATURES_PER_FRAME = 4
TAKEN = "(B, T, 2) logits [not speaking, speaking], (B, T) log-odds of speaking, or pushpull's Outputs"

Call = Callable[[Any, Tensor, Tensor], Any]


class WrappedDetector(nn.Module):
    """What :func:`wrap` gives: a module as a detector."""

    def __init__(self, module: Callable, call: Call, front_end: str, threshold: float, card: dict[str, Any]):
        super().__init__()
        self.module = module
        self.card = card
        self._call, self._front_end, self._threshold = call, front_end, threshold

    def forward(self, inputs: dict[str, Tensor]) -> Outputs:
        """Score every video frame.

        Args:
            inputs: {"audio": (B, 640 T) full scale [-1, 1], "video": (B, T, 112, 112) grey levels 0..255}.

        Raises:
            ValueError: inputs of the wrong shape or type, or a module that gives something else than outputs.
        """
        kinds = {value.dtype for value in check_named(inputs).values()}
        own = next((p.dtype for p in self.parameters() if p.is_floating_point()), None)
        wanted = own or (torch.float64 if kinds == {torch.float64} else torch.float32)
        check_inputs(inputs, MODALITIES, torch.float32 if kinds == {torch.float32} else wanted)
        audio, video = inputs["audio"], inputs["video"]
        clips, frames = video.shape[:2]
        check_pair(len(audio), audio.shape[1] / SAMPLES_PER_FRAME, clips, frames)
        video = video.clone()  # a module may change what it is given in place, as Normalize(inplace=True) does
        if self._front_end == WAVEFORM:
            audio = audio.clone()
        else:
            audio = FRONT_ENDS[self._front_end](audio, FEATURES_PER_FRAME * frames)
        given = self._call(self.module, audio.to(wanted), video.to(wanted))
        return as_outputs(given, clips, frames, self.card["name"]).relative_to(self._threshold)

    def fast(self) -> "WrappedDetector":
        """A copy for attacks, in evaluation mode and with frozen parameters."""
        return copy.deepcopy(self).eval().requires_grad_(False)


def wrap(
    module: Callable,
    *,
    call: Call | None = None,
    crop: str = "face_box",
    front_end: str = WAVEFORM,
    name: str | None = None,
    threshold: float = 0.0,
    trained_on: str | None = None,
    licence: str | None = None,
) -> WrappedDetector:
    """Make a detector of a torch module, to attack, evaluate and audit it as one of ours.

    Args:
        module: takes (audio, video), in its own floating-point type, and gives (B, T, 2) logits [not speaking,
            speaking], (B, T) log-odds of speaking, or :class:`Outputs`. Of a probability, log-odds are
            ``torch.logit(p, eps=1e-6)``. It is put into evaluation mode, and may change its arguments in place. For
            gradient-based attacks it has to be differentiable in both.
        call: ``call(module, audio, video)``, for a module that wants its arguments, or gives its scores, otherwise.
        crop: what pictures of a face it was trained on, see pushpull.detectors.base.CROPS. Grey levels are 0 to 255;
            scaling them is the module's, or ``call``'s.
        front_end: what it is given as audio: "waveform", (B, 640 T) full scale at 16 kHz; "mfcc", (B, 4 T, 13); or
            "spectrogram", (B, 4 T, 201), see pushpull.detectors.front_ends.
        name: what reports call it; the class's name otherwise.
        threshold: log-odds above which a frame counts as speech. It is taken off: the detector decides at 0.
        trained_on, licence: for reports.

    Raises:
        TypeError: ``module`` or ``call`` cannot be called.
        ValueError: an unknown crop or front-end, or a threshold that is no finite number.
    """
    if isinstance(module, type) or not callable(module):
        raise TypeError(f"a detector is made of a module or function, got {module!r}")
    if call is not None and not callable(call):
        raise TypeError(f"call is a function of (module, audio, video), got {call!r}")
    if front_end != WAVEFORM and front_end not in FRONT_ENDS:
        raise ValueError(f"front_end is one of {', '.join((WAVEFORM, *FRONT_ENDS))}, got {front_end!r}")
    if isinstance(threshold, Real) and not isinstance(threshold, bool):
        threshold = float(threshold)  # numpy has numbers of its own, which no card can hold
    facts = {"trained_on": trained_on, "crop": crop, "licence": licence}
    card = Card(name=name or getattr(module, "__name__", type(module).__name__), threshold=threshold, **facts)
    if threshold:
        card = replace(card, threshold=0.0, point={"name": "own", "threshold": threshold})
    return WrappedDetector(module, call or _audio_and_video, front_end, float(threshold), card.to_dict()).eval()


def as_outputs(given: Any, clips: int, frames: int, name: str) -> Outputs:
    """What a stranger's module gave, as outputs of ``clips`` by ``frames``.

    Raises:
        ValueError: it is none of the things that a detector may give; the message says what it is.
    """
    if isinstance(given, Tensor):
        _check_floating(given, name, "its output")
        if given.shape == (clips, frames, 2):
            return Outputs(given)
        if given.shape == (clips, frames):
            return Outputs(torch.stack([torch.zeros_like(given), given], dim=-1))
        raise ValueError(f"{name} gave {tuple(given.shape)} for {clips} clips of {frames} frames; expected {TAKEN}")
    if not hasattr(given, "logits_av"):
        found = f"a {type(given).__name__}"
        if isinstance(given, list | tuple | Mapping):
            key = repr(next(iter(given), "scores")) if isinstance(given, Mapping) else 0
            found += f" of {len(given)}; choose the scores with call=lambda module, audio, video: module(...)[{key}]"
        raise ValueError(f"{name} gave {found}; expected {TAKEN}")
    outputs = Outputs(*(getattr(given, field, None) for field in Outputs._fields))
    for field, value in zip(Outputs._fields, outputs, strict=True):
        if value is None and field != "logits_av":
            continue
        if not isinstance(value, Tensor):
            raise ValueError(f"{name}: {field} is a {type(value).__name__}, not a tensor")
        _check_floating(value, name, field)
        width = 2 if field.startswith("logits") else value.shape[-1] if value.ndim else 0
        if value.shape != (clips, frames, width):
            wanted = "2" if field.startswith("logits") else "D"
            raise ValueError(f"{name}: {field} is {tuple(value.shape)}, not ({clips}, {frames}, {wanted})")
    return outputs


def _check_floating(value: Tensor, name: str, field: str) -> None:
    if not value.is_floating_point():
        raise ValueError(f"{name}: {field} is {value.dtype}; expected scores, floating point, not decisions")


def _audio_and_video(module: Callable, audio: Tensor, video: Tensor) -> Any:
    return module(audio, video)
