"""Intervals, differences and corrections against values known in closed form or from other libraries."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from pushpull.evaluation.statistics import Clusters, bootstrap_mean, differences, holm
from pushpull.metrics import average_precision


def test_interval_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(0).normal(size=60)
    ours = bootstrap_mean(values, [f"clip{i}" for i in range(60)])
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, random_state=1).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_copies_of_a_base_clip_do_not_narrow_the_interval():
    values, names = np.random.default_rng(0).normal(size=20), [f"clip{i}" for i in range(20)]
    once, often = bootstrap_mean(values, names), bootstrap_mean(np.repeat(values, 10), np.repeat(names, 10))
    assert often.clusters == once.clusters == 20
    assert often.high - often.low == pytest.approx(once.high - once.low)


@pytest.mark.parametrize("seed", range(3))
def test_replicates_of_average_precision_are_those_of_the_drawn_frames(seed):
    rng = np.random.default_rng(seed)
    scores = [rng.integers(0, 4, 5) / 3.0 for _ in range(6)]  # with ties
    labels = [rng.integers(0, 2, 5) for _ in range(6)]
    clusters = Clusters([f"clip{i // 2}" for i in range(6)], replicates=20, seed=seed)
    value, replicates = clusters.average_precision(scores, labels)
    assert value == pytest.approx(average_precision(np.concatenate(scores), np.concatenate(labels)))
    for weights, replicate in zip(clusters.weights, replicates, strict=True):
        drawn = [i for i, times in enumerate(weights) for _ in range(times)]
        expected = average_precision(
            np.concatenate([scores[i] for i in drawn]), np.concatenate([labels[i] for i in drawn])
        )
        assert replicate == pytest.approx(expected, nan_ok=True)


def test_paired_difference_is_sharper_than_its_parts():
    rng = np.random.default_rng(0)
    easy = rng.random(50)  # how easy each clip is, for both models
    clusters = Clusters([f"clip{i}" for i in range(50)])
    base, better = clusters.ratio(easy, np.ones(50)), clusters.ratio(easy + 0.05, np.ones(50))
    found = differences(clusters, {"better": (base, better), "same": (base, base)})
    assert found["better"].estimate.low == pytest.approx(0.05) == found["better"].estimate.high
    assert found["better"].p < 0.01 and found["same"].p == 1.0
    assert clusters.interval(base[1], base[0]).high - clusters.interval(base[1], base[0]).low > 0.1


@pytest.mark.parametrize(("count", "allowed"), [(4, 0.07), (8, 0.08), (12, 0.08), (29, 0.09)])
def test_few_base_clips_do_not_make_differences_that_are_none_significant(count, allowed):
    rng, found = np.random.default_rng(count), []
    clusters = Clusters([f"clip{i}" for i in range(count)], replicates=500)
    for _ in range(200):
        one, other = (clusters.ratio(rng.normal(0.5, 0.1, count), np.ones(count)) for _ in range(2))
        found.append(differences(clusters, {"other": (one, other)})["other"].p)
    assert np.mean(np.array(found) < 0.05) <= allowed


def test_one_base_clip_gives_no_p_and_alike_few_no_smaller_one_than_flipped_signs():
    def compared(count):
        clusters = Clusters([f"clip{i}" for i in range(count)])
        base, better = (clusters.ratio(np.full(count, value), np.ones(count)) for value in (0.5, 0.75))
        return differences(clusters, {"better": (base, better)})["better"]

    assert compared(1).to_dict() == {"value": 0.25, "low": None, "high": None, "clusters": 1, "p": None, "p_holm": None}
    assert compared(5).p == 2**-4 and compared(40).p < 0.01


@pytest.mark.parametrize("count", [20, 60])
@pytest.mark.parametrize("compared", [10, 200])
def test_a_plain_difference_is_significant_among_however_many(count, compared):
    rng = np.random.default_rng(0)
    clusters = Clusters([f"clip{i}" for i in range(count)])

    def measured(values):
        return clusters.ratio(values, np.ones(count))

    easy = rng.random(count)
    pairs = {f"noise {i}": (measured(easy), measured(easy + rng.normal(0, 0.2, count))) for i in range(compared)}
    pairs["better"] = measured(easy), measured(easy + 0.2 + rng.normal(0, 0.05, count))
    found = differences(clusters, pairs)
    assert found.pop("better").p_holm < 0.05
    assert sum(difference.p_holm < 0.05 for difference in found.values()) <= 1, "of those that are none hardly any is"


def test_holm_multiplies_by_what_is_left_and_never_falls():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}


def test_one_base_clip_has_no_interval_and_none_is_refused():
    alone = bootstrap_mean([0.5, 0.7], ["clip", "clip"])
    assert alone.to_dict() == {"value": 0.6, "low": None, "high": None, "clusters": 1}
    assert bootstrap_mean([np.nan], ["clip"]).to_dict()["value"] is None
    with pytest.raises(ValueError, match="at least one example"):
        Clusters([])
