"""Models and callers that are not ours: they write to what they get, hide modules, and answer in other shapes."""

import ast
import copy
import functools
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from attack_support import FRAMES, Curved, Fixing, Linear, assert_within, batch
from torch import nn

from pushpull.attacks import BIM, PGD, Budget, Noise, paper_budget

FIELD = Path(__file__).parents[2] / "shared" / "data" / "field"
needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason="needs the inputs in ../shared/data/field")
BUDGETS = {"both": paper_budget(10), "audio": paper_budget(10, "audio"), "video": {"video": Budget(1, 0, 255)}}


def attack(which, model, *, budgets=None, objective="margin", size=2, **options):
    inputs, labels = batch(size)
    labels = options.pop("labels", labels)
    return which.run(model, inputs, labels, budgets=budgets or paper_budget(10), objective=objective, **options)


# Models that write to what they are given


class Scaling(Linear):
    """As torchvision's Normalize(inplace=True)."""

    def forward(self, x):
        return super().forward({"audio": x["audio"].mul_(2), "video": x["video"].div_(255).sub_(0.4)})


class Silencing(Linear):
    """Past autograd, when it is done."""

    def forward(self, x):
        said = super().forward({name: values.clone() for name, values in x.items()})
        for values in x.values():
            values.data.zero_()
        return said


class Emptying(Linear):
    def forward(self, x):
        return super().forward({name: x.pop(name) for name in list(x)})


class Remembering(Linear):
    """Writes to the input of the call before."""

    last: dict = {}  # noqa: RUF012

    def forward(self, x):
        for values in self.last.values():
            values.detach().fill_(1)
        self.last = x
        return super().forward({name: values.clone() for name, values in x.items()})


class FixingInPlace(Fixing):
    def encode(self, inputs):
        encoded = super().encode(inputs)
        for values in inputs.values():
            values.data.fill_(7)
        return encoded


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize(
    "which", [Noise(steps=3), BIM(steps=3), PGD(steps=2, restarts=2)], ids=lambda a: type(a).__name__
)
@pytest.mark.parametrize("model", [Scaling, Silencing, Emptying, Remembering, FixingInPlace])
def test_models_that_write_to_their_input_stay_within_the_budget(model, which, budget):
    inputs, labels = batch(2)
    given = {name: x.clone() for name, x in inputs.items()}
    result = which.run(model(), inputs, labels, budgets=BUDGETS[budget], objective="margin")
    for name, x in inputs.items():
        assert torch.equal(x, given[name])
        assert_within(result.adversarial[name], x, BUDGETS[budget].get(name, Budget(0, -1, 255)))
    with torch.no_grad():
        said = model()({name: x.clone() for name, x in result.adversarial.items()}).logits_av
    other = said.gather(-1, 1 - labels[..., None]) - said.gather(-1, labels[..., None])
    torch.testing.assert_close(other[..., 0].clamp(max=10).mean(1), result.loss)


def test_an_objective_may_write_to_what_it_gets():
    def greedy(outputs, labels, *, mask, targeted):
        loss = (outputs.logits_av.diff(dim=-1)[..., 0] * (1 - 2 * labels)).mean(1)
        outputs.logits_av.data.zero_()
        labels.zero_()
        mask.zero_()
        return loss

    rest = attack(BIM(steps=4), Linear(), objective="margin")
    result = attack(BIM(steps=4), Linear(), objective=greedy)
    assert torch.equal(result.flipped_ever, rest.flipped_ever) and result.flipped_ever.any()


@needs_field
def test_the_reported_model_that_works_in_place(capsys):
    ends = runpy.run_path(str(FIELD / "f9_inplace.py"))
    assert torch.equal(ends["r"].adversarial["video"], ends["x"]["video"])
    noise, frozen = capsys.readouterr().out.splitlines()
    assert float(noise.split()[-1]) <= 1 and float(frozen.split()[-1]) == 0


# Outputs, labels and objectives that do not fit


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
        attack(which, model, objective="inference_aware")


def test_heads_of_another_length_are_refused_by_name():
    def model(x):
        said = Linear()(x)
        return said._replace(logits_v=said.logits_v[:, :-1])

    with pytest.raises(ValueError, match=r"logits_v are \(2, 3, 2\)"):
        attack(BIM(), model, objective="training_aware")


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
        attack(BIM(), Linear(), labels=labels, objective=objective)


@pytest.mark.parametrize(
    "objective",
    [lambda o, y, **_: o.logits_av.mean(), lambda o, y, **_: 1.0, lambda o, y, **_: y.sum(1), 3, ["margin"]],
)
def test_objectives_that_do_not_fit_are_refused(objective):
    with pytest.raises(ValueError, match="objective"):
        attack(BIM(), Linear(), objective=objective)


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


