"""Light-ASD and LR-ASD trained by the same steps: from nothing, from weights, with every loss, adversarially."""

import dataclasses
import json

import pytest
import torch
from asd_support import CLASSES, randomised, weights_file
from rows_support import LITE, TINY, log_of, tiny
from training_support import talkset

from pushpull.attacks import BIM, paper_budget
from pushpull.data import sources
from pushpull.detectors import (
    CheckpointError,
    TalkNet,
    attack_copy,
    list_architectures,
    load_detector,
    save_checkpoint,
    save_detector,
)
from pushpull.train import main
from pushpull.training import average as averaging
from pushpull.training import trainer as training
from pushpull.training.adversarial import own_objective
from pushpull.training.loss import set_temperature, training_loss
from pushpull.training.networks import ARCHITECTURES, build, copy_weights
from pushpull.training.options import TrainOptions
from pushpull.training.robust import RobustOptions
from pushpull.training.trainer import train

NAMES = tuple(CLASSES)


def options_of(architecture, **changes):
    changes = {"visual_weight": 0.5, "name": "tiny"} | changes
    return dataclasses.replace(TINY, architecture=architecture, **changes)


def state_of(path):
    return load_detector(path, "cpu", "own").state_dict()


def same(one, two):
    one, two = state_of(one), state_of(two)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(params=NAMES)
def architecture(request):
    return request.param


def test_what_can_be_trained_is_registered():
    assert set(ARCHITECTURES) <= set(list_architectures())
    assert all(type(build(name)) is CLASSES[name] for name in NAMES)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """As rows_support's, with less to measure on: these networks are slow on a processor."""
    folder = tmp_path_factory.mktemp("crops")
    numbers = {"train": (range(0, 3), 30), "validation": (range(3, 3), 30), "test": (range(5, 7), 16)}
    return {split: talkset(folder, which, frames=frames) for split, (which, frames) in numbers.items()}


@pytest.fixture
def unmeasured(splits, monkeypatch):
    """The same without held-out clips, where it is not figures that matter."""
    monkeypatch.setattr(sources, "prepare", lambda *_, **__: (splits | {"test": splits["validation"]}, {}))


class TestRuns:
    def test_a_run_from_random_weights_is_a_detector_like_any_other(self, footage, tmp_path, architecture):
        path = train(options_of(architecture, frames=50), tmp_path, progress=False)
        detector = load_detector(path, "cpu")
        assert type(detector) is CLASSES[architecture] and not detector.training
        card = detector.card
        assert (card["architecture"], card["crop"]) == (architecture, "talknet_demo")
        assert card["crops"] == {"footage": "talknet_demo"} and card["trained_on"] == "footage"
        assert "started_from" not in card and card["training"]["visual_weight"] == 0.5
        assert card["heldout"]["sources"]["footage"]["swapped"]["frames"] == footage["test"].frames
        # Its clusters can be drawn: it has no z.
        assert set(detector.reference_embeddings) == {"e_a", "e_v", "labels"}
        logged = [entry for entry in log_of(tmp_path) if "loss" in entry]
        assert all("a" not in entry for entry in logged), "there is no audio-only head"
        last = logged[-1]
        assert last["loss"] == pytest.approx(last["av"] + 0.5 * last["v"], abs=1e-4)

        clip = footage["test"][0]
        inputs, labels = clip.inputs("cpu"), torch.from_numpy(clip.labels)[None]
        found = BIM(steps=1).run(
            attack_copy(detector), inputs, labels, budgets=paper_budget(5), objective="inference_aware"
        )
        assert found.loss >= found.clean_loss and found.delta["video"].abs().max() > 0

    def test_a_run_with_interaction_losses_goes_on_to_the_same_bits(self, unmeasured, tmp_path, monkeypatch):
        options = options_of("lr-asd", lambda1=0.1, lambda4=0.1, save_seconds=0.0, frames=75)
        whole = train(options, tmp_path / "whole", progress=False)
        logged = [entry for entry in log_of(tmp_path / "whole") if "loss" in entry]
        first = logged[0]
        parts = first["av"] + options.warmup_visual_weight * first["v"] + 0.1 * (first["L1"] + first["L4"])
        assert first["loss"] == pytest.approx(parts, abs=1e-4) and first["norm_a"] > 0
        real = training.training_loss

        def cut(options, outputs, labels, step):
            if step == 2:
                raise RuntimeError("power cut")
            return real(options, outputs, labels, step)

        with monkeypatch.context() as patch:
            patch.setattr(training, "training_loss", cut)
            with pytest.raises(RuntimeError):
                train(options, tmp_path / "cut", progress=False)
        with pytest.raises(ValueError, match=r"other options: architecture \(lr-asd -> light-asd\)"):
            train(dataclasses.replace(options, architecture="light-asd"), tmp_path / "cut", progress=False)
        assert same(train(options, tmp_path / "cut", progress=False), whole)

    @pytest.mark.parametrize(("architecture", "how"), [("lr-asd", "batch"), ("light-asd", "set")])
    def test_adversarial_data_of_its_own(self, footage, tmp_path, monkeypatch, architecture, how):
        few, real = RobustOptions(clips=2, frames=10, steps=1, restarts=1), training.attack_and_tell
        monkeypatch.setattr(training, "attack_and_tell", lambda *a, **more: real(*a, robust=few, **more))
        options = options_of(architecture, adversarial="bim", adversarial_data=how, frames=50)
        path = train(options, tmp_path, progress=False, attack=True)
        types = [set(entry["by_type"]) for entry in log_of(tmp_path) if "loss" in entry]
        assert "adversarial" not in types[0] and all("adversarial" in found for found in types[1:])
        assert (types[-1] == {"adversarial"}) == (how == "batch")
        robust = load_detector(path, "cpu").card["robust"]
        assert robust["options"]["objective"] == "inference_aware", "it has no audio-only head"
        assert robust["pgd"]["ecr_a"] > 0


