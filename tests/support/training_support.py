"""Made-up talkers for the tests of training: every frame tells which clip and which moment it is of."""

from pathlib import Path

import numpy as np

from pushpull.clip import FACE_SIZE, SAMPLES_PER_FRAME, Clip
from pushpull.data.augment import Augmentation
from pushpull.data.talkset import Piece, TalkSet

GRID = Path(__file__).parents[3] / "shared/data/grid_s1"
OFF = Augmentation(
    flip=0, crop=0, rotate=0, warp=0, light=0, blur=0, overlap=0, colour=0, room=0, hiss=0, gain_db=0, largest_crop=1.0
)  # augmentation that changes nothing
SPEECH = (12, 36)  # frames of every talker in which there is a voice


def talker(number: int, frames: int = 50) -> Clip:
    """A clip whose pixel (0, 0) is its ``number`` and pixel (0, 1) the frame, loud in SPEECH and nearly silent else."""
    rng = np.random.default_rng(number)
    face = rng.integers(60, 190, (FACE_SIZE // 8, FACE_SIZE // 8)).repeat(8, 0).repeat(8, 1)
    video = np.repeat(face[None], frames, 0).astype(np.uint8)
    video[:, 0, 0], video[:, 0, 1] = number, np.arange(frames)
    labels = np.zeros(frames, dtype=np.int64)
    labels[slice(*SPEECH)] = 1
    loudness = np.where(labels == 1, 0.1, 1e-4).repeat(SAMPLES_PER_FRAME)
    audio = np.clip(rng.standard_normal(frames * SAMPLES_PER_FRAME) * loudness, -1, 1)
    return Clip(audio=audio.astype(np.float32), video=video, labels=labels, name=f"talker {number}")


def talkset(folder: Path, numbers: range, frames: int = 50) -> TalkSet:
    """Talkers as footage in the cache, with word alignments beside where their videos would lie."""
    pieces = []
    for number in numbers:
        clip, crops = talker(number, frames), folder / f"{number}.npz"
        np.savez(crops, video=clip.video, audio=clip.audio)
        source = folder / f"talker{number}.mkv"
        source.with_suffix(".align").write_text(f"{SPEECH[0] * 1000} {SPEECH[1] * 1000} word\n")
        pieces.append(Piece(crops, source, clip.name, ".", "train", 0, frames, clip.name))
    return TalkSet(pieces)
