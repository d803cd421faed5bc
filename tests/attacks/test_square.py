"""Square: what it proposes, what it keeps, and how near it comes to optima that are known."""

import pytest
import torch
from attack_support import UNCAPPED, Linear, batch
from torch import nn

from pushpull.attacks import BIM, Budget, Noise, Square, paper_budget
from pushpull.attacks.square import LONGEST_WAVE, share

BUDGETS = {"audio": Budget(0.01, -1, 1), "video": Budget(4.0, 0, 255)}


@pytest.mark.parametrize(
    "step, steps, wanted",
    [
        (1, 10_000, 0.8),
        (10, 10_000, 0.8),
        (11, 10_000, 0.4),
        (201, 10_000, 0.1),
        (5000, 10_000, 0.8 / 2**7),
        (10_000, 10_000, 0.8 / 2**9),
        (5, 5000, 0.8),
        (500, 1000, 0.8 / 2**7),
    ],
)
def test_the_share_shrinks_as_in_the_paper_over_any_number_of_queries(step, steps, wanted):
    assert share(step, steps) == pytest.approx(wanted)


class Recording(nn.Module):
    """A linear model over larger inputs that keeps everything it was asked."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.audio = nn.Parameter(torch.randn(640, generator=generator))
        self.video = nn.Parameter(torch.randn(6, 12, 12, generator=generator) / 40)
        self.asked = []

    def forward(self, x):
        self.asked.append({name: values.clone() for name, values in x.items()})
        odds = x["audio"] @ self.audio + (x["video"] * self.video).sum((1, 2, 3))
        return torch.stack([-odds, odds], -1)[:, None]


def middle(rows=1):
    generator = torch.Generator().manual_seed(1)
    inputs = {
        "audio": torch.rand(rows, 640, generator=generator) - 0.5,
        "video": 20 + 200 * torch.rand(rows, 6, 12, 12, generator=generator),
    }
    return inputs, torch.zeros(rows, 1, dtype=torch.int64)


@pytest.fixture(scope="module")
def search():
    model, (inputs, labels) = Recording(), middle()
    result = Square(steps=300).run(model, inputs, labels, budgets=BUDGETS, objective=UNCAPPED)
    return result, model.asked[1:], inputs  # the clip itself comes first


def test_each_query_redraws_a_part_of_one_modality_and_is_kept_if_it_helps(search):
    result, asked, inputs = search
    losses = [step.loss for step in result.trace]
    best, at = asked[0], losses[0]
    for query, (x, loss) in enumerate(zip(asked[1:], losses[1:], strict=True), start=1):
        changed = {name: (x[name] != best[name])[0] for name in x}
        name = ("audio", "video")[(query - 1) % 2]
        assert changed[name].any() and not changed[{"audio": "video", "video": "audio"}[name]].any()
        part = share(query, 300) ** (1 / changed[name].ndim)
        sign = (x[name] - inputs[name])[0].sign()
        for axis, size in enumerate(changed[name].shape):
            where = torch.nonzero(changed[name].movedim(axis, 0).reshape(size, -1).any(1)).flatten()
            assert where[-1] - where[0] + 1 <= max(1, round(size * part)), "a part of one piece"
        if name == "video":
            assert len(sign[changed[name]].unique()) == 1
        if loss > at:
            best, at = x, loss
    assert result.loss.item() == pytest.approx(at) == pytest.approx(max(losses))
    for name in inputs:
        assert torch.equal(result.adversarial[name], best[name])


def test_every_value_is_at_an_end_of_its_budget(search):
    _, asked, inputs = search
    for x in asked:
        for name, values in x.items():
            moved = (values - inputs[name]).abs()
            torch.testing.assert_close(moved, torch.full_like(moved, BUDGETS[name].eps), rtol=1e-3, atol=1e-5)


def test_sound_is_redrawn_by_waves_that_are_sounds(search):
    """In a proposal of most of the clip the sign turns at least every half of the longest wave, not once."""
    _, asked, inputs = search
    sign = (asked[1]["audio"] - inputs["audio"])[0].sign()
    turns = torch.nonzero(sign.diff()).flatten().diff()
    assert len(turns) >= 3 and turns.max() <= LONGEST_WAVE / 2 + 1


def test_pictures_start_from_columns_of_one_sign(search):
    _, asked, inputs = search
    sign = (asked[0]["video"] - inputs["video"])[0].sign()
    assert torch.equal(sign, sign[:1, :1].expand_as(sign)) and len(sign[0, 0].unique()) == 2


@pytest.mark.parametrize("modality", ["both", "audio", "video"])
def test_it_comes_near_the_optimum_of_a_linear_model_and_beats_noise(modality):
    inputs, _ = batch(2)
    labels = torch.ones(2, 4, dtype=torch.int64)
    model = Linear()
    with torch.no_grad():
        model.video.div_(2)
    options = {"budgets": paper_budget(40, modality), "objective": UNCAPPED}
    gain = {
        name: (result.loss - result.clean_loss)
        for name, result in {
            "optimum": BIM(steps=3).run(model, inputs, labels, **options),
            "square": Square(steps=1200).run(model, inputs, labels, **options),
            "noise": Noise(steps=1200).run(model, inputs, labels, **options),
        }.items()
    }
    assert (gain["square"] > 0.95 * gain["optimum"]).all()
    assert (gain["square"] <= gain["optimum"] + 1e-4).all()
    assert (gain["square"] > gain["noise"]).all()


def test_it_needs_no_gradients(recwarn):
    def opaque(x):
        with torch.no_grad():
            return torch.from_numpy(Linear()({name: values.detach() for name, values in x.items()}).logits_av.numpy())

    inputs, labels = batch(2)
    result = Square(steps=60).run(opaque, inputs, labels, budgets=paper_budget(40), objective=UNCAPPED)
    assert (result.loss > result.clean_loss).all() and not recwarn.list
    assert not result.no_gradient.any() and not result.stalled.any()
