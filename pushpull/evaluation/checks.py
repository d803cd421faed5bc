"""The questions of an audit: each compares attacks that a real defence would order one way, and masking another.

Athalye et al. 2018 and Carlini et al. 2019 list the signs: more steps go on helping, another objective does far better,
black-box attacks beat white-box ones, a budget without bounds does not win, gradients are zero, lie, or differ from
call to call.

Most numbers are counted in frames of a few clips, so each has an interval over base clips: a flag that is up by one
clip's luck is not the same as one that is up on all of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isnan

import numpy as np
import torch

from pushpull.attacks.objectives import inference_aware
from pushpull.evaluation.examples import Example
from pushpull.evaluation.records import Record
from pushpull.evaluation.statistics import Clusters, Estimate
from pushpull.evaluation.subjects import Subject

SMALL_STEP = {"audio": 1e-6, "video": 1e-3}  # full scale and grey levels: far below any budget of interest
# Doubled as often at most: under half a step of 16-bit sound and of 8-bit pictures, since a whole one takes files'
# values through a rounding as if there were none, and within one linear piece of nearly all networks.
DOUBLINGS = 3
# Base clips, of fewer none with a black-box attack that wins does not exclude (95 %) that one wins on 5 % of clips.
ENOUGH = 72
PROBES = 8  # examples that are called twice and probed along their gradient


@dataclass(frozen=True)
class Flag:
    """One question and its answer.

    Args:
        name: in code and JSON.
        title: for people.
        number: what was measured; None where it could not be.
        low, high: its 95 % interval over base clips; None where it was read off the detector itself, and where there
            are fewer than two base clips.
        limit: the largest number that passes.
        passed: None where it could not be measured, or where there is nothing to pass.
        sure: whether other clips would hardly answer otherwise: the interval lies on one side of the limit.
        unit: of number and limit.
        meaning: what a number above the limit says.
    """

    name: str
    title: str
    number: float | None
    low: float | None
    high: float | None
    limit: float | None
    passed: bool | None
    sure: bool
    unit: str
    meaning: str

    @property
    def answer(self) -> str:
        """For people: "yes" or "no", "perhaps" or "perhaps not" where other clips may say otherwise, "not measured"."""
        if self.passed is None:
            return "not measured"
        return ("yes" if self.passed else "no") if self.sure else ("perhaps" if self.passed else "perhaps not")

    def to_dict(self) -> dict:
        return asdict(self) | {"answer": self.answer}


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
        "gradients are not zero", 0.01, "share of elements that are exactly zero under cross entropy, mean over clips",
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
        "no black-box attack beats all white-box ones", 5.0, "percent of clips on which one leaves fewer frames right",
        "white-box gradients are worth less than none: another model's perturbation, queries or noise do better",
    ),
    "unbounded": (
        "a budget without bounds wins", 1.0, "percent of frames right under the worst attack of any budget",
        "even any change at all does not flip them: the attack is blind, not the model robust",
    ),
    "not_monotone": (
        "a larger budget never does less", 1.0, "points of accuracy won back by a larger budget",
        "the search fails where it has more room",
    ),
}  # fmt: skip


def flag(name: str, measured: float | Estimate | None) -> Flag:
    """The answer to a question of ``CHECKS``.

    Args:
        name: of the question.
        measured: a number counted over clips, with its interval; one of the detector itself, without; or None.
    """
    title, limit, unit, meaning = CHECKS[name]
    number = measured.value if isinstance(measured, Estimate) else measured
    if number is None:
        return Flag(name, title, None, None, None, limit, None, False, unit, meaning)
    passed, low, high = bool(number <= limit), None, None
    sure = not isinstance(measured, Estimate)
    if isinstance(measured, Estimate) and not isnan(measured.low):
        low, high = measured.low, measured.high
        sure = high <= limit if passed else low > limit
    return Flag(name, title, float(number), low, high, limit, passed, sure, unit, meaning)


def left(clusters: Clusters, records: Sequence[Record]) -> Estimate:
    """Percent of frames right at the end of an attack."""
    return _percent(clusters, _right(records), records)


def gained(clusters: Clusters, before: Sequence[Record], after: Sequence[Record], *, comparisons: int = 1) -> Estimate:
    """Points of accuracy by which ``after`` leaves less than ``before``, clip beside clip."""
    return _percent(clusters, _right(before) - _right(after), before, comparisons=comparisons)


def clips_won(clusters: Clusters, weak: Sequence[Sequence[Record]], strong: Sequence[Record]) -> Estimate:
    """Percent of base clips on which one of some attacks leaves fewer frames right than ``strong``, a worst case."""
    won = clusters.share(np.min([_right(records) for records in weak], axis=0) < _right(strong))
    return Estimate(100 * won.value, 100 * won.low, 100 * won.high, won.clusters)


def won_back(clusters: Clusters, ladders: Iterable[Sequence[Sequence[Record]]]) -> Estimate:
    """The largest rise of the percent left right from one budget to the next; each ladder in rising order of budgets.

    It is the largest of many, so its bounds are the largest of bounds that hold for all of them together. 0 where
    nothing rises.
    """
    steps = [(after, before) for ladder in ladders for before, after in pairwise(ladder)]
    rises = [gained(clusters, *step, comparisons=len(steps)) for step in steps]
    value, low, high = (max(0.0, *(getattr(rise, name) for rise in rises)) for name in ("value", "low", "high"))
    if clusters.count < 2:
        low = high = np.nan
    return Estimate(value, low, high, clusters.count)


def above_constant(clusters: Clusters, records: Sequence[Record]) -> Estimate:
    """Points of accuracy by which an attacked detector beats the constant answer that is best on these clips."""
    lengths = np.array([len(record.labels) for record in records])
    speaking = np.array([record.labels.sum() for record in records])
    constant = speaking if 2 * speaking.sum() >= lengths.sum() else lengths - speaking
    return _percent(clusters, _right(records) - constant, records)


def _right(records: Sequence[Record]) -> np.ndarray:
    """(examples,) frames right at the end of an attack."""
    return np.array([((r.adversarial > 0) == (r.labels == 1)).sum() for r in records], dtype=np.float64)


def _percent(clusters, frames, records, *, comparisons=1) -> Estimate:
    value, replicates = clusters.ratio(frames, [len(record.labels) for record in records])
    return clusters.interval(100 * replicates, 100 * value, comparisons=comparisons)


def randomness(subject: Subject, examples: Sequence[Example]) -> float:
    """Largest difference of log-odds between two calls with the same input, attack copy included."""
    largest = 0.0
    for example in examples[:PROBES]:
        inputs = example.clip.inputs(subject.device)
        with torch.no_grad():
            first, second = (subject.fast(inputs).margin for _ in range(2))
        largest = max(largest, (first - second).abs().max().item())
    return largest


def zero_gradients(clusters: Clusters, subject: Subject, examples: Sequence[Example]) -> Estimate | None:
    """Share of gradient elements that are exactly zero under cross entropy; of every clip, its worse modality's.

    What says nothing of masking is left out: a modality of a clip that does not change at all (digital silence, a
    black picture), and pixels that the detector never looks at, which no clip's margin has a gradient of.
    """
    unseen = None  # the same pixels in every clip; sound has no places
    for example in examples:
        dark = (_gradient(subject, example, "video", _margin) == 0).all(dim=0)
        unseen = dark if unseen is None else unseen & dark
    # A detector that has no gradient anywhere has not looked away: it hides.
    seen = torch.ones_like(unseen) if unseen.all() else ~unseen
    told = []
    for example in examples:
        shares = [np.nan]
        for name in SMALL_STEP:
            if np.ptp(getattr(example.clip, name)) > 0:
                zero = _gradient(subject, example, name, inference_aware) == 0
                shares.append(float((zero[:, seen] if name == "video" else zero).float().mean()))
        told.append(np.nanmax(shares) if len(shares) > 1 else np.nan)
    there = ~np.isnan(told)
    if not there.any():
        return None
    value, replicates = clusters.ratio(np.nan_to_num(told), there)
    return clusters.interval(replicates, value)


def _margin(outputs, labels):
    return outputs.margin.sum()


def _gradient(subject: Subject, example: Example, name: str, loss) -> torch.Tensor:
    """Of one modality of one clip, zeros where the loss does not depend on it."""
    inputs = example.clip.inputs(subject.device)
    leaf = inputs[name].clone().requires_grad_(True)
    labels = torch.from_numpy(example.clip.labels)[None].to(subject.device)
    with torch.enable_grad():
        value = loss(subject.fast(inputs | {name: leaf}), labels).sum()
        slope = torch.autograd.grad(value, leaf, allow_unused=True)[0] if value.requires_grad else None
    return torch.zeros_like(leaf)[0] if slope is None else slope[0]


def slope_error(subject: Subject, examples: Sequence[Example]) -> float | None:
    """Median over examples of |change - predicted| / |predicted| for a small step along the gradient's sign.

    Of the modality whose median is the larger: one that tells the truth does not make up for one that lies. The loss is
    summed in float64 where the detector computes in it. None where every gradient is zero.
    """
    medians = []
    for name in SMALL_STEP:
        errors = [_slope_error(subject, example, name) for example in examples[:PROBES]]
        if known := [error for error in errors if error is not None]:
            medians.append(float(np.median(known)))
    return max(medians, default=None)


def _slope_error(subject: Subject, example: Example, name: str) -> float | None:
    """Of one modality of one clip; None where its gradient is zero."""
    slope = _gradient(subject, example, name, inference_aware)
    if not slope.any():
        return None
    # A step that float32 can tell from none, doubled until the loss moves by more than its own rounding.
    return min(_relative_error(subject, example, name, slope, SMALL_STEP[name] * 2**k) for k in range(DOUBLINGS + 1))


def _relative_error(subject: Subject, example: Example, name: str, slope: torch.Tensor, size: float) -> float:
    clean = example.clip.inputs(subject.device)
    labels = torch.from_numpy(example.clip.labels)[None].to(subject.device)
    with torch.no_grad():
        losses = [
            inference_aware(subject.fast(clean | {name: clean[name] + side * size * slope.sign()}), labels).item()
            for side in (1, -1)
        ]
    predicted = 2 * size * slope.abs().sum().item()
    return abs(losses[0] - losses[1] - predicted) / predicted
