"""TalkNet: waveform and face crops in, speaking logits per video frame out."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pushpull.clip import FACE_SIZE, SAMPLES_PER_FRAME
from pushpull.detectors.base import MODALITIES, Outputs
from pushpull.detectors.front_ends import FRONT_ENDS
from pushpull.detectors.talknet.attention import AttentionLayer
from pushpull.detectors.talknet.audio import AudioEncoder
from pushpull.detectors.talknet.config import EMBEDDING, TalkNetConfig
from pushpull.detectors.talknet.visual import VisualConv1D, VisualFrontend, VisualTCN

GREY_MEAN, GREY_STD = 0.4161, 0.1688  # of grey levels / 255, the official normalisation


class TalkNet(nn.Module):
    """The network of Tao et al. (2021), and the paper's ncTalkNet and specTalkNet, by one configuration.

    Attribute names are those of the official state dict. Differences from the official code: the audio
    front-end is inside, so gradients reach the waveform; the clips of a batch do not leak into each other.
    """

    def __init__(self, config: TalkNetConfig | None = None):
        super().__init__()
        self.config = config = config or TalkNetConfig()
        self.card: dict = {}
        self.reference_embeddings: dict[str, Tensor] = {}  # see pushpull.training.reference; no part of the network
        width = config.visual_widths[-1]
        self.visualFrontend = VisualFrontend(
            config.stem_kernel, config.stem_stride, config.stem_pool, config.visual_widths, config.visual_strides
        )
        self.visualTCN = VisualTCN(width, config.tcn_blocks)
        self.visualConv1D = VisualConv1D(width, config.visual_hidden, EMBEDDING)
        self.audioEncoder = AudioEncoder(config.audio_widths, config.audio_blocks)
        if config.cross_attention:
            self.crossA2V = AttentionLayer(EMBEDDING, config.feedforward)
            self.crossV2A = AttentionLayer(EMBEDDING, config.feedforward)
        self.selfAV = AttentionLayer(2 * EMBEDDING, config.feedforward)
        self.headAV = nn.Linear(2 * EMBEDDING, 2)
        self.headA = nn.Linear(EMBEDDING, 2)
        self.headV = nn.Linear(EMBEDDING, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Outputs:
        """Score every video frame.

        Args:
            inputs: {"audio": (B, 640 T) full scale [-1, 1], "video": (B, T, 112, 112) grey levels 0..255},
                both in the model's floating-point type.

        Raises:
            ValueError: a modality is missing, unknown, of the wrong shape or type; the message names it.
        """
        check_inputs(inputs, MODALITIES, self.headAV.weight.dtype)
        audio, video = inputs["audio"], inputs["video"]
        check_pair(audio.shape[0], audio.shape[1] / SAMPLES_PER_FRAME, video.shape[0], video.shape[1])
        return self.fuse(self.encode_audio(audio, video.shape[1]), self.encode_video(video))

    def encode_audio(self, audio: Tensor, frames: int) -> Tensor:
        """(B, 640 T) full scale -> e_a (B, T, 128), T = ``frames``."""
        return self.audioEncoder(FRONT_ENDS[self.config.audio_features](audio, 4 * frames))

    def encode_video(self, video: Tensor) -> Tensor:
        """(B, T, 112, 112) grey levels -> e_v (B, T, 128)."""
        x = self.visualFrontend((video / 255 - GREY_MEAN) / GREY_STD)
        return self.visualConv1D(self.visualTCN(x.transpose(1, 2))).transpose(1, 2)

    def fuse(self, e_a: Tensor, e_v: Tensor) -> Outputs:
        """Attention and heads on the embeddings of the two front-ends, (B, T, 128) each."""
        z_a, z_v = e_a, e_v
        if self.config.cross_attention:
            z_a, z_v = self.crossA2V(e_a, e_v), self.crossV2A(e_v, e_a)
        joint = torch.cat([z_a, z_v], dim=-1)
        joint = self.selfAV(joint, joint)
        return Outputs(self.headAV(joint), self.headA(z_a), self.headV(z_v), e_a, e_v, z_a, z_v)

    def fast(self) -> "TalkNet":
        """A copy for attacks: the same outputs and input gradients, sooner; see ``pushpull.detectors.talknet.fast``."""
        from pushpull.detectors.talknet.fast import attackable  # it changes modules of this file, so it imports them

        return attackable(self)

    def fix(self, inputs: dict[str, Tensor]) -> Callable[[dict[str, Tensor]], Outputs]:
        """Encode some modalities once; the rest are given at every call.

        Args:
            inputs: the modalities that stay as they are (none, one or both), as :meth:`forward` takes them.

        Returns:
            A callable of a dict of the remaining modalities. No gradient flows into the fixed ones; a fixed
            batch of one is used for every clip of the others.

        Raises:
            ValueError: as :meth:`forward`, here and at the call.
        """
        if unknown := sorted(set(inputs) - set(MODALITIES)):
            raise ValueError(f"unknown inputs: {', '.join(unknown)}; a model takes {' and '.join(MODALITIES)}")
        check_inputs(inputs, tuple(inputs), self.headAV.weight.dtype)
        remaining = tuple(name for name in MODALITIES if name not in inputs)
        with torch.no_grad():
            fixed = {name: self._encode(name, value) for name, value in inputs.items()}

        def call(others: dict[str, Tensor]) -> Outputs:
            check_inputs(others, remaining, self.headAV.weight.dtype)
            encoded = fixed | {name: self._encode(name, value) for name, value in others.items()}
            e_a, e_v = encoded["audio"], encoded["video"]
            batch = next((len(encoded[name]) for name in remaining), max(len(e_a), len(e_v)))
            e_a, e_v = (e.expand(batch, -1, -1) if len(e) == 1 else e for e in (e_a, e_v))
            check_pair(len(e_a), e_a.shape[1], len(e_v), e_v.shape[1])
            return self.fuse(e_a, e_v)

        return call

    def _encode(self, name: str, value: Tensor) -> Tensor:
        if name == "video":
            return self.encode_video(value)
        return self.encode_audio(value, value.shape[1] // SAMPLES_PER_FRAME)


def check_named(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs, or ValueError if they are no tensors by name."""
    if not isinstance(inputs, Mapping) or not all(isinstance(value, Tensor) for value in inputs.values()):
        raise ValueError(
            f"a detector is given tensors by name, {' and '.join(MODALITIES)}, not a {type(inputs).__name__}; "
            "see Clip.inputs"
        )
    return inputs


