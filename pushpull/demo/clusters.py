"""Where a clip's frames lie in a detector's embedding spaces, for drawing; or in words why that cannot be shown."""

import numpy as np
from torch import Tensor

from pushpull.detectors import Outputs
from pushpull.plots.embeddings import fit_plane

OWN_PLANE = (
    "This model brings no reference embeddings, so the plane is that of the two principal components of this clip's "
    "clean frames, for clean and attacked frames alike."
)
REFERENCE_PLANE = (
    "The plane is that of the two principal components of the model's reference embeddings, of clips held out from its "
    "training: the faint dots, and the class centres."
)
NO_EMBEDDINGS = "This model gives scores but no embeddings: there are no clusters to show, and no change ratio (ECR)."
NO_Z = "This model has no embeddings after cross-attention (z), so e is shown, and ECR is measured on it."
TOO_SMALL = "Its embeddings {names} have fewer than two dimensions or frames, so they are not drawn."
LAYERS = {
    "z": ("after cross-attention, z", {"z_v": "picture, z_v", "z_a": "sound, z_a"}),
    "e": ("encoders, e", {"e_v": "picture, e_v", "e_a": "sound, e_a"}),
}


def embeddings(
    clean: Outputs,
    attacked: Outputs | None,
    classes: np.ndarray,
    ecr: dict[str, float],
    reference: dict[str, Tensor] | None = None,
) -> dict:
    """Clean and attacked frames in the plane of the reference embeddings, or of the clean frames.

    Args:
        clean, attacked: outputs for a batch of one.
        classes: (T,) 1 speaking, 0 not.
        ecr: name of an embedding to its change ratio, where known.
        reference: what the model brings, see pushpull.training.reference; empty or None if nothing.

    Returns:
        {"layers": those that the detector has, "note": what is shown and what was left out}.
    """
    layers, small = [], []
    for layer, (title, parts) in LAYERS.items():
        there = {name: caption for name, caption in parts.items() if getattr(clean, name) is not None}
        flat = [name for name in there if min(getattr(clean, name).shape[1:]) < 2]
        small += flat
        plots = [
            _plot(name, caption, [outputs for outputs in (clean, attacked) if outputs], classes, ecr, reference)
            for name, caption in there.items()
            if name not in flat
        ]
        if plots:
            layers.append({"id": layer, "title": title, "plots": plots})
    return {"layers": layers, "note": _note(layers, small, reference)}


def _plot(name, caption, versions, classes, ecr, reference) -> dict:
    points = [getattr(outputs, name)[0].cpu().double().numpy() for outputs in versions]
    brought = bool(reference) and name in reference
    known, of = (reference[name].double().numpy(), reference["labels"].numpy()) if brought else (points[0], classes)
    plane = fit_plane(known)
    placed = [plane.transform(frames) for frames in points]
    cloud = plane.transform(known)
    plot = {"title": caption, "clean": _rounded(placed[0]), "centres": _centres(cloud, of)}
    if brought:
        plot["reference"] = {"at": _rounded(cloud), "classes": of.tolist()}
    if len(placed) > 1:
        plot["adversarial"] = _rounded(placed[1])
        ends = zip(_centres(placed[0], classes), _centres(placed[1], classes), strict=True)
        plot["drifts"] = [{"from": one["at"], "to": other["at"]} for one, other in ends]
    if name in ecr:
        plot["ecr"] = f"moved by {100 * ecr[name]:.1f} % of its length (ECR)"
    return plot


def _note(layers: list[dict], small: list[str], reference) -> str:
    words = []
    if layers:
        words.append(REFERENCE_PLANE if reference else OWN_PLANE)
        if layers[0]["id"] == "e":
            words.append(NO_Z)
    elif not small:
        words.append(NO_EMBEDDINGS)
    if small:
        words.append(TOO_SMALL.format(names=", ".join(small)))
    return " ".join(words)


def _centres(points: np.ndarray, classes: np.ndarray) -> list[dict]:
    """The mean of each class that is there."""
    means = {value: points[classes == value].mean(axis=0) for value in (0, 1) if (classes == value).any()}
    return [{"at": _rounded(mean), "speaking": bool(value)} for value, mean in means.items()]


def _rounded(values: np.ndarray) -> list:
    return np.round(np.asarray(values, dtype=np.float64), 4).tolist()