class TestStart:
    def test_it_begins_with_a_published_file_and_says_so(self, unmeasured, tmp_path, architecture, capsys):
        source = randomised(architecture)
        path = tmp_path / "theirs.model"
        torch.save(source.state_dict(), path)
        options = options_of(architecture, start=str(path), warmup_frames=0, learning_rate=1e-12, ramp=0)
        trained = load_detector(train(options, tmp_path / "run", progress=False), "cpu")
        before = dict(source.named_parameters())
        assert all(torch.allclose(before[name], x, atol=2e-3) for name, x in trained.named_parameters() if x.ndim > 1)
        told = capsys.readouterr().err
        assert "trained on the crop face_box" in told and "footage (talknet_demo)" in told
        assert trained.card["started_from"]["name"] == "theirs" and trained.card["training"]["start"] == "theirs.model"
        assert len(trained.card["started_from"]["sha256"]) == 64

    def test_data_cut_as_the_start_was_needs_no_word(self, unmeasured, tmp_path, capsys):
        path = save_detector(
            tmp_path / "mine", randomised("lr-asd"), {"name": "mine", "crop": "face_box", "licence": "MIT"}
        )
        footage_options = dataclasses.replace(TINY.footage, crop="face_box")
        options = options_of("lr-asd", start=str(path), warmup_frames=0, frames=25, footage=footage_options)
        card = load_detector(train(options, tmp_path / "run", progress=False), "cpu").card
        assert (card["crop"], card["licence"]) == ("face_box", "MIT") and "crop" not in capsys.readouterr().err

    def test_the_published_weights_are_trained_on(self, unmeasured, tmp_path):
        path = weights_file("lr-asd-ava")
        options = options_of("lr-asd", start=str(path), warmup_frames=0, frames=25, recalibration=0, learning_rate=1e-6)
        card = load_detector(train(options, tmp_path, progress=False), "cpu").card
        assert card["trained_on"] == "AVA-ActiveSpeaker, then footage" and card["licence"].startswith("MIT")
        assert card["started_from"]["name"] == "lr-asd-ava" and card["started_from"]["source"].endswith(".model")

    @pytest.mark.parametrize(
        ("architecture", "source", "message"),
        [
            ("lr-asd", "light-asd", "lr-asd cannot begin with the weights of light-asd: give --architecture light-asd"),
            ("light-asd", "talknet", "light-asd cannot begin with the weights of lite talknet: give --architecture"),
            ("talknet", "lr-asd", "lite talknet cannot begin with the weights of lr-asd: give --architecture lr-asd"),
        ],
    )
    def test_weights_of_another_architecture_are_refused(
        self, unmeasured, tmp_path, capsys, architecture, source, message
    ):
        if source == "talknet":
            path = save_checkpoint(tmp_path / "other", TalkNet(LITE))
        else:
            path = save_detector(tmp_path / "other", randomised(source))
        flags = ["--architecture", architecture, "--start", str(path), "--out", str(tmp_path / "run")]
        with pytest.raises(SystemExit):
            main(["--data", "footage", *flags])
        assert message in capsys.readouterr().err

    def test_a_file_that_is_damaged_is_refused(self, unmeasured, tmp_path, capsys):
        (tmp_path / "cut.model").write_bytes(b"PK\x03\x04 and no more")
        with pytest.raises(SystemExit):
            main(["--data", "footage", "--architecture", "lr-asd", "--start", str(tmp_path / "cut.model")])
        assert "cut.model" in capsys.readouterr().err

    def test_all_tensors_are_taken_over(self, architecture):
        source, network = randomised(architecture), build(architecture)
        assert copy_weights(network, source) == []
        assert all(torch.equal(x, network.state_dict()[name]) for name, x in source.state_dict().items())
        with pytest.raises(CheckpointError, match="give --architecture"):
            copy_weights(TalkNet(LITE), source)


