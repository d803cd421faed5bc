"""Detectors that normalise by the statistics of the clip at hand as well as by those of their training.

A network's batch normalisations hold the means and variances of the footage that it was trained on; another camera,
room or person has others. Mixing in the clip's own needs no label and no training (Schneider et al. 2020, "Improving
robustness against common corruptions by covariate shift adaptation"; You et al. 2021, "Test-time batch statistics
calibration for covariate shift"). What it gives, and what attacks make of it, is in docs/results/README.md.
"""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pushpull.detectors.base import Detector, Outputs, describe
from pushpull.detectors.windowed import as_many

SUFFIX = "+clip-norm="


class ClipNorm(nn.Module):
    """A batch normalisation in evaluation mode, by a mixture of its own statistics and those of what it is given.

    Args:
        norm: whose statistics, scale and shift these are.
        share: of the clip's statistics in the mixture, 0..1.
    """

    def __init__(self, norm: _BatchNorm, share: float):
        super().__init__()
        self.share, self.eps = share, norm.eps
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, getattr(norm, name).detach().clone())
        ones = torch.ones_like(self.running_var)
        self.weight = nn.Parameter((ones if norm.weight is None else norm.weight).detach().clone())
        self.bias = nn.Parameter((0 * ones if norm.bias is None else norm.bias).detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) of one clip, the same shape; gradients flow through the clip's statistics too."""
        seen = x.to(self.running_var.dtype)  # statistics of half-precision activations would be rounded
        var, mean = torch.var_mean(seen, [axis for axis in range(x.ndim) if axis != 1], unbiased=False)
        mean = torch.lerp(self.running_mean, mean, self.share)
        scale = self.weight * torch.lerp(self.running_var, var, self.share).add(self.eps).rsqrt()
        shape = (1, -1, *[1] * (x.ndim - 2))
        return (seen * scale.view(shape) + (self.bias - mean * scale).view(shape)).to(x.dtype)


class ClipNormed(nn.Module):
    """A detector whose normalisations are :class:`ClipNorm`; every clip of a batch is taken by itself, and whole.

    Attacks go through the clip's statistics as through everything else: what is attacked is what scores.

    Args:
        detector: with batch normalisation; it stays as it is.
        share: of the clip's own statistics, above 0, at most 1.

    Raises:
        ValueError: no such share, or no batch normalisation to change.
    """

    def __init__(self, detector: Detector, share: float):
        super().__init__()
        check_share(share)
        name, modules = describe(detector)["name"], detector.modules() if isinstance(detector, nn.Module) else ()
        if not any(isinstance(module, _BatchNorm) for module in modules):
            raise ValueError(f"{name} has no batch normalisation that {SUFFIX}... could change")
        self.detector = _with_clip_norms(copy.deepcopy(detector), share).eval()
        self.share = share
        card = dict(getattr(detector, "card", None) or {})
        # No row of the paper's Table 1 any more: the rows normalise by their training alone.
        self.card = {key: value for key, value in card.items() if key != "row"}
        self.card |= {"name": f"{name}{SUFFIX}{share:g}", "clip_norm": share}
        self.eval()

    @property
    def reference_embeddings(self) -> dict[str, Tensor]:
        """Those of the detector."""
        return getattr(self.detector, "reference_embeddings", None) or {}

    def train(self, mode: bool = True) -> "ClipNormed":
        """Stays in evaluation mode: training has statistics of its own."""
        return super().train(False)

    def forward(self, inputs: dict[str, Tensor]) -> Outputs:
        """As the detector, clip by clip.

        Raises:
            ValueError: what the detector refuses.
        """
        clips = max((len(value) for value in inputs.values() if value.ndim), default=1)
        if clips < 2:
            return self.detector(inputs)
        return Outputs.cat([self.detector(_one(inputs, number)) for number in range(clips)])

    def fast(self) -> "ClipNormed":
        """A copy made for attacks, with frozen parameters; there are no fixed statistics to fold into convolutions."""
        return copy.deepcopy(self).requires_grad_(False)

    def fix(self, inputs: dict[str, Tensor]) -> Callable[[dict[str, Tensor]], Outputs]:
        """Encode some modalities once; a detector without a ``fix`` is given all inputs at every call."""
        inner = getattr(self.detector, "fix", None)
        if inner is None or not inputs:
            return lambda others: self(as_many(inputs, others))
        fixed = [inner(_one(inputs, number)) for number in range(max(len(value) for value in inputs.values()))]

        def call(others: dict[str, Tensor]) -> Outputs:
            if not others:
                return Outputs.cat([one({}) for one in fixed])
            clips = max(len(value) for value in others.values())
            if len(fixed) not in (1, clips):
                raise ValueError(f"{len(fixed)} clips were fixed, {clips} are given")
            ones = fixed * clips if len(fixed) == 1 else fixed
            return Outputs.cat([one(_one(others, number)) for number, one in enumerate(ones)])

        return call


def check_share(share: float) -> None:
    """Raise ValueError unless it is a share that :class:`ClipNormed` takes."""
    if not (math.isfinite(share) and 0 < share <= 1):
        raise ValueError(f"the share of the clip's own statistics is above 0 and at most 1, got {share:g}")


def split_share(name: str) -> tuple[str, float | None]:
    """("talknet-lite", 0.3) of "talknet-lite+clip-norm=0.3"; None where the name asks for none.

    Raises:
        ValueError: what follows is no share.
    """
    name, asked, share = name.partition(SUFFIX)
    if not asked:
        return name, None
    try:
        value = float(share)
    except ValueError:
        raise ValueError(f"{SUFFIX}{share} is no share: write {SUFFIX}0.3") from None
    check_share(value)
    return name, value


def _with_clip_norms(module: nn.Module, share: float) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, ClipNorm(child, share))
        else:
            _with_clip_norms(child, share)
    if hasattr(module, "whole"):
        module.whole = True  # spans of a clip would have statistics of their own
    return module


def _one(inputs: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    """One clip of a batch; an input of one clip goes with all."""
    return {name: value if len(value) == 1 else value[number : number + 1] for name, value in inputs.items()}
