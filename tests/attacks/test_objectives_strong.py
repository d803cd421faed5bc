"""Objectives that go on where cross entropy stops: weighted, scaled, and in the space of embeddings."""

import math
from types import SimpleNamespace

import pytest
import torch
from attack_support import FRAMES, UNCAPPED, Linear, batch
from torch import nn

from pushpull.attacks import BIM, PGD, Budget, class_centres, features, objective_titles, paper_budget
from pushpull.attacks.objectives import (
    OBJECTIVES,
    ce_scaled,
    ce_weighted,
    get_objective,
    inference_aware,
    register_objective,
)


def logits_of_odds(odds):
    odds = torch.tensor(odds)
    return torch.stack([-odds / 2, odds / 2], -1).requires_grad_()


# Weighted


@pytest.mark.parametrize("targeted", [False, True])
def test_weight_lies_on_the_frames_that_are_not_yet_won(targeted):
    odds = [[2.0, 0.5, -0.5, -8.0]]  # of speaking; label 1 is to be left, or target 0 to be reached
    logits = logits_of_odds(odds)
    labels = torch.full((1, 4), int(not targeted))
    loss = ce_weighted(logits, labels, targeted=targeted)
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    assert (slope[0, :, 0] != 0).tolist() == [True, True, False, False]
    right = [math.log1p(math.exp(sign * odd)) for sign, odd in zip([1 if targeted else -1] * 2, odds[0], strict=False)]
    brink = math.log(2) * (-1 if targeted else 1)
    expected = (sum(right) * (-1 if targeted else 1) + 2 * brink) / 4
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("targeted", [False, True])
def test_a_frame_more_that_is_won_never_lowers_the_weighted_loss(classes, targeted):
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(400, 6, classes, generator=generator)
    labels = torch.randint(0, classes, (400, 6), generator=generator)
    decided = logits.argmax(-1)
    won = (decided == labels) if targeted else (decided != labels)
    assert won.any() and not won.all()
    single = ce_weighted(logits.flatten(0, 1)[:, None], labels.flatten()[:, None], targeted=targeted)
    assert single[won.flatten()].min() >= single[~won.flatten()].max() - 1e-6


def test_no_budget_is_spent_on_frames_that_are_lost():
    """One input moves two frames. One of them is wrong wherever it goes, and has the steeper cross entropy."""

    def model(x):
        odds = torch.stack([-6 - 10 * x["audio"][:, 0], 1 + 3 * x["audio"][:, 0]], -1)
        return torch.stack([-odds / 2, odds / 2], -1)

    inputs, labels = {"audio": torch.zeros(1, 1)}, torch.ones(1, 2, dtype=torch.int64)
    budgets = {"audio": Budget(0.5, -1, 1)}
    wrong = {}
    for name in ("inference_aware", "ce_weighted", "margin"):
        result = BIM(steps=10).run(model, inputs, labels, budgets=budgets, objective=name)
        wrong[name] = (model(result.adversarial).argmax(-1) != labels).sum().item()
    assert wrong == {"inference_aware": 1, "ce_weighted": 2, "margin": 2}


# Scaled


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0, 1e6])
@pytest.mark.parametrize("targeted", [False, True])
def test_scaled_cross_entropy_does_not_depend_on_the_scale_of_the_logits(scale, targeted):
    generator = torch.Generator().manual_seed(2)
    clean, moved = torch.randn(2, 3, 5, 2, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 2, (3, 5), generator=generator)
    values, slopes = [], []
    for factor in (1.0, scale):
        logits = (factor * moved).requires_grad_()
        remembered = ce_scaled.remember(factor * clean, labels)
        values.append(ce_scaled(logits, labels, targeted=targeted, clean=remembered))
        slopes.append(torch.autograd.grad(values[-1].sum(), logits)[0] * factor)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*slopes)
    mean = clean.diff(dim=-1).abs().mean((1, 2))
    torch.testing.assert_close(remembered["scale"], scale * mean)
    torch.testing.assert_close(values[0], inference_aware(moved / mean[:, None, None], labels, targeted=targeted))


