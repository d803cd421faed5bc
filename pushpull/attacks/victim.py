"""Victim: the model under attack as the loop sees it, a function from inputs to loss, won frames and gradients."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pushpull.attacks.ensemble import EnsembleOutputs
from pushpull.attacks.objectives import check_logits, logits_of, won_frames
from pushpull.attacks.undisturbed import Settled

Tensors = dict[str, Tensor]
ENOUGH = 16  # logits of two classes, of which log-odds are not all in 0..1 by chance


@dataclass(eq=False)
class Victim:
    """A model with its frozen inputs, labels and objective, for a batch of rows.

    Model and objective get copies of everything that they could write to.

    Args:
        model: takes {name: (rows, ...)}, returns outputs with ``logits_av``, or logits.
        frozen: inputs that no row changes; one entry per row, or one for all.
        labels, mask: (rows, T).
        objective: see ``pushpull.attacks.objectives``.
        targeted: whether ``labels`` are targets.
        autocast: dtype of mixed precision, or None.
        settled: keeps modules that show up in a call in evaluation mode.
        highest: the highest label.
        clean: what the objective remembers of the unattacked clips, one entry per row; None if it remembers nothing.
    """

    model: Callable
    frozen: Tensors
    labels: Tensor
    mask: Tensor
    objective: Callable
    targeted: bool
    autocast: torch.dtype | None
    settled: Settled
    highest: int
    clean: Tensors | None = None
    _fixed: Callable | None = field(default=None, init=False)
    _seen: bool = field(default=False, init=False)

    def rows(self, index: Tensor) -> "Victim":
        """The same model for some of the rows, in the order of ``index``; a row may appear several times."""
        alone = all(len(values) == 1 for values in self.frozen.values())
        frozen = self.frozen if alone else {name: values[index] for name, values in self.frozen.items()}
        clean = None if self.clean is None else {name: values[index] for name, values in self.clean.items()}
        other = replace(self, frozen=frozen, labels=self.labels[index], mask=self.mask[index], clean=clean)
        other._seen = self._seen
        if alone:  # all restarts of a single clip share its encoding
            other._fixed = self._fixed
        return other

    def _precision(self):
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.labels.device.type, dtype=self.autocast)

    def _call(self, x: Tensors):
        x = {name: values.clone() for name, values in x.items()}
        if not self.frozen or not hasattr(self.model, "fix"):
            rows = len(self.labels)
            frozen = {name: values.expand(rows, *values.shape[1:]).clone() for name, values in self.frozen.items()}
            return self.model({**frozen, **x})
        if self._fixed is None:
            with torch.no_grad():
                self._fixed = self.model.fix({name: values.clone() for name, values in self.frozen.items()})
        return self._fixed(x)

    def _decide(self, outputs) -> tuple[Tensor, Tensor]:
        """Won frames (rows, T) bool, of an ensemble by all its members, and each member's class, (rows, T, members);
        refuses outputs that do not fit the labels."""
        if isinstance(outputs, EnsembleOutputs):
            won, decided = zip(*(self._decide(member) for member in outputs.members), strict=True)
            return torch.stack(won).all(dim=0), torch.cat(decided, dim=-1)
        logits = logits_of(outputs).detach()
        check_logits(logits, self.labels)
        if self.highest >= logits.shape[-1]:
            raise ValueError(f"labels go up to {self.highest}, but the model has {logits.shape[-1]} classes, from 0")
        if not self._seen:
            _warn_of_probabilities(logits)
            self._seen = True
        won = won_frames(logits, self.labels, targeted=self.targeted) & self.mask & ~logits.isnan().any(dim=-1)
        return won, logits.argmax(dim=-1, keepdim=True)

    def remember(self, x: Tensors) -> None:
        """Let an objective that compares with the unattacked clips, ``x``, look at them once."""
        if not hasattr(self.objective, "remember"):
            return
        with self.settled.watching(), torch.no_grad(), self._precision():
            outputs = self._call(x)
            self._decide(outputs)
            clean = self.objective.remember(outputs, self.labels.clone(), mask=self.mask.clone())
        self.clean = {name: values.detach().clone() for name, values in clean.items()}

    def evaluate(self, x: Tensors, *, gradient: bool) -> tuple[Tensor, Tensor, Tensor, Tensors]:
        """Loss (rows,), won frames (rows, T) bool, what each model decides (rows, T, models) and, if asked for, the
        gradient of each row's loss by its inputs.

        One backward pass gives the gradients of all modalities. Gradient elements that are not finite become 0: they
        carry no direction, and show up in the trace as zero gradients. Frames whose logits are not numbers are not won.

        Raises:
            ValueError: logits or loss have not the shape that they must have, or labels name a class that is not there.
        """
        with self.settled.watching():
            with torch.set_grad_enabled(gradient), self._precision():
                leaves = {name: values.detach().requires_grad_(gradient) for name, values in x.items()}
                outputs = self._call(leaves)
                won, decided = self._decide(outputs)
                options = {} if self.clean is None else {"clean": self.clean}
                loss = self.objective(
                    outputs, self.labels.clone(), mask=self.mask.clone(), targeted=self.targeted, **options
                )
            if not isinstance(loss, Tensor) or loss.shape != self.labels.shape[:1] or not loss.is_floating_point():
                given = f"{tuple(loss.shape)} {loss.dtype}" if isinstance(loss, Tensor) else type(loss).__name__
                raise ValueError(f"the objective must give one number per clip, ({len(self.labels)},), got {given}")
            found = _slopes(loss, leaves) if gradient else {}
        return loss.detach(), won, decided, found


def _slopes(loss: Tensor, leaves: Tensors) -> Tensors:
    """The gradient of each row's loss by its own inputs."""
    # The sum keeps rows independent: no row's gradient depends on how many others there are.
    total = loss.sum()
    slopes = [None] * len(leaves)
    if total.requires_grad:
        slopes = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(values) if slope is None else slope.nan_to_num(0, posinf=0, neginf=0)
        for (name, values), slope in zip(leaves.items(), slopes, strict=True)
    }


def _warn_of_probabilities(logits: Tensor) -> None:
    """Probabilities pass for logits, and the gradient of their cross entropy nearly vanishes."""
    if logits.min() >= 0 and ((logits.sum(dim=-1) - 1).abs() < 1e-3).all():
        warnings.warn(
            "the model seems to give probabilities (each frame's sum to 1): attacks need logits, so leave out its "
            "softmax or sigmoid, or return torch.log of them",
            stacklevel=2,
        )
    # Log-odds x of a wrapped detector are logits [0, x].
    elif (
        logits.shape[-1] == 2
        and logits.numel() >= ENOUGH
        and not logits[..., 0].any()
        and logits.min() >= 0
        and 0 < logits.max() <= 1
    ):
        warnings.warn(
            "the model's log-odds all lie in 0..1, where each is a decision for speaking: if they are "
            "probabilities, return torch.logit(p, eps=1e-6) of them",
            stacklevel=2,
        )
