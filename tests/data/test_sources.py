"""Training data named on the command line: footage, talking heads, and both mixed."""

import json
from pathlib import Path

import numpy as np
import pytest
from training_support import talkset

from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.data.batches import Batching, make_batch
from pushpull.data.cached import CachedPool
from pushpull.data.heldout import evaluate_types
from pushpull.data.mix import ExampleMix
from pushpull.data.sources import Corpus, Part, Source, crops_of, parse_sources, read_sources, source_names
from pushpull.data.talkheads.pool import read_pool
from pushpull.data.talkset import TalkSetOptions
from pushpull.detectors import TalkNet, TalkNetConfig

FRAMES = 30
OWN_ONLY = ExampleMix(**dict.fromkeys(ExampleMix().names, 0.0) | {"own": 1.0})


def write_heads(folder, types):
    """A made folder of talking heads in miniature: noise for faces, one clip for each of ``types``, all in training."""
    clips = folder / "clips"
    clips.mkdir(parents=True)
    records = []
    for number, kind in enumerate(types):
        rng = np.random.default_rng([number, len(types)])
        video = rng.integers(0, 256, (FRAMES, 112, 112), dtype=np.uint8)
        audio = rng.integers(-3000, 3000, FRAMES * SAMPLES_PER_FRAME, dtype=np.int16)
        np.savez(clips / f"{number:06d}.npz", video=video, audio=audio)
        labels = "0" * 10 + ("1" if kind in ("in_sync", "turns") else "0") * (FRAMES - 10)
        face = {"file": f"{number:06d}.npz", "identity": number, "voice": f"v{number}", "labels": labels}
        records.append({"split": "train", "kind": kind, "faces": [face]})
    (folder / "manifest.json").write_text(json.dumps({"clips": records}))
    return folder


@pytest.fixture
def heads(tmp_path):
    return write_heads(tmp_path / "heads", ["in_sync", "in_sync", "turns", "gesture", "in_sync"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("grid_s1", [("talkset", "grid_s1")]),
        ("talkheads:a/heads", [("talkheads", "a/heads")]),
        (" talkset:grid , talkheads:heads ", [("talkset", "grid"), ("talkheads", "heads")]),
        ("ava:AVA*3,talkset:grid*0.5", [("ava", "AVA", 3.0), ("talkset", "grid", 0.5)]),
    ],
)
def test_sources_are_kinds_and_folders(text, found):
    assert parse_sources(text) == [Source(kind, Path(folder), *weight) for kind, folder, *weight in found]


@pytest.mark.parametrize("text", ["", " , ", "avi:somewhere", "talkheads:", "grid*0"])
def test_a_source_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="source|train on"):
        parse_sources(text)


def test_a_folder_whose_name_holds_a_colon_is_a_folder(tmp_path):
    folder = tmp_path / "take:2"
    folder.mkdir()
    assert parse_sources(str(folder)) == [Source("talkset", folder)]


def test_cards_name_sources_without_their_parents():
    assert source_names("somewhere/grid_s1,talkheads:else/where/heads") == "grid_s1,talkheads:heads"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x/one/clips,talkset:x/two/clips", ["one/clips", "two/clips"]),
        ("x/one/clips,y/one/clips,y/grid*2", ["x/one/clips", "y/one/clips", "grid"]),
        ("x/heads,talkheads:x/heads", ["heads", "talkheads:heads"]),
        ("talkheads:x/300,talkheads:300", ["talkheads:x/300", "talkheads:300"]),
    ],
)
def test_sources_whose_folders_have_one_name_are_told_apart(text, names):
    assert list(crops_of(text, TalkSetOptions())) == names
    assert source_names(text) == ",".join(f"{name}*2" if name == "grid" else name for name in names)


def test_every_source_gives_its_clips_whatever_its_folder_is_called(heads, tmp_path):
    other = write_heads(tmp_path / "other" / "heads", ["in_sync"] * 2)
    found = read_sources(f"talkheads:{heads},talkheads:{other}", TalkSetOptions())["train"].by_source()
    assert [len(part) for part in found.values()] == [3, 2]
    with pytest.raises(ValueError, match="named twice"):
        read_sources(f"talkheads:{heads},talkheads:{heads}/../heads*2", TalkSetOptions())


def test_every_source_says_how_its_faces_are_cut(heads):
    text = f"talkset:grid,talkheads:{heads},ava:AVA,talkheads:300"
    for crop in ("talknet_demo", "face_box"):
        found = crops_of(text, TalkSetOptions(crop=crop))
        assert found == {"grid": crop, "talkheads:heads": "talknet_demo", "ava:AVA": "face_box", "talkheads:300": crop}
    manifest = json.loads((heads / "manifest.json").read_text())
    (heads / "manifest.json").write_text(json.dumps(manifest | {"options": {"crop": "face_box"}}))
    assert crops_of(f"talkheads:{heads}", TalkSetOptions()) == {"talkheads:heads": "face_box"}
    (heads / "manifest.json").write_text(json.dumps(manifest | {"options": {"crop": "talknet_demo,face_box"}}))
    for crop in ("talknet_demo", "face_box"):
        assert crops_of(f"talkheads:{heads}", TalkSetOptions(crop=crop)) == {"talkheads:heads": crop}


