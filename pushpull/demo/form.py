"""What a visitor filled in, and the spec that it amounts to."""

import math
import re
from dataclasses import dataclass

from pushpull.attacks import ATTACKS
from pushpull.demo.intake import Subject
from pushpull.runs.spec import RunSpec, Target, attack_parameters, make_attack

ATTACK_WORDS = {
    "pgd": "PGD, random starts",
    "bim": "BIM, iterative",
    "mim": "MIM, with momentum",
    "fgsm": "FGSM, one step",
    "noise": "Random noise (no gradient)",
}
MODALITY_NAMES = {"both": "sound and picture", "audio": "sound only", "video": "picture only"}
TARGET_NAMES = {
    "untargeted": "Wrong everywhere",
    "hide": "Hide this speaker",
    "speak": "Make this face speak",
    "span": "A span only",
}
AUTOMATIC = "automatic"
OBJECTIVE_NAMES = {
    AUTOMATIC: "all heads that the model has",
    "training_aware": "training-aware (three heads)",
    "inference_aware": "inference-aware (final head)",
    "margin": "margin (no saturation)",
}


def attack_names() -> dict[str, str]:
    """Every registered attack and what the page calls it: ours in words, others by name and the head of their doc."""
    others = {name: f"{name}: {_head(attack.__doc__)}" for name, attack in ATTACKS.items() if name not in ATTACK_WORDS}
    return {name: words for name, words in ATTACK_WORDS.items() if name in ATTACKS} | others


def _head(doc: str | None) -> str:
    """The first words of a docstring, without the sources in brackets."""
    first = (doc or "").strip().split("\n", 1)[0]
    return re.split(r"[.:(]", first, maxsplit=1)[0].strip() or "registered"


@dataclass(frozen=True)
class Form:
    """The form's values, in the order of its components and of the API's parameters.

    Args:
        model: name of a checkpoint.
        attack: a name of ``ATTACKS``.
        modality: "both", "audio" or "video".
        eps_av: joint budget, 0..40 in the paper's units.
        target: "untargeted", "hide", "speak" or "span".
        span_start, span_stop: seconds from the face's first frame; for "span" only.
        span_speaking: whether the face is to speak in the span.
        steps, restarts: for attacks that have them.
        objective: a name of ``OBJECTIVES``, or "automatic": training-aware where the model has the heads for it.
        seed: of random starts.
        grid: stay on storable values throughout.
    """

    model: str
    attack: str = "pgd"
    modality: str = "both"
    eps_av: float = 5.0
    target: str = "untargeted"
    span_start: float = 0.0
    span_stop: float = 1.0
    span_speaking: bool = False
    steps: int = 10
    restarts: int = 2
    objective: str = AUTOMATIC
    seed: int = 0
    grid: bool = False

    def spec(self, subject: Subject, face: int) -> RunSpec:
        """The attack on a face (from 0) of a clip that these values ask for.

        Raises:
            ValueError: a value is missing or out of range; the message names it.
        """
        for name in ("eps_av", "steps", "restarts", "seed"):
            if getattr(self, name) is None:
                raise ValueError(f"{name} is empty: enter a number")
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number, got {getattr(self, name)}")
        wanted = {"steps": int(self.steps), "restarts": int(self.restarts), "grid": bool(self.grid)}
        known = attack_parameters(self.attack) if self.attack in ATTACKS else {}
        span = {}
        if self.target == "span":
            span = {"start": self.span_start, "stop": self.span_stop, "speaking": bool(self.span_speaking)}
        return RunSpec(
            model=self.model,
            face=face + 1,
            start=subject.start,
            seconds=subject.length,
            attack=make_attack(self.attack, **{name: value for name, value in wanted.items() if name in known}),
            modality=self.modality,
            eps_av=self.eps_av,
            objective=None if self.objective == AUTOMATIC else self.objective,
            target=Target(kind=self.target, **span),
            seed=int(self.seed),
        )
