"""Objectives: what an attacker maximises, one number per clip.

An objective is any callable ``objective(outputs, labels, *, mask=None, targeted=False) -> (B,)``. The attack always
*maximises* it: untargeted, ``labels`` are what the model must stop saying; targeted, what it must start saying.
``outputs`` needs ``logits_av`` (B, T, K), K >= 2; ``training_aware`` also needs ``logits_a`` and ``logits_v``. A bare
tensor of logits (B, T, K) counts as ``logits_av``. ``labels`` are (B, T) int64 in 0..K-1. Logits that do not fit raise
ValueError.

One that compares with the unattacked clip has a method ``remember(outputs, labels, *, mask) -> {name: (B, ...)}``. An
attack shows it the clean outputs once, and hands what it returned back as ``clean``, row by row.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushpull.clip import FPS

HEAD_WEIGHT = 0.4  # weight of the audio-only and the visual-only head, paper Eq. 4
MARGIN_CAP = 1.0  # log-odds; a frame pushed past it is won, and yields its share of the effort to the others

OBJECTIVES: dict[str, Callable[..., Tensor]] = {}
_TITLES: dict[str, str] = {}


def register_objective(name: str, title: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Decorator: make an objective known by ``name`` to shell, page and reports.

    Args:
        title: what people read.

    Raises:
        ValueError: the name is another objective's.
    """

    def register(objective: Callable[..., Tensor]) -> Callable[..., Tensor]:
        if OBJECTIVES.setdefault(name, objective) is not objective:
            raise ValueError(f"there is an objective {name!r} already")
        _TITLES[name] = title
        return objective

    return register


def objective_titles() -> dict[str, str]:
    """What people read for each name of ``OBJECTIVES``."""
    return {name: _TITLES.get(name, name) for name in OBJECTIVES}


def logits_of(outputs) -> Tensor:
    """The logits that inference uses: ``outputs.logits_av``, or ``outputs`` itself if it is a tensor; (B, T, K).

    Raises:
        ValueError: there are none.
    """
    logits = outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits_av", None)
    if isinstance(logits, Tensor):
        return logits
    found = f"a dict of {', '.join(map(str, outputs))}" if isinstance(outputs, dict) else f"a {type(outputs).__name__}"
    raise ValueError(
        f"the model gave {found}; it must return logits (B, T, K) or an object whose logits_av they are: wrap it in a "
        "function that does"
    )


def check_logits(logits: Tensor, labels: Tensor, name: str = "logits_av") -> None:
    """Refuse logits that are not one number per class for every label.

    Args:
        logits: (B, T, K) floating point, K >= 2.
        labels: (B, T).
        name: what the message calls the logits.

    Raises:
        ValueError: another shape or type; the message says what would be right.
    """
    shape = tuple(logits.shape)
    if not logits.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {logits.dtype}: decisions have no gradient, give logits")
    if shape[:2] != tuple(labels.shape) or logits.ndim not in (2, 3):
        raise ValueError(
            f"{name} are {shape} for labels of {tuple(labels.shape)}; (B, T, K) and (B, T) belong together"
        )
    if logits.ndim == 2 or shape[2] < 2:
        raise ValueError(
            f"{name} are {shape}, one number per frame; an objective compares classes and needs (B, T, 2): "
            "torch.stack([-x / 2, x / 2], -1) of log-odds x (B, T), where x = torch.logit(p) if the model gives p"
        )


def clip_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of (B, T) ``values`` over the frames of each clip that ``mask`` (B, T bool) selects, as (B,).

    A clip with no selected frame gives 0: it has nothing to attack.
    """
    if mask is None:
        return values.mean(dim=1)
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def cross_entropy(logits: Tensor, labels: Tensor, name: str = "logits_av") -> Tensor:
    """Per-frame cross entropy in nats: (B, T, K), (B, T) -> (B, T)."""
    check_logits(logits, labels, name)
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    return -logits.log_softmax(dim=-1).gather(-1, labels[..., None])[..., 0]


def won_frames(logits: Tensor, labels: Tensor, *, targeted: bool) -> Tensor:
    """Frames where the decision is no longer the label, or is the target: (B, T, K), (B, T) -> (B, T) bool."""
    decided = logits.argmax(dim=-1)
    return decided == labels if targeted else decided != labels


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label minus that of the likeliest other class: (B, T, K), (B, T) -> (B, T)."""
    check_logits(logits, labels)
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    own = logits.gather(-1, labels[..., None])[..., 0]
    is_own = torch.nn.functional.one_hot(labels, logits.shape[-1]).bool()
    return own - logits.masked_fill(is_own, -torch.inf).amax(dim=-1)


@register_objective("training_aware", "training-aware (all heads)")
def training_aware(outputs, labels: Tensor, *, mask: Tensor | None = None, targeted: bool = False) -> Tensor:
    """CE_av + 0.4 CE_a + 0.4 CE_v (paper Eq. 4), mean over the masked frames: (B,).

    Raises:
        ValueError: the model has no audio-only or visual-only head.
    """
    heads = {name: getattr(outputs, name, None) for name in ("logits_a", "logits_v")}
    if any(head is None for head in heads.values()):
        raise ValueError(
            "the training_aware objective needs the outputs logits_a and logits_v, which this model does not give; "
            "use inference_aware or margin"
        )
    loss = cross_entropy(logits_of(outputs), labels)
    for name, head in heads.items():
        loss = loss + HEAD_WEIGHT * cross_entropy(head, labels, name)
    loss = clip_mean(loss, mask)
    return -loss if targeted else loss


