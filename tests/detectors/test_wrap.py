"""A stranger's module as a detector, and what it may give."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from asd_support import batch
from torch import Tensor, nn

from pushpull.attacks import BIM, paper_budget
from pushpull.detectors import (
    CheckpointError,
    Detector,
    Outputs,
    Point,
    WrappedDetector,
    card_of,
    decided,
    point_of,
    wrap,
)
from pushpull.detectors.script import run_script


class Loudness(nn.Module):
    """Log-odds (B, T): how loud a frame is, and how bright."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.drop = nn.Dropout(0.5)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        loud = audio.unflatten(1, (-1, 640)).abs().mean(dim=2)
        return self.drop(self.gain * loud + video.mean(dim=(2, 3)) / 255 - 0.5)


class Others(NamedTuple):
    logits_av: Tensor
    e_v: Tensor


def test_log_odds_become_logits_of_that_margin():
    module = Loudness().train()
    detector = wrap(module, name="loudness", trained_on="nothing", licence="MIT", threshold=0.1)
    assert isinstance(detector, Detector) and not detector.training and not module.training
    inputs = batch(2, 3)
    outputs = detector(inputs)
    # Its threshold is taken off: it decides at 0.
    torch.testing.assert_close(outputs.margin, module(inputs["audio"], inputs["video"]) - 0.1)
    assert outputs.logits_av.shape == (2, 3, 2) and outputs[1:] == (None,) * 6
    card = card_of(detector)
    assert (card.name, card.crop, card.trained_on, card.licence) == ("loudness", "face_box", "nothing", "MIT")
    assert card.threshold == 0 and point_of(detector) == Point("own", 0.1) and decided(detector) is detector


@pytest.mark.parametrize(
    "give, parts",
    [
        (lambda b, t: torch.ones(b, t, 2), {"logits_av"}),
        (lambda b, t: torch.ones(b, t), {"logits_av"}),
        (lambda b, t: Outputs(torch.ones(b, t, 2), e_a=torch.ones(b, t, 7)), {"logits_av", "e_a"}),
        (lambda b, t: Others(torch.ones(b, t, 2), torch.ones(b, t, 5)), {"logits_av", "e_v"}),
    ],
)
def test_what_a_module_may_give(give, parts):
    outputs = wrap(lambda audio, video: give(*video.shape[:2]))(batch(2, 3))
    assert isinstance(outputs, Outputs)
    assert {name for name, value in outputs._asdict().items() if value is not None} == parts


@pytest.mark.parametrize(
    "given, error, message",
    [
        (torch.zeros(6, 2), ValueError, r"gave \(6, 2\) for 2 clips of 3 frames; expected \(B, T, 2\)"),
        (torch.zeros(2, 4), ValueError, r"gave \(2, 4\)"),
        (torch.zeros(2, 3, 3), ValueError, r"gave \(2, 3, 3\)"),
        (torch.zeros(2, 3, 1), ValueError, r"gave \(2, 3, 1\)"),
        (torch.zeros(2, 3, dtype=torch.bool), ValueError, "torch.bool"),
        ((torch.zeros(2, 3), None), ValueError, "tuple of 2; choose the scores with call="),
        (None, ValueError, "NoneType"),
        ({"logits": torch.zeros(2, 3)}, ValueError, r"a dict of 1; choose the scores with .*\['logits'\]; exp"),
        (Outputs(torch.zeros(2, 4, 2)), ValueError, r"logits_av is \(2, 4, 2\), not \(2, 3, 2\)"),
        (Outputs(None), ValueError, "logits_av is a NoneType"),
        (Outputs(torch.zeros(2, 3, 2), e_a=torch.zeros(2, 128)), ValueError, r"e_a is \(2, 128\), not \(2, 3, D\)"),
        (Outputs(torch.zeros(2, 3, 2), logits_v=torch.zeros(2, 3)), ValueError, "logits_v"),
        (Outputs(torch.zeros(2, 3, 2), z_a="much"), ValueError, "z_a is a str"),
    ],
)
def test_what_it_may_not_give(given, error, message):
    with pytest.raises(error, match=message):
        wrap(lambda audio, video: given, name="mine")(batch(2, 3))


@pytest.mark.parametrize(
    "front_end, shape", [("waveform", (2, 1920)), ("mfcc", (2, 12, 13)), ("spectrogram", (2, 12, 201))]
)
def test_front_ends_and_calls(front_end, shape):
    seen = {}

    def call(module, audio, video):
        seen.update(audio=tuple(audio.shape), video=tuple(video.shape))
        return module(video, audio)

    detector = wrap(lambda faces, sound: faces.mean(dim=(2, 3)), call=call, front_end=front_end)
    assert detector(batch(2, 3)).margin.shape == (2, 3)
    assert seen == {"audio": shape, "video": (2, 3, 112, 112)}


