"""Rows of Table 1: their options, interaction losses, warm starts, what a run shows."""

import dataclasses
import json
from functools import partial

import pytest
import torch
from rows_support import LITE, log_of, same, tiny

from pushpull.detectors import CheckpointError, TalkNet, TalkNetConfig, load_model, save_checkpoint
from pushpull.detectors.sidecar import add_to_card
from pushpull.files import sha256
from pushpull.train import main
from pushpull.training import figures
from pushpull.training import trainer as training
from pushpull.training.figures import attack_and_tell
from pushpull.training.log import TrainLog, draw_curves
from pushpull.training.networks import copy_weights
from pushpull.training.options import TrainOptions
from pushpull.training.robust import RobustOptions
from pushpull.training.rows import ROWS, checkpoint_name, row_of
from pushpull.training.trainer import train


@pytest.mark.parametrize("row", ROWS)
def test_rows_are_options_and_options_are_rows(row):
    options = TrainOptions.of_row(row, data="x")
    assert row_of(dataclasses.asdict(options)) == row and options.name == checkpoint_name(row, "lite")
    by_hand = dataclasses.replace(options, row="")
    assert row_of(dataclasses.asdict(by_hand)) == row
    assert sum(weight == 0.1 for weight in options.lambdas) == {"C": 1, "D": 2, "E": 2}.get(row[0], 0)
    attacks = {"B1": "bim", "B2": "mim", "B3": "pgd", "E1": "bim", "E2": "mim", "E3": "pgd", "M": "pgd"}
    assert options.adversarial == attacks.get(row, "")
    assert options.adversarial_data == ("batch" if row == "M" else "set")


