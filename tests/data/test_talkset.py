"""Footage -> clips: one face or nothing, cut once, whatever happens in between, and split the same way everywhere."""

import itertools
import json
import os
import shutil
import subprocess
from dataclasses import replace

import imageio_ffmpeg
import numpy as np
import pytest
from training_support import GRID

from pushpull.data import cropcache, cutting, talkset
from pushpull.data.cached import CachedPool
from pushpull.data.cropcache import CropCache
from pushpull.data.cutting import cut_video, lone_faces
from pushpull.data.sources import Corpus, Part
from pushpull.data.talkset import TalkSetOptions, find_videos, prepare

needs_grid = pytest.mark.skipif(not GRID.is_dir(), reason="needs the GRID footage in ../shared/data/grid_s1")
RECIPE = {"stride": 5, "shortest": 1.0, "longest": 20.0}
ALL_TRAIN = TalkSetOptions(validation=0.0, test=0.0)
FACE = (20.0, 20.0, 60.0, 60.0)


def write_video(path, *, seconds=1.6, pitch=300, sound=True):
    """A grey video whose sound, and so whose content, depends on ``pitch``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = ["-f", "lavfi", "-i", f"color=gray:s=96x96:r=25:d={seconds}"]
    inputs += ["-f", "lavfi", "-i", f"sine={pitch}:r=16000:d={seconds}", "-c:a", "flac"] if sound else []
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *inputs, "-c:v", "libx264", "-y", str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Four videos of two speakers, one of them without sound, one twice, and something that is no video."""
    folder = tmp_path_factory.mktemp("footage")
    write_video(folder / "anna/one.mkv", pitch=300)
    write_video(folder / "anna/two.mkv", pitch=400)
    write_video(folder / "bert/one.MP4", pitch=500)
    write_video(folder / "bert/mute.mkv", sound=False)
    shutil.copy(folder / "anna/two.mkv", folder / "bert/copy.mkv")
    (folder / "bert/notes.txt").write_text("not a video")
    (folder / "bert/broken.mp4").write_text("not a video either")
    (folder / "anna/one.align").write_text("0 10000 sil\n10000 30000 word\n30000 40000 sil\n")
    return folder


def detector(*faces):
    """A stand-in that sees ``faces``, x1 y1 x2 y2 each, in every picture."""
    found = np.array([(*face, 0.99) for face in faces], dtype=np.float32).reshape(-1, 5)
    return lambda rgb, **_: found


@pytest.fixture
def one_face(monkeypatch):
    monkeypatch.setattr(cutting, "detect_faces", detector(FACE))


def looks(monkeypatch, faces_of, frames, stride=1):
    """Tracks found where frame t shows ``faces_of(t)``: boxes, or (box, score) pairs."""
    numbers = itertools.count(0, stride)

    def detect(rgb):
        faces = [face if len(face) == 5 else (*face, 0.99) for face in faces_of(next(numbers))]
        return np.array(faces, dtype=np.float32).reshape(-1, 5)

    monkeypatch.setattr(cutting, "detect_faces", detect)
    return lone_faces((np.zeros((96, 96, 3), np.uint8) for _ in range(frames)), stride)


def moved(t, x=0.0, size=40.0):
    return (20 + x + t, 20, 20 + x + t + size, 20 + size)


SECOND = (60.0, 60.0, 90.0, 90.0)
SCENES = {
    "one face": (lambda t: [moved(t)], [(0, 30)]),
    "nobody": (lambda t: [], []),
    "two faces in the middle": (lambda t: [moved(t), SECOND] if 10 <= t < 20 else [moved(t)], [(0, 10), (20, 30)]),
    "an unsure second face": (lambda t: [moved(t), (*SECOND, 0.5)], [(0, 30)]),
    "an unsure face": (lambda t: [(*FACE, 0.5)], []),
    "a gap": (lambda t: [] if t == 12 else [moved(t)], [(0, 12), (13, 30)]),
    "a cut to another place": (lambda t: [moved(t, 0 if t < 15 else 30)], [(0, 15), (15, 30)]),
    "a cut to another size": (lambda t: [moved(0, 0, 40 if t < 15 else 70)], [(0, 15), (15, 30)]),
}


