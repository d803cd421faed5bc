"""From a wide picture to what a detector sees of a face, and back."""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from pushpull.clip import FACE_SIZE
from pushpull.faces.tracking import Track
from pushpull.media import grey

# TalkNet's demo takes a square of side 2.8 s around a face whose longer side is 2 s, shifted down by 0.4 s (its crop
# scale), resizes it to 224 and keeps the centre 112. What the network sees is therefore a square of side 1.4 s
# centred 0.4 s below the centre of the face: nose to chin.
TALKNET_DEMO = "talknet_demo"
CROP_SCALE = 0.40
CROP_SIDE = 1 + CROP_SCALE  # in units of s
# AVA's training data are the annotated boxes themselves, stretched to a square.
FACE_BOX = "face_box"
PADDING = 110  # grey level beyond the frame's border, as there

THUMBNAIL_SIDE = 160  # pixels
THUMBNAIL_SCALE = 1.6  # of the face's longer side: the whole head


def crop_box(box: np.ndarray, crop: str = TALKNET_DEMO) -> tuple[float, float, float, float]:
    """The rectangle x1, y1, x2, y2 that a detector sees of a face ``box``, in the same pixels.

    Args:
        crop: "talknet_demo" (a square from nose to chin) or "face_box" (the box itself, as in AVA).

    Raises:
        ValueError: an unknown crop.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    if crop == FACE_BOX:
        return x1, y1, x2, y2
    if crop != TALKNET_DEMO:
        raise ValueError(f"unknown crop {crop!r}; known are {TALKNET_DEMO} and {FACE_BOX}")
    half_face = max(x2 - x1, y2 - y1) / 2
    x, y, half = (x1 + x2) / 2, (y1 + y2) / 2 + CROP_SCALE * half_face, CROP_SIDE * half_face / 2
    return x - half, y - half, x + half, y + half


def crop_tracks(
    frames: Iterable[np.ndarray], tracks: list[Track], crops: Sequence[str] = (TALKNET_DEMO,)
) -> dict[str, list[np.ndarray]]:
    """Each track's face, (T, 112, 112) uint8 grey, in one pass over the video's frames from its first on.

    Returns:
        {crop: one array for each track}.

    Raises:
        ValueError: the frames end before a track does.
    """
    cut = {crop: [np.empty((len(track.boxes), FACE_SIZE, FACE_SIZE), np.uint8) for track in tracks] for crop in crops}
    last = max((track.stop for track in tracks), default=0)
    count = 0
    for count, frame in enumerate(frames, start=1):
        for number, track in enumerate(tracks):
            if track.start < count <= track.stop:
                at = count - 1 - track.start
                for crop in crops:
                    cut[crop][number][at] = _crop(frame, track.boxes[at], crop)
        if count == last:
            break
    if count < last:
        raise ValueError(f"a track ends at frame {last} but the video has only {count} frames")
    return cut


def crop_track(frames: Iterable[np.ndarray], track: Track, crop: str = TALKNET_DEMO) -> np.ndarray:
    """One track's face, (T, 112, 112) uint8 grey; see :func:`crop_tracks`."""
    return crop_tracks(frames, [track], (crop,))[crop][0]


def paste_back(frame: np.ndarray, delta: np.ndarray, box: np.ndarray, crop: str = TALKNET_DEMO) -> np.ndarray:
    """Show a face's perturbation where the face is in the wide picture.

    Args:
        frame: (H, W, 3) uint8 RGB.
        delta: (112, 112) change in grey levels; added to red, green and blue alike, which changes grey by as much.
        box: the face's box in ``frame``: a row of ``Track.boxes``.
        crop: how the face was cut.

    Returns:
        (H, W, 3) uint8. Its crop is the crop of ``frame`` plus ``delta``, up to rounding and resampling.
    """
    x1, y1, x2, y2 = crop_box(box, crop)
    height, width = frame.shape[:2]
    left, top = max(0, int(np.floor(x1))), max(0, int(np.floor(y1)))
    right, bottom = min(width, int(np.ceil(x2))), min(height, int(np.ceil(y2)))
    pasted = frame.copy()
    if left >= right or top >= bottom:
        return pasted
    # The same rectangle seen from the other side: the wide picture's pixels in units of the crop's.
    across, down = FACE_SIZE / (x2 - x1), FACE_SIZE / (y2 - y1)
    seen = ((left - x1) * across, (top - y1) * down, (right - x1) * across, (bottom - y1) * down)
    change = _resample(delta.astype(np.float32), seen, (bottom - top, right - left), padding=0)
    region = pasted[top:bottom, left:right]
    region[:] = np.clip(np.rint(region + change[..., None]), 0, 255).astype(np.uint8)
    return pasted


def move_change(change: np.ndarray, boxes: np.ndarray, of: str, to: str) -> np.ndarray:
    """A perturbation of faces that were cut one way, as it lies in the same faces cut another way.

    Args:
        change: (T, 112, 112) float32 change in grey levels of the crops ``of``.
        boxes: (T, 4) of the faces, as ``Track.boxes``.
        of, to: names of crops, see :func:`crop_box`.

    Returns:
        (T, 112, 112) float32. Bilinear, so that no pixel changes by more than the largest of ``change``, and none where
        the first crop does not reach.
    """
    moved = np.empty_like(change, dtype=np.float32)
    for index, box in enumerate(boxes):
        x1, y1, x2, y2 = crop_box(box, of)
        across, down = FACE_SIZE / (x2 - x1), FACE_SIZE / (y2 - y1)
        left, top, right, bottom = crop_box(box, to)
        seen = ((left - x1) * across, (top - y1) * down, (right - x1) * across, (bottom - y1) * down)
        moved[index] = _resample(change[index].astype(np.float32), seen, (FACE_SIZE, FACE_SIZE), padding=0)
    return moved


def thumbnail(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(160, 160, 3) uint8: the head around ``box`` of a (H, W, 3) uint8 ``frame``."""
    x1, y1, x2, y2 = box
    x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, THUMBNAIL_SCALE * max(x2 - x1, y2 - y1) / 2
    square = (x - half, y - half, x + half, y + half)
    planes = [_resample(frame[..., c], square, (THUMBNAIL_SIDE,) * 2, padding=PADDING) for c in range(3)]
    return np.stack(planes, axis=-1)


def _crop(frame, box, crop):
    return _resample(frame, crop_box(box, crop), (FACE_SIZE, FACE_SIZE), padding=PADDING, convert=grey)


def _resample(image, square, size, padding, convert=None):
    """The part of ``image`` inside ``square`` (x1, y1, x2, y2, fractions of pixels welcome) at ``size`` (h, w).

    Bilinear, widened when it shrinks so that nothing aliases; ``padding`` lies beyond the borders.
    """
    x1, y1, x2, y2 = square
    height, width = image.shape[:2]
    # A margin of one output pixel's footprint, so that the filter sees what is next to the square.
    margin = int(np.ceil(max((x2 - x1) / size[1], (y2 - y1) / size[0], 1))) + 1
    left, top = int(np.floor(x1)) - margin, int(np.floor(y1)) - margin
    right, bottom = int(np.ceil(x2)) + margin, int(np.ceil(y2)) + margin
    inside = image[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    inside = inside if convert is None else convert(inside)
    plane = np.full((bottom - top, right - left), padding, inside.dtype)
    rows, columns = max(0, -top), max(0, -left)
    plane[rows : rows + inside.shape[0], columns : columns + inside.shape[1]] = inside
    box = (x1 - left, y1 - top, x2 - left, y2 - top)
    return np.asarray(Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box))