class TestRecipe:
    def test_options_of_a_row_are_those_of_the_published_recipe(self, architecture):
        options = TrainOptions.of_row("D3", architecture=architecture, data="x")
        assert (options.visual_weight, options.lambda1, options.lambda4) == (0.5, 0.1, 0.1)
        assert options.name == f"{architecture}-d3" and options.temperature == 1.3
        assert TrainOptions.of_row("A", architecture=architecture, visual_weight=0.3).visual_weight == 0.3
        assert TrainOptions.of_row("A").visual_weight == 0.4

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--architecture", "lr_asd"], "architecture is one of talknet, light-asd, lr-asd"),
            (["--architecture", "lr-asd", "--size", "full"], "lr-asd has one variant and one size"),
            (["--architecture", "light-asd", "--row", "nc"], "light-asd has one variant and one size"),
            (["--architecture", "lr-asd", "--temperature", "0"], "temperature divides logits and is above 0"),
            (["--adversarial-data", "always"], "adversarial_data is one of set, batch"),
            (["--row", "M", "--adversarial", "bim"], "row M means adversarial 'pgd'"),
            (["--footage.crop", "chin"], "crop is 'talknet_demo' or 'face_box'"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, arguments, message, tmp_path, capsys):
        with pytest.raises(SystemExit):
            main(["--data", "x", *arguments, "--out", str(tmp_path / "run")])
        assert message in capsys.readouterr().err

    def test_the_temperature_falls_to_1(self, architecture):
        network, options = build(architecture), tiny()
        temperatures = []
        for step in (0, options.steps // 2, options.steps):
            set_temperature(network, options, step)
            temperatures.append(network.temperature)
        assert temperatures == pytest.approx([1.3, 1.15, 1.0])
        set_temperature(TalkNet(LITE), options, 0)  # has none

    def test_the_loss_is_that_of_the_heads_there_are(self, architecture):
        network = randomised(architecture)
        inputs = {"audio": 0.1 * torch.randn(1, 640 * 5), "video": 255 * torch.rand(1, 5, 112, 112)}
        labels = torch.tensor([[0, 1, 1, 0, 1]])
        outputs = network(inputs)
        options = options_of(architecture, warmup_frames=0)
        loss, parts = training_loss(options, outputs, labels, 0)
        by_hand = {
            name: torch.nn.functional.cross_entropy(logits[0], labels[0])
            for name, logits in (("av", outputs.logits_av), ("v", outputs.logits_v))
        }
        assert parts.keys() == by_hand.keys()
        assert loss.item() == pytest.approx((by_hand["av"] + 0.5 * by_hand["v"]).item(), abs=1e-6)
        # What an attack of training maximises is the same, clip by clip.
        assert own_objective(network, 0.5)(outputs, labels).item() == pytest.approx(loss.item(), abs=1e-6)
        assert own_objective(network, 0.5)(outputs, labels, targeted=True).item() == pytest.approx(
            -loss.item(), abs=1e-6
        )
        assert own_objective(TalkNet(LITE), 0.4) == "training_aware"


def test_an_average_of_two_is_one_of_them(unmeasured, tmp_path, monkeypatch):
    architecture = "light-asd"
    monkeypatch.setattr(averaging, "attack_and_tell", lambda *_, **__: None)
    short = {"frames": 25, "warmup_frames": 0}
    first = train(options_of(architecture, name="first", **short), tmp_path / "first", progress=False)
    second = train(
        options_of(architecture, name="second", start=str(first), **short), tmp_path / "second", progress=False
    )
    flags = ["--data", "footage", "--device", "cpu", "--quiet", "--weight", "0.5", "--out", str(tmp_path / "both")]
    assert averaging.main([str(first), str(second), *flags]) == 0
    both, ends = load_detector(tmp_path / "both.safetensors", "cpu"), [load_detector(x, "cpu") for x in (first, second)]
    assert torch.allclose(both.lossV.FC.weight, sum(x.lossV.FC.weight for x in ends) / 2, atol=1e-3)
    assert both.card["architecture"] == architecture and both.card["crop"] == "talknet_demo"
    other = save_detector(tmp_path / "other", randomised(next(name for name in NAMES if name != architecture)))
    with pytest.raises(CheckpointError, match="have no average"):
        averaging.average(ends[0], load_detector(other, "cpu"), 0.5)


@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_stored_weights_and_embeddings_come_back(tmp_path, weights):
    network = randomised("lr-asd")
    network.reference_embeddings = {"e_a": torch.randn(4, 128), "labels": torch.tensor([0, 0, 1, 1])}
    path = save_detector(tmp_path / "mine", network, {"name": "x", "crop": "face_box"}, weights=weights)
    again = load_detector(path, "cpu")
    assert torch.allclose(again.reference_embeddings["e_a"], network.reference_embeddings["e_a"], atol=2e-3)
    assert again.reference_embeddings["labels"].tolist() == [0, 0, 1, 1]
    assert all(
        torch.allclose(x.float(), again.state_dict()[name].float(), atol=0.02)
        for name, x in network.state_dict().items()
    )
    smaller = save_detector(tmp_path / "whole", network).stat().st_size / path.stat().st_size
    assert smaller > (1.8 if weights == "float16" else 3)
    assert json.loads(path.with_suffix(".json").read_text())["crop"] == "face_box"
