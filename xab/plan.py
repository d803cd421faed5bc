"""What a study shows, and in which order: designs, pair specifications and each volunteer's seeded plan.

XAB is a duo-trio test with balanced reference (ISO 10399): X is the reference, A and B are a genuine clip and its
adversarial twin in either order, and the volunteer says which of the two is the same as X.
"""

import json
import math
import random
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePath

# One frame at 25 per second. Not taken from pushpull.clip, which brings torch: the server starts without it.
FRAME_SECONDS = 0.04
# The paper's budgets per unit of eps_av (section 4.1); pushpull.attacks has the same, and torch.
EPS_AUDIO = 1e-4  # full scale
EPS_VIDEO = 1e-1  # grey levels
AUDIO_STEPS = 32768  # 16-bit steps in full scale
ATTACKS = ("bim", "mim", "pgd", "fgsm", "noise")
MODALITIES = ("both", "audio", "video")
SHOWN_NAMES = {
    "both": "sound and picture",
    "audio": "sound only",
    "video": "picture only",
    "bim": "BIM",
    "mim": "MIM",
    "pgd": "PGD",
    "fgsm": "FGSM",
    "noise": "noise (random, no attack)",
}
PHASES = ("training", "main", "catch")
TWINS = ("genuine", "adversarial")
SIDES = ("A", "B")
# Which twin X is, and on which side its match stands: every one equally often, or a habit would look like hearing.
ARRANGEMENTS = tuple((twin, side) for twin in TWINS for side in SIDES)

CONSENT = """You are asked to take part in a perception test. You will watch short clips of a face with sound and say \
which of two clips is the same as a third one. It takes about {minutes} minutes.

What is stored: your answers and when you gave them, when you played, paused or searched each clip or left the page, \
what the check of your browser found, your browser's name and window size, and, if you tell us, that you cannot hear \
the sound or what you listen with. No name, e-mail or address is asked for or stored; the link you were given is the \
only thing that identifies you. {retention_days} days after your last visit it is erased, with the record of your \
clicks and of your browser; your answers stay, under a number.

Taking part is voluntary. You can pause at any time and come back with the same link. You can withdraw at any time \
with the button at the foot of every page: everything you have answered is deleted at once.

The sound may be played loudly if your volume is high. Some clips contain noise."""


