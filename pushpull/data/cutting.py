"""A video -> the stretches of it in which exactly one face is in view, cropped, with their sound."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import median_filter

from pushpull.clip import FPS, SAMPLES_PER_FRAME, fit_audio
from pushpull.faces import TALKNET_DEMO, Track, crop_tracks, detect_faces
from pushpull.media import read_audio, read_frames

CONFIDENCE = 0.8  # of the detector; a face below it does not count, and a second one above it makes the frame useless
STRIDE_JUMP = 0.5  # a face that moves by more than this share of its size between two looks is another shot
# Of pictures between looking and cropping, 16 s of 360 x 288; longer videos are read twice.
MOST_BYTES = 128 << 20


def cut_video(
    path: Path, *, stride: int, shortest: float, longest: float, crop: str = TALKNET_DEMO
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Every usable stretch of one face.

    Args:
        path: any video that ffmpeg reads.
        stride: look for faces in every n-th frame, see :func:`lone_faces`.
        shortest, longest: seconds; shorter stretches are left out, longer ones cut into pieces.
        crop: what is cut out around the face, see :func:`pushpull.faces.crop.crop_box`.

    Yields:
        (first frame, (T, 112, 112) uint8 crops, (640 T,) float32 sound).

    Raises:
        MediaError: unreadable, or no sound.
    """
    audio = read_audio(path)
    most, fewest = round(longest * FPS), round(shortest * FPS)
    seen = _Remembered(read_frames(path))
    parts = []
    for track in lone_faces(seen, stride):
        for start in range(track.start, track.stop, most):
            part = slice(start - track.start, min(start + most, track.stop) - track.start)
            if part.stop - part.start >= fewest:
                parts.append(Track(start=start, boxes=track.boxes[part], scores=track.scores[part]))
    frames = seen.frames if seen.frames is not None else read_frames(path)
    for part, crops in zip(parts, crop_tracks(frames, parts, (crop,))[crop], strict=True):
        yield part.start, crops, fit_audio(audio[part.start * SAMPLES_PER_FRAME :], len(crops))


def lone_faces(frames: Iterable[np.ndarray], stride: int) -> list[Track]:
    """Stretches in which exactly one face is in view, looked for in every ``stride``-th frame.

    Between two looks the box moves straight; after the last look of a video it stays.
    """
    looks, count = [], 0
    for count, rgb in enumerate(frames, start=1):
        if (count - 1) % stride == 0:
            faces = [face for face in detect_faces(rgb) if face[4] >= CONFIDENCE]
            looks.append((count - 1, faces[0] if len(faces) == 1 else None))
    return [_interpolate(group, count, looks[-1][0]) for group in _same_face(looks)]


class _Remembered:
    """Pictures that go by once and stay in ``frames``, which is None as soon as they outgrow MOST_BYTES."""

    def __init__(self, source: Iterable[np.ndarray]):
        self.source, self.frames = source, []

    def __iter__(self):
        size = 0
        for frame in self.source:
            size += frame.nbytes
            if size > MOST_BYTES:
                self.frames = None
            if self.frames is not None:
                self.frames.append(frame)
            yield frame


def _same_face(looks):
    """Runs of looks that show one and the same face: no gap, no jump."""
    group = []
    for frame, face in looks:
        if group and (face is None or _jumped(group[-1][1], face)):
            yield group
            group = []
        if face is not None:
            group.append((frame, face))
    if group:
        yield group


def _jumped(before, after):
    size = max(before[2] - before[0], before[3] - before[1], 1.0)
    moved = np.hypot(before[0] + before[2] - after[0] - after[2], before[1] + before[3] - after[1] - after[3]) / 2
    return moved > STRIDE_JUMP * size or not 0.67 < (after[2] - after[0]) / max(before[2] - before[0], 1.0) < 1.5


def _interpolate(group, count, last_look):
    at = np.array([frame for frame, _ in group])
    faces = median_filter(np.stack([face for _, face in group]), size=(3, 1), mode="nearest")
    stop = count if at[-1] == last_look else at[-1] + 1
    frames = np.arange(at[0], stop)
    values = np.stack([np.interp(frames, at, faces[:, i]) for i in range(5)], axis=1).astype(np.float32)
    return Track(start=int(at[0]), boxes=values[:, :4], scores=values[:, 4])