@pytest.mark.parametrize("scene", SCENES)
def test_only_stretches_with_one_face_are_used(monkeypatch, scene):
    faces_of, expected = SCENES[scene]
    tracks = looks(monkeypatch, faces_of, 30)
    assert [(track.start, track.stop) for track in tracks] == expected


def test_between_looks_the_box_moves_straight(monkeypatch):
    (track,) = looks(monkeypatch, lambda t: [moved(t)], 33, stride=5)
    assert (track.start, track.stop) == (0, 33)
    inside = np.arange(5, 26)  # the median over three looks holds the first and the last back
    assert np.allclose(track.boxes[inside, 0], 20 + inside) and np.allclose(track.boxes[inside, 2], 60 + inside)
    assert np.allclose(track.boxes[31:], track.boxes[30]), "after the last look it stays"


def test_a_single_bad_look_does_not_move_the_box(monkeypatch):
    (track,) = looks(monkeypatch, lambda t: [moved(0, 8 if t == 15 else 0)], 30, stride=5)
    assert np.allclose(track.boxes[:, 0], 20)


def test_long_stretches_are_cut_and_short_ones_left_out(tmp_path, one_face):
    video = write_video(tmp_path / "long.mkv", seconds=2.2)
    parts = list(cut_video(video, stride=5, shortest=0.4, longest=1.0))
    assert [(start, crops.shape, audio.shape) for start, crops, audio in parts] == [
        (0, (25, 112, 112), (16000,)),
        (25, (25, 112, 112), (16000,)),
    ]
    assert not list(cut_video(video, stride=5, shortest=3.0, longest=9.0))


@needs_grid
def test_a_video_too_big_to_keep_is_read_twice_with_the_same_result(monkeypatch):
    reads = []
    read = cutting.read_frames
    monkeypatch.setattr(cutting, "read_frames", lambda path: reads.append(path) or read(path))
    clip = next(GRID.glob("*.mkv"))
    once = list(cut_video(clip, **RECIPE))
    assert len(reads) == 1
    monkeypatch.setattr(cutting, "MOST_BYTES", 1 << 20)
    again = list(cut_video(clip, **RECIPE))
    assert len(reads) == 3
    for (start, video, audio), (start2, video2, audio2) in zip(once, again, strict=True):
        assert start == start2 and np.array_equal(video, video2) and np.array_equal(audio, audio2)


def test_prepare_says_what_it_made_and_what_it_left_out(footage, tmp_path, one_face):
    splits, left_out = prepare(footage, ALL_TRAIN, cache=tmp_path)
    assert {split: len(clips) for split, clips in splits.items()} == {"train": 3, "validation": 0, "test": 0}
    why = {path.name: reason for path, reason in left_out.items()}
    assert set(why) == {"mute.mkv", "copy.mkv", "broken.mp4"}
    assert "has no sound" in why["mute.mkv"] and "the same file as" in why["copy.mkv"]
    assert "not a video" in why["broken.mp4"]

    one, two = splits["train"][0], splits["train"][1]
    assert [clip.name for clip in splits["train"]] == ["anna/one", "anna/two", "bert/one"], "speakers say the same"
    assert one.frames == two.frames == 40 == splits["train"].pieces[0].frames
    assert one.labels.tolist() == [0] * 10 + [1] * 20 + [0] * 10, "from its alignment"
    assert two.labels.sum() == 0, "a steady tone is no voice"
    assert one.video.dtype == np.uint8 and one.audio.std() > 0
    assert [piece.speaker for piece in splits["train"].pieces] == ["anna", "anna", "bert"]


