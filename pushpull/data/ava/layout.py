"""TalkNet's layout of AVA: where things lie, the loader CSV's lines, and film time against 25 frames a second."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.clip import FPS
from pushpull.files import replacing

SPLITS = ("train", "val")  # AVA's own names; what is trained on, and what the published figures are of
BOX = ("entity_box_x1", "entity_box_y1", "entity_box_x2", "entity_box_y2")
COLUMNS = ["video_id", "frame_timestamp", *BOX, "label", "entity_id"]  # of the official CSVs
LABELS = ("NOT_SPEAKING", "SPEAKING_AUDIBLE", "SPEAKING_NOT_AUDIBLE")  # in the order of TalkNet's label_id
AUDIBLE = "SPEAKING_AUDIBLE"  # the only one that counts as speaking
AGAIN = "write it anew with python -m pushpull.data.ava prepare"


@dataclass(frozen=True)
class Layout:
    """The paths of one tree.

    Args:
        root: holds ``csv``, ``clips_audios`` and ``clips_videos``.
    """

    root: Path

    def loader(self, split: str) -> Path:
        """One line a track, read by :func:`read_loader`."""
        return self.root / "csv" / f"{split}_loader.csv"

    def original(self, split: str) -> Path:
        """The annotation of the same tracks, one row a picture."""
        return self.root / "csv" / f"{split}_orig.csv"

    def left_out(self, split: str) -> Path:
        """Films and tracks that the preparer found no use for, and why."""
        return self.root / "csv" / f"{split}_left_out.csv"

    def sounds(self, split: str, video: str) -> Path:
        """The folder of a film's ``ENTITY.wav``."""
        return self.root / "clips_audios" / split / video

    def pictures(self, split: str, video: str) -> Path:
        """The folder of a film's ``ENTITY/SECONDS.jpg``."""
        return self.root / "clips_videos" / split / video


@dataclass(frozen=True)
class Track:
    """A line of the loader CSV: one face, followed through one shot.

    Args:
        entity: AVA's name of it, ``VIDEO_FROM_TO:NUMBER``.
        rate: its pictures a second.
        speaking: a "1" or "0" for each picture: is its voice audible?
    """

    entity: str
    rate: float
    speaking: str

    @property
    def video(self) -> str:
        """The film: what stands before ``_FROM_TO:NUMBER``; of other names the first 11 characters, as TalkNet does."""
        found = re.fullmatch(r"(.+)_\d+_\d+:\d+", self.entity)
        return found[1] if found else self.entity[:11]

    @property
    def pictures(self) -> int:
        """How many there are, at the film's rate."""
        return len(self.speaking)

    @property
    def frames(self) -> int:
        """T, how many they are at 25 a second."""
        return max(1, math.floor(self.pictures * FPS / self.rate + 0.5))


def picture_times(seconds: np.ndarray, rate: float) -> np.ndarray:
    """(P,) seconds of a track's pictures since the first, from film times in hundredths of a second.

    They are evenly spaced where the annotation has no gap: rounding would else choose another picture now and then.
    """
    seconds = seconds - seconds[0]
    even = np.arange(len(seconds)) / rate
    return even if np.abs(seconds - even).max() < 0.5 / rate else seconds


def nearest_pictures(times: np.ndarray, frames: int) -> np.ndarray:
    """(T,) index of the picture shown at each of ``frames`` moments, 25 a second from the first picture on.

    Args:
        times: (P,) of :func:`picture_times`.
    """
    return np.searchsorted((times[1:] + times[:-1]) / 2, np.arange(frames) / FPS)


def scores_at(scores: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(P,) scores at the pictures' ``times``, straight between those of 25 frames a second; (T,) -> (P,) float64."""
    return np.interp(times, np.arange(len(scores)) / FPS, np.asarray(scores, dtype=np.float64))


def read_loader(path: Path) -> list[Track]:
    """The tracks of a loader CSV.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a line is damaged; the message names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: {AGAIN}")
    found: dict[str, Track] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        try:
            track = _track(line.split("\t"))
            if track.entity in found:
                raise ValueError(f"the track {track.entity} stands in an earlier line too")
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}; {AGAIN}") from None
        found[track.entity] = track
    return list(found.values())


def write_loader(path: Path, tracks: Iterable[tuple[Track, int]]) -> None:
    """Write a loader CSV from tracks and their numbers, see ``docs/data.md``."""
    with replacing(path, "w") as file:
        for track, number in tracks:
            labels = f"[{', '.join(track.speaking)}]"
            file.write(f"{track.entity}\t{track.pictures}\t{track.rate}\t{labels}\t{number}\n")


def is_plain_name(text: str) -> bool:
    """True if ``text`` names a file in its folder and nothing elsewhere."""
    return bool(text) and text not in (".", "..") and not re.search(r"[/\\\0]", text)


def _track(fields):
    if len(fields) != 5:
        raise ValueError(f"expected 5 columns between tabs (entity, pictures, fps, labels, number), got {len(fields)}")
    entity, pictures, rate, labels, _ = fields
    if not is_plain_name(entity):
        raise ValueError(f"{entity!r} is no name of a track")
    if not re.fullmatch(r"\[\s*[01]\s*(?:,\s*[01]\s*)*\]", labels):
        raise ValueError(f"labels are a list of 0 and 1 as in [0, 1, 1], got {labels[:40]!r}")
    speaking = re.sub(r"[^01]", "", labels)
    if not pictures.isdecimal() or int(pictures) != len(speaking):
        raise ValueError(f"{pictures} pictures, but {len(speaking)} labels")
    try:
        rate = float(rate)
    except ValueError:
        rate = math.nan
    if not 1 <= rate <= 1000:
        raise ValueError(f"fps must be a number of pictures a second, got {fields[2]!r}")
    return Track(entity, rate, speaking)