@needs_field
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


# Modules behind functions


class Holder:
    def __init__(self, net):
        self.parts = {"nets": [net]}

    def __call__(self, x):
        return self.parts["nets"][0](x)

    def ask(self, x):
        return self(x)


class Hiding(nn.Module):
    """Its net is in a list, so that torch does not know of it."""

    def __init__(self, net):
        super().__init__()
        self.nets = [net]

    def forward(self, x):
        return self.nets[0](x)


def buried(net):
    """Deeper than anyone looks; it shows itself when it is called."""
    ask = net
    for _ in range(12):
        ask = functools.partial(lambda inner, x: inner(x), ask)
    return ask


def asked(net, x, *, scale=1.0):
    return net(x)


WRAPPERS = {
    "closure": lambda net: lambda x: net(x),
    "default": lambda net: lambda x, net=net: net(x),
    "partial": lambda net: functools.partial(asked, net, scale=2.0),
    "forward": lambda net: net.forward,
    "method": lambda net: Holder(net).ask,
    "object": Holder,
    "hidden": Hiding,
    "buried": buried,
    "decorated": lambda net: torch.enable_grad()(lambda x: net(x)),
}


@pytest.mark.parametrize("which", [BIM(steps=2), Noise(steps=2)], ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("name", WRAPPERS)
def test_a_module_behind_a_function_is_left_as_it_was(name, which):
    net = Curved()
    net.norm.running_mean += 0.3
    net.dropout.eval()  # modes differ, module by module
    before = copy.deepcopy(net.state_dict())
    expected = attack(which, copy.deepcopy(net), objective="training_aware")
    result = attack(which, WRAPPERS[name](net), objective="training_aware")
    assert all(torch.equal(values, before[key]) for key, values in net.state_dict().items())
    assert net.training and net.norm.training and not net.dropout.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    for key in result.adversarial:
        assert torch.equal(result.adversarial[key], expected.adversarial[key])


def test_a_layer_called_by_its_method_is_left_as_it_was():
    norm = nn.BatchNorm1d(FRAMES)

    def model(x):
        margin = norm.forward(x["audio"].unflatten(1, (FRAMES, -1)).mean(-1)) + x["video"].flatten(2).mean(-1) / 255
        return Linear().head(margin)

    attack(BIM(steps=2), model)
    assert norm.num_batches_tracked == 0 and norm.training and norm.weight.requires_grad


def test_buffers_that_change_with_every_call_are_given_back():
    class Counting(Linear):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("mean", torch.zeros(FRAMES))

        def forward(self, x):
            self.calls = self.calls + 1
            self.mean.lerp_(x["video"].detach().flatten(2).mean((0, 2)), 0.1)
            return super().forward(x)

    model = Counting()
    calls, mean = model.calls, model.mean
    attack(PGD(steps=2, restarts=2), model)
    assert model.calls is calls and model.mean is mean and calls == 0 and not mean.any()


def test_what_a_callback_trains_stays_in_training():
    mine, modes = nn.BatchNorm1d(3), []

    def on_step(step):
        mine(torch.randn(4, 3))
        modes.append(mine.training)

    attack(BIM(steps=2), Linear(), on_step=on_step)
    assert modes == [True] * 3 and mine.num_batches_tracked == 3


def test_a_callback_that_raises_leaves_the_hidden_module_as_it_was():
    net = Curved()

    def on_step(step):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        attack(BIM(), buried(net), on_step=on_step)
    assert net.training and all(parameter.requires_grad for parameter in net.parameters())
    assert not nn.modules.module._global_forward_pre_hooks


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
        result = attack(which, model)
    assert seen[0].filename == __file__.replace(".pyc", ".py") and len(seen) == 1
    for name, delta in result.delta.items():
        assert (delta.abs().max() > 0) == (outcome != "unchanged"), name


@pytest.mark.parametrize("which", [BIM(steps=2), PGD(steps=2), BIM(steps=2, early_stop=True)])
def test_a_model_with_gradients_is_not(which, recwarn):
    attack(which, Linear())
    attack(Noise(steps=2), without_gradients)
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
        attack(BIM(steps=3), lambda x: Linear()(x).logits_av.softmax(-1))
    assert len(seen) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_models_of_half_precision(dtype):
    net = Linear().to(dtype)
    halved = lambda x: net({name: values.to(dtype) for name, values in x.items()})  # noqa: E731
    result = attack(BIM(steps=3), halved, budgets=paper_budget(200), objective="training_aware")
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
