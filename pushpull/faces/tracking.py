"""From faces frame by frame to tracks: greedy overlap, short gaps bridged, cut where the scene changes."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter


@dataclass(frozen=True, eq=False)
class Track:
    """One face over consecutive frames.

    Args:
        start: its first frame, counted at 25 fps from the video's first.
        boxes: (T, 4) float32 x1, y1, x2, y2 in pixels of the wide picture, smoothed.
        scores: (T,) float32, the detector's 0..1; 0 where the face was not found and its box is interpolated.
    """

    start: int
    boxes: np.ndarray
    scores: np.ndarray

    @property
    def stop(self) -> int:
        """One past its last frame."""
        return self.start + len(self.boxes)

    @property
    def weight(self) -> float:
        """Frames times mean face side in pixels: how much of a face there is to see."""
        sides = np.maximum(self.boxes[:, 2] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 1])
        return float(sides.sum())


class SceneCuts:
    """Says, frame by frame, whether a new scene begins.

    A cut is where two consecutive pictures neither look alike (correlation of small grey versions, which a flash or
    a fade of the light does not change) nor have the same colours (histogram intersection, which motion does not
    change). Both numbers come from two calls of OpenCV; a scene detection library would bring its own decoder.
    """

    side = 32  # pixels of the small grey version
    alike = 0.5  # correlation above which two pictures show the same scene
    same_colours = 0.7  # histogram intersection above which they have the same colours

    def __init__(self):
        self._last = None

    def update(self, rgb: np.ndarray) -> bool:
        """True if ``rgb`` (H, W, 3) uint8 does not continue the picture of the call before."""
        small = cv2.resize(rgb, (self.side, self.side), interpolation=cv2.INTER_AREA)
        picture = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
        picture -= picture.mean()
        colours = cv2.calcHist([small], [0, 1, 2], None, [6, 6, 6], [0, 256] * 3).ravel() / self.side**2
        last, self._last = self._last, (picture, colours)
        if last is None:
            return False
        norm = np.linalg.norm(picture) * np.linalg.norm(last[0])
        correlation = float((picture * last[0]).sum() / norm) if norm > 0 else 0.0
        return correlation < self.alike and float(np.minimum(colours, last[1]).sum()) < self.same_colours


@dataclass(eq=False)
class _Open:
    """A track still being followed: the frames where its face was found, and the boxes and scores there."""

    frames: list[int] = field(default_factory=list)
    faces: list[np.ndarray] = field(default_factory=list)
    sure: int = 0  # of these, how many the detector was sure of

    def add(self, frame: int, face: np.ndarray, sure: float) -> "_Open":
        """Go on with ``face`` in ``frame``."""
        self.frames.append(frame)
        self.faces.append(face)
        self.sure += bool(face[4] >= sure)
        return self


class Tracker:
    """Follows faces through a video given one frame at a time."""

    min_overlap = 0.5  # intersection over union with the last box of a track
    max_gap = 10  # frames a face may be lost
    min_frames = 10  # tracks in which a face was surely seen in fewer are dropped
    window = 13  # frames of the median filter, as TalkNet's demo has it
    # Frames: standard deviation of the Gaussian after it. The median alone leaves steps where the detector's noise
    # happens to have them, and decisions on a face in profile depended on them (docs/benchmarks.md).
    spread = 6
    sure = 0.6  # score from which a face starts a track and ends it
    likely = 0.4  # score from which it continues one: a head that turns away and back stays one track

    def __init__(self):
        self._frame = -1
        self._open: list[_Open] = []
        self._closed: list[_Open] = []

    @property
    def seen(self) -> int:
        """Tracks so far that are long enough to stay."""
        return sum(self._long_enough(track) for track in self._open + self._closed)

    def update(self, faces: np.ndarray, *, cut: bool = False) -> None:
        """Take the next frame's ``faces`` (K, 5), from ``likely`` up; after a ``cut`` no track goes on."""
        self._frame += 1
        faces = faces[faces[:, 4] >= self.likely]
        lost = [t for t in self._open if cut or self._frame - t.frames[-1] > self.max_gap + 1]
        self._closed += [track for track in lost if self._long_enough(track)]
        self._open = [track for track in self._open if track not in lost]
        shared = overlaps(np.array([t.faces[-1] for t in self._open]).reshape(-1, 5), faces)
        free = set(range(len(faces)))
        while shared.size and shared.max() >= self.min_overlap:
            row, column = np.unravel_index(shared.argmax(), shared.shape)
            self._open[row].add(self._frame, faces[column], self.sure)
            shared[row], shared[:, column] = -1, -1
            free.discard(int(column))
        begun = (faces[i] for i in sorted(free) if faces[i, 4] >= self.sure)
        self._open += [_Open().add(self._frame, face, self.sure) for face in begun]

    def current(self, count: int) -> list[np.ndarray]:
        """Boxes of the ``count`` youngest tracks that are followed now and long enough to stay."""
        followed = [track for track in self._open if self._long_enough(track) and track.frames[-1] == self._frame]
        return [track.faces[-1][:4] for track in sorted(followed, key=lambda track: -track.frames[0])[:count]]

    def tracks(self) -> list[Track]:
        """All tracks that are long enough, the longest and biggest first."""
        done = [self._finished(track) for track in self._closed + self._open if self._long_enough(track)]
        return sorted(done, key=lambda track: -track.weight)

    def _long_enough(self, track):
        return track.sure >= self.min_frames

    def _finished(self, track):
        frames, faces = np.array(track.frames), np.array(track.faces, np.float32)
        last = np.flatnonzero(faces[:, 4] >= self.sure)[-1] + 1  # what is only likely to the end is likely no face
        frames, faces = frames[:last], faces[:last]
        every = np.arange(frames[0], frames[-1] + 1)
        boxes = np.stack([np.interp(every, frames, faces[:, c]) for c in range(4)], axis=1)
        scores = np.zeros(len(every), np.float32)
        scores[frames - frames[0]] = faces[:, 4]
        boxes = steadied(_smoothed(boxes, self.window), self.spread)
        return Track(start=int(frames[0]), boxes=boxes, scores=scores)


