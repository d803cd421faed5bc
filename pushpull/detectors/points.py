"""Operating points: the log-odds at which a score becomes a decision, taken off once, so that all else decides at 0.

A card may hold two points, chosen on footage of another domain at a stated false-alarm rate by
``python -m pushpull.evaluate points``. A detector that was loaded at a point gives log-odds relative to it: whatever
counts frames, labels, attacks or draws decides at 0 and needs to know of no threshold.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pushpull.detectors.base import Card, Detector, Outputs, attack_copy, card_of, check_detector
from pushpull.detectors.windowed import as_many

SPEAKING, STRICT_SYNC, OWN = "speaking", "strict_sync", "own"
POINTS = {
    SPEAKING: "catches who speaks: a still face, or one without sound, is seldom taken for a speaker",
    STRICT_SYNC: "wants the sound to be this face's own: another's voice, or one out of step, is seldom believed",
    OWN: "the threshold that its training gave it: log-odds 0, unless its card says another",
}
CARD_KEY = "operating_points"


@dataclass(frozen=True)
class Point:
    """Where a detector decides.

    Args:
        name: of POINTS.
        threshold: log-odds of the network itself above which a frame counts as speech.
    """

    name: str = OWN
    threshold: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Point":
        """The point in a card or report.

        Raises:
            ValueError: it is none.
        """
        try:
            point = cls(str(values["name"]), float(values["threshold"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"an operating point has a name and a threshold, got {values!r}") from error
        if not abs(point.threshold) < float("inf"):
            raise ValueError(f"the threshold of an operating point is a finite log-odds, got {values!r}")
        return point

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "threshold": self.threshold}

    def __str__(self) -> str:
        title = "its own threshold" if self.name == OWN else f"its operating point {self.name.replace('_', ' ')!r}"
        return f"{title}, log-odds {self.threshold:.3g}"


class Decided(nn.Module):
    """A detector whose logits are moved so that log-odds 0 is where it decides.

    The order of scores, and so the average precision, stays as it is; heads of one modality stay too.

    Args:
        detector: what scores.
        point: where it decides, in its own log-odds.
    """

    def __init__(self, detector: Callable[[dict[str, Tensor]], Outputs], point: Point):
        super().__init__()
        self.detector, self.point = detector, point
        self._shift = point.threshold - point_of(detector).threshold
        self.card = dict(getattr(detector, "card", None) or {}) | {"threshold": 0.0, "point": point.to_dict()}
        self.train(getattr(detector, "training", False))

    @property
    def reference_embeddings(self) -> dict[str, Tensor]:
        """Those of the detector."""
        return getattr(self.detector, "reference_embeddings", None) or {}

    def forward(self, inputs: dict[str, Tensor]) -> Outputs:
        """As the detector, the log-odds relative to the point."""
        return self.detector(inputs).relative_to(self._shift)

    def fast(self) -> "Decided":
        """A copy made for attacks: of the detector's own."""
        return Decided(attack_copy(self.detector), self.point)

    def fix(self, inputs: dict[str, Tensor]) -> Callable[[dict[str, Tensor]], Outputs]:
        """Encode some modalities once; a detector without a ``fix`` is given all inputs at every call."""
        inner = getattr(self.detector, "fix", None)
        if inner is None:
            return lambda others: self(as_many(inputs, others))
        fixed = inner(inputs)
        return lambda others: fixed(others).relative_to(self._shift)


def check_point(point: str) -> None:
    """Refuse a name that is no point.

    Raises:
        ValueError: it is not in POINTS.
    """
    if point not in POINTS:
        raise ValueError(f"an operating point is one of {', '.join(POINTS)}, got {point!r}")


def point_of(detector) -> Point:
    """Where a detector decides: what its log-odds are relative to."""
    point = card_of(detector).point
    return Point() if point is None else Point.from_dict(point)


def points_of(card: Mapping[str, Any]) -> dict[str, float]:
    """The thresholds of a card's operating points, by name; those of other weights, or other statistics, do not count.

    Args:
        card: of a detector as it was loaded, with the ``sha256`` of its file.
    """
    if card.get("clip_norm"):
        return {}  # measured without it: its log-odds are others
    listed = card.get(CARD_KEY)
    weights = {card.get("sha256"), card.get("source_sha256")} - {None}
    found = {}
    for name, facts in listed.items() if isinstance(listed, Mapping) else ():
        if isinstance(facts, Mapping) and name in (SPEAKING, STRICT_SYNC) and facts.get("sha256") in weights:
            found[name] = Point.from_dict({"name": name} | dict(facts)).threshold
    return found


def usual_point(card: Mapping[str, Any]) -> Point:
    """Where a detector of this card decides if nobody says: at "speaking" where it has that, else its own threshold.

    Published weights (with a ``source_sha256``) decide at their authors' own threshold: their points hold for the
    footage that they were measured on and not elsewhere, see docs/results/README.md.
    """
    held, published = points_of(card), card.get("source_sha256")
    if SPEAKING in held and not published:
        return Point(SPEAKING, held[SPEAKING])
    return Point(OWN, Card.from_dict(card).threshold)


def decided(detector: Detector) -> Detector:
    """The detector as it decides now, at log-odds 0: a threshold that its card still states is taken off.

    The detector itself where nothing has to be moved.

    Raises:
        ValueError: it is no detector, but such as the name of one.
    """
    check_detector(detector)
    left = card_of(detector).threshold
    return Decided(detector, Point(OWN, point_of(detector).threshold + left)) if left else detector


def at_point(detector: Detector, point: str | None = None) -> Detector:
    """The detector as it decides at a point of its card.

    Args:
        detector: of the protocol.
        point: of POINTS; None is that of :func:`usual_point`.

    Returns:
        What gives log-odds relative to the point; its ``card["point"]`` says which. The network itself at its own
        threshold of 0.

    Raises:
        ValueError: an unknown point, or one that the card does not hold.
    """
    if point is not None:
        check_point(point)
    network = undecided(detector)
    card = getattr(network, "card", None)
    held = points_of(card) if isinstance(card, Mapping) else {}
    if point is None:
        point = usual_point(card).name if isinstance(card, Mapping) else OWN
    if point == OWN:
        return decided(network)
    if point not in held:
        raise ValueError(
            f"the card of {card_of(network).name} has no operating point {point!r}"
            + (f" (it has {', '.join(held)})" if held else "")
            + "; measure one with  python -m pushpull.evaluate points  or use its own threshold, point 'own'"
        )
    return decided_at(network, Point(point, held[point]))


def decided_at(detector: Detector, point: Point) -> Detector:
    """The detector as it decides at ``point``, whatever its card says, such as one that a report tells of."""
    network = undecided(detector)
    return network if point == point_of(network) else Decided(network, point)


def undecided(detector: Detector) -> Detector:
    """The detector without an operating point: the network's own log-odds."""
    return detector.detector if isinstance(detector, Decided) else detector
