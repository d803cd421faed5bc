"""Footage of talking faces -> clips in sync with their speech activity: what TalkSet examples are made from.

    python -m pushpull.data.talkset prepare FOLDER

The folder may hold any videos in any sub-folders. What is needed of them is that the face in view is the one that is
heard; where several faces share a frame nobody can tell, and those stretches are left out. Beside ``NAME.mkv`` a
``NAME.align`` with word timings (GRID's format) gives the speech activity; without it the sound's energy does.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy.ndimage import median_filter
from tqdm import tqdm

from pushpull.clip import FPS, SAMPLES_PER_FRAME, Clip, fit_audio
from pushpull.data.speech import detect_speech, read_align
from pushpull.faces import Track, crop_tracks, detect_faces
from pushpull.media import MediaError, read_audio, read_frames

VERSION = 1  # of the crops; a cache made by another version is not read
SUFFIXES = {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv"}
SPLITS = ("train", "validation", "test")
CONFIDENCE = 0.8  # of the detector; a face below it does not count, and a second one above it makes the frame useless
STRIDE_JUMP = 0.5  # a face that moves by more than this share of its size between two looks is another shot


@dataclass(frozen=True)
class TalkSetOptions:
    """How footage becomes clips.

    Args:
        stride: look for faces in every n-th frame and go straight between. Detection is by far the dearest step (some
            12 ms a frame); TalkNet smooths its boxes over 13 frames anyway, so that looking every 5th (0.2 s) loses
            nothing a talking head does. Use 1 for handheld footage and quick movement.
        shortest: seconds; shorter stretches of one face are left out.
        longest: seconds; longer ones are cut into pieces, so that reading one stays cheap.
        split_by: "file" puts each file in a split by the hash of its content, "speaker" each folder by its name: then
            no speaker of one split appears in another.
        validation, test: shares of files or speakers held out.
    """

    stride: int = 5
    shortest: float = 1.0
    longest: float = 20.0
    split_by: str = "file"
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self):
        if self.stride < 1:
            raise ValueError(f"stride counts frames and must be at least 1, got {self.stride}")
        if self.split_by not in ("file", "speaker"):
            raise ValueError(f"split_by is 'file' or 'speaker', got {self.split_by!r}")
        if not 1 / FPS <= self.shortest <= self.longest:
            raise ValueError(f"need 0 < shortest <= longest, got {self.shortest} and {self.longest} seconds")
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise ValueError("validation and test are shares that leave something to train on")


@dataclass(frozen=True)
class Piece:
    """A cached stretch of one face: where its crops lie, and where it came from."""

    crops: Path
    source: Path
    name: str
    speaker: str
    split: str
    start: int
    frames: int


class TalkSet(Sequence):
    """Clips in sync, read from the cache when asked for; labels are the speech activity of the visible person."""

    def __init__(self, pieces: Iterable[Piece]):
        self.pieces = tuple(pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> Clip:
        piece = self.pieces[index]
        with np.load(piece.crops) as stored:
            video, audio = stored["video"], stored["audio"]
        align = piece.source.with_suffix(".align")
        aligned = align.exists()
        speech = read_align(align, piece.start + piece.frames)[piece.start :] if aligned else detect_speech(audio)
        return Clip(audio=audio, video=video, labels=speech.astype(np.int64), name=piece.name)

    def first(self, count: int) -> "TalkSet":
        """Its first ``count`` clips."""
        return TalkSet(self.pieces[:count])

    @property
    def frames(self) -> int:
        return sum(piece.frames for piece in self.pieces)

    @property
    def fingerprint(self) -> str:
        """Names the set of clips: the same for the same footage, options and split, wherever it lies."""
        text = json.dumps(sorted((piece.crops.name, piece.frames) for piece in self.pieces))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def default_cache() -> Path:
    """$PUSHPULL_CACHE, else the user's cache folder."""
    chosen = os.environ.get("PUSHPULL_CACHE")
    home = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pushpull"
    return home / "talkset"


def prepare(folder, options: TalkSetOptions = TalkSetOptions(), *, cache=None, progress=None):
    """Crop every video of ``folder`` into the cache; what is there already is not done again.

    Args:
        folder: searched with its sub-folders.
        cache: where crops go; some 1 MB for 3 seconds. Killed at any moment, it goes on where it stopped.
        progress: wraps the list of files, as tqdm does.

    Returns:
        ({"train" | "validation" | "test": TalkSet}, {file: why it gave no clip}).

    Raises:
        FileNotFoundError: no such folder, or no video in it.
    """
    folder, cache = Path(folder), Path(cache) if cache else default_cache()
    files = find_videos(folder)
    cache.mkdir(parents=True, exist_ok=True)
    pieces, left_out, seen = {split: [] for split in SPLITS}, {}, {}
    for path in progress(files) if progress else files:
        digest = _digest(path)
        if digest in seen:
            left_out[path] = f"the same file as {seen[digest]}"
            continue
        seen[digest] = path
        index = _index(path, digest, options, cache)
        if not index["clips"]:
            left_out[path] = index["why"]
        speaker = path.parent.relative_to(folder).as_posix()
        split = _split(digest if options.split_by == "file" else speaker, options)
        for clip in index["clips"]:
            name = path.stem if len(index["clips"]) == 1 else f"{path.stem}-{clip['start']}"
            crops = cache / clip["file"]
            pieces[split].append(Piece(crops, path, name, speaker, split, clip["start"], clip["frames"]))
    return {split: TalkSet(found) for split, found in pieces.items()}, left_out


