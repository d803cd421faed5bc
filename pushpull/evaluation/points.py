"""Where a detector is to decide: two thresholds, each at a stated false-alarm rate over what it is not to be fooled by.

*speaking* is to catch who speaks in ordinary footage, where people who do not speak keep their lips still or are not
heard. *strict sync* is to believe only a face whose own sound is heard: what fools it are moving lips with a sound that
is not theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pushpull.detectors.points import SPEAKING, STRICT_SYNC
from pushpull.evaluation.kind_scores import KindScores
from pushpull.evaluation.statistics import Clusters, Estimate

REPLICATES = 1000
DECIMALS = 1000  # a threshold has three, rounded up: what is told of it is measured at the number that people read


@dataclass(frozen=True)
class Rule:
    """How one point is chosen.

    Args:
        name: of the point.
        kinds: of example, none of which speaks, over all frames of which together false alarms are counted.
        rate: of them that may be false alarms, 0..1.
    """

    name: str
    kinds: tuple[str, ...]
    rate: float = 0.05


RULES = (Rule(SPEAKING, ("still", "frozen", "silence")), Rule(STRICT_SYNC, ("swapped", "shifted", "noise")))


@dataclass(frozen=True, eq=False)
class Measured:
    """What a detector does at one threshold.

    Args:
        found: share of speaking frames above it.
        alarms: by kind of example that does not speak, share of all its frames above it.
    """

    found: Estimate
    alarms: dict[str, Estimate]

    def to_dict(self) -> dict:
        """Shares in 0..1 with their intervals, ready for JSON."""
        return {
            "found": self.found.to_dict(),
            "false_alarms": {kind: share.to_dict() for kind, share in self.alarms.items()},
        }


def clusters_of(scores: KindScores, seed: int = 0) -> Clusters:
    """The base clips of some scores, drawn with replacement: the same draws for every detector."""
    return Clusters(scores.bases, replicates=REPLICATES, seed=seed)


def choose(scores: KindScores, rule: Rule, clusters: Clusters) -> Estimate:
    """The threshold at which ``rule.rate`` of the frames are false alarms, and how far it moves with the clips.

    Raises:
        ValueError: the footage gives no frame of the rule's kinds.
    """
    kinds = [kind for kind in rule.kinds if kind in scores.kinds]
    if not kinds:
        raise ValueError(f"the clips give no frame of {', '.join(rule.kinds)}: no threshold can be chosen")
    said, owners = scores.silent(kinds)
    order = np.argsort(-said, kind="stable")
    ranked, owners = said[order], owners[order]

    def threshold(weights: np.ndarray) -> float:
        times = weights[owners]
        if not times.sum():
            return np.nan
        # The highest score that may no longer be a false alarm; what is to count as speech lies above it.
        limit = np.searchsorted(np.cumsum(times), rule.rate * times.sum(), side="right")
        return float(ranked[min(limit, len(ranked) - 1)])

    value = np.ceil(threshold(np.ones(clusters.examples)) * DECIMALS) / DECIMALS
    return clusters.interval(np.array([threshold(weights) for weights in clusters.weights]), float(value))


def measure(scores: KindScores, threshold: float, clusters: Clusters) -> Measured:
    """What a detector finds, and what fools it, at a threshold in its own log-odds."""
    alarms = {kind: _share(clusters, *scores.silent([kind]), threshold) for kind in scores.kinds}
    return Measured(_share(clusters, *scores.speaking(), threshold), alarms)


def together(scores: KindScores, kinds: Sequence[str], threshold: float, clusters: Clusters) -> Estimate:
    """Share of all frames of some kinds above a threshold."""
    return _share(clusters, *scores.silent([kind for kind in kinds if kind in scores.kinds]), threshold)


def _share(clusters: Clusters, said: np.ndarray, owners: np.ndarray, threshold: float) -> Estimate:
    count = np.bincount(owners, minlength=clusters.examples)
    above = np.bincount(owners, weights=said > threshold, minlength=clusters.examples)
    value, replicates = clusters.ratio(above, count)
    return clusters.interval(replicates, value)
