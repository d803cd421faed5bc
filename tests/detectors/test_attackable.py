"""The attack's own copy of a model: the same function, the original as it was."""

import copy

import pytest
import torch
from detector_support import batch, largest
from official_talknet import randomise
from torch import nn

from pushpull.detectors import TalkNet, TalkNetConfig, attackable
from pushpull.detectors.talknet.fast import FoldedResidualLayer

CASES = [("talknet", "lite"), ("nctalknet", "lite"), ("spectalknet", "lite"), ("talknet", "full")]


def outputs_and_slopes(model, inputs):
    inputs = {name: values.detach().requires_grad_() for name, values in inputs.items()}
    outputs = model(inputs)
    slopes = torch.autograd.grad(outputs.margin.square().sum(), list(inputs.values()))
    return [value.detach() for value in outputs], slopes


@pytest.mark.parametrize("variant, size", CASES)
def test_the_copy_is_the_same_function(variant, size):
    """In float64 folding changes the order of sums and nothing else: outputs and gradients agree to its rounding."""
    model = randomise(TalkNet(TalkNetConfig.named(variant, size))).double()
    inputs = {name: values.double() for name, values in batch(2, frames=4).items()}
    outputs, slopes = outputs_and_slopes(model, inputs)
    fast_outputs, fast_slopes = outputs_and_slopes(attackable(model), inputs)
    assert largest(outputs, fast_outputs) <= 1e-9
    for slope, fast in zip(slopes, fast_slopes, strict=True):
        assert (slope - fast).abs().max() <= 1e-9 * slope.abs().max()


@pytest.mark.parametrize("size", ["lite", "full"])
def test_in_float32_only_rounding_is_left(size):
    """Logits to 1e-4, and gradients that point the same way: attacks go by their sign.

    Elements of the gradient are not compared one by one: rounding lets a maximum of equals choose another pixel.
    """
    torch.manual_seed(0)
    model = TalkNet(TalkNetConfig(size=size)).eval()
    inputs = batch(2, frames=4)
    outputs, slopes = outputs_and_slopes(model, inputs)
    fast_outputs, fast_slopes = outputs_and_slopes(attackable(model), inputs)
    assert largest(outputs[:3], fast_outputs[:3]) <= 1e-4
    for slope, fast in zip(slopes, fast_slopes, strict=True):
        assert torch.cosine_similarity(slope.flatten(), fast.flatten(), dim=0) >= 0.9999


@pytest.mark.parametrize("index, shape", [(0, (3, 64, 28, 28)), (1, (2, 64, 28, 28)), (3, (5, 256, 7, 7))])
def test_a_folded_layer_is_the_layer(index, shape):
    """In float32 folding changes rounding alone, whatever shapes follow one another."""
    torch.manual_seed(0)
    layer = randomise(TalkNet(TalkNetConfig(size="full"))).eval().visualFrontend.resnet.layers()[index]
    folded = FoldedResidualLayer(copy.deepcopy(layer)).requires_grad_(False)
    for count in (shape[0], 1, shape[0]):
        x = torch.randn(count, *shape[1:], generator=torch.Generator().manual_seed(count)).requires_grad_()
        outputs, slopes = [], []
        for module in (folded, layer):
            y = module(x)
            outputs.append(y)
            slopes += torch.autograd.grad(y, x, torch.cos(torch.arange(y.numel())).reshape(y.shape))
        for ours, original in (outputs, slopes):
            assert (ours - original).abs().max() <= 1e-4 * original.abs().max()


def test_the_copy_works_under_autocast():
    """A caller's bfloat16 is rounded as usual: outputs stay near those in float32, and gradients point the same way."""
    fast = attackable(randomise(TalkNet(TalkNetConfig(size="lite"))))
    outputs, slopes = outputs_and_slopes(fast, batch(2, frames=4))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, rounded_slopes = outputs_and_slopes(fast, batch(2, frames=4))
    assert 0 < largest(outputs[:3], rounded[:3]) <= 0.05 * max(value.abs().max() for value in outputs[:3])
    for slope, near in zip(slopes, rounded_slopes, strict=True):
        assert torch.cosine_similarity(slope.flatten(), near.flatten(), dim=0) >= 0.9


def test_fixed_modalities_work_as_on_the_original():
    model = randomise(TalkNet(TalkNetConfig(size="lite"))).double()
    inputs = {name: values.double() for name, values in batch(2, frames=4).items()}
    fast = attackable(model)
    with torch.no_grad():
        assert largest(fast.fix({"audio": inputs["audio"]})({"video": inputs["video"]}), model(inputs)) <= 1e-9


@pytest.mark.parametrize("training", [True, False])
def test_the_original_is_untouched(training):
    model = randomise(TalkNet(TalkNetConfig(size="lite"))).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fast = attackable(model)
    outputs_and_slopes(fast, batch(frames=4))
    assert model.training == training and all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    shared = {t.data_ptr() for t in model.state_dict().values()} & {t.data_ptr() for t in fast.state_dict().values()}
    assert not shared
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        assert fast(batch(frames=4)).margin.abs().max() > 0.01


def test_the_copy_is_frozen_in_evaluation_mode_and_folded():
    fast = attackable(TalkNet(TalkNetConfig(size="lite")).train())
    assert not fast.training and not any(parameter.requires_grad for parameter in fast.parameters())
    left = [name for name, module in fast.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    # Those of the temporal blocks come before a convolution whose padding they would have to see.
    assert all(name.startswith("visualTCN") for name in left), left


def test_a_copy_can_be_copied():
    fast = attackable(randomise(TalkNet(TalkNetConfig(size="lite"))))
    inputs = batch(frames=4)
    with torch.no_grad():
        assert largest(fast(inputs), copy.deepcopy(fast)(inputs)) == 0
        assert largest(fast(inputs), attackable(fast)(inputs)) == 0
