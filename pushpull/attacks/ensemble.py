"""Several detectors under one attack: what fools all of them may fool another (Liu et al. 2017, Dong et al. 2018)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushpull.attacks.objectives import get_objective, logits_of

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class EnsembleOutputs:
    """What several detectors say of the same clips.

    Args:
        members: the outputs of each.
    """

    members: tuple

    @property
    def logits_av(self) -> Tensor:
        """(B, T, K), the mean over the detectors."""
        return torch.stack([logits_of(outputs) for outputs in self.members]).mean(dim=0)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several detectors as one model, for ``Attack.run``.

    A frame is won where every member is: ``flipped_ever``, ``won_share`` and ``early_stop`` count such frames. An
    objective by itself sees the mean of the members' logits; ``summed`` makes one that is summed over the members, each
    with its own heads and embeddings. All members get the same pixels: that the face is cropped as each of them wants
    it is the caller's affair, and so is ``attackable`` for each.

    Args:
        models: what ``Attack.run`` takes, at least one, all on the device of the inputs.

    Raises:
        ValueError: there is none, or one of them cannot be called.
    """

    models: Sequence[Callable]

    def __post_init__(self):
        if not self.models or not all(callable(model) for model in self.models):
            raise ValueError(f"an ensemble is of one or more models that can be called, got {self.models!r}")

    def __call__(self, inputs: Tensors) -> EnsembleOutputs:
        return EnsembleOutputs(tuple(model(_copy(inputs)) for model in self.models))

    def fix(self, frozen: Tensors) -> Callable[[Tensors], EnsembleOutputs]:
        """The same for inputs that ``frozen`` lacks; members that can encode a frozen modality once do so."""
        parts = [
            model.fix(_copy(frozen)) if hasattr(model, "fix") else _with_frozen(model, frozen) for model in self.models
        ]
        return lambda inputs: EnsembleOutputs(tuple(part(_copy(inputs)) for part in parts))


def summed(objective: str | Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An objective that is the sum of ``objective`` over the members of an ``Ensemble``: (B,).

    Raises:
        ValueError: no objective has that name. The objective itself raises it where the model is no ensemble, or where
            a member lacks what it needs.
    """
    inner = get_objective(objective)
    return (_RememberingSum if hasattr(inner, "remember") else _Sum)(inner)


@dataclass(frozen=True)
class _Sum:
    objective: Callable[..., Tensor]

    def __call__(self, outputs, labels: Tensor, *, clean: Tensors | None = None, **options) -> Tensor:
        total = 0.0
        for index, member in enumerate(_members(outputs)):
            if clean is not None:
                mark = f"{index}/"
                options["clean"] = {key[len(mark) :]: part for key, part in clean.items() if key.startswith(mark)}
            total = total + self.objective(member, labels.clone(), **options)
        return total


class _RememberingSum(_Sum):
    def remember(self, outputs, labels: Tensor, *, mask: Tensor | None = None) -> Tensors:
        """What the objective remembers of each member."""
        kept = [self.objective.remember(member, labels, mask=mask) for member in _members(outputs)]
        return {f"{index}/{key}": part for index, parts in enumerate(kept) for key, part in parts.items()}


def _members(outputs) -> tuple:
    if not isinstance(outputs, EnsembleOutputs):
        raise ValueError(f"a summed objective is for an Ensemble, but the model gave a {type(outputs).__name__}")
    return outputs.members


def _with_frozen(model: Callable, frozen: Tensors) -> Callable:
    def call(inputs: Tensors):
        rows = len(next(iter(inputs.values())))
        return model({**{name: x.expand(rows, *x.shape[1:]).clone() for name, x in frozen.items()}, **inputs})

    return call


def _copy(inputs: Tensors) -> Tensors:
    """A model may write to what it is given; the next one must not see that."""
    return {name: values.clone() for name, values in inputs.items()}
