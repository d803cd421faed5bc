"""An audit: many kinds of attack on one detector, and whether its figures come from robustness or bad gradients."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from pushpull.attacks import APGD, BIM, MIM, PGD, Noise, Square
from pushpull.attacks.float64 import NoDoubleError
from pushpull.config import numbers
from pushpull.evaluation import checks
from pushpull.evaluation.checks import Flag, flag
from pushpull.evaluation.crafting import BATCH, Condition, Evaluator
from pushpull.evaluation.examples import Example, set_hash
from pushpull.evaluation.records import Record
from pushpull.evaluation.statistics import Estimate
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.summary import Subset, summarise, worst_of

FORMAT = "pushpull-audit/2"
DECIDING, FLOAT64 = "BIM, deciding head", "BIM, deciding head, float64"
UNBOUNDED = 2550.0  # eps_av: the picture may become any picture, the sound move by a quarter of full scale
NO_FLAG, MASKED, NOT_ROBUST = "no flag", "masked in this model", "not robust"
UNDECIDED, ONE_CLASS = "undecided: too few clips", "undecided: frames of one class only"
COIN = 50.0  # percent right that an answer at random gets
PAPER, STRONG, BLACK_BOX, STEPS, BUDGETS, FREE = "paper", "strong", "black box", "steps", "budgets", "unbounded"
WHITE_BOX = (PAPER, STRONG, STEPS, BUDGETS)


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How hard an audit tries.

    Args:
        eps_av: the budget that the verdict is about.
        steps: gradient steps of APGD.
        restarts: random starts of APGD and PGD.
        ladder: numbers of steps that are compared, comma-separated, rising.
        budgets: budgets that must do more the larger they are, comma-separated, rising.
        queries: of Square, which takes no gradients.
        draws: of random noise of the full budget.
        seed: of random starts.

    Raises:
        ValueError: a number is out of range.
    """

    eps_av: float = 5.0
    steps: int = 100
    restarts: int = 5
    ladder: str = "10,50,200"
    budgets: str = "1,2,5,10,20"
    queries: int = 5000
    draws: int = 50
    seed: int = 0

    def __post_init__(self):
        if min(self.steps, self.restarts, self.queries, self.draws) < 1 or not 0 < self.eps_av < math.inf:
            raise ValueError("steps, restarts, queries and draws are at least 1 and eps_av is above 0 and finite")
        for name in ("ladder", "budgets"):
            values = numbers(getattr(self, name), name)
            if len(values) < 2 or list(values) != sorted(values) or values[0] <= 0:
                raise ValueError(f"{name} is at least two rising numbers above 0, got {getattr(self, name)!r}")
        if any(steps % 1 for steps in numbers(self.ladder, "ladder")):
            raise ValueError(f"ladder counts steps, which are whole, got {self.ladder!r}")

    @classmethod
    def quick(cls, **changes) -> "AuditOptions":
        """A first look: minutes on two cores. It misses masking that only long attacks see."""
        few = {"steps": 20, "restarts": 1, "ladder": "5,10,20", "budgets": "1,5,20", "queries": 100, "draws": 10}
        return cls(**few | changes)


