"""Distillation: a network of any size is drawn to the embeddings of a trained one, while they last."""

import math

import pytest
import torch
from rows_support import LITE, log_of, same, tiny

from pushpull.detectors import TalkNet, TalkNetConfig, save_checkpoint
from pushpull.train import main
from pushpull.training.distillation import Distillation, distillation_loss
from pushpull.training.trainer import train


@pytest.fixture
def teacher():
    torch.manual_seed(5)
    return TalkNet(LITE).eval()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    video = torch.rand(2, 4, 112, 112, generator=generator) * 255
    return {"audio": 0.1 * torch.randn(2, 4 * 640, generator=generator), "video": video}


def told(teacher, inputs):
    with torch.no_grad():
        return teacher(inputs)


def test_the_loss_is_0_for_the_teachers_embeddings_and_1_each_for_their_mean(teacher, inputs):
    outputs = told(teacher, inputs)
    assert distillation_loss(teacher, inputs, outputs).item() == pytest.approx(0, abs=1e-9)
    means = {name: getattr(outputs, name).mean(dim=(0, 1)).expand(2, 4, -1) for name in ("e_a", "e_v")}
    assert distillation_loss(teacher, inputs, outputs._replace(**means)).item() == pytest.approx(2, rel=1e-4)
    half = outputs._replace(e_a=means["e_a"])
    assert distillation_loss(teacher, inputs, half).item() == pytest.approx(1, rel=1e-4), "one modality is told"


def test_the_teachers_scale_does_not_matter(teacher, inputs):
    outputs = told(teacher, inputs)
    off = outputs._replace(e_a=outputs.e_a * 0.9, e_v=outputs.e_v * 0.8)
    before = distillation_loss(teacher, inputs, off).item()
    with torch.no_grad():
        layer = teacher.visualConv1D.net[3]
        layer.weight *= 10
        layer.bias *= 10
    louder = off._replace(e_v=off.e_v * 10)
    assert distillation_loss(teacher, inputs, louder).item() == pytest.approx(before, rel=1e-4)


def test_gradients_reach_the_pupil_alone_and_not_what_follows_the_inputs(teacher, inputs):
    extra = {name: torch.cat([x, x[:1]]) for name, x in inputs.items()}
    pupil = TalkNet(LITE).eval()
    outputs = pupil(extra)
    for e in (outputs.e_a, outputs.e_v):
        e.retain_grad()
    distillation_loss(teacher, inputs, outputs).backward()
    for e in (outputs.e_a, outputs.e_v):
        assert e.grad[:2].abs().sum() > 0 and e.grad[2:].abs().sum() == 0
    assert all(p.grad is None for p in teacher.parameters())


def test_embeddings_that_are_all_alike_give_a_number(teacher, inputs):
    silent = {"audio": torch.zeros(1, 640), "video": torch.zeros(1, 1, 112, 112)}
    outputs = TalkNet(LITE).eval()(silent)
    assert math.isfinite(distillation_loss(teacher, silent, outputs).item())


@pytest.mark.parametrize(
    ("distillation", "step", "weight"),
    [
        (Distillation(), 0, 0.0),
        (Distillation(source="x"), 0, 1.0),
        (Distillation(source="x", weight=2.0), 25, 1.0),
        (Distillation(source="x"), 50, 0.0),
        (Distillation(source="x"), 99, 0.0),
        (Distillation(source="x", until=1.0), 50, 0.5),
    ],
)
def test_the_weight_falls_to_0(distillation, step, weight):
    assert distillation.weight_at(step, 100) == pytest.approx(weight)


class TestRuns:
    def test_distillation_is_part_of_the_loss_until_it_ends(self, footage, tmp_path, teacher):
        path = save_checkpoint(tmp_path / "teacher", teacher)
        options = tiny(distillation=Distillation(source=str(path), until=0.5))
        told = train(options, tmp_path / "told", progress=False)
        entries = [entry for entry in log_of(tmp_path / "told") if "loss" in entry]
        taught = ["distillation" in entry for entry in entries]
        half = math.ceil(len(entries) / 2)
        assert taught == [True] * half + [False] * (len(entries) - half)
        first = entries[0]
        parts = first["av"] + 0.4 * first["a"] + options.warmup_visual_weight * first["v"] + first["distillation"]
        assert first["loss"] == pytest.approx(parts, abs=1e-3), "the first step is of the warm-up"
        assert not same(told, train(tiny(), tmp_path / "alone", progress=False))

    def test_the_card_names_the_teacher_but_not_its_folder(self, footage, tmp_path, teacher):
        path = save_checkpoint(tmp_path / "teacher", teacher)
        written = train(tiny(distillation=Distillation(source=str(path))), tmp_path / "run", progress=False)
        card = written.with_suffix(".json").read_text()
        assert "teacher.safetensors" in card and str(tmp_path) not in card

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--distillation.source", "nowhere"], "no detector is called 'nowhere'"),
            (["--distillation.weight", "-1"], "distillation.weight"),
            (["--distillation.until", "0"], "distillation.until"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, footage, tmp_path, capsys, flags, message):
        with pytest.raises(SystemExit):
            main(["--data", "footage", *flags, "--out", str(tmp_path), "--quiet"])
        assert message in capsys.readouterr().err


def test_a_full_network_is_taught_by_a_lite_one(teacher, inputs):
    full = TalkNet(TalkNetConfig.named("talknet", "full")).eval()
    with torch.no_grad():
        assert distillation_loss(teacher, inputs, full(inputs)).item() > 0
