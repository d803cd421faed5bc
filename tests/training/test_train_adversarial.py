"""Adversarial training data: made, injected, made anew, gone on with."""

import copy
import dataclasses
import signal

import numpy as np
import pytest
import torch
from rows_support import LITE, TINY, log_of, same, tiny
from training_support import OFF

from pushpull.attacks import BIM, MIM, PGD
from pushpull.data.augment import Augmentation
from pushpull.data.batches import Batching, make_batch
from pushpull.data.mix import ExampleMix
from pushpull.detectors import TalkNet, attackable, load_model, save_checkpoint
from pushpull.training import inject as injecting
from pushpull.training import trainer as training
from pushpull.training.adversarial import Injection, load_set, make_set
from pushpull.training.attacked import attacked
from pushpull.training.examples import Examples
from pushpull.training.recalibrate import recalibrate
from pushpull.training.trainer import train


class TestAdversarialData:
    def batches(self, splits, count=2):
        options = Batching(frames=30, shortest=0.4, longest=0.4)
        return [make_batch(splits["train"], ExampleMix(), options, seed=0, step=step) for step in range(count)]

    @pytest.mark.parametrize(("name", "attack"), [("bim", BIM), ("mim", MIM), ("pgd", PGD)])
    def test_the_attack_is_the_one_named(self, name, attack):
        made = Injection(attack_steps=3, restarts=2).attack(name)
        assert type(made) is attack and made.steps == 3 and made.restarts == (2 if name == "pgd" else 1)

    def test_examples_are_within_the_budget_and_fool_the_source(self, splits):
        torch.manual_seed(0)
        model = TalkNet(LITE).eval()
        batches = self.batches(splits)
        made = make_set(
            attackable(model), batches, BIM(steps=3), eps_av=5, augment=OFF, seed=(0, 0), device=torch.device("cpu")
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
            [*self.batches(splits, 1), make_batch(splits["train"], ExampleMix(), short, seed=0, step=9)],
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
        assert made.draw(1, 11, np.random.default_rng(0))[2].shape == (1, 10), "there are none as long"

    @pytest.mark.parametrize(
        ("every", "steps"), [(0, [None, None, 2, 2, 2, 2, 2, 2, 2]), (1, [None, None, 2, 2, 2, 5, 5, 5, 8])]
    )
    def test_when_it_is_made(self, every, steps):
        assert [Injection(every=every).made_at(step, 2, 3) for step in range(9)] == steps

    def test_it_joins_batches_after_the_warm_up(self, footage, tmp_path):
        train(tiny(adversarial="bim"), tmp_path, progress=False)
        joined = ["adversarial" in entry["by_type"] for entry in log_of(tmp_path) if "loss" in entry]
        assert joined == [False, True, True, True]
        assert not list(tmp_path.glob("adversarial-*")), "what is no longer needed is gone"

    @pytest.mark.parametrize(
        ("step", "every", "how"),
        [
            pytest.param(1, 0, "set", marks=pytest.mark.slow),
            pytest.param(1, 1, "set", marks=pytest.mark.slow),
            pytest.param(3, 0, "set", marks=pytest.mark.slow),
            (3, 1, "set"),
            (2, 0, "batch"),
        ],
    )
    def test_a_stopped_run_ends_in_the_same_bits(self, footage, tmp_path, monkeypatch, step, every, how):
        injection = dataclasses.replace(TINY.injection, every=every)
        options = tiny(adversarial="pgd", adversarial_data=how, injection=injection, save_seconds=0.0)
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

    def test_the_set_of_a_run_that_began_anew_is_its_own(self, footage, tmp_path, monkeypatch):
        """Who removes state.pt, as a message about a damaged one says, leaves the set of the run before."""

        def cut(*_):
            raise RuntimeError("power cut")

        with monkeypatch.context() as patch:
            patch.setattr(training.Trainer, "examples", lambda self, batch, index: cut() if self.injected else None)
            patch.setattr(training.Trainer, "learn", lambda *_, **__: None)
            patch.setattr(training.Trainer, "update", lambda self, _: vars(self).update(step=self.step + 1, whole=True))
            patch.setattr(training.Trainer, "tell", lambda *_: None)
            with pytest.raises(RuntimeError):
                train(tiny(adversarial="bim"), tmp_path / "one", progress=False)
        assert list((tmp_path / "one").glob("adversarial-*"))
        (tmp_path / "one/state.pt").unlink()
        others = tiny(adversarial="bim", injection=dataclasses.replace(TINY.injection, eps_av=50.0))
        first, second = (train(others, tmp_path / name, progress=False) for name in ("one", "two"))
        assert same(first, second)

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

    def test_a_run_whose_set_is_gone_does_not_go_on_with_another(self, footage, tmp_path, monkeypatch):
        real = training.training_loss

        def interrupted(options, outputs, labels, step):
            if step == 1:
                signal.raise_signal(signal.SIGINT)
            return real(options, outputs, labels, step)

        with monkeypatch.context() as patch:
            patch.setattr(training, "training_loss", interrupted)
            with pytest.raises(KeyboardInterrupt):
                train(tiny(adversarial="bim"), tmp_path, progress=False)
        (tmp_path / "adversarial-1.pt").unlink()
        with pytest.raises(ValueError, match="adversarial-1.pt is gone"):
            train(tiny(adversarial="bim"), tmp_path, progress=False)

    @pytest.mark.parametrize("rank", [0, 1])
    def test_all_processes_hear_of_ctrl_c_while_the_first_makes_it(self, footage, tmp_path, monkeypatch, rank):
        told = []

        def any_of_two(world, flag):
            told.append(flag)
            return len(told) > 1  # the first time it is asked whether all go on from one step

        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setattr(training.World, "any", any_of_two)
        monkeypatch.setattr(injecting, "make_set", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(tiny(adversarial="bim", accumulate=2), tmp_path, progress=False)
        assert told == [False, rank == 0]

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


class TestEveryBatch:
    """Row M: Madry et al. 2018."""

    @pytest.fixture
    def examples(self, splits):
        batch = make_batch(
            splits["train"], ExampleMix(), Batching(frames=30, shortest=0.4, longest=0.4), seed=0, step=0
        )
        return Examples(batch.audio, batch.video.float(), batch.labels, batch.types)

    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        return TalkNet(LITE).train()

    def test_every_example_is_within_the_budget_and_harder(self, examples, network):
        options = tiny(adversarial="bim", adversarial_data="batch", injection=Injection(attack_steps=3))
        made = attacked(examples, network, options, 7)
        assert set(made.types) == {"adversarial"} and torch.equal(made.labels, examples.labels)
        assert 0.3 < (made.video - examples.video).abs().max() <= 0.5
        assert 0 < (made.audio - examples.audio).abs().max() <= 5e-4
        assert made.own["video"] is examples.video, "a teacher sees what was attacked, not what came of it"

        def loss(inputs):
            victim = copy.deepcopy(network)
            recalibrate(victim, [examples.inputs])
            with torch.no_grad():
                outputs = victim.eval()(inputs)
            return torch.nn.functional.cross_entropy(outputs.logits_av.flatten(0, 1), made.labels.flatten()).item()

        assert loss(made.inputs) > loss(examples.inputs)

    def test_the_network_is_left_as_it_was_and_chance_is_the_batchs_own(self, examples, network):
        options = tiny(adversarial="pgd", adversarial_data="batch")
        before = {name: value.clone() for name, value in network.state_dict().items()}
        state = torch.get_rng_state()
        one, same_again, other = (attacked(examples, network, options, index) for index in (7, 7, 8))
        assert torch.equal(one.video, same_again.video) and not torch.equal(one.video, other.video)
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
        assert all(module.training for module in network.modules()) and torch.equal(torch.get_rng_state(), state)
        assert all(value.requires_grad and value.grad is None for value in network.parameters())

    def test_attacks_run_in_the_precision_of_training(self, examples, network):
        made = {}
        for precision in ("auto", "float32", "bfloat16"):
            options = tiny(device="cpu", precision=precision, adversarial="bim", adversarial_data="batch")
            made[precision] = attacked(examples, network, options, 7).video
        assert torch.equal(made["auto"], made["float32"])
        assert not torch.equal(made["bfloat16"], made["float32"])
        assert (made["bfloat16"] - made["float32"]).abs().max() <= 1.0, "both within half a grey level"

    def test_the_budget_rises_where_it_is_asked_to(self, examples, network):
        rising = Injection(attack_steps=3, eps_av=5, rise=0.5)
        budgets = [rising.budget_at(step, first=2, steps=10) for step in range(2, 10)]
        assert budgets == [1.25, 2.5, 3.75, 5, 5, 5, 5, 5]
        assert Injection(eps_av=5).budget_at(2, first=2, steps=10) == 5
        options = tiny(adversarial="bim", adversarial_data="batch", injection=rising, frames=600, warmup_frames=60)
        largest = []
        for step in (2, 19):
            made = attacked(examples, network, options, step * options.accumulate)
            largest.append((made.video - examples.video).abs().max().item())
        assert 0 < largest[0] < 0.5 * largest[1] <= 0.25 + 1e-4

    def test_batches_are_replaced_once_the_warm_up_is_over(self, footage, tmp_path):
        path = train(tiny(row="M", adversarial="pgd", adversarial_data="batch"), tmp_path, progress=False)
        types = [set(entry["by_type"]) for entry in log_of(tmp_path) if "loss" in entry]
        assert types[1:] == [{"adversarial"}] * 3 and "adversarial" not in types[0]
        assert load_model(path, "cpu").card["row"] == "M" and not list(tmp_path.glob("adversarial-*"))
