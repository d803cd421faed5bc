"""A video file as faces with their sound: the one call between a file and a detector."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pushpull.clip import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Clip, Origin, fit_audio
from pushpull.faces.cache import TrackCache
from pushpull.faces.crop import FACE_BOX, TALKNET_DEMO, crop_tracks, thumbnail
from pushpull.faces.find import Found, Progress, find
from pushpull.faces.tracking import Track, Tracker
from pushpull.media import SILENCE, Limits, MediaError, Sound, probe, read_frames, read_sound

SEARCH = 0.8  # share of the work that looking for faces is


@dataclass(frozen=True, eq=False)
class Footage(Sequence):
    """A video file as faces; ``footage[0]`` is the clip of the first.

    Args:
        clips: one for each face, with the sound of its span; same order as ``tracks``.
        tracks: where each face is in the wide picture; longest and biggest first.
        thumbnails: (160, 160, 3) uint8 RGB, each face from the middle of its track.
        size: (H, W) of the wide picture.
        frames: frames of what was read at 25 fps.
        remarks: sentences about how the sound was taken, and about faces that were not; none where there was nothing to
            choose.
        other_crops: by the name of a crop, the pictures of each face cut that way.
    """

    clips: list[Clip]
    tracks: list[Track]
    thumbnails: list[np.ndarray]
    size: tuple[int, int]
    frames: int
    remarks: tuple[str, ...] = ()
    other_crops: dict[str, list[np.ndarray]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.frames / FPS

    @property
    def silent(self) -> bool:
        """Whether no face's sound holds anything that could be speech."""
        return max(float(np.abs(clip.audio).max()) for clip in self.clips) < SILENCE

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index):
        return self.clips[index]

    def cut_as(self, crop: str) -> list[Clip]:
        """The clips with faces cut as a detector wants them, see ``crop`` of its card.

        Raises:
            KeyError: they were not cut that way when the file was read.
        """
        if not self.clips or self.clips[0].crop == crop:
            return self.clips
        pairs = zip(self.clips, self.other_crops[crop], strict=True)
        return [clip.with_crop(crop, video) for clip, video in pairs]


def read_clips(
    path: str | os.PathLike,
    *,
    start: float = 0.0,
    seconds: float | None = None,
    crops: Sequence[str] | str = (TALKNET_DEMO,),
    limits: Limits = Limits(),
    progress: Progress | None = None,
    seen: Callable[[np.ndarray], object] | None = None,
    max_tracks: int | None = None,
    cache: TrackCache | None = None,
) -> Footage:
    """Read a video file, or a part of it.

    The video is streamed twice, once to find the faces and once to cut them out; only the 112 x 112 crops are kept
    (19 MB for a face and a minute). Where the faces of a file are is remembered, so that it is not searched again.

    Args:
        path: any video that ffmpeg reads.
        start, seconds: the part to read, in seconds; all of it by default.
        crops: how to cut faces: "talknet_demo" (nose to chin), "face_box" (as in AVA) or several; the clips are of the
            first.
        limits: refused beyond these.
        progress: called as ``progress(share, message)``, see :func:`find_tracks`; what it raises ends the work.
        seen: called with the thumbnail (160, 160, 3) of each face as it is found.
        max_tracks: keep only so many faces, the longest and biggest.
        cache: where faces that were found are remembered; None is the user's own.

    Raises:
        MediaError: the file cannot be read, has no picture or no sound, shows no face, or stops before its end.
        ValueError: a part that begins before the file or has no length, or no crop or an unknown one.
    """
    if not 0 <= start < math.inf or not (seconds is None or 0 < seconds < math.inf):
        raise ValueError(f"start is at least 0 s, and seconds above 0 or None, got {start} and {seconds}")
    crops = (crops,) if isinstance(crops, str) else tuple(crops)
    if not crops or not set(crops) <= {TALKNET_DEMO, FACE_BOX}:
        raise ValueError(f"crops are {TALKNET_DEMO} or {FACE_BOX} or both, got {', '.join(map(repr, crops)) or 'none'}")
    name = Path(path).name
    part = {"start": start, "seconds": seconds}
    header = probe(path, limits=limits.any_length() if start or seconds is not None else limits)
    header.require_video(name)
    sound = read_sound(path, limits=limits, **part)  # first, because it is quick
    cache = cache or TrackCache()
    key = cache.key(path, **part)
    found = cache.get(key)
    if found is None:
        found = find(
            path,
            limits=limits,
            **part,
            progress=None if progress is None else lambda share, text: progress(share and SEARCH * share, text),
            seen=None if seen is None else lambda picture, box: seen(thumbnail(picture, box)),
        )
        if start == 0 and seconds is None:
            _require_whole(name, header.promised, max(found.frames / FPS, len(sound.samples) / SAMPLE_RATE))
        cache.put(key, found)
    tracks = found.tracks[:max_tracks]
    if found.frames < Tracker.min_frames:
        raise MediaError(
            f"{name} is too short: {found.frames} frames at {FPS} a second, and a face must be seen for "
            f"{Tracker.min_frames} ({Tracker.min_frames / FPS:g} s) or more. Give a longer video."
        )
    if not tracks:
        raise MediaError(
            f"no face was found in {name} for {Tracker.min_frames} frames ({Tracker.min_frames / FPS:g} s) or more. "
            "Give a video in which a face is seen from the front, well lit, and at least 1/20 of the picture's width."
        )
    thumbnails: dict[int, np.ndarray] = {}
    with closing(read_frames(path, limits=limits, **part)) as frames:
        cut = crop_tracks(_watched(frames, tracks, thumbnails, found.frames, progress), tracks, crops)
    clips = _clips(Path(path), found, tracks, cut[crops[0]], sound, start, seconds, crops[0])
    others = {crop: cut[crop] for crop in crops[1:]}
    pictures = [thumbnails[index] for index in range(len(tracks))]
    remarks = (*sound.remarks, *_left_out(len(found.tracks), len(tracks)))
    return Footage(clips, tracks, pictures, found.size, found.frames, remarks, others)


