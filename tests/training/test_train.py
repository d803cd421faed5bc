"""Training: exact to the bit however often it is stopped, honest about its options, quiet about nothing."""

import dataclasses
import json
import math
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from training_support import talkset

from pushpull.data import sources
from pushpull.data.batches import Batching
from pushpull.data.mix import ExampleMix
from pushpull.detectors import load_model
from pushpull.train import main
from pushpull.training import trainer as training
from pushpull.training.loss import learning_rate, training_batch
from pushpull.training.networks import weights_sha256
from pushpull.training.options import TrainOptions
from pushpull.training.trainer import train

# Two steps of warm-up, one clip of a second each, and four of two clips of ten frames; an epoch is three steps.
TINY = TrainOptions(
    data="footage",
    name="tiny",
    frames=150,
    warmup_frames=50,
    ramp=2,
    validation_clips=2,
    recalibration=1,
    device="cpu",
    workers=0,
    batches=Batching(frames=25, shortest=0.4, longest=0.4),
)
BATCH = TINY.batches.frames


def tiny(**changes):
    return dataclasses.replace(TINY, **changes)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """Splits of made-up talkers: 90 frames to train on."""
    folder = tmp_path_factory.mktemp("crops")
    names = {"train": range(0, 3), "validation": range(3, 5), "test": range(5, 7)}
    return {split: talkset(folder, numbers, frames=30) for split, numbers in names.items()}


@pytest.fixture
def footage(splits, monkeypatch):
    """``splits`` in place of a folder of videos."""
    monkeypatch.setattr(sources, "prepare", lambda *_, **__: (splits, {}))
    return splits


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def without_time(entries):
    return [{k: v for k, v in entry.items() if k not in ("seconds", "waited")} for entry in entries]


def run(out, options=TINY):
    return train(options, out, progress=False)


@pytest.fixture(scope="module")
def undisturbed(splits, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "prepare", lambda *_, **__: (splits, {}))
        run(out)
    torch.set_num_threads(before)
    return out


@pytest.fixture
def whole(undisturbed, footage, tmp_path):
    """The checkpoint of a run that nothing disturbed, in a folder of the test's own."""
    return Path(shutil.copytree(undisturbed, tmp_path / "whole")) / "tiny.safetensors"


def stop_in_step(monkeypatch, step, how):
    """``how()`` happens in the middle of that step: after the model's running statistics moved, before its weights."""
    real = training.training_loss

    def loss(options, outputs, labels, number):
        if number == step:
            how()
        return real(options, outputs, labels, number)

    monkeypatch.setattr(training, "training_loss", loss)


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def polite_kill():
    signal.raise_signal(signal.SIGTERM)


def error():
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    "step, how, raised, reached",
    [
        (0, ctrl_c, KeyboardInterrupt, 1),
        (2, ctrl_c, KeyboardInterrupt, 3),  # the end of an epoch: its validation is still to come
        (3, error, RuntimeError, 3),  # that validation is done, and was not saved
        (4, polite_kill, KeyboardInterrupt, 5),
        (4, error, RuntimeError, 4),
        (0, error, RuntimeError, None),
    ],
)
def test_a_run_that_was_stopped_ends_in_the_same_bits(
    footage, whole, tmp_path, monkeypatch, capsys, step, how, raised, reached
):
    out = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_in_step(patch, step, how)
        with pytest.raises(raised):
            # Saving after every step stands for the time that passes between two saves.
            run(out, tiny(save_seconds=0.0))
    saved = torch.load(out / "state.pt", weights_only=True)["step"] if reached else None
    assert saved == reached and (out / "state.pt").exists() == (reached is not None)
    path = run(out)
    assert path.read_bytes() == whole.read_bytes() or differing(path, whole) == []
    assert without_time(log_of(out)) == without_time(log_of(whole.parent))
    card, undisturbed = (json.loads(x.with_suffix(".json").read_text()) for x in (path, whole))
    assert card["heldout"] == undisturbed["heldout"] and card["validation"] == undisturbed["validation"]
    assert capsys.readouterr().out == "", "without progress nothing is told"


