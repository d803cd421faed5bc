"""Reading a tree in the layout of TalkNet: faces, labels and sound of the annotated moments; damage is named."""

import argparse
import os
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from ava_support import HEADER, NAMES, TRACKS, clips_of, code, labels_of, seconds_of
from scipy.io import wavfile

from pushpull.clip import FPS, SAMPLES_PER_FRAME
from pushpull.config import parse_options
from pushpull.data.ava import AvaOptions, read_ava
from pushpull.data.ava import __main__ as command
from pushpull.data.ava.check import check
from pushpull.data.ava.layout import (
    Layout,
    Track,
    read_loader,
    write_loader,
)
from pushpull.data.batches import Batching, make_batch
from pushpull.data.mix import ExampleMix
from pushpull.data.sources import read_sources
from pushpull.data.talkset import TalkSetOptions
from pushpull.training.figures import read_clips
from pushpull.training.options import TrainOptions


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
    assert test.types == ("ava",) * 3 and test.lengths.tolist() == [clip.frames for clip in test] == [43, 30, 1]
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


def test_a_run_says_how_the_films_are_split(made):
    arguments = ["--data", f"ava:{made}", "--ava.validation", "0.0", "--ava.shortest", "1.0"]
    options, _ = parse_options(TrainOptions, arguments, argparse.ArgumentParser())
    assert [sum(map(len, corpus.finished)) for corpus in read_clips(options, False, 1).values()] == [1, 0, 3]


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


def test_batches_are_drawn_from_it(made):
    corpus = read_sources(f"ava:{made}", TalkSetOptions())["train"]
    batch = make_batch(corpus, ExampleMix(), Batching(frames=60, longest=10.0), seed=0, step=0)
    assert set(batch.types) == {"ava"} and batch.video.shape[:2] == batch.labels.shape
    assert batch.audio.shape[1] == batch.labels.shape[1] * SAMPLES_PER_FRAME
