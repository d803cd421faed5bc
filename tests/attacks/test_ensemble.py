"""Several detectors under one attack."""

import pytest
import torch
from attack_support import UNCAPPED, Fixing, Linear, batch, row
from torch import nn

from pushpull.attacks import BIM, PGD, Ensemble, bounds, paper_budget, summed
from pushpull.attacks.objectives import OBJECTIVES, ce_scaled, margin

BUDGETS = paper_budget(20)


class Other(Linear):
    """The same architecture with other weights."""

    def __init__(self, seed=6):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in (self.audio, self.video):
                weight.copy_(torch.randn(weight.shape, generator=generator) * weight.std())


def same_label(size=3):
    inputs, _ = batch(size)
    return inputs, torch.ones(size, 4, dtype=torch.int64)


@pytest.mark.parametrize("objective", [summed(UNCAPPED), UNCAPPED], ids=["summed losses", "mean logits"])
def test_the_optimum_is_that_of_the_sum_of_the_models(objective):
    inputs, labels = same_label()
    models = [Linear(), Other()]
    result = BIM(steps=5).run(Ensemble(models), inputs, labels, budgets=BUDGETS, objective=objective)
    for name, x in inputs.items():
        weight = sum(getattr(model, name).sum(1) for model in models).reshape(x.shape[1:])
        lower, upper = bounds(x, BUDGETS[name])
        assert torch.equal(result.adversarial[name], torch.where(weight > 0, lower, upper))


def test_the_loss_is_summed_and_a_frame_is_won_where_all_members_are():
    inputs, labels = batch(6)
    models = [Linear(), Other(), Other(seed=7)]
    result = BIM(steps=5, keep="last").run(
        Ensemble(models), inputs, labels, budgets=BUDGETS, objective=summed("training_aware")
    )
    said = [model(result.adversarial) for model in models]
    torch.testing.assert_close(result.loss, sum(OBJECTIVES["training_aware"](one, labels) for one in said))
    won = torch.stack([one.logits_av.argmax(-1) != labels for one in said]).all(0)
    assert result.trace[-1].won_share == pytest.approx(won.float().mean().item())
    decided = [torch.stack([one.logits_av.argmax(-1) for one in of]) for of in (said, [m(inputs) for m in models])]
    flipped = (decided[0] != decided[1]).all(0)
    assert result.trace[-1].flipped_share == pytest.approx(flipped.float().mean().item())
    clean = torch.stack([model(inputs).logits_av.argmax(-1) != labels for model in models]).all(0)
    assert (result.flipped_ever | ~(won | clean)).all() and won.sum() > clean.sum()
    torch.testing.assert_close(Ensemble(models)(inputs).logits_av, sum(m(inputs).logits_av for m in models) / 3)


def test_one_member_is_the_member():
    inputs, labels = batch(3)
    options = {"budgets": BUDGETS, "seed": 1}
    alone = PGD(steps=3, restarts=2).run(Linear(), inputs, labels, objective="margin", **options)
    for objective in ("margin", summed("margin"), summed(margin)):
        result = PGD(steps=3, restarts=2).run(Ensemble([Linear()]), inputs, labels, objective=objective, **options)
        assert all(torch.equal(result.adversarial[name], alone.adversarial[name]) for name in inputs)
        assert torch.equal(result.flipped_ever, alone.flipped_ever)


@pytest.mark.parametrize("name", ["ce_scaled", ce_scaled])
def test_each_member_is_compared_with_its_own_clean_outputs(name):
    inputs, labels = batch(3)
    models = [Linear(), Other(), Linear(100.0)]
    options = {"budgets": BUDGETS, "objective": summed(name), "seed": 4}
    result = PGD(steps=3, restarts=2).run(Ensemble(models), inputs, labels, **options)
    expected = sum(
        ce_scaled(model(result.adversarial), labels, clean=ce_scaled.remember(model(inputs), labels))
        for model in models
    )
    torch.testing.assert_close(result.loss, expected)
    alone = PGD(steps=3, restarts=2).run(Ensemble(models), *row(inputs, labels, 1), **(options | {"seed": 5}))
    torch.testing.assert_close(alone.loss, result.loss[1:2])


@pytest.mark.parametrize("frozen, other", [("video", "audio"), ("audio", "video")])
@pytest.mark.parametrize("size", [1, 3])
def test_members_that_can_encode_a_frozen_modality_once(frozen, other, size):
    inputs, labels = batch(size)
    fixing, plain = Fixing(), Other()
    options = {"budgets": paper_budget(20, other), "objective": summed(UNCAPPED), "max_rows": 8}
    attack = PGD(steps=3, restarts=2)
    result = attack.run(Ensemble([fixing, plain]), inputs, labels, **options)
    assert fixing.calls[frozen] < fixing.calls[other]
    whole = attack.run(Ensemble([lambda x: fixing(x), plain]), inputs, labels, **options)
    for name in inputs:
        torch.testing.assert_close(result.adversarial[name], whole.adversarial[name])
    assert torch.equal(result.adversarial[frozen], inputs[frozen])


def test_members_are_left_as_they_were_and_do_not_see_what_others_write():
    class Writing(Other):
        def forward(self, inputs):
            outputs = super().forward({name: x.clone() for name, x in inputs.items()})
            for x in inputs.values():
                x.data.zero_()
            return outputs

    inputs, labels = batch(2)
    models = [Writing().train(), nn.Sequential(Linear()).train()]
    result = BIM(steps=3).run(Ensemble(models), inputs, labels, budgets=BUDGETS, objective=summed("margin"))
    clean = [Other(), Linear()]
    expected = BIM(steps=3).run(Ensemble(clean), inputs, labels, budgets=BUDGETS, objective=summed("margin"))
    assert all(torch.equal(result.adversarial[name], expected.adversarial[name]) for name in inputs)
    assert all(model.training and all(p.requires_grad for p in model.parameters()) for model in models)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x, y: Ensemble([]), "one or more models"),
        (lambda x, y: Ensemble([3]), "one or more models"),
        (lambda x, y: summed("hinge"), "unknown objective"),
        (lambda x, y: BIM().run(Linear(), x, y, budgets=BUDGETS, objective=summed("margin")), "for an Ensemble"),
        (lambda x, y: BIM().run(Ensemble([Linear(), lambda x: Linear()(x).logits_av]), x, y, budgets=BUDGETS,
                                objective=summed("training_aware")), "needs the outputs logits_a"),
        (lambda x, y: BIM().run(Ensemble([Linear(), lambda x: None]), x, y, budgets=BUDGETS, objective="margin"),
         "gave a NoneType"),
    ],
)  # fmt: skip
def test_ensembles_that_do_not_fit_are_refused(call, message):
    inputs, labels = batch(2)
    with pytest.raises(ValueError, match=message):
        call(inputs, labels)
