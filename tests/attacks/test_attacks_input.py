"""Attacks on input, models and options that are wrong or odd."""

import math
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch
from attack_support import (
    FRAMES,
    UNCAPPED,
    VIDEO,
    Fixing,
    Linear,
    batch,
)

from pushpull import attacks
from pushpull.attacks import APGD, BIM, FGSM, MIM, PGD, Budget, Noise, paper_budget
from pushpull.demo.form import Form
from pushpull.perturb import make_spec
from pushpull.runs.spec import RunSpec


def test_input_without_a_budget_is_frozen():
    inputs, labels = batch(2)
    result = BIM().run(Fixing(), inputs, labels, budgets={"audio": Budget(0.1, -1, 1)})
    assert torch.equal(result.adversarial["video"], inputs["video"])
    assert result.movable["video"].tolist() == [0, 0] and (result.movable["audio"] > 0.9).all()


def test_nothing_to_move_still_answers():
    inputs, labels = batch(2)
    seen = []
    result = PGD().run(Linear(), inputs, labels, budgets=paper_budget(0), on_step=seen.append)
    assert len(seen) == 1 and seen[0].progress == 1 and not result.cancelled
    assert torch.equal(result.loss, result.clean_loss)


def test_model_that_ignores_a_modality_or_everything():
    inputs, labels = batch(2)
    deaf = BIM().run(
        lambda x: Linear().head(x["video"].flatten(2).mean(-1) / 255),
        inputs,
        labels,
        budgets=paper_budget(5),
        objective="margin",
    )
    assert torch.equal(deaf.adversarial["audio"], inputs["audio"])
    assert deaf.trace[0].zero_grad_share["audio"] == 1 and deaf.trace[0].zero_grad_share["video"] == 0
    with pytest.warns(UserWarning, match=r"gradient of clips \[0, 1\] .* unchanged"):
        constant = BIM().run(
            lambda x: torch.zeros(2, FRAMES, 2), inputs, labels, budgets=paper_budget(5), objective="margin"
        )
    assert torch.equal(constant.adversarial["video"], inputs["video"])


def test_gradients_that_are_not_finite_do_not_spread():
    inputs, labels = batch(2)
    inputs["audio"][:, 5] = 0.0

    def root(x):  # d sqrt(|x|) is infinite at 0
        return Linear().head(x["audio"].abs().sqrt().sum(1, keepdim=True) + x["video"].flatten(2).mean(-1) - 130)

    result = BIM().run(root, inputs, labels, budgets=paper_budget(5), objective="margin")
    assert all(torch.isfinite(x).all() for x in result.adversarial.values())
    assert result.delta["audio"][:, 6].abs().min() > 0


def test_loss_that_is_not_finite_is_an_error():
    inputs, labels = batch(2)
    with pytest.raises(ValueError, match=r"unattacked clips \[0, 1\] of the batch is not finite"):
        BIM().run(lambda x: torch.full((2, FRAMES, 2), torch.nan), inputs, labels, budgets=paper_budget(5),
                  objective="margin")  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        ({"budgets": {"vidoe": Budget(1, 0, 255)}}, r"budget for \['vidoe'\] but the inputs are"),
        ({"labels": torch.zeros(2, FRAMES)}, "labels must be"),
        ({"labels": torch.zeros(3, FRAMES, dtype=torch.int64)}, "audio holds 2 clips, labels 3"),
        ({"mask": torch.ones(2, 1, dtype=torch.bool)}, "mask must be"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"objective": "hinge"}, "unknown objective"),
        ({"inputs": {"video": torch.full((2, *VIDEO), 256.0)}}, "outside its range 0..255"),
        ({"inputs": {"video": torch.full((2, *VIDEO), torch.nan)}}, "not finite"),
        ({"inputs": {"video": torch.zeros(2, *VIDEO, dtype=torch.uint8)}}, "float32 or float64"),
    ],
)
def test_bad_input_is_refused(change, message):
    inputs, labels = batch(2)
    options = {"budgets": paper_budget(5), "objective": "margin", "seed": 0, "mask": None, "labels": labels}
    inputs |= change.pop("inputs", {})
    options |= change
    with pytest.raises(ValueError, match=message):
        BIM().run(Linear(), inputs, options.pop("labels"), **options)


@pytest.mark.parametrize(
    "build, error",
    [
        (lambda: FGSM(steps=3), TypeError),
        (lambda: PGD(gamma=3), TypeError),
        (lambda: BIM(10), TypeError),
        (lambda: BIM(steps=0), ValueError),
        (lambda: PGD(restarts=0), ValueError),
        (lambda: BIM(step_size=0.0), ValueError),
        (lambda: BIM(keep="worst"), ValueError),
        (lambda: Noise(kind="pink"), ValueError),
        (lambda: Budget(-1, 0, 1), ValueError),
        (lambda: Budget(float("nan"), 0, 1), ValueError),
        (lambda: Budget(1, 1, 0), ValueError),
        (lambda: paper_budget(5, "smell"), ValueError),
        (lambda: BIM(grid=True).run(Linear(), {"x": torch.zeros(1, 2)}, torch.zeros(1, 2, dtype=torch.int64),
                                    budgets={"x": Budget(1, -1, 1)}), ValueError),
    ],
)  # fmt: skip
def test_bad_options_are_refused(build, error):
    with pytest.raises(error):
        build()


