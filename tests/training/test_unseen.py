"""Figures of any checkpoint on people it was not trained on."""

import json

import pytest

from pushpull.data import sources
from pushpull.data.talkset import TalkSetOptions
from pushpull.detectors import TalkNet, TalkNetConfig, save_checkpoint
from pushpull.detectors.sidecar import read_sidecar
from pushpull.train import main


def test_people_nobody_trained_on_are_measured_all(footage, tmp_path, capsys, monkeypatch):
    """Also by a checkpoint that was not trained here, an imported one for example."""
    path = save_checkpoint(tmp_path / "foreign", TalkNet(TalkNetConfig.named("talknet", "lite")), {"name": "foreign"})
    arguments = ["--data", "footage", "--device", "cpu", "--evaluate", str(path), "--quiet"]
    with pytest.raises(SystemExit):
        main(arguments)
    assert "--unseen" in capsys.readouterr().err

    asked = []
    everything = {"train": footage["test"], "validation": footage["validation"], "test": footage["train"]}
    monkeypatch.setattr(sources, "prepare", lambda _, options, **__: (asked.append(options) or everything, {}))
    assert main([*arguments, "--unseen", "--footage.stride", "2"]) == 0
    assert asked == [TalkSetOptions(stride=2, validation=0.0, test=1.0)]
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == {"footage": len(footage["train"])} and found["command"].endswith(" --unseen")
    assert [row["ms"] for row in found["offsets"]["footage"]] == list(range(-320, 321, 40))
    assert "unseen" not in read_sidecar(path)
    assert main([*arguments[:-1], "--unseen", "--card"]) == 0
    assert read_sidecar(path)["unseen"]["sources"] == found["sources"]
    assert "footage: called speaking" in (said := capsys.readouterr()).out and "cut otherwise" not in said.err
    assert main([*arguments, "--unseen", "--footage.crop", "face_box"]) == 0
    assert "foreign was trained on the crop talknet_demo, and this data is cut otherwise" in capsys.readouterr().err

    path.with_suffix(".json").unlink()
    with pytest.raises(SystemExit):
        main([*arguments, "--unseen", "--card"])
    assert len(asked) == 3 and "foreign.json cannot be read" in capsys.readouterr().err, "before anything is measured"
    for lone in ("--unseen", "--card"):
        with pytest.raises(SystemExit):
            main(["--data", "footage", lone])
        assert "goes with --evaluate" in capsys.readouterr().err