@register_objective("inference_aware", "inference-aware (final head)")
def inference_aware(outputs, labels: Tensor, *, mask: Tensor | None = None, targeted: bool = False) -> Tensor:
    """Cross entropy of the head that inference uses (paper Eq. 3), mean over the masked frames: (B,)."""
    loss = clip_mean(cross_entropy(logits_of(outputs), labels), mask)
    return -loss if targeted else loss


@register_objective("margin", "margin (no saturation)")
def margin(
    outputs, labels: Tensor, *, mask: Tensor | None = None, targeted: bool = False, cap: float = MARGIN_CAP
) -> Tensor:
    """Logit of the wanted class minus the other's, clipped from above at ``cap`` per frame, mean per clip: (B,).

    Untargeted, the wanted class is the likeliest one that is not the label; targeted, it is the label. Unlike cross
    entropy its gradient does not vanish where softmax saturates: only frames already won by ``cap`` drop out.
    """
    odds = log_odds(logits_of(outputs), labels)
    return clip_mean((odds if targeted else -odds).clamp(max=cap), mask)


@register_objective("ce_weighted", "weighted (frames not yet wrong)")
def ce_weighted(outputs, labels: Tensor, *, mask: Tensor | None = None, targeted: bool = False) -> Tensor:
    """Cross entropy of the final head, with weight on the frames that are not yet won only; mean per clip: (B,).

    A frame that is won has no gradient, so that no budget is spent on it, and counts as much as one on the brink of it:
    log K nats, with a target -log 2. Hence the best iterate is the one that wins most. A frame that falls back counts
    again.
    """
    logits = logits_of(outputs)
    loss = cross_entropy(logits, labels)
    brink = -math.log(2) if targeted else math.log(logits.shape[-1])
    won = won_frames(logits, labels, targeted=targeted)
    return clip_mean(torch.where(won, brink, -loss if targeted else loss), mask)


@dataclass(frozen=True)
class ScaledCrossEntropy:
    """Cross entropy of the final head's logits after division by one number per clip; mean per clip: (B,).

    The number is the mean |log-odds| of the clip's frames before the attack, a constant: logits x 100 are attacked as
    if they had never been multiplied, whereas their own cross entropy has no gradient left. (The difference-of-logits
    ratio of Croce & Hein 2020 and MIFPE of Yu & Xu 2023 divide each decision by its own; of two classes, and at each
    iterate anew, nothing would be left to maximise.)
    """

    def remember(self, outputs, labels: Tensor, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        """The scale of each unattacked clip: {"scale": (B,)}."""
        scale = clip_mean(log_odds(logits_of(outputs), labels).abs(), mask).detach()
        return {"scale": torch.where(scale > 0, scale, torch.ones_like(scale))}

    def __call__(
        self,
        outputs,
        labels: Tensor,
        *,
        mask: Tensor | None = None,
        targeted: bool = False,
        clean: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Without ``clean`` the scale is that of ``outputs``, as a constant."""
        scale = (self.remember(outputs, labels, mask=mask) if clean is None else clean)["scale"]
        return inference_aware(logits_of(outputs) / scale[:, None, None], labels, mask=mask, targeted=targeted)


ce_scaled = register_objective("ce_scaled", "scaled (no saturation)")(ScaledCrossEntropy())


def get_objective(objective: str | Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The callable behind a name of ``OBJECTIVES``; a callable is returned as it is.

    Raises:
        ValueError: no objective has that name.
    """
    if callable(objective):
        return objective
    if not isinstance(objective, str) or objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {objective!r}; known are {', '.join(OBJECTIVES)}")
    return OBJECTIVES[objective]


def span_targets(
    labels: Tensor, start: float, stop: float, *, speaking: bool, hold: bool = False
) -> tuple[Tensor, Tensor]:
    """Targets and mask for "make this face speak (or fall silent) from ``start`` to ``stop``".

    Args:
        labels: (B, T) int64, what the frames outside the span are.
        start, stop: seconds from the start of the clip; every frame whose first instant lies in [start, stop) counts.
        speaking: the target inside the span.
        hold: True asks the attack to keep ``labels`` outside the span; False leaves those frames out of the loss.

    Returns:
        (targets, mask): (B, T) int64 and (B, T) bool, for ``attack.run(..., targets, mask=mask, targeted=True)``.

    Raises:
        ValueError: the span holds no frame of the clip.
    """
    frames = labels.shape[1]
    instants = torch.arange(frames, device=labels.device) / FPS
    # Half a sample of slack: 1.2 s is frame 30 although 30 / 25 is not 1.2 in float32.
    inside = (instants >= start - 1e-5) & (instants < stop - 1e-5)
    if not inside.any():
        raise ValueError(f"the span {start:g}-{stop:g} s holds no frame of a clip of {frames / FPS:g} s")
    inside = inside.expand_as(labels)
    targets = torch.where(inside, torch.full_like(labels, int(speaking)), labels)
    return targets, torch.ones_like(inside) if hold else inside.clone()
