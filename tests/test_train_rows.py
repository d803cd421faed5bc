"""Rows of Table 1: interaction losses, adversarial data, warm starts, several processes; exact and resumable."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from training_support import talker, talkset

from pushpull import train as training
from pushpull.attacks import BIM, MIM, PGD
from pushpull.data import sources
from pushpull.data.augment import Augmentation
from pushpull.data.batches import Batching, make_batch
from pushpull.data.kinds import Kinds
from pushpull.models import CheckpointError, TalkNet, TalkNetConfig, attackable, load_model, save_checkpoint
from pushpull.train import TrainOptions, main, train
from pushpull.training import inject as injecting
from pushpull.training.adversarial import Injection, load_set, make_set
from pushpull.training.log import TrainLog, draw_curves
from pushpull.training.rows import ROWS, checkpoint_name, row_of
from pushpull.training.start import warm_start

TINY = TrainOptions(
    data="footage",
    name="tiny",
    frames=100,
    warmup_frames=25,
    ramp=2,
    validation_clips=0,
    recalibration=1,
    device="cpu",
    workers=0,
    threads=1,
    batches=Batching(frames=25, shortest=0.4, longest=0.4),
    injection=Injection(frames=40, attack_steps=1, restarts=1),
)
LITE = TalkNetConfig.named("talknet", "lite")


def tiny(**changes):
    return dataclasses.replace(TINY, **changes)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    numbers = {"train": range(0, 3), "validation": range(3, 3), "test": range(5, 7)}
    return {split: talkset(folder, which, frames=30) for split, which in numbers.items()}


@pytest.fixture
def footage(splits, monkeypatch):
    monkeypatch.setattr(sources, "prepare", lambda *_, **__: (splits, {}))
    return splits


def weights(path):
    return load_model(path, "cpu").state_dict()


def same(one, two):
    one, two = weights(one), weights(two)
    return all(torch.equal(one[name], two[name]) for name in one)


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS)
def test_rows_are_options_and_options_are_rows(row):
    options = TrainOptions.of_row(row, data="x")
    assert row_of(dataclasses.asdict(options)) == row and options.name == checkpoint_name(row, "lite")
    by_hand = dataclasses.replace(options, row="")
    assert row_of(dataclasses.asdict(by_hand)) == row
    assert sum(weight == 0.1 for weight in options.lambdas) == {"C": 1, "D": 2, "E": 2}.get(row[0], 0)
    assert options.adversarial == {"1": "bim", "2": "mim", "3": "pgd"}.get(row[1:] if row[0] in "BE" else "", "")


def test_names_of_checkpoints_are_different():
    names = {checkpoint_name(row, size) for row in ROWS for size in ("lite", "full")}
    assert len(names) == 2 * len(ROWS) and {"talknet-lite", "talknet-lite-e2", "nctalknet-lite"} <= names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--row", "F1"], "row is one of A, B1"),
        (["--row", "B1", "--lambda1", "0.1"], "row B1 of Table 1 means lambda1 0.0"),
        (["--row", "C1", "--adversarial", "bim"], "row C1 of Table 1 means adversarial ''"),
        (["--adversarial", "fgsm"], "adversarial is bim, mim, pgd"),
        (["--lambda2", "-1"], "lambdas must not be negative"),
        (["--injection.share", "0"], "injection.share"),
        (["--accumulate", "0"], "accumulate counts batches"),
        (["--start", "nowhere"], "no model named 'nowhere'"),
    ],
)
def test_what_makes_no_sense_is_refused(footage, arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--data", "footage", *arguments, "--out", str(tmp_path), "--quiet"])
    assert message in capsys.readouterr().err


def test_a_row_on_the_command_line_is_that_row(footage, tmp_path, capsys):
    flags = ["--frames", "25", "--warmup_frames", "0", "--batches.frames", "25", "--batches.longest", "1"]
    more = ["--data", "footage", "--validation_clips", "0", "--recalibration", "1", "--workers", "0"]
    assert main(["--row", "D3", *flags, *more, "--out", str(tmp_path), "--quiet"]) == 0
    card = json.loads((tmp_path / "talknet-lite-d3.json").read_text())
    assert card["row"] == "D3" and card["training"]["lambda1"] == card["training"]["lambda4"] == 0.1
    logged = log_of(tmp_path)[0]
    assert {"L1", "L2", "L3", "L4", "norm_a", "norm_v"} <= set(logged)
    parts = logged["av"] + 0.4 * (logged["a"] + logged["v"]) + 0.1 * (logged["L1"] + logged["L4"])
    assert logged["loss"] == pytest.approx(parts, abs=1e-4)
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_lambdas_change_what_is_learnt(footage, tmp_path):
    plain, other = (
        train(tiny(), tmp_path / "a", progress=False),
        train(tiny(lambda4=0.1), tmp_path / "c", progress=False),
    )
    assert not same(plain, other)


class TestAdversarialData:
    def batches(self, splits, count=2):
        options = Batching(frames=30, shortest=0.4, longest=0.4)
        return [make_batch(splits["train"], Kinds(), options, seed=0, step=step) for step in range(count)]

    @pytest.mark.parametrize(("name", "attack"), [("bim", BIM), ("mim", MIM), ("pgd", PGD)])
    def test_the_attack_is_the_one_named(self, name, attack):
        made = Injection(attack_steps=3, restarts=2).attack(name)
        assert type(made) is attack and made.steps == 3 and made.restarts == (2 if name == "pgd" else 1)

    def test_examples_are_within_the_budget_and_fool_the_source(self, splits):
        torch.manual_seed(0)
        model = TalkNet(LITE).eval()
        batches = self.batches(splits)
        plain = Augmentation(
            flip=0, crop=0, rotate=0, light=0, blur=0, overlap=0, colour=0, room=0, hiss=0, gain_db=0, largest_crop=1
        )
        made = make_set(
            attackable(model), batches, BIM(steps=3), eps_av=5, augment=plain, seed=(0, 0), device=torch.device("cpu")
        )
        before = torch.cat([batch.video for batch in batches]).float()
        assert (made.video.float() - before).abs().max() <= 1, "not augmented but rounded"
        audio, video, labels = made.draw(len(made.labels), 10, np.random.default_rng(0))
        drawn = [row.tobytes() for row in made.labels.numpy()]
        assert sorted(row.tobytes() for row in labels.numpy()) == sorted(drawn)
        change = made.change.float() * (made.eps / 127)
        assert made.eps == 0.5 and change.abs().mean() > 0.3 and change.abs().max() <= 0.5
        assert (made.audio - torch.cat([batch.audio for batch in batches])).abs().max() <= 5e-4
        assert video.shape == (len(labels), 10, 112, 112) and audio.shape == (len(labels), 6400)

        def loss(video, audio):
            with torch.no_grad():
                outputs = model({"audio": audio, "video": video})
            return torch.nn.functional.cross_entropy(outputs.logits_av.flatten(0, 1), made.labels.flatten()).item()

        clean = torch.cat([batch.audio for batch in batches])
        assert loss(made.video.float() + change, made.audio) > loss(made.video.float(), clean)

    def test_what_is_drawn_fits_together(self, splits):
        short = Batching(frames=14, shortest=0.28, longest=0.28)
        made = make_set(
            attackable(TalkNet(LITE).eval()),
            [*self.batches(splits, 1), make_batch(splits["train"], Kinds(), short, seed=0, step=9)],
            BIM(steps=1),
            eps_av=5,
            augment=Augmentation(),
            seed=(0, 0),
            device=torch.device("cpu"),
        )
        audio, video, labels = made.draw(5, 4, np.random.default_rng(1))
        for sound, picture, label in zip(audio, video, labels, strict=True):
            places = [
                (clip, start)
                for clip in range(len(made.labels))
                for start in range(int(made.lengths[clip]) - 3)
                if torch.equal(made.audio[clip, start * 640 : (start + 4) * 640], sound)
            ]
            assert len(places) == 1
            clip, start = places[0]
            assert torch.equal(made.labels[clip, start : start + 4], label)
            assert (made.video[clip, start : start + 4].float() - picture).abs().max() <= made.eps + 1e-5
        assert sorted(made.lengths.tolist()) == [7, 7, 10, 10, 10]
        with pytest.raises(ValueError, match="no adversarial example has 11 frames"):
            made.draw(1, 11, np.random.default_rng(0))

    @pytest.mark.parametrize(
        ("every", "steps"), [(0, [None, None, 2, 2, 2, 2, 2, 2, 2]), (1, [None, None, 2, 2, 2, 5, 5, 5, 8])]
    )
    def test_when_it_is_made(self, every, steps):
        assert [Injection(every=every).made_at(step, 2, 3) for step in range(9)] == steps

    def test_it_joins_batches_after_the_warm_up(self, footage, tmp_path):
        train(tiny(adversarial="bim"), tmp_path, progress=False)
        kinds = ["adversarial" in entry["by_kind"] for entry in log_of(tmp_path) if "loss" in entry]
        assert kinds == [False, True, True, True]
        assert not list(tmp_path.glob("adversarial-*")), "what is no longer needed is gone"

    @pytest.mark.parametrize("every", [0, 1])
    @pytest.mark.parametrize("step", [1, 3])
    def test_a_stopped_run_ends_in_the_same_bits(self, footage, tmp_path, monkeypatch, every, step):
        options = tiny(adversarial="pgd", injection=dataclasses.replace(TINY.injection, every=every), save_seconds=0.0)
        whole = train(options, tmp_path / "whole", progress=False)
        real = training.training_loss

        def stopping(options, outputs, labels, number):
            if number == step:
                raise RuntimeError("power cut")
            return real(options, outputs, labels, number)

        with monkeypatch.context() as patch:
            patch.setattr(training, "training_loss", stopping)
            with pytest.raises(RuntimeError):
                train(options, tmp_path / "cut", progress=False)
        assert same(train(options, tmp_path / "cut", progress=False), whole)

    def test_ctrl_c_while_it_is_made_writes_nothing_and_goes_on(self, footage, tmp_path, monkeypatch):
        options = tiny(adversarial="bim")
        whole = train(options, tmp_path / "whole", progress=False)
        real = injecting.make_set

        def interrupted(*arguments, **more):
            signal.raise_signal(signal.SIGINT)
            return real(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(injecting, "make_set", interrupted)
            with pytest.raises(KeyboardInterrupt):
                train(options, tmp_path / "cut", progress=False)
        assert not list((tmp_path / "cut").glob("adversarial-*"))
        assert same(train(options, tmp_path / "cut", progress=False), whole)

    def test_the_source_decides(self, footage, tmp_path):
        torch.manual_seed(5)
        path = save_checkpoint(tmp_path / "source", TalkNet(LITE))
        own = train(tiny(adversarial="bim"), tmp_path / "own", progress=False)
        injection = dataclasses.replace(TINY.injection, source=str(path))
        other = train(tiny(adversarial="bim", injection=injection), tmp_path / "other", progress=False)
        assert not same(own, other)
        assert load_model(other, "cpu").card["training"]["injection"]["source"] == "source.safetensors"

    def test_it_is_kept_whole(self, splits, tmp_path):
        made = make_set(
            attackable(TalkNet(LITE).eval()),
            self.batches(splits, 1),
            BIM(steps=1),
            eps_av=5,
            augment=Augmentation(),
            seed=(0, 0),
            device=torch.device("cpu"),
        )
        made.save(tmp_path / "set.pt")
        read = load_set(tmp_path / "set.pt")
        assert all(torch.equal(getattr(read, x), getattr(made, x)) for x in ("audio", "video", "change", "labels"))
        assert read.eps == made.eps


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
        assert warm_start(model, source) == []
        own = model.state_dict()
        assert all(torch.equal(own[name], tensor) for name, tensor in source.state_dict().items() if name in own)

    def test_an_attention_that_the_source_lacks_stays_random(self):
        model = TalkNet(LITE)
        left = warm_start(model, TalkNet(TalkNetConfig.named("nctalknet", "lite")))
        assert left and all(name.startswith(("crossA2V", "crossV2A")) for name in left)

    def test_another_size_is_refused(self):
        with pytest.raises(CheckpointError, match="same size"):
            warm_start(TalkNet(LITE), TalkNet(TalkNetConfig.named("talknet", "full")))


def test_batches_that_are_accumulated_count_as_one_step(footage, tmp_path):
    two = tiny(accumulate=2, frames=100, warmup_frames=0)
    assert two.steps == 2 and two.step_frames == 50
    train(two, tmp_path, progress=False)
    assert [entry["frames"] for entry in log_of(tmp_path) if "loss" in entry] == [50, 100]


SCRIPT = """
import sys
import time
sys.path.insert(0, {tests!r})
from pathlib import Path
import torch
from pushpull.data import sources
from pushpull.train import train
from test_train_rows import tiny
from training_support import talker, talkset
if __name__ == "__main__":
    folder = Path({folder!r})
    splits = {{
        "train": talkset(folder / "train", range(0, 3), frames=30),
        "validation": talkset(folder / "train", range(0), frames=30),
        "test": talkset(folder / "test", range(5, 7), frames=30),
    }}
    sources.prepare = lambda *_, **__: (splits, {{}})
    train(tiny(**{options!r}), Path(sys.argv[1]), progress=False)
