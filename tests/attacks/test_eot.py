"""Expectation over transformations: optima in closed form, invariants of the loop, and what it is good for."""

from functools import partial

import numpy as np
import pytest
import torch
from attack_support import Linear, Outputs
from attack_support import batch as toys
from torch import nn

from pushpull.attacks import BIM, FGSM, MIM, PGD, paper_budget
from pushpull.attacks.eot import Through
from pushpull.attacks.objectives import margin
from pushpull.attacks.stand_ins import Blurred, Compressed, Delayed, Rounded
from pushpull.clip import SAMPLES_PER_FRAME

FRAMES, SIDE = 2, 16
WIDE = partial(margin, cap=1e6)  # linear everywhere, so that optima are known


class Pictures(nn.Module):
    """Per-frame margin <w, frame> + <u, the frame's sound>: w wants fine patterns, and a little of coarse ones."""

    def __init__(self, fine=1.0, coarse=0.3, drop=0.0):
        super().__init__()
        lines = torch.arange(SIDE)
        checks = (-1.0) ** (lines[:, None] + lines)
        halves = torch.where(lines < SIDE // 2, 1.0, -1.0).expand(SIDE, SIDE)
        self.weight = nn.Parameter((fine * checks + coarse * halves) / SIDE**2)
        self.sound = nn.Parameter(torch.sin(torch.arange(SAMPLES_PER_FRAME) / 9.0))
        self.dropout = nn.Dropout(drop)

    def forward(self, inputs):
        heard = inputs["audio"].unflatten(1, (FRAMES, SAMPLES_PER_FRAME)) @ self.sound
        margin = self.dropout((inputs["video"] * self.weight).sum((2, 3)) + heard)
        return Outputs(*(torch.stack([-margin / 2, margin / 2], -1) for _ in range(3)))


def batch(rows=2):
    generator = torch.Generator().manual_seed(0)
    audio = 0.1 * torch.randn(rows, FRAMES * SAMPLES_PER_FRAME, generator=generator)
    video = (100 + torch.rand(rows, FRAMES, SIDE, SIDE, generator=generator)).float()
    return {"audio": audio, "video": video}, torch.ones(rows, FRAMES, dtype=torch.int64)


def loss(model, inputs, labels):
    """How wrong the frames are: minus the margin of the label."""
    logits = model(inputs).logits_av
    return (logits[..., 0] - logits[..., 1]).mean(1).detach()


def test_the_optimum_behind_a_linear_stand_in_is_known():
    """Behind a blur B the loss is -<B^T w, x>: the best point of the box is x - eps sign(B^T w)."""
    model, blur = Pictures(), Blurred(1.0, 1.0)
    inputs, labels = batch(1)
    result = FGSM().run(Through(model, (blur,)), inputs, labels, budgets=paper_budget(10, "video"), objective=WIDE)
    x = inputs["video"].clone().requires_grad_()
    back = blur({"video": x}, np.random.default_rng(0))["video"]
    slope = torch.autograd.grad((back * model.weight).sum(), x)[0]
    torch.testing.assert_close(result.delta["video"], -slope.sign(), rtol=0, atol=1e-4)


def test_outputs_are_averaged_over_the_draws():
    model = Pictures()
    inputs, _ = batch()
    wrapped = Through(model, (Delayed(),), samples=64, seed=1)
    said = wrapped(inputs)
    assert isinstance(said, Outputs)
    third = [torch.roll(inputs["audio"], shift, 1) for shift in (-SAMPLES_PER_FRAME, 0, SAMPLES_PER_FRAME)]
    third[0][:, -SAMPLES_PER_FRAME:] = 0
    third[2][:, :SAMPLES_PER_FRAME] = 0
    one = [model(inputs | {"audio": audio}).logits_av for audio in third]
    spread = torch.stack(one).std(0).max()
    torch.testing.assert_close(said.logits_av, torch.stack(one).mean(0), rtol=0, atol=0.4 * spread.item())
    # Tensors, and outputs that are neither, as well.
    plain = Through(lambda given: model(given).logits_av, (Rounded(),), samples=2)
    torch.testing.assert_close(plain(inputs), Through(model, (Rounded(),), samples=2)(inputs).logits_av)


@pytest.mark.parametrize("attack", [BIM(steps=4), MIM(steps=3), PGD(steps=3, restarts=2), BIM(steps=3, grid=True)])
def test_the_invariants_of_the_loop_hold(attack):
    model = Pictures(drop=0.5).train()
    wrapped = Through(model, (Blurred(), Delayed(), Rounded()), samples=2, seed=3)
    inputs, labels = batch()
    run = {"budgets": paper_budget(20), "objective": WIDE, "seed": 5}
    first = attack.run(wrapped, inputs, labels, **run)
    assert model.training and wrapped.training and int(wrapped.calls) == 0
    again = attack.run(wrapped, inputs, labels, **run)
    for name in inputs:
        assert torch.equal(first.adversarial[name], again.adversarial[name])
        assert first.delta[name].any()
    for row in range(2):
        part = {name: values[row : row + 1] for name, values in inputs.items()}
        alone = attack.run(wrapped, part, labels[row : row + 1], **(run | {"seed": 5 + row}))
        for name in inputs:
            torch.testing.assert_close(alone.adversarial[name][0], first.adversarial[name][row], rtol=0, atol=1e-5)


def test_every_call_draws_anew_and_seeds_differ():
    wrapped = Through(Pictures(), (Blurred(0.2, 2.0),), seed=0)
    inputs, _ = batch(1)
    one, two = wrapped(inputs).logits_av, wrapped(inputs).logits_av
    assert not torch.equal(one, two)
    assert torch.equal(Through(Pictures(), (Blurred(0.2, 2.0),), seed=0)(inputs).logits_av, one)
    assert not torch.equal(Through(Pictures(), (Blurred(0.2, 2.0),), seed=1)(inputs).logits_av, one)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        Through(Pictures(), (), samples=0)


@pytest.mark.parametrize("channel", [Blurred(1.5, 1.5), Compressed(24.0, 24.0, 0.2)], ids=["blur", "compression"])
def test_it_beats_the_plain_attack_behind_its_channel_and_loses_in_front_of_it(channel):
    model = Pictures()
    inputs, labels = batch(3)
    run = {"budgets": paper_budget(60, "video"), "objective": WIDE}
    plain = BIM(steps=10).run(model, inputs, labels, **run).adversarial
    made = BIM(steps=10, keep="last").run(Through(model, (channel,)), inputs, labels, **run).adversarial
    behind = Through(model, (channel,), samples=4, seed=9)
    assert (loss(behind, made, labels) > loss(behind, plain, labels) + 0.1).all()
    assert (loss(model, made, labels) < loss(model, plain, labels)).all()


def test_nothing_in_between_is_the_model_itself():
    model, (inputs, labels) = Linear(), toys(2)
    run = {"budgets": paper_budget(20), "seed": 1}
    bare, wrapped = (BIM(steps=3).run(m, inputs, labels, **run) for m in (model, Through(model, ())))
    for name in inputs:
        assert torch.equal(bare.adversarial[name], wrapped.adversarial[name])
