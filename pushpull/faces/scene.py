"""The wide picture around an attacked face, and the attack shown where the face is."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.clip import FPS, Clip, Origin
from pushpull.faces.crop import paste_back
from pushpull.media import Limits, quantise_video, read_frames, write_preview


@dataclass(frozen=True, eq=False)
class Scene:
    """Where a face is in the video it was cut from.

    Args:
        origin: of the clip.
        limits: for reading the file again.
    """

    origin: Origin
    limits: Limits = Limits()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the pictures."""
        return self.origin.size

    def frames(self, max_side: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(H, W, 3) uint8 RGB pictures of the clip's span, each with the face's box x1, y1, x2, y2 in it.

        Args:
            max_side: shrink so that neither side is longer than this, in pixels.
        """
        count = len(self.origin.boxes)
        part = {"start": self.origin.offset, "seconds": count / FPS}
        with closing(read_frames(self.origin.path, limits=self.limits, max_side=max_side, **part)) as frames:
            for box, frame in zip(self.origin.boxes, frames, strict=True):
                yield frame, box * (frame.shape[1] / self.size[1])

    def attacked(
        self, before: Clip, after: Clip, max_side: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As ``frames``, with what changed from ``before`` to ``after`` pasted into the face."""
        with closing(self.frames(max_side)) as frames:
            for (frame, box), was, now in zip(frames, before.video, after.video, strict=True):
                change = now.astype(np.float32) - was.astype(np.float32)
                yield paste_back(frame, change, box, before.crop), box


@dataclass(frozen=True, eq=False)
class FaceScene:
    """The face alone, for a clip that was cut from no video.

    Args:
        clip: the clip.
    """

    clip: Clip

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the pictures."""
        return self.clip.video.shape[1:]

    def attacked(
        self, before: Clip, after: Clip, max_side: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(112, 112, 3) uint8 pictures of ``after`` with a box around all of each."""
        box = np.array([0, 0, self.size[1], self.size[0]], np.float32)
        for picture in quantise_video(after.video):
            yield np.repeat(picture[..., None], 3, axis=-1), box


def write_scene(path: Path, scene: Scene, before: Clip, after: Clip, *, max_side: int | None = None) -> Path:
    """The whole scene with the attacked face and sound, as H.264 and AAC: for looking at, not for measuring."""
    pictures = (frame for frame, _ in scene.attacked(before, after, max_side))
    return write_preview(path, pictures, after.audio)
