"""What Light-ASD and LR-ASD share: separable convolutions, two encoders, two heads, and how they are called.

Both encode faces and sound with three blocks each, of convolutions that look across the picture (or the cepstral
coefficients) or along time, never both at once. They differ in their blocks and in how they put the two embeddings
together. Attribute names are those of the published state dicts.

J. Liao et al., "A Light Weight Model for Active Speaker Detection", CVPR 2023; J. Liao et al., "LR-ASD: Lightweight
and Robust Network for Active Speaker Detection", IJCV 2025.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pushpull.clip import SAMPLES_PER_FRAME
from pushpull.detectors.base import MODALITIES, Outputs
from pushpull.detectors.flat import along_time, flat_kernel, halved, run_along
from pushpull.detectors.front_ends import mfcc
from pushpull.detectors.state import load_state
from pushpull.detectors.talknet.network import check_inputs, check_pair

GREY_MEAN, GREY_STD = 0.4161, 0.1688  # of grey levels / 255
NORM = {"eps": 1e-3, "momentum": 0.01}
WIDTHS = (32, 64, 128)
EMBEDDING = WIDTHS[-1]
SPAN_PICTURES = 500  # encoded at once in evaluation mode; each keeps some 4 MB for the backward pass
REACH = 9  # frames that a visual embedding depends on, on either side: 3 blocks of temporal kernels of 5 and 3 at most
FIRST_TEMPERATURE, LAST_TEMPERATURE = 1.3, 1.0  # of the audio-visual logits, in training

Step = tuple[nn.Module, nn.Module]  # a convolution without bias and its normalisation; a ReLU follows


class Faces:
    """Layers on (B, C, T, h, w): across a picture, and along time. They are run as two-dimensional ones."""

    letter = "s"
    norm = nn.BatchNorm2d

    @staticmethod
    def across(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Module:
        pad = size // 2
        return nn.Conv3d(inputs, outputs, (1, size, size), (1, stride, stride), (0, pad, pad), bias=False)

    @staticmethod
    def along(inputs: int, outputs: int, size: int) -> nn.Module:
        return nn.Conv3d(inputs, outputs, (size, 1, 1), padding=(size // 2, 0, 0), bias=False)


class Sound:
    """Layers on (B, C, 13, 4 T): across the coefficients, and along time."""

    letter = "m"
    norm = nn.BatchNorm2d

    @staticmethod
    def across(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Module:
        if stride != 1:
            raise ValueError(f"coefficients are taken one by one, got a stride of {stride}")
        return nn.Conv2d(inputs, outputs, (size, 1), padding=(size // 2, 0), bias=False)

    @staticmethod
    def along(inputs: int, outputs: int, size: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, (1, size), padding=(0, size // 2), bias=False)


class Block(nn.Module):
    """Branches of steps whose results are summed, and steps on the sum; a subclass says which."""

    branches: tuple[tuple[tuple[str, str], ...], ...]  # names of each branch's convolutions and normalisations
    after: tuple[tuple[str, str], ...] = ()

    def steps(self) -> tuple[list[list[Step]], list[Step]]:
        """The branches' and the sum's convolutions, each with its normalisation."""

        def found(names):
            return [(getattr(self, conv), getattr(self, norm)) for conv, norm in names]

        return [found(branch) for branch in self.branches], found(self.after)

    def forward(self, x: Tensor, frames: int = 1) -> Tensor:
        """(N, C, h, w) -> (N, width, h, w). For faces N is B T, ``frames`` is T, and a stride of 2 reads halved."""
        branches, after = self.steps()
        first, *others = (_run(branch, x, frames) for branch in branches)
        return _run(after, sum(others, first), frames)


def _run(steps: list[Step], x: Tensor, frames: int) -> Tensor:
    for conv, norm in steps:
        x = F.relu_(norm(_convolved(conv, x, frames)))
    return x


def _convolved(conv: nn.Module, x: Tensor, frames: int) -> Tensor:
    kernel, padding = flat_kernel(conv, conv.weight)

    def flat(seen: Tensor) -> Tensor:
        return F.conv2d(seen, kernel, padding=padding)

    return run_along(flat, x, frames) if along_time(conv) else flat(x)


class VisualEncoder(nn.Module):
    """(B, T, 112, 112) normalised pictures -> e_v (B, T, 128)."""

    def __init__(self, block: Callable[..., Block]):
        super().__init__()
        self.block1 = block(Faces, 1, WIDTHS[0], stride=2)
        self.block2 = block(Faces, WIDTHS[0], WIDTHS[1])
        self.block3 = block(Faces, WIDTHS[1], WIDTHS[2])

    def forward(self, pictures: Tensor) -> Tensor:
        clips, frames = pictures.shape[:2]
        x = _halve_picture(self.block1(halved(pictures.flatten(0, 1)[:, None]), frames))
        x = _halve_picture(self.block2(x, frames))
        return self.block3(x, frames).amax(dim=(2, 3)).unflatten(0, (clips, frames))


class AudioEncoder(nn.Module):
    """(B, 4 T, 13) cepstral coefficients -> e_a (B, T, 128)."""

    def __init__(self, block: Callable[..., Block]):
        super().__init__()
        self.block1 = block(Sound, 1, WIDTHS[0])
        self.block2 = block(Sound, WIDTHS[0], WIDTHS[1])
        self.block3 = block(Sound, WIDTHS[1], WIDTHS[2])

    def forward(self, features: Tensor) -> Tensor:
        x = _halve_time(self.block1(features.transpose(1, 2)[:, None]))
        x = _halve_time(self.block2(x))
        return self.block3(x).mean(dim=2).transpose(1, 2)


def _halve_picture(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, 1)


def _halve_time(x: Tensor) -> Tensor:
    """(B, C, 13, n) -> (B, C, 13, n / 2)."""
    return F.max_pool2d(x, (1, 3), (1, 2), (0, 1))


class OneLayerGRU(nn.GRU):
    """A GRU over (B, T, inputs) that can be differentiated in evaluation mode.

    cuDNN goes back through a recurrent layer in training mode only. Without dropout between layers, that mode changes
    nothing else: this one stays in it.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, batch_first=True)

    def train(self, mode: bool = True) -> "OneLayerGRU":
        return super().train(True)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0]


