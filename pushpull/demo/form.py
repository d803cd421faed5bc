"""What a visitor filled in, and the spec that it amounts to."""

import math
from dataclasses import dataclass

from pushpull.attacks import ATTACKS, attack_titles, objective_titles
from pushpull.demo.intake import Subject
from pushpull.runs.spec import RunSpec, Target, attack_parameters, make_attack

QUERIES = 50  # of the Square attack in place of a gradient step
MODALITY_NAMES = {"both": "sound and picture", "audio": "sound only", "video": "picture only"}
TARGET_NAMES = {
    "untargeted": "Wrong everywhere",
    "hide": "Hide this speaker",
    "speak": "Make this face speak",
    "span": "A span only",
}
AUTOMATIC = "automatic"


def attack_names() -> dict[str, str]:
    """The registered attacks that need nothing but what the form asks for, and what people read; PGD comes first."""
    titles = {name: title for name, title in attack_titles().items() if "noise" not in attack_parameters(name)}
    return {"pgd": titles["pgd"]} | titles


def objective_names() -> dict[str, str]:
    """The registered objectives, and what people read; first the one that suits every detector."""
    return {AUTOMATIC: "all heads that the model has"} | objective_titles()


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
        steps, restarts: for attacks that have them; Square makes ``QUERIES`` queries in place of each step.
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
        steps = int(self.steps) * (QUERIES if self.attack == "square" else 1)
        wanted = {"steps": steps, "restarts": int(self.restarts), "grid": bool(self.grid)}
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
