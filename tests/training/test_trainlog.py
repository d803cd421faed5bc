"""What a run leaves on disk is whole, whenever it is killed."""

import json
import resource

import pytest
import torch

from pushpull.detectors import TalkNet, TalkNetConfig, save_checkpoint
from pushpull.training.log import TrainLog, draw_curves, load_state
from pushpull.training.saving import save_tensors

CPU = torch.device("cpu")
IDENTITY = {"seed": 0, "mix": {"still": 0.5, "noise": 0.1}}


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_that_will_come_again_and_broken_ones_are_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    log = TrainLog(path, 0)
    for step in range(1, 6):
        log.write({"step": step, "loss": 1 / step})
        log.write({"step": step, "validation": {}})
    log.write({"step": 3, "test": {"still": 1}})
    with open(path, "a") as handle:
        handle.write('{"step": 6, "lo')  # a kill in the middle of a line
    TrainLog(path, 3, validated={1, 2}).write({"step": 4, "loss": 9})  # the validation of 3 was not saved
    entries = read(path)
    assert [(e["step"], e["loss"]) for e in entries if "loss" in e] == [(1, 1), (2, 1 / 2), (3, 1 / 3), (4, 9)]
    assert [e["step"] for e in entries if "validation" in e] == [1, 2]
    assert not list(tmp_path.glob("*.partial"))


def test_a_state_comes_back(tmp_path):
    state = {"identity": IDENTITY, "step": 7, "model": {"w": torch.randn(3)}, "history": [{"ap": None}]}
    save_tensors(tmp_path / "state.pt", state)
    again = load_state(tmp_path / "state.pt", IDENTITY, CPU)
    assert torch.equal(again.pop("model")["w"], state.pop("model")["w"]) and again == state


def test_a_run_older_than_an_option_goes_on_while_that_is_at_its_default(tmp_path):
    path = tmp_path / "state.pt"
    save_tensors(path, {"identity": {"seed": 0}, "step": 7})
    assert load_state(path, {"seed": 0, "distillation": {"source": "", "weight": 1.0}}, CPU)["step"] == 7
    with pytest.raises(ValueError, match=r"other options: distillation.source \( -> talknet-lite\)"):
        load_state(path, {"seed": 0, "distillation": {"source": "talknet-lite", "weight": 1.0}}, CPU)
    with pytest.raises(ValueError, match="other options: unheard_of"):
        load_state(path, {"seed": 0, "unheard_of": 1}, CPU)


@pytest.fixture
def little_room():
    """Files of up to 100 kB: as a disk that runs full, but the error's number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path, little_room):
    state, weights = tmp_path / "state.pt", tmp_path / "model.safetensors"
    save_tensors(state, {"step": 1})
    with pytest.raises(OSError, match="File too large: make room and give the same command again.*state.pt"):
        save_tensors(state, {"step": 2, "model": torch.zeros(100_000)})
    assert torch.load(state, weights_only=True) == {"step": 1}
    with pytest.raises(OSError, match="model.safetensors cannot be written"):
        save_checkpoint(weights, TalkNet(TalkNetConfig.named("talknet", "lite")))
    assert list(tmp_path.iterdir()) == [state]


@pytest.mark.parametrize("moment", ["writing", "flushing", "renaming"])
def test_a_kill_while_writing_leaves_the_state_before(tmp_path, monkeypatch, moment):
    path = tmp_path / "state.pt"
    save_tensors(path, {"identity": IDENTITY, "step": 1})

    def killed(*_):
        raise KeyboardInterrupt

    def half(state, handle):
        handle.write(b"half of a state")
        raise KeyboardInterrupt

    what, dies = {
        "writing": ("torch.save", half),
        "flushing": ("os.fsync", killed),
        "renaming": ("os.replace", killed),
    }[moment]
    monkeypatch.setattr(what, dies)
    with pytest.raises(KeyboardInterrupt):
        save_tensors(path, {"identity": IDENTITY, "step": 2})
    monkeypatch.undo()
    assert load_state(path, IDENTITY, CPU)["step"] == 1
    save_tensors(path, {"identity": IDENTITY, "step": 3})
    assert load_state(path, IDENTITY, CPU)["step"] == 3 and not list(tmp_path.glob("*.partial"))


def test_other_options_are_named(tmp_path):
    save_tensors(tmp_path / "state.pt", {"identity": IDENTITY})
    other = {"seed": 1, "mix": {"still": 0.5, "noise": 0.2}, "ramp": 30}
    with pytest.raises(ValueError) as refused:
        load_state(tmp_path / "state.pt", other, CPU)
    message = str(refused.value)
    assert "mix.noise (0.1 -> 0.2)" in message and "ramp (20 -> 30)" in message and "seed (0 -> 1)" in message
    assert "still" not in message and "another --out" in message


@pytest.mark.parametrize("content", [b"", b"no state", None])
def test_a_damaged_state_is_named(tmp_path, content):
    path = tmp_path / "state.pt"
    save_tensors(path, {"identity": IDENTITY, "model": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:1500] if content is None else content)
    with pytest.raises(ValueError, match="state.pt cannot be read .*: remove it to begin anew"):
        load_state(path, IDENTITY, CPU)


def test_curves_are_drawn_from_a_log_and_not_from_none(tmp_path):
    path, picture = tmp_path / "log.jsonl", tmp_path / "curves.png"
    log = TrainLog(path, 0)
    draw_curves(path, picture, "empty")
    assert not picture.exists()
    for step in range(1, 9):
        log.write({"step": step, "frames": 100 * step, "loss": 1.0, "av": 0.5, "a": 0.3, "v": 0.2})
    log.write({"step": 8, "validation": {"still": {"ap": 50.0}, "noise": {"ap": None}}})
    draw_curves(path, picture, "a run")
    assert picture.read_bytes().startswith(b"\x89PNG")