NUMBERS = {
    "steps": (math.nan, math.inf, 2.5, True, "3", None),
    "restarts": (math.nan, math.inf, 1.5, True, None),
    "step_size": (math.nan, math.inf, -math.inf, 0, -1, True, "1"),
    "momentum": (math.nan, math.inf, -1, True, "1", None),
    "grid": (math.nan, 1, "no", None),
    "early_stop": (math.nan, 0, "no", None),
    "keep": (math.nan, None),
    "kind": (math.nan, None),
    "noise": (math.nan, 1, None),
    "sha256": (math.nan, 1, None),
    "offset": (math.nan, 1.5, True, "3", None),
}


@pytest.mark.parametrize(
    "family, name", [(n, f.name) for n, family in attacks.ATTACKS.items() for f in fields(family)], ids=str
)
def test_every_parameter_of_every_family_refuses_what_is_no_value_of_it(family, name):
    for value in NUMBERS[name]:
        with pytest.raises(ValueError, match=name):
            attacks.ATTACKS[family](**{name: value})


@pytest.mark.parametrize("family", attacks.ATTACKS)
def test_shell_and_reports_refuse_numbers_that_are_none(family):
    for name in {field.name for field in fields(attacks.ATTACKS[family])} & {"step_size", "momentum"}:
        for value in (math.nan, math.inf):
            with pytest.raises(ValueError, match=name):
                make_spec({"attack": family, name: float(str(value))})
            with pytest.raises(ValueError, match=name):
                RunSpec.from_dict({"attack": {"name": family, name: value}})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_budgets_that_are_no_numbers_are_refused(value):
    for make in (lambda: Budget(value, 0, 1), lambda: paper_budget(value, "audio"), lambda: RunSpec(eps_av=value)):
        with pytest.raises(ValueError, match="eps"):
            make()
    for lo, hi in ((math.nan, 1), (0, math.nan), (math.inf, math.inf)):
        with pytest.raises(ValueError, match="lo must be below hi"):
            Budget(1.0, lo, hi)


@pytest.mark.parametrize("name", ["steps", "restarts", "seed", "eps_av", "start"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_page_refuses_numbers_that_are_none(name, value):
    subject = SimpleNamespace(start=value if name == "start" else 0.0, length=None)
    form = Form(model="lite") if name == "start" else Form(model="lite", **{name: value})
    with pytest.raises(ValueError, match=name):
        form.spec(subject, 0)


@pytest.mark.parametrize(
    "attack, eps",
    [
        (BIM(step_size=1e300), 1.0),
        (MIM(momentum=1e300, step_size=1e300), 1.0),
        (PGD(restarts=1), 1e300),
        (MIM(), 1e300),
        (APGD(steps=10), 1e300),
    ],
)
def test_huge_numbers_stay_numbers(attack, eps):
    """An infinite step in float32 times the sign 0 is not a number."""
    inputs, labels = batch(2)
    half = lambda x: Linear().head(x["audio"][:, :12].sum(1, keepdim=True) + 0 * x["video"].flatten(2).sum(-1))  # noqa: E731
    budgets = {"audio": Budget(eps, -1, 1), "video": Budget(eps, 0, 255)}
    result = attack.run(half, inputs, labels, budgets=budgets, objective=UNCAPPED)
    for name, x in result.adversarial.items():
        assert torch.isfinite(x).all() and x.min() >= budgets[name].lo and x.max() <= budgets[name].hi
    assert (result.loss > result.clean_loss).all()


def test_every_family_is_listed_with_defaults():
    for name, family in attacks.ATTACKS.items():
        assert family() == family() and name == family.__name__.lower()
        assert {"keep", "grid", "early_stop"} <= {f.name for f in fields(family)}


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_works_where_the_caller_switched_gradients_off(guard):
    model = Linear()
    with guard():
        inputs, labels = batch(2)
        result = BIM().run(model, inputs, labels, budgets=paper_budget(5))
    assert (result.loss > result.clean_loss).all()


def test_float64_and_mixed_precision():
    model = Linear()
    inputs, labels = batch(2, dtype=torch.float64)
    assert (
        BIM().run(model.double(), inputs, labels, budgets=paper_budget(5)).adversarial["audio"].dtype == torch.float64
    )
    inputs, labels = batch(2)
    mixed = BIM().run(model.float(), inputs, labels, budgets=paper_budget(5), autocast=torch.bfloat16)
    assert (mixed.loss > mixed.clean_loss).all() and mixed.adversarial["video"].dtype == torch.float32
