"""What an attack refuses before it begins, and what it warns of."""

import math
import warnings
from collections.abc import Callable
from numbers import Integral, Real

import torch
from torch import Tensor

from pushpull.attacks.budget import Budget

Tensors = dict[str, Tensor]
GREY_LEVELS = 255.0  # a budget with this upper end is of 8-bit pictures


def require_number(owner, name: str, what: str, *, least: float = -math.inf, above: float = -math.inf) -> None:
    """Refuse an attribute that is not a finite number in its range.

    Args:
        what: what it is, and its range, for the message.

    Raises:
        ValueError: it names the attribute and its value.
    """
    value = getattr(owner, name)
    good = isinstance(value, Real) and not isinstance(value, bool)
    if not (good and math.isfinite(value) and value >= least and value > above):
        raise ValueError(f"{name} {what} and finite, got {value!r}")
    _plain(owner, name)


def require_whole(owner, name: str) -> None:
    """Refuse an attribute that is not a whole number.

    Raises:
        ValueError: it names the attribute and its value.
    """
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    _plain(owner, name)


def _plain(owner, name: str) -> None:
    """Python's number in place of numpy's, which no report can hold."""
    value = getattr(owner, name)
    if not isinstance(value, int | float):
        object.__setattr__(owner, name, int(value) if isinstance(value, Integral) else float(value))


def require_flag(owner, name: str) -> None:
    """Refuse an attribute that is neither True nor False.

    Raises:
        ValueError: it names the attribute and its value.
    """
    if not isinstance(getattr(owner, name), bool):
        raise ValueError(f"{name} must be True or False, got {getattr(owner, name)!r}")


def check_run(
    inputs: Tensors, labels: Tensor, mask: Tensor | None, budgets: dict[str, Budget], seed: int, on_step: Callable
) -> None:
    """Refuse what does not fit together.

    Raises:
        ValueError: see ``Attack.run``.
    """
    if not inputs or not all(isinstance(x, Tensor) for x in inputs.values()):
        raise ValueError(f"inputs must be tensors by name, got { ({n: type(x).__name__ for n, x in inputs.items()}) }")
    unknown = sorted(set(budgets) - set(inputs))
    if unknown:
        raise ValueError(f"there is a budget for {unknown} but the inputs are {sorted(inputs)}")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed must be >= 0 and a whole number, got {seed!r}")
    if on_step is not None and not callable(on_step):
        raise ValueError(f"on_step must take a Step, got {on_step!r}")
    _check_labels(labels, mask)
    for name, x in inputs.items():
        _check_input(name, x, labels, budgets.get(name))


def check_initial(initial: Tensors | None, inputs: Tensors) -> None:
    """Refuse starts that are no inputs.

    Raises:
        ValueError: an input of another name, type or shape, or values that are not finite.
    """
    if initial is None:
        return
    if not isinstance(initial, dict) or not all(isinstance(x, Tensor) for x in initial.values()):
        raise ValueError(f"initial must be tensors by name like inputs, got {type(initial).__name__}")
    if unknown := sorted(set(initial) - set(inputs)):
        raise ValueError(f"initial has {unknown} but the inputs are {sorted(inputs)}")
    for name, x in initial.items():
        if x.shape != inputs[name].shape or not x.is_floating_point() or not torch.isfinite(x).all():
            wanted = f"finite floating-point numbers {tuple(inputs[name].shape)} like the input"
            raise ValueError(f"initial {name} must be {wanted}, got {tuple(x.shape)} {x.dtype}")


def _check_labels(labels: Tensor, mask: Tensor | None) -> None:
    if not isinstance(labels, Tensor):
        raise ValueError(f"labels must be a tensor (B, T) int64, got {type(labels).__name__}")
    if labels.ndim != 2 or labels.dtype != torch.int64:
        raise ValueError(f"labels must be (B, T) int64, got {tuple(labels.shape)} {labels.dtype}")
    if labels.numel() == 0:
        raise ValueError(f"there is nothing to attack: labels are {tuple(labels.shape)}, no clip or no frame")
    if labels.min() < 0:
        raise ValueError(f"labels count classes from 0, got {labels.min().item()}; leave frames out with mask")
    if mask is None:
        return
    if not isinstance(mask, Tensor) or mask.shape != labels.shape or mask.dtype != torch.bool:
        given = f"{tuple(mask.shape)} {mask.dtype}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"mask must be {tuple(labels.shape)} bool like labels, got {given}")


def _check_input(name: str, x: Tensor, labels: Tensor, budget: Budget | None) -> None:
    if x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be float32 or float64, got {x.dtype}")
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"{name} must be (B, ...) and hold something, got {tuple(x.shape)}")
    if len(x) != len(labels):
        raise ValueError(f"{name} holds {len(x)} clips, labels {len(labels)}")
    if x.device != labels.device:
        raise ValueError(f"{name} is on {x.device}, labels are on {labels.device}")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} holds values that are not finite")
    if budget is None:
        return
    if not (x.min() >= budget.lo and x.max() <= budget.hi):
        raise ValueError(
            f"{name} goes from {x.min().item():g} to {x.max().item():g} {budget.unit}, "
            f"outside its range {budget.lo:g}..{budget.hi:g}"
        )


def warn_of_scale(inputs: Tensors, budgets: dict[str, Budget], *, stacklevel: int) -> None:
    """Warn of pictures in 0..1 whose budget is in 0..255: within its range, and 255 times too dark."""
    for name, budget in budgets.items():
        if (budget.lo, budget.hi) != (0.0, GREY_LEVELS):
            continue
        top = inputs[name].flatten(1).amax(dim=1)
        if clips := torch.nonzero((top > 0) & (top <= 1)).flatten().tolist():
            warnings.warn(
                f"{name} of clips {clips} of the batch lies in 0..1, but its range is 0..255 {budget.unit}".rstrip()
                + ": multiply it by 255, or give it a Budget with hi=1 if that is what the model takes",
                stacklevel=stacklevel + 1,
            )


def warn_of_no_gradient(clips: list[int], outcome: str, *, stacklevel: int) -> None:
    """Warn of clips that no gradient ever moved."""
    if clips:
        warnings.warn(
            f"the gradient of clips {clips} of the batch was exactly zero throughout: {outcome}. Either the model "
            "passes no gradients (torch.no_grad, detach, numpy, argmax) or does not use what may change; or the "
            "objective is flat there (saturated cross entropy, a margin that is won): try another one, or Noise",
            stacklevel=stacklevel + 1,
        )


def require_finite(loss: Tensor) -> None:
    """Refuse to attack clips whose own loss is not finite.

    Raises:
        ValueError: it names the clips.
    """
    bad = torch.nonzero(~torch.isfinite(loss)).flatten().tolist()
    if bad:
        raise ValueError(f"the loss of the unattacked clips {bad} of the batch is not finite; check model and inputs")
