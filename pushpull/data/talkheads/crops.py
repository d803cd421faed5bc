"""Cut the faces out of a filmed scene the way faces are cut out of footage: where the detector sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from pushpull.faces import TALKNET_DEMO, Track, crop_tracks, detect_faces

STRIDE = 5  # frames between two looks, as TalkSetOptions.stride
CONFIDENCE = 0.8  # as pushpull.data.talkset's
NEAR = 0.3  # overlap (IoU) with where a face must be that makes a detection this face's


@dataclass(frozen=True, eq=False)
class Cut:
    """One face.

    Args:
        videos: (T, 112, 112) uint8 grey, by crop.
        boxes: (T, 4) float32 x1, y1, x2, y2 in pixels of the wide picture.
        found: share of the looks in which the detector saw the face, 0..1.
    """

    videos: dict[str, np.ndarray]
    boxes: np.ndarray
    found: float


def cut_faces(frames: list[np.ndarray], expected: np.ndarray, crops: Sequence[str] = (TALKNET_DEMO,)) -> list[Cut]:
    """Every face of a scene.

    The detector looks at every fifth frame and boxes go straight between, exactly as for TalkSet footage; where it
    misses a face, the box is where geometry puts it, moved and scaled as the detector's other boxes of this face are.

    Args:
        frames: (H, W, 3) uint8, T of them. expected: (R, T, 4), see scene.Film.
        crops: what is cut out around a face, see :func:`pushpull.faces.crop.crop_box`.
    """
    at = np.unique(np.append(np.arange(0, len(frames), STRIDE), len(frames) - 1))
    looks = [[face for face in detect_faces(frames[i]) if face[4] >= CONFIDENCE] for i in at]
    tracks, shares = [], []
    for places in expected:
        seen = [_nearest(faces, places[i]) for faces, i in zip(looks, at, strict=True)]
        shares.append(float(np.mean([box is not None for box in seen])))
        boxes = _complete(seen, places[at])
        boxes = median_filter(boxes, size=(3, 1), mode="nearest")
        every = np.stack([np.interp(np.arange(len(frames)), at, boxes[:, k]) for k in range(4)], axis=1)
        tracks.append(Track(0, every.astype(np.float32), np.ones(len(frames), np.float32)))
    videos = crop_tracks(frames, tracks, crops)
    return [
        Cut({crop: videos[crop][index] for crop in crops}, track.boxes, share)
        for index, (track, share) in enumerate(zip(tracks, shares, strict=True))
    ]


def _nearest(faces, place):
    best = max(faces, key=lambda face: overlap(face[:4], place), default=None)
    return best[:4] if best is not None and overlap(best[:4], place) >= NEAR else None


def overlap(a, b) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def _complete(seen, places):
    """(L, 4): what was seen, and for the rest the expected places as far off as the seen ones are."""
    pairs = [(box, place) for box, place in zip(seen, places, strict=True) if box is not None]
    middles, sizes = (places[:, :2] + places[:, 2:]) / 2, places[:, 2:] - places[:, :2]
    if pairs:
        boxes, where = (np.array(side, np.float64) for side in zip(*pairs, strict=True))
        scale = np.median((boxes[:, 2:] - boxes[:, :2]) / (where[:, 2:] - where[:, :2]), axis=0)
        offset = np.median((boxes[:, :2] + boxes[:, 2:] - where[:, :2] - where[:, 2:]) / 2, axis=0)
        middles, sizes = middles + offset, sizes * scale
    guess = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1)
    return np.array([g if box is None else box for box, g in zip(seen, guess, strict=True)], np.float64)
