"""Models that are not ours: they write to what they get, hide modules, and change with every call."""

import copy
import functools
import runpy
from pathlib import Path

import pytest
import torch
from attack_support import FRAMES, Curved, Fixing, Linear, assert_within, attack_batch, batch
from torch import nn

from pushpull.attacks import BIM, PGD, Budget, Noise, paper_budget
from pushpull.attacks.objectives import MARGIN_CAP

FIELD = Path(__file__).parents[3] / "shared" / "data" / "field"
needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason="needs the inputs in ../shared/data/field")
BUDGETS = {"both": paper_budget(10), "audio": paper_budget(10, "audio"), "video": {"video": Budget(1, 0, 255)}}


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
    torch.testing.assert_close(other[..., 0].clamp(max=MARGIN_CAP).mean(1), result.loss)


def test_an_objective_may_write_to_what_it_gets():
    def greedy(outputs, labels, *, mask, targeted):
        loss = (outputs.logits_av.diff(dim=-1)[..., 0] * (1 - 2 * labels)).mean(1)
        outputs.logits_av.data.zero_()
        labels.zero_()
        mask.zero_()
        return loss

    rest = attack_batch(BIM(steps=4), Linear(), objective="margin")
    result = attack_batch(BIM(steps=4), Linear(), objective=greedy)
    assert torch.equal(result.flipped_ever, rest.flipped_ever) and result.flipped_ever.any()


@needs_field
def test_the_reported_model_that_works_in_place(capsys):
    ends = runpy.run_path(str(FIELD / "f9_inplace.py"))
    assert torch.equal(ends["r"].adversarial["video"], ends["x"]["video"])
    noise, frozen = capsys.readouterr().out.splitlines()
    assert float(noise.split()[-1]) <= 1 and float(frozen.split()[-1]) == 0


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
    expected = attack_batch(which, copy.deepcopy(net), objective="training_aware")
    result = attack_batch(which, WRAPPERS[name](net), objective="training_aware")
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

    attack_batch(BIM(steps=2), model)
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
    attack_batch(PGD(steps=2, restarts=2), model)
    assert model.calls is calls and model.mean is mean and calls == 0 and not mean.any()


def test_what_a_callback_trains_stays_in_training():
    mine, modes = nn.BatchNorm1d(3), []

    def on_step(step):
        mine(torch.randn(4, 3))
        modes.append(mine.training)

    attack_batch(BIM(steps=2), Linear(), on_step=on_step)
    assert modes == [True] * 3 and mine.num_batches_tracked == 3


def test_a_callback_that_raises_leaves_the_hidden_module_as_it_was():
    net = Curved()

    def on_step(step):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        attack_batch(BIM(), buried(net), on_step=on_step)
    assert net.training and all(parameter.requires_grad for parameter in net.parameters())
    assert not nn.modules.module._global_forward_pre_hooks