class DesignError(ValueError):
    """A study that cannot be made; the message names the field and the way out."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """Everything that defines a study, stored as JSON and frozen with it.

    Args:
        title: what the experimenter calls it; volunteers see it.
        clips: file names below the assets folder; empty means every shipped clip.
        models: detectors, each attacked in its own pairs: names as pushpull.detectors lists them, or files by path.
        attacks, modalities: one cell of pairs for each combination.
        eps_av: the paper's joint budget; eps_a = 1e-4 eps_av full scale, eps_v = 0.1 eps_av grey levels.
        speech, non_speech: pairs in each cell, by what the genuine face does.
        steps: iterations of the attack.
        on_grid: attack the values that files hold, so that what is stored keeps the budget: at eps_av = 5 no grey level
            can move. Otherwise the result is rounded, and a stored value may exceed the budget by half a unit. See
            :func:`stored_limits`.
        seconds: length of a stimulus, rounded down to whole video frames.
        training, training_eps_av: trials with feedback before the test, and their (visible) budget.
        catch, catch_eps_av: hidden trials inside the test that a volunteer who attends passes.
        margin: the test is called equivalent to guessing when the upper bound is below it.
        confidence: of every interval; the equivalence bound is one-sided at it.
        exclude_failed_catch: pre-set rule: leave volunteers who fail a catch trial out of the primary analysis.
        show_result: tell volunteers their own score at the end.
        require_check: stop volunteers whose browser changes pixels or samples.
        admit_without_sound: let people take part who say that they cannot hear the sound; the results name them.
        volunteers: planned number.
        retention_days: after a session's last activity its token, browser and event log are erased.
        consent: text shown first; {minutes} and {retention_days} are filled in.
        seed: of clips, attacks and every volunteer's plan.
    """

    title: str = "XAB study"
    clips: tuple[str, ...] = ()
    models: tuple[str, ...] = ("talknet-lite",)
    attacks: tuple[str, ...] = ("bim", "mim", "pgd")
    modalities: tuple[str, ...] = ("both",)
    eps_av: float = 5.0
    speech: int = 2
    non_speech: int = 2
    steps: int = 10
    on_grid: bool = True
    seconds: float = 3.0
    training: int = 2
    training_eps_av: float = 300.0
    catch: int = 2
    catch_eps_av: float = 300.0
    margin: float = 0.65
    confidence: float = 0.95
    exclude_failed_catch: bool = False
    show_result: bool = False
    require_check: bool = True
    admit_without_sound: bool = True
    volunteers: int = 5
    retention_days: int = 365
    consent: str = CONSENT
    seed: int = 1

    def __post_init__(self):
        def need(ok, message):
            if not ok:
                raise DesignError(message)

        need(0 < len(self.title.strip()) <= 200, "title must have 1 to 200 characters")
        need(self.models, "models: name at least one detector")
        labels = [model_label(name) for name in self.models]
        need(all(0 < len(label) <= 200 for label in labels), "models: a detector's name has 1 to 200 characters")
        need(len(set(labels)) == len(set(self.models)), "models: two files have the same name; rename one")
        need(self.attacks and set(self.attacks) <= set(ATTACKS), f"attacks must be among {', '.join(ATTACKS)}")
        need(self.modalities and set(self.modalities) <= set(MODALITIES), f"modalities: choose of {MODALITIES}")
        for name in ("clips", "models", "attacks", "modalities"):
            need(len(set(getattr(self, name))) == len(getattr(self, name)), f"{name} names something twice")
        for name, low, high in (
            ("eps_av", 0, 1000),
            ("training_eps_av", 1, 2000),
            ("catch_eps_av", 1, 2000),
            ("speech", 0, 50),
            ("non_speech", 0, 50),
            ("steps", 1, 200),
            ("seconds", 0.2, 10),
            ("training", 0, 5),
            ("catch", 0, 5),
            ("margin", 0.51, 0.99),
            ("confidence", 0.5, 0.999),
            ("volunteers", 1, 10_000),
            ("retention_days", 1, 36_500),
            ("seed", 0, 2**31 - 1),
        ):
            value = getattr(self, name)
            need(low <= value <= high, f"{name} must lie in [{low:g}, {high:g}], got {value:g}")
        need(1 <= self.pairs <= 120, f"a study has 1 to 120 main pairs, this one {self.pairs}")
        need(0 < len(self.consent.strip()) <= 20_000, "consent must have 1 to 20000 characters")
        for name in ("title", "consent", "clips", "models"):
            text = "".join(getattr(self, name))
            # Neither database stores these, and no keyboard writes them.
            bad = "\x00" in text or text != text.encode("utf-8", "ignore").decode("utf-8")
            need(not bad, f"{name} holds characters that are no text")

    @property
    def cells(self) -> list[tuple[str, str, str]]:
        """(model, attack, modality) of each cell."""
        return [
            (model, attack, modality)
            for model in self.models
            for attack in self.attacks
            for modality in self.modalities
        ]

    @property
    def pairs(self) -> int:
        """Number of main pairs, and so of main trials of each volunteer."""
        return len(self.cells) * (self.speech + self.non_speech)

    @property
    def minutes(self) -> int:
        """A volunteer's expected time: each of the clips one and a half times, some seconds to think, the checks."""
        trials = self.pairs + self.training + self.catch
        return max(2, round((trials * (4.5 * self.seconds + 6) + 90) / 60))

    @property
    def consent_text(self) -> str:
        return self.consent.replace("{minutes}", str(self.minutes)).replace(
            "{retention_days}", str(self.retention_days)
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, values: dict) -> "Design":
        """A design from JSON-like values; unknown keys and wrong types raise DesignError."""
        types = {f.name: f.type for f in fields(cls)}
        if unknown := sorted(set(values) - set(types)):
            raise DesignError(f"unknown settings: {', '.join(unknown)}; known: {', '.join(types)}")
        clean = {}
        for name, value in values.items():
            kind = types[name]
            try:
                if kind == tuple[str, ...]:
                    if isinstance(value, str) or not all(isinstance(item, str) for item in value):
                        raise TypeError
                    clean[name] = tuple(value)
                elif kind is bool:
                    if not isinstance(value, bool):
                        raise TypeError
                    clean[name] = value
                elif kind is int:
                    if isinstance(value, bool) or int(value) != float(value):
                        raise TypeError
                    clean[name] = int(value)
                elif kind is float:
                    clean[name] = float(value)
                else:
                    if not isinstance(value, str):
                        raise TypeError
                    clean[name] = value
            except (TypeError, ValueError, OverflowError) as error:
                wanted = "a list of names" if kind == tuple[str, ...] else f"of type {kind.__name__}"
                raise DesignError(f"{name} must be {wanted}, got {value!r}") from error
        return cls(**clean)


def budget_units(eps_av: float) -> dict[str, float]:
    """The joint budget in the units of each medium: full scale and 16-bit steps, grey levels."""
    return {
        "audio_full_scale": EPS_AUDIO * eps_av,
        "audio_steps": EPS_AUDIO * eps_av * AUDIO_STEPS,
        "video_levels": EPS_VIDEO * eps_av,
    }


def stored_limits(eps_av: float, *, on_grid: bool) -> dict[str, int]:
    """The largest change that a stored file can hold: whole grey levels and whole 16-bit steps.

    On the storage grid that is what fits in the budget. Otherwise the attack's result is rounded, half to even, which
    adds up to half a unit: 0.5 grey levels become 1 or 0.
    """
    units, most = budget_units(eps_av), 0.0 if on_grid else 0.5
    return {name: math.floor(units[name] + most + 1e-9) for name in ("video_levels", "audio_steps")}


