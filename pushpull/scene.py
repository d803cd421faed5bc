"""The wide picture around an attacked face: a part of a file, its frames, and the attack shown where the face is."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pushpull.clip import FPS, Clip
from pushpull.faces import Track, paste_back
from pushpull.media import probe, read_frames, write_preview
from pushpull.media.ffmpeg import FFmpeg, Limits, MediaError, source


@dataclass(frozen=True, eq=False)
class Scene:
    """Where a face is in the video it was cut from.

    Args:
        path: the file that ``read_clips`` read.
        track: the face's track in it.
        size: (H, W) of its pictures.
        limits: for reading it again.
    """

    path: Path
    track: Track
    size: tuple[int, int]
    limits: Limits = Limits()

    def frames(self, max_side: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(H, W, 3) uint8 RGB pictures of the track's span, each with the face's box x1, y1, x2, y2 in it.

        Args:
            max_side: shrink so that neither side is longer than this, in pixels.
        """
        with closing(read_frames(self.path, limits=self.limits, max_side=max_side)) as frames:
            span = islice(frames, self.track.start, self.track.stop)
            for box, frame in zip(self.track.boxes, span, strict=True):
                yield frame, box * (frame.shape[1] / self.size[1])

    def attacked(
        self, before: Clip, after: Clip, max_side: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As ``frames``, with what changed from ``before`` to ``after`` pasted into the face."""
        with closing(self.frames(max_side)) as frames:
            for (frame, box), was, now in zip(frames, before.video, after.video, strict=True):
                yield paste_back(frame, now.astype(np.float32) - was.astype(np.float32), box), box


def write_scene(path: Path, scene: Scene, before: Clip, after: Clip, *, max_side: int | None = None) -> Path:
    """The whole scene with the attacked face and sound, as H.264 and AAC: for looking at, not for measuring."""
    pictures = (frame for frame, _ in scene.attacked(before, after, max_side))
    return write_preview(path, pictures, after.audio)


def excerpt(
    path: str | os.PathLike, out: Path, *, start: float, seconds: float | None, limits: Limits = Limits()
) -> Path:
    """Write a part of a video to ``out`` (Matroska), losslessly at 25 frames per second.

    Args:
        path: any video that ffmpeg reads, of any length.
        out: replaced if it exists.
        start: seconds to skip.
        seconds: length of the part; None is the rest.
        limits: all but the length apply to ``path``, which is not read beyond the part.

    Raises:
        MediaError: the file cannot be read, or ends before ``start``.
    """
    path = Path(path)
    any_length = Limits(
        max_seconds=float("inf"), max_pixels=limits.max_pixels, max_bytes=limits.max_bytes, timeout=limits.timeout
    )
    about = probe(path, limits=any_length)
    about.require_video(path.name)
    if about.seconds is not None and start >= about.seconds:
        raise MediaError(f"{path.name} is {about.seconds:.1f} s long, so there is nothing from {start:g} s on.")
    arguments = ["-max_pixels", str(limits.max_pixels), "-ss", f"{start:.3f}", *source(path, limits)]
    arguments += [] if seconds is None else ["-t", f"{seconds:.3f}"]
    arguments += ["-map", "0:V:0", "-sn", "-dn", "-vf", f"fps=fps={FPS}:start_time=0"]
    arguments += ["-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    if about.audio:
        arguments += ["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-c:a", "flac"]
    with FFmpeg([*arguments, "-f", "matroska", str(out)], name=path.name, timeout=limits.timeout) as run:
        run.finish()
    return out


@contextmanager
def part_of(
    path: str | os.PathLike, *, start: float, seconds: float | None, limits: Limits = Limits()
) -> Iterator[Path]:
    """The file itself if all of it is wanted, else an excerpt that lives as long as the block."""
    if start == 0 and seconds is None:
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        # The same stem, because clips are named after the file they come from.
        yield excerpt(path, Path(folder) / f"{Path(path).stem}.mkv", start=start, seconds=seconds, limits=limits)