"""


def test_two_processes_give_what_one_gives(tmp_path):
    """torchrun, gloo, on the CPU: the gradients are the mean over both, whatever is logged over all frames."""
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
    script = tmp_path / "script.py"
    # Plain steps: Adam divides a gradient by its size, and would blow rounding up where that is nearly 0.
    options = {"accumulate": 2, "frames": 150, "warmup_frames": 50, "adversarial": "bim", "learning_rate": 1e-4}
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path), options=options))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    for command, out in (([sys.executable], "one"), (torchrun, "two")):
        done = subprocess.run(
            [*command, str(script), str(tmp_path / out)], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (weights(tmp_path / out / "tiny.safetensors") for out in ("one", "two"))
    for name in one:
        if one[name].is_floating_point() and "running" not in name:
            assert torch.allclose(one[name], two[name], atol=2e-3), name
    losses = [[e["loss"] for e in log_of(tmp_path / out) if "loss" in e] for out in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3) and len(losses[0]) == 3


def test_processes_that_cannot_share_a_step_are_refused(footage, tmp_path, monkeypatch):
    monkeypatch.setattr(training.World, "__enter__", lambda self: self)
    monkeypatch.setattr(training.World, "__exit__", lambda *_: None)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="--accumulate a multiple of 3"):
        train(tiny(accumulate=2), tmp_path, progress=False)


def test_tensorboard_gets_every_number_or_a_way_to_have_it(tmp_path, monkeypatch):
    entry = {"step": 1, "frames": 25, "loss": 1.5, "by_kind": {"still": 0.5}, "test": None}
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
    assert set(events.Tags()["scalars"]) == {"loss", "by_kind/still"}
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


class Tracks:
    """AVA's tracks in miniature: finished examples of their own lengths, half of them speaking."""

    def __init__(self, clips):
        self.clips, self.kinds = list(clips), ("ava",) * len(clips)
        self.lengths = np.array([clip.frames for clip in self.clips])
        self.frames, self.fingerprint = int(self.lengths.sum()), f"tracks-{len(self.clips)}"

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        return self.clips[index]

    def first(self, count):
        return Tracks(self.clips[:count])


