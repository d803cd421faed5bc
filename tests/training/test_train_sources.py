"""Training on tracks with labels of their own, and on talking heads made when they are named."""

import json

import numpy as np
import pytest
import torch
from rows_support import TINY, log_of, tiny
from training_support import talker

from pushpull.data import sources
from pushpull.data.batches import Batching, make_batch
from pushpull.data.mix import ExampleMix
from pushpull.training.adversarial import Injection
from pushpull.training.examples import Examples
from pushpull.training.trainer import train


class Tracks:
    """AVA's tracks in miniature: finished examples of their own lengths, half of them speaking."""

    def __init__(self, clips):
        self.clips, self.types = list(clips), ("ava",) * len(clips)
        self.lengths = np.array([clip.frames for clip in self.clips])
        self.frames, self.fingerprint = int(self.lengths.sum()), f"tracks-{len(self.clips)}"

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        return self.clips[index]

    def first(self, count):
        return Tracks(self.clips[:count])


@pytest.fixture
def ava(monkeypatch):
    tracks = Tracks([talker(number, 40 + 5 * (number % 4)) for number in range(8)])
    splits = {"train": tracks, "validation": tracks.first(2), "test": tracks.first(3)}
    monkeypatch.setattr(sources, "read_ava", lambda folder, options, left_out: splits)
    return splits


def test_tracks_with_labels_of_their_own_are_trained_on_as_they_are(ava, tmp_path):
    options = tiny(
        data="ava:AVA", warmup_frames=0, frames=400, batches=Batching(frames=100, longest=10), validation_clips=2
    )
    path = train(options, tmp_path, progress=False)
    logged = [entry for entry in log_of(tmp_path) if "loss" in entry]
    assert all(set(entry["by_type"]) == {"ava"} for entry in logged)
    found = json.loads(path.with_suffix(".json").read_text())["heldout"]
    assert set(found["sources"]["ava:AVA"]) == {"own ava", "all"} and found["clips"] == {"ava:AVA": 3}
    speaking = sum(clip.labels.sum() for clip in ava["test"])
    assert found["sources"]["ava:AVA"]["own ava"]["prevalence"] == pytest.approx(100 * speaking / ava["test"].frames)


def test_batches_of_tracks_longer_than_all_adversarial_examples_are_cut(ava, tmp_path, monkeypatch):
    """The set is of a few batches, each of tracks of one length: sooner or later a longer one comes."""
    lengths, real = [], Examples.joined_by

    def joined(own, audio, video, labels):
        made = real(own, audio, video, labels)
        lengths.append((own.labels.shape[1], labels.shape[1]))
        assert len({x.shape[1] for x in (made.labels, made.video, made.clean["video"])} | {labels.shape[1]}) == 1
        assert made.audio.shape[1] == made.clean["audio"].shape[1] == 640 * labels.shape[1]
        return made

    monkeypatch.setattr(Examples, "joined_by", joined)
    injection = Injection(frames=40, attack_steps=1)
    train(
        tiny(
            data="ava:AVA",
            adversarial="bim",
            injection=injection,
            warmup_frames=0,
            frames=180,
            batches=Batching(frames=60, longest=10),
            seed=4,
        ),
        tmp_path,
        progress=False,
    )
    assert lengths == [(55, 40), (40, 40), (50, 40)]


def test_batches_of_tracks_are_of_about_one_length(ava):
    corpus = sources.read_sources("ava:AVA", TINY.footage)["train"]
    for step in range(20):
        batch = make_batch(
            corpus, ExampleMix(), Batching(frames=200, longest=10, shaken=0, retimed=0), seed=0, step=step
        )
        numbers = batch.video[:, 0, 0, 0].tolist()
        lengths = {ava["train"].lengths[number] for number in numbers}
        frames = batch.labels.shape[1]
        assert frames in ava["train"].lengths and min(lengths) >= frames and max(lengths) <= 1.25 * frames
        for number, labels, video in zip(numbers, batch.labels, batch.video, strict=True):
            start = int(video[0, 0, 1])
            assert torch.equal(labels, torch.from_numpy(ava["train"][number].labels[start : start + frames]))


def test_talking_heads_are_made_when_a_number_is_named(tmp_path, monkeypatch):
    from pushpull.data.talkheads import make as maker

    asked = []

    def make(options, folder, *, workers, progress):
        asked.append((options.clips, workers))
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"clips": []}))

    monkeypatch.setattr(maker, "make", make)
    monkeypatch.setenv("PUSHPULL_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = sources.read_sources("talkheads:12", TINY.footage, workers=2)
    assert asked == [(12, 2)] and len(found["train"]) == 0
    assert sources.source_names("talkheads:12") == "talkheads:12"
