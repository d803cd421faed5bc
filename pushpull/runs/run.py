"""One attack run from what was asked for to what came of it: the same for the shell, the browser and Python."""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pushpull import __version__
from pushpull.attacks import PGD, Attack, AttackResult, Budget, Step, paper_budget
from pushpull.clip import Clip
from pushpull.detectors import Outputs, Point, attack_copy, decided, describe, device_of, reference_embeddings_of
from pushpull.detectors.base import check_outputs
from pushpull.metrics import Metrics, tabulate
from pushpull.runs.spec import RunSpec, Target

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Run:
    """What an attack on one clip found; tensors are on the CPU, with a batch of one.

    Args:
        spec: what was asked for; its ``labels`` are those that were used if any were given.
        clip: the clean clip.
        budgets: per modality, with units.
        result: what the attack returned.
        clean, adversarial, stored: what the model says of the clean clip, of the attacked one, and of the attacked one
            as a file holds it (8-bit frames, 16-bit samples).
        labels: (1, T) int64, what counts as right.
        own_labels: whether nobody gave labels, so that ``labels`` are the model's decisions on the clean clip.
        targets: (1, T) int64, what a targeted attack wants; None for an untargeted one.
        mask: (1, T) bool, the frames that counted for the attack; None means all.
        aimed: (1, T) bool, the frames it was after; None means all.
        metrics: columns "clean", "adversarial" and "stored".
        elapsed: seconds that the attack took.
        card: of the detector that was attacked.
        environment: versions and device.
        reference_embeddings: those that the model brings, see pushpull.training.reference; empty if none.
        source_card: of the detector that the perturbation was made on, where that is another one; None otherwise. What
            the attack was after and its trace are then not known of this detector.
    """

    spec: RunSpec
    clip: Clip
    budgets: dict[str, Budget]
    result: AttackResult
    clean: Outputs
    adversarial: Outputs
    stored: Outputs
    labels: Tensor
    own_labels: bool
    targets: Tensor | None
    mask: Tensor | None
    aimed: Tensor | None
    metrics: Metrics
    elapsed: float
    card: dict
    environment: dict
    reference_embeddings: Tensors = field(default_factory=dict)
    source_card: dict | None = None

    @property
    def outputs(self) -> dict[str, Outputs]:
        """By the names of the columns of ``metrics``."""
        return {"clean": self.clean, "adversarial": self.adversarial, "stored": self.stored}

    @property
    def margins(self) -> dict[str, np.ndarray]:
        """(T,) float32 log-odds of speaking, by the names of the columns."""
        return {name: said.margin[0].numpy() for name, said in self.outputs.items()}

    @property
    def point(self) -> Point:
        """Where the detector decides: what log-odds are relative to."""
        return Point() if self.card.get("point") is None else Point.from_dict(self.card["point"])

    @property
    def reference(self) -> str:
        """What counted as right, for people."""
        if self.own_labels:
            return "the model's own decisions on the clean clip, hence its clean accuracy of 100 %"
        return "labels that were given"

    @property
    def eps(self) -> dict[str, float]:
        """Largest change allowed: "audio" in full scale, "video" in grey levels."""
        return {name: budget.eps for name, budget in self.budgets.items()}

    @property
    def adversarial_clip(self) -> Clip:
        """The attacked clip as the attack found it."""
        return self.clip.with_inputs(self.result.adversarial)

    @property
    def stored_clip(self) -> Clip:
        """The attacked clip as a file holds it."""
        return self.clip.with_inputs(self.result.stored)

    @property
    def frozen(self) -> list[str]:
        """Modalities that the spec allows to change but the budget cannot move, e.g. half a grey level on the grid."""
        movable = {name: float(share.max()) for name, share in self.result.movable.items()}
        return [name for name, budget in self.budgets.items() if budget.eps > 0 and movable[name] == 0]

    @property
    def nothing_to_gain(self) -> bool:
        """Whether every frame that the attack was after was at its aim before; never without an aim."""
        if self.targets is None:
            return False
        there = (self.clean.margin > 0).long() == self.targets
        return bool((there if self.aimed is None else there[self.aimed]).all())

    def report(self) -> dict:
        """Everything about the run, ready for JSON; see ``pushpull.runs.report``."""
        from pushpull.runs.report import run_report  # it describes runs, so it imports this file

        return run_report(self)

    def save(self, folder: str | os.PathLike, *, overwrite: bool = False) -> dict[str, Path]:
        """Write what ``pushpull perturb`` writes: clips, annotated video, scores, figures and report.

        Returns:
            {name: path}.

        Raises:
            ValueError: ``folder`` holds such files already, or cannot be written to.
        """
        from pushpull.runs.save import check_folder, write_results  # it writes runs, so it imports this file

        check_folder(folder, overwrite=overwrite)
        return write_results(folder, self)

    def digest(self) -> dict[str, str]:
        """SHA-256 of the perturbation's float32 little-endian bytes, per modality: equal exactly if every bit is."""
        return {
            name: hashlib.sha256(np.ascontiguousarray(delta.numpy(), dtype="<f4").tobytes()).hexdigest()
            for name, delta in sorted(self.result.delta.items())
        }