def paper_preset(**changes) -> Design:
    """Section 4.2 of the paper: 2 speech and 2 non-speech pairs for each of BIM, MIM, PGD; eps_av = 5; 5 volunteers.

    The attack's result is rounded to what files hold: on the storage grid no pixel could move within half a grey
    level, and only the sound would be attacked.
    """
    return Design(**{"title": "Perception test, as in the paper", "on_grid": False, **changes})


def model_label(model: str) -> str:
    """What results call a detector: its name, or that of its file without the folders on this machine."""
    return PurePath(model).name if "/" in model or "\\" in model else model


@dataclass(frozen=True, kw_only=True)
class PairSpec:
    """One genuine/adversarial pair to be made."""

    position: int
    phase: str
    model: str
    attack: str
    modality: str
    eps_av: float
    speech: bool

    @property
    def stratum(self) -> str:
        return f"{self.model}/{self.attack}/{self.modality}"


def pair_specs(design: Design) -> list[PairSpec]:
    """All pairs of a study: training first, then main in the order of the cells, then catch."""
    specs = []

    def add(phase, model, attack, modality, eps_av, speech):
        specs.append(
            PairSpec(
                position=len(specs),
                phase=phase,
                model=model,
                attack=attack,
                modality=modality,
                eps_av=eps_av,
                speech=speech,
            )
        )

    for index in range(design.training):
        model, attack, modality = design.cells[index % len(design.cells)]
        add("training", model, attack, modality, design.training_eps_av, index % 2 == 0 and design.speech > 0)
    for model, attack, modality in design.cells:
        for index in range(design.speech + design.non_speech):
            add("main", model, attack, modality, design.eps_av, index < design.speech)
    for index in range(design.catch):
        model, attack, modality = design.cells[-1 - index % len(design.cells)]
        add("catch", model, attack, modality, design.catch_eps_av, index % 2 == 0 and design.speech > 0)
    return specs


@dataclass(frozen=True, kw_only=True)
class PlannedPair:
    """What a plan has to know of a pair that exists."""

    pair: int
    phase: str
    stratum: str


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """One trial: which pair, what X is, and on which side the clip that equals X stands."""

    position: int
    pair: int
    phase: str
    x: str = field(metadata={"choices": TWINS})
    match: str = field(metadata={"choices": SIDES})

    def twin(self, role: str) -> str:
        """The twin shown as "X", "A" or "B"."""
        if role == "X" or role == self.match:
            return self.x
        return TWINS[1 - TWINS.index(self.x)]


def make_plan(*, seed: int | str, slot: int, pairs: list[PlannedPair]) -> list[PlannedTrial]:
    """The plan of the volunteer in ``slot`` (0, 1, ...), a function of its arguments alone.

    Within a volunteer the four arrangements occur equally often (within one) over the main trials, and within each
    stratum whose size divides by four exactly so. Over each block of four consecutive slots every main pair is seen
    once in every arrangement. Each volunteer has an order of their own; catch trials stand neither first nor last nor
    side by side where the number of main trials allows it.
    """
    main = [pair for pair in pairs if pair.phase == "main"]
    block = random.Random(f"{seed}/block/{slot // 4}")
    own = random.Random(f"{seed}/slot/{slot}")
    base = _balanced(main, block)
    turn = list(range(4))
    block.shuffle(turn)
    arranged = [(pair, ARRANGEMENTS[(base[pair.pair] + turn[slot % 4]) % 4]) for pair in main]
    own.shuffle(arranged)

    catches = [pair for pair in pairs if pair.phase == "catch"]
    own.shuffle(catches)
    for pair, place in reversed(list(zip(catches, _places(len(arranged), len(catches), own), strict=True))):
        arranged.insert(place, (pair, own.choice(ARRANGEMENTS)))

    training = [(pair, own.choice(ARRANGEMENTS)) for pair in pairs if pair.phase == "training"]
    return [
        PlannedTrial(position=position, pair=pair.pair, phase=pair.phase, x=x, match=match)
        for position, (pair, (x, match)) in enumerate(training + arranged)
    ]


def _balanced(main: list[PlannedPair], rng: random.Random) -> dict[int, int]:
    """An arrangement index 0..3 for each main pair: balanced over all, and within strata as far as they divide."""
    chosen, left = {}, []
    for stratum in sorted({pair.stratum for pair in main}):
        members = [pair.pair for pair in main if pair.stratum == stratum]
        rng.shuffle(members)
        whole = len(members) // 4 * 4
        chosen.update((pair, index % 4) for index, pair in enumerate(members[:whole]))
        left += members[whole:]
    offset = rng.randrange(4)
    chosen.update((pair, (index + offset) % 4) for index, pair in enumerate(left))
    return chosen


def _places(trials: int, catches: int, rng: random.Random) -> list[int]:
    """Increasing insertion points for catch trials among ``trials`` main ones."""
    inner = range(1, trials) if trials - 1 >= catches else range(trials + 1)
    if len(inner) < catches:
        return sorted(rng.choices(range(trials + 1), k=catches))
    return sorted(rng.sample(inner, catches))
