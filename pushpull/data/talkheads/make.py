"""Make a folder of clips: resumable, in parallel, the same files for the same options and seed.

    FOLDER/set.json            the options; a folder is only ever continued with the same
    FOLDER/clips/000012.npz    video (T, 112, 112) uint8 and audio (640 T,) int16: what a model sees and hears
    FOLDER/clips/000012.json   the clip's record: split, kind, faces with their labels, the whole script
    FOLDER/clips/000012.mp4    the wide picture in colour, with --video
    FOLDER/manifest.json, manifest.csv    all records in one, a row for each face

A record is written last, so a clip that has one is whole, whatever was killed when.
"""

import csv
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from pushpull.data.talkheads.pool import array_of, crops_named
from pushpull.data.talkheads.script import Script, ScriptOptions, draw_script
from pushpull.faces import FACE_BOX, TALKNET_DEMO
from pushpull.files import PARTIAL, replacing
from pushpull.media import quantise_audio, write_preview

VERSION = 1  # of what the same options give; a folder made by another version is not continued
GOLDEN = 0.6180339887498949  # its multiples fill [0, 1) evenly, so that any run of numbers has every split's share
LARGEST = 2**30  # bytes of frames that a worker holds


@dataclass(frozen=True, kw_only=True)
class MakeOptions:
    """What a folder holds.

    Args:
        seed: of the set.
        clips: how many; more can be added later.
        size: pixels, height of the wide picture; it is as wide as its people need.
        oversample: the picture is drawn this many times larger and averaged down; 2 costs twice the time and is
            smoother at the edges.
        video: keep the wide picture as an MP4, too.
        validation, test: shares of clips whose people and voices are held out.
        crop: "talknet_demo" (nose to chin), "face_box" (the face's box, as in AVA), or both, comma-separated: the first
            is what detectors get whose own crop is not there.
        script: what happens in the clips.
    """

    seed: int = 0
    clips: int = 2000
    size: int = 160
    oversample: int = 1
    video: bool = False
    validation: float = 0.1
    test: float = 0.1
    crop: str = TALKNET_DEMO
    script: ScriptOptions = field(default_factory=ScriptOptions)

    def __post_init__(self):
        if self.clips < 1 or self.seed < 0:
            raise ValueError(f"need at least one clip and a seed that is not negative, got {self.clips}, {self.seed}")
        if not 64 <= self.size <= 2160 or not 1 <= self.oversample <= 4:
            raise ValueError(f"size is 64 to 2160 pixels and oversample 1 to 4, got {self.size} and {self.oversample}")
        if not self.crops or set(self.crops) - {TALKNET_DEMO, FACE_BOX} or len(set(self.crops)) < len(self.crops):
            raise ValueError(f"crop is '{TALKNET_DEMO}', '{FACE_BOX}' or both with a comma, got {self.crop!r}")
        if min(self.validation, self.test) < 0 or self.validation + self.test > 1:
            raise ValueError("validation and test are shares that together are at most 1")
        bytes_held = self.frame_size[0] * self.frame_size[1] * 3 * self.script.seconds * 25
        if bytes_held > LARGEST:
            raise ValueError(
                f"{self.script.seconds} s at {self.size} pixels are {bytes_held / 2**30:.1f} GiB of frames for every "
                "worker; make the clips shorter or smaller"
            )

    @property
    def crops(self) -> tuple[str, ...]:
        """How faces are cut out."""
        return crops_named(self.crop)

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        width = self.size if self.script.people == 1 else round(self.size * (0.55 + 0.65 * self.script.people))
        return width + width % 2, self.size

    def split(self, number: int) -> str:
        """The split of clip ``number``."""
        place = (number * GOLDEN) % 1
        if place < self.test:
            return "test"
        return "validation" if place < self.test + self.validation else "train"

    def contents(self) -> dict:
        """What must be the same for a folder to be continued: all but the number of clips."""
        return {"version": VERSION} | {k: v for k, v in asdict(self).items() if k != "clips"}


class Studio:
    """A process's renderer and basis: opened once, used for many clips. A context manager."""

    def __init__(self, size: tuple[int, int], oversample: int = 2):
        # The worker draws by itself: threads of its own would only wait for each other.
        os.environ.setdefault("LP_NUM_THREADS", "0")
        from pushpull.data.talkheads.bake import load_basis
        from pushpull.data.talkheads.identity import sample_identity
        from pushpull.data.talkheads.render import Renderer

        self.basis = load_basis()
        self.size = size
        self.renderer = Renderer(*size, oversample=oversample)
        self._sample = sample_identity

    def describe(self, identity: int) -> tuple[float, float]:
        """(age in years, gender 0 female .. 1 male) of a person."""
        person = self._sample(identity, self.basis.shapes)
        return person.age, person.gender

    def film(self, script: Script):
        """(frames, performance, film) of a script; frames as a list of (H, W, 3) uint8."""
        from pushpull.data.talkheads.perform import perform
        from pushpull.data.talkheads.scene import prepare, shoot

        performance = perform(script)
        film = prepare(script, performance, self.basis, self.size)
        return list(shoot(film, self.renderer)), performance, film

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.renderer.release()


