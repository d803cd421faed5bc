"""Who really speaks in a sample clip: labels from its card, given to the faces that were found."""

from dataclasses import replace

import numpy as np

from pushpull.clip import FPS
from pushpull.demo.intake import Subject


def with_labels(subject: Subject, faces: list[dict]) -> Subject:
    """``subject`` with labels on every face that the card knows.

    Args:
        subject: a sample clip.
        faces: of its card: ``box`` (x1, y1, x2, y2 in pixels of the wide picture) within which the face stays, and
            ``labels``, "1" speaking or "0" not for every frame of the file.
    """
    first = round(subject.start * FPS)
    clips = []
    for clip, track in zip(subject.footage.clips, subject.footage.tracks, strict=True):
        x1, y1, x2, y2 = np.median(track.boxes, axis=0)
        centre = (x1 + x2) / 2, (y1 + y2) / 2
        labels = next((face["labels"] for face in faces if _holds(face["box"], centre)), "")
        labels = labels[first + track.start : first + track.stop]
        if len(labels) == clip.frames:
            clip = replace(clip, labels=np.array([int(label) for label in labels], dtype=np.int64))
        clips.append(clip)
    return replace(subject, footage=replace(subject.footage, clips=clips))


def _holds(box: list[float], point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
