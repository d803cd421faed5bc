"""Speaking frames that are found where a stated share of others are false alarms: a ranking, whatever the threshold."""

import numpy as np

from pushpull.evaluation.statistics import Clusters, Measured

FALSE_ALARMS = (0.05, 0.1, 0.2)


def recall_at(clusters: Clusters, positive: tuple, negative: tuple, rate: float) -> Measured:
    """Share of the positive frames that score above all but ``rate`` of the negative ones, and its replicates.

    Args:
        positive, negative: scores and the example that each frame is of.
        rate: false alarms allowed, 0..1.
    """
    order = np.argsort(-negative[0], kind="stable")
    ranked, owners = negative[0][order], negative[1][order]

    def recall(weights: np.ndarray) -> float:
        times, found = weights[owners], weights[positive[1]]
        if not times.sum() or not found.sum():
            return np.nan
        # The highest negative score that may no longer be a false alarm.
        limit = np.searchsorted(np.cumsum(times), rate * times.sum(), side="right")
        return float(found[positive[0] > ranked[min(limit, len(ranked) - 1)]].sum() / found.sum())

    return recall(np.ones(clusters.examples)), np.array([recall(weights) for weights in clusters.weights])
