"""From records to figures: what is left under an attack, under the worst of several, and one model beside another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pushpull.evaluation.examples import Example
from pushpull.evaluation.records import Record
from pushpull.evaluation.statistics import Clusters, Estimate

COLUMNS = ("clean", "adversarial", "stored")
MEANS = (
    "ecr_a", "ecr_v", "norm_a", "norm_v", "norm_a_adversarial", "norm_v_adversarial",
    "snr_audio_db", "snr_video_db", "psnr_db", "ssim",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Subset:
    """Some of the examples, with their replicates.

    Args:
        examples: all of the evaluation.
        chosen: (examples,) bool.
        clusters: of the chosen ones.
        name: what tables call it.
    """

    examples: Sequence[Example]
    chosen: np.ndarray
    clusters: Clusters
    name: str

    @classmethod
    def of(
        cls, examples: Sequence[Example], chosen: np.ndarray | None = None, *, name: str = "all", seed: int = 0
    ) -> "Subset":
        """The chosen examples; None means all.

        Raises:
            ValueError: none is chosen.
        """
        chosen = np.ones(len(examples), dtype=bool) if chosen is None else np.asarray(chosen, dtype=bool)
        bases = [f"{e.source}/{e.base}" for e, taken in zip(examples, chosen, strict=True) if taken]
        if not bases:
            raise ValueError(f"no example is in the set {name!r}")
        return cls(examples, chosen, Clusters(bases, seed=seed), name)

    def of_records(self, records: Sequence[Record]) -> list[Record]:
        """The records of the chosen examples.

        Raises:
            ValueError: there is not one record for every example.
        """
        if [record.example for record in records] != [example.name for example in self.examples]:
            raise ValueError(
                f"{len(records)} records for {len(self.examples)} examples: the evaluation is not finished"
            )
        return [record for record, taken in zip(records, self.chosen, strict=True) if taken]


def chosen_correct(right: Sequence[Sequence[np.ndarray]], share: float = 1.0) -> np.ndarray:
    """(examples,) bool: of which every compared detector decides at least ``share`` of the frames right, unattacked.

    The paper's choice is ``share`` 1 ("correct prediction", intersected over the models). It is a biased one: it keeps
    what all models find easy.

    Args:
        right: for each detector, (T,) bool of each example.
    """
    return np.array([[frames.mean() >= share for frames in of_model] for of_model in right]).all(axis=0)


def average_precision(subset: Subset, records: Sequence[Record], column: str) -> tuple[float, np.ndarray]:
    """Value and replicates; ``records`` of the chosen examples."""
    return subset.clusters.average_precision([getattr(r, column) for r in records], [r.labels for r in records])


def accuracy(subset: Subset, records: Sequence[Record], column: str) -> tuple[float, np.ndarray]:
    """Share of frames decided as labelled: value and replicates."""
    right = [((getattr(r, column) > 0) == (r.labels == 1)).sum() for r in records]
    return subset.clusters.ratio(right, [len(r.labels) for r in records])


def worst_case(subset: Subset, records: Sequence[Record]) -> tuple[float, np.ndarray] | None:
    """Share of frames that no iterate decided wrongly, nor the end; None where iterates are not known."""
    lost = [record.lost for record in records]
    if any(frames is None for frames in lost):
        return None
    return subset.clusters.ratio([(~frames).sum() for frames in lost], [len(frames) for frames in lost])


def success(subset: Subset, records: Sequence[Record]) -> tuple[float, np.ndarray]:
    """Of the frames that were right unattacked, the share that is wrong at the end."""
    lost, were = [], []
    for record in records:
        right = (record.clean > 0) == (record.labels == 1)
        now = (record.adversarial > 0) == (record.labels == 1)
        lost.append((right & ~now).sum())
        were.append(right.sum())
    return subset.clusters.ratio(lost, were)


def worst_of(conditions: Sequence[Sequence[Record]]) -> list[Record]:
    """Of every example the attack that did most, and of its frames those that any attack ever decided wrongly.

    The attack that left the fewest frames right is taken whole (per clip); of several, the one with the least support
    for what is right. ``ever`` is the union over all of them (per frame). Both are worst cases that no single attack
    need reach on all clips or frames at once.

    Args:
        conditions: records of the same examples, scored by the same detector, under each attack.

    Raises:
        ValueError: no attack.
    """
    if not conditions:
        raise ValueError("the worst of no attacks is not defined")
    found = []
    for together in zip(*conditions, strict=True):
        sign = np.where(together[0].labels == 1, 1.0, -1.0)

        def left(record, sign=sign):
            support = record.adversarial * sign
            return (support > 0).mean(), support.mean()

        worst = min(together, key=left)
        ever = None
        if all(record.ever is not None for record in together):
            ever = np.logical_or.reduce([record.lost for record in together])
        found.append(replace(worst, ever=ever))
    return found


def summarise(subset: Subset, records: Sequence[Record]) -> dict:
    """Every figure of one condition on one subset, rates in 0..1, each with its interval over base clips.

    Args:
        records: of all examples, in their order.

    Returns:
        {"set", "examples", "frames", "floor", "clean": {...}, "adversarial": {...}, "stored": {...}, "worst_case",
        "success_rate", "ecr_a", ...}; figures as ``Estimate.to_dict`` gives them, None where not defined.
    """
    records = subset.of_records(records)
    clusters = subset.clusters

    def told(found: tuple[float, np.ndarray] | None) -> dict | None:
        return None if found is None else clusters.interval(found[1], found[0]).to_dict()

    figures = {
        "set": subset.name,
        "examples": len(records),
        "base_clips": clusters.count,
        "frames": sum(len(record.clean) for record in records),
        "floor": float(np.concatenate([record.labels for record in records]).mean()),
        "worst_case": told(worst_case(subset, records)),
        "success_rate": told(success(subset, records)),
    }
    for column in COLUMNS:
        figures[column] = {
            "average_precision": told(average_precision(subset, records, column)),
            "frame_accuracy": told(accuracy(subset, records, column)),
        }
    for name in MEANS:
        figures[name] = _mean(clusters, [getattr(record, name) for record in records])
    zero = [record.zero_gradients for record in records if record.zero_gradients is not None]
    figures["zero_gradients"] = max(zero) if zero else None
    return figures


def _mean(clusters: Clusters, values: Sequence[float | None]) -> dict | None:
    """Mean over the examples that have the number."""
    there = np.array([value is not None for value in values])
    if not there.any():
        return None
    numbers = np.array([0.0 if value is None else value for value in values])
    value, replicates = clusters.ratio(numbers * there, there)
    estimate: Estimate = clusters.interval(replicates, value)
    return estimate.to_dict()
