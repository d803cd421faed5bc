"""One attack run from order to outcome: the same for the shell, the browser and Python."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from pushpull.attacks import AttackResult, Budget, Step, paper_budget
from pushpull.clip import Clip
from pushpull.detectors import Outputs, TalkNet, attackable
from pushpull.metrics import Report, tabulate
from pushpull.runs.spec import RunSpec

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Run:
    """What an attack on one clip found; tensors are on the CPU, with a batch of one.

    Args:
        order: what was asked for; its ``labels`` are those that were used if any were given.
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
        metrics: columns "clean", "float" and "stored".
        elapsed: seconds that the attack took.
        reference_embeddings: those that the model brings, see pushpull.training.reference; empty if none.
    """

    order: RunSpec
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
    metrics: Report
    elapsed: float
    reference_embeddings: Tensors = field(default_factory=dict)

    @property
    def outputs(self) -> dict[str, Outputs]:
        """By the names of the columns of ``metrics``."""
        return {"clean": self.clean, "float": self.adversarial, "stored": self.stored}

    @property
    def margins(self) -> dict[str, np.ndarray]:
        """(T,) float32 log-odds of speaking, by the names "clean", "adversarial" and "stored"."""
        outputs = {"clean": self.clean, "adversarial": self.adversarial, "stored": self.stored}
        return {name: said.margin[0].numpy() for name, said in outputs.items()}

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
        """Modalities that the order allows to change but the budget cannot move, e.g. half a grey level on the grid."""
        movable = {name: float(share.max()) for name, share in self.result.movable.items()}
        return [name for name, budget in self.budgets.items() if budget.eps > 0 and movable[name] == 0]

    def digest(self) -> dict[str, str]:
        """SHA-256 of the perturbation's float32 little-endian bytes, per modality: equal exactly if every bit is."""
        return {
            name: hashlib.sha256(np.ascontiguousarray(delta.numpy(), dtype="<f4").tobytes()).hexdigest()
            for name, delta in sorted(self.result.delta.items())
        }


def carry_out(model: TalkNet, clip: Clip, order: RunSpec, on_step: Callable[[Step], bool | None] | None = None) -> Run:
    """Attack ``clip`` as ``order`` says, and score the clip before and after.

    Args:
        model: the loaded model, on any device; it is left as it was. ``order.model`` is not looked at.
        clip: the face that ``order`` means, already cut and cropped. Its labels are used unless ``order`` has some.
        order: what to do.
        on_step: called with a ``Step`` after every evaluation; returning False stops the attack and keeps the best
            so far, what it raises ends it.

    Raises:
        ValueError: the labels do not fit the clip, or the span lies outside it.
    """
    if order.labels is None and clip.labels is not None:
        order = replace(order, labels="".join(str(int(label)) for label in clip.labels))
    given = order.given_labels(clip.frames)
    inputs = clip.inputs(next(model.parameters()).device)
    with torch.no_grad():
        clean = model(inputs)
    labels = (clean.margin > 0).long() if given is None else torch.from_numpy(given)[None].to(clean.margin.device)
    targets, mask, aimed = order.target.resolve(labels)
    budgets = paper_budget(order.eps_av, order.modality)
    began = time.perf_counter()
    result = order.attack.run(
        attackable(model),
        inputs,
        labels if targets is None else targets,
        budgets=budgets,
        objective=order.objective,
        targeted=targets is not None,
        mask=mask,
        seed=order.seed,
        on_step=on_step,
    )
    elapsed = time.perf_counter() - began
    versions = {"clean": inputs, "float": result.adversarial, "stored": result.stored}
    with torch.no_grad():
        outputs = {"clean": clean} | {name: model(versions[name]) for name in ("float", "stored")}
    outputs = {name: Outputs(*(part.cpu() for part in said)) for name, said in outputs.items()}
    labels, targets, mask, aimed = (None if part is None else part.cpu() for part in (labels, targets, mask, aimed))
    result = _on_cpu(result)
    versions = {"clean": clip.inputs(), "float": result.adversarial, "stored": result.stored}
    metrics = tabulate(outputs, versions, labels, aimed=aimed, targets=targets, flipped_ever=result.flipped_ever)
    return Run(
        order=order,
        clip=clip,
        budgets=budgets,
        result=result,
        clean=outputs["clean"],
        adversarial=outputs["float"],
        stored=outputs["stored"],
        labels=labels,
        own_labels=given is None,
        targets=targets,
        mask=mask,
        aimed=aimed,
        metrics=metrics,
        elapsed=elapsed,
        reference_embeddings=model.reference_embeddings,
    )


def _on_cpu(result: AttackResult) -> AttackResult:
    def moved(values):
        return values.cpu() if isinstance(values, Tensor) else {name: part.cpu() for name, part in values.items()}

    names = ("adversarial", "stored", "delta", "loss", "clean_loss", "flipped_ever", "movable")
    return replace(result, **{name: moved(getattr(result, name)) for name in names})
