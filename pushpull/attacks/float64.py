"""float64: where float32 rounds a gradient to exactly zero, the same attack in double precision."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushpull.attacks.loop import run_attack
from pushpull.attacks.result import AttackResult
from pushpull.attacks.undisturbed import modules_behind, undisturbed

Tensors = dict[str, Tensor]


class NoDoubleError(ValueError):
    """A model that cannot be run in float64."""


@dataclass(frozen=True, eq=False)
class Double:
    """See ``in_float64``."""

    model: Callable

    def __call__(self, inputs: Tensors):
        return self.model(_widen(inputs))


class _Fixing(Double):
    def fix(self, frozen: Tensors) -> "Double":
        """A double of what the model's own ``fix`` gives."""
        return Double(self.model.fix(_widen(frozen)))


def in_float64(model: Callable) -> Double:
    """A copy of ``model`` that computes in float64, whatever the type of its inputs; the model stays as it is.

    Cross entropy in float32 is flat where a decision is sure by more than 17 nats and its gradient 0 from 104 on; in
    float64 only from 745 on. Give it float64 inputs if you need their gradients: those of float32 inputs are rounded to
    float32 again.

    Raises:
        NoDoubleError: there is no torch module in ``model`` or its attributes that could be copied and converted.
    """
    try:
        double = copy.deepcopy(model)
    except Exception as error:  # whatever a stranger's object may raise
        name = type(model).__name__
        raise NoDoubleError(f"{name} cannot be copied, so it cannot be run in float64: {error}") from error
    # Those of a function are the original's own: a copy of a function is the function.
    modules = [module for module in modules_behind(double) if not any(module is own for own in modules_behind(model))]
    if not modules:
        raise NoDoubleError(f"there is no torch module in {type(model).__name__} that could be converted to float64")
    for module in modules:
        module.to(torch.float64)
    return (_Fixing if hasattr(double, "fix") else Double)(double)


def refine(attack, result: AttackResult, model: Callable, inputs: Tensors, labels: Tensor, **options) -> AttackResult:
    """Attack the clips whose gradient was exactly zero once more, first in float64 and then on from there.

    Args:
        result: of the attack in the type of the inputs.
        options: of ``run_attack``.

    Returns:
        ``result``, in which clips of which this found something better are replaced.

    Raises:
        NoDoubleError: as ``in_float64``; or the copy computes in float32 all the same, with numbers of no module.
    """
    clips = torch.nonzero(result.stalled).flatten().tolist()
    if not clips or result.cancelled:
        return result
    exact = in_float64(model)
    try:
        with torch.no_grad(), undisturbed(exact):
            exact(_part(inputs, slice(clips[0], clips[0] + 1)))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        raise NoDoubleError(f"{type(model).__name__} cannot be run in float64: {error}") from error
    for clip in clips:
        result = _refine_clip(attack, result, (model, exact), inputs, labels, clip, options)
        if result.cancelled:
            break
    return result


def _refine_clip(attack, result: AttackResult, models: tuple, inputs, labels, clip: int, options: dict) -> AttackResult:
    model, exact = models
    one = slice(clip, clip + 1)
    alone, mask, initial = _part(inputs, one), options["mask"], options["initial"]
    own = options | {"seed": options["seed"] + clip, "mask": None if mask is None else mask[one]}
    own |= {"initial": None if initial is None else _part(initial, one), "autocast": None}
    wide = run_attack(attack, exact, _widen(alone), labels[one], **own)
    result = replace(result, trace=result.trace + wide.trace, cancelled=wide.cancelled)
    if wide.cancelled:
        return result
    # Decided in the type that the model is used in; what was found may be a step of float32 away from its bounds.
    own |= {"initial": wide.adversarial, "autocast": options["autocast"]}
    found = run_attack(attack, model, alone, labels[one], **own)
    trace, changed = result.trace + found.trace, {}
    changed["flipped_ever"] = _put(result.flipped_ever, one, result.flipped_ever[one] | found.flipped_ever)
    changed["no_gradient"] = _put(result.no_gradient, one, wide.no_gradient & found.no_gradient)
    if found.loss > result.loss[one]:
        changed["loss"] = _put(result.loss, one, found.loss)
        for part in ("adversarial", "stored", "delta"):
            theirs = getattr(found, part)
            changed[part] = {name: _put(whole, one, theirs[name]) for name, whole in getattr(result, part).items()}
    return replace(result, trace=trace, cancelled=found.cancelled, **changed)


def _part(tensors: Tensors, rows: slice) -> Tensors:
    return {name: values[rows] for name, values in tensors.items()}


def _put(whole: Tensor, rows: slice, part: Tensor) -> Tensor:
    changed = whole.clone()
    changed[rows] = part
    return changed


def _widen(inputs: Tensors) -> Tensors:
    return {name: values.to(torch.float64) for name, values in inputs.items()}
