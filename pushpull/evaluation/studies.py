"""The studies: which conditions answer which question of the paper, and what is told of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pushpull.attacks import BIM, MIM, MODALITIES, PGD, Attack
from pushpull.attacks.objectives import OBJECTIVES
from pushpull.config import numbers
from pushpull.evaluation import paper
from pushpull.evaluation.crafting import FLOAT32, PRECISIONS, Condition, Evaluator
from pushpull.evaluation.records import Record
from pushpull.evaluation.statistics import differences
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.summary import (
    Subset,
    accuracy,
    average_precision,
    chosen_correct,
    summarise,
    worst_case,
    worst_of,
)

WORST = "worst case"


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """How strongly the examples are attacked.

    Args:
        eps_av: budgets, comma-separated; sound moves by up to 1e-4 of full scale and the picture by 0.1 grey levels for
            each unit. Studies of a single budget take the first. Where none is given, fig3a, fig3b and fig3c have
            1,2,5,10, transfer 5,10, detectors 0.5,1,2,5,10, survival 1,5,20, and the others 5.
        steps: gradient steps of every attack.
        restarts: random starts of PGD.
        objectives: further objectives that the worst case is over, comma-separated, each with BIM.
        modalities: what may change, comma-separated, in studies that compare it: "both", "video", "audio".
        long_steps: steps of one more BIM in transfer; 0 for none.
        precision: of the attacks' gradients, "float32", or "bfloat16", which takes some 60 % of the time for large
            detectors on processors that have it. Decisions are scored in float32 either way; iterates that were not
            kept, which "never wrong" counts as well, in this.
        seed: of random starts.

    Raises:
        ValueError: a number is out of range, or an objective or a precision is not known.
    """

    eps_av: str = "5"
    steps: int = 10
    restarts: int = 5
    objectives: str = "inference_aware,margin"
    modalities: str = "both,video,audio"
    long_steps: int = 0
    precision: str = FLOAT32
    seed: int = 0

    def __post_init__(self):
        if self.steps < 1 or self.restarts < 1:
            raise ValueError(f"steps and restarts are at least 1, got {self.steps} and {self.restarts}")
        if self.long_steps < 0 or self.precision not in PRECISIONS:
            raise ValueError(
                f"long_steps is at least 0 and precision {' or '.join(PRECISIONS)}, got {self.long_steps} and "
                f"{self.precision!r}"
            )
        if min(self.budgets) < 0:
            raise ValueError(f"eps_av is one or several numbers of at least 0, got {self.eps_av!r}")
        if not self.changed:
            raise ValueError(f"modalities is one or several of {', '.join(MODALITIES)}, got {self.modalities!r}")
        for given, known in ((self.further, OBJECTIVES), (self.changed, MODALITIES)):
            if unknown := [name for name in given if name not in known]:
                raise ValueError(f"unknown {', '.join(unknown)}; known are {', '.join(known)}")

    @property
    def budgets(self) -> tuple[float, ...]:
        return numbers(self.eps_av, "eps_av")

    @property
    def further(self) -> tuple[str, ...]:
        return _names(self.objectives)

    @property
    def changed(self) -> tuple[str, ...]:
        return _names(self.modalities)

    def attack(self, name: str) -> Attack:
        """BIM, MIM or PGD with these parameters."""
        kinds = {"BIM": BIM, "MIM": MIM, "PGD": PGD}
        extra = {"restarts": self.restarts} if name == "PGD" else {}
        return kinds[name](steps=self.steps, **extra)


def _names(text: str) -> tuple[str, ...]:
    """Each once: what is named twice would stand twice in a table."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


Conditions = Callable[[Sequence[Subject], StudyOptions], list[Condition]]


