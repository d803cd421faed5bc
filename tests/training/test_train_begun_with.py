"""A run goes on with the weights that it began with, and says so, whatever lies in their place by then."""

import json
from dataclasses import replace

import pytest
import torch
from rows_support import LITE, TINY, tiny

from pushpull.detectors import TalkNet, save_checkpoint
from pushpull.files import sha256
from pushpull.training.distillation import Distillation
from pushpull.training.trainer import Trainer, train


def write_source(path, seed, **card):
    torch.manual_seed(seed)
    return save_checkpoint(path, TalkNet(LITE), {"summary": "random"} | card)


def stop(options, out, monkeypatch):
    """A run that is stopped after two of its steps."""
    take = Trainer.take_step

    def take_or_stop(self, batches):
        if self.step == 2:
            raise KeyboardInterrupt
        take(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "take_step", take_or_stop)
        with pytest.raises(KeyboardInterrupt):
            train(options, out, progress=False)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("start", lambda path: tiny(start=path)),
        ("distillation", lambda path: tiny(distillation=Distillation(source=path))),
        ("injection", lambda path: tiny(adversarial="bim", injection=replace(TINY.injection, source=path))),
    ],
)
def test_other_weights_in_the_place_of_those_that_it_began_with_are_refused(
    name, options, footage, tmp_path, monkeypatch
):
    path = write_source(tmp_path / "source", 1)
    options = options(str(path))
    stop(options, tmp_path / "run", monkeypatch)
    write_source(tmp_path / "source", 2)
    with pytest.raises(ValueError, match=rf"holds a run with other options: begun_with.{name} \("):
        train(options, tmp_path / "run", progress=False)
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    state["identity"].pop("begun_with")
    state.pop("origin")
    torch.save(state, tmp_path / "run" / "state.pt")
    assert train(options, tmp_path / "run", progress=False).exists(), "nobody knows what an older run began with"


def test_a_card_that_changed_meanwhile_stops_nothing_and_is_not_told(footage, tmp_path, monkeypatch):
    path = write_source(tmp_path / "source", 1)
    before, options = sha256(path), tiny(start=str(path))
    stop(options, tmp_path / "run", monkeypatch)
    write_source(tmp_path / "source", 1, robust={"pgd": 0})
    assert sha256(path) != before
    trained = train(options, tmp_path / "run", progress=False)
    assert json.loads(trained.with_suffix(".json").read_text())["started_from"]["sha256"] == before