@pytest.mark.parametrize(
    "module, options, error, message",
    [
        (3, {}, TypeError, "module or function"),
        (Loudness, {}, TypeError, "module or function"),
        (Loudness(), {"call": 3}, TypeError, "call is a function"),
        (Loudness(), {"crop": "chin"}, ValueError, "crop is one of face_box, talknet_demo"),
        (Loudness(), {"front_end": "fbank"}, ValueError, "waveform, mfcc, spectrogram"),
        (Loudness(), {"threshold": float("nan")}, ValueError, "threshold"),
    ],
)
def test_what_cannot_be_wrapped(module, options, error, message):
    with pytest.raises(error, match=message):
        wrap(module, **options)


def test_inputs_are_checked_before_the_module_sees_them():
    detector = wrap(Loudness())
    with pytest.raises(ValueError, match="torch.float32"):
        detector(batch(1, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="missing input: video"):
        detector({"audio": torch.zeros(1, 640)})
    with pytest.raises(ValueError, match="missing input: video"):
        wrap(lambda audio, video: audio)({"audio": torch.zeros(1, 640)})
    with pytest.raises(ValueError, match="video must be torch.float32"):
        wrap(lambda audio, video: audio)(batch(1, 3) | {"video": batch(1, 3)["video"].byte()})
    with pytest.raises(ValueError, match="not a Tensor; see Clip.inputs"):
        detector(torch.zeros(1, 640))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("front_end", ["waveform", "mfcc"])
def test_a_module_of_another_type_takes_clips(dtype, front_end):
    head = torch.nn.Linear(112 * 112, 1).to(dtype)

    def call(module, audio, video):
        assert audio.dtype == video.dtype == dtype
        return module(video.flatten(2))[..., 0] + audio.mean()

    inputs = {name: value.requires_grad_() for name, value in batch(1, 3).items()}
    detector = wrap(head, call=call, front_end=front_end)
    detector(inputs).margin.sum().backward()
    assert all(value.grad.dtype == torch.float32 and value.grad.any() for value in inputs.values())


def test_a_threshold_may_be_a_number_of_numpy():
    card = wrap(Loudness(), threshold=np.float32(0.5)).card
    assert json.loads(json.dumps(card))["point"]["threshold"] == 0.5


@pytest.mark.parametrize("front_end", ["waveform", "mfcc"])
def test_a_module_may_change_its_arguments_in_place(front_end):
    def normalising(audio, video):
        return video.div_(255).sub_(0.5).mean(dim=(2, 3)) + audio.mul_(2).mean()

    inputs = batch(1, 3)
    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    wrap(normalising, front_end=front_end)(leaves).margin.sum().backward()
    assert all(torch.equal(leaves[name], inputs[name]) and leaves[name].grad.abs().max() > 0 for name in inputs)


def test_it_can_be_attacked_and_its_copy_is_frozen():
    module = Loudness()
    detector = wrap(module)
    fast = detector.fast()
    assert isinstance(fast, WrappedDetector) and not any(p.requires_grad for p in fast.parameters())
    assert all(p.requires_grad for p in module.parameters())
    inputs = batch(1, 5)
    labels = torch.ones(1, 5, dtype=torch.int64)
    result = BIM(steps=3).run(fast, inputs, labels, budgets=paper_budget(5.0), objective="inference_aware")
    with torch.no_grad():
        assert (fast(result.adversarial).margin < detector(inputs).margin).all()


@pytest.mark.parametrize("also", ["", "raise ValueError('no')"])
def test_a_script_imports_what_lies_beside_it(tmp_path, monkeypatch, also):
    monkeypatch.chdir(Path("/"))
    (tmp_path / "net_beside_mine.py").write_text("def score(audio, video):\n    return video.mean((2, 3)) / 255\n")
    script = tmp_path / "mine.py"
    script.write_text(f"from net_beside_mine import score as detector\n{also}\n")
    before = list(sys.path)
    if also:
        with pytest.raises(CheckpointError, match="fails when it is run: ValueError: no"):
            run_script(script, "cpu")
    else:
        assert run_script(script, "cpu")(batch(1, 3)).margin.shape == (1, 3)
    assert sys.path == before
    sys.modules.pop("net_beside_mine", None)
