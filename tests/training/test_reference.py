"""The embeddings that a checkpoint carries of frames it was not trained on."""

import pytest
import torch
from rows_support import LITE, tiny
from training_support import talkset

from pushpull.data.sources import Corpus, Part
from pushpull.detectors import TalkNet, load_model
from pushpull.training import reference
from pushpull.training.reference import SPACES, reference_embeddings
from pushpull.training.trainer import train


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TalkNet(LITE).eval()


def corpus(folder, clips):
    return Corpus([Part("footage", talkset(folder, range(clips), frames=30))])


def test_both_classes_are_there_as_often_and_the_same_each_time(model, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "EACH", 12)
    pool = corpus(tmp_path, 4)
    one, two = (reference_embeddings(model, pool, seed=seed) for seed in (3, 3))
    assert [one[name].shape for name in SPACES] == [(24, 128)] * 4 and one["labels"].tolist() == [0] * 12 + [1] * 12
    assert all(torch.equal(one[name], two[name]) and torch.isfinite(one[name]).all() for name in one)
    other = reference_embeddings(model, pool, seed=4)
    assert not torch.equal(one["z_a"], other["z_a"])


@pytest.mark.parametrize("clips", [0, 1])
def test_too_little_footage_gives_none(model, tmp_path, clips):
    assert reference_embeddings(model, corpus(tmp_path, clips)) == {}


def test_a_trained_checkpoint_carries_those_of_its_stored_weights(footage, tmp_path):
    model = load_model(train(tiny(), tmp_path, progress=False), "cpu")
    again = reference_embeddings(model, Corpus([Part("footage", footage["test"])]), seed=0)
    assert again.keys() == model.reference_embeddings.keys() and len(again) == 5
    for name, values in again.items():
        assert torch.allclose(model.reference_embeddings[name], values, atol=5e-3, rtol=1e-3), name
