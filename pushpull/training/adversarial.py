"""Adversarial training: a set of adversarial examples that is injected into the training set (paper, section 4.3)."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pushpull.attacks import ATTACKS, Attack, paper_budget
from pushpull.attacks.objectives import clip_mean, cross_entropy
from pushpull.data.augment import Augmentation, augment_audio, augment_video
from pushpull.data.batches import Batch
from pushpull.detectors import Outputs
from pushpull.training.networks import TALKNET, Network, architecture_of
from pushpull.training.saving import save_tensors

ADVERSARIAL = ("bim", "mim", "pgd")  # the paper's attacks
ADVERSARIAL_DATA = ("set", "batch")  # made ahead, or of every batch as it comes


def paper_attack(name: str, *, steps: int, restarts: int) -> Attack:
    """One of ADVERSARIAL; ``restarts`` are PGD's."""
    return ATTACKS[name](steps=steps, **({"restarts": restarts} if name == "pgd" else {}))


def own_objective(network: Network, visual_weight: float) -> str | Callable[..., Tensor]:
    """The training-aware objective of a network: the cross-entropies that it is trained on, of the heads it has."""
    if architecture_of(network) == TALKNET:
        return "training_aware"
    return partial(two_heads, visual_weight=visual_weight)


def two_heads(
    outputs: Outputs, labels: Tensor, *, mask: Tensor | None = None, targeted: bool = False, visual_weight: float
) -> Tensor:
    """CE_av + visual_weight CE_v, mean over the masked frames: (B,); an objective as those of pushpull.attacks."""
    seen = cross_entropy(outputs.logits_v, labels, "logits_v")
    loss = clip_mean(cross_entropy(outputs.logits_av, labels) + visual_weight * seen, mask)
    return -loss if targeted else loss


@dataclass(frozen=True, kw_only=True)
class Injection:
    """Adversarial examples, how they are made and how many join each batch; only with --adversarial.

    They are made of augmented training examples of every type, with the training-aware objective and both modalities,
    once the warm-up is over.

    Args:
        share: adversarial examples added to a batch, per example that is in it. This, the frames, the source and how
            often are of a set made ahead, see adversarial_data.
        frames: size of the set, in video frames.
        eps_av: budget; audio moves by up to 1e-4 eps_av of full scale, video by 0.1 eps_av grey levels.
        attack_steps: gradient steps.
        restarts: random starts of pgd.
        source: the checkpoint (name or path) that the first set fools; "" for the model in training.
        every: epochs after which the set is made anew, against the model in training; 0 for never, as in the paper.
        rise: share of the training, from the end of the warm-up on, over which the budget of attacks on every batch
            rises from 0 to eps_av in a straight line; 0: the whole budget at once. For adversarial_data "batch" alone.

    Raises:
        ValueError: a number is out of range.
    """

    share: float = 0.5
    frames: int = 20_000
    eps_av: float = 5.0
    attack_steps: int = 10
    restarts: int = 3
    source: str = ""
    every: int = 0
    rise: float = 0.0

    def __post_init__(self):
        if not 0 <= self.rise <= 1:
            raise ValueError(f"injection.rise is a share of the training, 0 to 1, got {self.rise}")
        if not self.share > 0:
            raise ValueError(f"injection.share is adversarial examples per example, above 0, got {self.share}")
        if min(self.frames, self.attack_steps, self.restarts) < 1 or not 0 <= self.eps_av < math.inf or self.every < 0:
            raise ValueError("injection: frames, attack_steps and restarts are at least 1, eps_av and every at least 0")

    def attack(self, name: str) -> Attack:
        """The attack ``name`` of ADVERSARIAL."""
        return paper_attack(name, steps=self.attack_steps, restarts=self.restarts)

    def budget_at(self, step: int, first: int, steps: int) -> float:
        """eps_av of attacks on the batches of ``step``, the first of which is at ``first``, of ``steps`` in all."""
        rising = self.rise * (steps - first)
        # One is added: an attack of no budget at all is work for nothing.
        return self.eps_av * min(1.0, (step + 1 - first) / rising) if rising else self.eps_av

    def made_at(self, step: int, first: int, epoch_steps: int) -> int | None:
        """The step at whose beginning the set that ``step`` uses was made; None while there is none."""
        if step < first:
            return None
        return first if self.every == 0 else step - (step - first) % (self.every * epoch_steps)