def attack(
    detector,
    clip: Clip,
    attack: Attack = PGD(),  # noqa: B008 (frozen)
    *,
    eps_av: float = 5.0,
    modality: str = "both",
    objective: str | None = None,
    target: Target | str = "untargeted",
    labels: np.ndarray | None = None,
    seed: int = 0,
    on_step: Callable[[Step], bool | None] | None = None,
) -> Run:
    """Attack one clip.

    Args:
        detector: what :func:`pushpull.load_detector` or :func:`pushpull.wrap` returns, or any callable of the protocol;
            on any device. It is left as it was.
        clip: a face and its sound; its own labels are what is right, else what the detector says of it.
        attack: with its parameters, such as ``PGD(steps=10, restarts=5)``.
        eps_av: the joint budget: x 1e-4 of full scale for sound, x 0.1 grey levels for the picture.
        modality: "both", "audio" or "video": what may change.
        objective: what the attacker maximises, see ``pushpull.attacks.objectives``; None is "training_aware" where the
            detector has the heads for it, else "inference_aware".
        target: what the detector is to say: "untargeted", "hide", "speak", or a :class:`Target`.
        labels: (T,) 0 or 1, in place of the clip's own.
        seed: of random starts and draws.
        on_step: called after every evaluation; returning False stops the attack and keeps the best so far.

    Raises:
        ValueError: a value is unknown or out of range, or labels or target do not fit the clip.
    """
    spec = spec_for(
        describe(detector)["name"],
        clip,
        attack=attack,
        modality=modality,
        eps_av=eps_av,
        objective=objective,
        target=target,
        labels=labels,
        seed=seed,
    )
    return execute(detector, clip, spec, on_step)


def spec_for(model: str, clip: Clip, *, target: Target | str, labels: np.ndarray | None, **settings) -> RunSpec:
    """The spec of an attack on ``clip``, whose origin says which face of which part of a file it is.

    Args:
        model: what the report calls the detector.
        clip: a face and its sound.
        target, labels: as :func:`attack`.
        settings: others of :class:`RunSpec`.

    Raises:
        ValueError: a value is unknown or out of range, or what is no clip.
    """
    if not isinstance(clip, Clip):
        raise ValueError(f"clip must be a pushpull.Clip, such as read_clips(...)[0], got a {type(clip).__name__}")
    origin = clip.origin
    place = {"face": origin.face, "start": origin.start, "seconds": origin.seconds} if origin else {}
    return RunSpec(
        model=str(model),
        target=Target(kind=target) if isinstance(target, str) else target,
        labels=None if labels is None else _written(labels),
        **place,
        **settings,
    )


def _written(labels: Sequence) -> str:
    """Labels as :class:`RunSpec` has them."""
    values = np.array([int(label) for label in labels] if isinstance(labels, str) else labels)
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        raise ValueError(f"labels must be (T,), 1 speaking or 0 not, got {values.shape} {f'{values}'[:60]}")
    return "".join(str(int(value)) for value in values)