class Head(nn.Module):
    """(B, T, 128) -> logits (B, T, 2)."""

    def __init__(self):
        super().__init__()
        self.FC = nn.Linear(EMBEDDING, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.FC(x)


class TwoStreams(nn.Module):
    """A detector of two encoders, whose embeddings a subclass puts together.

    In training mode the audio-visual logits are divided by ``temperature``, which the published recipe lets fall (see
    :func:`training_temperature`); it is 1 unless set, and in evaluation mode it has no effect.
    """

    block: Callable[..., Block]  # of a subclass: block(Faces or Sound, inputs, width, stride=1)
    mark: str  # a tensor's name that no other architecture has
    whole = False  # take a clip at once, for normalisations that look at all of it

    def __init__(self):
        super().__init__()
        self.card: dict = {}
        self.temperature = LAST_TEMPERATURE
        self.model = nn.Module()
        self.model.visualEncoder = VisualEncoder(self.block)
        self.model.audioEncoder = AudioEncoder(self.block)
        self.lossAV = Head()
        self.lossV = Head()

    def join(self, e_a: Tensor, e_v: Tensor) -> Tensor:
        """Two embeddings (B, T, 128) -> one (B, T, 128) of both."""
        raise NotImplementedError

    def forward(self, inputs: dict[str, Tensor]) -> Outputs:
        """Score every video frame.

        Args:
            inputs: {"audio": (B, 640 T) full scale [-1, 1], "video": (B, T, 112, 112) grey levels 0..255}, both in
                the detector's floating-point type.

        Returns:
            logits_av, logits_v (B, T, 2), e_a and e_v (B, T, 128); the others are None.

        Raises:
            ValueError: a modality is missing, unknown, of the wrong shape or type; the message names it.
        """
        check_inputs(inputs, MODALITIES, self._dtype)
        audio, video = inputs["audio"], inputs["video"]
        check_pair(audio.shape[0], audio.shape[1] / SAMPLES_PER_FRAME, video.shape[0], video.shape[1])
        return self.fuse(self.encode_audio(audio, video.shape[1]), self.encode_video(video))

    def encode_audio(self, audio: Tensor, frames: int) -> Tensor:
        """(B, 640 T) full scale -> e_a (B, T, 128), T = ``frames``."""
        return self.model.audioEncoder(mfcc(audio, 4 * frames))

    def encode_video(self, video: Tensor) -> Tensor:
        """(B, T, 112, 112) grey levels -> e_v (B, T, 128).

        In evaluation mode long clips are taken in spans, which changes nothing but time and memory: each sees as much
        on either side as its frames can, and is computed again in the backward pass.
        """
        clips, frames = video.shape[:2]
        span = max(SPAN_PICTURES // clips, 4 * REACH)
        if self.training or self.whole or frames <= span:
            return self._encode_pictures(video)
        spans = []
        for start in range(0, frames, span):
            first, stop = max(start - REACH, 0), min(start + span, frames)
            seen = video[:, first : stop + REACH]
            if torch.is_grad_enabled():
                encoded = checkpoint(self._encode_pictures, seen, use_reentrant=False)
            else:
                encoded = self._encode_pictures(seen)
            spans.append(encoded[:, start - first : stop - first])
        return torch.cat(spans, dim=1)

    def fuse(self, e_a: Tensor, e_v: Tensor) -> Outputs:
        """Outputs of the encoders' embeddings, (B, T, 128) each."""
        logits_av = self.lossAV(self.join(e_a, e_v))
        if self.training:
            logits_av = logits_av / self.temperature
        return Outputs(logits_av, logits_v=self.lossV(e_v), e_a=e_a, e_v=e_v)

    def fix(self, inputs: dict[str, Tensor]) -> Callable[[dict[str, Tensor]], Outputs]:
        """Encode some modalities once; the rest are given at every call.

        Args:
            inputs: the modalities that stay as they are (none, one or both), as :meth:`forward` takes them.

        Returns:
            A callable of a dict of the remaining modalities. No gradient flows into the fixed ones; a fixed batch of
            one is used for every clip of the others.

        Raises:
            ValueError: as :meth:`forward`, here and at the call.
        """
        if unknown := sorted(set(inputs) - set(MODALITIES)):
            raise ValueError(f"unknown inputs: {', '.join(unknown)}; a detector takes {' and '.join(MODALITIES)}")
        check_inputs(inputs, tuple(inputs), self._dtype)
        remaining = tuple(name for name in MODALITIES if name not in inputs)
        with torch.no_grad():
            fixed = {name: self._encode(name, value) for name, value in inputs.items()}

        def call(others: dict[str, Tensor]) -> Outputs:
            check_inputs(others, remaining, self._dtype)
            encoded = fixed | {name: self._encode(name, value) for name, value in others.items()}
            e_a, e_v = encoded["audio"], encoded["video"]
            batch = next((len(encoded[name]) for name in remaining), max(len(e_a), len(e_v)))
            e_a, e_v = (e.expand(batch, -1, -1) if len(e) == 1 else e for e in (e_a, e_v))
            check_pair(len(e_a), e_a.shape[1], len(e_v), e_v.shape[1])
            return self.fuse(e_a, e_v)

        return call

    def fast(self) -> "TwoStreams":
        """A copy made for attacks, see :func:`pushpull.detectors.fast.fast_copy`."""
        from pushpull.detectors.fast import fast_copy

        return fast_copy(self)

    @classmethod
    def recognises(cls, state: Mapping[str, Tensor]) -> bool:
        """Whether a state dict is of this architecture, by the names of its tensors."""
        return cls.mark in state

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], *, source: str) -> "TwoStreams":
        """The detector with these weights, in evaluation mode.

        Raises:
            CheckpointError: tensors are missing, unexpected or of another shape; the message names them.
        """
        detector = cls()
        load_state(detector, state, source=source, wanted=cls.__name__)
        return detector.eval()

    def _encode_pictures(self, video: Tensor) -> Tensor:
        return self.model.visualEncoder((video / 255 - GREY_MEAN) / GREY_STD)

    def _encode(self, name: str, value: Tensor) -> Tensor:
        if name == "video":
            return self.encode_video(value)
        return self.encode_audio(value, value.shape[1] // SAMPLES_PER_FRAME)

    @property
    def _dtype(self) -> torch.dtype:
        return self.lossAV.FC.weight.dtype


def training_temperature(progress: float) -> float:
    """The temperature at a share of the training, 0 to 1: from 1.3 down to 1 in a straight line."""
    progress = min(max(progress, 0.0), 1.0)
    return FIRST_TEMPERATURE + (LAST_TEMPERATURE - FIRST_TEMPERATURE) * progress