@dataclass(frozen=True)
class AdversarialSet:
    """Adversarial examples, T frames long or shorter, and then padded with zeros.

    Args:
        audio: (K, 640 T) float32 full scale, perturbed.
        video: (K, T, 112, 112) uint8 grey levels before the attack.
        change: (K, T, 112, 112) int8, 127 of it is ``eps``: what the attack added, to 0.4 % of the budget.
        labels: (K, T) int64.
        lengths: (K,) int64, frames of each.
        eps: grey levels.
    """

    audio: Tensor
    video: Tensor
    change: Tensor
    labels: Tensor
    lengths: Tensor
    eps: float

    def draw(self, count: int, frames: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(audio, float32 video, labels) of ``count`` examples, each cut to ``frames`` at a random place.

        Where none is as long they are as long as the longest.
        """
        frames = min(frames, int(self.lengths.max()))
        long = np.flatnonzero(self.lengths.numpy() >= frames)
        chosen = rng.choice(long, size=count, replace=count > len(long))
        starts = rng.integers(self.lengths.numpy()[chosen] - frames + 1)
        samples = self.audio.shape[1] // self.labels.shape[1]
        cut = [
            (i, slice(start, start + frames), slice(start * samples, (start + frames) * samples))
            for i, start in zip(chosen, starts, strict=True)
        ]
        video = torch.stack([self.video[i, t].float() + self.change[i, t] * (self.eps / 127) for i, t, _ in cut])
        return (
            torch.stack([self.audio[i, n] for i, _, n in cut]),
            video.clamp(0, 255),
            torch.stack([self.labels[i, t] for i, t, _ in cut]),
        )

    def save(self, path: Path) -> None:
        """Write it, whole or not at all; read with :func:`load_set`."""
        save_tensors(path, vars(self))


def load_set(path: Path) -> AdversarialSet:
    """What :meth:`AdversarialSet.save` wrote."""
    return AdversarialSet(**torch.load(path, map_location="cpu", weights_only=True))


def make_set(
    victim: Callable,
    batches: Iterable[Batch],
    attack: Attack,
    *,
    eps_av: float,
    augment: Augmentation,
    objective: str | Callable[..., Tensor] = "training_aware",
    seed: Sequence[int],
    device: torch.device,
    autocast: torch.dtype | None = None,
    on_batch: Callable[[int], None] = lambda frames: None,
) -> AdversarialSet:
    """Attack every example of ``batches``.

    Args:
        victim: the model to fool, as an attack takes it.
        objective: what the attack maximises.
        seed: decides augmentation and random starts.
        autocast: in which the attack runs the victim, see :meth:`pushpull.attacks.base.Attack.run`.
        on_batch: told of the frames done after each batch; what it raises ends the work.
    """
    parts, budgets = [], paper_budget(eps_av)
    for number, batch in enumerate(batches):
        states = np.random.SeedSequence([*seed, number]).generate_state(2)
        generator = torch.Generator().manual_seed(int(states[0]))
        # Rounded: the set is kept as 8-bit pictures and what was added to them.
        video = augment_video(batch.video, augment, generator).round()
        audio = augment_audio(batch.audio, batch.other, augment, generator)
        inputs = {"audio": audio.to(device), "video": video.to(device)}
        labels, start = batch.labels.to(device), int(states[1])
        found = attack.run(victim, inputs, labels, budgets=budgets, objective=objective, seed=start, autocast=autocast)
        eps = budgets["video"].eps
        change = (found.delta["video"] / eps * 127).round() if eps else torch.zeros_like(video)
        parts.append((found.adversarial["audio"].cpu(), video.byte(), change.cpu().to(torch.int8), batch.labels))
        on_batch(batch.labels.numel())
    lengths = torch.tensor([labels.shape[1] for *_, labels in parts for _ in labels])
    return AdversarialSet(*map(_padded, zip(*parts, strict=True)), lengths=lengths, eps=budgets["video"].eps)


def _padded(tensors: Sequence[Tensor]) -> Tensor:
    """(B, T, ...) tensors below each other, zeros behind the shorter ones."""
    longest = max(x.shape[1] for x in tensors)
    padded = [x.new_zeros(len(x), longest, *x.shape[2:]) for x in tensors]
    for whole, x in zip(padded, tensors, strict=True):
        whole[:, : x.shape[1]] = x
    return torch.cat(padded)
