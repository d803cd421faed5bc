"""Where float32 has no gradient left, float64 may have one."""

import pytest
import torch
from attack_support import Curved, Fixing, Linear, assert_within, batch, row

from pushpull.attacks import APGD, BIM, PGD, Budget, Ensemble, Noise, in_float64
from pushpull.attacks.float64 import NoDoubleError
from pushpull.detectors import attackable, load_model

BIG = {"audio": Budget(0.3, -1, 1), "video": Budget(60.0, 0, 255)}
CE = {"budgets": BIG, "objective": "inference_aware"}


def network(scale=100.0):
    """The same weights for every frame, so that none resists for another's sake."""
    model = Linear(scale)
    with torch.no_grad():
        model.audio.copy_(model.audio[:, :1].expand_as(model.audio))
        model.video.copy_(model.video[:, :1].expand_as(model.video))
    return model


def saturated(size=6):
    """Clips of whose cross entropy float32 has no gradient in any point of the plateau, and float64 has."""
    inputs, _ = batch(256)
    odds = network()(inputs).logits_av.diff(dim=-1).abs().amin(dim=(1, 2))
    chosen = torch.nonzero((odds > 400) & (odds < 560)).flatten()[:size]
    assert len(chosen) == size
    inputs = {name: x[chosen] for name, x in inputs.items()}
    return inputs, network()(inputs).logits_av.argmax(-1)


def slopes(model, inputs, labels):
    leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    loss = torch.nn.functional.cross_entropy(model(leaves).logits_av.flatten(0, 1), labels.flatten())
    return torch.autograd.grad(loss, list(leaves.values()))


def test_a_double_finds_gradients_where_float32_has_none():
    inputs, labels = saturated()
    model = network()
    assert all((slope == 0).all() for slope in slopes(model, inputs, labels))
    wide = {name: x.double() for name, x in inputs.items()}
    double = in_float64(model)
    assert all((slope != 0).all() for slope in slopes(double, wide, labels))
    assert double(inputs).logits_av.dtype == torch.float64 and model.audio.dtype == torch.float32
    assert model(inputs).logits_av.dtype == torch.float32


@pytest.mark.parametrize(
    "attack", [BIM(steps=20), PGD(steps=20, restarts=2), APGD(steps=20)], ids=lambda a: type(a).__name__
)
@pytest.mark.filterwarnings("ignore:the gradient of clips")
def test_the_fallback_breaks_what_only_float32_protected(attack, recwarn):
    inputs, labels = saturated()
    model = network()
    plain = attack.run(model, inputs, labels, **CE)
    assert plain.stalled.all() and not plain.flipped_ever.any()
    recwarn.clear()
    result = attack.run(model, inputs, labels, float64_fallback=True, **CE)
    assert (model(result.adversarial).logits_av.argmax(-1) != labels).all() and result.flipped_ever.all()
    assert not recwarn.list and not result.no_gradient.any()
    torch.testing.assert_close(result.clean_loss, plain.clean_loss)
    for name, x in inputs.items():
        assert result.adversarial[name].dtype == torch.float32
        assert_within(result.adversarial[name], x, BIG[name])
        assert torch.equal(result.delta[name], result.adversarial[name] - x)
    assert len(result.trace) > len(plain.trace)
    for i in (0, 3):
        alone = attack.run(model, *row(inputs, labels, i), float64_fallback=True, seed=i, **CE)
        for name in inputs:
            torch.testing.assert_close(alone.adversarial[name][0], result.adversarial[name][i], rtol=0, atol=1e-4)