@dataclass(frozen=True)
class Study:
    """One question.

    Args:
        name: in the shell.
        title: for people.
        conditions: what has to be run, in order.
        eps_av: budgets where none are given.
        worst: whether the worst case over a detector's conditions is told beside them, and differences to the first
            detector.
    """

    name: str
    title: str
    conditions: Conditions
    eps_av: str = "5"
    worst: bool = False

    def asked(self, subjects: Sequence[Subject], options: StudyOptions) -> list[Condition]:
        """Its conditions, in the precision of the options."""
        return [replace(condition, precision=options.precision) for condition in self.conditions(subjects, options)]


def _table1(subjects, options):
    found = []
    for subject in subjects:
        for name in paper.ATTACKS:
            found.append(Condition(source=subject.name, attack=options.attack(name), **_common(options)))
        for objective in options.further:
            attack = options.attack("BIM")
            found.append(Condition(source=subject.name, attack=attack, objective=objective, **_common(options)))
    return found


def _fig3a(subjects, options):
    target = subjects[0].name
    return [
        Condition(source=s.name, targets=(target,), attack=options.attack("PGD"), eps_av=eps_av, seed=options.seed)
        for s in subjects
        for eps_av in options.budgets
    ]


def _fig3b(subjects, options):
    return [
        Condition(source=s.name, attack=options.attack("PGD"), modality=modality, eps_av=eps_av, seed=options.seed)
        for s in subjects
        for modality in options.changed
        for eps_av in options.budgets
    ]


def _fig3c(subjects, options):
    return [
        Condition(source=s.name, attack=options.attack(name), eps_av=eps_av, seed=options.seed)
        for s in subjects
        for name in paper.ATTACKS
        for eps_av in options.budgets
    ]


def _fig4(subjects, options):
    return [
        Condition(source=s.name, attack=options.attack(name), objective=objective, **_common(options))
        for s in subjects
        for objective in ("training_aware", "inference_aware")
        for name in paper.ATTACKS
    ]


def _transfer(subjects, options):
    """Every detector attacked by way of every other, and by way of all others together."""
    everybody = tuple(subject.name for subject in subjects)
    found = []
    for eps_av in options.budgets:
        common = {"objective": "inference_aware", "eps_av": eps_av, "seed": options.seed}
        longer = [BIM(steps=options.long_steps)] if options.long_steps else []
        for attack in (options.attack("BIM"), options.attack("MIM"), *longer):
            found += [Condition(source=s.name, targets=everybody, attack=attack, **common) for s in subjects]
        for target in everybody if len(everybody) > 2 else ():
            first, *rest = (name for name in everybody if name != target)
            found.append(
                Condition(source=first, ensemble=tuple(rest), targets=(target,), attack=options.attack("MIM"), **common)
            )
    return found


def _detectors(subjects, options):
    return [
        Condition(
            source=s.name,
            attack=options.attack("BIM"),
            objective=objective,
            modality=modality,
            eps_av=eps_av,
            seed=options.seed,
        )
        for s in subjects
        for modality in options.changed
        for eps_av in options.budgets
        for objective in ("inference_aware", "margin")
    ]


def _common(options):
    return {"eps_av": options.budgets[0], "seed": options.seed}


STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        Study("table1", "Table 1: what attacks leave of every row", _table1, worst=True),
        Study("fig3a", "Fig. 3a: white-box and by way of a substitute", _fig3a, "1,2,5,10"),
        Study("fig3b", "Fig. 3b: sound, picture or both", _fig3b, "1,2,5,10"),
        Study("fig3c", "Fig. 3c: three attacks", _fig3c, "1,2,5,10"),
        Study("fig4", "Fig. 4: training-aware and inference-aware", _fig4),
        Study("transfer", "Transfer: every detector attacked by way of every other", _transfer, "5,10"),
        Study("detectors", "Detectors: what is left against the budget", _detectors, "0.5,1,2,5,10", worst=True),
    )
}