def make_clip(studio: Studio, options: MakeOptions, number: int, folder: Path) -> dict:
    """Make clip ``number`` and write its files into ``folder``; returns its record."""
    from pushpull.data.talkheads.crops import cut_faces

    script = draw_script(options.seed, number, options.split(number), options.script, studio.describe)
    frames, performance, film = studio.film(script)
    faces = []
    audio = quantise_audio(performance.audio)
    for index, cut in enumerate(cut_faces(frames, film.boxes, options.crops)):
        name = f"{number:06d}.npz" if len(script.roles) == 1 else f"{number:06d}-{index}.npz"
        with replacing(folder / name) as handle:
            videos = {array_of(crop, options.crops): cut.videos[crop] for crop in options.crops}
            np.savez(handle, **videos, audio=audio)
        role = script.roles[index]
        faces.append(
            {
                "file": name,
                "identity": role.identity,
                "voice": role.voice.speaker,
                "frames": len(cut.boxes),
                "speaking": int(performance.labels[index].sum()),
                "found": round(cut.found, 4),
                "labels": "".join(str(int(label)) for label in performance.labels[index]),
            }
        )
    if options.video:
        write_preview(folder / f"{number:06d}.mp4", frames, audio)
    record = {"number": number, "split": script.split, "kind": script.kind, "seed": script.seed, "faces": faces}
    record["script"] = script.as_dict()
    with replacing(folder / f"{number:06d}.json") as handle:
        handle.write(json.dumps(record).encode())
    return record


def make(options: MakeOptions, out: str | Path, *, workers: int = 1, progress: Callable | None = None) -> Path:
    """Make what is missing of a folder of clips, then its manifest.

    Args:
        out: the folder; made if absent.
        workers: processes; 0 works in this one.
        progress: called with the number of clips that are there, after each.

    Returns:
        The path of manifest.json.

    Raises:
        ValueError: ``out`` holds clips made with other options.
        VoiceError, BakeError, RenderError: something is not installed; the message says what.
        ChildProcessError: a worker was killed.
    """
    out = Path(out)
    clips = out / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    _claim(out, options)
    done = {int(path.stem) for path in clips.glob("[0-9]*.json")}
    missing = [number for number in range(options.clips) if number not in done]
    there = options.clips - len(missing)
    for _ in _work(options, clips, missing, workers):
        there += 1
        if progress is not None:
            progress(there)
    for partial in clips.glob(f"*{PARTIAL}"):
        partial.unlink(missing_ok=True)
    return write_manifest(out, options)


def write_manifest(out: Path, options: MakeOptions) -> Path:
    """manifest.json and manifest.csv from the records of the first ``options.clips`` clips."""
    records = []
    for number in range(options.clips):
        records.append(json.loads((out / "clips" / f"{number:06d}.json").read_text(encoding="utf-8")))
    columns = ("file", "split", "kind", "identity", "voice", "seed", "frames", "speaking", "found", "labels")
    with replacing(out / "manifest.csv", "w") as handle:
        table = csv.writer(handle, lineterminator="\n")
        table.writerow(columns)
        for record in records:
            for face in record["faces"]:
                row = record | face | {"file": f"clips/{face['file']}"}
                table.writerow([row[name] for name in columns])
    digest = hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()[:16]
    with replacing(out / "manifest.json") as handle:
        head = {"options": options.contents() | {"clips": options.clips}, "fingerprint": digest, "clips": records}
        handle.write(json.dumps(head).encode())
    return out / "manifest.json"


def _claim(out, options):
    path = out / "set.json"
    mine = json.loads(json.dumps(options.contents()))
    if path.exists():
        theirs = _modern(json.loads(path.read_text(encoding="utf-8")))
        if theirs != mine:
            differ = sorted(key for key in {*theirs, *mine} if theirs.get(key) != mine.get(key))
            raise ValueError(
                f"{out} holds clips made with another {', '.join(differ)}: give the options that it was made with "
                f"({path.name} has them), or another folder"
            )
        return
    with replacing(path) as handle:
        handle.write(json.dumps(mine, indent=1).encode())


def _modern(contents):
    """A folder's options, made perhaps before there was a choice of crops or voices, and when a mix was its kinds."""
    script = contents.get("script", {})
    script = {"mix" if name == "kinds" else name: value for name, value in script.items()}
    return {"crop": TALKNET_DEMO} | contents | {"script": {"recorded": "", "recorded_share": 0.5} | script}


def _work(options, folder, numbers, workers) -> Iterator[int]:
    if not numbers:
        return
    if workers == 0:
        with Studio(options.frame_size, options.oversample) as studio:
            for number in numbers:
                make_clip(studio, options, number, folder)
                yield number
        return
    # Spawned, because OpenGL does not survive a fork.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_open, initargs=(options, str(folder)))
    try:
        waiting, pending = iter(numbers), set()
        while True:
            while len(pending) < 2 * workers and (number := next(waiting, None)) is not None:
                pending.add(pool.submit(_one, number))
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a worker was killed, perhaps because memory ran out: use fewer --workers or a smaller --size. The same "
            "command goes on where it stopped. A script of your own has to ask for several workers under "
            'if __name__ == "__main__":'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker: dict = {}  # a spawned worker's only state: its renderer cannot be passed to it


def _open(options, folder):
    import cv2

    cv2.setNumThreads(1)
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    _worker["options"], _worker["folder"], _worker["studio"] = options, Path(folder), None


def _one(number):
    # Opened here and not in the initializer, whose errors the pool would hide behind its own.
    if _worker["studio"] is None:
        options = _worker["options"]
        _worker["studio"] = Studio(options.frame_size, options.oversample)
    make_clip(_worker["studio"], _worker["options"], number, _worker["folder"])
    return number


def _follow(parent):
    """End with the process that started this one: killed by -9, it cannot tell its workers."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