@pytest.fixture
def ava(monkeypatch):
    tracks = Tracks([talker(number, 40 + 5 * (number % 4)) for number in range(8)])
    splits = {"train": tracks, "validation": tracks.first(2), "test": tracks.first(3)}
    monkeypatch.setattr(sources, "_read_ava", lambda folder, left_out: splits)
    return splits


def test_tracks_with_labels_of_their_own_are_trained_on_as_they_are(ava, tmp_path):
    options = tiny(
        data="ava:AVA", warmup_frames=0, frames=400, batches=Batching(frames=100, longest=10), validation_clips=2
    )
    path = train(options, tmp_path, progress=False)
    logged = [entry for entry in log_of(tmp_path) if "loss" in entry]
    assert all(set(entry["by_kind"]) == {"ava"} for entry in logged)
    found = json.loads(path.with_suffix(".json").read_text())["heldout"]
    assert set(found["sources"]["ava:AVA"]) == {"own ava", "all"} and found["clips"] == {"ava:AVA": 3}
    speaking = sum(clip.labels.sum() for clip in ava["test"])
    assert found["sources"]["ava:AVA"]["own ava"]["prevalence"] == pytest.approx(100 * speaking / ava["test"].frames)


def test_batches_of_tracks_are_of_about_one_length(ava):
    corpus = sources.read_sources("ava:AVA", TINY.footage)["train"]
    for step in range(20):
        batch = make_batch(corpus, Kinds(), Batching(frames=200, longest=10, shaken=0), seed=0, step=step)
        numbers = batch.video[:, 0, 0, 0].tolist()
        lengths = {ava["train"].lengths[number] for number in numbers}
        frames = batch.labels.shape[1]
        assert frames in ava["train"].lengths and min(lengths) >= frames and max(lengths) <= 1.25 * frames
        for number, labels, video in zip(numbers, batch.labels, batch.video, strict=True):
            start = int(video[0, 0, 1])
            assert torch.equal(labels, torch.from_numpy(ava["train"][number].labels[start : start + frames]))


