"""Objectives against formulas written out by hand."""

from typing import NamedTuple

import pytest
import torch
from attack_support import UNCAPPED

from pushpull.attacks.objectives import (
    HEAD_WEIGHT,
    MARGIN_CAP,
    OBJECTIVES,
    get_objective,
    inference_aware,
    margin,
    span_targets,
    training_aware,
)

LOGITS = [name for name in OBJECTIVES if name != "features"]


class Heads(NamedTuple):
    logits_av: torch.Tensor
    logits_a: torch.Tensor
    logits_v: torch.Tensor


class OneHead(NamedTuple):
    logits_av: torch.Tensor


@pytest.fixture
def outputs():
    generator = torch.Generator().manual_seed(0)
    return Heads(*(torch.randn(3, 7, 2, generator=generator, dtype=torch.float64) for _ in range(3)))


@pytest.fixture
def labels():
    return torch.randint(0, 2, (3, 7), generator=torch.Generator().manual_seed(1))


def nats(logits, labels):
    return -torch.log(torch.softmax(logits, -1).gather(-1, labels[..., None])[..., 0])


def test_cross_entropies_are_the_papers_equations(outputs, labels):
    av, a, v = (nats(head, labels).mean(1) for head in outputs)
    torch.testing.assert_close(inference_aware(outputs, labels), av)
    torch.testing.assert_close(training_aware(outputs, labels), av + 0.4 * a + 0.4 * v)
    assert HEAD_WEIGHT == 0.4


def test_margin_is_the_other_logit_minus_the_own(outputs, labels):
    difference = outputs.logits_av[..., 1] - outputs.logits_av[..., 0]
    expected = torch.where(labels == 1, -difference, difference).mean(1)
    torch.testing.assert_close(UNCAPPED(outputs, labels), expected)
    torch.testing.assert_close(UNCAPPED(outputs, labels, targeted=True), -expected)


@pytest.mark.parametrize("targeted", [False, True])
def test_margin_gives_up_only_frames_that_are_won_by_the_cap(targeted):
    wanted = torch.tensor([[3 * MARGIN_CAP, MARGIN_CAP / 2, -1000.0]])
    logits = torch.stack([torch.zeros_like(wanted), wanted], -1).requires_grad_()
    labels = torch.full((1, 3), int(targeted))
    loss = margin(logits, labels, targeted=targeted)
    torch.testing.assert_close(loss, torch.tensor([(MARGIN_CAP + MARGIN_CAP / 2 - 1000) / 3]))
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    assert (slope[0, :, 1] != 0).tolist() == [False, True, True]


@pytest.mark.parametrize("name", LOGITS)
def test_mask_selects_frames_and_clips_do_not_mix(name, outputs, labels):
    mask = torch.zeros(3, 7, dtype=torch.bool)
    mask[0, 2:5] = mask[2, 6] = True
    loss = OBJECTIVES[name](outputs, labels, mask=mask)
    assert loss.shape == (3,) and loss[1] == 0
    part = Heads(*(head[:1, 2:5] for head in outputs))
    torch.testing.assert_close(loss[:1], OBJECTIVES[name](part, labels[:1, 2:5]))
    alone = OBJECTIVES[name](Heads(*(head[2:] for head in outputs)), labels[2:], mask=mask[2:])
    assert torch.equal(loss[2:], alone)


@pytest.mark.parametrize("name", LOGITS)
def test_targeted_is_maximal_at_the_target(name, labels):
    right = torch.nn.functional.one_hot(labels, 2) * 8.0
    towards = [OBJECTIVES[name](Heads(*[logits] * 3), labels, targeted=True) for logits in (right, -right)]
    away = [OBJECTIVES[name](Heads(*[logits] * 3), labels) for logits in (right, -right)]
    assert (towards[0] > towards[1]).all() and (away[0] < away[1]).all()


def test_half_precision_logits_are_computed_in_float32(labels):
    logits = torch.randn(3, 7, 2).bfloat16()
    for objective in (inference_aware, margin):
        assert objective(OneHead(logits), labels).dtype == torch.float32


def test_training_aware_says_which_heads_it_misses(outputs, labels):
    with pytest.raises(ValueError, match="logits_a and logits_v.*inference_aware"):
        training_aware(OneHead(outputs.logits_av), labels)


def test_unknown_objective_is_named():
    with pytest.raises(ValueError, match="unknown objective 'hinge'; known are training_aware"):
        get_objective("hinge")
    assert get_objective(margin) is margin


@pytest.mark.parametrize("hold", [False, True])
def test_span_targets(hold):
    labels = torch.ones(1, 75, dtype=torch.int64)
    targets, mask = span_targets(labels, 1.2, 2.0, speaking=False, hold=hold)
    assert torch.nonzero(targets[0] == 0).flatten().tolist() == list(range(30, 50))
    assert mask[0].sum() == (75 if hold else 20) and mask[0, 30:50].all()


@pytest.mark.parametrize("start, stop", [(3.0, 4.0), (2.0, 1.0), (1.0, 1.0)])
def test_span_outside_the_clip_is_an_error(start, stop):
    with pytest.raises(ValueError, match="holds no frame of a clip of 3 s"):
        span_targets(torch.zeros(1, 75, dtype=torch.int64), start, stop, speaking=True)
