"""The whole way of an attacked face: into its scene, into an ordinary video file, and out again by finding faces."""

import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pushpull.clip import Clip, fit_audio
from pushpull.faces import Track, TrackCache, crop_box, crop_track, read_clips
from pushpull.faces.scene import Scene
from pushpull.media import Codec, Limits, MediaError, read_audio, read_frames, write_video

OVERLAP = 0.3  # intersection over union from which a face that was found is the one that was attacked


@dataclass(frozen=True, eq=False)
class Found:
    """A face that was found again in a file.

    Args:
        clip: as long as it was followed there.
        first: frame of the attacked clip at which it begins.
        overlap: mean intersection over union with the boxes of the attacked clip.
    """

    clip: Clip
    first: int
    overlap: float


class SceneFile:
    """Files of one codec that show the scene of one clip.

    Args:
        clip: as it was read, with its ``origin``.
        codec: how files are encoded.
        limits: for reading the video that the clip is from.

    Raises:
        ValueError: the clip was cut from no video.
    """

    def __init__(self, clip: Clip, codec: Codec, limits: Limits = Limits()):
        if clip.origin is None:
            raise ValueError(f"{clip.name} was cut from no video, so it has no scene: read it with read_clips")
        self.clip, self.codec, self.limits = clip, codec, limits
        self.scene = Scene(clip.origin, limits)

    @property
    def side(self) -> float:
        """Pixels that the cut of the face is wide in the scene, in the middle of the clip."""
        boxes = [crop_box(box, self.clip.crop) for box in self.clip.origin.boxes]
        return float(np.median([max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes]))

    def write(self, path: Path, attacked: Clip) -> Path:
        """The scene with what changed in the face pasted into it, and the attacked sound."""
        pictures = (frame for frame, _ in self.scene.attacked(self.clip, attacked))
        return write_video(path, pictures, attacked.audio, self.codec, timeout=self.limits.timeout)

    def cut(self, path: Path) -> Clip:
        """The face of a file at the boxes that are known, as if it had been found exactly where it was.

        Raises:
            MediaError: the file is shorter than the clip.
        """
        boxes = self.clip.origin.boxes
        # Whole pictures would fill the memory, so the crop is cut as they go by.
        track = Track(start=0, boxes=boxes, scores=np.ones(len(boxes), np.float32))
        try:
            with closing(read_frames(path, limits=self.limits)) as frames:
                video = crop_track(frames, track, self.clip.crop)
        except ValueError as error:
            raise MediaError(f"{path.name} gave back other pictures than were written: {error}") from error
        audio = fit_audio(read_audio(path, limits=self.limits), len(boxes))
        return replace(self.clip, video=video, audio=audio)

    def find(self, path: Path) -> Found | None:
        """The face of a file as anybody finds it, or None if none of the faces there is it."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                footage = read_clips(path, crops=[self.clip.crop], limits=self.limits, cache=TrackCache(Path(folder)))
            except MediaError as error:
                if "no face was found" in str(error):
                    return None
                raise
        boxes, found = self.clip.origin.boxes, []
        for clip, track in zip(footage.clips, footage.tracks, strict=True):
            stop = min(track.stop, len(boxes))
            if stop > track.start:
                shared = _shared(boxes[track.start : stop], track.boxes[: stop - track.start])
                found.append((float(shared.sum()), Found(clip.span(0, stop - track.start), track.start, shared.mean())))
        found = [pair for pair in found if pair[1].overlap >= OVERLAP]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def send(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """(rows, ...) inputs through a file each, cut at the known boxes: what ``Actual`` wants."""
        rows = len(next(iter(inputs.values())))
        clean = self.clip.inputs()
        back = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"scene.{self.codec.container}"
            for row in range(rows):
                sent = {name: inputs[name][row : row + 1] if name in inputs else clean[name] for name in clean}
                self.write(path, self.clip.with_inputs(sent))
                back.append(self.cut(path).inputs())
        return {name: torch.cat([part[name] for part in back]) for name in inputs}


def _shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(T,) intersection over union of two faces, frame by frame."""
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = [np.prod(some[:, 2:] - some[:, :2], axis=1) for some in (boxes, others)]
    return both / np.maximum(areas[0] + areas[1] - both, 1e-9)
