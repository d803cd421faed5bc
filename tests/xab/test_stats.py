"""xab.stats against scipy, statsmodels, published tables and closed forms."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from xab import stats, words
from xab.stats import Answer

COUNTS = [(0, 1), (1, 1), (0, 12), (12, 12), (5, 12), (32, 60), (30, 60), (59, 60), (101, 168), (500, 1000)]


def answers(correct_of: dict, *, per=12, phase="main", first=0, **more):
    """`correct_of` = {volunteer: how many of `per` trials were right}; the match alternates sides."""
    made = []
    for volunteer, correct in correct_of.items():
        for trial in range(per):
            match = "AB"[trial % 2]
            choice = match if trial < correct else "BA"[trial % 2]
            made.append(
                Answer(volunteer=volunteer, pair=first + trial, phase=phase, match=match, choice=choice, **more)
            )
    return made


def test_the_papers_count_is_reproduced():
    report = stats.paper_result()
    assert report["accuracy"] == pytest.approx(0.5333, abs=5e-5)
    assert round(report["p_two_sided"], 3) == 0.699
    assert [round(100 * x, 1) for x in report["clopper_pearson"]] == [40.0, 66.3]
    assert [round(100 * x, 1) for x in report["wilson"]] == [40.9, 65.4]


@pytest.mark.parametrize("correct,trials", COUNTS)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_intervals_equal_scipy_and_statsmodels(correct, trials, confidence):
    proportion_confint = pytest.importorskip("statsmodels.stats.proportion").proportion_confint
    exact = scipy_stats.binomtest(correct, trials).proportion_ci(confidence, method="exact")
    score = scipy_stats.binomtest(correct, trials).proportion_ci(confidence, method="wilson")
    assert stats.clopper_pearson(correct, trials, confidence) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert stats.wilson(correct, trials, confidence) == pytest.approx((score.low, score.high), abs=1e-12)
    alpha = 1 - confidence
    beta = proportion_confint(correct, trials, alpha, method="beta")
    beta = [edge if math.isfinite(edge) else float(edge_at) for edge, edge_at in zip(beta, (0, 1), strict=True)]
    assert stats.clopper_pearson(correct, trials, confidence) == pytest.approx(beta, abs=1e-9)
    theirs = proportion_confint(correct, trials, alpha, method="wilson")
    assert stats.wilson(correct, trials, confidence) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("correct,trials", COUNTS)
def test_p_values_are_sums_of_binomial_terms(correct, trials):
    terms = np.array([math.comb(trials, k) for k in range(trials + 1)], dtype=object)
    total = 2**trials
    assert stats.binomial_p(correct, trials, alternative="greater") == pytest.approx(
        float(sum(terms[correct:]) / total), rel=1e-9
    )
    as_extreme = [k for k in range(trials + 1) if terms[k] <= terms[correct]]
    assert stats.binomial_p(correct, trials) == pytest.approx(float(sum(terms[as_extreme]) / total), rel=1e-9)


# The duo-trio psychometric function (Ennis 1993, table of d' and percent correct).
@pytest.mark.parametrize("d_prime,share", [(0.5, 0.5223), (1.0, 0.5825), (1.5, 0.6634), (2.0, 0.7469), (3.0, 0.8758)])
def test_duo_trio_d_prime(d_prime, share):
    assert stats.share_correct(d_prime, "duo-trio") == pytest.approx(share, abs=1e-3)
    assert stats.d_prime(stats.share_correct(d_prime, "duo-trio"), "duo-trio") == pytest.approx(d_prime, abs=1e-9)


@pytest.mark.parametrize("rule", ["duo-trio", "abx"])
def test_d_prime_equals_simulated_observers(rule):
    rng = np.random.default_rng(0)
    d_prime, n = 1.7, 400_000
    swap = rng.integers(2, size=n)
    a, b = rng.normal(d_prime * swap, 1), rng.normal(d_prime * (1 - swap), 1)
    x = rng.normal(0, 1, n)  # X is the twin at 0: A where swap = 0
    says_a = np.abs(a - x) < np.abs(b - x) if rule == "duo-trio" else (a < b) == (x < d_prime / 2)
    measured = np.mean(says_a == (swap == 0))
    assert measured == pytest.approx(stats.share_correct(d_prime, rule), abs=0.003)


@pytest.mark.parametrize("share,expected", [(0.0, 0.0), (0.5, 0.0), (1.0, math.inf)])
def test_d_prime_at_the_ends(share, expected):
    assert stats.d_prime(share) == expected


@pytest.mark.parametrize(
    "correct,trials,margin,equivalent",
    [(32, 60, 0.65, True), (32, 60, 0.60, False), (30, 60, 0.60, False), (84, 168, 0.60, True), (0, 0, 0.65, False)],
)
def test_equivalence(correct, trials, margin, equivalent):
    verdict = stats.equivalence(correct, trials, margin=margin)
    assert verdict["equivalent"] is equivalent
    # The bound and the p-value are two views of one test.
    assert (verdict["p"] < 0.05) is equivalent


def test_planner_facts():
    assert stats.volunteers_needed(12, margin=0.60, power=0.8).volunteers == 14
    assert stats.equivalence_power(14, 12, margin=0.60).power == pytest.approx(0.802, abs=5e-4)
    assert stats.equivalence_power(13, 12, margin=0.60).power < 0.8
    table = stats.planner(12, margin=0.60, power=0.8)
    assert table["needed"]["volunteers"] == 14 and len(table["rows"]) == 40
    assert stats.volunteers_needed(1, margin=0.51, power=0.99, limit=20) is None


def test_power_is_the_share_of_simulated_studies_that_succeed():
    rng = np.random.default_rng(1)
    for icc in (0.0, 0.05):
        power = stats.equivalence_power(10, 12, margin=0.65, icc=icc)
        spread = (1 - icc) / icc if icc else None
        shares = rng.beta(0.5 * spread, 0.5 * spread, (40_000, 10)) if icc else np.full((40_000, 10), 0.5)
        correct = rng.binomial(12, shares).sum(axis=1)
        most = max(count for count in range(121) if stats.upper_bound(count, 120) < 0.65)
        measured = np.mean(correct <= most)
        assert measured == pytest.approx(power.power, abs=0.01)


@pytest.mark.parametrize("icc", [0.0, 0.1])
@pytest.mark.parametrize("margin,confidence", [(0.51, 0.95), (0.65, 0.95), (0.9, 0.999), (0.99, 0.5)])
def test_the_planner_counts_as_the_verdict_does(margin, confidence, icc):
    for row in itertools.islice(stats.power_rows(3, margin=margin, confidence=confidence, icc=icc), 12):
        verdicts = [
            stats.equivalence(count, row.trials, margin=margin, confidence=confidence)["equivalent"]
            for count in range(row.trials + 1)
        ]
        assert row.trials == 3 * row.volunteers and row.most_correct == sum(verdicts) - 1


@pytest.mark.timeout(60)
def test_the_longest_plan_is_answered_while_somebody_waits():
    table = stats.planner(120, margin=0.51, power=0.99, icc=0.5)
    assert table["needed"] is None and len(table["rows"]) == 40


def test_cluster_bootstrap_widens_when_volunteers_differ():
    same = stats.cluster_bootstrap([(6, 12)] * 10)
    apart = stats.cluster_bootstrap([(0, 12), (12, 12)] * 5)
    assert same == (0.5, 0.5)
    assert apart[0] < 0.25 and apart[1] > 0.75
    assert stats.cluster_bootstrap([(6, 12)]) is None
    assert stats.cluster_bootstrap([(6, 12), (7, 12)]) == stats.cluster_bootstrap([(6, 12), (7, 12)])


def test_cluster_bootstrap_covers_the_truth():
    rng = np.random.default_rng(2)
    covered = 0
    for study in range(200):
        shares = rng.beta(10, 10, 25)
        low, high = stats.cluster_bootstrap([(int(c), 12) for c in rng.binomial(12, shares)], resamples=600, seed=study)
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_dispersion_equals_pearson_and_finds_clusters():
    counts = [(3, 12), (9, 12), (6, 12), (6, 12)]
    found = stats.dispersion(counts)
    table = np.array([[c, n - c] for c, n in counts])
    chi2 = scipy_stats.chi2_contingency(table, correction=False)
    assert (found["chi2"], found["p"], found["df"]) == pytest.approx((chi2.statistic, chi2.pvalue, chi2.dof))
    assert stats.dispersion([(0, 12), (12, 12)])["icc"] == pytest.approx(1.0)
    assert stats.dispersion([(6, 12), (6, 12)])["icc"] < 0
    assert stats.dispersion([(12, 12), (12, 12)]) is None and stats.dispersion([(3, 12)]) is None
    rng = np.random.default_rng(3)
    clustered = [(int(c), 40) for c in rng.binomial(40, rng.beta(4.5, 4.5, 400))]  # icc = 1 / (1 + 9) = 0.1
    assert stats.dispersion(clustered)["icc"] == pytest.approx(0.1, abs=0.02)


def test_side_bias():
    always_a = [Answer(volunteer=1, pair=i, phase="main", match="AB"[i % 2], choice="A") for i in range(40)]
    found = stats.side_bias(always_a)
    assert found["share_a"] == 1 and found["p"] < 1e-9 and found["criterion"] < -1.5
    fair = stats.side_bias(answers({1: 12}))
    assert fair["share_a"] == 0.5 and fair["criterion"] == pytest.approx(0)


@pytest.mark.parametrize(
    ("right", "said"), [({1: 6}, "1 volunteer says little"), ({1: 6, 2: 8}, "2 volunteers say little")]
)
def test_few_volunteers_are_said_to_say_little(right, said):
    assert any(caution.startswith(said) for caution in words.cautions(stats.analyse(answers(right))))


@pytest.mark.parametrize(
    ("right", "kind"),
    [(20, "below"), (32, "equivalent"), (31, "equivalent"), (36, "open"), (42, "heard"), (0, "below")],
)
def test_the_verdict_of_sixty_answers(right, kind):
    report = stats.analyse(answers({1: right}, per=60))
    found, sentence = words.verdict(report)
    assert found == kind and ("no equivalence" in sentence) == (kind == "below")


def test_a_small_effect_is_called_both():
    assert words.verdict(stats.analyse(answers({1: 550}, per=1000)))[0] == "both"


@pytest.mark.parametrize(
    ("planned", "finished", "said"),
    [(5, 5, None), (5, 3, "5 volunteers were planned and 3 finished: a look on the way"), (1, 2, "1 volunteer was")],
)
def test_a_study_that_is_not_the_one_planned_says_so(planned, finished, said):
    found = words.cautions(stats.analyse(answers({1: 6, 2: 6})), planned=planned, finished=finished)
    assert [one for one in found if "planned" in one] == [one for one in found if said and one.startswith(said)]
    assert words.cautions(stats.analyse([]), planned=planned, finished=0) == []


@pytest.mark.parametrize(
    ("right", "side"),
    [({n: (3, 11)[n % 2] for n in range(9)}, "not below"), ({n: (0, 8)[n % 2] for n in range(9)}, "below")],
)
def test_volunteers_who_differ_are_judged_by_the_bootstrap(right, side):
    report = stats.analyse(answers(right))
    bound, test = report["cluster_bootstrap_upper_bound"], report["overall"]["equivalence"]
    assert report["overall"]["accuracy"] < bound <= report["cluster_bootstrap"][1]
    assert test["equivalent"], "the exact bound alone says so either way"
    assert any(f"is {side} the margin" in one for one in words.cautions(report))


@pytest.mark.parametrize(
    ("p", "digits", "text"),
    [(0.6991, 3, "p = 0.699"), (0.0002, 3, "p < 0.001"), (1e-9, 4, "p < 0.0001"), (1, 3, "p = 1.000")],
)
def test_no_p_value_is_nothing(p, digits, text):
    assert words.p_value(p, digits) == text


def test_volunteers_are_named_by_number():
    made = answers({2: 1, 10: 1, 1: 1}, per=2, phase="catch")
    assert stats.analyse(made)["catch"]["volunteers_failing"] == [1, 2, 10]


def test_analysis_of_a_study():
    made = answers({1: 6, 2: 8, 3: 5}, attack="bim", modality="both") + answers(
        {1: 2, 2: 2, 3: 1}, per=2, phase="catch"
    )
    made += answers({1: 2}, per=2, phase="training")
    report = stats.analyse(made)
    assert (report["overall"]["correct"], report["overall"]["trials"]) == (19, 36)
    assert report["overall"] == stats.summary(19, 36)
    assert [(row["value"], row["correct"]) for row in report["by"]["volunteer"]] == [(1, 6), (2, 8), (3, 5)]
    assert len(report["by"]["pair"]) == 12 and report["by"]["attack"][0]["trials"] == 36
    assert (report["catch"]["passed"], report["catch"]["trials"]) == (5, 6)
    assert report["catch"]["volunteers_failing"] == [3]
    strict = stats.analyse(made, exclude_failed_catch=True)
    assert (strict["overall"]["correct"], strict["overall"]["trials"]) == (14, 24)
    assert strict["excluded_for_catch"] == [3] and strict["sensitivity"]["all_judgments"] == report["overall"]


def test_an_empty_study_has_a_report():
    report = stats.analyse([])
    assert report["overall"]["accuracy"] is None and report["overall"]["clopper_pearson"] == [0.0, 1.0]
    assert report["overall"]["equivalence"]["equivalent"] is False
    assert report["dispersion"] is None and report["cluster_bootstrap"] is None
