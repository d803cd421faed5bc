"""What a detector is to everything that attacks, measures, shows or trains one.

A detector is any callable of ``{"audio": (B, 640 T) full scale [-1, 1], "video": (B, T, 112, 112) grey levels 0..255}``
that returns :class:`Outputs`. Whatever comes after it uses what is there and says what it left out.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

MODALITIES = ("audio", "video")
CROPS = ("talknet_demo", "face_box")  # nose to chin, as TalkNet's demo cuts faces; the face's box, as AVA's are cut


class Outputs(NamedTuple):
    """What one forward pass gives, per video frame; None where a detector has no such output.

    Logits are (B, T, 2), [not speaking, speaking]; embeddings are (B, T, D). e is before the modalities meet (AVIL acts
    on it), z after cross-attention (ECR is measured on it); without cross-attention z is e.
    """

    logits_av: Tensor
    logits_a: Tensor | None = None
    logits_v: Tensor | None = None
    e_a: Tensor | None = None
    e_v: Tensor | None = None
    z_a: Tensor | None = None
    z_v: Tensor | None = None

    @property
    def margin(self) -> Tensor:
        """(B, T) log-odds of speaking; does not saturate as the probability does."""
        return self.logits_av[..., 1] - self.logits_av[..., 0]

    @property
    def probability(self) -> Tensor:
        """(B, T) probability of speaking."""
        return self.logits_av.softmax(dim=-1)[..., 1]

    @property
    def embeddings(self) -> dict[str, Tensor]:
        """The embeddings that ECR and figures are about: z where there are both, else e; empty if neither."""
        for names in (("z_a", "z_v"), ("e_a", "e_v")):
            if all(getattr(self, name) is not None for name in names):
                return {name: getattr(self, name) for name in names}
        return {}

    def map(self, change: Callable[[Tensor], Tensor]) -> "Outputs":
        """``change`` applied to every tensor that is there."""
        return Outputs(*(None if part is None else change(part) for part in self))

    def cpu(self) -> "Outputs":
        """The same, off the graph, in float32 and on the CPU."""
        return self.map(lambda part: part.detach().float().cpu())


@runtime_checkable
class Detector(Protocol):
    """The protocol. There may also be ``fix(frozen)`` (encode unattacked modalities once) and ``fast()`` (a copy for
    attacks).

    Attributes:
        card: what people should know: ``name``, ``architecture``, training data, ``crop`` (one of ``CROPS``), licence,
            ``sha256`` of the weights file; see :func:`describe` for what is filled in.
    """

    card: dict

    def __call__(self, inputs: dict[str, Tensor]) -> Outputs: ...


def describe(detector) -> dict:
    """The card with at least ``name``, ``crop`` and ``sha256`` (None where the detector came from no file)."""
    card = getattr(detector, "card", None) or {}
    return {"name": type(detector).__name__, "crop": CROPS[0], "sha256": None} | card


def device_of(detector) -> torch.device:
    """Where the detector's parameters are; the CPU if it has none."""
    parameters = getattr(detector, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    return torch.device("cpu") if first is None else first.device


def reference_embeddings_of(detector) -> dict[str, Tensor]:
    """Embeddings of other clips that the detector brings to draw clusters with; empty if none."""
    return getattr(detector, "reference_embeddings", None) or {}


def attack_copy(detector) -> Callable[[dict[str, Tensor]], Outputs]:
    """What an attack runs on: the detector's own fast copy, or the detector itself."""
    fast = getattr(detector, "fast", None)
    return fast() if callable(fast) else detector
