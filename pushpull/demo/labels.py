"""Who really speaks in a sample clip: labels from its card, given to the faces that were found."""

from dataclasses import replace

from pushpull.clip import FPS
from pushpull.demo.intake import Subject
from pushpull.runs.labels import card_labels


def with_labels(subject: Subject, faces: list[dict]) -> Subject:
    """``subject`` with labels on every face that the card knows.

    Args:
        subject: a sample clip.
        faces: of its card, as ``card_labels`` takes them.
    """
    first = round(subject.start * FPS)
    clips = []
    for clip, track in zip(subject.footage.clips, subject.footage.tracks, strict=True):
        labels = card_labels(faces, track, first)
        clips.append(clip if labels is None else replace(clip, labels=labels))
    return replace(subject, footage=replace(subject.footage, clips=clips))