def test_pieces_know_their_file_whatever_files_are_called(tmp_path, one_face):
    """A name that ends in a number says nothing of pieces."""
    for number, name in enumerate(("flat-0", "s1/same", "s2/same")):
        write_video(tmp_path / "films" / f"{name}.mkv", seconds=1.2 + 1.2 * number)
    options = replace(ALL_TRAIN, shortest=0.4, longest=1.3)
    splits, _ = prepare(tmp_path / "films", options, cache=tmp_path / "cache")
    corpus = Corpus([Part("films", CachedPool(splits["train"]))])
    found = {corpus[number].name: corpus.base(number) for number in range(len(corpus))}
    assert len(found) == len(corpus) > 4 and found["flat-0"] == "flat-0"
    assert set(found.values()) == {"flat-0", "s1/same", "s2/same"}
    assert {name for name, base in found.items() if base == "s1/same"} >= {"s1/same-0", "s1/same-32"}


@pytest.mark.parametrize(
    ("files", "names"),
    [
        # one.mkv is long enough for two pieces, the others for one
        (["two.mkv", "three.mp4"], ["three", "two"]),
        (["two.mkv", "two.mp4"], ["two.mkv", "two.mp4"]),
        (["a/two.mkv", "b/two.mp4", "b/two.mkv"], ["a/two", "b/two.mkv", "b/two.mp4"]),
        (["one.mkv", "one-32.mp4", "two.mkv"], ["one-32.mp4", "one.mkv-0", "one.mkv-32", "two"]),
        (["two.mkv", "two.align"], ["two"]),
    ],
)
def test_no_two_clips_have_one_name(tmp_path, one_face, files, names):
    for number, file in enumerate(files):
        if file.endswith(".align"):
            (tmp_path / "films" / file).write_text("0 10000 word\n")
        else:
            write_video(tmp_path / "films" / file, seconds=2.5 if "one.mkv" in file else 1.2, pitch=300 + number)
    options = replace(ALL_TRAIN, shortest=1.0, longest=1.3)
    pieces = prepare(tmp_path / "films", options, cache=tmp_path / "cache")[0]["train"].pieces
    assert sorted(piece.name for piece in pieces) == names
    assert len({piece.base for piece in pieces}) == len({piece.source for piece in pieces})


def test_a_bad_alignment_is_found_before_training(tmp_path, one_face):
    write_video(tmp_path / "a/one.mkv")
    (tmp_path / "a/one.align").write_text("from here to there\n")
    splits, left_out = prepare(tmp_path / "a", ALL_TRAIN, cache=tmp_path / "cache")
    assert not len(splits["train"]) and "one.align:1: expected" in next(iter(left_out.values()))


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def count_cuts(monkeypatch, stop_at=None):
    """Names of the videos cut from now on; the one named ``stop_at`` is interrupted halfway."""
    cut, real = [], cutting.cut_video

    def counted(path, **recipe):
        cut.append(path.name)
        for part in real(path, **recipe):
            yield part
            if path.name == stop_at:
                raise KeyboardInterrupt

    monkeypatch.setattr(cropcache, "cut_video", counted)
    return cut


def test_what_is_cut_is_not_cut_again(footage, tmp_path, monkeypatch, one_face):
    prepare(footage, ALL_TRAIN, cache=tmp_path)
    before, cut = snapshot(tmp_path), count_cuts(monkeypatch)
    splits, left_out = prepare(footage, ALL_TRAIN, cache=tmp_path)
    assert set(cut) == {"mute.mkv", "broken.mp4"}, "what failed may work the next time"
    assert len(splits["train"]) == 3 and len(left_out) == 3 and snapshot(tmp_path) == before
    prepare(footage, TalkSetOptions(validation=0.0, test=0.0, stride=4), cache=tmp_path)
    assert len(cut) == 2 + 5, "another recipe is another cut"


