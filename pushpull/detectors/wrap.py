"""Anybody's torch module as a detector."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pushpull.clip import SAMPLES_PER_FRAME
from pushpull.detectors.base import CROPS, Outputs
from pushpull.detectors.front_ends import FRONT_ENDS

FEATURES_PER_FRAME = 4  # 10 ms feature frames in a video frame


class WrappedDetector(nn.Module):
    """A module that takes ``(audio, video)``, as a detector; see :func:`wrap`."""

    def __init__(self, module: nn.Module, call: Callable, front_end: Callable | None, card: dict):
        super().__init__()
        self.module, self._call, self._front_end, self.card = module, call, front_end, card

    def forward(self, inputs: dict[str, Tensor]) -> Outputs:
        """Score every video frame.

        Args:
            inputs: {"audio": (B, 640 T), "video": (B, T, 112, 112)}.

        Raises:
            ValueError: sound and picture are not of the same clips, or the module returned nothing that can be
                understood as scores; the message says what it was.
        """
        audio, video = inputs["audio"], inputs["video"]
        frames = video.shape[1]
        if audio.shape != (len(video), SAMPLES_PER_FRAME * frames):
            raise ValueError(
                f"audio must be (B, {SAMPLES_PER_FRAME} T) for video (B, T, 112, 112), "
                f"got {tuple(audio.shape)} and {tuple(video.shape)}"
            )
        if self._front_end is not None:
            audio = self._front_end(audio, FEATURES_PER_FRAME * frames)
        return as_outputs(self._call(self.module, audio, video), len(video), frames)


def wrap(
    module: nn.Module,
    *,
    call: Callable | None = None,
    crop: str = CROPS[0],
    front_end: str | None = None,
    name: str | None = None,
    **card,
) -> WrappedDetector:
    """Make a detector of a torch module, so that it can be attacked, measured and shown.

    Args:
        module: called as ``module(audio, video)`` with (B, 640 T) full-scale sound at 16 kHz and (B, T, 112, 112) grey
            levels 0..255. It returns log-odds of speaking (B, T), logits (B, T, 2) [not speaking, speaking], or
            :class:`pushpull.Outputs`. It is put into evaluation mode.
        call: ``call(module, audio, video)`` for a module that wants other arguments.
        crop: the faces it was trained on: "talknet_demo" (nose to chin) or "face_box" (as in AVA).
        front_end: "mfcc" or "spectrogram": sound comes as (B, 4 T, features) instead, differentiably.
        name: what reports call it; the module's class if None.
        card: anything else that its card shall say (training data, licence, ...).

    Raises:
        ValueError: an unknown crop or front-end.
        TypeError: ``module`` is no torch module.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"wrap takes a torch.nn.Module, got {type(module).__name__}; put a function into one")
    if crop not in CROPS:
        raise ValueError(f"crop must be one of {', '.join(CROPS)}, got {crop!r}")
    if front_end is not None and front_end not in FRONT_ENDS:
        raise ValueError(f"front_end must be one of {', '.join(FRONT_ENDS)} or None, got {front_end!r}")
    own = name or type(module).__name__
    facts = {"architecture": type(module).__name__} | card | {"name": own, "crop": crop}
    chosen = None if front_end is None else FRONT_ENDS[front_end]
    call = call or (lambda module, audio, video: module(audio, video))
    return WrappedDetector(module, call, chosen, facts).eval()


def as_outputs(said, batch: int, frames: int) -> Outputs:
    """Scores in any of the accepted forms as :class:`Outputs`.

    Raises:
        ValueError: anything else; the message says what it was and what is wanted.
    """
    wanted = f"({batch}, {frames}) log-odds, ({batch}, {frames}, 2) logits or pushpull.Outputs"
    if not isinstance(said, Tensor) and hasattr(said, "logits_av"):
        parts = (getattr(said, name, None) for name in Outputs._fields)
        outputs = Outputs(*parts)
        if outputs.logits_av.shape != (batch, frames, 2):
            raise ValueError(f"logits_av must be ({batch}, {frames}, 2), got {tuple(outputs.logits_av.shape)}")
        return outputs
    if not isinstance(said, Tensor):
        raise ValueError(f"the module must return {wanted}, got {type(said).__name__}; use wrap(..., call=...)")
    if said.shape == (batch, frames, 2):
        return Outputs(said)
    if said.shape == (batch, frames):
        return Outputs(torch.stack([torch.zeros_like(said), said], dim=-1))
    raise ValueError(f"the module must return {wanted}, got a tensor of shape {tuple(said.shape)}")