def recut(clip: Clip, crop: str, *, limits: Limits = Limits()) -> Clip:
    """The same face cut another way, out of the video that the clip was cut from.

    Args:
        clip: its origin says where the face is.
        crop: "talknet_demo" or "face_box".
        limits: for reading the file again.

    Raises:
        MediaError: the file cannot be read any more.
        ValueError: the clip was cut from no file.
    """
    if clip.crop == crop:
        return clip
    if clip.origin is None:
        raise ValueError(f"{clip.name} was cut from no file, so it cannot be cut as {crop}")
    track = Track(0, clip.origin.boxes, np.ones(clip.frames, np.float32))
    part = {"start": clip.origin.offset, "seconds": track.stop / FPS}
    with closing(read_frames(clip.origin.path, limits=limits, **part)) as frames:
        return clip.with_crop(crop, crop_tracks(frames, [track], (crop,))[crop][0])


def _require_whole(name, promised, found):
    """Some containers break off without ffmpeg's noticing; their header still tells."""
    if promised is not None and found < 0.9 * promised - 0.5:
        raise MediaError(
            f"{name} is truncated or damaged: its header says {promised:.1f} s, only {found:.1f} s are there. "
            "Copy, record or export it again."
        )


def _left_out(there: int, taken: int) -> list[str]:
    """That the file shows more faces than were taken, in a sentence."""
    if taken == there:
        return []
    which = "the longest and biggest one was" if taken == 1 else f"the {taken} longest and biggest were"
    return [f"It shows {there} faces: {which} taken."]


def _clips(
    path: Path,
    found: Found,
    tracks: list[Track],
    cut: list[np.ndarray],
    sound: Sound,
    start: float,
    seconds: float | None,
    crop: str,
) -> list[Clip]:
    audio = fit_audio(sound.samples, found.frames)
    clips = []
    for number, (track, video) in enumerate(zip(tracks, cut, strict=True), start=1):
        origin = Origin(
            path=path,
            face=number,
            start=start,
            seconds=seconds,
            first=round(start * FPS) + track.start,
            boxes=track.boxes,
            size=found.size,
        )
        clips.append(
            Clip(
                audio=audio[track.start * SAMPLES_PER_FRAME : track.stop * SAMPLES_PER_FRAME].copy(),
                video=video,
                name=path.stem if len(tracks) == 1 else f"{path.stem} face {number}",
                crop=crop,
                origin=origin,
            )
        )
    return clips


def _watched(frames, tracks, thumbnails, count, progress) -> Iterator[np.ndarray]:
    """``frames``, with each track's thumbnail taken as its middle goes by."""
    for index, frame in enumerate(frames):
        for number, track in enumerate(tracks):
            if index == (track.start + track.stop) // 2:
                thumbnails[number] = thumbnail(frame, track.boxes[index - track.start])
        if progress is not None:
            done = SEARCH + (1 - SEARCH) * min(1.0, (index + 1) / count)
            progress(done, f"cutting out faces: {(index + 1) / FPS:.0f} s")
        yield frame