def execute(detector, clip: Clip, spec: RunSpec, on_step: Callable[[Step], bool | None] | None = None) -> Run:
    """Attack ``clip`` as ``spec`` says, and score the clip before and after.

    Args:
        detector: the loaded detector, on any device; it is left as it was. ``spec.model`` is not looked at.
        clip: the face that ``spec`` means, already cut and cropped. Its labels are used unless ``spec`` has some.
        spec: what to do.
        on_step: called with a ``Step`` after every evaluation; returning False stops the attack and keeps the best
            so far, what it raises ends it.

    Raises:
        ValueError: the labels do not fit the clip, or the span lies outside it.
    """
    if spec.labels is None and clip.labels is not None:
        spec = replace(spec, labels=_written(clip.labels))
    given = spec.given_labels(clip.frames)
    detector = decided(detector)
    inputs = clip.inputs(device_of(detector))
    with torch.no_grad():
        clean = check_outputs(detector(inputs), detector)
    if spec.objective is None:
        spec = replace(spec, objective=default_objective(clean))
    labels = (clean.margin > 0).long() if given is None else torch.from_numpy(given)[None].to(clean.margin.device)
    targets, mask, aimed = spec.target.resolve(labels)
    budgets = paper_budget(spec.eps_av, spec.modality)
    began = time.perf_counter()
    result = spec.attack.run(
        attack_copy(detector),
        inputs,
        labels if targets is None else targets,
        budgets=budgets,
        objective=spec.objective,
        targeted=targets is not None,
        mask=mask,
        seed=spec.seed,
        on_step=on_step,
    )
    elapsed = time.perf_counter() - began
    return scored(
        detector,
        clip,
        result,
        clean,
        spec=spec,
        budgets=budgets,
        labels=labels,
        own_labels=given is None,
        targets=targets,
        mask=mask,
        aimed=aimed,
        elapsed=elapsed,
    )


def scored(detector, clip: Clip, result: AttackResult, clean: Outputs, *, labels, targets, mask, aimed, **facts) -> Run:
    """The run whose perturbation is there: what the detector says of each version of the clip, and the metrics.

    Args:
        detector: on any device.
        clip: the clean clip.
        result: of the attack, on the detector's device.
        clean: what the detector says of ``clip``.
        labels, targets, mask, aimed: as :class:`Run`, on any device.
        facts: the other arguments of :class:`Run`.
    """
    with torch.no_grad():
        outputs = {"clean": clean, "adversarial": detector(result.adversarial), "stored": detector(result.stored)}
    outputs = {name: said.cpu() for name, said in outputs.items()}
    labels, targets, mask, aimed = (None if part is None else part.cpu() for part in (labels, targets, mask, aimed))
    result = _on_cpu(result)
    versions = {"clean": clip.inputs(), "adversarial": result.adversarial, "stored": result.stored}
    ever = None if facts.get("source_card") else result.flipped_ever
    metrics = tabulate(outputs, versions, labels, aimed=aimed, targets=targets, flipped_ever=ever)
    return Run(
        clip=clip,
        result=result,
        **outputs,
        labels=labels,
        targets=targets,
        mask=mask,
        aimed=aimed,
        metrics=metrics,
        card=describe(detector),
        environment=environment(detector),
        reference_embeddings=reference_embeddings_of(detector),
        **facts,
    )


def default_objective(outputs: Outputs) -> str:
    """The paper's training-aware objective where a detector has the heads for it, else the inference-aware one."""
    return "inference_aware" if outputs.logits_a is None or outputs.logits_v is None else "training_aware"


def most_speaking(margins: Sequence[np.ndarray]) -> int:
    """Index of the face that a detector says speaks most, in the shell as on the page.

    Args:
        margins: (T,) log-odds of speaking of each face. Where it says so of none, it is the one it comes closest to
            saying it of; of two that are alike, the first.
    """
    return max(range(len(margins)), key=lambda index: ((margins[index] > 0).sum(), margins[index].mean()))


def environment(detector) -> dict:
    """What besides spec, clip and checkpoint the last bits of the numbers depend on."""
    device = device_of(detector)
    return {
        "pushpull": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }


def _on_cpu(result: AttackResult) -> AttackResult:
    def moved(values):
        return values.cpu() if isinstance(values, Tensor) else {name: part.cpu() for name, part in values.items()}

    names = (
        "adversarial",
        "stored",
        "delta",
        "loss",
        "clean_loss",
        "flipped_ever",
        "movable",
        "no_gradient",
        "stalled",
    )
    return replace(result, **{name: moved(getattr(result, name)) for name in names})