def steadied(boxes: np.ndarray, spread: float) -> np.ndarray:
    """(T, 4) boxes under a Gaussian of ``spread`` frames; one that moves evenly goes on doing so, also at the ends."""
    more = min(len(boxes) - 1, round(4 * spread))
    if more < 1:
        return boxes
    # Mirrored through the first and the last box, so that the ends are not held back.
    before, after = 2 * boxes[0] - boxes[more:0:-1], 2 * boxes[-1] - boxes[-2 : -more - 2 : -1]
    longer = np.concatenate([before, boxes, after]).astype(np.float64)
    return gaussian_filter1d(longer, spread, axis=0, mode="nearest")[more : more + len(boxes)].astype(np.float32)


def _smoothed(boxes, window):
    """Median-filtered centre and size; the longer side exactly as TalkNet's demo filters it.

    The ends repeat instead of the zeros there, which pull the first and last boxes towards the corner.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = boxes[:, 2:] - boxes[:, :2]
    longer = median_filter(size.max(axis=1), size=window, mode="nearest")
    centre, size = (median_filter(values, size=(window, 1), mode="nearest") for values in (centre, size))
    size = size * (longer / size.max(axis=1))[:, None]
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1).astype(np.float32)


def overlaps(first, second):
    """Intersection over union of every box of (A, 5) ``first`` with every box of (B, 5) ``second``: (A, B)."""
    corner1 = np.maximum(first[:, None, :2], second[None, :, :2])
    corner2 = np.minimum(first[:, None, 2:4], second[None, :, 2:4])
    shared = np.prod(np.maximum(corner2 - corner1, 0), axis=2)
    area1, area2 = (np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) for boxes in (first, second))
    return shared / np.maximum(area1[:, None] + area2[None] - shared, 1e-9)
