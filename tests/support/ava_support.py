"""What the AVA tests share: films in which every face and moment is told by its pixels, and their annotation."""

import csv
import shutil
import subprocess
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest
from scipy.io import wavfile

from pushpull.data.ava import AvaOptions, read_ava
from pushpull.data.ava.prepare import prepare

HEADER = "video_id,frame_timestamp,entity_box_x1,entity_box_y1,entity_box_x2,entity_box_y2,label,entity_id"
LEFT, RIGHT = (0.125, 0.25, 0.375, 0.75), (0.5, 0.25, 0.75, 0.75)  # two faces: in the right one black is white
SIZE = (128, 96)  # pixels, width and height
SECONDS = 2.4
NTSC = Fraction(24000, 1001)
TRACKS = {  # track: (film's rate, first frame, frames, box)
    "filmat25fps_0001_0002:1": (25, 26, 33, LEFT),
    "filmat25fps_0001_0002:2": (25, 20, 12, RIGHT),
    "filmat30fps_0001_0002:1": (30, 31, 36, LEFT),
    "filmat30fps_0001_0002:10": (30, 40, 1, RIGHT),
    "filmat24fps_0001_0002:1": (NTSC, 13, 41, RIGHT),
}
NAMES = list(TRACKS)


def film_of(entity):
    return entity.split("_0001")[0]


def write_film(path, rate, seconds=SECONDS):
    """Faces of eight bars that count the pictures in binary; sample n of the sound is n - 32768."""
    width, height = SIZE
    frames = round(seconds * rate)
    bars = np.arange(frames)[:, None] >> np.arange(8) & 1
    video = np.full((frames, height, width), 128, np.uint8)
    for box, white in ((LEFT, 1), (RIGHT, 0)):
        x1, y1, x2, y2 = (round(share * size) for share, size in zip(box, (*SIZE, *SIZE), strict=True))
        video[:, y1:y2, x1:x2] = np.where(bars == white, 220, 30).repeat((x2 - x1) // 8, axis=1)[:, None]
    sound = path.with_suffix(".wav")
    wavfile.write(sound, 16_000, (np.arange(round(seconds * 16_000)) - 32768).astype(np.int16))
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
    coded = ["-c:v", "libx264", "-crf", "8", "-g", "20", "-pix_fmt", "yuv420p", "-c:a", "alac", "-y", str(path)]
    line = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *raw, "-i", str(sound), *coded]
    subprocess.run(line, input=video.tobytes(), check=True, timeout=60)
    sound.unlink()


def seconds_of(entity):
    rate, first, frames, _ = TRACKS[entity]
    return [round(float(number / rate), 2) for number in range(first, first + frames)]


def labels_of(entity):
    """Silence, then speech, then lips that move without a voice."""
    frames = TRACKS[entity][2]
    kinds = ("NOT_SPEAKING", "SPEAKING_AUDIBLE", "SPEAKING_NOT_AUDIBLE")
    return [kinds[number * 3 // frames] for number in range(frames)]


def write_annotation(folder, entities, header=False):
    """The official CSVs, one a film, in the order of time."""
    folder.mkdir(parents=True, exist_ok=True)
    for film in {film_of(entity) for entity in entities}:
        rows = [
            (film, seconds, *TRACKS[entity][3], label, entity)
            for entity in entities
            if film_of(entity) == film
            for seconds, label in zip(seconds_of(entity), labels_of(entity), strict=True)
        ]
        with (folder / f"{film}-activespeaker.csv").open("w", newline="") as file:
            file.write(HEADER + "\r\n" if header else "")
            csv.writer(file).writerows(sorted(rows, key=lambda row: row[1]))
    return folder


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The films, and AVA's two splits of their annotation."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "films/old").mkdir(parents=True)
    write_film(folder / "films/filmat25fps.mp4", 25)
    write_film(folder / "films/old/filmat30fps.mkv", 30)
    write_film(folder / "films/filmat24fps.mp4", NTSC)
    write_annotation(folder / "train", NAMES[:2])
    write_annotation(folder / "val", NAMES[2:], header=True)
    return folder


@pytest.fixture(scope="session")
def made(source, tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    for split in ("train", "val"):
        tracks, left_out = prepare(source / split, source / "films", root, split=split)
        assert not left_out and len(tracks) == (2 if split == "train" else 3)
    return root


@pytest.fixture
def tree(made, tmp_path):
    """A copy to damage."""
    return shutil.copytree(made, tmp_path / "tree")


def code(face, box):
    """The number that a face's bars spell, and how far they are from black and white."""
    bars = face[56, np.arange(7, 112, 14)].astype(int)
    white = bars > 128
    error = np.abs(bars - np.where(white, 220, 30)).max()
    return int(((white if box is LEFT else ~white) << np.arange(8)).sum()), error


def clips_of(root):
    missing = []
    splits = read_ava(root, AvaOptions(validation=0.0, shortest=0.0), left_out=lambda *what: missing.append(what))
    assert not missing
    return {clip.name: clip for pool in splits.values() for clip in pool}


def snapshot(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
