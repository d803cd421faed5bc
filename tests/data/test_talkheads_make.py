"""The make command: the same files twice, killed and resumed, read back; a detector sees the faces."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pushpull.data.talkheads import voice as voices
from pushpull.data.talkheads.__main__ import main as heads_main
from pushpull.data.talkheads.crops import cut_faces
from pushpull.data.talkheads.make import MakeOptions, make
from pushpull.data.talkheads.pool import read_pool
from pushpull.data.talkheads.render import Renderer, RenderError
from pushpull.data.talkheads.script import ScriptOptions
from pushpull.data.talkheads.sheet import main as sheet_main


def _lacking():
    lacking = voices.missing()
    try:
        Renderer(64, 64).release()
    except RenderError as error:
        lacking.append(str(error))
    return lacking


LACKING = _lacking()
films = pytest.mark.skipif(bool(LACKING), reason="; ".join(LACKING))
SMALL = MakeOptions(clips=3, size=112, script=ScriptOptions(seconds=0.6))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    make(SMALL, out, workers=0)
    return out


@films
def test_the_same_seed_gives_the_same_files(made, tmp_path):
    make(SMALL, tmp_path, workers=1)
    names = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    for name in names:
        assert (made / name).read_bytes() == (tmp_path / name).read_bytes(), name


@films
def test_what_was_made_is_read_back(made):
    pools = read_pool(made)
    manifest = json.loads((made / "manifest.json").read_text())
    rows = list(csv.DictReader((made / "manifest.csv").open()))
    assert sum(len(pool) for pool in pools.values()) == len(rows) == len(manifest["clips"]) == 3
    clips = {clip.name.split("-")[0]: clip for pool in pools.values() for clip in pool}
    for row in rows:
        clip = clips[Path(row["file"]).stem]
        assert clip.frames == 15 and "".join(map(str, clip.labels)) == row["labels"]
        assert clip.video.std() > 5
    train = pools["train"]
    assert len(train.of_type(*train.types)) == len(train) and train.fingerprint == read_pool(made)["train"].fingerprint
    assert train.first(1).frames == 15


@films
def test_a_folder_may_hold_both_crops_of_the_same_faces(made, tmp_path):
    make(replace(SMALL, clips=1, crop="talknet_demo,face_box"), tmp_path, workers=0)
    chin, box, alone = (
        next(clip for pool in read_pool(folder, crop).values() for clip in pool if clip.name.startswith("000000"))
        for folder, crop in ((tmp_path, "talknet_demo"), (tmp_path, "face_box"), (made, "face_box"))
    )
    np.testing.assert_array_equal(chin.video, alone.video)  # which was cut from nose to chin alone, and has no other
    np.testing.assert_array_equal(chin.audio, box.audio)
    np.testing.assert_array_equal(chin.labels, box.labels)
    assert chin.name == box.name and (chin.video != box.video).mean() > 0.5


@films
def test_other_options_are_refused_and_more_clips_are_not(made):
    with pytest.raises(ValueError, match="made with another size"):
        make(replace(SMALL, size=128), made, workers=0)
    before = (made / "clips" / "000000.npz").stat().st_mtime_ns
    make(SMALL, made, workers=0)
    assert (made / "clips" / "000000.npz").stat().st_mtime_ns == before


@films
def test_a_folder_of_an_older_version_is_gone_on_with(made, tmp_path):
    """Its script's mix was called its kinds, there was one crop, and nobody's voice was recorded."""
    folder = shutil.copytree(made, tmp_path / "older")
    contents = json.loads((folder / "set.json").read_text())
    script = {"kinds" if name == "mix" else name: value for name, value in contents["script"].items()}
    script = {name: value for name, value in script.items() if not name.startswith("recorded")}
    older = {name: value for name, value in contents.items() if name != "crop"} | {"script": script}
    assert older != contents
    (folder / "set.json").write_text(json.dumps(older))
    make(SMALL, folder, workers=0)
    with pytest.raises(ValueError, match="made with another crop"):
        make(replace(SMALL, crop="face_box"), folder, workers=0)


@films
def test_killed_it_goes_on(made, tmp_path):
    command = [sys.executable, "-m", "pushpull.data.talkheads", "make", "--out", str(tmp_path), "--clips", "3"]
    command += ["--size", "112", "--seconds", "0.6", "--workers", "1", "--quiet"]
    run = subprocess.Popen(command, cwd=Path(__file__).parents[2], start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("clips/*.json")) and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    for whole in tmp_path.glob("clips/*.json"):
        assert whole.read_bytes() == (made / "clips" / whole.name).read_bytes()
    make(SMALL, tmp_path, workers=0)
    assert (tmp_path / "manifest.json").read_bytes() == (made / "manifest.json").read_bytes()
    assert not list(tmp_path.rglob("*.partial"))


@films
def test_a_detector_finds_the_faces(made):
    manifest = json.loads((made / "manifest.json").read_text())
    assert np.mean([face["found"] for record in manifest["clips"] for face in record["faces"]]) >= 0.95


def test_a_face_that_the_detector_misses_is_cut_where_it_must_be():
    frames = [np.full((60, 80, 3), 90, np.uint8)] * 7
    expected = np.tile(np.array([20, 10, 50, 50], np.float32), (1, 7, 1))
    cut = cut_faces(frames, expected)[0]
    assert cut.found == 0 and np.allclose(cut.boxes, expected[0])
    assert cut.videos["talknet_demo"].shape == (7, 112, 112)


def test_splits_have_their_shares_in_any_run():
    options = MakeOptions(validation=0.2, test=0.1)
    for start in (0, 500):
        splits = [options.split(number) for number in range(start, start + 200)]
        assert abs(splits.count("test") - 20) <= 2 and abs(splits.count("validation") - 40) <= 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"clips": 0},
        {"size": 10},
        {"test": 0.7, "validation": 0.7},
        {"crop": "chin"},
        {"crop": "face_box,face_box"},
        {"size": 2160, "script": ScriptOptions(seconds=600)},
    ],
)
def test_impossible_options_raise(wrong):
    with pytest.raises(ValueError):
        MakeOptions(**wrong)


def test_a_folder_without_manifest_says_how_one_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m pushpull.data.talkheads make"):
        read_pool(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="damaged"):
        read_pool(tmp_path)


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (heads_main, ["make", "--clips", "1", "--out", "FILE/heads"], "error: "),
        (sheet_main, ["--out", "FILE/sheet.png", "--count", "0"], "at least 1"),
        (sheet_main, ["--out", "FILE/sheet.png", "--columns", "0"], "at least 1"),
        (sheet_main, ["--out", "FILE/sheet.png", "--first", "-1"], "at least 0"),
    ],
)
def test_commands_end_in_a_sentence(tmp_path, capsys, main, arguments, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        main([argument.replace("FILE", str(tmp_path / "file")) for argument in arguments])
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_help_says_what_every_option_is(capsys):
    with pytest.raises(SystemExit):
        heads_main(["make", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "--lead FLOAT lips move before",
        "--recorded STR folder of",
        "--share-still FLOAT lips rest",
        "[0.46]",
    ):
        assert words in said
