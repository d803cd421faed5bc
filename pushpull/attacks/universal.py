"""Universal perturbations: one noise fitted on many clips, for clips that it has never seen.

The search is that of Shafahi et al. 2020, "Universal adversarial training": ascent on the mean objective of random
batches, a per-frame cap so that no frame is pushed further than needed, projection onto the budget; the idea is that of
Moosavi-Dezfooli et al. 2017, "Universal adversarial perturbations". New here: sound and picture are fitted together,
each in its own budget, and every clip of a batch begins at a random point of the loop and is a random stretch of a
longer one, so that the noise does not depend on where in the loop a clip begins.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pushpull.attacks.base import Attack, register_attack
from pushpull.attacks.budget import Budget
from pushpull.attacks.check import require_number, require_whole
from pushpull.attacks.looped import LOOP, Tensors, UniversalNoise, full_budget, load_noise, placed
from pushpull.attacks.objectives import OBJECTIVES, check_logits, get_objective, logits_of, margin, won_frames
from pushpull.attacks.result import Cancelled
from pushpull.attacks.undisturbed import undisturbed
from pushpull.clip import Clip
from pushpull.files import sha256

GOALS = ("flip", "speak", "silence")
RULES = ("sign", "adam")
CROSSINGS = 8.0  # shares of eps that all steps together could move a value by, were none smaller than the first


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a universal noise is fitted.

    Args:
        goal: "flip" pushes every frame away from its label; "speak" makes every face speak; "silence" makes none.
        objective: what is maximised: a name of ``OBJECTIVES`` that needs nothing of the unattacked clip.
        cap: of the margin objective, in logits: a frame won by this much yields its effort to the others.
        steps: gradient steps, of one batch each.
        batch: clips in a batch.
        frames: of each clip of a batch, 25 a second: a stretch at random; fewer where a clip of the batch is shorter.
        rule: "sign" moves by the sign of a running mean of normalised gradients, "adam" by Adam.
        step_size: of the first step as a share of eps; it falls linearly, to a tenth at the end. 0 is 8 / steps, with
            which a value can cross its budget twice.
        momentum: of the sign rule.
        loop: samples of the sound before it begins again, at 16,000 a second.
        seed: of the start, the batches and the points of the loop.

    Raises:
        ValueError: an unknown name or a number out of range.
    """

    goal: str = "flip"
    objective: str = "margin"
    cap: float = 1.0
    steps: int = 100
    batch: int = 8
    frames: int = 25
    rule: str = "sign"
    step_size: float = 0.0
    momentum: float = 0.9
    loop: int = LOOP
    seed: int = 0

    def __post_init__(self):
        # One that compares with the unattacked clip would need it beside every batch.
        objectives = [name for name, objective in OBJECTIVES.items() if not hasattr(objective, "remember")]
        for name, known in (("goal", GOALS), ("objective", objectives), ("rule", RULES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("steps", "batch", "frames", "loop", "seed"):
            require_whole(self, name)
            least = 0 if name == "seed" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        require_number(self, "step_size", "is a share of eps, or 0 for 8 / steps,", least=0)
        require_number(self, "cap", "is a number of logits above 0", above=0)
        require_number(self, "momentum", "is a decay of at least 0", least=0)
        if self.momentum >= 1:
            raise ValueError(f"momentum is a decay below 1, got {self.momentum}")

    @property
    def maximised(self) -> Callable[..., Tensor]:
        """The objective, as ``pushpull.attacks.objectives`` describes them."""
        if self.objective == "margin":
            return functools.partial(margin, cap=self.cap)
        return get_objective(self.objective)

    def step_at(self, step: int) -> float:
        """Share of eps that step number ``step``, from 0, moves by."""
        first = self.step_size or CROSSINGS / self.steps
        return first * (1 - 0.9 * step / max(1, self.steps - 1))


@dataclass(frozen=True)
class FitStep:
    """What one step of the fit found, on its own batch and before it moved the noise.

    Args:
        step, steps: which one, from 1.
        loss: mean objective of the batch.
        won_share: share of its frames at the goal.
        zero_grad_share: per modality, share of gradient elements that are exactly zero.
    """

    step: int
    steps: int
    loss: float
    won_share: float
    zero_grad_share: dict[str, float]


def fit_universal(
    model: Callable,
    clips: Sequence[Clip],
    *,
    budgets: dict[str, Budget],
    options: FitOptions = FitOptions(),
    facts: dict | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[FitStep], bool | None] | None = None,
) -> UniversalNoise:
    """Fit one noise for all clips.

    Args:
        model: as ``Attack.run`` takes it; it is left as it was. Give it a detector's copy made for attacks.
        clips: labelled, or not: then what the model says of them counts as right. The same goes for "flip" alone; the
            other goals need no labels.
        budgets: as ``Attack.run`` takes them; a modality with eps 0 is left alone.
        options: how.
        facts: what the noise is to say of detector and data; ``options`` and what came of the fit are added.
        device: of the model.
        on_step: called after every step; returning False or raising ``Cancelled`` ends the fit, and the noise so far
            is returned.

    Returns:
        The noise, on the CPU.

    Raises:
        ValueError: no clip, no budget above 0, or outputs that do not fit the clips.
    """
    eps = {name: budgets[name].eps for name in ("audio", "video") if name in budgets and budgets[name].eps > 0}
    if not eps:
        raise ValueError("there is nothing to fit: no modality has a budget above 0")
    if len(clips) == 0:
        raise ValueError("there is nothing to fit on: no clips")
    draw = _Draw(model, clips, options, device)
    shares = _random_start(clips[0], eps, options, device)
    move = (_SignRule if options.rule == "sign" else _AdamRule)(shares, options)
    done, last, tried = 0, None, set()
    with torch.inference_mode(False), torch.enable_grad(), undisturbed(model) as settled, settled.watching():
        for step in range(options.steps):
            inputs, labels, offsets = draw(step)
            loss, won, slopes = _slopes(model, inputs, labels, offsets, shares, eps, budgets, options)
            if not np.isfinite(loss):
                raise ValueError(f"the objective is {loss} at step {step + 1}: check model and clips")
            tried |= {name for name, slope in slopes.items() if slope.any()}
            move(slopes, options.step_at(step))
            done, last = step + 1, FitStep(step + 1, options.steps, loss, won, _zeros(slopes))
            try:
                if on_step is not None and on_step(last) is False:
                    break
            except Cancelled:
                break
    if flat := sorted(set(eps) - tried):
        raise ValueError(
            f"no gradient ever reached {' and '.join(flat)}: the model does not use it, or passes no gradients"
        )
    told = {"options": asdict(options), "steps_done": done, "won_share": last.won_share, "loss": last.loss}
    return full_budget(shares, eps, {**(facts or {}), **told})


class _Draw:
    """The batch of each step: a function of seed and step alone."""

    def __init__(self, model: Callable, clips: Sequence[Clip], options: FitOptions, device):
        self.model, self.clips, self.options, self.device = model, clips, options, device
        self._said: dict[int, Tensor] = {}

    def __call__(self, step: int) -> tuple[Tensors, Tensor, Tensor]:
        """({"audio": (B, N), "video": (B, T, H, W)}, labels (B, T), points of the loop (B,))."""
        rng = np.random.default_rng([self.options.seed, step])
        size = self.options.batch
        chosen = rng.choice(len(self.clips), size=size, replace=size > len(self.clips))
        # Of one length, by the shortest of this batch: a short clip shortens the batches that it is in, not all.
        frames = min(self.options.frames, *(self.clips[index].frames for index in chosen))
        cuts, labels = [], []
        for index in map(int, chosen):
            clip = self.clips[index]
            start = int(rng.integers(clip.frames - frames + 1))
            cuts.append(clip.span(start, start + frames))
            labels.append(self._labels(index, clip)[start : start + frames])
        offsets = torch.from_numpy(rng.integers(self.options.loop, size=size)).to(self.device)
        parts = [cut.inputs(self.device) for cut in cuts]
        inputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return inputs, torch.stack(labels).to(self.device), offsets

    def _labels(self, index: int, clip: Clip) -> Tensor:
        goal = self.options.goal
        if goal != "flip":
            return torch.full((clip.frames,), int(goal == "speak"))
        if clip.labels is not None:
            return torch.from_numpy(clip.labels)
        if index not in self._said:
            with torch.no_grad():
                self._said[index] = logits_of(self.model(clip.inputs(self.device))).argmax(-1)[0].cpu()
        return self._said[index]


def _random_start(clip: Clip, eps: dict[str, float], options: FitOptions, device) -> Tensors:
    """Shares of eps, uniform in -1..1: a start at 0 has no gradient in clips that are silent."""
    generator = torch.Generator().manual_seed(options.seed)
    shapes = {"audio": (options.loop,), "video": clip.video.shape[1:]}
    return {name: (2 * torch.rand(shapes[name], generator=generator) - 1).to(device) for name in eps}


def _slopes(model, inputs, labels, offsets, shares, eps, budgets, options) -> tuple[float, float, Tensors]:
    """Mean objective of a batch, share of its frames that are won, and the slope by each share of eps."""
    leaves = {name: share.detach().requires_grad_() for name, share in shares.items()}
    moved = dict(inputs)
    for name, leaf in leaves.items():
        x = inputs[name] + eps[name] * placed(name, leaf, inputs[name].shape, offsets)
        # Straight through: a value that its range cuts off in one clip is not cut off in the next.
        moved[name] = x + (x.clamp(budgets[name].lo, budgets[name].hi) - x).detach()
    outputs = model(moved)
    logits = logits_of(outputs)
    check_logits(logits, labels)
    targeted = options.goal != "flip"
    loss = options.maximised(outputs, labels, targeted=targeted).mean()
    if not loss.requires_grad:
        raise ValueError("the model passes no gradients (torch.no_grad, detach, numpy): nothing can be fitted on it")
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    slopes = {
        name: torch.zeros_like(leaf) if slope is None else slope.nan_to_num(0, posinf=0, neginf=0)
        for (name, leaf), slope in zip(leaves.items(), found, strict=True)
    }
    won = won_frames(logits.detach(), labels, targeted=targeted)
    return loss.item(), won.float().mean().item(), slopes


def _zeros(slopes: Tensors) -> dict[str, float]:
    return {name: (slope == 0).float().mean().item() for name, slope in slopes.items()}


class _SignRule:
    """Steps by the sign of a running mean of gradients, each divided by its mean absolute value, as in MIM."""

    def __init__(self, shares: Tensors, options: FitOptions):
        self.shares, self.momentum = shares, options.momentum
        self.mean = {name: torch.zeros_like(share) for name, share in shares.items()}

    def __call__(self, slopes: Tensors, size: float) -> None:
        for name, slope in slopes.items():
            self.mean[name].mul_(self.momentum).add_(slope / slope.abs().mean().clamp(min=1e-30))
            self.shares[name].add_(size * self.mean[name].sign()).clamp_(-1, 1)


class _AdamRule:
    """Adam on shares of eps, projected after every step."""

    def __init__(self, shares: Tensors, options: FitOptions):
        self.shares = shares
        self.adam = torch.optim.Adam(list(shares.values()), lr=options.step_at(0), eps=1e-20, maximize=True)

    def __call__(self, slopes: Tensors, size: float) -> None:
        self.adam.param_groups[0]["lr"] = size
        for name, slope in slopes.items():
            self.shares[name].grad = slope
        self.adam.step()
        for share in self.shares.values():
            share.grad = None
            share.clamp_(-1, 1)


@register_attack("universal")
@dataclass(frozen=True, kw_only=True)
class Universal(Attack):
    """A universal noise out of a file, added to whatever clip comes: no gradient, no search, one evaluation.

    A budget smaller than the noise's cuts the noise off.

    Args:
        keep: "last": the attacker does not know whether it worked.
        noise: path of the file.
        sha256: of the file, so that a report repeats with the very noise; found out where it is not given.
        offset: sample of the loop at which the clip begins.

    Raises:
        ValueError: ``noise`` cannot be read, or is not the file of ``sha256``.
    """

    title: ClassVar[str] = "Universal noise, from a file"

    keep: str = "last"
    noise: str = ""
    sha256: str = ""
    offset: int = 0

    uses_gradient: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        require_whole(self, "offset")
        for name in ("noise", "sha256"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text, got {getattr(self, name)!r}")
        if self.noise and not self.sha256:
            load_noise(self.noise)
            object.__setattr__(self, "sha256", sha256(self.noise))

    def update(self, x, gradient, loss, memory, box, streams):
        noise = self.read()
        moved = dict(box.origin)
        for name in set(noise.parts) & set(moved):
            origin = moved[name]
            part = noise.parts[name].to(origin.device, origin.dtype)
            moved[name] = origin + placed(name, part, origin.shape, self.offset)
        return moved

    def read(self) -> UniversalNoise:
        """The noise.

        Raises:
            ValueError: there is no file, it is no noise, or another one than ``sha256`` says.
        """
        if not self.noise:
            raise ValueError("the attack universal needs a noise: the path of a file that pushpull.universal fit wrote")
        noise = load_noise(self.noise)
        if (found := sha256(Path(self.noise))) != self.sha256:
            raise ValueError(f"{self.noise} is another noise: its SHA-256 is {found}, not {self.sha256}")
        return noise
