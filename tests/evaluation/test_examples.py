"""Which clips are attacked, and that the choice can be repeated."""

import numpy as np
import pytest

from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.evaluation.examples import Example, SetOptions, from_clips, make_examples, set_hash


class Pool(list):
    def by_source(self):
        half = len(self) // 2
        return {"one": self[:half], "two": self[half:]}


def pool(count=12, frames=40):
    clips = []
    for number in range(count):
        rng = np.random.default_rng(number)
        labels = np.zeros(frames, np.int64)
        labels[10:30] = 1
        audio = rng.normal(0, 0.1, frames * SAMPLES_PER_FRAME).clip(-1, 1).astype(np.float32)
        audio *= np.repeat(labels, SAMPLES_PER_FRAME)
        video = rng.integers(0, 255, (frames, 112, 112), dtype=np.uint8)
        clips.append(Clip(audio=audio, video=video, labels=labels, name=f"clip{number}"))
    return Pool(clips)


def test_half_speak_sources_take_turns_and_no_base_clip_gives_two_of_one_kind():
    examples = make_examples(pool(), SetOptions(examples=10, frames=20))
    speaking = [e for e in examples if e.kind == "in_sync"]
    assert len(speaking) == 5 and len(examples) == 10
    assert all(e.clip.labels.mean() > 0.5 for e in speaking)
    assert not any(e.clip.labels.any() for e in examples if e.kind != "in_sync")
    assert {e.source for e in speaking} == {"one", "two"}
    assert len({e.base for e in speaking}) == 5
    assert len({e.kind for e in examples}) >= 3


@pytest.mark.parametrize(
    ("clips", "finished", "message"),
    [(0, ("ava",), "AVA's tracks are finished examples"), (0, (), "no clip in sync"), (4, ("own",), "no clip in sync")],
)
def test_footage_that_gives_no_example_is_refused_with_the_reason(clips, finished, message):
    short = pool(clips, frames=30)
    short.finished = finished
    with pytest.raises(ValueError, match=message):
        make_examples(short, SetOptions(examples=4, frames=35))


def test_pieces_of_one_file_are_examples_of_their_own_and_one_base_clip():
    class Pieces(list):
        def base(self, index):
            return f"file{index // 4}"

    clips = pool(8)
    clips.by_source = lambda: {"films": Pieces(clips)}
    examples = make_examples(clips, SetOptions(examples=8, frames=20))
    assert len({e.name for e in examples}) == 8 and {e.base for e in examples} == {"file0", "file1"}
    assert all(e.name == f"films/{e.piece}/{e.kind}" for e in examples)


def test_the_same_seed_gives_the_same_set_and_another_another():
    first, again, other = (
        set_hash(make_examples(pool(), SetOptions(examples=8, frames=20, seed=s))) for s in (0, 0, 1)
    )
    assert first == again != other


def test_a_shorter_list_is_part_of_a_longer_one():
    few, many = (make_examples(pool(), SetOptions(examples=n, frames=20)) for n in (4, 8))
    assert {e.digest for e in few} <= {e.digest for e in many}


def test_one_clip_moved_by_one_grey_level_is_another_set():
    clips = pool(2)
    before = set_hash(from_clips(clips))
    clips[0].video[0, 0, 0] ^= 1
    assert set_hash(from_clips(clips)) != before


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: make_examples(pool(), SetOptions(frames=100)), "has 100 frames"),
        (lambda: make_examples(pool(2), SetOptions(frames=20)), "another beside it"),
        (lambda: from_clips([]), "no clips"),
        (
            lambda: Example(pool(1)[0].__class__(audio=pool(1)[0].audio, video=pool(1)[0].video), "film", "x", "y"),
            "no labels",
        ),
        (lambda: SetOptions(examples=1), "at least 2"),
        (lambda: SetOptions(split="dev"), "split is"),
    ],
)
def test_what_gives_no_examples_says_so(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pieces_of_one_face_in_a_video_are_one_base_clip(tmp_path, monkeypatch):
    from pushpull.evaluation import data

    class Footage:
        def cut_as(self, crop):
            return [pool(1, frames=45)[0], pool(2, frames=25)[1]]

    monkeypatch.setattr(data, "read_clips", lambda path, crops: Footage())
    examples = data.video_examples([tmp_path / "film.mp4"], ["face_box", "face_box"], 20)["face_box"]
    assert [(e.base, e.kind) for e in examples] == [
        ("face 1", "film at 0 s"), ("face 1", "film at 0.8 s"), ("face 2", "film at 0 s"),
    ]  # fmt: skip
    assert len(data.video_examples([tmp_path / "film.mp4"], ["face_box"], 20, most=2)["face_box"]) == 2


@pytest.mark.parametrize(
    ("most", "taken"),
    [(0, "aaabbc"), (9, "aaabbc"), (5, "aabbc"), (4, "aabc"), (3, "abc"), (1, "a")],
)
def test_few_pieces_are_of_all_videos_and_not_of_the_first_alone(tmp_path, monkeypatch, most, taken):
    from pushpull.evaluation import data

    class Footage:
        def __init__(self, path):
            self.pieces = {"a": 3, "b": 2, "c": 1}[path.stem]

        def cut_as(self, crop):
            return [pool(1, frames=20 * self.pieces)[0]]

    monkeypatch.setattr(data, "read_clips", lambda path, crops: Footage(path))
    paths = [tmp_path / f"{name}.mp4" for name in "abc"]
    examples = data.video_examples(paths, ["face_box"], 20, most=most)["face_box"]
    assert "".join(example.source[0] for example in examples) == taken
    for name in "abc":  # those that come first in it
        kinds = [example.kind for example in examples if example.source[0] == name]
        assert kinds == [f"film at {0.8 * turn:g} s" for turn in range(len(kinds))]


@pytest.mark.parametrize(
    ("videos", "names"),
    [
        (["film.mp4"], ["film.mp4"]),
        (["a/film.mp4", "b/other.mp4"], ["film.mp4", "other.mp4"]),
        (["a/film.mp4", "a/film.mkv"], ["film.mp4", "film.mkv"]),
        (["b/film.mp4", "other.mp4", "a/film.mp4"], ["b/film.mp4", "other.mp4", "a/film.mp4"]),
        (["a/film.mp4", "other.mp4", "b/../a/film.mp4", "a/film.mp4"], ["film.mp4", "other.mp4"]),
    ],
)
def test_videos_of_one_name_are_told_apart_and_none_counts_twice(tmp_path, monkeypatch, videos, names):
    from pushpull.evaluation import data

    class Footage:
        def cut_as(self, crop):
            return [pool(1, frames=20)[0]]

    monkeypatch.setattr(data, "read_clips", lambda path, crops: Footage())
    (tmp_path / "b").mkdir()
    examples = data.video_examples([tmp_path / video for video in videos], ["face_box"], 20)["face_box"]
    assert [example.source for example in examples] == names
    assert [example.name for example in examples] == [f"{name}/face 1/film at 0 s" for name in names]