def subsets(evaluator: Evaluator, seed: int = 0) -> list[Subset]:
    """All examples, and those that every detector decides right unattacked: in all frames, or in 90 % of them.

    A subset in which there is nothing is left out, and so are those of footage labelled by the detectors themselves.
    """
    found = [Subset.of(evaluator.examples, seed=seed)]
    if evaluator.own_labels:
        return found
    right = [evaluator.right(name) for name in evaluator.subjects]
    for name, share in (("correct", 1.0), ("correct in 90 %", 0.9)):
        chosen = chosen_correct(right, share)
        if chosen.any():
            found.append(Subset.of(evaluator.examples, chosen, name=name, seed=seed))
    return found


def study_rows(study: Study, evaluator: Evaluator, conditions: Sequence[Condition], seed: int = 0) -> list[dict]:
    """One row for each condition, detector that scored it, and subset; then the worst cases.

    Returns:
        What ``summarise`` gives, with "model", "row", "source", "attack", "parameters", "objective", "modality" and
        "eps_av" before it, and where the paper has such a number, "paper".
    """
    records = {condition: evaluator.run(condition) for condition in conditions}
    rows = []
    for subset in subsets(evaluator, seed):
        for condition in conditions:
            for target in condition.scored_by:
                head = _head(evaluator, condition, target)
                rows.append(head | summarise(subset, records[condition][target]) | _paper(study, head, condition))
        if study.worst:
            rows += _worst_rows(evaluator, conditions, records, subset)
    return rows


def _head(evaluator, condition, target) -> dict:
    subject = evaluator.subjects[target]
    first = evaluator.clean(condition.source)[0]
    return {
        "model": target,
        "row": subject.row,
        "source": condition.attacked,
        "attack": condition.attack_name,
        "parameters": condition.parameters,
        "objective": evaluator.subjects[condition.source].objective(condition.objective, first),
        "modality": condition.modality,
        "eps_av": condition.eps_av,
    }


def _paper(study, head, condition) -> dict:
    """The paper's number for the same condition, where it has one."""
    if study.name == "table1" and condition.objective == "training_aware":
        return {"paper": paper.table_1(head["row"], head["attack"].upper())}
    at_5 = head["row"] == "A" and head["attack"] == "pgd" and condition.eps_av == 5
    if study.name.startswith("fig3") and at_5 and head["source"] == head["model"]:
        return {"paper": {"mAP": paper.FIGURE_3_AT_5[condition.modality]}}
    return {"paper": None}


def _worst_rows(evaluator, conditions, records, subset) -> list[dict]:
    """Of every detector, modality and budget the worst over attacks and objectives, and differences to the first."""
    groups: dict[tuple, list[list[Record]]] = {}
    for condition in conditions:
        key = (condition.source, condition.modality, condition.eps_av)
        groups.setdefault(key, []).append(records[condition][condition.source])
    rows, measured = [], {}
    for (name, modality, eps_av), together in groups.items():
        worst = worst_of(together)
        head = {"model": name, "row": evaluator.subjects[name].row, "source": name, "attack": WORST}
        head |= {"parameters": {"over": len(together)}, "objective": "all", "modality": modality, "eps_av": eps_av}
        rows.append(head | summarise(subset, worst) | {"paper": None})
        measured[name, modality, eps_av] = _compared(subset, subset.of_records(worst))
    first = next(iter(evaluator.subjects))
    others = [key for key in measured if key[0] != first]
    for measure in measured[next(iter(measured))]:
        # All of a table together: its p-values are corrected for every budget and modality as well.
        pairs = {key: (measured[(first, *key[1:])][measure], measured[key][measure]) for key in others}
        for key, found in differences(subset.clusters, pairs).items():
            row = next(r for r in rows if (r["model"], r["modality"], r["eps_av"]) == key)
            row.setdefault(f"minus {first}", {})[measure] = found.to_dict()
    return rows


def _compared(subset, records) -> dict:
    return {
        "worst_case": worst_case(subset, records),
        "frame_accuracy": accuracy(subset, records, "adversarial"),
        "average_precision": average_precision(subset, records, "adversarial"),
    }
