"""What an attack is to survive, and how it reckons with that, as a value that files and forms can hold."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pushpull.attacks import ATTACKS, BIM, Attack
from pushpull.media import CODECS
from pushpull.runs.spec import RunSpec, Target, attack_parameters, make_attack, name_of

METHODS = ("actual", "stand-ins", "none")
ATTACK_OPTIONS = ("steps", "restarts", "step_size", "momentum", "kind", "keep", "early_stop")
SHARED = ("attack", "eps_av", "modality", "target", "seed")  # with RunSpec, under the same names


@dataclass(frozen=True, kw_only=True)
class SurviveSpec:
    """What is made to survive, and how.

    Args:
        codec: of ``pushpull.media.CODECS``, the file that is written.
        method: "actual" sends every iterate through the codec, in the scene, and takes the gradient of stand-ins;
            "stand-ins" goes through stand-ins alone, which is sooner; "none" is an attack that knows of no codec.
        attack: with its parameters; on the storage grid, since a file holds nothing else.
        eps_av: the joint budget. Files want more than the paper's 5: docs/survival.md.
        modality: "both", "audio" or "video": what may change.
        objective: what the attacker maximises; "margin" goes on up to 10 log-odds here.
        target: what the detector is to say.
        samples: random draws of the stand-ins for each step.
        seed: of starts and draws.

    Raises:
        ValueError: an unknown codec or method.
    """

    codec: str = "h264-23"
    method: str = "actual"
    attack: Attack = BIM(steps=20, grid=True)  # noqa: RUF009 (frozen)
    eps_av: float = 20.0
    modality: str = "both"
    objective: str = "margin"
    target: Target = Target()
    samples: int = 1
    seed: int = 0

    def __post_init__(self):
        if self.codec not in CODECS:
            raise ValueError(f"unknown codec {self.codec!r}; known are {', '.join(CODECS)}")
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; known are {', '.join(METHODS)}")

    def to_dict(self) -> dict:
        """As JSON holds it."""
        attack = {"name": name_of(self.attack)} | asdict(self.attack)
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {
            "attack": attack,
            "target": asdict(self.target),
        }

    @classmethod
    def of(cls, run: RunSpec, channel: Mapping) -> "SurviveSpec":
        """The spec of a run that is to survive.

        Args:
            run: its attack, budget, aim and seed; without an objective it is "margin".
            channel: ``codec``, ``method`` and, if not 1, ``samples``; anything else is passed over.

        Raises:
            ValueError: an unknown codec or method, or none.
        """
        chosen = {name: channel[name] for name in ("codec", "method", "samples") if name in channel}
        if "codec" not in chosen:
            raise ValueError(f"what is it to survive? A codec is missing: {', '.join(CODECS)}")
        shared = {name: getattr(run, name) for name in SHARED}
        return cls(objective=run.objective or "margin", **shared, **chosen)


def make_survive_spec(given: dict, target: Target) -> SurviveSpec:
    """What options of the command line ask for: those of other attacks, and ``survive`` and ``survive_by``.

    The attack is on the storage grid, and BIM with 20 steps where nothing else is said.

    Raises:
        ValueError: no codec, an attack that does not search, or values out of range.
    """
    if "survive" not in given:
        raise ValueError("--survive-by needs --survive CODEC, the file that is written")
    name = given.get("attack", "bim")
    if name == "universal" or {"noise", "offset"} & set(given):
        raise ValueError("--survive searches for a perturbation; a noise that is ready is added by --noise alone")
    known = attack_parameters(name) if name in ATTACKS else {}
    parameters = {"steps": SurviveSpec().attack.steps} if "steps" in known else {}
    parameters |= {key: given[key] for key in ATTACK_OPTIONS if key in given} | {"grid": True}
    chosen = {key: given[key] for key in ("eps_av", "modality", "objective", "seed") if key in given}
    method = given.get("survive_by", METHODS[0])
    return SurviveSpec(
        codec=given["survive"], method=method, attack=make_attack(name, **parameters), target=target, **chosen
    )
