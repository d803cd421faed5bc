"""What the answers say: exact tests, intervals, d', equivalence, clusters, planning.

Chance is 1/2. Exact binomial statistics take every judgment as independent; the bootstrap over volunteers and the
dispersion say how far that may be wrong.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy import optimize, stats

CHANCE = 0.5
NOTHING = 1e-200  # a probability that changes no sum
GROUPINGS = ("attack", "modality", "model", "speech", "x", "match", "pair", "volunteer", "position")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One stored judgment.

    Args:
        volunteer: anything that tells volunteers apart.
        pair, attack, modality, speech, model: of the pair shown.
        phase: "main", "catch" or "training".
        match: "A" or "B", the side that equalled X.
        choice: "A" or "B".
        x: "genuine" or "adversarial".
        finished: whether the volunteer has answered every trial.
        hears: False for a volunteer who said that they cannot hear the sound.
        position: 1, 2, ... among the trials after training.
    """

    volunteer: int | str
    pair: int | str
    phase: str
    match: str
    choice: str
    attack: str = ""
    modality: str = ""
    model: str = ""
    speech: bool = True
    x: str = "genuine"
    finished: bool = True
    hears: bool = True
    position: int = 0

    @property
    def correct(self) -> bool:
        return self.choice == self.match


def binomial_p(correct: int, trials: int, *, alternative: str = "two-sided", chance: float = CHANCE) -> float:
    """Exact binomial p-value of ``correct`` of ``trials``; 1 where there are none."""
    if trials == 0:
        return 1.0
    return float(stats.binomtest(correct, trials, chance, alternative=alternative).pvalue)


