"""What the tests of attacks share: toy models whose optima are known, inputs at both ends of their range."""

import functools
import math
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import nn

from pushpull.attacks import APGD, BIM, FGSM, MIM, PGD, Noise, Square, paper_budget
from pushpull.attacks.objectives import margin

FRAMES = 4
UNCAPPED = functools.partial(margin, cap=math.inf)  # never won: its optimum is a corner of the box
AUDIO = (24,)
VIDEO = (FRAMES, 3, 3)


class Outputs(NamedTuple):
    logits_av: torch.Tensor
    logits_a: torch.Tensor
    logits_v: torch.Tensor


class Linear(nn.Module):
    """Per-frame logit margin = <w_a, audio> + <w_v, video> + bias; the optimum of any budget is sign(w) eps."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.audio = nn.Parameter(torch.randn(AUDIO[0], FRAMES, generator=generator))
        self.video = nn.Parameter(torch.randn(FRAMES * 9, FRAMES, generator=generator) / 255)
        self.scale = scale

    def encode_video(self, video):
        return video.flatten(1) @ self.video

    def head(self, margin):
        return torch.stack([-margin / 2, margin / 2], -1)

    def fuse(self, a, v):
        return Outputs(*(self.scale * self.head(margin) for margin in (a + v, a, v)))

    def forward(self, inputs):
        return self.fuse(inputs["audio"] @ self.audio, self.encode_video(inputs["video"]))


class Curved(Linear):
    """The same with a batch-norm, a dropout and a saturating non-linearity: training mode would change its output."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(FRAMES)
        self.dropout = nn.Dropout(0.5)

    def fuse(self, a, v):
        return super().fuse(*(3 * torch.tanh(self.dropout(self.norm(x))) for x in (a, v)))


class Fixing(Linear):
    """Counts how often each encoder runs."""

    def __init__(self):
        super().__init__()
        self.calls = {"audio": 0, "video": 0}

    def encode(self, inputs):
        for name in inputs:
            self.calls[name] += 1
        both = {"audio": lambda x: x @ self.audio, "video": self.encode_video}
        return {name: both[name](x) for name, x in inputs.items()}

    def forward(self, inputs):
        encoded = self.encode(inputs)
        return self.fuse(encoded["audio"], encoded["video"])

    def fix(self, inputs):
        fixed = self.encode(inputs)

        def call(rest):
            encoded = {**fixed, **self.encode(rest)}
            return self.fuse(*torch.broadcast_tensors(encoded["audio"], encoded["video"]))

        return call


MODELS = {"linear": Linear, "curved": Curved, "fixing": Fixing}
FAMILY = {
    "fgsm": FGSM(),
    "bim": BIM(steps=5),
    "mim": MIM(steps=5),
    "pgd": PGD(steps=4, restarts=3),
    "apgd": APGD(steps=5, restarts=2),
    "noise-sign": Noise(steps=4),
    "noise-uniform": Noise(steps=4, kind="uniform"),
    "bim-last": BIM(steps=5, keep="last"),
    "pgd-stop": PGD(steps=4, restarts=3, early_stop=True),
    "bim-grid": BIM(steps=5, grid=True),
    "pgd-grid": PGD(steps=4, restarts=2, grid=True),
    "apgd-stop-grid": APGD(steps=6, grid=True, early_stop=True),
    "square": Square(steps=6, restarts=2),
    "square-stop-grid": Square(steps=6, grid=True, early_stop=True),
}
BUDGETS = {
    "both": paper_budget(20),
    "audio": paper_budget(20, "audio"),
    "video": paper_budget(20, "video"),
    "none": paper_budget(0),
}


def batch(size, seed=0, dtype=torch.float32):
    """Storable inputs that touch both ends of their range, and labels."""
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randint(-32768, 32768, (size, *AUDIO), generator=generator) / 32768
    video = torch.randint(0, 256, (size, *VIDEO), generator=generator).to(dtype)
    audio[:, :2] = torch.tensor([-1.0, 32767 / 32768])
    video[:, 0, 0, :2] = torch.tensor([0.0, 255.0], dtype=dtype)
    labels = torch.randint(0, 2, (size, FRAMES), generator=generator)
    return {"audio": audio.to(dtype), "video": video}, labels


def row(inputs, labels, i):
    return {name: x[i : i + 1] for name, x in inputs.items()}, labels[i : i + 1]


def assert_within(delta_of, x, budget):
    """Checked in exact arithmetic and in the arithmetic of the tensors."""
    eps = Fraction(budget.eps)
    for u, v in zip(delta_of.flatten().tolist(), x.flatten().tolist(), strict=True):
        assert abs(Fraction(u) - Fraction(v)) <= eps
    assert ((delta_of - x).abs().double() <= budget.eps).all()
    assert delta_of.min() >= budget.lo and delta_of.max() <= budget.hi


def attack_batch(attack, model, *, objective="margin", **options):
    """Run ``attack`` on a batch of two; options are those of ``Attack.run``, and ``labels``."""
    inputs, labels = batch(2)
    labels = options.pop("labels", labels)
    return attack.run(model, inputs, labels, **{"budgets": paper_budget(10)} | options, objective=objective)