def test_talking_heads_come_as_clips_in_sync_and_finished_examples(heads):
    corpus = read_sources(f"talkheads:{heads}", TalkSetOptions())["train"]
    assert [clip.name for clip in corpus] == ["000000-in_sync", "000001-in_sync", "000004-in_sync"]
    assert sorted(corpus.finished[0].types) == ["gesture", "turns"]
    assert corpus.frames == 3 * FRAMES


@pytest.mark.parametrize("kind", ["footage", "heads"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(flipped(path))])
def test_crops_that_were_damaged_later_are_named(heads, tmp_path, kind, damage):
    pool = read_pool(heads)["train"] if kind == "heads" else talkset(tmp_path, range(1), frames=FRAMES)
    crops = pool.faces[0].crops if kind == "heads" else pool.pieces[0].crops
    damage(crops)
    with pytest.raises(ValueError, match=f"{crops.name} is missing or damaged .*: delete it"):
        pool[0]


def flipped(path):
    """A file's content with one bit in the middle of it the other way round."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


def test_a_missing_folder_of_talking_heads_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="talkheads make"):
        read_sources(f"talkheads:{tmp_path}", TalkSetOptions())


def test_a_mixture_holds_every_clip_of_its_pools_once(heads, tmp_path):
    other = write_heads(tmp_path / "other", ["in_sync", "in_sync"])
    one, two = read_pool(heads)["train"].of_type("in_sync"), read_pool(other)["train"].of_type("in_sync")
    mixed = Corpus([Part("one", one), Part("two", two)])
    assert [clip.video.sum() for clip in mixed] == [clip.video.sum() for pool in (one, two) for clip in pool]
    assert [len(part.pool) for part in mixed.first(2).parts] == [2, 2]
    assert mixed.fingerprint != Corpus([Part("one", one)]).fingerprint == one.fingerprint
    weighed = Corpus([Part("one", one), Part("two", two, weight=2.0)])
    assert weighed.fingerprint != mixed.fingerprint and mixed.shares is None
    assert weighed.shares == pytest.approx([1 / 7] * 3 + [2 / 7] * 2)
    with pytest.raises(IndexError):
        mixed[len(mixed)]


def test_another_voice_is_mostly_of_the_same_source(heads, tmp_path):
    other = write_heads(tmp_path / "other", ["in_sync"] * 20)
    pools = [read_pool(folder)["train"].of_type("in_sync") for folder in (heads, other)]
    corpus, rng = Corpus([Part("few", pools[0]), Part("many", pools[1])]), np.random.default_rng(0)
    few = {clip.audio.tobytes() for clip in pools[0]}
    found = [corpus.other(1, rng).audio.tobytes() for _ in range(200)]
    assert corpus[1].audio.tobytes() not in found
    assert 0.7 < np.mean([sound in few for sound in found]) < 0.95


def test_clips_are_read_once_while_there_is_room(heads):
    pool, reads = read_pool(heads)["train"].of_type("in_sync"), []
    one = pool[0].video.nbytes + pool[0].audio.nbytes

    class Counting(list):
        def __getitem__(self, index):
            reads.append(index)
            return pool[index]

    kept = CachedPool(Counting(pool), gigabytes=1.5 * one / 1e9)
    for _ in range(2):
        assert [clip.name for clip in kept] == [clip.name for clip in pool]
    assert reads.count(0) == 1 and reads.count(1) == 2


def test_own_examples_enter_batches_as_they_are(heads):
    corpus = read_sources(f"talkheads:{heads}", TalkSetOptions())["train"]
    options = Batching(frames=8 * 20, shortest=0.8, longest=0.8, shaken=0, retimed=0)
    batch = make_batch(corpus, OWN_ONLY, options, seed=0, step=0)
    assert set(batch.types) <= {"turns", "gesture"} and len(batch.types) == 8
    for kind, labels, video in zip(batch.types, batch.labels.numpy(), batch.video.numpy(), strict=True):
        source = corpus.finished[0].of_type(kind)[0]
        starts = [s for s in range(FRAMES - 19) if (source.video[s : s + 20] == video).all()]
        assert len(starts) == 1 and (source.labels[starts[0] : starts[0] + 20] == labels).all()


@pytest.mark.parametrize(
    ("longest", "corpus", "message"),
    [(0.8, "footage", "no finished examples"), (1.6, "heads", "batches.longest")],
)
def test_own_examples_that_cannot_be_had_are_refused(heads, longest, corpus, message):
    found = read_sources(f"talkheads:{heads}", TalkSetOptions())["train"]
    long = [Clip(np.zeros(60 * 640, np.float32), np.zeros((60, 112, 112), np.uint8), np.ones(60, np.int64))] * 2
    pool = long if corpus == "footage" else LongPool(long, found.finished)
    options = Batching(frames=160, shortest=longest, longest=longest)
    with pytest.raises(ValueError, match=message):
        make_batch(pool, OWN_ONLY, options, seed=0, step=0)


class LongPool(list):
    """Clips in sync that are longer than the finished examples beside them."""

    def __init__(self, clips, finished):
        super().__init__(clips)
        self.finished, self.finished_shares = finished, [1.0]


def test_held_out_figures_name_own_kinds(heads):
    corpus = read_sources(f"talkheads:{heads}", TalkSetOptions())["train"]
    report = evaluate_types(TalkNet(TalkNetConfig.named("talknet", "lite")).eval(), corpus, types=["in_sync"])
    assert set(report) == {"in_sync", "own turns", "own gesture", "all"}
    assert report["own turns"]["frames"] == FRAMES
    assert report["all"]["frames"] == 5 * FRAMES
