"""RunSpec: everything that decides what one attack on one clip finds, as a value that files and forms can hold."""

import math
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

from pushpull.attacks import ATTACKS, MODALITIES, PGD, Attack
from pushpull.attacks.objectives import OBJECTIVES, span_targets

TARGETS = ("untargeted", "hide", "speak", "span")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the attacker wants the model to say.

    Args:
        kind: "untargeted", every frame wrong; "hide", this face never speaks; "speak", it always speaks; "span", it
            speaks, or does not, from ``start`` to ``stop``.
        start, stop: of the span, in seconds from the first frame of the face; for no other kind.
        speaking: whether the face is to speak in the span.
        hold: whether the frames outside the span must stay as they are; otherwise they do not count.

    Raises:
        ValueError: an unknown kind, or a span without both ends, or ends without a span.
    """

    kind: str = "untargeted"
    start: float | None = None
    stop: float | None = None
    speaking: bool = False
    hold: bool = True

    def __post_init__(self):
        if self.kind not in TARGETS:
            raise ValueError(f"unknown target {self.kind!r}; known are {', '.join(TARGETS)}")
        for name in ("speaking", "hold"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"target {name} must be true or false, got {getattr(self, name)!r}")
        if self.kind != "span":
            if self.start is not None or self.stop is not None:
                raise ValueError(f'start and stop belong to the target "span", not to {self.kind!r}')
            return
        for name in ("start", "stop"):
            if getattr(self, name) is None:
                raise ValueError(f"a span needs start and stop in seconds; {name} is missing")
            _set_number(self, name, least=0.0)
        if not self.start < self.stop:
            raise ValueError(f"a span starts before it stops, got {self.start:g} to {self.stop:g} s")

    def resolve(self, labels: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Targets, mask and aimed frames for (B, T) ``labels``: what ``Attack.run`` and ``metrics.compare`` take.

        Returns:
            (targets int64, mask bool, aimed bool), (B, T) each or None: no target; all frames count; all are aimed at.

        Raises:
            ValueError: the span holds no frame of the clip.
        """
        if self.kind == "untargeted":
            return None, None, None
        if self.kind == "span":
            targets, aimed = span_targets(labels, self.start, self.stop, speaking=self.speaking)
            return targets, None if self.hold else aimed, aimed
        return torch.full_like(labels, int(self.kind == "speak")), None, None


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One attack on one face of a clip.

    With the bytes of clip and checkpoint, and where the detector decides, it decides every bit of the result.

    Args:
        model: name or path of a checkpoint, see ``load_detector``.
        face: which face of the clip, from 1, as ``read_clips`` orders and names them.
        start: seconds of the file that are skipped.
        seconds: length of the part that is read; None reads to the end.
        attack: the attack with its parameters; see ``make_attack``.
        modality: "both", "audio" or "video": what may change.
        eps_av: the joint budget, see ``paper_budget``: x 1e-4 of full scale for sound, x 0.1 grey levels for picture.
        objective: a name of ``OBJECTIVES``: what the attacker maximises; None is "training_aware" where the detector
            has the heads for it, else "inference_aware".
        target: what the model is to say.
        labels: what is right, one character for each frame of the face: "1" speaking, "0" not. None takes what the
            model itself says of the clean clip.
        seed: of random starts and draws.

    Raises:
        ValueError: a value is of the wrong type, unknown or out of range; the message names it.
    """

    model: str = "talknet-lite"
    face: int = 1
    start: float = 0.0
    seconds: float | None = None
    attack: Attack = PGD()
    modality: str = "both"
    eps_av: float = 5.0
    objective: str | None = None
    target: Target = Target()
    labels: str | None = None
    seed: int = 0

    def __post_init__(self):
        if not isinstance(self.model, str) or not self.model:
            raise ValueError(f"model must be the name or path of a checkpoint, got {self.model!r}")
        if type(self.attack) not in ATTACKS.values():
            raise ValueError(
                f"attack must be one of {', '.join(ATTACKS)} with its parameters, such as PGD(steps=10), got "
                f"{self.attack!r}; one of your own is made known by register_attack"
            )
        if not isinstance(self.target, Target):
            raise ValueError(f"target must be a Target, got {self.target!r}")
        if self.modality not in MODALITIES:
            raise ValueError(f"unknown modality {self.modality!r}; known are {', '.join(MODALITIES)}")
        if self.objective is not None and self.objective not in OBJECTIVES:
            raise ValueError(
                f"unknown objective {self.objective!r}; known are {', '.join(OBJECTIVES)}; one of your own is "
                "made known by register_objective"
            )
        _set_number(self, "eps_av", least=0.0)
        _set_number(self, "start", least=0.0)
        _set_integer(self, "face", least=1)
        _set_integer(self, "seed", least=0)
        if self.seconds is not None:
            _set_number(self, "seconds", least=0.0)
            if self.seconds == 0:
                raise ValueError("seconds must be above 0, got 0")
        if self.labels is not None and (not isinstance(self.labels, str) or set(self.labels) - {"0", "1"}):
            raise ValueError('labels must be a string of "0" and "1", one for each frame of the face')

    @property
    def attack_name(self) -> str:
        """The attack's name in ``ATTACKS``."""
        return name_of(self.attack)

    def given_labels(self, frames: int) -> np.ndarray | None:
        """``labels`` as (T,) int64, or None.

        Raises:
            ValueError: there is not one for each of the ``frames`` frames.
        """
        if self.labels is None:
            return None
        if len(self.labels) != frames:
            raise ValueError(f"there are {len(self.labels)} labels for the {frames} frames of the face")
        return np.array([int(character) for character in self.labels], dtype=np.int64)

    def to_dict(self) -> dict:
        """Values for JSON; every parameter is written out, so that a later version's defaults change nothing."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"attack": {"name": self.attack_name} | asdict(self.attack), "target": asdict(self.target)}

    @classmethod
    def from_dict(cls, values: dict) -> "RunSpec":
        """The inverse of ``to_dict``; what is left out keeps its default.

        Raises:
            ValueError: an unknown key, named, or a value that ``RunSpec`` refuses.
        """
        _refuse_unknown(values, cls, "the spec")
        values = dict(values)
        if "attack" in values and not isinstance(values["attack"], Attack):
            parameters = _require_dict(values["attack"], "attack")
            if "name" not in parameters:
                raise ValueError(f"attack needs a name: one of {', '.join(ATTACKS)}")
            values["attack"] = make_attack(**parameters)
        if "target" in values and not isinstance(values["target"], Target):
            _refuse_unknown(values["target"], Target, "target")
            values["target"] = Target(**values["target"])
        return cls(**values)


def make_attack(name: str, **parameters) -> Attack:
    """An attack by its name in ``ATTACKS``.

    Raises:
        ValueError: no such attack; a parameter that it does not have, or a value of the wrong type or range.
    """
    if name not in ATTACKS:
        raise ValueError(f"unknown attack {name!r}; known are {', '.join(ATTACKS)}")
    known = attack_parameters(name)
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{name} has no {', '.join(unknown)}; it takes {', '.join(known)}")
    for key, value in parameters.items():
        default = known[key]
        wanted = (int, float) if key == "step_size" or isinstance(default, float) else type(default)
        optional = value is None and default is None
        if not optional and (not isinstance(value, wanted) or (isinstance(value, bool) and default is not False)):
            raise ValueError(f"{name}: {key} cannot be {value!r}")
    return ATTACKS[name](**parameters)


def name_of(attack: Attack) -> str:
    """An attack's name in ``ATTACKS``; its class's, in small letters, where nobody registered it."""
    return next((name for name, kind in ATTACKS.items() if kind is type(attack)), type(attack).__name__.lower())


def attack_parameters(name: str) -> dict:
    """The parameters that an attack takes, with their defaults."""
    return {field.name: field.default for field in fields(ATTACKS[name])}


def _require_dict(values, what: str) -> dict:
    if not isinstance(values, dict):
        raise ValueError(f"{what} must be an object of names and values, got {values!r}")
    return values


def _refuse_unknown(values, cls, what: str) -> None:
    known = [field.name for field in fields(cls)]
    if unknown := sorted(set(_require_dict(values, what)) - set(known)):
        raise ValueError(f"{what} has no {', '.join(unknown)}; it takes {', '.join(known)}")


def _set_number(owner, name: str, *, least: float) -> None:
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < least:
        raise ValueError(f"{name} must be a number of at least {least:g}, got {value!r}")
    object.__setattr__(owner, name, float(value))


def _set_integer(owner, name: str, *, least: int) -> None:
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    object.__setattr__(owner, name, int(value))