def check_inputs(inputs: dict[str, Tensor], wanted: tuple[str, ...], dtype: torch.dtype) -> None:
    """Raise ValueError unless ``inputs`` holds exactly ``wanted``, each well-formed on its own."""
    if missing := [name for name in wanted if name not in check_named(inputs)]:
        raise ValueError(f"missing input: {', '.join(missing)}")
    if unknown := sorted(set(inputs) - set(wanted)):
        raise ValueError(f"unexpected input: {', '.join(unknown)}; wanted here: {', '.join(wanted) or 'none'}")
    for name, value in inputs.items():
        if value.dtype != dtype:
            raise ValueError(f"{name} must be {dtype}, the model's type, got {value.dtype}; see Clip.inputs")
        if name == "video" and (value.ndim != 4 or value.shape[2:] != (FACE_SIZE, FACE_SIZE)):
            raise ValueError(f"video must be (B, T, {FACE_SIZE}, {FACE_SIZE}), got {tuple(value.shape)}")
        if name == "audio" and (value.ndim != 2 or value.shape[1] % SAMPLES_PER_FRAME):
            raise ValueError(
                f"audio must be (B, {SAMPLES_PER_FRAME} T), got {tuple(value.shape)}; see pushpull.clip.fit_audio"
            )
        if 0 in value.shape:
            raise ValueError(f"{name} is empty: {tuple(value.shape)}")


def check_pair(audio_batch: int, audio_frames: float, video_batch: int, video_frames: int) -> None:
    """Raise ValueError unless sound and frames are of the same clips."""
    if audio_batch != video_batch:
        raise ValueError(f"audio has a batch of {audio_batch}, video of {video_batch}")
    if audio_frames != video_frames:
        raise ValueError(
            f"audio is {audio_frames:g} video frames long ({SAMPLES_PER_FRAME} samples each), video {video_frames}; "
            "see pushpull.clip.fit_audio"
        )
