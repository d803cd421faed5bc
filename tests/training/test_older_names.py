"""Checkpoints and runs of versions that called some options otherwise: evaluated and gone on with as others."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from rows_support import TINY, tiny

from pushpull.data.mix import ExampleMix
from pushpull.train import main
from pushpull.training.distillation import Distillation
from pushpull.training.options import TrainOptions
from pushpull.training.trainer import train

SHIPPED = sorted((Path(__file__).parents[2] / "checkpoints").glob("*talknet*.json"))
NEW = {new: old for old, new in TrainOptions.RENAMED.items()}


def older(options: dict) -> dict:
    return {NEW.get(name, name): value for name, value in options.items()}


@pytest.mark.parametrize("card", SHIPPED, ids=lambda path: path.stem)
def test_every_card_that_ships_says_how_it_was_trained(card):
    training = json.loads(card.read_text(encoding="utf-8"))["training"]
    options = TrainOptions.of_card(training)
    assert dataclasses.asdict(options.mix) == training["kinds"] and options.frames == training["frames"]


def test_old_names_are_read_and_new_ones_too():
    options = tiny(mix=ExampleMix(still=0.5), distillation=Distillation(source="x"))
    values = dataclasses.asdict(options)
    assert older(values).keys() - values.keys() == {"kinds", "hints"}
    assert TrainOptions.of_card(older(values)) == TrainOptions.of_card(values) == options
    assert TrainOptions.of_card(older(values), seed=9) == dataclasses.replace(options, seed=9)
    with pytest.raises(ValueError, match="unknown option kind"):
        TrainOptions.of_card({"kind": {}})


def test_a_run_of_an_older_version_goes_on(footage, tmp_path):
    options = tiny(mix=ExampleMix(still=0.3))
    path = tmp_path / "older"
    half = dataclasses.replace(options, frames=50)
    train(half, path, progress=False)
    state = torch.load(path / "state.pt", weights_only=True)
    new = ("architecture", "temperature", "adversarial_data")
    identity = {name: value for name, value in older(state["identity"]).items() if name not in new}
    assert "kinds" in identity and "mix" not in identity
    # As if it had been stopped half-way.
    torch.save(state | {"identity": identity | {"frames": 100}}, path / "state.pt")
    assert train(options, path, progress=False).exists()
    with pytest.raises(ValueError, match=r"other options: mix.still \(0.3 -> 0.1\)"):
        train(tiny(), path, progress=False)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--kinds.still", "0"], "the flag is --mix.still, not --kinds.still"),
        (["--hints.source=x"], "the flag is --distillation.source, not --hints.source"),
    ],
)
def test_old_flags_name_the_new_ones(flags, message, capsys):
    with pytest.raises(SystemExit):
        main(["--data", "footage", *flags])
    assert message in capsys.readouterr().err


def test_old_files_name_the_new_ones(tmp_path, capsys):
    (tmp_path / "recipe.json").write_text(json.dumps({"kinds": {"still": 0.2}}))
    with pytest.raises(SystemExit):
        main(["--data", "footage", "--config", str(tmp_path / "recipe.json")])
    assert "option kinds is called mix now" in capsys.readouterr().err


def test_an_older_checkpoint_is_evaluated(footage, tmp_path, capsys):
    path = train(TINY, tmp_path, progress=False)
    card = json.loads(path.with_suffix(".json").read_text())
    arguments = ["--data", "footage", "--device", "cpu", "--evaluate", str(path), "--quiet"]
    assert main(arguments) == 0
    before = capsys.readouterr().out
    path.with_suffix(".json").write_text(json.dumps(card | {"training": older(card["training"])}))
    assert main(arguments) == 0
    assert capsys.readouterr().out == before