def test_names_of_checkpoints_are_different():
    names = {checkpoint_name(row, size) for row in ROWS for size in ("lite", "full")}
    assert len(names) == 2 * len(ROWS) and {"talknet-lite-a", "talknet-lite-e2", "nctalknet-lite"} <= names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--row", "F1"], "row is one of A, B1"),
        (["--row", "B1", "--lambda1", "0.1"], "row B1 means lambda1 0.0"),
        (["--row", "C1", "--adversarial", "bim"], "row C1 means adversarial ''"),
        (["--adversarial", "fgsm"], "adversarial is one of bim, mim, pgd or nothing"),
        (["--lambda2", "-1"], "lambdas must not be negative"),
        (["--injection.share", "0"], "injection.share"),
        (["--injection.rise", "2"], "injection.rise is a share"),
        (["--row", "B1", "--injection.rise", "0.5"], "injection.rise is of attacks on every batch"),
        (["--row", "M", "--frames", "50000"], "begins after the warm-up, which takes all of the 50000 frames"),
        (["--accumulate", "0"], "accumulate counts batches"),
        (["--start", "nowhere"], "no detector is called 'nowhere'"),
    ],
)
def test_what_makes_no_sense_is_refused(footage, arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--data", "footage", *arguments, "--out", str(tmp_path), "--quiet"])
    assert message in capsys.readouterr().err


def test_a_row_on_the_command_line_is_that_row(footage, tmp_path, capsys):
    flags = ["--frames", "25", "--warmup-frames", "0", "--batches.frames", "25", "--batches.longest", "1"]
    more = ["--data", "footage", "--validation-clips", "0", "--recalibration", "1", "--workers", "0"]
    assert main(["--row", "D3", *flags, *more, "--out", str(tmp_path), "--quiet"]) == 0
    card = json.loads((tmp_path / "talknet-lite-d3.json").read_text())
    assert card["row"] == "D3" and card["training"]["lambda1"] == card["training"]["lambda4"] == 0.1
    logged = log_of(tmp_path)[0]
    assert {"L1", "L2", "L3", "L4", "norm_a", "norm_v"} <= set(logged)
    parts = logged["av"] + 0.4 * (logged["a"] + logged["v"]) + 0.1 * (logged["L1"] + logged["L4"])
    assert logged["loss"] == pytest.approx(parts, abs=1e-4)
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_a_finished_run_is_attacked_if_asked(footage, tmp_path, monkeypatch):
    few = RobustOptions(clips=2, frames=10, steps=1, restarts=1)
    monkeypatch.setattr(training, "attack_and_tell", partial(attack_and_tell, robust=few))
    path = train(tiny(), tmp_path, progress=False)
    assert "robust" not in json.loads(path.with_suffix(".json").read_text())
    again = train(tiny(), tmp_path, progress=False, attack=True)
    card = json.loads(again.with_suffix(".json").read_text())
    assert card["robust"]["examples"] == 2 and card["robust"]["set"] == footage["test"].fingerprint
    assert card["sha256"] == sha256(again) and card["heldout"]["sources"]


@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_a_checkpoint_is_written_once_and_what_its_card_was_told_stays(footage, tmp_path, monkeypatch, weights):
    written, save = [], figures.save_network
    few = RobustOptions(clips=2, frames=10, steps=1, restarts=1)
    monkeypatch.setattr(training, "attack_and_tell", partial(attack_and_tell, robust=few))
    monkeypatch.setattr(figures, "save_network", lambda path, *a, **kw: written.append(path) or save(path, *a, **kw))
    path = train(tiny(weights=weights), tmp_path, progress=False)
    before = sha256(path)
    assert train(tiny(weights=weights), tmp_path, progress=False, attack=True) == path
    add_to_card(path, unseen={"told": "later"})
    told = json.loads(path.with_suffix(".json").read_text())
    assert train(tiny(weights=weights, credit="of nobody"), tmp_path, progress=False) == path
    card = json.loads(path.with_suffix(".json").read_text())
    assert written == [path] and sha256(path) == before == card["sha256"]
    assert card["robust"]["examples"] == 2 and card["unseen"] == {"told": "later"}
    assert card.pop("credit") == "of nobody" and card.pop("training")["credit"] == "of nobody"
    assert card == {name: value for name, value in told.items() if name not in ("credit", "training")}
    stored = load_model(path, "cpu")
    assert {"e_a", "z_v", "labels"} <= set(stored.reference_embeddings) and stored.card["heldout"] == told["heldout"]

    train(tiny(weights=weights, recalibration=2), tmp_path, progress=False)  # the same steps, other weights
    assert len(written) == 2 and "unseen" not in json.loads(path.with_suffix(".json").read_text())


def test_a_run_that_was_stopped_while_it_was_measured_goes_on(footage, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(figures, "held_out", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tiny(), tmp_path / "stopped", progress=False)
    assert not list((tmp_path / "stopped").glob("*.safetensors")), "there is none without its figures"
    assert same(train(tiny(), tmp_path / "stopped", progress=False), train(tiny(), tmp_path / "whole", progress=False))


def test_lambdas_change_what_is_learnt(footage, tmp_path):
    plain, other = (
        train(tiny(), tmp_path / "a", progress=False),
        train(tiny(lambda4=0.1), tmp_path / "c", progress=False),
    )
    assert not same(plain, other)


class TestWarmStart:
    def test_a_run_begins_with_the_given_weights(self, footage, tmp_path):
        torch.manual_seed(3)
        path = save_checkpoint(tmp_path / "base", TalkNet(LITE))
        options = tiny(start=str(path), learning_rate=1e-12, ramp=0)
        moved = load_model(train(options, tmp_path / "run", progress=False), "cpu")
        before = dict(load_model(path, "cpu").named_parameters())
        assert all(torch.allclose(before[name], value, atol=1e-3) for name, value in moved.named_parameters())

    @pytest.mark.parametrize("variant", ["nctalknet", "spectalknet", "talknet"])
    def test_other_variants_take_what_they_have_in_common(self, variant):
        source, model = TalkNet(LITE), TalkNet(TalkNetConfig.named(variant, "lite"))
        assert copy_weights(model, source) == []
        own = model.state_dict()
        assert all(torch.equal(own[name], tensor) for name, tensor in source.state_dict().items() if name in own)

    def test_an_attention_that_the_source_lacks_stays_random(self):
        model = TalkNet(LITE)
        left = copy_weights(model, TalkNet(TalkNetConfig.named("nctalknet", "lite")))
        assert left and all(name.startswith(("crossA2V", "crossV2A")) for name in left)

    def test_another_size_is_refused(self):
        with pytest.raises(CheckpointError, match="same size"):
            copy_weights(TalkNet(LITE), TalkNet(TalkNetConfig.named("talknet", "full")))


def test_batches_that_are_accumulated_count_as_one_step(footage, tmp_path):
    two = tiny(accumulate=2, frames=100, warmup_frames=0)
    assert two.steps == 2 and two.step_frames == 50
    train(two, tmp_path, progress=False)
    assert [entry["frames"] for entry in log_of(tmp_path) if "loss" in entry] == [50, 100]


def test_tensorboard_gets_every_number_or_a_way_to_have_it(tmp_path, monkeypatch):
    entry = {"step": 1, "frames": 25, "loss": 1.5, "by_type": {"still": 0.5}, "test": None}
    try:
        log = TrainLog(tmp_path / "log.jsonl", 0, tensorboard=True)
    except ValueError as error:
        assert "pip install tensorboard" in str(error)
        return
    log.write(entry)
    log.board.flush()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "by_type/still"}
    assert events.Scalars("loss")[0].value == 1.5 and events.Scalars("loss")[0].step == 1


def test_curves_of_interaction_losses_are_drawn(tmp_path):
    names = ("loss", "av", "a", "v", "L1", "L2", "L3", "L4", "norm_a", "norm_v")
    log = tmp_path / "log.jsonl"
    log.write_text(
        "".join(json.dumps({"step": s, "frames": 25 * s} | dict.fromkeys(names, 1.0 / s)) + "\n" for s in (1, 2))
    )
    draw_curves(log, tmp_path / "curves.png", "title")
    from PIL import Image

    assert Image.open(tmp_path / "curves.png").size == (1210, 880)
