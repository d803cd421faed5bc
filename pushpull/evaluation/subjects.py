"""A detector under evaluation: deciding at its own threshold, with the copy that attacks run on and its hash."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from pushpull.attacks.objectives import OBJECTIVES
from pushpull.detectors import Detector, Outputs, attack_copy, card_of, device_of, open_detector
from pushpull.detectors.windowed import as_many


class AtThreshold(nn.Module):
    """A detector whose logits are shifted so that log-odds 0 is its card's decision threshold.

    Attacks and metrics decide at log-odds 0. The order of scores, and so the average precision, stays as it is.
    """

    def __init__(self, detector: Callable[[dict[str, Tensor]], Outputs], threshold: float):
        super().__init__()
        self.detector, self.threshold = detector, threshold
        self.card = dict(getattr(detector, "card", None) or {}) | {"threshold": 0.0}
        self.train(getattr(detector, "training", False))

    def forward(self, inputs: dict[str, Tensor]) -> Outputs:
        return self._shifted(self.detector(inputs))

    def fast(self) -> "AtThreshold":
        return AtThreshold(attack_copy(self.detector), self.threshold)

    def fix(self, inputs: dict[str, Tensor]) -> Callable[[dict[str, Tensor]], Outputs]:
        inner = getattr(self.detector, "fix", None)
        if inner is None:
            return lambda others: self(as_many(inputs, others))
        fixed = inner(inputs)
        return lambda others: self._shifted(fixed(others))

    def _shifted(self, outputs: Outputs) -> Outputs:
        shift = outputs.logits_av.new_tensor([0.0, -self.threshold])
        return outputs._replace(logits_av=outputs.logits_av + shift)


@dataclass(frozen=True, eq=False)
class Subject:
    """One detector under evaluation.

    Args:
        name: what tables call it.
        detector: decides at log-odds 0.
        card: the detector's own, with its own threshold.
    """

    name: str
    detector: Detector
    card: dict

    @classmethod
    def of(cls, detector: Detector | str, name: str | None = None, device: str = "auto") -> "Subject":
        """A detector, or one by its name or path, as it is evaluated.

        Raises:
            CheckpointError: as :func:`pushpull.detectors.load_detector`.
        """
        if not callable(detector):
            detector = open_detector(detector, device)
        facts = card_of(detector)
        shown = getattr(detector, "card", None) or {}
        if facts.threshold:
            detector = AtThreshold(detector, facts.threshold)
        return cls(name or facts.name, detector, dict(shown))

    @cached_property
    def fast(self) -> Callable[[dict[str, Tensor]], Outputs]:
        """What attacks run on."""
        return attack_copy(self.detector)

    @property
    def device(self) -> torch.device:
        return device_of(self.detector)

    @cached_property
    def sha256(self) -> str:
        """Of the file that it came from; of one that came from no file, of its weights."""
        if stated := self.card.get("sha256"):
            return stated
        digest = hashlib.sha256(type(self.detector).__qualname__.encode())
        state = self.detector.state_dict() if isinstance(self.detector, nn.Module) else {}
        for key in sorted(state):
            digest.update(key.encode() + state[key].detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def crop(self) -> str:
        return card_of(self.detector).crop

    @property
    def row(self) -> str:
        """Of the paper's Table 1; "" if it is none of them."""
        return str(self.card.get("row") or "")

    @torch.no_grad()
    def score(self, inputs: dict[str, Tensor]) -> Outputs:
        """One pass, on the detector's device, outputs on the CPU."""
        moved = {name: value.to(self.device) for name, value in inputs.items()}
        return self.detector(moved).cpu()

    def objective(self, name: str, outputs: Outputs) -> str:
        """The objective that is used for ``name``: "training_aware" needs heads that not every detector has.

        Raises:
            ValueError: an unknown objective.
        """
        if name not in OBJECTIVES:
            raise ValueError(f"unknown objective {name!r}; known are {', '.join(OBJECTIVES)}")
        lacks = outputs.logits_a is None or outputs.logits_v is None
        return "inference_aware" if name == "training_aware" and lacks else name
