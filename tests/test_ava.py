"""AVA in miniature: films whose every picture and sample tells its number, cut, read back, scored, and gone wrong."""

import csv
import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from pushpull.clip import FPS, SAMPLES_PER_FRAME
from pushpull.data.ava import AvaOptions, predict, read_ava, write_predictions
from pushpull.data.ava import __main__ as command
from pushpull.data.ava import film as film_module
from pushpull.data.ava.check import check
from pushpull.data.ava.layout import (
    Layout,
    Track,
    nearest_pictures,
    picture_times,
    read_loader,
    scores_at,
    write_loader,
)
from pushpull.data.ava.official import read_annotation
from pushpull.data.ava.prepare import prepare
from pushpull.data.batches import Batching, make_batch
from pushpull.data.kinds import Kinds
from pushpull.data.sources import read_sources
from pushpull.data.talkset import TalkSetOptions
from pushpull.metrics import average_precision
from pushpull.models import TalkNet, TalkNetConfig

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


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
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


@pytest.mark.parametrize("entity", NAMES)
def test_faces_labels_and_sound_are_of_the_annotated_moments(made, entity):
    rate, first, frames, box = TRACKS[entity]
    clip = clips_of(made)[entity]
    assert clip.frames == max(1, round(frames * FPS / rate))
    # Film time of the clip's frames, and the film's frame nearest to each that the track has.
    nearest = np.rint(np.arange(clip.frames) / FPS * float(rate)).astype(int)
    shown = first + np.minimum(nearest, frames - 1)
    codes, errors = zip(*(code(face, box) for face in clip.video), strict=True)
    assert list(codes) == shown.tolist() and max(errors) < 12, "JPEG keeps them to a few levels"
    speaking = np.array([label == "SPEAKING_AUDIBLE" for label in labels_of(entity)])
    assert clip.labels.tolist() == speaking[shown - first].astype(int).tolist() and clip.labels.dtype == np.int64
    heard = np.rint(clip.audio * 32768).astype(int) + 32768
    start, sound = round(first / rate * 16_000), round(frames / rate * 16_000)
    assert abs(heard[0] - start) <= 16, "a millisecond: Matroska counts in them"
    assert np.all(np.diff(heard[: min(sound, len(heard)) - 1]) == 1)


def test_the_tree_is_what_talknet_reads(made):
    """Its loader: 5 columns between tabs, entity[:11] for the film, labels by int(), pictures sorted by float()."""
    lines = (made / "csv/val_loader.csv").read_text().splitlines()
    numbers = []
    for line, entity in zip(lines, sorted(NAMES[2:]), strict=True):
        name, frames, fps, labels, number = line.split("\t")
        rate = TRACKS[entity][0]
        assert name == entity and int(frames) == TRACKS[entity][2] and float(fps) == pytest.approx(float(rate), 1e-4)
        assert [int(label) for label in labels.strip("[]").split(",")] == [
            int(label == "SPEAKING_AUDIBLE") for label in labels_of(entity)
        ]
        pictures = sorted((made / "clips_videos/val" / name[:11] / name).glob("*.jpg"), key=lambda p: float(p.stem))
        assert [float(path.stem) for path in pictures] == seconds_of(entity)
        assert cv2.imread(str(pictures[0])).shape == (48, 32, 3)
        rate, sound = wavfile.read(made / "clips_audios/val" / name[:11] / f"{name}.wav")
        assert rate == 16_000 and len(sound) == pytest.approx(int(frames) / float(fps) * rate, abs=2)
        numbers.append(int(number))
    assert sorted(numbers) == [0, 1, 2]
    assert lines[1].startswith("filmat30fps_0001_0002:1\t36\t30.0\t[0, 0, ")

    rows = pd.read_csv(made / "csv/val_orig.csv")
    assert rows.columns.tolist() == [*HEADER.split(","), "label_id", "instance_id"]
    assert rows["entity_id"].drop_duplicates().tolist() == [line.split("\t")[0] for line in lines], "the same order"
    one = rows[rows["entity_id"] == "filmat30fps_0001_0002:1"]
    assert one["frame_timestamp"].tolist() == seconds_of("filmat30fps_0001_0002:1")
    assert one["label_id"].tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert one["instance_id"].unique().tolist() == [f"filmat30fps_0001_0002:1:{number}" for number in range(3)]


