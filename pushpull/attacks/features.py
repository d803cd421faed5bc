"""The features objective: move embeddings towards the other class, or away from those of the unattacked clip.

Where heads saturate, or were trained against attacks on their own loss, embeddings still tell how far a clip has come
(Sabour et al. 2016, with the class's centre for the guide). Embeddings are z, after the other modality has been seen,
or else e.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pushpull.attacks.objectives import clip_mean, register_objective

Tensors = dict[str, Tensor]
EMBEDDINGS = (("z_a", "z_v"), ("e_a", "e_v"))


def embeddings_of(outputs) -> Tensors:
    """{name: (B, T, D)}: the z of ``outputs``, or else the e; those that are there.

    Raises:
        ValueError: there is neither.
    """
    for names in EMBEDDINGS:
        found = {name: getattr(outputs, name, None) for name in names}
        found = {name: _wide(values) for name, values in found.items() if isinstance(values, Tensor)}
        if found:
            return found
    raise ValueError(
        "the features objective needs embeddings, z_a and z_v or e_a and e_v, which this model does not give; use "
        "margin or ce_weighted"
    )


def class_centres(outputs, labels: Tensor, mask: Tensor | None = None) -> Tensors:
    """Mean embedding of the frames of each class, for ``features``.

    Args:
        outputs: of the detector under attack, on clean clips; several of them put together, such as by ``Outputs.cat``.
        labels: (B, T) int64, 0 (not speaking) or 1.
        mask: (B, T) bool, frames that count; None means all.

    Returns:
        {name: (2, D)}.

    Raises:
        ValueError: there are no embeddings, or no frame of one of the classes.
    """
    counted = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask
    centres = {}
    for name, values in embeddings_of(outputs).items():
        chosen = [values.detach()[counted & (labels == label)] for label in (0, 1)]
        if not all(len(frames) for frames in chosen):
            raise ValueError("class centres need frames that speak and frames that do not; there are none of one kind")
        centres[name] = torch.stack([frames.mean(dim=0) for frames in chosen])
    return centres


@dataclass(frozen=True, eq=False)
class Features:
    """See ``features``."""

    centres: Tensors | None = None

    def remember(self, outputs, labels: Tensor, *, mask: Tensor | None = None) -> Tensors:
        """The embeddings of unattacked clips, which ``clean`` hands back; nothing where there are centres."""
        return embeddings_of(outputs) if self.centres is None else {}

    def __call__(
        self,
        outputs,
        labels: Tensor,
        *,
        mask: Tensor | None = None,
        targeted: bool = False,
        clean: Tensors | None = None,
    ) -> Tensor:
        found = embeddings_of(outputs)
        if self.centres is None:
            if targeted:
                raise ValueError(
                    "the objective features leads away from the clean clip, to no target: choose another objective, "
                    "such as margin, or no target. In Python features(centres) takes one"
                )
            if clean is None:
                raise ValueError("features without centres compares with clean=remember(outputs of the clean clips)")
            moved = [_distance(values, clean[name]) for name, values in found.items()]
        else:
            if missing := sorted(set(self.centres) ^ set(found)):
                raise ValueError(f"centres and the model's embeddings differ in {missing}: they are another model's")
            wanted = labels if targeted else 1 - labels
            moved = [_progress(values, self.centres[name].to(values), wanted) for name, values in found.items()]
        return clip_mean(torch.stack(moved).mean(dim=0), mask)


def features(centres: Tensors | None = None) -> Features:
    """An objective that acts on embeddings instead of logits, mean over modalities and frames: (B,).

    Args:
        centres: of both classes, see ``class_centres``. Each frame's embedding is projected onto the line between
            them: -1 at the centre of the class to leave, +1 at the other's, where it stops counting. Without centres it
            is the paper's ECR, ||z - z clean|| / ||z clean||: away from the clip's own clean embeddings.

    The objective raises ValueError where the model gives no embeddings, or others than the centres'; for a target
    without centres; and for labels other than 0 and 1.
    """
    return Features(centres)


register_objective("features", "features (away from the clean ones)")(features())


def _distance(values: Tensor, clean: Tensor) -> Tensor:
    """(B, T): distance to the clean embeddings, relative to their norm."""
    return (values - clean).norm(dim=-1) / clean.norm(dim=-1).clamp(min=torch.finfo(clean.dtype).tiny)


def _progress(values: Tensor, centres: Tensor, wanted: Tensor) -> Tensor:
    """(B, T): where embeddings (B, T, D) are on the line to the centre of the ``wanted`` (B, T) class."""
    goal, away = centres[wanted], centres[1 - wanted]
    line = goal - away
    length = line.square().sum(dim=-1).clamp(min=torch.finfo(line.dtype).tiny)
    return (2 * ((values - (goal + away) / 2) * line).sum(dim=-1) / length).clamp(max=1.0)


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
