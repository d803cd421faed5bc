"""APGD against the schedule and the behaviour that its paper describes."""

import pytest
import torch
from attack_support import UNCAPPED, Curved, batch

from pushpull.attacks import APGD, BIM, PGD, Budget, paper_budget
from pushpull.attacks.apgd import checkpoints

BUDGETS = {"audio": Budget(0.1, -1, 1), "video": Budget(10.0, 0, 255)}


@pytest.mark.parametrize(
    "steps, wanted",
    [(100, [0, 22, 41, 57, 70, 80, 87, 93, 99, 105]), (10, [0, 3, 5, 6, 7, 8, 9, 10, 11]), (1, [0, 1, 2])],
)
def test_checkpoints_are_the_papers(steps, wanted):
    assert checkpoints(steps) == wanted


class Peak(torch.nn.Module):
    """Two rows side by side: the likelihood of "not speaking" is a peak somewhere inside the box, or a slope."""

    def __init__(self, peaked):
        super().__init__()
        self.peaked = torch.tensor(peaked)

    def distance(self, inputs):
        """(rows, 1): from the peak, which is 0.3 eps away from the clip in every element, in units of eps."""
        away = [((x - 0.3 * BUDGETS[name].eps) / BUDGETS[name].eps).flatten(1) for name, x in inputs.items()]
        return torch.cat(away, 1)

    def forward(self, inputs):
        away = self.distance(inputs)
        peaked = self.peaked[: len(away), None] if len(away) <= len(self.peaked) else self.peaked.repeat(2)[:, None]
        value = torch.where(peaked, -away.square().sum(1, keepdim=True), away.sum(1, keepdim=True)).expand(-1, 2)
        return torch.stack([value / 2, -value / 2], -1)


class Watched(APGD):
    """Notes the step sizes of every row."""

    def update(self, x, gradient, loss, memory, box, streams):
        moved = super().update(x, gradient, loss, memory, box, streams)
        SIZES.append(memory["size"].tolist())
        return moved


SIZES = []


def peak_inputs(rows):
    return {"audio": torch.zeros(rows, 6), "video": torch.zeros(rows, 2, 3, 3)}, torch.ones(rows, 2, dtype=torch.int64)


def test_steps_are_halved_where_they_no_longer_help_and_only_there():
    SIZES.clear()
    inputs, labels = peak_inputs(2)
    model = Peak([True, False])
    result = Watched(steps=60).run(model, inputs, labels, budgets=BUDGETS, objective=UNCAPPED)
    peaked, sloped = zip(*SIZES, strict=True)
    assert peaked[0] == sloped[0] == 2 and peaked[-1] <= 2 / 2**4
    assert list(peaked) == sorted(peaked, reverse=True) and set(map(round_log, peaked)) <= set(range(-20, 2))
    # A slope's row has reached its corner: no step helps there, but none is taken before it is reached.
    assert sloped[13] == 2
    assert (model.distance(result.adversarial)[0].abs() < 0.1).all()
    corner = {name: x[1] for name, x in result.delta.items()}
    for name, delta in corner.items():
        torch.testing.assert_close(delta, torch.full_like(delta, BUDGETS[name].eps), rtol=1e-5, atol=1e-6)


def round_log(size):
    return int(torch.tensor(size).log2().round())


def test_a_peak_inside_the_box_is_found_better_than_by_steps_of_one_length():
    inputs, labels = peak_inputs(1)
    model = Peak([True])
    losses = {
        name: attack.run(model, inputs, labels, budgets=BUDGETS, objective=UNCAPPED).loss.item()
        for name, attack in {"apgd": APGD(steps=40), "bim": BIM(steps=40, step_size=0.25)}.items()
    }
    assert losses["bim"] < losses["apgd"] <= 0


def test_halving_goes_on_from_the_best_point():
    """One checkpoint after the first steps: what is evaluated next lies within half a step of the best so far."""
    seen = []

    class Recorded(Peak):
        def forward(self, inputs):
            outputs = super().forward(inputs)
            seen.append((self.distance(inputs)[0, 0].item(), -outputs[0, 0].diff().item()))
            return outputs

    inputs, labels = peak_inputs(1)
    APGD(steps=20).run(Recorded([True]), inputs, labels, budgets=BUDGETS, objective=UNCAPPED)
    iterates = seen[1:]  # the clip itself comes first
    first = checkpoints(20)[1]
    best = max(iterates[: first + 1], key=lambda pair: pair[1])[0]
    following = iterates[first + 1][0]
    # Half of 2 eps, times the weight of a new step, and a quarter of the way from the iterate before.
    momentum = 0.25 * (best - iterates[first - 1][0])
    expected = best - 0.75 * min(1.0, abs(1.3 + best) if best > 0 else abs(0.7 - best)) * (1 if best > 0 else -1)
    assert following == pytest.approx(expected + momentum, abs=1e-4)


def test_restarts_only_add():
    model, (inputs, labels) = Curved().eval(), batch(4)
    options = {"budgets": paper_budget(40), "objective": UNCAPPED, "seed": 5}
    one, more = (APGD(steps=15, restarts=r).run(model, inputs, labels, **options) for r in (1, 3))
    assert (more.loss >= one.loss).all() and [s.restart for s in more.trace][-1] == 2
    pgd = PGD(steps=15, restarts=3).run(model, inputs, labels, **options)
    assert more.loss.mean() >= pgd.loss.mean() - 1e-4