def test_it_goes_on_where_it_was_interrupted(footage, tmp_path, monkeypatch, one_face):
    whole, cut_short = tmp_path / "whole", tmp_path / "short"
    prepare(footage, ALL_TRAIN, cache=whole)
    with pytest.MonkeyPatch.context() as patch:
        count_cuts(patch, stop_at="two.mkv")
        with pytest.raises(KeyboardInterrupt):
            prepare(footage, ALL_TRAIN, cache=cut_short)
    assert not list(cut_short.glob("*.partial"))
    cut = count_cuts(monkeypatch)
    prepare(footage, ALL_TRAIN, cache=cut_short)
    assert "one.mkv" not in cut and "two.mkv" in cut and snapshot(cut_short) == snapshot(whole)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [truncate, os.remove, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("what", ["*.npz", "*.json"])
def test_a_damaged_cache_file_is_made_anew(footage, tmp_path, one_face, what, damage):
    prepare(footage, ALL_TRAIN, cache=tmp_path)
    before = snapshot(tmp_path)
    damage(sorted(tmp_path.glob(what))[0])
    splits, _ = prepare(footage, ALL_TRAIN, cache=tmp_path)
    assert snapshot(tmp_path) == before and all(clip.frames == 40 for clip in splits["train"])


def test_what_a_kill_left_half_written_is_swept_up(footage, tmp_path, one_face):
    old, new = tmp_path / "x.npz.1.partial", tmp_path / "y.npz.2.partial"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    prepare(footage, ALL_TRAIN, cache=tmp_path)
    assert not old.exists() and new.exists(), "another process may be writing the new one"


def test_the_cache_keeps_its_layout(footage, tmp_path, one_face):
    """Keys are part of what VERSION promises: another key would cut everybody's footage again."""
    (_, listed), *_ = CropCache(tmp_path, **RECIPE).fill([(footage / "anna/one.mkv", "0" * 64)], workers=1)
    key = "802e90983504ddde8d9a761a53a68dc7"
    assert listed == {"clips": [{"file": f"{key}-0.npz", "start": 0, "frames": 40}], "why": None}
    assert json.loads((tmp_path / f"{key}.json").read_text()) == listed
    with np.load(tmp_path / f"{key}-0.npz") as stored:
        assert stored["video"].shape == (40, 112, 112) and stored["audio"].shape == (40 * 640,)


def test_a_face_is_cut_as_its_box_or_from_nose_to_chin(tmp_path, monkeypatch, one_face):
    ramp = np.tile(np.arange(96, dtype=np.uint8)[:, None, None], (1, 96, 3))  # a row's level is its number
    monkeypatch.setattr(cutting, "read_frames", lambda path: iter([ramp] * 30))
    monkeypatch.setattr(cutting, "read_audio", lambda path: np.zeros(30 * 640, np.float32))
    rows = {}
    for crop in ("talknet_demo", "face_box"):
        ((_, video, _),) = cut_video(tmp_path / "any.mkv", **RECIPE | {"crop": crop})
        rows[crop] = video[0, (0, -1), 56].astype(int)
    # The box is 20 to 60; nose to chin is a square of side 28 around 48.
    assert np.abs(rows["face_box"] - (20, 60)).max() <= 1 and np.abs(rows["talknet_demo"] - (34, 62)).max() <= 1


def test_crops_of_one_video_lie_beside_each_other(footage, tmp_path, one_face):
    found = {}
    for crop in ("talknet_demo", "face_box"):
        options = TalkSetOptions(validation=0.0, test=0.0, crop=crop)
        found[crop] = prepare(footage, options, cache=tmp_path)[0]["train"]
    first, second = found.values()
    assert len(first) == len(second) and first.fingerprint != second.fingerprint
    assert not {piece.crops for piece in first.pieces} & {piece.crops for piece in second.pieces}


@needs_grid
def test_several_processes_cut_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(cropcache, "FEW", 1)
    folder = tmp_path / "grid"
    folder.mkdir()
    for clip in sorted(GRID.glob("*.mkv"))[:2]:
        (folder / clip.name).symlink_to(clip)
    seen = []

    def progress(numbers):
        for number in numbers:
            seen.append(number)
            yield number

    alone, left = prepare(folder, cache=tmp_path / "one", workers=1)
    together, left2 = prepare(folder, cache=tmp_path / "two", workers=2, progress=progress)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two") and left == left2 == {}
    assert {k: v.fingerprint for k, v in alone.items()} == {k: v.fingerprint for k, v in together.items()}
    assert [p.name for p in alone["train"].pieces] == [p.name for p in together["train"].pieces]
    assert seen == [0, 1]


def split_names(names, options):
    return {name: talkset.split_of(name, options) for name in names}


def test_splits_are_disjoint_deterministic_and_of_the_size_asked_for(footage, tmp_path, one_face):
    options = TalkSetOptions(validation=0.3, test=0.3)
    splits, _ = prepare(footage, options, cache=tmp_path)
    crops = [{piece.crops for piece in clips.pieces} for clips in splits.values()]
    assert len(set.union(*crops)) == sum(len(found) for found in crops) == 3
    moved_folder = tmp_path / "elsewhere"
    shutil.copytree(footage, moved_folder)
    again, _ = prepare(moved_folder, options, cache=tmp_path / "cache")
    assert {k: v.fingerprint for k, v in splits.items()} == {k: v.fingerprint for k, v in again.items()}

    shares = split_names(map(str, range(4000)), TalkSetOptions(validation=0.1, test=0.2)).values()
    counts = {split: sum(found == split for found in shares) / 4000 for split in talkset.SPLITS}
    assert counts == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.02)