def find_videos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise FileNotFoundError(f"no video in {folder}; files ending in {', '.join(sorted(SUFFIXES))} are read")
    return files


def lone_faces(frames: Iterable[np.ndarray], options: TalkSetOptions = TalkSetOptions()) -> list[Track]:
    """Stretches in which exactly one face is in view, looked for in every ``stride``-th frame.

    Between two looks the box moves straight; after the last look of a video it stays.
    """
    looks, count = [], 0
    for count, rgb in enumerate(frames, start=1):
        if (count - 1) % options.stride == 0:
            faces = [face for face in detect_faces(rgb) if face[4] >= CONFIDENCE]
            looks.append((count - 1, faces[0] if len(faces) == 1 else None))
    return [_interpolate(group, count, looks[-1][0]) for group in _same_face(looks)]


def cut_video(path: Path, options: TalkSetOptions = TalkSetOptions()) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(first frame, (T, 112, 112) uint8 crops, (640 T,) float32 sound) of every usable stretch of one face.

    Raises:
        MediaError: unreadable, or no sound.
    """
    audio = read_audio(path)
    longest, shortest = round(options.longest * FPS), round(options.shortest * FPS)
    parts = []
    for track in lone_faces(read_frames(path), options):
        for start in range(track.start, track.stop, longest):
            part = slice(start - track.start, min(start + longest, track.stop) - track.start)
            if part.stop - part.start >= shortest:
                parts.append(Track(start=start, boxes=track.boxes[part], scores=track.scores[part]))
    for part, crops in zip(parts, crop_tracks(read_frames(path), parts), strict=True):
        yield part.start, crops, fit_audio(audio[part.start * SAMPLES_PER_FRAME :], len(crops))


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


def _index(path, digest, options, cache):
    """What the cache holds of one video; cut now if nothing."""
    recipe = json.dumps([VERSION, digest, options.stride, options.shortest, options.longest])
    key = hashlib.sha256(recipe.encode()).hexdigest()[:32]
    listing = cache / f"{key}.json"
    if listing.exists():
        index = json.loads(listing.read_text(encoding="utf-8"))
        if all((cache / clip["file"]).exists() for clip in index["clips"]):
            return index
    clips, why = [], "no stretch with exactly one face in view"
    try:
        for start, video, audio in cut_video(path, options):
            name = f"{key}-{start}.npz"
            with _replacing(cache / name) as handle:
                np.savez(handle, video=video, audio=audio)
            clips.append({"file": name, "start": start, "frames": len(video)})
    except MediaError as error:
        clips, why = [], str(error)
    # Written last: a listing means that its crops are whole.
    with _replacing(listing) as handle:
        handle.write(json.dumps({"clips": clips, "why": None if clips else why}).encode())
    return {"clips": clips, "why": why}


class _replacing:
    """A file that appears under its name only once it is complete."""

    def __init__(self, path: Path):
        self.path, self.partial = path, path.with_name(f"{path.name}.{os.getpid()}.partial")

    def __enter__(self):
        self.handle = open(self.partial, "wb")
        return self.handle

    def __exit__(self, kind, *_):
        self.handle.close()
        if kind is None:
            os.replace(self.partial, self.path)
        else:
            self.partial.unlink(missing_ok=True)


def _digest(path):
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _split(what, options):
    place = int(hashlib.sha256(what.encode()).hexdigest()[:8], 16) / 2**32
    if place < options.test:
        return "test"
    return "validation" if place < options.test + options.validation else "train"


def main(arguments=None):
    """``python -m pushpull.data.talkset prepare FOLDER``: crop a folder and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m pushpull.data.talkset", description=prepare.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("prepare", help="cut the faces out of a folder of videos, resumably")
    command.add_argument("folder", type=Path)
    command.add_argument("--cache", type=Path, help=f"where the crops go; default {default_cache()}")
    for field in fields(TalkSetOptions):
        command.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    given = parser.parse_args(arguments)
    try:
        options = TalkSetOptions(**{field.name: getattr(given, field.name) for field in fields(TalkSetOptions)})
        splits, left_out = prepare(
            given.folder, options, cache=given.cache, progress=lambda files: tqdm(files, unit="file", desc="faces")
        )
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    for path, why in left_out.items():
        print(f"left out {path.relative_to(given.folder)}: {why}")
    for split, clips in splits.items():
        speakers = len({piece.speaker for piece in clips.pieces})
        print(f"{split:>10}: {len(clips)} clips, {clips.frames / FPS / 60:.1f} min, {speakers} folder(s)")


if __name__ == "__main__":
    main()
