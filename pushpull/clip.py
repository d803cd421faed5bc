"""Clip: one face and its sound, the value that flows from media through models and attacks to files."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

FPS = 25  # video frames per second; TalkNet sees four 10 ms audio feature frames per video frame
SAMPLE_RATE = 16_000  # Hz, mono
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS  # 640 audio samples belong to one video frame, exactly
FACE_SIZE = 112  # pixels, side of the grey face crop


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a clip was cut from.

    Args:
        path: the video file.
        face: number of the face among those that were found in it, from 1.
        start, seconds: the part of the file that was read; None reads to the end.
        first: frame of the file at which the clip begins.
        boxes: (T, 4) x1, y1, x2, y2 of the face in pixels of the file's pictures.
        size: (H, W) of these pictures.
    """

    path: Path
    face: int
    start: float
    seconds: float | None
    first: int
    boxes: np.ndarray
    size: tuple[int, int]

    @property
    def offset(self) -> float:
        """Seconds into the file at which the clip begins."""
        return self.first / FPS

    def span(self, start: int, stop: int) -> "Origin":
        """Of frames ``start`` to ``stop`` (exclusive) of the clip."""
        return replace(self, first=self.first + start, boxes=self.boxes[start:stop])


@dataclass(frozen=True, eq=False)
class Clip:
    """A face track with its sound.

    Args:
        audio: (N,) float32, full scale [-1, 1], 16 kHz mono, N = 640 T exactly.
        video: (T, 112, 112), grey levels 0..255; uint8 as decoded, float32 once perturbed.
        labels: (T,) int64, 1 speaking, 0 not; None when unknown.
        name: what a person would call it; used in file names and plots.
        crop: how the face was cut out, see ``pushpull.faces.crop_box``.
        origin: the place in a video file that it was cut from; None if it was made otherwise.

    Raises:
        ValueError: shapes, types or ranges are not those above; the message names the offending one.
    """

    audio: np.ndarray
    video: np.ndarray
    labels: np.ndarray | None = None
    name: str = "clip"
    crop: str = "talknet_demo"
    origin: Origin | None = None

    def __post_init__(self):
        for name in ("audio", "video", *(() if self.labels is None else ("labels",))):
            if not isinstance(value := getattr(self, name), np.ndarray):
                raise ValueError(f"{name} must be a numpy array, got a {type(value).__name__}; see numpy.asarray")
        frames = len(self.video) if self.video.ndim else 0
        if self.video.ndim != 3 or self.video.shape[1:] != (FACE_SIZE, FACE_SIZE) or frames == 0:
            raise ValueError(f"video must be (T, {FACE_SIZE}, {FACE_SIZE}) with T >= 1, got {self.video.shape}")
        if self.video.dtype not in (np.uint8, np.float32):
            raise ValueError(f"video must be uint8 or float32 grey levels, got {self.video.dtype}")
        if self.audio.dtype != np.float32:
            raise ValueError(f"audio must be float32 full scale, got {self.audio.dtype}")
        if self.audio.shape != (frames * SAMPLES_PER_FRAME,):
            raise ValueError(
                f"audio must have {SAMPLES_PER_FRAME} samples for each of the {frames} video frames, "
                f"that is ({frames * SAMPLES_PER_FRAME},), got {self.audio.shape}; see pushpull.clip.fit_audio"
            )
        if not np.isfinite(self.audio).all() or np.abs(self.audio).max() > 1:
            raise ValueError("audio must be finite and within full scale [-1, 1]")
        if self.video.dtype == np.float32 and not (self.video.min() >= 0 and self.video.max() <= 255):
            raise ValueError("video must be finite and within grey levels 0..255")
        if self.labels is not None:
            self._check_labels(frames)

    def _check_labels(self, frames: int) -> None:
        if self.labels.shape != (frames,):
            raise ValueError(f"labels must be ({frames},), one per video frame, got {self.labels.shape}")
        if self.labels.dtype != np.int64:
            raise ValueError(f"labels must be int64, got {self.labels.dtype}; see labels.astype(numpy.int64)")
        if odd := np.setdiff1d(self.labels, (0, 1)).tolist():
            raise ValueError(f"labels must be 1 speaking or 0 not, got {odd[0]}")

    @property
    def frames(self) -> int:
        """T, the number of video frames."""
        return len(self.video)

    @property
    def seconds(self) -> float:
        return self.frames / FPS

    def inputs(self, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
        """The model's input as a batch of one: {"audio": (1, N), "video": (1, T, 112, 112)}, float32."""
        return {
            "audio": _tensor(self.audio)[None].to(device),
            "video": _tensor(self.video)[None].to(device=device, dtype=torch.float32),
        }

    def targets(self, device: torch.device | str = "cpu") -> torch.Tensor | None:
        """Labels as (1, T) int64, or None."""
        return None if self.labels is None else _tensor(self.labels)[None].to(device)

    def with_inputs(self, inputs: dict[str, torch.Tensor], suffix: str = "") -> "Clip":
        """The same clip with the (first of the batch of) ``inputs`` in place of its own, as float32."""
        return replace(
            self,
            audio=inputs["audio"][0].detach().cpu().float().numpy(),
            video=inputs["video"][0].detach().cpu().float().numpy(),
            name=self.name + suffix,
        )

    def span(self, start: int, stop: int) -> "Clip":
        """Frames ``start`` to ``stop`` (exclusive) with their samples."""
        return replace(
            self,
            audio=self.audio[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME],
            video=self.video[start:stop],
            labels=None if self.labels is None else self.labels[start:stop],
            origin=None if self.origin is None else self.origin.span(start, stop),
        )

    def with_crop(self, crop: str, video: np.ndarray) -> "Clip":
        """The same with the face cut another way: (T, 112, 112)."""
        return replace(self, crop=crop, video=video)


def _tensor(array: np.ndarray) -> torch.Tensor:
    """The same values; an array that is read backwards, such as mirrored pictures, is copied."""
    return torch.from_numpy(np.ascontiguousarray(array))


def fit_audio(audio: np.ndarray, frames: int) -> np.ndarray:
    """Cut or zero-pad (N,) ``audio`` to exactly 640 samples per video frame."""
    wanted = frames * SAMPLES_PER_FRAME
    if len(audio) >= wanted:
        return audio[:wanted]
    return np.pad(audio, (0, wanted - len(audio)))