def test_talking_heads_are_made_when_a_number_is_named(tmp_path, monkeypatch):
    from pushpull.data.talkheads import make as maker

    asked = []

    def make(options, folder, *, workers, progress):
        asked.append((options.clips, workers))
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"clips": []}))

    monkeypatch.setattr(maker, "make", make)
    monkeypatch.setenv("PUSHPULL_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = sources.read_sources("talkheads:12", TINY.footage, workers=2)
    assert asked == [(12, 2)] and len(found["train"]) == 0
    assert sources.source_names("talkheads:12") == "talkheads:12"


def test_a_run_killed_at_any_moment_ends_in_the_same_bits(tmp_path):
    """kill -9, twice, wherever it strikes; a process that saves after every step."""
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    script = tmp_path / "script.py"
    options = {"frames": 300, "save_seconds": 0.0}
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path), options=options))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script)]
    subprocess.run([*command, str(tmp_path / "whole")], env=environment, check=True, timeout=300)
    out = tmp_path / "cut"
    for steps in (2, 7):
        process = subprocess.Popen([*command, str(out)], env=environment)
        while process.poll() is None and not ((out / "log.jsonl").exists() and len(log_lines(out)) >= steps):
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert not (out / "tiny.safetensors").exists(), "killed before its end"
    subprocess.run([*command, str(out)], env=environment, check=True, timeout=300)
    assert same(out / "tiny.safetensors", tmp_path / "whole/tiny.safetensors")


def log_lines(out):
    return (out / "log.jsonl").read_text().splitlines()
