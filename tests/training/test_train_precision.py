"""What a GPU is given, checked on the processor: bfloat16 autocast, and a step that never waits for an answer."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from rows_support import TINY, log_of, tiny, weights
from training_support import OFF

from pushpull import bfloat16
from pushpull.data.augment import augment_audio, augment_video
from pushpull.detectors import TalkNet, TalkNetConfig
from pushpull.training.loss import training_loss
from pushpull.training.options import TrainOptions
from pushpull.training.trainer import Trainer, train


@pytest.mark.slow
def test_bfloat16_begins_alike_and_keeps_float_weights(footage, tmp_path):
    first, paths = {}, {}
    for precision in ("float32", "bfloat16"):
        options = tiny(device="cpu", precision=precision, row="D3", lambda1=0.1, lambda4=0.1)
        paths[precision] = train(options, tmp_path / precision, progress=False)
        entries = [entry for entry in log_of(tmp_path / precision) if "loss" in entry]
        first[precision] = entries[0]
    for part in ("loss", "av", "a", "v", "L1", "L4"):
        assert first["bfloat16"][part] == pytest.approx(first["float32"][part], rel=0.02), part
    assert first["bfloat16"]["loss"] != first["float32"]["loss"], "it is another precision"
    state = torch.load(tmp_path / "bfloat16/state.pt", weights_only=True)
    assert all(value.dtype != torch.bfloat16 for value in state["model"].values()), "steps add up in float32"
    assert all(torch.isfinite(value).all() for value in weights(paths["bfloat16"]).values())


@pytest.mark.parametrize(("precision", "told"), [("bfloat16", True), ("float32", False)])
def test_training_says_where_bfloat16_is_only_imitated(precision, told, footage, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bfloat16, "imitated", lambda device: True)
    monkeypatch.setattr(Trainer, "run", lambda self: None)  # it is said before the first step
    monkeypatch.setattr(Trainer, "finish", lambda self, attack: None)
    train(tiny(device="cpu", precision=precision), tmp_path / "out", progress=False)
    assert ("--precision float32 is the faster" in capsys.readouterr().err) is told


@pytest.mark.parametrize(
    ("precision", "device", "dtype"),
    [
        ("auto", "cuda", torch.bfloat16),
        ("auto", "cpu", None),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float32", "cuda", None),
    ],
)
def test_precision_of_steps_and_attacks(precision, device, dtype):
    assert TrainOptions(precision=precision).autocast(torch.device(device)) == dtype


def on_no_device(*shape):
    """A tensor of shape and type alone: to ask for a value of it is an error, as it is a wait on a GPU."""
    return torch.empty(*shape, device="meta")


def test_augmentation_asks_the_device_for_no_value():
    all_on = dict.fromkeys(("flip", "crop", "rotate", "warp", "light", "shade", "erase", "hold", "blur"), 1.0)
    all_on |= dict.fromkeys(("overlap", "colour", "room", "band", "hiss"), 1.0)
    options, generator = replace(OFF, **all_on), torch.Generator().manual_seed(0)
    audio = augment_audio(on_no_device(3, 6400), on_no_device(3, 6400), options, generator)
    video = augment_video(on_no_device(3, 10, 112, 112), options, generator)
    assert audio.shape == (3, 6400) and video.shape == (3, 10, 112, 112) and audio.is_meta and video.is_meta
    with pytest.raises((RuntimeError, NotImplementedError)):
        audio.sum().item()


@pytest.mark.parametrize("row", ["A", "D3", "D5", "nc", "spec"])
def test_network_and_loss_ask_the_device_for_no_value(row, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which no such device has
    options = TrainOptions.of_row(row, batches=TINY.batches)
    network = TalkNet(TalkNetConfig.named(options.variant, "lite")).to("meta").train()
    outputs = network({"audio": on_no_device(2, 5 * 640), "video": on_no_device(2, 5, 112, 112)})
    loss, parts = training_loss(options, outputs, on_no_device(2, 5).long(), 0)
    loss.backward()
    assert loss.is_meta and all(part.is_meta for part in parts.values()) and network.headAV.weight.grad.is_meta
