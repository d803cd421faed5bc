"""Averages of a checkpoint and what further training made of it."""

import json

import pytest
import torch
from rows_support import tiny

from pushpull.demo.models import label
from pushpull.detectors import CheckpointError, TalkNet, TalkNetConfig, load_model, save_checkpoint
from pushpull.train import main as train_main
from pushpull.training import average as module
from pushpull.training.average import average, main
from pushpull.training.trainer import train


def network(seed, variant="talknet"):
    torch.manual_seed(seed)
    return TalkNet(TalkNetConfig.named(variant, "lite")).eval()


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_every_weight_lies_between_the_two(weight):
    one, two = network(0), network(1)
    mixed = average(one, two, weight)
    for (name, a), b, found in zip(
        one.state_dict().items(), two.state_dict().values(), mixed.state_dict().values(), strict=True
    ):
        expected = (1 - weight) * a + weight * b if a.is_floating_point() else b
        assert torch.allclose(found, expected, atol=1e-6), name
    assert not mixed.training and torch.equal(two.headAV.weight, network(1).headAV.weight), "neither end is changed"


def test_what_has_no_average_is_refused():
    with pytest.raises(CheckpointError, match="spectalknet"):
        average(network(0), network(0, "spectalknet"), 0.5)
    with pytest.raises(ValueError, match="within 0 and 1"):
        average(network(0), network(1), 1.5)


def test_the_command_measures_what_it_writes_and_says_of_what(footage, tmp_path, monkeypatch, capsys):
    attacked = []
    monkeypatch.setattr(module, "attack_and_tell", lambda path, *_, **__: attacked.append(path))
    first = train(tiny(name="first"), tmp_path / "first", progress=False)
    second = train(tiny(name="second", start=str(first), warmup_frames=0), tmp_path / "second", progress=False)
    arguments = ["--data", "footage", "--device", "cpu", "--threads", "1", "--quiet", "--weight", "0.5"]
    out = tmp_path / "both"
    assert main([str(first), str(second), *arguments, "--out", str(out), "--title", "for all"]) == 0
    model = load_model(tmp_path / "both.safetensors", "cpu")
    card, path = model.card, tmp_path / "both.safetensors"
    assert attacked == [path] and label(card) == "for all (both)" and "wrote" in capsys.readouterr().out
    assert [(x["name"], x["weight"]) for x in card["averaged"]] == [("first", 0.5), ("second", 0.5)]
    assert card["averaged"][0]["sha256"] == load_model(first, "cpu").card["sha256"]
    assert "both.safetensors" in card["heldout"]["command"] and card["heldout"]["sources"]["footage"]["swapped"]["ap"]
    ends = [load_model(end, "cpu").headAV.weight for end in (first, second)]
    assert torch.allclose(model.headAV.weight, sum(ends) / 2, atol=1e-3)
    with pytest.raises(SystemExit):
        main([str(first), str(second), *arguments, "--out", str(out)])
    assert "both.safetensors already there" in capsys.readouterr().err
    assert json.loads(path.with_suffix(".json").read_text())["training"]["start"] == "first.safetensors"

    assert train_main(["--data", "footage", "--device", "cpu", "--quiet", "--evaluate", str(path)]) == 0
    assert json.loads(capsys.readouterr().out) == card["heldout"], "measured again, it says the same"

    foreign = save_checkpoint(tmp_path / "foreign", network(0), {})
    with pytest.raises(SystemExit):
        main([str(foreign), str(foreign), *arguments, "--out", str(out), "--overwrite"])
    assert "was not trained by pushpull.train" in capsys.readouterr().err
