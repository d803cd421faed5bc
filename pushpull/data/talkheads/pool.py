"""Read a folder that ``python -m pushpull.data.talkheads make`` wrote, as sets of clips for training."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.clip import Clip
from pushpull.faces import TALKNET_DEMO
from pushpull.files import read_arrays, read_text
from pushpull.media import dequantise_audio

SPLITS = ("train", "validation", "test")
VIDEO = "video"


@dataclass(frozen=True)
class Face:
    """One face of one clip: where its crop lies, what it does and who it is."""

    crops: Path
    kind: str
    identity: int
    voice: str
    labels: str

    @property
    def frames(self) -> int:
        return len(self.labels)


class HeadPool(Sequence):
    """Clips of talking heads, read when asked for; labels say where the visible person's voice is heard.

    ``of_type("in_sync")`` is a pool as :func:`pushpull.data.batches.make_batch` wants it: in sync, labels are the
    speech activity. The others are finished examples, to be used as they are.
    """

    def __init__(self, faces: Iterable[Face], array: str = VIDEO):
        """``array`` is the crop's name in the clips' files, see :func:`array_of`."""
        self.faces, self.array = tuple(faces), array

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> Clip:
        face = self.faces[index]
        again = "delete it and the clip's .json beside it, and make the folder again"
        video, audio = read_arrays(face.crops, self.array, "audio", again=again)
        labels = np.frombuffer(face.labels.encode(), np.uint8).astype(np.int64) - ord("0")
        return Clip(audio=dequantise_audio(audio), video=video, labels=labels, name=f"{face.crops.stem}-{face.kind}")

    def of_type(self, *types: str) -> "HeadPool":
        """Its clips of these types, see :mod:`pushpull.data.talkheads.script`."""
        return HeadPool((face for face in self.faces if face.kind in types), self.array)

    def first(self, count: int) -> "HeadPool":
        """Its first ``count`` clips."""
        return HeadPool(self.faces[:count], self.array)

    @property
    def types(self) -> tuple[str, ...]:
        """The type of each clip."""
        return tuple(face.kind for face in self.faces)

    @property
    def lengths(self) -> np.ndarray:
        """(len,) frames of each clip."""
        return np.array([face.frames for face in self.faces], dtype=int)

    @property
    def frames(self) -> int:
        return sum(face.frames for face in self.faces)

    @property
    def fingerprint(self) -> str:
        """Names the set of clips: the same for the same options and seed, wherever it lies."""
        rows = sorted((face.crops.name, face.kind, face.identity, face.voice, face.labels) for face in self.faces)
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def crops_named(text: str) -> tuple[str, ...]:
    """The crops of a folder's option: "face_box", or "talknet_demo,face_box"."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def array_of(crop: str, crops: Sequence[str]) -> str:
    """What a crop's pictures are called in the files of a folder that has ``crops``; the first is plain "video"."""
    return VIDEO if crop == crops[0] else f"{VIDEO}_{crop}"


def crops_in(folder: Path) -> tuple[str, ...]:
    """How the faces of a made folder were cut out, see :func:`pushpull.faces.crop_box`: in one way or two."""
    options = json.loads(read_text(folder / "manifest.json")).get("options", {})
    return crops_named(options.get("crop", TALKNET_DEMO))  # there was no choice once


def crop_used(folder: Path, wanted: str) -> str:
    """The crop in which a made folder's faces come to who wants ``wanted``: that if it has it, else its first."""
    crops = crops_in(folder)
    return wanted if wanted in crops else crops[0]


def read_pool(folder: str | Path, crop: str = TALKNET_DEMO) -> dict[str, HeadPool]:
    """{"train" | "validation" | "test": HeadPool} of a made folder.

    Args:
        crop: how faces should be cut out; a folder that has none such gives its first.

    Raises:
        FileNotFoundError: there is no manifest; the message says how one is made.
        ValueError: the manifest is damaged.
    """
    folder = Path(folder)
    path = folder / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no manifest.json: make it with python -m pushpull.data.talkheads make --out {folder}; "
            "if that was stopped, the same command goes on and writes it at the end"
        )
    found: dict[str, list[Face]] = {split: [] for split in SPLITS}
    try:
        for record in json.loads(read_text(path))["clips"]:
            for face in record["faces"]:
                crops = folder / "clips" / face["file"]
                found[record["split"]].append(
                    Face(crops, record["kind"], face["identity"], face["voice"], face["labels"])
                )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); delete it and make the folder again") from error
    array = array_of(crop_used(folder, crop), crops_in(folder))
    return {split: HeadPool(faces, array) for split, faces in found.items()}