def test_a_window_is_part_of_the_clip(made):
    pool = read_ava(made)["test"]
    whole, part = pool[1], pool.read(1, 7, 19)
    assert np.array_equal(part.video, whole.video[7:19]) and np.array_equal(part.labels, whole.labels[7:19])
    assert np.array_equal(pool.sound(1), whole.audio)
    assert np.array_equal(part.audio, whole.audio[7 * SAMPLES_PER_FRAME : 19 * SAMPLES_PER_FRAME])


def test_a_pool_is_what_training_wants(made):
    splits = read_ava(made, AvaOptions(validation=0.0))
    test = splits["test"]
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [2, 0, 3]
    assert test.kinds == ("ava",) * 3 and test.lengths.tolist() == [clip.frames for clip in test] == [43, 30, 1]
    assert test.frames == 74 and len(test.first(2)) == 2
    again = read_ava(made, AvaOptions(validation=0.0))
    assert again["test"].fingerprint == test.fingerprint != test.first(2).fingerprint
    with pytest.raises(IndexError):
        test[3]
    assert [len(pool) for pool in read_ava(made, AvaOptions(validation=0.0, shortest=1.0)).values()] == [1, 0, 3]


def test_nobody_of_validation_is_trained_on(tmp_path):
    films = [f"film{number:07d}" for number in range(400)]
    layout = Layout(tmp_path)
    (tmp_path / "csv").mkdir()
    tracks = [Track(f"{film}_0900_0960:{number}", 25.0, "0" * 10) for film in films for number in range(2)]
    write_loader(layout.loader("train"), ((track, 0) for track in tracks))
    for film in films:
        for folder in (layout.pictures("train", film), layout.sounds("train", film)):
            folder.mkdir(parents=True)
    for track in tracks:
        (layout.pictures("train", track.video) / track.entity).mkdir()
        (layout.sounds("train", track.video) / f"{track.entity}.wav").touch()
    missing = []
    splits = read_ava(tmp_path, AvaOptions(validation=0.1), left_out=lambda path, why: missing.append(path))
    held_out, trained_on = ({track.video for track in splits[name].tracks} for name in ("validation", "train"))
    assert not held_out & trained_on and len(held_out | trained_on) == 400 and 20 <= len(held_out) <= 60
    assert missing == [layout.loader("val")] and len(splits["test"]) == 0
    assert not len(read_ava(tmp_path, AvaOptions(validation=0.0))["validation"])


@pytest.mark.parametrize("options", [{"validation": 1.0}, {"validation": -0.1}, {"shortest": -1.0}])
def test_senseless_options_are_refused(options):
    with pytest.raises(ValueError):
        AvaOptions(**options)


def test_missing_media_are_said_and_left_out(tree):
    shutil.rmtree(tree / "clips_videos/val/filmat24fps")
    (tree / "clips_audios/val/filmat30fps/filmat30fps_0001_0002:1.wav").unlink()
    missing = {}
    splits = read_ava(tree, left_out=lambda path, why: missing.update({path.name: why}))
    assert [track.entity for track in splits["test"].tracks] == ["filmat30fps_0001_0002:10"]
    assert missing == {
        "filmat24fps": "no such folder: the film's 1 tracks are left out",
        "filmat30fps_0001_0002:1.wav": "not there: the track is left out",
    }


LINES = {
    "a\t2\t25.0\t[0, 1]": "expected 5 columns",
    "a\t3\t25.0\t[0, 1]\t0": "3 pictures, but 2 labels",
    "a\t2\t25.0\t[0, 2]\t0": "labels are a list of 0 and 1",
    "a\t2\t25.0\t[]\t0": "labels are a list of 0 and 1",
    "a\t2\tfast\t[0, 1]\t0": "fps must be a number",
    "a\t2\tnan\t[0, 1]\t0": "fps must be a number",
    "../a\t2\t25.0\t[0, 1]\t0": "no name of a track",
    "first\t2\t25.0\t[0, 1]\t0": "stands in an earlier line",
    "": "expected 5 columns",
}


