"""Models and callers whose outputs, labels, scales or precisions are not what an attack needs."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from attack_support import FRAMES, Linear, attack_batch, batch

from pushpull.attacks import BIM, PGD, Budget, Noise, paper_budget

FIELD = Path(__file__).parents[3] / "shared" / "data" / "field"


def tupled(x):
    return (Linear()(x).logits_av, None)


BAD_OUTPUTS = {
    "one logit": (lambda x: Linear()(x).logits_av[..., :1], r"one number per frame.*torch\.logit"),
    "a sigmoid": (lambda x: Linear()(x).logits_av[..., 0].sigmoid(), "one number per frame"),
    "a frame too few": (lambda x: Linear()(x).logits_av[:, 1:], r"logits_av are \(2, 3, 2\) for labels of \(2, 4\)"),
    "one clip": (lambda x: Linear()(x).logits_av[:1], r"\(1, 4, 2\)"),
    "flat": (lambda x: Linear()(x).logits_av.flatten(0, 1), "belong together"),
    "decisions": (lambda x: Linear()(x).logits_av.long(), "decisions have no gradient"),
    "a tuple": (tupled, "gave a tuple"),
    "a list": (lambda x: [Linear()(x).logits_av], "gave a list"),
    "a dict": (lambda x: {"logits": Linear()(x).logits_av}, "gave a dict of logits"),
    "nothing": (lambda x: None, "gave a NoneType"),
    "no logits": (lambda x: SimpleNamespace(logits_av=None), "gave a SimpleNamespace"),
    "numpy": (lambda x: Linear()(x).logits_av.detach().numpy(), "gave a ndarray"),
}


@pytest.mark.parametrize("which", [BIM(steps=1), PGD(steps=1), Noise(steps=1)], ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("name", BAD_OUTPUTS)
def test_outputs_that_do_not_fit_are_refused(name, which):
    model, message = BAD_OUTPUTS[name]
    with pytest.raises(ValueError, match=message):
        attack_batch(which, model, objective="inference_aware")


def test_heads_of_another_length_are_refused_by_name():
    def model(x):
        said = Linear()(x)
        return said._replace(logits_v=said.logits_v[:, :-1])

    with pytest.raises(ValueError, match=r"logits_v are \(2, 3, 2\)"):
        attack_batch(BIM(), model, objective="training_aware")


@pytest.mark.parametrize(
    "labels, message",
    [
        (torch.full((2, FRAMES), 2), "labels go up to 2, but the model has 2 classes"),
        (torch.full((2, FRAMES), -1), "labels count classes from 0, got -1"),
        (torch.zeros(2, FRAMES - 1, dtype=torch.int64), r"for labels of \(2, 3\)"),
        (torch.zeros(2, 0, dtype=torch.int64), "nothing to attack"),
        (torch.zeros(0, FRAMES, dtype=torch.int64), "nothing to attack"),
        ([[0] * FRAMES] * 2, "labels must be a tensor"),
    ],
)
@pytest.mark.parametrize("objective", ["inference_aware", "margin", "training_aware"])
def test_labels_that_do_not_fit_are_refused(objective, labels, message):
    with pytest.raises(ValueError, match=message):
        attack_batch(BIM(), Linear(), labels=labels, objective=objective)


@pytest.mark.parametrize(
    "objective",
    [lambda o, y, **_: o.logits_av.mean(), lambda o, y, **_: 1.0, lambda o, y, **_: y.sum(1), 3, ["margin"]],
)
def test_objectives_that_do_not_fit_are_refused(objective):
    with pytest.raises(ValueError, match="objective"):
        attack_batch(BIM(), Linear(), objective=objective)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"inputs": {}}, "inputs must be tensors"),
        ({"inputs": {"video": [1, 2]}}, "inputs must be tensors.*list"),
        ({"inputs": {"video": torch.zeros(2)}}, r"must be \(B, \.\.\.\)"),
        ({"inputs": {"video": torch.zeros(2, 0)}}, "hold something"),
        ({"seed": 0.5}, "seed"),
        ({"seed": float("nan")}, "seed"),
        ({"on_step": 3}, "on_step"),
        ({"mask": [True]}, "mask must be"),
    ],
)
def test_calls_that_do_not_fit_are_refused(change, message):
    inputs, labels = batch(2)
    options = {"inputs": inputs, "budgets": {}} | change
    with pytest.raises(ValueError, match=message):
        BIM().run(Linear(), options.pop("inputs"), labels, **options)


@pytest.mark.skipif(not FIELD.is_dir(), reason="needs the inputs in ../shared/data/field")
def test_the_reported_model_of_one_logit():
    tree = ast.parse((FIELD / "f11_onelogit.py").read_text())
    wanted = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom, ast.Assign))]
    wanted = [n for n in wanted if not (isinstance(n, ast.Assign) and n.targets[0].id == "r")]
    given = {}
    exec(compile(ast.Module(wanted, []), "f11", "exec"), given)  # noqa: S102
    x, labels = given["x"], torch.zeros(1, 5, dtype=torch.int64)
    for model, clips, said in (
        (given["one"], x, labels),
        (given["two"], x, labels + 2),
        (given["two"], x, labels - 1),
        (given["two"], x, labels[:, 1:]),
        (given["two"], {name: values[:0] for name, values in x.items()}, labels[:0]),
    ):
        with pytest.raises(ValueError, match="logits_av|labels"):
            PGD(steps=1).run(model, clips, said, budgets=paper_budget(5), objective="inference_aware")


# Gradients, scales and precisions


@torch.no_grad()
def without_gradients(x):
    return Linear()(x)


def through_numpy(x):
    return torch.from_numpy(Linear()(x).logits_av.detach().numpy())


@pytest.mark.parametrize("model", [without_gradients, through_numpy])
@pytest.mark.parametrize("which, outcome", [(BIM(steps=2), "unchanged"), (PGD(steps=2), "the best random start")])
def test_a_model_without_gradients_is_warned_of(model, which, outcome):
    with pytest.warns(UserWarning, match=rf"clips \[0, 1\] .* exactly zero throughout.*{outcome}") as seen:
        result = attack_batch(which, model)
    assert len(seen) == 1 and Path(seen[0].filename).name == "attack_support.py"  # it points to the caller
    for name, delta in result.delta.items():
        assert (delta.abs().max() > 0) == (outcome != "unchanged"), name


@pytest.mark.parametrize("which", [BIM(steps=2), PGD(steps=2), BIM(steps=2, early_stop=True)])
def test_a_model_with_gradients_is_not(which, recwarn):
    attack_batch(which, Linear())
    attack_batch(Noise(steps=2), without_gradients)
    assert not recwarn.list


@pytest.mark.parametrize(
    "levels, hi, clips",
    [((1.0, 255.0), 255, [0]), ((1.0, 0.5), 255, [0, 1]), ((0.0, 2.0), 255, []), ((1.0, 1.0), 1, [])],
)
def test_pictures_from_0_to_1_are_warned_of(levels, hi, clips, recwarn):
    inputs, labels = batch(2)
    inputs["video"] = torch.rand_like(inputs["video"])
    inputs["video"][:, 0, 0, 0] = 1.0
    inputs["video"] *= torch.tensor(levels)[:, None, None, None]
    BIM(steps=1).run(Linear(), inputs, labels, budgets={"video": Budget(0.5, 0, hi)}, objective="margin")
    said = [str(warning.message) for warning in recwarn.list]
    assert len(said) == bool(clips) and all(f"clips {clips} of the batch lies in 0..1" in text for text in said)


def test_probabilities_are_warned_of():
    with pytest.warns(UserWarning, match="probabilities") as seen:
        attack_batch(BIM(steps=3), lambda x: Linear()(x).logits_av.softmax(-1))
    assert len(seen) == 1


def test_probabilities_in_the_place_of_log_odds_are_warned_of():
    def chance(x):
        p = Linear()(x).logits_av.softmax(-1)[..., 1]
        return torch.stack([torch.zeros_like(p), p], dim=-1)  # as a wrapped detector gives log-odds

    with pytest.warns(UserWarning, match="torch.logit") as seen:
        attack_batch(BIM(steps=3), chance)
    assert len(seen) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_models_of_half_precision(dtype):
    net = Linear().to(dtype)
    halved = lambda x: net({name: values.to(dtype) for name, values in x.items()})  # noqa: E731
    result = attack_batch(BIM(steps=3), halved, budgets=paper_budget(200), objective="training_aware")
    assert (result.loss > result.clean_loss).all() and result.adversarial["video"].dtype == torch.float32


LAYOUTS = {
    "needs grad": lambda x: x.clone().requires_grad_(),
    "computed": lambda x: x.clone().requires_grad_() * 1,
    "transposed": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "every other": lambda x: x.repeat_interleave(2, dim=-1)[..., ::2],
    "inference": lambda x: torch.inference_mode()(x.clone)(),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_and_history_of_the_input_do_not_matter(name):
    inputs, labels = batch(3)
    wanted = BIM(steps=3).run(Linear(), inputs, labels, budgets=paper_budget(10))
    given = {key: LAYOUTS[name](x) for key, x in inputs.items()}
    result = BIM(steps=3).run(Linear(), given, labels, budgets=paper_budget(10))
    for key, x in given.items():
        assert torch.equal(result.adversarial[key], wanted.adversarial[key]) and not result.delta[key].requires_grad
        assert not x.is_leaf or x.grad is None


def test_clips_of_one_stride_zero_batch():
    inputs, labels = batch(1)
    wide = {name: x.expand(3, *x.shape[1:]) for name, x in inputs.items()}
    result = BIM(steps=3).run(Linear(), wide, labels.expand(3, -1), budgets=paper_budget(10))
    alone = BIM(steps=3).run(Linear(), inputs, labels, budgets=paper_budget(10))
    torch.testing.assert_close(result.adversarial["audio"], alone.adversarial["audio"].expand(3, -1))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_iterates_that_are_not_numbers_are_never_returned(keep):
    calls = []

    def failing(x):
        calls.append(1)
        said = Linear()(x).logits_av
        return said if len(calls) < 3 else said * torch.nan

    inputs, labels = batch(2)
    labels[:] = Linear()(inputs).logits_av.argmax(-1)
    small = paper_budget(0.01)
    result = BIM(steps=4, keep=keep).run(failing, inputs, labels, budgets=small, objective="margin")
    assert torch.isfinite(result.loss).all() and not result.flipped_ever.any()
    shorter = BIM(steps=1, step_size=2.5 / 4, keep=keep).run(
        Linear(), inputs, labels, budgets=small, objective="margin"
    )
    assert torch.equal(result.adversarial["audio"], shorter.adversarial["audio"])


@pytest.mark.parametrize("budgets", [paper_budget(10), paper_budget(0)], ids=["not a number", "nothing may move"])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_clip_of_which_nothing_was_found_comes_back_with_its_own_loss(keep, budgets):
    calls = []

    def failing(x):
        calls.append(1)
        return Linear()(x).logits_av * (1 if len(calls) == 1 else torch.nan)

    inputs, labels = batch(2)
    result = PGD(steps=2, keep=keep).run(failing, inputs, labels, budgets=budgets, objective="margin", max_rows=2)
    assert torch.equal(result.loss, result.clean_loss) and torch.isfinite(result.loss).all()
    assert all(torch.equal(result.adversarial[name], x) for name, x in inputs.items())
