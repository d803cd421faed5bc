"""Footage of talking faces -> clips in sync with their speech activity: what TalkSet examples are made from.

    python -m pushpull.data.talkset prepare FOLDER

The folder may hold any videos in any sub-folders. What is needed of them is that the face in view is the one that is
heard; where several faces share a frame nobody can tell, and those stretches are left out. Beside ``NAME.mkv`` a
``NAME.align`` with word timings (GRID's format) gives the speech activity; without it the sound's energy does.
"""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pushpull.clip import FPS, Clip
from pushpull.config import Parser, described
from pushpull.data.cropcache import CropCache
from pushpull.data.speech import detect_speech, read_align
from pushpull.faces import FACE_BOX, TALKNET_DEMO
from pushpull.faces.cache import FOLDER, OFF
from pushpull.files import read_arrays, sha256

SUFFIXES = {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv"}
SPLITS = ("train", "validation", "test")


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
        validation: share of files or speakers that is looked at between epochs and not trained on.
        test: share of files or speakers that the final figures are of.
        crop: the part of the picture that a clip shows: "talknet_demo" (nose to chin) or "face_box" (the face's box, as
            in AVA; what the published Light-ASD and LR-ASD are trained on).
    """

    stride: int = 5
    shortest: float = 1.0
    longest: float = 20.0
    split_by: str = "file"
    validation: float = 0.1
    test: float = 0.1
    crop: str = TALKNET_DEMO

    def __post_init__(self):
        if self.stride < 1:
            raise ValueError(f"stride counts frames and must be at least 1, got {self.stride}")
        if self.crop not in (TALKNET_DEMO, FACE_BOX):
            raise ValueError(f"crop is '{TALKNET_DEMO}' or '{FACE_BOX}', got {self.crop!r}")
        if self.split_by not in ("file", "speaker"):
            raise ValueError(f"split_by is 'file' or 'speaker', got {self.split_by!r}")
        if not 1 / FPS <= self.shortest <= self.longest:
            raise ValueError(f"need 0 < shortest <= longest, got {self.shortest} and {self.longest} seconds")
        if min(self.validation, self.test) < 0 or self.validation + self.test > 1:
            raise ValueError(f"validation and test are shares of one whole, got {self.validation} and {self.test}")


@dataclass(frozen=True)
class Piece:
    """A cached stretch of one face: where its crops lie, and where it came from.

    ``base`` is what its file is called: all pieces of a file share it.
    """

    crops: Path
    source: Path
    name: str
    speaker: str
    split: str
    start: int
    frames: int
    base: str


class TalkSet(Sequence):
    """Clips in sync, read from the cache when asked for; labels are the speech activity of the visible person."""

    def __init__(self, pieces: Iterable[Piece]):
        self.pieces = tuple(pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> Clip:
        piece = self.pieces[index]
        video, audio = read_arrays(piece.crops, "video", "audio", again="delete it, and the same command cuts it again")
        align = piece.source.with_suffix(".align")
        aligned = align.exists()
        speech = read_align(align, piece.start + piece.frames)[piece.start :] if aligned else detect_speech(audio)
        return Clip(audio=audio, video=video, labels=speech.astype(np.int64), name=piece.name)

    def base(self, index: int) -> str:
        """The base clip of a clip: its file."""
        return self.pieces[index].base

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
    """Where crops go: into $PUSHPULL_CACHE, else the user's cache folder, also where that variable says "off".

    Off are the places of faces that readers remember; crops have to lie somewhere.
    """
    chosen = os.environ.get(FOLDER)
    if chosen and chosen != OFF:
        return Path(chosen) / "talkset"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pushpull" / "talkset"


def prepare(
    folder, options: TalkSetOptions = TalkSetOptions(), *, cache=None, workers: int = 1, progress=None
) -> tuple[dict[str, TalkSet], dict[Path, str]]:
    """Crop every video of ``folder`` into the cache; what is there already is not done again.

    Args:
        folder: searched with its sub-folders.
        cache: where crops go; some 1 MB for 3 seconds. Killed at any moment, it goes on where it stopped.
        workers: processes that crop, with the same result whatever their number; for more than one see
            :meth:`pushpull.data.cropcache.CropCache.fill`.
        progress: wraps the range of file numbers, as tqdm does.

    Returns:
        ({"train" | "validation" | "test": TalkSet}, {file: why it gave no clip}).

    Raises:
        FileNotFoundError: no such folder, or no video in it.
        ChildProcessError: a worker was killed.
    """
    folder = Path(folder)
    place = Path(cache) if cache else default_cache()
    store = CropCache(place, options.stride, options.shortest, options.longest, options.crop)
    files = find_videos(folder)
    store.folder.mkdir(parents=True, exist_ok=True)
    store.sweep()
    first, left_out = {}, {}
    for path in files:
        digest = sha256(path)
        if digest in first:
            left_out[path] = f"the same file as {first[digest]}"
        elif why := _bad_align(path):
            left_out[path] = why
        else:
            first[digest] = path
    videos, numbers = [(path, digest) for digest, path in first.items()], range(len(first))
    with closing(store.fill(videos, workers=workers)) as made:
        found = dict(next(made) for _ in (progress(numbers) if progress else numbers))

    pieces, bases = {split: [] for split in SPLITS}, _bases(folder, found)
    for digest, path in first.items():
        index = found[path]
        if not index["clips"]:
            left_out[path] = index["why"]
        speaker = path.parent.relative_to(folder).as_posix()
        split = split_of(digest if options.split_by == "file" else speaker, options)
        for clip in index["clips"]:
            name = _piece(bases[path], clip, index["clips"])
            crops = store.folder / clip["file"]
            pieces[split].append(Piece(crops, path, name, speaker, split, clip["start"], clip["frames"], bases[path]))
    return {split: TalkSet(found) for split, found in pieces.items()}, left_out


def _bases(folder: Path, found: dict[Path, dict]) -> dict[Path, str]:
    """What the files that gave clips are called.

    Corpora have a folder a speaker, and the same sentences in each: it is the path without its suffix. Files that this
    does not tell apart, themselves or by their pieces (a.mp4 beside a.mkv, or beside a-50.mp4), keep their suffix.
    """
    stems = {path: path.relative_to(folder).with_suffix("").as_posix() for path in found if found[path]["clips"]}
    names = {
        path: {stem, *(_piece(stem, clip, found[path]["clips"]) for clip in found[path]["clips"])}
        for path, stem in stems.items()
    }
    counts = Counter(name for mine in names.values() for name in mine)
    return {
        path: stem if all(counts[name] == 1 for name in names[path]) else path.relative_to(folder).as_posix()
        for path, stem in stems.items()
    }


def _piece(base, clip, clips):
    """What one of a file's clips is called."""
    return base if len(clips) == 1 else f"{base}-{clip['start']}"


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_videos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    files = sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise FileNotFoundError(f"no video in {folder}; files ending in {', '.join(sorted(SUFFIXES))} are read")
    return files


def _bad_align(path):
    """Why a video's word alignment cannot be used, if it cannot: better known now than in the middle of training."""
    align = path.with_suffix(".align")
    try:
        if align.exists():
            read_align(align, 0)
    except ValueError as error:
        return str(error)
    return None


def split_of(what: str, options: TalkSetOptions) -> str:
    """The split of a file, by the SHA-256 of its bytes, or of a speaker, by their folder's name."""
    place = int(hashlib.sha256(what.encode()).hexdigest()[:8], 16) / 2**32
    if place < options.test:
        return "test"
    return "validation" if place < options.test + options.validation else "train"


def main(arguments=None) -> int:
    """``python -m pushpull.data.talkset prepare FOLDER``: crop a folder and say what was found."""
    parser = Parser(
        prog="python -m pushpull.data.talkset", description="Cut the faces out of a folder of videos, resumably."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("prepare", help="crop what is not cropped yet, and say what was found")
    command.add_argument("folder", type=Path, help="searched with its sub-folders")
    command.add_argument("--cache", type=Path, help=f"where the crops go; default {default_cache()}")
    command.add_argument("--workers", type=int, default=cores(), help="processes that crop; default: a core each")
    recipe = command.add_argument_group("how footage becomes clips; give training the same as --footage.NAME")
    notes = described(TalkSetOptions)
    for field in fields(TalkSetOptions):
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{notes[field.name]} Default: %(default)s"
        metavar = field.type.__name__.upper()
        recipe.add_argument(flag, type=field.type, default=field.default, metavar=metavar, help=text)
    given = parser.parse_args(arguments)
    try:
        options = TalkSetOptions(**{field.name: getattr(given, field.name) for field in fields(TalkSetOptions)})
        splits, left_out = prepare(
            given.folder,
            options,
            cache=given.cache,
            workers=given.workers,
            progress=lambda files: tqdm(files, unit="file", desc="faces"),
        )
    except (OSError, ValueError) as error:
        command.error(str(error))
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        return 130
    for path, why in left_out.items():
        print(f"left out {path.relative_to(given.folder)}: {why}")
    for split, clips in splits.items():
        speakers = len({piece.speaker for piece in clips.pieces})
        print(f"{split:>10}: {len(clips)} clips, {clips.frames / FPS / 60:.1f} min, {speakers} folder(s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
