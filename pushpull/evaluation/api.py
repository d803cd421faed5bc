"""Evaluation and audit from Python, on clips of one's own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pushpull.attacks import PGD, Attack
from pushpull.clip import Clip
from pushpull.detectors import Detector, device_of
from pushpull.evaluation import audit as auditing
from pushpull.evaluation.audit import Audit, AuditOptions
from pushpull.evaluation.audit_page import write_audit
from pushpull.evaluation.crafting import BATCH, Condition, Evaluator
from pushpull.evaluation.examples import Example, from_clips
from pushpull.evaluation.finished import check_audit
from pushpull.evaluation.studies import WORST
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.summary import Subset, summarise, worst_of
from pushpull.evaluation.written import add_to_csv
from pushpull.files import check_folder


def evaluate(
    detectors: Detector | str | Sequence[Detector | str],
    clips: Iterable[Clip],
    attack: Attack | Sequence[Attack] = PGD(),  # noqa: B008 (frozen)
    *,
    eps_av: float = 5.0,
    modality: str = "both",
    objective: str | Sequence[str] = "training_aware",
    out: str | Path | None = None,
    batch: int = BATCH,
    seed: int = 0,
    point: str | None = None,
    on_examples: Callable[[int], None] = lambda count: None,
) -> list[dict]:
    """Attack every clip of every detector with its own gradients.

    One attack, or one objective, is a bound from above of what is robust: give several, and read their worst case.

    Args:
        detectors: one or several: of the protocol, names or paths.
        clips: with their labels, or all without: then each detector's own decisions count as right. Clips that were
            cut from one piece of footage should share their name: intervals treat them as one.
        attack: one with its parameters, or several.
        eps_av: budget; sound moves by up to 1e-4 of full scale and the picture by 0.1 grey levels for each unit.
        modality: "both", "audio" or "video".
        objective: one of ``pushpull.attacks.objectives``, or several, each with every attack; "training_aware" is
            "inference_aware" for detectors without the heads it needs.
        out: folder for records, so that the same call goes on where it was stopped, and for results.csv, which gathers
            the rows of every call with this folder.
        batch: clips attacked together.
        point: where they decide, of ``pushpull.detectors.POINTS``; None: detectors as they are, those by their names as
            ``load_detector`` loads them.
        on_examples: called with the number of clips that were done, after every batch.

    Returns:
        A row for each detector, attack and objective: what was done to what ("model", "sha256", "point", "threshold",
        "clips", a hash of them all, "modality", "eps_av", "seed", "attack", "parameters", "objective") and what
        ``pushpull.evaluation.summary.summarise`` gives, rates in 0..1 with 95 % intervals over clips. Of several
        attacks or objectives, every detector's last row is their worst case ("worst case", "all", and of how many):
        of every clip the attack that left the fewest frames right.

    Raises:
        ValueError, CheckpointError: no clips, some with labels and some without, no attack, or a detector, attack or
            objective that there is not.
    """
    conditions = _conditions(attack, objective, eps_av=eps_av, modality=modality, seed=seed)
    chosen = detectors if isinstance(detectors, list | tuple) else [detectors]
    subjects = [Subject.of(detector, point=point) for detector in chosen]
    if out is not None:
        check_folder(Path(out))
    examples, own = _examples(clips)
    evaluator = Evaluator(
        subjects,
        examples,
        own_labels=own,
        folder=None if out is None else Path(out) / "records",
        batch=batch,
        on_examples=on_examples,
    )
    subset, rows = Subset.of(evaluator.examples, seed=seed), []
    common = {"clips": evaluator.hashes[""], "modality": modality, "eps_av": float(eps_av), "seed": int(seed)}
    for subject in subjects:
        told = {"model": subject.name, "sha256": subject.sha256}
        told |= {"point": subject.point.name, "threshold": subject.point.threshold} | common
        found = []
        for condition in (replace(condition, source=subject.name) for condition in conditions):
            found.append(evaluator.run(condition)[subject.name])
            used = subject.objective(condition.objective, evaluator.clean(subject.name)[0])
            made = {"attack": condition.attack_name, "parameters": condition.parameters, "objective": used}
            rows.append(told | made | summarise(subset, found[-1]))
        if len(found) > 1:
            made = {"attack": WORST, "parameters": {"over": len(found)}, "objective": "all"}
            rows.append(told | made | summarise(subset, worst_of(found)))
    if out is not None:
        add_to_csv(Path(out) / "results.csv", rows, (*told, *made))
    return rows


def audit(
    detector: Detector | str,
    clips: Iterable[Clip],
    *,
    eps_av: float = 5.0,
    quick: bool = False,
    reference: Detector | str | None = None,
    point: str | None = None,
    out: str | Path | None = None,
    options: AuditOptions | None = None,
    overwrite: bool = False,
    on_trial: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Audit:
    """Ask whether a detector's robust figures come from robustness or from bad gradients.

    Args:
        detector: of the protocol, a name or a path.
        clips: with their labels, or all without: then the detector's own decisions count as right. A verdict that is
            told to others wants at least 100 of them; "no flag" wants 72 names or more.
        eps_av: budget; sound moves by up to 1e-4 of full scale and the picture by 0.1 grey levels for each unit.
        quick: short attacks: a first look.
        reference: an undefended detector whose perturbations are tried on this one.
        point: where the detector decides, as :func:`evaluate`.
        out: folder for audit.json, audit.html and records; the same call goes on where it was stopped.
        options: in place of ``eps_av`` and ``quick``.
        overwrite: whether a finished audit of something else in ``out`` may be replaced.
        on_trial: called before every attack with its name, its number from 0, and how many there are.

    Raises:
        ValueError, CheckpointError: no clips, some with labels and some without, a detector that there is not, or
            ``out`` holds another audit.
    """
    subject = Subject.of(detector, point=point)
    other = None if reference is None else Subject.of(reference)
    options = options or (AuditOptions.quick(eps_av=eps_av) if quick else AuditOptions(eps_av=eps_av))
    if out is not None:
        check_folder(Path(out))
    examples, own = _examples(clips)
    if own:
        examples = [_labelled(subject, example) for example in examples]
    folder = None
    if out is not None:
        folder = Path(out) / "records"
        check_audit(Path(out), auditing.asked(subject, examples, options, other), overwrite=overwrite)
    found = auditing.audit(subject, examples, options, reference=other, folder=folder, on_trial=on_trial)
    if out is not None:
        tried = "" if other is None else f", reference={other.name!r}"
        command = f"pushpull.audit({subject.name!r}, clips{tried}, point={subject.point.name!r}, options={options!r})"
        write_audit(Path(out), found, command)
    return found


def _conditions(attack, objective, **common) -> list[Condition]:
    """Every attack with every objective, of a detector that is still to be named."""
    attacks, objectives = (list(x) if isinstance(x, list | tuple) else [x] for x in (attack, objective))
    found = [Condition(source="", attack=a, objective=o, **common) for a in attacks for o in objectives]
    if not found:
        raise ValueError("an evaluation needs at least one attack and one objective")
    return found


def _examples(clips: Iterable[Clip] | Clip) -> tuple[list[Example], bool]:
    """Examples of clips, and whether what is right is for the detectors to say; names that recur are told apart."""
    clips = [clips] if isinstance(clips, Clip) else list(clips)
    if odd := next((type(clip).__name__ for clip in clips if not isinstance(clip, Clip)), None):
        raise ValueError(f"clips must be pushpull.Clip, such as read_clips gives, got a {odd} among them")
    unlabelled = [clip.labels is None for clip in clips]
    if any(unlabelled) and not all(unlabelled):
        raise ValueError("some clips have labels and some have none: give all of them labels, or none")
    own = bool(clips) and all(unlabelled)
    labelled = [replace(clip, labels=_labels(clip)) for clip in clips]
    found, seen = [], {}
    for example in from_clips(labelled):
        count = seen[example.base] = seen.get(example.base, 0) + 1
        found.append(example if count == 1 else replace(example, kind=f"{example.kind} {count}"))
    return found, own


def _labels(clip: Clip):
    """The clip's labels; where it has none, zeros that hold their place."""
    return torch.zeros(clip.frames, dtype=torch.int64).numpy() if clip.labels is None else clip.labels


def _labelled(subject: Subject, example: Example) -> Example:
    said = subject.score(example.clip.inputs(device_of(subject.detector))).margin[0] > 0
    return replace(example, clip=replace(example.clip, labels=said.long().numpy()))
