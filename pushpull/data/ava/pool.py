"""A tree in TalkNet's layout as sets of clips."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.io import wavfile

from pushpull.clip import FACE_SIZE, FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Clip, fit_audio
from pushpull.data.ava.layout import Layout, Track, nearest_pictures, picture_times, read_loader
from pushpull.media import dequantise_audio, grey

KIND = "ava"
REDO = "delete the film's folder and prepare it again"


@dataclass(frozen=True)
class AvaOptions:
    """How the tracks are split.

    Args:
        validation: share of the training films that is looked at between epochs and not trained on; which ones is
            told by the hash of the film's name. AVA's own validation films are the split ``test``.
        shortest: seconds; shorter tracks are neither trained on nor looked at. The split ``test`` keeps all of them.
    """

    validation: float = 0.05
    shortest: float = 0.2

    def __post_init__(self):
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation is a share that leaves something to train on, got {self.validation}")
        if self.shortest < 0:
            raise ValueError(f"shortest cannot be negative, got {self.shortest} seconds")


class AvaPool(Sequence):
    """Labelled clips of face tracks, read when asked for; labels say where the visible person's voice is audible.

    They are finished examples, to be used as they are: half of the faces do not speak, or not audibly.

    Args:
        root: the tree.
        split: AVA's own name, "train" or "val".
        tracks: those of the pool.
    """

    def __init__(self, root: str | Path, split: str, tracks: Iterable[Track]):
        self.layout, self.split, self.tracks = Layout(Path(root)), split, tuple(tracks)
        self.lengths = np.array([track.frames for track in self.tracks], dtype=np.int64)  # T of each clip

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> Clip:
        return self.read(index)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        """Frames ``start`` to ``stop`` (exclusive) of a clip: a window costs only the pictures in it.

        Raises:
            ValueError: the track's media are damaged or do not go with its labels; the message names the file.
        """
        track = self.tracks[index]
        start, stop, _ = slice(start, stop).indices(track.frames)
        folder = self.layout.pictures(self.split, track.video) / track.entity
        names = sorted_pictures(folder)
        if len(names) != track.pictures:
            raise ValueError(f"{folder} holds {len(names)} pictures, but there are {track.pictures} labels: {REDO}")
        times = picture_times(np.array([seconds_of(name) for name in names]), track.rate)
        chosen = nearest_pictures(times, track.frames)[start:stop]
        shown = {picture: _read_face(folder / names[picture]) for picture in dict.fromkeys(chosen.tolist())}
        speaking = np.frombuffer(track.speaking.encode(), np.uint8).astype(np.int64) - ord("0")
        return Clip(
            audio=self.sound(index)[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME],
            video=np.stack([shown[picture] for picture in chosen.tolist()]),
            labels=speaking[chosen],
            name=track.entity,
        )

    def sound(self, index: int) -> np.ndarray:
        """(640 T,) float32 full scale, the sound of a clip without its pictures; what it lacks is silence.

        Raises:
            ValueError: as :meth:`read`.
        """
        track = self.tracks[index]
        sound = read_sound(self.layout.sounds(self.split, track.video) / f"{track.entity}.wav")
        return fit_audio(dequantise_audio(sound), track.frames)

    def first(self, count: int) -> "AvaPool":
        """Its first ``count`` clips."""
        return AvaPool(self.layout.root, self.split, self.tracks[:count])

    @property
    def types(self) -> tuple[str, ...]:
        """The type of each clip: "ava"."""
        return (KIND,) * len(self)

    @property
    def frames(self) -> int:
        return int(self.lengths.sum())

    @property
    def fingerprint(self) -> str:
        """Names the set of clips: the same for the same annotation, options and split, wherever it lies."""
        rows = sorted((track.entity, track.rate, track.speaking) for track in self.tracks)
        return hashlib.sha256(json.dumps([self.split, *rows]).encode()).hexdigest()[:16]


def read_ava(
    root: str | Path,
    options: AvaOptions = AvaOptions(),
    *,
    left_out: Callable[[Path, str], None] = lambda path, why: None,
) -> dict[str, AvaPool]:
    """The splits of a tree that TalkNet's preprocessing, or ours, has left.

    Either of AVA's two splits may be missing; its pools are empty then. Media are looked for, not opened:
    ``python -m pushpull.data.ava check`` reads the sounds and counts the pictures.

    Args:
        left_out: told of every file or folder that is missing, and what that means.

    Returns:
        {"train" | "validation" | "test": AvaPool}. No film of "validation" is in "train"; "test" is AVA's validation
        split, of which the published figures are.

    Raises:
        FileNotFoundError: there is neither loader CSV; the message says how one is made.
        ValueError: a loader CSV is damaged; the message names the line.
    """
    layout = Layout(Path(root))
    if not any(layout.loader(split).is_file() for split in ("train", "val")):
        raise FileNotFoundError(
            f"{layout.root} holds neither csv/train_loader.csv nor csv/val_loader.csv: make them with "
            f"python -m pushpull.data.ava prepare --out {layout.root}"
        )
    train, validation = [], []
    for track in _tracks(layout, "train", left_out):
        if track.frames >= options.shortest * FPS:
            (validation if _place(track.video) < options.validation else train).append(track)
    test = _tracks(layout, "val", left_out)
    pools = {"train": ("train", train), "validation": ("train", validation), "test": ("val", test)}
    return {name: AvaPool(root, split, tracks) for name, (split, tracks) in pools.items()}


def sorted_pictures(folder: Path) -> list[str]:
    """Names of a track's pictures by their time; none where there is no folder.

    Raises:
        ValueError: one is not named by its seconds.
    """
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".jpg")]
    except FileNotFoundError:
        return []
    try:
        return sorted(names, key=seconds_of)
    except ValueError:
        raise ValueError(f"{folder}: pictures are named by their seconds, as 901.25.jpg: {REDO}") from None


def seconds_of(picture: str) -> float:
    """Film time of a picture, by its name."""
    return float(picture.removesuffix(".jpg"))


def read_sound(path: Path) -> np.ndarray:
    """(N,) int16 of a track's sound, 16 kHz.

    Raises:
        ValueError: it is missing, damaged or of another kind.
    """
    try:
        rate, sound = wavfile.read(path)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read ({error}): {REDO}") from error
    if rate != SAMPLE_RATE or sound.ndim != 1 or sound.dtype != np.int16:
        raise ValueError(
            f"{path} must be mono, 16 bits, {SAMPLE_RATE} Hz, got {sound.dtype} {sound.shape} at {rate} Hz: {REDO}"
        )
    return sound


def _read_face(path):
    """(112, 112) uint8 of a colour picture of any size: grey first, then resized, as TalkNet does."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"{path} cannot be read: {REDO}")
    return cv2.resize(grey(picture[..., ::-1]), (FACE_SIZE, FACE_SIZE))


def _tracks(layout, split, left_out):
    """Tracks of one of AVA's splits whose media are there; ``left_out`` is told of the others."""
    path = layout.loader(split)
    if not path.is_file():
        left_out(path, f"there is no such file: nothing of AVA's {split} split is used")
        return []
    by_film: dict[str, list[Track]] = {}
    found = read_loader(path)
    for track in found:
        by_film.setdefault(track.video, []).append(track)
    there = set()
    for film, tracks in by_film.items():
        for folder, suffix in ((layout.pictures(split, film), ""), (layout.sounds(split, film), ".wav")):
            names = set(os.listdir(folder)) if folder.is_dir() else None
            if names is None:
                left_out(folder, f"no such folder: the film's {len(tracks)} tracks are left out")
                break
            for track in tracks:
                if track.entity + suffix not in names:
                    left_out(folder / (track.entity + suffix), "not there: the track is left out")
            tracks = [track for track in tracks if track.entity + suffix in names]
        else:
            there.update(track.entity for track in tracks)
    return [track for track in found if track.entity in there]


def _place(film):
    """Where the hash of a film's name lies in [0, 1)."""
    return int(hashlib.sha256(film.encode()).hexdigest()[:8], 16) / 2**32
