"""What operating points give on every set of footage, a row for each detector, set and point."""

from collections.abc import Sequence
from dataclasses import dataclass

from pushpull.data.sources import Corpus
from pushpull.detectors import Card
from pushpull.detectors.points import OWN
from pushpull.evaluation.kind_scores import KindScores
from pushpull.evaluation.points import RULES, choose, clusters_of, measure, together

DEVELOPMENT, ELSEWHERE = "development", "elsewhere"


@dataclass(frozen=True, eq=False)
class Footage:
    """One set of clips.

    Args:
        name: of its source.
        role: "development", where points are chosen, or "elsewhere", where they are tried.
        pool: clips in sync.
    """

    name: str
    role: str
    pool: Corpus

    def told(self, crop: str) -> dict:
        """What results say of it."""
        facts = {"clips": len(self.pool), "frames": self.pool.frames, "set": self.pool.fingerprint}
        return {"name": self.name, "role": self.role, "crop": crop} | facts


def rows_of(card: Card, scored: Sequence[tuple[Footage, KindScores]], seed: int = 0) -> list[dict]:
    """The points of one detector, chosen on the first set, and what they and its own threshold give on every set.

    Args:
        card: of the detector.
        scored: footage and what the detector said of it at its own log-odds; the development set first.

    Returns:
        Rows of "model", "data", "role", "set", "point", "threshold", "threshold_interval" (of the development set),
        "rate" and "over" (what false alarms were counted over, and "alarms_together" over these), "found" and
        "false_alarms" by kind; shares in 0..1 with 95 % intervals over base clips.
    """
    _, first = scored[0]
    clusters = clusters_of(first, seed)
    chosen = {rule.name: choose(first, rule, clusters) for rule in RULES}
    rules = {rule.name: rule for rule in RULES}
    thresholds = {OWN: card.threshold} | {name: found.value for name, found in chosen.items()}
    rows = []
    for place, scores in scored:
        clusters = clusters_of(scores, seed)
        for name, threshold in thresholds.items():
            row = {"model": card.name, "data": place.name, "role": place.role, "set": place.pool.fingerprint}
            row |= {"point": name, "threshold": threshold}
            if name in rules:
                rule = rules[name]
                over = together(scores, rule.kinds, threshold, clusters)
                row |= {"threshold_interval": chosen[name].to_dict(), "rate": rule.rate, "over": list(rule.kinds)}
                row |= {"alarms_together": over.to_dict()}
            rows.append(row | measure(scores, threshold, clusters).to_dict())
    return rows