def test_clips_with_gradients_are_left_alone():
    deep, _ = saturated(2)
    other, _ = batch(256)
    near = torch.nonzero(network()(other).logits_av.diff(dim=-1).abs().amax(dim=(1, 2)) < 15).flatten()[:2]
    inputs = {name: torch.cat([other[name][near], x]) for name, x in deep.items()}
    labels = network()(inputs).logits_av.argmax(-1)
    with pytest.warns(UserWarning, match=r"clips \[2, 3\] of the batch"):
        plain = BIM(steps=20).run(network(), inputs, labels, **CE)
    result = BIM(steps=20).run(network(), inputs, labels, float64_fallback=True, **CE)
    assert plain.stalled.tolist() == [False, False, True, True] and result.flipped_ever.all()
    for name in inputs:
        assert torch.equal(plain.adversarial[name][:2], result.adversarial[name][:2])
    assert torch.equal(plain.loss[:2], result.loss[:2]) and result.trace[: len(plain.trace)] == plain.trace
    calm = PGD(steps=3).run(Curved().eval(), *batch(3), float64_fallback=True, **CE)
    assert len(calm.trace) == 5 * 4 and not calm.stalled.any()


@pytest.mark.filterwarnings("ignore:the gradient of clips")
def test_frames_that_are_won_do_not_count_as_stalled():
    inputs, labels = saturated(2)
    won = BIM(steps=2).run(network(), inputs, 1 - labels, objective="margin", budgets=BIG)
    assert not won.stalled.any() and won.no_gradient.all()
    assert not Noise(steps=2).run(network(), inputs, labels, **CE).stalled.any()


def test_cancelling_within_the_fallback_keeps_what_there_was():
    inputs, labels = saturated(2)
    seen = []

    def on_step(step):
        seen.append(step)
        return len(seen) < 9

    with pytest.warns(UserWarning, match="exactly zero throughout"):
        result = BIM(steps=3).run(network(), inputs, labels, float64_fallback=True, on_step=on_step, **CE)
    assert result.cancelled and len(result.trace) == len(seen) == 9
    assert torch.equal(result.adversarial["audio"], inputs["audio"])


def test_a_double_encodes_what_is_frozen_once_and_holds_ensembles():
    inputs, labels = batch(2)
    model = Fixing()
    double = in_float64(model)
    fixed = double.fix({"video": inputs["video"]})({"audio": inputs["audio"]})
    torch.testing.assert_close(fixed.logits_av, model(inputs).logits_av.double(), rtol=1e-4, atol=1e-4)
    pair = in_float64(Ensemble([Linear(), Fixing()]))
    assert pair(inputs).logits_av.dtype == torch.float64
    assert not hasattr(in_float64(Linear()), "fix")


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_a_function_has_no_double(scale):
    """Refused only where one is needed."""
    model = network(scale)
    inputs, labels = saturated(2)
    with pytest.raises(ValueError, match="no torch module in function"):
        in_float64(lambda x: model(x))
    if scale == 1.0:
        assert BIM().run(lambda x: model(x), inputs, labels, float64_fallback=True, **CE).flipped_ever.all()
    else:
        with pytest.raises(ValueError, match="no torch module in function"):
            BIM().run(lambda x: model(x), inputs, labels, float64_fallback=True, **CE)
    assert model.audio.dtype == torch.float32


def test_a_module_that_computes_in_float32_all_the_same_has_none_either():
    """Its numbers are those of a function, which no conversion reaches."""

    class Hollow(torch.nn.Module):
        def forward(self, inputs):
            return inner(inputs)

    inner, (inputs, labels) = network(), saturated(2)
    with pytest.raises(NoDoubleError, match="Hollow cannot be run in float64"):
        BIM().run(Hollow(), inputs, labels, float64_fallback=True, **CE)


def test_talknet_has_a_double():
    model = attackable(load_model("lite", "cpu"))
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "audio": torch.rand(1, 6400, generator=generator) - 0.5,
        "video": 255 * torch.rand(1, 10, 112, 112, generator=generator),
    }
    with torch.no_grad():
        said, doubled = model(inputs), in_float64(model)(inputs)
    assert doubled.logits_av.dtype == torch.float64 and doubled.z_a.dtype == torch.float64
    torch.testing.assert_close(doubled.logits_av.float(), said.logits_av, rtol=1e-3, atol=1e-3)