def clopper_pearson(correct: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a proportion; (0, 1) where there are no trials."""
    return _interval(correct, trials, confidence, "exact")


def wilson(correct: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's two-sided score interval of a proportion; (0, 1) where there are no trials."""
    return _interval(correct, trials, confidence, "wilson")


def upper_bound(correct: int, trials: int, confidence: float = 0.95) -> float:
    """Exact one-sided upper bound of a proportion; 1 where there are no trials."""
    return _interval(correct, trials, confidence, "exact", alternative="less")[1]


def _interval(correct: int, trials: int, confidence: float, method: str, *, alternative: str = "two-sided"):
    if trials == 0:
        return 0.0, 1.0
    found = stats.binomtest(correct, trials, alternative=alternative).proportion_ci(confidence, method)
    return float(found.low), float(found.high)


def share_correct(d_prime: float, rule: str) -> float:
    """Expected accuracy of an unbiased observer with sensitivity ``d_prime`` (Macmillan & Creelman 2005, ch. 9).

    "duo-trio": answers the side nearer to X (the differencing rule; also that of ABX with a roving standard).
    "abx": weighs A, B and X as independent observations.
    """
    cdf = stats.norm.cdf
    first = d_prime / math.sqrt(2)
    second = {"duo-trio": d_prime / math.sqrt(6), "abx": d_prime / 2}[rule]
    return float(cdf(first) * cdf(second) + cdf(-first) * cdf(-second))


def d_prime(share: float, rule: str = "duo-trio") -> float:
    """Sensitivity that gives accuracy ``share``; 0 at or below chance, infinite at 1."""
    if share <= CHANCE:
        return 0.0
    if share >= share_correct(20, rule):
        return math.inf
    return float(optimize.brentq(lambda d: share_correct(d, rule) - share, 0, 20))


def equivalence(correct: int, trials: int, *, margin: float, confidence: float = 0.95) -> dict:
    """Is detection shown to be below ``margin``? True when the exact one-sided upper bound is.

    Failing to reject chance shows nothing; this does. The p-value is that of H0: accuracy >= margin.
    """
    bound = upper_bound(correct, trials, confidence) if trials else 1.0
    return {
        "margin": margin,
        "confidence": confidence,
        "upper_bound": bound,
        "p": binomial_p(correct, trials, alternative="less", chance=margin),
        "equivalent": bound < margin,
    }


def summary(correct: int, trials: int, *, margin: float = 0.65, confidence: float = 0.95) -> dict:
    """Everything that follows from a count alone."""
    low, high = clopper_pearson(correct, trials, confidence)
    return {
        "correct": correct,
        "trials": trials,
        "accuracy": correct / trials if trials else None,
        "p_two_sided": binomial_p(correct, trials),
        "p_greater": binomial_p(correct, trials, alternative="greater"),
        "clopper_pearson": [low, high],
        "wilson": list(wilson(correct, trials, confidence)),
        "d_prime": {
            rule: {
                "estimate": _finite(d_prime(correct / trials, rule)) if trials else None,
                "low": d_prime(low, rule),
                "high": _finite(d_prime(high, rule)),
            }
            for rule in ("duo-trio", "abx")
        },
        "equivalence": equivalence(correct, trials, margin=margin, confidence=confidence),
    }


def _finite(value: float) -> float | None:
    """JSON knows no infinity: an unbounded d' is None."""
    return value if math.isfinite(value) else None


def cluster_bootstrap(
    counts: list[tuple[int, int]], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float] | None:
    """Percentile interval of the accuracy when volunteers, not judgments, are drawn; None below two volunteers.

    Args:
        counts: (correct, trials) of each volunteer.
    """
    shares = _resampled(counts, resamples, seed)
    if shares is None:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(shares, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_upper_bound(
    counts: list[tuple[int, int]], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> float | None:
    """One-sided percentile bound of the accuracy over the resamples of cluster_bootstrap: for the margin."""
    shares = _resampled(counts, resamples, seed)
    return None if shares is None else float(np.quantile(shares, confidence))


def _resampled(counts: list[tuple[int, int]], resamples: int, seed: int) -> np.ndarray | None:
    """(resamples,) accuracies of as many volunteers, drawn with replacement."""
    counts = np.array([pair for pair in counts if pair[1] > 0], dtype=float).reshape(-1, 2)
    if len(counts) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(counts), size=(resamples, len(counts)))
    sums = counts[drawn].sum(axis=1)
    return sums[:, 0] / sums[:, 1]


def dispersion(counts: list[tuple[int, int]]) -> dict | None:
    """Do volunteers differ more than coin tosses would? None below two volunteers or without spread to judge.

    Pearson's chi-square over V - 1 degrees of freedom (1 = binomial), its p-value, and the ANOVA estimate of the
    intra-class correlation (Ridout et al. 1999), which gives the design effect 1 + (m - 1) icc.
    """
    data = np.array([pair for pair in counts if pair[1] > 0], dtype=float).reshape(-1, 2)
    if len(data) < 2:
        return None
    correct, trials = data.T
    total, volunteers = trials.sum(), len(trials)
    share = correct.sum() / total
    if share in (0.0, 1.0) or total == volunteers:
        return None
    chi2 = float(((correct - trials * share) ** 2 / (trials * share * (1 - share))).sum())
    between = float((trials * (correct / trials - share) ** 2).sum() / (volunteers - 1))
    within = float((correct * (trials - correct) / trials).sum() / (total - volunteers))
    size = float((total - (trials**2).sum() / total) / (volunteers - 1))
    icc = (between - within) / (between + (size - 1) * within)
    return {
        "ratio": chi2 / (volunteers - 1),
        "chi2": chi2,
        "df": volunteers - 1,
        "p": float(stats.chi2.sf(chi2, volunteers - 1)),
        "icc": icc,
        "design_effect": max(1.0, 1 + (total / volunteers - 1) * icc),
    }


def side_bias(answers: list[Answer], confidence: float = 0.95) -> dict:
    """How often A was chosen, and the response bias c of the A/B decision, whichever side was right."""
    chose_a = sum(answer.choice == "A" for answer in answers)
    right = {side: [answer for answer in answers if answer.match == side] for side in ("A", "B")}
    hits = sum(answer.choice == "A" for answer in right["A"])
    alarms = sum(answer.choice == "A" for answer in right["B"])
    # The log-linear correction keeps c finite at shares of 0 and 1 (Hautus 1995).
    z = [float(stats.norm.ppf((count + 0.5) / (len(right[side]) + 1))) for side, count in (("A", hits), ("B", alarms))]
    return {
        "chose_a": chose_a,
        "trials": len(answers),
        "share_a": chose_a / len(answers) if answers else None,
        "wilson": list(wilson(chose_a, len(answers), confidence)),
        "p": binomial_p(chose_a, len(answers)),
        "criterion": -sum(z) / 2 if answers else None,
        "hit_rate_a": hits / len(right["A"]) if right["A"] else None,
        "false_alarm_rate_a": alarms / len(right["B"]) if right["B"] else None,
    }


def volunteer_counts(answers: list[Answer]) -> dict:
    """{volunteer: (correct, trials)}"""
    counts = defaultdict(lambda: [0, 0])
    for answer in answers:
        counts[answer.volunteer][0] += answer.correct
        counts[answer.volunteer][1] += 1
    return {volunteer: tuple(pair) for volunteer, pair in counts.items()}


def analyse(
    answers: list[Answer], *, margin: float = 0.65, confidence: float = 0.95, exclude_failed_catch: bool = False
) -> dict:
    """The whole report on a study, JSON-ready.

    The primary analysis takes every main judgment, also of volunteers who stopped early, except those whom the rule
    set before the study (``exclude_failed_catch``) leaves out; "sensitivity" gives the other choices beside it.
    """
    main = [answer for answer in answers if answer.phase == "main"]
    catch = [answer for answer in answers if answer.phase == "catch"]
    failed = {answer.volunteer for answer in catch if not answer.correct}
    primary = [answer for answer in main if not (exclude_failed_catch and answer.volunteer in failed)]

    def of(chosen):
        return summary(sum(a.correct for a in chosen), len(chosen), margin=margin, confidence=confidence)

    def by(name):
        groups = defaultdict(list)
        for answer in primary:
            groups[getattr(answer, name)].append(answer)
        return [{"value": value, **of(groups[value])} for value in sorted(groups, key=_natural)]

    counts = list(volunteer_counts(primary).values())
    passed = sum(answer.correct for answer in catch)
    bootstrap = cluster_bootstrap(counts, confidence=confidence)
    return {
        "volunteers": len({answer.volunteer for answer in answers}),
        "volunteers_in_primary": len(counts),
        "cannot_hear": sorted({answer.volunteer for answer in answers if not answer.hears}, key=_natural),
        "excluded_for_catch": sorted(failed, key=_natural) if exclude_failed_catch else [],
        "overall": of(primary),
        "cluster_bootstrap": list(bootstrap) if bootstrap else None,
        "cluster_bootstrap_upper_bound": bootstrap_upper_bound(counts, confidence=confidence),
        "dispersion": dispersion(counts),
        "side_bias": side_bias(primary, confidence),
        "catch": {
            "passed": passed,
            "trials": len(catch),
            "share": passed / len(catch) if catch else None,
            "wilson": list(wilson(passed, len(catch), confidence)),
            "volunteers_failing": sorted(failed, key=_natural),
        },
        "sensitivity": {
            "all_judgments": of(main),
            "finished_volunteers": of([answer for answer in main if answer.finished]),
            "passed_every_catch": of([answer for answer in main if answer.volunteer not in failed]),
            "hear_the_sound": of([answer for answer in main if answer.hears]),
        },
        "by": {name: by(name) for name in GROUPINGS},
    }


def _natural(value) -> tuple:
    """Numbers by size and before words."""
    return (0, value, "") if isinstance(value, int) else (1, 0, str(value))


@dataclass(frozen=True, kw_only=True)
class Power:
    """One row of the planner."""

    volunteers: int
    trials: int
    most_correct: int
    power: float


def power_rows(
    per_volunteer: int,
    *,
    margin: float = 0.65,
    confidence: float = 0.95,
    true_share: float = CHANCE,
    icc: float = 0.0,
) -> Iterator[Power]:
    """Rows for 1, 2, ... volunteers, without end: the exact probability that the upper bound falls below ``margin``.

    Args:
        per_volunteer: main trials of each.
        margin, confidence: of the equivalence test.
        true_share: what accuracy really is.
        icc: 0 if everybody is alike. Above it volunteers' own accuracies follow a beta distribution of that
            intra-class correlation, and the count is a sum of beta-binomials.
    """
    one, total = None, np.ones(1)
    if icc > 0:
        spread = (1 - icc) / icc
        counts = np.arange(per_volunteer + 1)
        one = stats.betabinom.pmf(counts, per_volunteer, true_share * spread, (1 - true_share) * spread)
    for volunteers in itertools.count(1):
        trials = volunteers * per_volunteer
        # The bound lies below the margin for the counts whose lower tail at the margin is smaller than 1 - confidence.
        most = int(stats.binom.ppf(1 - confidence, trials, margin)) - 1
        if most >= 0 and stats.beta.ppf(confidence, most + 1, trials - most) >= margin:
            most -= 1  # a bound that is the margin is not below it
        if one is None:
            power = float(stats.binom.cdf(most, trials, true_share))
        else:
            total = np.convolve(total, one)
            total[total < NOTHING] = 0  # processors take a hundred times as long for numbers that are almost none
            power = float(min(1.0, total[: most + 1].sum()))
        yield Power(volunteers=volunteers, trials=trials, most_correct=most, power=power)


def equivalence_power(volunteers: int, per_volunteer: int, **settings) -> Power:
    """The row of power_rows for ``volunteers``; settings are its own."""
    return next(itertools.islice(power_rows(per_volunteer, **settings), volunteers - 1, None))


def volunteers_needed(per_volunteer: int, *, power: float = 0.8, limit: int = 400, **settings) -> Power | None:
    """The smallest number of volunteers whose study reaches ``power``; None when ``limit`` are not enough.

    Settings are those of power_rows. Power of a discrete test is a saw-tooth: one more volunteer may lower it
    a little.
    """
    rows = itertools.islice(power_rows(per_volunteer, **settings), limit)
    return next((row for row in rows if row.power >= power), None)


def paper_result() -> dict:
    """The paper's 53.33 % of 5 volunteers x 12 pairs, that is 32 of 60 (section 4.2), analysed by this file."""
    return summary(32, 60)


def planner(per_volunteer: int, *, power: float, highest: int = 40, **settings) -> dict:
    """A table and the answer of the power planner, JSON-ready."""
    needed = volunteers_needed(per_volunteer, power=power, **settings)
    last = max(highest, needed.volunteers + 3 if needed else 0)
    rows = itertools.islice(power_rows(per_volunteer, **settings), last)
    return {"needed": asdict(needed) if needed else None, "rows": [asdict(row) for row in rows]}