@pytest.mark.parametrize("test_share", [0.2, 0.5, 0.8])
def test_a_speaker_is_in_one_split_only(footage, tmp_path, one_face, test_share):
    options = TalkSetOptions(split_by="speaker", validation=0.1, test=test_share)
    splits, _ = prepare(footage, options, cache=tmp_path)
    speakers = [{piece.speaker for piece in clips.pieces} for clips in splits.values()]
    assert sum(len(found) for found in speakers) == 2


def test_more_held_out_never_moves_a_file_from_test_to_train():
    names = [str(number) for number in range(200)]
    less, more = (split_names(names, TalkSetOptions(test=share)) for share in (0.1, 0.2))
    assert all(more[name] == "test" for name in names if less[name] == "test")


def test_fingerprint_tells_sets_apart(footage, tmp_path, one_face):
    splits, _ = prepare(footage, ALL_TRAIN, cache=tmp_path)
    clips = splits["train"]
    assert clips.first(2).fingerprint != clips.fingerprint and len(clips.first(2)) == 2
    assert clips.frames == sum(clip.frames for clip in clips)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"stride": 0}, "at least 1"),
        ({"split_by": "face"}, "'file' or 'speaker'"),
        ({"shortest": 3.0, "longest": 2.0}, "shortest <= longest"),
        ({"validation": 0.5, "test": 0.6}, "shares of one whole"),
        ({"test": -0.1}, "shares of one whole"),
        ({"crop": "chin"}, "'talknet_demo' or 'face_box'"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TalkSetOptions(**options)


def test_a_missing_or_empty_folder_is_said(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="no folder"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no video in"):
        find_videos(tmp_path)
    with pytest.raises(SystemExit):
        talkset.main(["prepare", str(tmp_path), "--cache", str(tmp_path / "cache")])
    assert "no video in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "folder"),
    [("/elsewhere", "/elsewhere/talkset"), ("off", "/cache/pushpull/talkset"), ("", "/cache/pushpull/talkset")],
)
def test_crops_lie_in_the_cache_also_where_faces_are_not_remembered(monkeypatch, told, folder):
    monkeypatch.setenv("PUSHPULL_CACHE", told)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert talkset.default_cache().as_posix() == folder


def test_the_command_says_what_was_found(footage, tmp_path, one_face, capsys):
    arguments = ["prepare", str(footage), "--cache", str(tmp_path), "--validation", "0", "--test", "0"]
    assert talkset.main([*arguments, "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert "left out bert/mute.mkv: mute.mkv has no sound" in shown and "train: 3 clips, 0.1 min, 2 folder(s)" in shown
