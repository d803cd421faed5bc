"""Intervals and tests over base clips: frames of one clip, and examples made from one clip, are not independent.

A base clip is one file of footage; every example made from it is drawn or left out with it.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta
from scipy.stats import t as student

REPLICATES = 2000
LEVEL = 0.95
FEW = 30  # base clips, below which a bootstrap's p-values are too small
AT_ONCE = 1 << 21  # weights of frames in one go: more only takes memory


@dataclass(frozen=True)
class Estimate:
    """A number and its interval.

    Args:
        value: computed on everything.
        low, high: bounds of the interval; nan where fewer than two base clips gave something.
        clusters: base clips that it rests on.
    """

    value: float
    low: float
    high: float
    clusters: int

    def to_dict(self) -> dict:
        """JSON has no nan: what is not defined is None."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if np.isnan(x) else float(x) for name, x in numbers.items()} | {"clusters": self.clusters}


class Clusters:
    """Which examples belong to which base clip, and how often each was drawn in every replicate.

    Two models measured on the same examples with the same ``seed`` share their replicates, so that differences are
    paired.

    Args:
        names: the base clip of each example.
        replicates: bootstrap replicates.
        seed: of the draws.

    Raises:
        ValueError: no examples.
    """

    def __init__(self, names: Sequence[str], *, replicates: int = REPLICATES, seed: int = 0):
        if not len(names):
            raise ValueError("an interval needs at least one example, got none")
        order, inverse = np.unique(np.asarray(names), return_inverse=True)
        self.count, self.examples = len(order), len(names)
        draws = np.random.default_rng(seed).integers(self.count, size=(replicates, self.count))
        times = np.stack([np.bincount(draw, minlength=self.count) for draw in draws])
        self.owner = inverse  # (examples,) number of the base clip of each
        self.weights = times[:, inverse]  # (replicates, examples): how often each example was drawn

    def interval(self, replicates: np.ndarray, value: float, *, comparisons: int = 1) -> Estimate:
        """Percentile interval of a number's replicates; those that are nan (nothing was drawn) are left out.

        Args:
            comparisons: how many intervals are to hold together (Bonferroni).
        """
        known = replicates[~np.isnan(replicates)]
        if self.count < 2 or not len(known):
            return Estimate(value, np.nan, np.nan, self.count)
        outside = (1 - LEVEL) / 2 / comparisons
        low, high = np.quantile(known, [outside, 1 - outside])
        return Estimate(value, float(low), float(high), self.count)

    def ratio(self, top: np.ndarray, bottom: np.ndarray) -> tuple[float, np.ndarray]:
        """sum(top) / sum(bottom) over examples: the value and its replicates; nan where ``bottom`` sums to 0."""
        top, bottom = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = top.sum() / bottom.sum() if bottom.sum() else np.nan
            return float(value), (self.weights @ top) / (self.weights @ bottom)

    def share(self, there: np.ndarray) -> Estimate:
        """Share of base clips of which any example is marked, with its exact interval (Clopper, Pearson 1934).

        A bootstrap of no event, or of one, knows nothing of how rare it is.

        Args:
            there: (examples,) bool.
        """
        found = len(np.unique(self.owner[np.asarray(there, dtype=bool)]))
        if self.count < 2:
            return Estimate(found / self.count, np.nan, np.nan, self.count)
        tail = (1 - LEVEL) / 2
        low = beta.ppf(tail, found, self.count - found + 1) if found else 0.0
        high = beta.ppf(1 - tail, found + 1, self.count - found) if found < self.count else 1.0
        return Estimate(found / self.count, float(low), float(high), self.count)

    def average_precision(self, scores: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> tuple[float, np.ndarray]:
        """AVA's average precision over all frames of all examples (``pushpull.metrics``): value and replicates."""
        lengths = [len(part) for part in scores]
        owner = np.repeat(np.arange(len(scores)), lengths)
        scores, labels = np.concatenate(scores), np.concatenate(labels) == 1
        order = np.lexsort((labels, -scores))
        hits, owner = labels[order].astype(np.float64), owner[order]
        value = _average_precision(hits, np.ones((1, len(hits))))[0]
        at_once = max(1, AT_ONCE // max(1, len(hits)))
        parts = [self.weights[first : first + at_once] for first in range(0, len(self.weights), at_once)]
        return float(value), np.concatenate([_average_precision(hits, weights[:, owner]) for weights in parts])


def _average_precision(hits: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(R,) of (N,) frames in ranked order, each of which counts as often as ``times`` (R, N) says; nan without hits."""
    counted = hits * times
    found = np.cumsum(counted, axis=1)
    precision = found / np.maximum(np.cumsum(times, axis=1), 1)
    # Copies of a positive frame stand together, and precision rises over them: all take that of the last.
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = found[:, -1] if found.shape[1] else np.zeros(len(times))
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, (envelope * counted).sum(axis=1) / total, np.nan)


@dataclass(frozen=True)
class Difference:
    """One model minus another on the same examples.

    Args:
        estimate: of the difference, paired over base clips.
        p: two-sided p-value of "no difference"; nan where fewer than two base clips gave something.
        p_holm: the same after Holm's correction over all that it was compared with.
    """

    estimate: Estimate
    p: float
    p_holm: float

    def to_dict(self) -> dict:
        """JSON has no nan: what is not defined is None."""
        told = {name: None if np.isnan(p) else p for name, p in (("p", self.p), ("p_holm", self.p_holm))}
        return self.estimate.to_dict() | told


Measured = tuple[float, np.ndarray]  # a value and its replicates


def differences(clusters: Clusters, pairs: dict[Hashable, tuple[Measured, Measured]]) -> dict[Hashable, Difference]:
    """Of every pair the second minus the first, all measured on the examples of ``clusters``.

    p is the bootstrap's. Below ``FEW`` base clips that is too small (at 12 it calls 12 % of differences that are none
    significant at .05, at 4 22 %): it is then no smaller than Student's, of the bootstrap's standard error, and than a
    test that flips the signs of so few differences can give. Where so many pairs are compared that not even the least
    p of the replicates could survive the correction, those two take its place.
    """
    found = {}
    for key, ((before, of_before), (after, of_after)) in pairs.items():
        change = of_after - of_before
        p = _p_value(clusters, after - before, change, comparisons=len(pairs))
        found[key] = clusters.interval(change, after - before), p
    corrected = holm({key: p for key, (_, p) in found.items() if not np.isnan(p)})
    return {key: Difference(estimate, p, corrected.get(key, np.nan)) for key, (estimate, p) in found.items()}


def _p_value(clusters, value, change, comparisons: int = 1) -> float:
    known = change[~np.isnan(change)]
    if clusters.count < 2 or not len(known):
        return np.nan
    # One is added to both: a p-value of 0 cannot be had from finitely many replicates.
    least = 2 / (len(known) + 1)
    p = min(1.0, least * (min((known <= 0).sum(), (known >= 0).sum()) + 1))
    coarse = p == least and least * comparisons >= 1 - LEVEL
    if value and (coarse or clusters.count < FEW):
        # A bootstrap's spread is that of the sample itself: n in place of n - 1.
        error = known.std() * np.sqrt(clusters.count / (clusters.count - 1))
        of_student = 2 * student.sf(abs(value) / error, clusters.count - 1) if error else 0.0
        finer = max(float(of_student), 2.0 ** (1 - clusters.count))
        both = (p, finer) if not coarse or clusters.count >= FEW else (finer,)
        p = max(both) if clusters.count < FEW else min(both)
    return float(p)


def holm(p: dict[Hashable, float]) -> dict[Hashable, float]:
    """Holm's step-down correction (Holm 1979): p-values that hold for all comparisons together."""
    corrected, highest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=p.get)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in p}


def bootstrap_mean(values: Sequence[float], names: Sequence[str], *, seed: int = 0) -> Estimate:
    """Mean of one number per example, with its interval over base clips; examples whose number is nan do not count."""
    values = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(values)
    if not there.any():
        return Estimate(np.nan, np.nan, np.nan, 0)
    clusters = Clusters(np.asarray(names)[there], seed=seed)
    value, replicates = clusters.ratio(values[there], np.ones(int(there.sum())))
    return clusters.interval(replicates, value)
