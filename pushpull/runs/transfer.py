"""A perturbation that was made on one detector, scored on another."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pushpull.attacks import as_stored
from pushpull.attacks.objectives import get_objective
from pushpull.clip import Clip
from pushpull.detectors import Outputs, decided, device_of
from pushpull.faces import move_change
from pushpull.runs.run import Run, default_objective, scored


def transfer(run: Run, detector, clip: Clip) -> Run:
    """What ``detector`` says of the perturbation that ``run`` found on another one.

    The sound is the same for both. Where ``clip`` shows the face in another crop, the change of the picture is moved to
    where it lies in that crop, bilinearly (:func:`pushpull.faces.move_change`); what the other crop does not hold is
    not changed.

    Args:
        run: of the detector that was attacked.
        detector: another one, on any device.
        clip: the face of ``run.clip``, cut as ``detector`` wants it.

    Returns:
        The run; what is right are the clip's labels, or those of ``run`` if they were given, else the decisions of this
        detector. Its trace is empty, and its ``source_card`` names the detector that was attacked.

    Raises:
        ValueError: the clips are of different length, or cut differently and of no known place.
    """
    if clip.frames != run.clip.frames:
        raise ValueError(f"a perturbation of {run.clip.frames} frames does not fit a clip of {clip.frames}")
    detector = decided(detector)
    inputs = clip.inputs(device_of(detector))
    with torch.no_grad():
        clean = detector(inputs)
    given = None if run.own_labels else run.labels.to(clean.margin.device)
    labels = (clean.margin > 0).long() if given is None else given
    targets, mask, aimed = run.spec.target.resolve(labels)
    adversarial = {name: values.to(inputs[name].device) for name, values in _moved(run, clip).items()}
    with torch.no_grad():
        said = detector(adversarial)
    options = {"mask": mask, "targeted": targets is not None}
    before, after = _losses(run, clean, said, labels if targets is None else targets, **options)
    result = replace(
        run.result,
        adversarial=adversarial,
        stored={name: as_stored(name, values) for name, values in adversarial.items()},
        delta={name: values - inputs[name] for name, values in adversarial.items()},
        loss=after,
        clean_loss=before,
        trace=(),
    )
    return scored(
        detector,
        clip,
        result,
        clean,
        spec=run.spec,
        budgets=run.budgets,
        labels=labels,
        own_labels=given is None,
        targets=targets,
        mask=mask,
        aimed=aimed,
        elapsed=0.0,
        source_card=dict(run.source_card or run.card),
    )


def _losses(run: Run, clean: Outputs, said: Outputs, wanted: Tensor, *, mask: Tensor | None, targeted: bool):
    """The run's objective, (1,), of a detector's outputs for the clean clip and for the attacked one.

    A detector without the heads or embeddings that it needs has its default one.
    """
    lacks = {"training_aware": clean.logits_a is None or clean.logits_v is None, "features": not clean.embeddings}
    name = run.spec.objective
    objective = get_objective(default_objective(clean) if lacks.get(name) else name)
    kept = {"clean": objective.remember(clean, wanted, mask=mask)} if hasattr(objective, "remember") else {}
    return tuple(objective(outputs, wanted, mask=mask, targeted=targeted, **kept) for outputs in (clean, said))


def _moved(run: Run, clip: Clip) -> dict[str, torch.Tensor]:
    """The adversarial inputs, on the CPU, with the face cut as in ``clip``."""
    if clip.crop == run.clip.crop:
        return run.result.adversarial
    if clip.origin is None:
        raise ValueError(f"{clip.name} was cut from no file, so it cannot be cut as {clip.crop}")
    change = run.result.delta["video"][0].numpy()
    moved = move_change(change, clip.origin.boxes, run.clip.crop, clip.crop)
    video = np.clip(clip.video.astype(np.float32) + moved, 0, 255)
    return run.result.adversarial | {"video": torch.from_numpy(video)[None]}