def test_scaled_without_a_scale_takes_that_of_the_outputs_as_a_constant():
    logits = logits_of_odds([[2.0, -4.0], [0.0, 0.0]])
    labels = torch.zeros(2, 2, dtype=torch.int64)
    mask = torch.tensor([[True, False], [True, True]])
    loss = ce_scaled(logits, labels, mask=mask)
    torch.testing.assert_close(loss, torch.tensor([math.log1p(math.exp(1)), math.log(2)]))
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    assert slope[0, 0, 1] == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item() / 2) and (slope[0, 1] == 0).all()


def saturated(scale):
    """Clips so deep in the plateau of a network with logits x 100 that float32 has no gradient of cross entropy."""
    model = Linear(scale)
    with torch.no_grad():
        model.audio.copy_(model.audio[:, :1].expand_as(model.audio))
        model.video.copy_(model.video[:, :1].expand_as(model.video))
    inputs, _ = batch(256)
    deep = Linear(1.0)
    deep.load_state_dict(model.state_dict())
    chosen = deep(inputs).logits_av.diff(dim=-1).abs().amin(dim=(1, 2)) > 5.5
    inputs = {name: x[chosen] for name, x in inputs.items()}
    return model, inputs, deep(inputs).logits_av.argmax(-1)


def test_scaled_cross_entropy_sees_through_large_logits():
    big = {"audio": Budget(0.3, -1, 1), "video": Budget(60.0, 0, 255)}
    adversarial = []
    for scale in (1.0, 100.0):
        model, inputs, labels = saturated(scale)
        result = BIM(steps=20).run(model, inputs, labels, budgets=big, objective="ce_scaled")
        assert result.flipped_ever.all() and len(labels) >= 8
        adversarial.append(result.adversarial)
    for name in inputs:
        torch.testing.assert_close(adversarial[0][name], adversarial[1][name])


# Features


class Embedding(nn.Module):
    """Embeddings that the logits read through a step: there is no gradient in them, however scaled."""

    def __init__(self, names=("z_a", "z_v")):
        super().__init__()
        self.linear, self.names = Linear(), names

    def forward(self, x):
        a = x["audio"] @ self.linear.audio
        v = self.linear.encode_video(x["video"])
        odds = ((a + v).detach() > 0).float() * 2 - 1
        logits = torch.stack([-odds, odds], -1) + 0 * (a + v)[..., None]
        parts = {
            name: torch.stack([part, 0.1 * part.square()], -1) for name, part in zip(self.names, (a, v), strict=True)
        }
        return SimpleNamespace(logits_av=logits, **parts)


@pytest.mark.parametrize("names", [("z_a", "z_v"), ("e_a", "e_v")])
@pytest.mark.parametrize("targeted", [False, True])
def test_features_lead_to_the_other_class_where_logits_have_no_gradient(names, targeted):
    model = Embedding(names)
    known, _ = batch(64, seed=9)
    said = model(known)
    centres = class_centres(said, said.logits_av.argmax(-1))
    assert {name: tuple(values.shape) for name, values in centres.items()} == dict.fromkeys(names, (2, 2))
    inputs, _ = batch(4)
    labels = model(inputs).logits_av.argmax(-1)
    wanted = 1 - labels if targeted else labels
    big = {"audio": Budget(0.5, -1, 1), "video": Budget(100.0, 0, 255)}
    options = {"budgets": big, "targeted": targeted}
    flipped = BIM(steps=20).run(model, inputs, wanted, objective=features(centres), **options).flipped_ever
    with pytest.warns(UserWarning, match="exactly zero throughout"):
        without = BIM(steps=20).run(model, inputs, wanted, objective="inference_aware", **options).flipped_ever
    assert flipped.float().mean() > 0.7 and not without.any()


def test_features_are_minus_one_at_the_own_centre_and_stop_at_the_other():
    centres = {"z_v": torch.tensor([[0.0, 0.0], [4.0, 0.0]])}
    z = torch.tensor([[[0.0, 9.0], [2.0, 0.0], [4.0, -3.0], [40.0, 0.0]]], requires_grad=True)
    outputs = SimpleNamespace(z_v=z, z_a=None)
    labels = torch.zeros(1, 4, dtype=torch.int64)
    for frame, value in enumerate([-1.0, 0.0, 1.0, 1.0]):
        mask = torch.arange(4)[None] == frame
        loss = features(centres)(outputs, labels, mask=mask)
        assert loss.item() == pytest.approx(value)
        assert features(centres)(outputs, 1 - labels, mask=mask, targeted=True).item() == pytest.approx(value)
    (slope,) = torch.autograd.grad(features(centres)(outputs, labels).sum(), z)
    assert (slope[0, :, 0] != 0).tolist() == [True, True, True, False] and (slope[..., 1] == 0).all()


