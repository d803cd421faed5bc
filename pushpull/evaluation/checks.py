"""The questions of an audit: each compares attacks that a real defence would order one way, and masking another.

Athalye et al. 2018 and Carlini et al. 2019 list the signs: more steps go on helping, another objective does far better,
black-box attacks beat white-box ones, a budget without bounds does not win, gradients are zero, lie, or differ from
call to call.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from pushpull.attacks.objectives import inference_aware
from pushpull.evaluation.examples import Example
from pushpull.evaluation.records import Record
from pushpull.evaluation.subjects import Subject

SMALL_STEP = {"audio": 1e-6, "video": 1e-3}  # full scale and grey levels: far below any budget of interest
PROBES = 8  # examples that are called twice and probed along their gradient


@dataclass(frozen=True)
class Flag:
    """One question and its answer.

    Args:
        name: in code and JSON.
        title: for people.
        number: what was measured; None where it could not be.
        limit: the largest number that passes.
        passed: None where it could not be measured, or where there is nothing to pass.
        unit: of number and limit.
        meaning: what a number above the limit says.
    """

    name: str
    title: str
    number: float | None
    limit: float | None
    passed: bool | None
    unit: str
    meaning: str

    def to_dict(self) -> dict:
        return asdict(self)


# name: (title, limit, unit, meaning of a number above the limit)
CHECKS: dict[str, tuple[str, float, str, str]] = {
    "random": (
        "the same input gives the same score", 1e-3, "largest difference of log-odds between two calls",
        "scores are random: one gradient says little of the next call's; attack the mean over many draws",
    ),
    "lying_gradients": (
        "the gradient tells how the loss changes", 0.2, "median relative error of a small step along the gradient",
        "the function does not do what its gradient says (a quantiser whose gradient was made up, a detached branch)",
    ),
    "zero_gradients": (
        "gradients are not zero", 0.01, "share of elements that are exactly zero under cross entropy",
        "steps have no direction: saturated logits, a hard decision or a rounding in the way",
    ),
    "more_steps": (
        "more steps do not go on helping", 1.0, "points of accuracy gained from the middle to the largest number",
        "the attacks had not converged: figures of few steps are too high",
    ),
    "margin_beats_ce": (
        "the margin objective does not beat cross entropy by much", 5.0, "points of accuracy",
        "cross entropy saturates, or spends its budget on frames that are wrong already",
    ),
    "scaled_beats_ce": (
        "dividing the logits does not help", 5.0, "points of accuracy",
        "logits are so large that cross entropy has no gradient left",
    ),
    "float64_helps": (
        "float64 does not help", 1.0, "points of accuracy",
        "in float32 the loss has no gradient left, in float64 it has: saturated logits",
    ),
    "all_heads_beat_one": (
        "attacking all heads does not beat attacking the deciding one", 1.0, "points of accuracy",
        "the gradient of the deciding head is worse than that of heads that decide nothing",
    ),
    "black_box_wins": (
        "no black-box attack beats all white-box ones", 0.0, "clips on which one leaves fewer frames right",
        "white-box gradients are worth less than none: another model's perturbation, queries or noise do better",
    ),
    "unbounded": (
        "a budget without bounds wins", 1.0, "percent of frames still right",
        "even any change at all does not flip them: the attack is blind, not the model robust",
    ),
    "not_monotone": (
        "a larger budget never does less", 1.0, "points of accuracy won back by a larger budget",
        "the search fails where it has more room",
    ),
}  # fmt: skip


def flag(name: str, number: float | None) -> Flag:
    """The answer to a question of ``CHECKS``."""
    title, limit, unit, meaning = CHECKS[name]
    passed = None if number is None else bool(number <= limit)
    return Flag(name, title, None if number is None else float(number), limit, passed, unit, meaning)


def left(records: Sequence[Record]) -> float:
    """Percent of frames right at the end of an attack."""
    right = [((r.adversarial > 0) == (r.labels == 1)).sum() for r in records]
    return 100 * float(np.sum(right)) / sum(len(r.labels) for r in records)


def clips_won(weak: Sequence[Sequence[Record]], strong: Sequence[Record]) -> int:
    """Clips on which one of some attacks leaves fewer frames right than ``strong``, the worst case of others."""

    def right(record):
        return int(((record.adversarial > 0) == (record.labels == 1)).sum())

    return sum(min(map(right, together)) < right(best) for *together, best in zip(*weak, strong, strict=True))


def won_back(ladder: Sequence[Sequence[Record]]) -> float:
    """Largest rise of the percent left right from one budget to the next; ``ladder`` in rising order of budgets."""
    percents = [left(records) for records in ladder]
    return max([after - before for before, after in zip(percents, percents[1:], strict=False)] + [0.0])


def randomness(subject: Subject, examples: Sequence[Example]) -> float:
    """Largest difference of log-odds between two calls with the same input, attack copy included."""
    largest = 0.0
    for example in examples[:PROBES]:
        inputs = example.clip.inputs(subject.device)
        with torch.no_grad():
            first, second = (subject.fast(inputs).margin for _ in range(2))
        largest = max(largest, (first - second).abs().max().item())
    return largest


def slope_error(subject: Subject, examples: Sequence[Example]) -> float | None:
    """Median over examples of |change - predicted| / |predicted| for a small step along the gradient's sign.

    The loss is summed in float64 where the detector computes in it; a step this small lies within one linear piece of
    nearly all networks. None where every gradient is zero.
    """
    errors = []
    for example in examples[:PROBES]:
        labels = torch.from_numpy(example.clip.labels)[None].to(subject.device)
        errors += [e for e in _slope_errors(subject, example, labels) if e is not None]
    return float(np.median(errors)) if errors else None


def _slope_errors(subject, example, labels):
    clean = example.clip.inputs(subject.device)
    for name, size in SMALL_STEP.items():
        leaf = clean[name].clone().requires_grad_(True)
        with torch.enable_grad():
            loss = inference_aware(subject.fast(clean | {name: leaf}), labels).sum()
            slope = torch.autograd.grad(loss, leaf, allow_unused=True)[0] if loss.requires_grad else None
        if slope is None or not slope.any():
            yield None
            continue
        # A step that float32 can tell from none, doubled until the loss moves by more than its own rounding.
        yield min(_relative_error(subject, clean, name, slope, labels, size * 10**k) for k in range(4))


def _relative_error(subject, clean, name, slope, labels, size) -> float:
    with torch.no_grad():
        losses = [
            inference_aware(subject.fast(clean | {name: clean[name] + side * size * slope.sign()}), labels).item()
            for side in (1, -1)
        ]
    predicted = 2 * size * slope.abs().sum().item()
    return abs(losses[0] - losses[1] - predicted) / predicted
