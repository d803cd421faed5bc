"""Victim: the model under attack as the loop sees it, a function from inputs to loss, won frames and gradients."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pushpull.attacks.objectives import logits_of

Tensors = dict[str, Tensor]


@dataclass(eq=False)
class Victim:
    """A model with its frozen inputs, labels and objective, for a batch of rows.

    Args:
        model: takes {name: (rows, ...)}, returns outputs with ``logits_av``, or logits.
        frozen: inputs that no row changes; one entry per row, or one for all.
        labels, mask: (rows, T).
        objective: see ``pushpull.attacks.objectives``.
        targeted: whether ``labels`` are targets.
        autocast: dtype of mixed precision, or None.
    """

    model: Callable
    frozen: Tensors
    labels: Tensor
    mask: Tensor
    objective: Callable
    targeted: bool
    autocast: torch.dtype | None
    _fixed: Callable | None = field(default=None, init=False)

    def rows(self, index: Tensor) -> "Victim":
        """The same model for some of the rows, in the order of ``index``; a row may appear several times."""
        alone = all(len(values) == 1 for values in self.frozen.values())
        frozen = self.frozen if alone else {name: values[index] for name, values in self.frozen.items()}
        other = replace(self, frozen=frozen, labels=self.labels[index], mask=self.mask[index])
        if alone:  # all restarts of a single clip share its encoding
            other._fixed = self._fixed
        return other

    def _precision(self):
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.labels.device.type, dtype=self.autocast)

    def _call(self, x: Tensors):
        if not self.frozen or not hasattr(self.model, "fix"):
            rows = len(self.labels)
            frozen = {name: values.expand(rows, *values.shape[1:]) for name, values in self.frozen.items()}
            return self.model({**frozen, **x})
        if self._fixed is None:
            with torch.no_grad():
                self._fixed = self.model.fix(self.frozen)
        return self._fixed(x)

    def evaluate(self, x: Tensors, *, gradient: bool) -> tuple[Tensor, Tensor, Tensors]:
        """Loss (rows,), won frames (rows, T) bool and, if asked for, the gradient of each row's loss by its inputs.

        One backward pass gives the gradients of all modalities. Gradient elements that are not finite become 0: they
        carry no direction, and show up in the trace as zero gradients.
        """
        with torch.set_grad_enabled(gradient), self._precision():
            leaves = {name: values.detach().requires_grad_(gradient) for name, values in x.items()}
            outputs = self._call(leaves)
            loss = self.objective(outputs, self.labels, mask=self.mask, targeted=self.targeted)
        predicted = logits_of(outputs).detach().argmax(dim=-1)
        won = (predicted == self.labels if self.targeted else predicted != self.labels) & self.mask
        found = {}
        if gradient:
            # The sum keeps rows independent: no row's gradient depends on how many others there are.
            total = loss.sum()
            slopes = [None] * len(leaves)
            if total.requires_grad:
                slopes = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
            for (name, values), slope in zip(leaves.items(), slopes, strict=True):
                found[name] = torch.zeros_like(values) if slope is None else slope.nan_to_num(0, posinf=0, neginf=0)
        return loss.detach(), won, found
