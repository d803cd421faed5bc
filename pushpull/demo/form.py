"""What a visitor filled in, and the spec that it amounts to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pushpull.attacks import ATTACKS, attack_titles, objective_titles
from pushpull.demo.intake import Subject
from pushpull.demo.noises import UNIVERSAL
from pushpull.media import CODECS
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
# Cross entropy may be raised on the few frames that are wrong already; the margin has nothing more to gain there.
OBJECTIVE = "margin"
NOTHING = "nothing"
SURVIVE_NAMES = {NOTHING: "nothing"} | {name: codec.title for name, codec in CODECS.items()}
METHOD_NAMES = {
    "actual": "sends every step through the codec itself",
    "stand-ins": "goes through stand-ins for it: sooner, weaker",
    "none": "does not know of it, to compare",
}


def attack_names(*, noises: bool = False) -> dict[str, str]:
    """The registered attacks, and what people read; PGD comes first.

    Args:
        noises: whether to list the one that needs a noise that was made beforehand.
    """
    titles = {name: title for name, title in attack_titles().items() if "noise" not in attack_parameters(name)}
    own = {UNIVERSAL: "One noise for every clip (made beforehand)"} if noises else {}
    return {"pgd": titles["pgd"]} | titles | own


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
        noise: name of the noise that the attack "universal" adds; "" is the first there is.
        survive: "nothing", or the codec of the file in which the attack is to survive.
        survive_by: how the attack reckons with that: a name of ``METHOD_NAMES``.
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
    objective: str = OBJECTIVE
    seed: int = 0
    grid: bool = False
    noise: str = ""
    survive: str = NOTHING
    survive_by: str = "actual"

    @property
    def channel(self) -> dict | None:
        """What the attack is to survive, as ``SurviveSpec.of`` takes it; None if nothing.

        Raises:
            ValueError: the attack cannot be made to survive anything; the message says what to choose.
        """
        if self.survive == NOTHING:
            return None
        if self.attack == UNIVERSAL:
            raise ValueError(
                "The one noise was made beforehand, so it cannot be made to survive a file: choose another attack, or "
                "let it survive nothing"
            )
        if self.attack == "square" and self.survive_by == "actual":
            raise ValueError(
                f"Square asks the model {int(self.steps) * QUERIES} times, and each time a file would be written: "
                "choose BIM, MIM or PGD"
            )
        return {"codec": self.survive, "method": self.survive_by}

    def spec(self, subject: Subject, face: int, noises: Mapping[str, Path] = {}) -> RunSpec:  # noqa: B006 (read only)
        """The attack on a face (from 0) of a clip that these values ask for.

        Args:
            noises: those that there are, by name.

        Raises:
            ValueError: a value is missing or out of range; the message names it.
        """
        for name in ("eps_av", "steps", "restarts", "seed"):
            if getattr(self, name) is None:
                raise ValueError(f"{name} is empty: enter a number")
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number, got {getattr(self, name)}")
        steps = int(self.steps) * (QUERIES if self.attack == "square" else 1)
        # A file holds storable values and no others.
        grid = bool(self.grid) or self.channel is not None
        wanted = {"steps": steps, "restarts": int(self.restarts), "grid": grid}
        if self.attack == UNIVERSAL:
            wanted |= {"noise": str(self.noise_of(noises))}
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

    def noise_of(self, noises: Mapping[str, Path]) -> Path:
        """The file of the noise that was chosen.

        Raises:
            ValueError: there is none of this name, or none at all.
        """
        name = self.noise or next(iter(noises), "")
        if name not in noises:
            raise ValueError(
                f"there is no noise {name!r} here: {', '.join(noises)}"
                if noises
                else "there is no noise on this server: choose another attack"
            )
        return noises[name]