def differing(one, two):
    """Names of the weights that are not the same in two checkpoints, whose cards tell the time."""
    a, b = (load_model(path, "cpu").state_dict() for path in (one, two))
    return [name for name in a if not torch.equal(a[name], b[name])]


def test_the_second_ctrl_c_does_not_wait(footage, tmp_path, monkeypatch):
    def twice():
        ctrl_c()
        ctrl_c()
        pytest.fail("still running")

    stop_in_step(monkeypatch, 3, twice)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", tiny(save_seconds=0.0))
    # The step was cut in two: what counts is the state before it.
    assert torch.load(tmp_path / "run/state.pt", weights_only=True)["step"] == 3


def test_replayed_steps_are_in_the_log_once(footage, whole, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_in_step(patch, 5, error)
        # Nothing is saved in between: all that the error leaves is the log.
        with pytest.raises(RuntimeError):
            run(out)
    assert [entry["step"] for entry in log_of(out) if "loss" in entry] == [1, 2, 3, 4, 5]
    run(out)
    assert without_time(log_of(out)) == without_time(log_of(whole.parent))


def test_the_number_of_threads_that_prepare_batches_changes_nothing(whole, tmp_path):
    assert differing(run(tmp_path / "threads", tiny(workers=2)), whole) == []


def test_another_seed_is_another_run(whole, tmp_path):
    assert differing(run(tmp_path / "seed", tiny(seed=1)), whole)


def test_other_options_or_clips_in_the_same_folder_are_refused_and_named(whole, footage, monkeypatch):
    before = (whole.parent / "state.pt").read_bytes()
    with pytest.raises(ValueError, match=r"other options: mix.still \(0.1 -> 0.5\), seed \(0 -> 1\)"):
        run(whole.parent, tiny(seed=1, mix=ExampleMix(still=0.5)))
    fewer = footage | {"train": footage["train"].first(2)}
    monkeypatch.setattr(sources, "prepare", lambda *_, **__: (fewer, {}))
    with pytest.raises(ValueError, match=r"other options: clips \("):
        run(whole.parent)
    assert (whole.parent / "state.pt").read_bytes() == before


def test_what_decides_nothing_may_change(whole):
    assert run(whole.parent, tiny(name="renamed", credit="somebody", workers=1, save_seconds=1.0)).stem == "renamed"
    assert sum("test" in entry for entry in log_of(whole.parent)) == 1


def test_who_trains_the_same_again_has_the_same_hash_of_weights(whole, footage, tmp_path, monkeypatch):
    monkeypatch.setattr(training.time, "monotonic", iter(range(10**6)).__next__)  # each step takes seconds
    again = run(tmp_path / "again")
    cards = [json.loads(path.with_suffix(".json").read_text()) for path in (whole, again)]
    assert cards[0]["sha256"] != cards[1]["sha256"] and cards[0]["seconds"] != cards[1]["seconds"]
    assert cards[0]["weights_sha256"] == cards[1]["weights_sha256"] == weights_sha256(whole)


def test_the_card_says_what_the_checkpoint_is(whole, footage):
    model = load_model(whole, "cpu")
    card = model.card
    assert card["name"] == "tiny" and card["training"]["seed"] == 0 and card["training"]["data"] == "footage"
    assert card["training"]["batches"] == dataclasses.asdict(TINY.batches)
    assert card["clips"] == {
        split: {"clips": len(clips), "frames": clips.frames, "set": clips.fingerprint}
        for split, clips in footage.items()
    }
    assert card["heldout"]["set"] == footage["test"].fingerprint
    assert card["heldout"]["sources"]["footage"]["all"]["frames"] == 7 * footage["test"].frames
    assert [entry["step"] for entry in card["validation"]] == [3], "each epoch but the last, which the test follows"
    out = model(footage["test"][0].inputs())
    assert out.margin.shape == (1, 30) and torch.isfinite(out.margin).all()


def test_what_is_written_has_statistics_of_its_own_weights(whole, footage, tmp_path):
    plain = load_model(train(tiny(recalibration=0, prior=0.0), tmp_path, progress=False), "cpu")
    settled = load_model(train(tiny(prior=0.0), tmp_path, progress=False), "cpu")
    moved = dict(plain.named_buffers())
    for name, value in settled.named_parameters():
        assert torch.equal(value, dict(plain.named_parameters())[name])
    assert not torch.equal(settled.visualTCN.net[0].net[1].running_mean, moved["visualTCN.net.0.net.1.running_mean"])


def test_the_prior_of_training_is_taken_out_of_what_is_written(whole, tmp_path):
    written = {}
    for prior in (0.0, 0.5, 0.8):
        # The same run, written once more: nothing is trained again. Its share of speaking frames is that of 24 batches.
        path = tmp_path / f"{prior}"
        path.mkdir()
        shutil.copy(whole.parent / "state.pt", path)
        model = load_model(train(tiny(prior=prior, recalibration=0), path, progress=False), "cpu")
        written[prior] = {name: value.detach() for name, value in model.named_parameters()}
    raw, even, likely = written.values()
    biases = {f"head{which}.bias" for which in ("AV", "A", "V")}
    assert {name for name in raw if not torch.equal(raw[name], even[name])} == biases
    for name in biases:
        odds = [float(values[name][1] - values[name][0]) for values in (raw, even, likely)]
        assert odds[2] - odds[1] == pytest.approx(math.log(4), abs=2e-3), "from 1 to 1 to 4 to 1"
        assert 0 < odds[1] - odds[0] < 3, "less than half of the frames speak"


def test_evaluate_repeats_the_held_out_figures(whole, footage, capsys, monkeypatch):
    arguments = ["--data", "footage", "--device", "cpu", "--evaluate", str(whole), "--quiet"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == load_model(whole, "cpu").card["heldout"] and "not the clips" not in shown.err
    monkeypatch.setattr(sources, "prepare", lambda *_, **__: (footage | {"test": footage["train"]}, {}))
    assert main(arguments) == 0
    assert "not the clips that the checkpoint's card gives figures for" in capsys.readouterr().err


def test_too_little_held_out_is_said_and_breaks_nothing(footage, tmp_path, monkeypatch, capsys):
    none = footage | {"validation": footage["validation"].first(1), "test": footage["test"].first(1)}
    monkeypatch.setattr(sources, "prepare", lambda *_, **__: (none, {}))
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(dataclasses.asdict(TINY)))
    out = tmp_path / "run"
    assert main(["--config", str(config), "--out", str(out), "--quiet"]) == 0
    assert "no held-out figures" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--data", "footage", "--evaluate", str(out / "tiny.safetensors"), "--quiet"])
    assert "fewer than two clips in its test split" in capsys.readouterr().err


def test_processes_that_do_not_see_the_same_state_are_refused(footage, tmp_path, monkeypatch):
    """Two machines, each with a folder of its own: one would go on with step 7, the other begin anew."""
    monkeypatch.setattr(training.World, "mean", lambda self, value: value + 3.5)
    with pytest.raises(ValueError, match="run has to be one folder that all of them see"):
        run(tmp_path / "run")


def test_too_little_to_train_on_is_said(footage, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "prepare", lambda *_, **__: (footage | {"train": footage["train"].first(1)}, {}))
    with pytest.raises(ValueError, match="footage has 1 in its training split"):
        run(tmp_path / "run")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seed", "1"], "say what to train on: --data FOLDER"),
        (["--data", "/nowhere/at/all"], "no folder /nowhere/at/all"),
        (["--data", "x", "--frames", "10", "--warmup-frames", "0"], "less than one step"),
        (["--data", "x", "--schedule", "flat"], "schedule is one of cosine, exponential"),
        (["--data", "x", "--precision", "half"], "precision is one of auto, float32"),
        (["--data", "x", "--validation-clips", "1"], "0 or at least 2"),
        (["--data", "x", "--batches.frames", "24", "--batches.shortest", "0.5"], "none of the warm-up's clips of 1 s"),
        (["--data", "x", "--seed", "-1"], "seed must not be negative"),
        (["--data", "x", "--learning-rate", "0"], "learning_rate and decay are above 0"),
        (["--data", "x", "--learning-rate=-1e-3"], "learning_rate and decay are above 0"),
        (["--data", "x", "--learning-rate", "nan"], "finite numbers, got {'learning_rate': nan}"),
        (["--data", "x", "--lambda1", "inf"], "finite numbers, got {'lambda1': inf}"),
        (["--data", "x", "--decay", "0"], "learning_rate and decay are above 0"),
        (["--data", "x", "--threads=-1"], "threads and workers count from 0"),
        (["--data", "x", "--workers=-1"], "threads and workers count from 0"),
        (["--data", "x", "--size", "huge"], "huge"),
        (["--data", "x", "--variant", "talknett"], "talknett"),
        (["--data", "x", "--evaluate", "nowhere.safetensors"], "no checkpoint at nowhere.safetensors"),
    ],
)
def test_the_command_refuses_with_a_reason(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_the_command_stops_and_goes_on(footage, tmp_path, monkeypatch, capsys):
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(dataclasses.asdict(TINY)))
    arguments = ["--config", str(config), "--out", str(tmp_path / "run"), "--quiet"]
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        stop_in_step(patch, 1, ctrl_c)
        assert main(arguments) == 130
    assert "the same command goes on where it stopped" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before, "afterwards Ctrl-C is Ctrl-C again"
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "tiny.safetensors" in shown and "in_sync" in shown and "still" in shown