@dataclass(frozen=True, eq=False)
class Trial:
    """One attack of an audit: what it is called, which part it belongs to, and how it is run."""

    name: str
    part: str
    condition: Condition


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found.

    Args:
        subject: the detector.
        verdict: "no flag", "masked in this model", "undecided: too few clips", "undecided: frames of one class only",
            or "not robust at eps_av E".
        flags: every question with its answer.
        attacks: {name: figures}, each with "part" and what ``summarise`` gives; the first is the worst case.
        clean: percent of frames right, unattacked.
        paper_style: percent left by the worst of BIM, MIM and PGD with cross entropy, per clip.
        worst: percent left by the worst of all within the budget, per clip.
        constant: percent that the best constant answer gets.
        above_constant: points that ``worst`` is above it, with an interval over base clips.
        facts: numbers that nobody need pass: typical log-odds, lengths of embeddings.
        options: how hard it tried.
        examples: how many.
        set_hash: names them.
        reference: the detector whose perturbations were tried on this one, None without.
    """

    subject: Subject
    verdict: str
    flags: list[Flag]
    attacks: dict[str, dict]
    clean: float
    paper_style: float
    worst: float
    constant: float
    above_constant: Estimate
    facts: dict
    options: AuditOptions
    examples: int
    set_hash: str
    records: dict[str, list[Record]] = field(repr=False, default_factory=dict)
    reference: Subject | None = None

    def to_dict(self) -> dict:
        """Ready for JSON."""
        plain = {
            name: getattr(self, name)
            for name in ("verdict", "clean", "paper_style", "worst", "constant", "facts", "examples", "set_hash")
        }
        return {
            "format": FORMAT,
            "model": self.subject.name,
            "sha256": self.subject.sha256,
            "point": self.subject.point.to_dict(),
            "reference": named(self.reference),
            **plain,
            "above_constant": self.above_constant.to_dict(),
            "flags": [found.to_dict() for found in self.flags],
            "options": asdict(self.options),
            "attacks": self.attacks,
        }


def trials(
    subject: Subject, options: AuditOptions, reference: Subject | None, *, heads: bool = True, embeddings: bool = True
) -> list[Trial]:
    """Every attack of an audit.

    Args:
        heads, embeddings: whether the detector has heads of one modality alone, and embeddings: attacks on what is not
            there are left out.
    """
    base = {"source": subject.name, "eps_av": options.eps_av, "seed": options.seed}

    def trial(name, part, attack, **more) -> Trial:
        return Trial(name, part, Condition(**base | {"attack": attack} | more))

    ce, every = "inference_aware", "training_aware"
    found = [
        trial(f"{type(attack).__name__}, {words}", PAPER, attack, objective=objective)
        for attack in (BIM(), MIM(), PGD(restarts=options.restarts))
        for words, objective in (("deciding head", ce), ("all heads", every))
        if heads or objective == ce
    ]
    found += [
        trial(f"BIM, {words}", STRONG, BIM(), objective=objective)
        for words, objective in (("margin", "margin"), ("frames not yet wrong", "ce_weighted"), ("scaled", "ce_scaled"))
    ]
    apgd = APGD(steps=options.steps, restarts=options.restarts)
    found += [
        trial(f"APGD, {words}", STRONG, apgd, objective=objective)
        for words, objective in (("cross entropy", ce), ("margin", "margin"), ("features", "features"))
        if embeddings or objective != "features"
    ]
    found.append(trial(FLOAT64, STRONG, BIM(), objective=ce, float64=True))
    found += [
        trial(f"BIM, margin, {steps:g} steps", STEPS, BIM(steps=int(steps)), objective="margin")
        for steps in numbers(options.ladder, "ladder")
    ]
    found += [
        trial(f"BIM, margin, {modality}, eps_av {eps:g}", BUDGETS, BIM(), objective="margin", modality=modality,
              eps_av=eps)
        for modality in ("both", "video", "audio")
        for eps in numbers(options.budgets, "budgets")
    ]  # fmt: skip
    found.append(trial("BIM, margin, unbounded", FREE, BIM(steps=20), objective="margin", eps_av=UNBOUNDED))
    found.append(trial("noise", BLACK_BOX, Noise(steps=options.draws), objective="margin"))
    found.append(trial("Square", BLACK_BOX, Square(steps=options.queries), objective="margin"))
    if reference is not None:
        by_way = {"source": reference.name, "targets": (subject.name,)}
        found.append(trial(f"transfer from {reference.name}", BLACK_BOX, MIM(), objective=ce, **by_way))
        found.append(
            trial(f"transfer from {reference.name}, refined", STRONG, BIM(), objective="margin", begin=reference.name)
        )
    return found


def audit(
    detector,
    examples: Sequence[Example],
    options: AuditOptions = AuditOptions(),
    *,
    reference=None,
    folder: Path | None = None,
    batch: int = BATCH,
    on_trial: Callable[[str, int, int], None] = lambda name, done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Audit:
    """Audit one detector.

    Args:
        detector: any of the protocol, a name or a path.
        examples: labelled, of the detector's crop; for a verdict to be told to others at least 100, and for "no flag"
            from at least ``pushpull.evaluation.checks.ENOUGH`` base clips.
        reference: an undefended detector whose perturbations are tried on this one; None leaves that out.
        folder: where records go, so that an interrupted audit goes on; None keeps nothing.
        on_trial: called before every attack with its name, its number from 0, and how many there are.
        cancelled: asked between steps; True raises KeyboardInterrupt.

    Raises:
        ValueError, CheckpointError: detector or examples do not fit.
    """
    subject = detector if isinstance(detector, Subject) else Subject.of(detector)
    other = None if reference is None else reference if isinstance(reference, Subject) else Subject.of(reference)
    other = another(other, subject)
    subjects = [subject] if other is None else [subject, other]
    evaluator = Evaluator(subjects, examples, folder=folder, batch=batch, cancelled=cancelled)
    said = evaluator.clean(subject.name)[0]
    with_heads = said.logits_a is not None and said.logits_v is not None
    planned = trials(subject, options, other, heads=with_heads, embeddings=bool(said.embeddings))
    records: dict[str, list[Record]] = {}
    for number, trial in enumerate(planned):
        on_trial(trial.name, number, len(planned))
        if trial.name == FLOAT64 and not any(record.zero_gradients for record in records[DECIDING]):
            records[trial.name] = records[DECIDING]  # it would do the same
            continue
        with suppress(NoDoubleError):  # then whether float64 helps is not measured
            records[trial.name] = evaluator.run(trial.condition)[subject.name]
    on_trial("", len(planned), len(planned))
    found = _concluded(subject, evaluator, options, [t for t in planned if t.name in records], records)
    return replace(found, reference=other)


def another(reference: Subject | None, subject: Subject) -> Subject | None:
    """The reference, under a name of its own; None where it is the audited detector itself."""
    if reference is None or reference.is_same_as(subject):
        return None
    return replace(reference, name=f"{reference.name} (reference)") if reference.name == subject.name else reference


def named(reference: Subject | None) -> dict[str, str] | None:
    """A reference as audits tell of it."""
    return None if reference is None else {"name": reference.name, "sha256": reference.sha256}


def asked(
    subject: Subject, examples: Sequence[Example], options: AuditOptions, reference: Subject | None
) -> dict[str, object]:
    """What tells an audit from others, as its audit.json is going to say it; see ``finished.check_audit``."""
    return {
        "model": subject.name,
        "sha256": subject.sha256,
        "point": subject.point.to_dict(),
        "set_hash": set_hash(examples),
        "options": asdict(options),
        "reference": named(another(reference, subject)),
    }


def _concluded(subject, evaluator, options, planned, records) -> Audit:
    def of(*parts) -> list[list[Record]]:
        return [records[trial.name] for trial in planned if trial.part in parts]

    # What a smaller budget allows, or one of a single modality, this one allows as well.
    within = [t for t in planned if t.part in WHITE_BOX and t.condition.eps_av <= options.eps_av]
    white_box = [records[t.name] for t in within]
    own = [records[t.name] for t in within if not t.condition.begin]
    worst, paper_style = worst_of(white_box + of(BLACK_BOX)), worst_of(of(PAPER))
    subset = Subset.of(evaluator.examples, seed=options.seed)
    attacks = {"worst of all": {"part": "worst"} | summarise(subset, worst)}
    attacks |= {t.name: {"part": t.part} | _told(t.condition) | summarise(subset, records[t.name]) for t in planned}
    flags = _flags(subject, evaluator, options, planned, records, worst_of(own), of(BLACK_BOX), subset.clusters)
    labels = np.concatenate([record.labels for record in worst])
    found = {
        "paper_style": checks.left(subset.clusters, paper_style).value,
        "constant": 100 * float(max(labels.mean(), 1 - labels.mean())),
        "above_constant": checks.above_constant(subset.clusters, worst),
    }
    return Audit(
        subject=subject,
        verdict=verdict(flags, **found, eps_av=options.eps_av),
        flags=flags,
        attacks=attacks,
        clean=100 * float(np.mean(np.concatenate([(r.clean > 0) == (r.labels == 1) for r in worst]))),
        worst=checks.left(subset.clusters, worst).value,
        **found,
        facts={
            "median_log_odds": float(np.median(np.abs(np.concatenate([record.clean for record in worst])))),
            "norm_a": (attacks["worst of all"]["norm_a"] or {}).get("value"),
            "norm_v": (attacks["worst of all"]["norm_v"] or {}).get("value"),
        },
        options=options,
        examples=len(evaluator.examples),
        set_hash=next(iter(evaluator.hashes.values())),
        records=records,
    )


def verdict(
    flags: Sequence[Flag], *, paper_style: float, constant: float, above_constant: Estimate, eps_av: float
) -> str:
    """What is to be said of a detector.

    Where attacks as the paper's leave no more than a constant answer gets, nothing is masked: it is not robust. Where
    they leave more and a flag is surely up, their figures are not to be believed. Praise wants more than blame: a
    flag that is up, or down, on clips too few to be sure of it, or a worst case that may be no better than a constant
    answer, leaves the question open.

    Where all frames are of one class a constant answer is right throughout, and no detector could be better than it.
    There a coin stands for it, and praise there is none: a detector that always says the same withstands everything.

    Args:
        flags: all questions.
        paper_style: percent left by the paper's attacks.
        constant: percent that the best constant answer gets.
        above_constant: points by which the worst case is better than it.
        eps_av: the budget.
    """
    not_robust = f"{NOT_ROBUST} at eps_av {eps_av:g}"
    alike = constant >= 100
    known = COIN if alike else constant
    if paper_style <= known:
        return not_robust
    if any(one.sure for one in flags if one.passed is False):
        return MASKED
    if above_constant.value <= known - constant:
        return not_robust
    if alike:
        return ONE_CLASS
    # An interval of one base clip has no bounds, and nothing is more than nan.
    certain = all(one.sure for one in flags if one.passed is not None)
    return NO_FLAG if certain and above_constant.low > 0 else UNDECIDED


def _flags(subject, evaluator, options, planned, records, white_box, black_box, clusters) -> list[Flag]:
    def gained(before: str, after: str) -> Estimate | None:
        return checks.gained(clusters, records[before], records[after]) if after in records else None

    ladder = [t.name for t in planned if t.part == STEPS]
    budgets = [
        [records[t.name] for t in planned if t.part == BUDGETS and t.condition.modality == modality]
        for modality in ("both", "video", "audio")
    ]
    cut = evaluator.cuts[evaluator.crop_of(subject.name)]
    # Without bounds everything is allowed that any budget allows. A long step from where a clip is may go past what a
    # short one finds, and that is no blindness.
    of_gradients = [records[t.name] for t in planned if t.part in (*WHITE_BOX, FREE) and not t.condition.begin]
    return [
        flag("random", checks.randomness(subject, cut)),
        flag("lying_gradients", checks.slope_error(subject, cut)),
        flag("zero_gradients", checks.zero_gradients(clusters, subject, cut)),
        flag("more_steps", gained(*ladder[-2:])),
        flag("margin_beats_ce", gained(DECIDING, "BIM, margin")),
        flag("scaled_beats_ce", gained(DECIDING, "BIM, scaled")),
        flag("float64_helps", gained(DECIDING, FLOAT64)),
        flag("all_heads_beat_one", gained(DECIDING, "BIM, all heads")),
        flag("black_box_wins", checks.clips_won(clusters, black_box, white_box)),
        flag("unbounded", checks.left(clusters, worst_of(of_gradients))),
        flag("not_monotone", checks.won_back(clusters, budgets)),
    ]


def _told(condition: Condition) -> dict:
    return condition.to_dict() | {"parameters": asdict(condition.attack)}
