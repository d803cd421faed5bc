"""What the tests of rows share: the smallest run there is, and footage for it."""

import dataclasses
import json

import pytest
import torch
from training_support import talkset

from pushpull.data import sources
from pushpull.data.batches import Batching
from pushpull.detectors import TalkNetConfig, load_model
from pushpull.training.adversarial import Injection
from pushpull.training.options import TrainOptions

TINY = TrainOptions(
    data="footage",
    name="tiny",
    frames=100,
    warmup_frames=25,
    ramp=2,
    validation_clips=0,
    recalibration=1,
    device="cpu",
    workers=0,
    threads=1,
    batches=Batching(frames=25, shortest=0.4, longest=0.4),
    injection=Injection(frames=40, attack_steps=1, restarts=1),
)
LITE = TalkNetConfig.named("talknet", "lite")


def tiny(**changes):
    return dataclasses.replace(TINY, **changes)


@pytest.fixture(scope="session")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    numbers = {"train": range(0, 3), "validation": range(3, 3), "test": range(5, 7)}
    return {split: talkset(folder, which, frames=30) for split, which in numbers.items()}


@pytest.fixture
def footage(splits, monkeypatch):
    monkeypatch.setattr(sources, "prepare", lambda *_, **__: (splits, {}))
    return splits


def weights(path):
    return load_model(path, "cpu").state_dict()


def same(one, two):
    one, two = weights(one), weights(two)
    return all(torch.equal(one[name], two[name]) for name in one)


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