@pytest.mark.parametrize(("rank", "says"), [("0", "wrote "), ("1", "")])
def test_one_of_several_processes_says_what_was_written(whole, monkeypatch, capsys, rank, says):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr("pushpull.train.train", lambda *_, **__: whole)
    assert main(["--data", "footage", "--out", str(whole.parent), "--quiet"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(says) and bool(told) == bool(says)


def test_the_curriculum_is_one_second_of_in_sync_and_still(tmp_path):
    pool = talkset(tmp_path, range(4))
    options = TrainOptions(frames=2000, warmup_frames=400, batches=Batching(frames=100, shortest=0.6, longest=1.4))
    types, lengths = set(), set()
    for step in range(options.warmup_steps):
        batch = training_batch(options, pool, step)
        types |= set(batch.types)
        lengths.add(batch.labels.shape[1])
    assert types == {"in_sync", "still"} and lengths == {25}
    moved = dataclasses.replace(options, batches=dataclasses.replace(options.batches, sound_early=2, sound_late=3))
    assert torch.equal(training_batch(moved, pool, 1).audio, training_batch(options, pool, 1).audio), "not yet"
    after = [training_batch(options, pool, step) for step in range(options.warmup_steps, options.steps)]
    assert set().union(*(batch.types for batch in after)) > {"in_sync", "still", "swapped", "shifted", "noise"}
    assert len({batch.labels.shape[1] for batch in after}) > 3


def test_the_loss_is_ce_all_with_a_heavier_face_at_first():
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(2, 5, 2, generator=generator) for _ in range(3)]
    outputs = type("Outputs", (), dict(zip(("logits_av", "logits_a", "logits_v"), logits, strict=True)))
    labels = torch.tensor([[0, 1, 1, 0, 1], [0, 0, 1, 0, 1]])
    by_hand = [-torch.log_softmax(x.double(), 2).gather(2, labels[..., None]).mean().item() for x in logits]
    for step, visual in ((0, 1.0), (TINY.warmup_steps, 0.4)):
        loss, parts = training.training_loss(TINY, outputs, labels, step)
        assert loss.item() == pytest.approx(by_hand[0] + 0.4 * by_hand[1] + visual * by_hand[2], abs=1e-5)
        assert [part.item() for part in parts.values()] == pytest.approx(by_hand, abs=1e-5)


def test_the_rate_rises_then_falls():
    options = tiny(frames=100 * BATCH, ramp=10, learning_rate=1.0)
    rates = [learning_rate(options, step, 30) for step in range(100)]
    assert rates[0] == pytest.approx(0.1, rel=0.01) and np.argmax(rates) in (9, 10)
    assert 0.01 < rates[-1] < 0.012 and all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))
    stepped = tiny(frames=100 * BATCH, ramp=0, learning_rate=1.0, schedule="exponential")
    assert [learning_rate(stepped, step, 30) for step in (0, 29, 30, 65)] == pytest.approx([1, 1, 0.95, 0.95**2])
