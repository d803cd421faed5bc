"""Attacks that start from what was found elsewhere, such as on another detector."""

import pytest
import torch
from attack_support import FRAMES, UNCAPPED, Curved, Linear, assert_within, batch

from pushpull.attacks import APGD, BIM, FGSM, MIM, PGD, Budget, Noise, paper_budget

BUDGETS = paper_budget(20)
EVERY = {
    "fgsm": FGSM(),
    "bim": BIM(steps=4),
    "mim": MIM(steps=4),
    "pgd": PGD(steps=4, restarts=3),
    "apgd": APGD(steps=6, restarts=3),
    "noise": Noise(steps=4),
    "grid": PGD(steps=4, restarts=2, grid=True),
}


def found_elsewhere(size=3):
    """Inputs, labels, and what a larger budget led to on another model."""
    inputs, labels = batch(size)
    other = BIM(steps=5).run(Linear(), inputs, labels, budgets=paper_budget(60), objective=UNCAPPED)
    return inputs, labels, other.adversarial


def nearest(initial, inputs):
    return {
        name: torch.minimum(torch.maximum(x, inputs[name] - BUDGETS[name].eps), inputs[name] + BUDGETS[name].eps)
        for name, x in initial.items()
    }


@pytest.mark.parametrize("name", EVERY)
def test_the_first_restart_starts_there_and_the_others_as_ever(name):
    inputs, labels, initial = found_elsewhere()
    attack, model = EVERY[name], Curved().eval()
    options = {"budgets": BUDGETS, "objective": UNCAPPED, "seed": 2}
    plain = attack.run(model, inputs, labels, **options)
    warm = attack.run(model, inputs, labels, initial=initial, **options)
    start = nearest(initial, inputs)
    if attack.grid:  # whole grey levels and samples within the budget
        start = {key: (x * 32768).trunc() / 32768 if key == "audio" else x.round() for key, x in start.items()}
    expected = UNCAPPED(model(start), labels)
    assert warm.trace[0].step == 0
    assert warm.trace[0].loss == pytest.approx(expected.mean().item(), abs=1e-2 if attack.grid else 1e-5)
    torch.testing.assert_close(warm.clean_loss, plain.clean_loss)
    for key, x in inputs.items():
        assert_within(warm.adversarial[key], x, BUDGETS[key])
    assert (warm.loss >= torch.maximum(warm.clean_loss, expected) - 1e-2 * attack.grid - 1e-5).all()
    rest = [[step for step in result.trace if step.restart > 0] for result in (plain, warm)]
    assert rest[0] == rest[1]
    assert bool(rest[0]) == (attack.restarts > 1)


@pytest.mark.parametrize("name", EVERY)
def test_a_start_worse_than_the_clip_does_no_harm(name):
    inputs, labels = batch(3)
    model = Linear()
    good = BIM(steps=5).run(model, inputs, 1 - labels, budgets=BUDGETS, objective=UNCAPPED).adversarial
    tiny = {"budgets": paper_budget(20), "objective": UNCAPPED, "initial": good}
    result = FGSM(grid=EVERY[name].grid).run(model, inputs, labels, **tiny)
    assert (result.loss >= result.clean_loss).all()
    again = EVERY[name].run(model, inputs, labels, **tiny)
    assert (again.loss >= again.clean_loss).all()


def test_steps_go_on_from_it():
    inputs, labels, initial = found_elsewhere()
    start = nearest(initial, inputs)
    labels[:] = 1 - labels  # back again, so that no bound is in the way
    one = BIM(steps=1, step_size=0.5, keep="last")
    result = one.run(Linear(), inputs, labels, budgets=BUDGETS, objective=UNCAPPED, initial=initial)
    for name, x in result.adversarial.items():
        moved = (x - start[name]).abs() / BUDGETS[name].eps
        assert moved.median() == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_what_is_left_out_starts_as_ever_and_what_is_frozen_stays(modality):
    inputs, labels, initial = found_elsewhere()
    other = {"audio": "video", "video": "audio"}[modality]
    seen = []

    def model(x):
        seen.append({name: values.detach().clone() for name, values in x.items()})
        return Linear()(x)

    part = {modality: initial[modality]}
    BIM(steps=1).run(model, inputs, labels, budgets=BUDGETS, initial=part)
    clip, first = seen[:2]
    assert torch.equal(clip[modality], inputs[modality]) and torch.equal(first[other], inputs[other])
    torch.testing.assert_close(first[modality], nearest(initial, inputs)[modality])
    frozen = BIM(steps=1).run(model, inputs, labels, budgets=paper_budget(20, other), initial=initial)
    assert torch.equal(frozen.adversarial[modality], inputs[modality])


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_it_does_not_matter_how_many_restarts_run_together(rows):
    inputs, labels, initial = found_elsewhere()
    options = {"budgets": BUDGETS, "objective": UNCAPPED, "initial": initial}
    results = [PGD(steps=2, restarts=4).run(Curved().eval(), inputs, labels, max_rows=m, **options) for m in (6, rows)]
    for name in inputs:
        assert torch.equal(results[0].adversarial[name], results[1].adversarial[name])


def test_a_start_that_is_won_is_kept_although_its_gradient_is_zero(recwarn):
    """The margin is flat there, as in silence: no random start is taken from it."""
    inputs, _ = batch(2)
    labels = Linear()(inputs).logits_av.argmax(-1)
    big = {"audio": Budget(1.0, -1, 1), "video": Budget(255.0, 0, 255)}
    won = BIM(steps=30).run(Linear(100.0), inputs, labels, budgets=big, objective="margin").adversarial
    result = BIM(steps=3, keep="last").run(Linear(100.0), inputs, labels, budgets=big, objective="margin", initial=won)
    assert all(torch.equal(result.adversarial[name], won[name]) for name in won)
    assert result.flipped_ever.all() and not any(step.random_start for step in result.trace)


@pytest.mark.parametrize(
    "initial, message",
    [
        (torch.zeros(2, 24), "initial must be tensors by name"),
        ({"audio": [0.0]}, "initial must be tensors by name"),
        ({"vidoe": torch.zeros(2, 24)}, r"initial has \['vidoe'\]"),
        ({"audio": torch.zeros(1, 24)}, r"initial audio must be .*\(2, 24\).*got \(1, 24\)"),
        ({"audio": torch.full((2, 24), torch.nan)}, "initial audio must be finite"),
        ({"video": torch.zeros(2, FRAMES, 3, 3, dtype=torch.uint8)}, "torch.uint8"),
    ],
)
def test_starts_that_are_no_inputs_are_refused(initial, message):
    inputs, labels = batch(2)
    with pytest.raises(ValueError, match=message):
        BIM().run(Linear(), inputs, labels, budgets=BUDGETS, initial=initial)
