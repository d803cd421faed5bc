"""A detector under evaluation: where it decides, the copy that attacks run on, and its hash."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from pushpull.attacks.objectives import OBJECTIVES
from pushpull.detectors import (
    Detector,
    Outputs,
    Point,
    at_point,
    attack_copy,
    card_of,
    decided,
    device_of,
    list_detectors,
    open_detector,
    point_of,
    undecided,
)
from pushpull.detectors.base import check_outputs
from pushpull.detectors.checkpoint import CheckpointError
from pushpull.detectors.clip_norm import SUFFIX
from pushpull.detectors.load import cache_folder
from pushpull.detectors.points import OWN
from pushpull.detectors.state import is_as_loaded
from pushpull.detectors.windowed import Windowed
from pushpull.evaluation.fingerprint import fingerprint
from pushpull.evaluation.paper import TABLE_1

ALIKE = 1e-3  # of log-odds, absolute and relative: float32 rounding is some 1e-5


@dataclass(frozen=True, eq=False)
class Subject:
    """One detector under evaluation.

    Args:
        name: what tables call it.
        detector: decides at log-odds 0.
        card: the detector's own.
    """

    name: str
    detector: Detector
    card: dict
    _scorer: list[Callable] = field(default_factory=list, init=False, repr=False)  # chosen by the first clip

    @classmethod
    def of(
        cls, detector: Detector | str, name: str | None = None, device: str = "auto", point: str | None = None
    ) -> "Subject":
        """A detector, or one by its name or path, as it is evaluated.

        Args:
            point: where it decides, of ``pushpull.detectors.POINTS``; None: a detector stays as it is, one by its name
                is loaded as :func:`pushpull.detectors.load_detector` does.

        Raises:
            CheckpointError, ValueError: as :func:`pushpull.detectors.load_detector`.
        """
        if not callable(detector):
            detector = open_detector(detector, device, point)
        detector = decided(detector) if point is None else at_point(detector, point)
        return cls(name or card_of(detector).name, detector, dict(getattr(detector, "card", None) or {}))

    @cached_property
    def fast(self) -> Callable[[dict[str, Tensor]], Outputs]:
        """What attacks run on."""
        return attack_copy(self.detector)

    @property
    def device(self) -> torch.device:
        return device_of(self.detector)

    @cached_property
    def sha256(self) -> str:
        """Of the file that it came from.

        Of one that came from no file, whose weights were changed since, or that scores in other windows than the file
        says, of its weights, its settings and its code.
        """
        network = undecided(self.detector)
        inner, as_said = network, True
        if isinstance(network, Windowed):
            inner = network.detector
            as_said = card_of(inner).window_seconds == network.seconds
        said = self.card.get("sha256")
        return said if said and as_said and is_as_loaded(inner) else fingerprint(network)

    def is_same_as(self, other: "Subject") -> bool:
        """Whether both have the same weights and normalise by the same statistics, wherever they decide."""
        norms = (self.card.get("clip_norm"), other.card.get("clip_norm"))
        return self.sha256 == other.sha256 and norms[0] == norms[1]

    @property
    def point(self) -> Point:
        """Where it decides."""
        return point_of(self.detector)

    @property
    def crop(self) -> str:
        return card_of(self.detector).crop

    @property
    def row(self) -> str:
        """Of the paper's Table 1; "" if it is none of them."""
        return str(self.card.get("row") or "")

    @torch.no_grad()
    def score(self, inputs: dict[str, Tensor]) -> Outputs:
        """One pass in float32, on the detector's device, outputs on the CPU.

        By the copy that attacks run on, up to three times sooner, if the first clip shows that it says what the
        detector says, to ``ALIKE``; else, as where answers are random, by the detector itself.
        """
        moved = {name: value.to(self.device) for name, value in inputs.items()}
        if self._scorer:
            return self._scorer[0](moved).cpu()
        said, copy_said = check_outputs(self.detector(moved), self.detector), self.fast(moved)
        alike = torch.allclose(said.margin, copy_said.margin, rtol=ALIKE, atol=ALIKE)
        self._scorer.append(self.fast if alike else self.detector)
        return said.cpu()

    def objective(self, name: str, outputs: Outputs) -> str:
        """The objective that is used for ``name``: "inference_aware" where the detector lacks what that needs.

        That is the heads of sound and picture alone for "training_aware", embeddings for "features".

        Raises:
            ValueError: an unknown objective.
        """
        if name not in OBJECTIVES:
            raise ValueError(f"unknown objective {name!r}; known are {', '.join(OBJECTIVES)}")
        lacks = {
            "training_aware": outputs.logits_a is None or outputs.logits_v is None,
            "features": not outputs.embeddings,
        }
        return "inference_aware" if lacks.get(name) else name


def load_subjects(names: list[str], device: str, point: str = OWN) -> list[Subject]:
    """Detectors by name, path or row of Table 1, deciding at ``point`` of ``pushpull.detectors.POINTS``.

    Raises:
        CheckpointError: there is no such detector.
        ValueError: one that has no such point.
    """
    return [Subject.of(name, device=device, point=point) for name in without_rows(names)]


def without_rows(names: Sequence[str]) -> list[str]:
    """The names with those of rows of Table 1, "A" or "D3", replaced by those of their lite checkpoints.

    What follows a name, ``+clip-norm=0.3``, stays there.

    Raises:
        CheckpointError: a row whose checkpoint is not there, as in an installed package.
    """
    rows = {str(card.get("row")): card["name"] for card in list_detectors() if "-lite-" in str(card["name"])}
    found = []
    for name in names:
        row, *asked = name.partition(SUFFIX)
        if row in TABLE_1 and row not in rows and not Path(row).is_file():
            file = f"talknet-lite-{row.lower()}.safetensors"
            raise CheckpointError(
                f"row {row} of Table 1 is not on this machine: put {file} out of the repository's checkpoints into "
                f"{cache_folder()}"
            )
        found.append("".join([rows.get(row, row), *asked]))
    return found