@pytest.mark.parametrize("line", LINES)
def test_a_damaged_loader_line_is_named(tmp_path, line):
    path = tmp_path / "train_loader.csv"
    path.write_text(f"first\t2\t25.0\t[0, 1]\t0\n{line}\nlast\t1\t25.0\t[1]\t1\n")
    with pytest.raises(ValueError, match=rf"train_loader.csv:2: .*{LINES[line]}.*data.ava prepare"):
        read_loader(path)


def empty(path):
    path.write_bytes(b"")


DAMAGES = {
    "a picture is missing": ("clips_videos/train/filmat25fps/{}/1.04.jpg", os.remove, "32 pictures.*33 labels"),
    "a picture is damaged": ("clips_videos/train/filmat25fps/{}/1.04.jpg", empty, "1.04.jpg"),
    "a name is no time": (
        "clips_videos/train/filmat25fps/{}/1.04.jpg",
        lambda path: path.rename(path.with_name("first.jpg")),
        "named by their seconds",
    ),
    "the sound is damaged": ("clips_audios/train/filmat25fps/{}.wav", empty, ".wav cannot be read"),
    "the sound is stereo": (
        "clips_audios/train/filmat25fps/{}.wav",
        lambda path: wavfile.write(path, 16_000, np.zeros((16_000, 2), np.int16)),
        "must be mono",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_media_are_named_by_reading_and_by_check(tree, damage):
    path, spoil, message = DAMAGES[damage]
    spoil(tree / path.format(NAMES[0]))
    pool = read_ava(tree, AvaOptions(validation=0.0))["train"]
    with pytest.raises(ValueError, match=message):
        pool[[track.entity for track in pool.tracks].index(NAMES[0])]
    (problem,) = check(tree)["train"].problems
    assert NAMES[0] in problem and not check(tree)["val"].problems


def test_sound_as_short_as_talknet_cuts_it_is_no_problem(tree):
    """Its script ends the sound where the last picture begins; of a single picture there is none at all."""
    for entity, lost in ((NAMES[2], 533), (NAMES[3], 10**6)):
        path = tree / f"clips_audios/val/filmat30fps/{entity}.wav"
        sound = wavfile.read(path)[1]
        wavfile.write(path, 16_000, sound[: max(0, len(sound) - lost)])
    assert not check(tree)["val"].problems
    clip = clips_of(tree)[NAMES[2]]
    assert clip.audio.shape == (30 * 640,) and clip.audio[-500:].tolist() == [0.0] * 500
    assert not clips_of(tree)[NAMES[3]].audio.any()


def test_a_tree_without_a_loader_csv_says_how_one_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="data.ava prepare --out"):
        read_ava(tmp_path)


@pytest.mark.parametrize("rate", [24, 23.976, 25, 30, 29.97, 50])
def test_scores_find_their_way_back_to_film_time(rate):
    pictures = 400
    times = picture_times(np.round(900.01 + np.arange(pictures) / rate, 2), rate)
    frames = Track("a", rate, "0" * pictures).frames
    chosen = nearest_pictures(times, frames)
    apart = np.abs(chosen / rate - np.arange(frames) / FPS)
    assert apart.max() <= 0.5 / rate + 0.02, "no picture is further away than half its length, but at the end"
    if rate == 25:
        assert chosen.tolist() == list(range(pictures))
    slow = np.sin(np.arange(frames) / FPS)  # a score of film time comes back as one of film time
    assert np.allclose(scores_at(slow, times), np.sin(times), atol=0.05)
    speaking = (np.arange(pictures) // 40) % 2  # 30 -> 25 -> 30: all that can be lost is next to a change
    back = scores_at(speaking[chosen].astype(float), times) > 0.5
    wrong = np.flatnonzero(back != speaking)
    assert len(wrong) <= 10 and all((number + 1) % 40 <= 1 for number in wrong)


def test_scores_are_written_for_every_annotated_row(made, tmp_path):
    pool = read_ava(made)["test"]
    scores = {clip.name: clip.labels * 2.0 - 1 for clip in pool}
    for header in (False, True):
        written = write_predictions(made, "val", scores, tmp_path / "res.csv", header=header)
        rows = pd.read_csv(tmp_path / "res.csv", header=0 if header else None)
        assert rows.shape == (36 + 1 + 41, 9) and np.allclose(rows.iloc[:, 8], written[0])
    assert rows.columns.tolist() == [*HEADER.split(","), "score"]
    assert rows["label"].unique().tolist() == ["SPEAKING_AUDIBLE"]
    original = pd.read_csv(made / "csv/val_orig.csv")
    assert rows.iloc[:, :6].equals(original.iloc[:, :6]) and rows["entity_id"].equals(original["entity_id"])
    assert written[1].tolist() == (original["label"] == "SPEAKING_AUDIBLE").astype(int).tolist()
    assert average_precision(*written) > 0.95, "perfect but for frames next to a change"
    opposite = {entity: -values for entity, values in scores.items()}
    assert average_precision(*write_predictions(made, "val", opposite, tmp_path / "res.csv")) < 0.4


def official_average_precision(annotation, predictions):
    """The steps of the official tool: join by moment and track, check boxes, sort by score, area under the envelope."""
    names = HEADER.split(",")
    truth = pd.concat([pd.read_csv(path, names=names, header=0) for path in annotation.glob("*.csv")])
    found = pd.read_csv(predictions, names=[*names, "score"])
    uid = [rows["frame_timestamp"].map(str) + ":" + rows["entity_id"] for rows in (truth, found)]
    both = truth.assign(uid=uid[0]).merge(found.assign(uid=uid[1]), on="uid", validate="1:1")
    assert len(both) == len(truth) == len(found)
    for name in names[2:6]:
        assert np.allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=0, atol=1e-9)
    hits = (both.sort_values("score", ascending=False)["label_x"] == "SPEAKING_AUDIBLE").to_numpy()
    precision = np.maximum.accumulate((hits.cumsum() / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return precision[hits].mean()


def test_the_official_tool_computes_the_same_from_the_file(source, made, tmp_path):
    rng = np.random.default_rng(0)
    pool = read_ava(made)["test"]
    scores = {track.entity: rng.standard_normal(track.frames) for track in pool.tracks}
    mine = average_precision(*write_predictions(made, "val", scores, tmp_path / "res.csv"))
    assert mine == pytest.approx(official_average_precision(source / "val", tmp_path / "res.csv"), abs=1e-12)


def test_scores_that_do_not_fit_are_refused(made, tmp_path):
    pool, out = read_ava(made)["test"], tmp_path / "res.csv"
    scores = {track.entity: np.zeros(track.frames) for track in pool.tracks}
    with pytest.raises(ValueError, match="1 tracks have no scores, the first filmat30"):
        write_predictions(made, "val", {k: v for k, v in scores.items() if not k.endswith("2:1") or "24" in k}, out)
    with pytest.raises(ValueError, match=r"needs \(30,\) finite scores, got \(36,\)"):
        write_predictions(made, "val", scores | {NAMES[2]: np.zeros(36)}, out)
    with pytest.raises(ValueError, match="finite"):
        write_predictions(made, "val", scores | {NAMES[2]: np.full(30, np.nan)}, out)
    with pytest.raises(ValueError, match="read_ava's 'test' is val"):
        write_predictions(made, "test", scores, out)
    assert not out.exists()


def test_a_network_scores_whole_tracks(made):
    pool = read_ava(made)["test"]
    scores = predict(TalkNet(TalkNetConfig.named("talknet", "lite")).eval(), pool)
    assert {name: values.shape for name, values in scores.items()} == {
        track.entity: (track.frames,) for track in pool.tracks
    }


ROW = "filmat25fps,1.0,0.1,0.1,0.5,0.5,NOT_SPEAKING,filmat25fps_0001_0002:1"
ROWS = {
    ROW.replace("NOT_SPEAKING", "SINGING"): "the label is one of NOT_SPEAKING",
    ROW.replace(",1.0,", ",noon,"): "must be numbers",
    ROW.replace(",1.0,", ",-1.0,"): "cannot be negative",
    ROW.replace("0.5,0.5", "64,48"): "shares of the picture",
    ROW.replace("0.5,0.5", "0.1,0.5"): "the box is empty",
    ROW.replace("_0001", "/0001"): "no name of a track",
    ROW.replace(",0.1,0.1", ",0.1,"): "must be numbers",
    ROW: "the same track at the same moment",
}


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("row", ROWS)
def test_a_bad_annotation_row_is_named(tmp_path, row, header):
    (tmp_path / "a.csv").write_text("\n".join([HEADER] * header + [ROW, row, ROW.replace(",1.0,", ",1.04,")]))
    with pytest.raises(ValueError, match=rf"a.csv:{2 + header}: .*{ROWS[row]}"):
        read_annotation(tmp_path)


FILES = {
    "video_id,frame_timestamp,label,entity_id\n": "the header lacks entity_box_x1",
    "a,b,c\n1,2,3\n": "expected the columns video_id,",
    "": "cannot be read as CSV",
    f"{ROW}\n{ROW},1,2\n": "cannot be read as CSV",
}


@pytest.mark.parametrize("text", FILES)
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"a.csv.*{FILES[text]}"):
        read_annotation(tmp_path)


def test_films_and_tracks_are_of_one_file(tmp_path):
    (tmp_path / "a.csv").write_text(ROW)
    (tmp_path / "b.csv").write_text(ROW)
    with pytest.raises(ValueError, match="b.csv: the film filmat25fps is in .*a.csv too"):
        read_annotation(tmp_path)
    (tmp_path / "b.csv").write_text(ROW.replace("filmat25fps,", "another,"))
    with pytest.raises(ValueError, match="belongs to the film"):
        read_annotation(tmp_path)
    with pytest.raises(FileNotFoundError, match="no CSV in"):
        read_annotation(tmp_path / "nowhere")
    assert list(read_annotation(tmp_path / "a.csv")) == ["filmat25fps"]


def snapshot(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_several_processes_make_the_same(source, made, tmp_path):
    prepare(source / "train", source / "films", tmp_path, split="train")
    seen = []
    tracks, left_out = prepare(
        source / "val",
        source / "films",
        tmp_path,
        split="val",
        workers=2,
        progress=lambda numbers: (seen.append(n) or n for n in numbers),
    )
    assert snapshot(tmp_path) == snapshot(made) and len(tracks) == 3 and not left_out and seen == [0, 1]


def count_cuts(monkeypatch):
    cuts, real = [], film_module.read_frames
    monkeypatch.setattr(
        film_module, "read_frames", lambda path, **options: cuts.append(path.stem) or real(path, **options)
    )
    return cuts


def test_what_is_done_is_not_done_again(source, made, tree, tmp_path, monkeypatch):
    cuts = count_cuts(monkeypatch)
    prepare(source / "val", source / "films", tree, split="val")
    assert not cuts and snapshot(tree) == snapshot(made)
    (tmp_path / "no films").mkdir()
    prepare(source / "val", tmp_path / "no films", tree, split="val")
    assert not cuts and snapshot(tree) == snapshot(made), "films may be deleted once they are cut"
    write_annotation(tmp_path / "less", [NAMES[2], NAMES[4]])
    prepare(tmp_path / "less", source / "films", tree, split="val")
    assert cuts == ["filmat30fps"], "another annotation is another cut"
    assert sorted(os.listdir(tree / "clips_videos/val/filmat30fps")) == [NAMES[2], "prepared.json"]
    assert len(read_ava(tree)["test"]) == 2


def prepare_arguments(source, split, root):
    return ["prepare", f"--csv={source / split}", f"--videos={source / 'films'}", f"--out={root}", f"--split={split}"]


def prepare_until_told(arguments, halfway):
    """In a process of its own: say when the film at 30 pictures a second is half done, and wait there for the end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background has it ignored
    read = film_module.read_frames

    def slow(path, **options):
        for number, frame in enumerate(read(path, **options)):
            if number == 20 and "30" in path.name:
                halfway.set()
                threading.Event().wait(60)
            yield frame

    film_module.read_frames = slow
    sys.exit(command.main(arguments))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_it_goes_on_after_a_kill_in_the_middle_of_a_film(source, made, tmp_path, monkeypatch, capfd, how):
    root = tmp_path / "root"
    arguments = prepare_arguments(source, "val", root)
    context = multiprocessing.get_context("fork")  # importing torch anew would take longer than the rest of this file
    halfway = context.Event()
    process = context.Process(target=prepare_until_told, args=(arguments, halfway))
    process.start()
    assert halfway.wait(30)
    os.kill(process.pid, how)
    process.join(30)
    said = capfd.readouterr().err
    assert not (root / "csv").exists(), "no loader CSV of a half-made tree"
    assert (root / "clips_videos/val/filmat24fps/prepared.json").exists()
    assert not (root / "clips_videos/val/filmat30fps").exists()
    if how == signal.SIGINT:
        assert process.exitcode == 130 and "the same command goes on" in said and "Traceback" not in said
        assert not list(root.rglob("*.partial"))
    cuts = count_cuts(monkeypatch)
    assert command.main(arguments) == 0 and cuts == ["filmat30fps"]
    expected = {name: data for name, data in snapshot(made).items() if "train" not in name}
    assert snapshot(root) == expected and not list(root.rglob("*.partial"))


def test_films_that_cannot_be_used_are_left_out_with_the_reason(source, tmp_path, capsys):
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(source / "films/filmat25fps.mp4", films)
    (films / "filmat24fps.mp4").write_bytes(b"not a film")
    write_annotation(tmp_path / "csv", NAMES)
    arguments = ["prepare", "--csv", tmp_path / "csv", "--videos", films, "--out", tmp_path / "root", "--split", "val"]
    assert command.main(list(map(str, arguments))) == 0
    said = capsys.readouterr().out
    assert "left out filmat24fps: filmat24fps.mp4 is not a video that can be read" in said
    assert "left out filmat30fps: there is no filmat30fps.mp4, .mkv or the like" in said
    assert "2 tracks, 2 left out" in said
    assert command.main(["check", str(tmp_path / "root")]) == 1
    assert "left out filmat30fps: there is no" in capsys.readouterr().out
    os.remove(films / "filmat24fps.mp4")
    shutil.copy(source / "films/filmat24fps.mp4", films)
    tracks, left_out = prepare(tmp_path / "csv", films, tmp_path / "root", split="val")
    assert len(tracks) == 3 and list(left_out) == ["filmat30fps"], "what could not be used is tried again"


def test_a_film_that_ends_early_gives_the_tracks_before_that(source, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    write_film(films / "filmat25fps.mp4", 25, seconds=1.6)
    tracks, left_out = prepare(source / "train", films, tmp_path / "root", split="train")
    assert [track.entity for track in tracks] == [NAMES[1]]
    assert list(left_out) == [NAMES[0]]
    assert "filmat25fps.mp4 ends before the track does, at 2.32 s" in left_out[NAMES[0]]
    assert [name for name in os.listdir(tmp_path / "root/clips_videos/train/filmat25fps") if "json" not in name] == [
        NAMES[1]
    ]
    shutil.copy(source / "films/filmat25fps.mp4", films)
    assert len(prepare(source / "train", films, tmp_path / "root", split="train")[0]) == 2, "a longer copy is read"


def test_a_film_without_sound_and_no_film_at_all(source, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    with pytest.raises(ValueError, match="no film gave a track.*there is no filmat25fps.mp4"):
        prepare(source / "train", films, tmp_path / "root", split="train")
    copy = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(source / "films/filmat25fps.mp4")]
    subprocess.run([*copy, "-an", "-c", "copy", str(films / "filmat25fps.mp4")], check=True, timeout=60)
    with pytest.raises(ValueError, match="no film gave a track.*has no sound"):
        prepare(source / "train", films, tmp_path / "root", split="train")
    with pytest.raises(FileNotFoundError, match="no folder"):
        prepare(source / "train", tmp_path / "nowhere", tmp_path / "root", split="train")
    with pytest.raises(ValueError, match="AVA's labelled splits"):
        prepare(source / "train", films, tmp_path / "root", split="test")
    assert not (tmp_path / "root/csv").exists() and not list((tmp_path / "root").rglob("*.partial"))


def test_a_full_disk_says_so_and_leaves_nothing_half_made(source, tmp_path, monkeypatch, capsys):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SystemExit):
        command.main(prepare_arguments(source, "train", tmp_path))
    assert "the disk is full: free some space" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or path.suffix == ".partial"]


def test_another_programs_tree_is_not_touched(source, tree):
    (tree / "clips_videos/train/filmat25fps/prepared.json").unlink()
    before = snapshot(tree)
    with pytest.raises(FileExistsError, match="made by another program"):
        prepare(source / "train", source / "films", tree, split="train")
    assert snapshot(tree) == before


def test_a_track_annotated_with_a_gap_stays_in_sync(source, tmp_path):
    rows = read_annotation(source / "train")["filmat25fps"]
    rows = rows[(rows["entity_id"] == NAMES[0]) & ~rows["frame_timestamp"].between(1.3, 1.7)]
    (tmp_path / "csv").mkdir()
    rows.to_csv(tmp_path / "csv/a.csv", index=False)
    (track,), _ = prepare(tmp_path / "csv", source / "films", tmp_path / "root", split="val")
    clip = read_ava(tmp_path / "root")["test"][0]
    # The clip spans the gap, and every picture is the annotated one nearest to its sound.
    heard = (np.rint(clip.audio[::SAMPLES_PER_FRAME] * 32768) + 32768) / 16_000
    shown = np.array([code(face, LEFT)[0] for face in clip.video]) / 25
    inside = (heard < 1.29) | ((heard > 1.73) & (heard < 2.32))
    assert np.abs(shown - heard)[inside].max() <= 0.021 and heard[inside].max() > 2.2
    assert track.rate == pytest.approx((len(rows) - 1) / (2.32 - 1.04), abs=0.01)


def test_check_counts_and_the_command_shows(made, tree, capsys):
    report = check(made)["val"]
    assert (report.films, report.tracks, report.pictures, report.frames, report.problems) == (2, 3, 78, 74, ())
    assert report.speaking == pytest.approx(26 / 78, abs=0.02) and report.hours == pytest.approx(74 / 25 / 3600)
    assert command.main(["check", str(made)]) == 0
    assert "val: 2 films, 3 tracks, 78 pictures, 0.00 h" in capsys.readouterr().out
    text = (tree / "csv/val_loader.csv").read_text()
    (tree / "csv/val_loader.csv").write_text(text.replace("[0, 0", "[1, 0", 1))
    os.remove(tree / "csv/train_orig.csv")
    assert command.main(["check", str(tree)]) == 1
    said = capsys.readouterr().out
    assert "filmat24fps_0001_0002:1: labels differ from those in" in said and "train_orig.csv" in said


def test_the_score_command_prints_the_figure(made, tree, tmp_path, capsys, monkeypatch):
    network = TalkNet(TalkNetConfig.named("talknet", "lite")).eval()
    monkeypatch.setattr(command, "load_model", lambda *_: network)
    arguments = [str(made), "lite", "--device", "cpu", "--out", str(tmp_path / "res.csv")]
    assert command.main(["score", *arguments]) == 0
    said = capsys.readouterr().out
    assert "78 rows, 33.33 % speaking" in said and "AVA mAP" in said and (tmp_path / "res.csv").exists()
    shutil.rmtree(tree / "clips_audios/val/filmat24fps")
    with pytest.raises(SystemExit):
        command.main(["score", str(tree), "lite"])
    assert "of all tracks, but 1 lack media" in capsys.readouterr().err


def test_batches_are_drawn_from_it(made):
    corpus = read_sources(f"ava:{made}", TalkSetOptions())["train"]
    batch = make_batch(corpus, Kinds(), Batching(frames=60, longest=10.0), seed=0, step=0)
    assert set(batch.kinds) == {"ava"} and batch.video.shape[:2] == batch.labels.shape
    assert batch.audio.shape[1] == batch.labels.shape[1] * SAMPLES_PER_FRAME
