"""Preparing AVA: the official annotation and films made into a tree, stopped and gone on with at any moment."""

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from ava_support import HEADER, LEFT, NAMES, code, snapshot, write_annotation, write_film

from pushpull.clip import SAMPLES_PER_FRAME
from pushpull.data.ava import __main__ as command
from pushpull.data.ava import film as film_module
from pushpull.data.ava import read_ava
from pushpull.data.ava.official import read_annotation
from pushpull.data.ava.prepare import prepare

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
