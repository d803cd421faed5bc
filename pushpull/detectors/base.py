"""What a detector is to everything above it: a callable of sound and pictures, its outputs, and facts about it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

MODALITIES = ("audio", "video")
SHOWN = 80  # characters of what is no detector
CROPS = {
    "face_box": "the face's box, resized to 112 x 112 (AVA-ActiveSpeaker's annotated boxes)",
    "talknet_demo": "nose to chin, as TalkNet's demo cuts it out",
}


class Outputs(NamedTuple):
    """What one forward pass gives, per video frame. All but ``logits_av`` may be None: the detector has none.

    Logits are (B, T, 2), [not speaking, speaking]; embeddings are (B, T, D). e is what the encoder of one modality
    gives (AVIL acts on it); z is that after the other modality has been seen (ECR is measured on it).
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

    def relative_to(self, threshold: float) -> "Outputs":
        """The same, with log-odds of speaking that are 0 where these are ``threshold``; other heads stay."""
        if not threshold:
            return self
        return self._replace(logits_av=self.logits_av - self.logits_av.new_tensor([0.0, threshold]))

    def map(self, function: Callable[[Tensor], Tensor]) -> "Outputs":
        """``function`` of every output that is there."""
        return Outputs(*(None if value is None else function(value) for value in self))

    def to(self, *args, **kwargs) -> "Outputs":
        """As ``Tensor.to``, of every output that is there."""
        return self.map(lambda value: value.to(*args, **kwargs))

    def cpu(self) -> "Outputs":
        return self.map(Tensor.cpu)

    def detach(self) -> "Outputs":
        return self.map(Tensor.detach)

    @classmethod
    def cat(cls, parts: "list[Outputs]", dim: int = 0) -> "Outputs":
        """Several passes of one detector as one, along the clips (``dim`` 0) or the frames (1).

        Raises:
            ValueError: there are none, or an output is there in some of them only.
        """
        if not parts:
            raise ValueError("nothing to put together: no outputs were given")
        together = {}
        for name, column in zip(cls._fields, zip(*parts, strict=True), strict=True):
            missing = sum(value is None for value in column)
            if 0 < missing < len(column):
                raise ValueError(f"{name} is missing in {missing} of {len(column)} outputs")
            together[name] = None if missing else torch.cat(column, dim)
        return cls(**together)


@runtime_checkable
class Detector(Protocol):
    """What attacks, evaluation and reports ask of a detector.

    It is called with {"audio": (B, 640 T) full scale [-1, 1] at 16 kHz, "video": (B, T, 112, 112) grey levels 0..255}
    and gives :class:`Outputs`. Clips of a batch do not see each other, and gradients reach both inputs.

    Optional: ``fix(frozen)`` gives a callable of the remaining modalities that encodes the frozen ones once;
    ``fast()`` gives a copy made for attacks, the same function with frozen parameters.
    """

    card: dict[str, Any]

    def __call__(self, inputs: dict[str, Tensor]) -> Outputs: ...


@dataclass(frozen=True, kw_only=True)
class Card:
    """The facts that a detector carries in its ``card``; those that nobody stated are None.

    Args:
        name: what it is called, "lr-asd-ava".
        architecture: a name of :func:`pushpull.detectors.list_architectures`; "" for a detector of one's own.
        trained_on: data that its weights come from.
        crop: of CROPS, the part of a picture that it was trained on.
        threshold: log-odds of speaking above which a frame counts as speech, as this detector gives them: 0 once a
            point was taken off them.
        point: what was taken off, {"name": of pushpull.detectors.points, "threshold": log-odds of the network itself};
            None: nothing.
        window_seconds: longer tracks are scored in windows of this length, see pushpull.detectors.windowed; None scores
            all tracks whole.
        clip_norm: share of a clip's own statistics in its normalisations, see pushpull.detectors.clip_norm; None: the
            detector goes by those of its training alone.
        licence: of the weights.
        source: where the weights were had from.
        source_sha256: of the file that was had from there.
        sha256: of the file that the detector was loaded from.

    Raises:
        ValueError: an unknown crop, a threshold that is no finite number, or a window under 0.08 s.
    """

    name: str = "detector"
    architecture: str = ""
    trained_on: str | None = None
    crop: str = "talknet_demo"
    threshold: float = 0.0
    point: dict[str, Any] | None = None
    window_seconds: float | None = None
    clip_norm: float | None = None
    licence: str | None = None
    source: str | None = None
    source_sha256: str | None = None
    sha256: str | None = None

    def __post_init__(self):
        if self.crop not in CROPS:
            raise ValueError(f"crop is one of {', '.join(CROPS)}, got {self.crop!r}")
        threshold = self.threshold
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not abs(threshold) < float("inf"):
            raise ValueError(f"threshold is a finite log-odds, got {threshold!r}")
        window = self.window_seconds
        if window is not None and (
            isinstance(window, bool) or not isinstance(window, int | float) or not 0.08 <= window < float("inf")
        ):
            raise ValueError(f"window_seconds is a number of seconds, at least 0.08, or left out, got {window!r}")

    def to_dict(self) -> dict[str, Any]:
        """What has been stated, as JSON can hold it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> "Card":
        """The facts in a card that may hold more; one without any is that of an unknown detector.

        Raises:
            ValueError: as the class.
        """
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in card.items() if name in known})


def card_of(detector) -> Card:
    """The facts about any detector, also one that carries no card."""
    card = getattr(detector, "card", None)
    return Card.from_dict(card if isinstance(card, Mapping) else {})


def describe(detector) -> dict[str, Any]:
    """The detector's card as it is, with at least ``name``, ``crop`` and ``sha256`` (None if it came from no file)."""
    card = getattr(detector, "card", None)
    card = card if isinstance(card, Mapping) else {}
    return {"name": type(detector).__name__, "crop": Card().crop, "sha256": None} | dict(card)


def device_of(detector) -> torch.device:
    """Where the detector's parameters are; the CPU if it has none."""
    parameters = getattr(detector, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    return torch.device("cpu") if first is None else first.device


def check_detector(detector) -> None:
    """Raise ValueError unless it can be called; names are for :func:`pushpull.load_detector`."""
    if isinstance(detector, type) or not callable(detector):
        raise ValueError(
            f"a detector is what pushpull.load_detector or pushpull.wrap gives, got {f'{detector!r}'[:SHOWN]}"
        )


def check_outputs(said, detector) -> Outputs:
    """What a detector gave, or ValueError where that has not the fields of :class:`Outputs`."""
    if not all(hasattr(said, name) for name in (*Outputs._fields, "margin")):
        raise ValueError(
            f"{describe(detector)['name']} gave a {type(said).__name__}, not pushpull.Outputs: make a detector of it "
            "with pushpull.wrap"
        )
    return said


def reference_embeddings_of(detector) -> dict[str, Tensor]:
    """Embeddings of other clips that the detector brings to draw clusters with; empty if none."""
    return getattr(detector, "reference_embeddings", None) or {}


def attack_copy(detector) -> Callable[[dict[str, Tensor]], Outputs]:
    """What an attack runs on: the detector's own fast copy, or the detector itself."""
    fast = getattr(detector, "fast", None)
    return fast() if callable(fast) else detector