def test_features_without_centres_are_the_ecr_of_the_clip():
    inputs, labels = batch(3)
    model = Embedding()
    result = BIM(steps=8).run(model, inputs, labels, budgets=paper_budget(20), objective="features")
    clean, moved = model(inputs), model(result.adversarial)
    parts = [
        (getattr(moved, name) - getattr(clean, name)).norm(dim=-1) / getattr(clean, name).norm(dim=-1)
        for name in ("z_a", "z_v")
    ]
    torch.testing.assert_close(result.loss, torch.stack(parts).mean((0, 2)))
    assert (result.clean_loss == 0).all() and (result.loss > 0.01).all()
    assert result.trace[1].random_start == {"audio": 1.0, "video": 1.0}  # a distance is flat at 0
    assert not result.stalled.any() and not result.no_gradient.any()
    options = {"budgets": paper_budget(20), "objective": "features", "seed": 1}
    alone = BIM(steps=8).run(model, {n: x[1:2] for n, x in inputs.items()}, labels[1:2], **options)
    torch.testing.assert_close(alone.loss, result.loss[1:2])


def test_each_restart_of_each_clip_is_compared_with_its_own_clip():
    inputs, labels = batch(3)
    options = {"budgets": paper_budget(20), "objective": "features"}
    results = [PGD(steps=2, restarts=4).run(Embedding(), inputs, labels, max_rows=m, **options) for m in (1, 5, 12)]
    for other in results[1:]:
        torch.testing.assert_close(other.loss, results[0].loss)
    stopped = PGD(steps=6, early_stop=True).run(
        Linear(), inputs, labels, budgets=paper_budget(20), objective="ce_scaled"
    )
    assert (stopped.loss >= stopped.clean_loss).all()


LABELS = torch.tensor([[0, 1]])
EMBEDDED = SimpleNamespace(z_a=torch.rand(1, 2, 3), z_v=torch.rand(1, 2, 3))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: features()(SimpleNamespace(logits_av=None), LABELS), "needs embeddings, z_a and z_v or e_a and e_v"),
        (lambda: features()(EMBEDDED, LABELS, targeted=True), "choose another objective, such as margin, or no target"),
        (lambda: features()(EMBEDDED, LABELS), "compares with clean"),
        (lambda: features({"e_a": torch.rand(2, 3)})(EMBEDDED, LABELS), "another model's"),
        (lambda: class_centres(EMBEDDED, LABELS * 0), "none of one kind"),
        (lambda: class_centres(SimpleNamespace(), LABELS), "needs embeddings"),
        (lambda: register_objective("margin", "mine")(UNCAPPED), "an objective 'margin' already"),
    ],
)
def test_what_features_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_model_without_embeddings_is_told_so_by_the_attack():
    inputs, labels = batch(2)
    with pytest.raises(ValueError, match="which this model does not give; use margin or ce_weighted"):
        BIM().run(Linear(), inputs, labels, budgets=paper_budget(5), objective="features")


def test_objectives_have_titles_and_own_ones_may_join():
    titles = objective_titles()
    assert list(titles) == list(OBJECTIVES) and all(titles[name] not in ("", name) for name in OBJECTIVES)
    try:
        register_objective("half", "half of it")(lambda *a, **k: inference_aware(*a, **k) / 2)
        inputs, labels = batch(2)
        result = BIM(steps=2).run(Linear(), inputs, labels, budgets=paper_budget(5), objective="half")
        assert objective_titles()["half"] == "half of it" and callable(get_objective("half"))
        torch.testing.assert_close(result.loss, inference_aware(Linear()(result.adversarial), labels) / 2)
    finally:
        del OBJECTIVES["half"]
    assert "half" not in objective_titles() and labels.shape[1] == FRAMES
