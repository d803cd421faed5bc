"""Budget: how far an attack may move one modality, and the box of inputs that this leaves."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushpull import media

EPS_AUDIO = 1e-4  # full scale per unit of eps_av, paper section 4.1
EPS_VIDEO = 1e-1  # grey levels per unit of eps_av, paper section 4.1
MODALITIES = ("both", "audio", "video")

# The distance between neighbouring values that a file holds: 16-bit samples, 8-bit frames.
STORAGE_STEP = {"audio": 1 / 32768, "video": 1.0}


@dataclass(frozen=True)
class Budget:
    """The l-infinity ball of one modality.

    Args:
        eps: largest absolute change of any element, in ``unit``; 0 freezes the modality.
        lo, hi: range of the input itself, in ``unit``; may be infinite.
        unit: what the numbers count; shown wherever one of them is.

    Raises:
        ValueError: ``eps`` is negative or not finite, or ``lo`` is not below ``hi``.
    """

    eps: float
    lo: float
    hi: float
    unit: str = ""

    def __post_init__(self):
        if not (math.isfinite(self.eps) and self.eps >= 0):
            raise ValueError(f"eps must be a finite number >= 0, got {self.eps}")
        if not self.lo < self.hi:
            raise ValueError(f"lo must be below hi, got {self.lo} and {self.hi}")


def paper_budget(eps_av: float, modality: str = "both") -> dict[str, Budget]:
    """The paper's joint budget: eps_a = eps_av x 1e-4 of full scale, eps_v = eps_av x 1e-1 grey levels (section 4.1).

    The paper states the two factors but not their units; docs/attacks.md says why these. A modality other than
    ``modality`` gets eps 0.

    Raises:
        ValueError: ``modality`` is not one of "both", "audio", "video", or ``eps_av`` is negative or not finite.
    """
    if modality not in MODALITIES:
        raise ValueError(f"unknown modality {modality!r}; known are {', '.join(MODALITIES)}")
    if not (math.isfinite(eps_av) and eps_av >= 0):
        raise ValueError(f"eps_av must be a finite number >= 0, got {eps_av}")
    return {
        "audio": Budget(eps_av * EPS_AUDIO if modality != "video" else 0.0, -1.0, 1.0, "full scale"),
        "video": Budget(eps_av * EPS_VIDEO if modality != "audio" else 0.0, 0.0, 255.0, "grey levels"),
    }


def as_stored(name: str, values: Tensor) -> Tensor:
    """What a file gives back after ``values`` of the modality ``name`` were written to it.

    "audio" is rounded to 16-bit samples and "video" to 8-bit grey levels by ``pushpull.media``, whose rounding is the
    only one there is; a modality of any other name has no file format and comes back as it is.
    """
    if name not in STORAGE_STEP:
        return values
    array = values.detach().cpu().numpy()
    array = media.quantise_video(array) if name == "video" else media.dequantise_audio(media.quantise_audio(array))
    return torch.from_numpy(array).to(device=values.device, dtype=values.dtype)


def bounds(x: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    """The lowest and highest value each element of ``x`` may take, in the dtype of ``x``.

    Exact to the last bit: for every value u between them |u - x| <= eps holds for the real difference and for the
    difference computed in the dtype of ``x``, although neither x + eps nor eps need be representable there.
    """
    device, x = x.device, x.cpu() if x.device.type == "mps" else x  # Metal has no nextafter
    eps = torch.tensor(budget.eps, dtype=x.dtype, device=x.device)
    if eps.item() > budget.eps:
        eps = torch.nextafter(eps, torch.zeros_like(eps))

    def outermost(sign: int, limit: float) -> Tensor:
        edge = x + sign * eps
        # x + eps was rounded, so edge may lie outside. Of the two differences below one is exact (Sterbenz: edge and x,
        # or edge and eps, are within a factor of two of each other), hence together they decide.
        outside = (sign * (edge - x) > eps) | (sign * (edge - sign * eps) > sign * x)
        edge = torch.where(outside, torch.nextafter(edge, x), edge)
        return edge.clamp(max=limit) if sign > 0 else edge.clamp(min=limit)

    return outermost(-1, budget.lo).to(device), outermost(+1, budget.hi).to(device)


@dataclass(frozen=True, eq=False)
class Box:
    """Where the attacked modalities of a batch of rows may go.

    Args:
        origin: where rows start from; the input, or on the grid the nearest storable point within the budget.
        lower, upper: the bounds of each element.
        eps: per modality, for steps and starts relative to it; finite in the dtype of the input.
        grid: per modality, the storage step that iterates are rounded to; None where they are not.
    """

    origin: dict[str, Tensor]
    lower: dict[str, Tensor]
    upper: dict[str, Tensor]
    eps: dict[str, float]
    grid: dict[str, float | None]

    @classmethod
    def around(cls, inputs: dict[str, Tensor], budgets: dict[str, Budget], *, grid: bool) -> "Box":
        """The box of ``budgets`` around ``inputs``; with ``grid``, of the storable points in it.

        An element with no storable point within its budget (its input was not storable and eps is small) stays as it
        is: rounding it would break the budget.
        """
        origin, lower, upper, steps = {}, {}, {}, {}
        for name, x in inputs.items():
            origin[name], steps[name] = x, None
            lower[name], upper[name] = bounds(x, budgets[name])
            if not grid:
                continue
            if name not in STORAGE_STEP:
                raise ValueError(f"grid=True needs a storage grid, and there is none for the input {name!r}")
            step = steps[name] = STORAGE_STEP[name]
            low, high = as_stored(name, lower[name]), as_stored(name, upper[name])
            low = torch.where(low < lower[name], low + step, low)
            high = torch.where(high > upper[name], high - step, high)
            reachable = low <= high
            lower[name], upper[name] = torch.where(reachable, low, x), torch.where(reachable, high, x)
            origin[name] = as_stored(name, x).clamp(lower[name], upper[name])
        eps = {name: min(budgets[name].eps, torch.finfo(x.dtype).max) for name, x in inputs.items()}
        return cls(origin, lower, upper, eps, steps)

    def movable(self) -> dict[str, Tensor]:
        """Share of the elements of each row that can take more than one value, per modality: (rows,)."""
        return {name: (self.lower[name] < self.upper[name]).flatten(1).float().mean(1) for name in self.lower}

    def project(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """The point of the box nearest to ``x``; on the grid, after rounding."""
        points = {}
        for name, values in x.items():
            values = as_stored(name, values) if self.grid[name] else values
            points[name] = values.clamp(self.lower[name], self.upper[name])
        return points

    def only(self, names: Iterable[str]) -> "Box":
        """The box of some of the modalities."""
        return self._map(lambda values: {name: values[name] for name in names})

    def rows(self, index: Tensor) -> "Box":
        """The box of some rows, in the order of ``index``; a row may appear several times."""
        return self._map(lambda values: {n: v[index] if isinstance(v, Tensor) else v for n, v in values.items()})

    def _map(self, change) -> "Box":
        return Box(*(change(part) for part in (self.origin, self.lower, self.upper, self.eps, self.grid)))
