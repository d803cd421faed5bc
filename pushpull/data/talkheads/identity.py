"""Who is on the screen: a person drawn from one seed, of any age, build, skin and style.

Everything random is drawn from ``numpy.random.Generator(PCG64)`` with integer and uniform draws only, so an
identity is the same on every machine.
"""

from dataclasses import dataclass, field, fields

import numpy as np

from pushpull.data.talkheads.bake import RACES, WEIGHTS

# sRGB skin albedos from very fair to very dark; the Monk and Fitzpatrick scales span the same range.
SKIN_TONES = np.array(
    [(236, 202, 184), (228, 186, 162), (214, 166, 136), (196, 143, 110), (165, 112, 80), (128, 82, 57), (92, 58, 42)]
)
HAIR_COLOURS = {
    "black": (22, 18, 17), "dark brown": (48, 32, 24), "brown": (82, 54, 36), "light brown": (120, 84, 54),
    "dark blond": (150, 114, 72), "blond": (196, 160, 106), "red": (140, 62, 28), "auburn": (96, 42, 26),
    "grey": (138, 134, 130), "white": (214, 210, 204), "dyed": (98, 60, 120),
}  # fmt: skip
EYE_COLOURS = {
    "dark brown": (58, 34, 20), "brown": (96, 58, 30), "hazel": (116, 92, 48), "green": (92, 112, 72),
    "blue": (88, 122, 158), "grey": (116, 126, 134),
}  # fmt: skip
HAIRSTYLES = ("bald", "buzz", "crop", "side", "swept", "fringe", "bob", "long", "wavy", "curly", "afro", "bun", "tail")
HEADWEAR = ("none", "beanie", "hijab", "cap", "turban", "hat")
CLOTHES = ("crew", "vneck", "scoop", "turtle", "shirt", "blazer", "hoodie")
PATTERNS = ("plain", "stripes", "knit", "check", "dots")

# Symmetric pairs and one-sided targets of MakeHuman that change who a face is; the rest move joints or poses.
LOCAL_SPREAD = {
    "head": ("head-fat", "head-angle", "head-scale-depth", "head-scale-horiz", "head-scale-vert",
             "head-back-scale-depth"),
    "forehead": ("forehead-nubian", "forehead-scale-vert", "forehead-temple", "forehead-trans"),
    "cheek": ("cheek-bones", "cheek-inner", "cheek-trans", "cheek-volume"),
    "chin": ("chin-bones", "chin-cleft", "chin-height", "chin-jaw-drop", "chin-prognathism", "chin-prominent",
             "chin-width"),
    "ears": ("ear-flap", "ear-lobe", "ear-rot", "ear-scale", "ear-scale-depth", "ear-scale-vert", "ear-trans",
             "ear-wing"),
    "eyes": (
        "eye-bag", "eye-bag-height", "eye-corner1", "eye-corner2", "eye-eyefold-angle", "eye-eyefold", "eye-height1",
        "eye-height2", "eye-height3", "eye-push1", "eye-push2", "eye-scale", "eye-trans",
    ),
    "brows": ("eyebrows-angle", "eyebrows-trans"),
    "mouth": (
        "mouth-angles", "mouth-cupidsbow", "mouth-cupidsbow-width", "mouth-dimples", "mouth-laugh-lines",
        "mouth-lowerlip-height", "mouth-lowerlip-volume", "mouth-lowerlip-width", "mouth-philtrum-volume",
        "mouth-scale-depth", "mouth-scale-horiz", "mouth-scale-vert", "mouth-trans", "mouth-upperlip-height",
        "mouth-upperlip-volume", "mouth-upperlip-width",
    ),
    "nose": (
        "nose-base", "nose-compression", "nose-curve", "nose-flaring", "nose-greek", "nose-hump", "nose-nostrils-angle",
        "nose-nostrils-width", "nose-point", "nose-point-width", "nose-scale-depth", "nose-scale-horiz",
        "nose-scale-vert", "nose-septumangle", "nose-trans", "nose-volume", "nose-width1", "nose-width2", "nose-width3",
    ),
    "neck": ("neck-double", "neck-scale-depth", "neck-scale-horiz", "neck-scale-vert", "measure-neck-circ"),
}  # fmt: skip
HEAD_SHAPES = ("diamond", "invertedtriangular", "oval", "rectangular", "round", "square", "triangular")
DIRECTIONS = (
    ("decr", "incr"), ("down", "up"), ("backward", "forward"), ("in", "out"), ("concave", "convex"),
    ("compress", "uncompress"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A person. Colours are sRGB 0..255; ``shapes`` are weights of the basis's targets.

    Args:
        seed: the number it was drawn from.
        age: years. gender: 0 female .. 1 male in shape.
        bearing: face units that the face keeps at rest; nobody's rest is MakeHuman's, which frowns.
    """

    seed: int
    age: float
    gender: float
    shapes: dict = field(hash=False)
    skin: tuple
    lips: tuple
    eyes: tuple
    hair: tuple
    brow: tuple
    undertone: float
    freckles: float
    blotches: float
    wrinkles: float
    makeup: float
    shine: float
    stubble: float
    beard: float
    moustache: float
    lids: float
    brow_thickness: float
    brow_height: float
    brow_arch: float
    hairstyle: str
    hairline: float
    parting: float
    hair_volume: float
    hair_length: float
    headwear: str
    wear_colour: tuple
    glasses: float
    glasses_shape: float
    glasses_colour: tuple
    earrings: bool
    clothes: str
    pattern: str
    cloth: tuple
    cloth2: tuple
    bearing: dict = field(hash=False)

    def as_dict(self) -> dict:
        """JSON-ready, in field order."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _available(shapes, name: str, negative: bool) -> str | None:
    for ends in DIRECTIONS:
        full = f"{name}-{ends[0] if negative else ends[1]}"
        if full in shapes:
            return full
    return None


def _local_shapes(rng: np.random.Generator, shapes, strength: float) -> dict[str, float]:
    """Random local targets; left and right alike up to a little asymmetry."""
    out: dict[str, float] = {}
    for group, names in LOCAL_SPREAD.items():
        sides = ("l-", "r-") if group in ("cheek", "ears", "eyes") else ("",)
        for name in names:
            value = float(np.clip(rng.normal(), -2.0, 2.0)) * 0.25 * strength
            for side in sides:
                here = value + (rng.normal() * 0.05 if len(sides) == 2 else 0.0)
                target = _available(shapes, side + name, here < 0)
                if target:
                    out[target] = abs(float(here))
    chosen = rng.permutation(len(HEAD_SHAPES))[:2]
    for kind in chosen:
        out[f"head-{HEAD_SHAPES[kind]}"] = float(rng.uniform(0, 0.5)) * strength
    for name in sorted(s for s in shapes if s.startswith("asym-")):
        if rng.uniform() < 0.25:
            out[name] = float(rng.uniform(0, 0.3))
    return out


def _macro_shapes(age: float, gender: float, race, weight: float) -> dict[str, float]:
    """MakeHuman's interpolation: child at 10 years, young at 25, old at 80."""
    if age < 25:
        ages = {"child": np.clip((25 - age) / 15, 0, 1)}
        ages["young"] = 1 - ages["child"]
    else:
        ages = {"old": np.clip((age - 25) / 55, 0, 1)}
        ages["young"] = 1 - ages["old"]
    genders = {"female": 1 - gender, "male": gender}
    low, middle, high = max(0.0, 1 - 2 * weight), 1 - abs(2 * weight - 1), max(0.0, 2 * weight - 1)
    weights = dict(zip(WEIGHTS, (low, middle, high), strict=True))
    out = {}
    for a, wa in ages.items():
        for g, wg in genders.items():
            for w, ww in weights.items():
                out[f"universal-{g}-{a}-averagemuscle-{w}"] = float(wa * wg * ww)
            for r, wr in zip(RACES, race, strict=True):
                out[f"{r}-{g}-{a}"] = float(wa * wg * wr)
    return {name: value for name, value in out.items() if value > 1e-4}


def _bearing(rng) -> dict[str, float]:
    """The units of a face at rest, small enough to leave the lips closed."""
    smile, brow = float(rng.uniform(0.0, 0.32)), float(rng.uniform(0.05, 0.5))
    lean = float(rng.uniform(-0.05, 0.05))
    squint, wide = float(rng.uniform(0, 0.25)), float(rng.uniform(0, 0.25))
    return {
        "mouthSmileLeft": max(0.0, smile + lean),
        "mouthSmileRight": max(0.0, smile - lean),
        "browInnerUp": brow,
        "browOuterUpLeft": max(0.0, brow * 0.4 + lean),
        "browOuterUpRight": max(0.0, brow * 0.4 - lean),
        "eyeSquintLeft": squint,
        "eyeSquintRight": squint,
        "eyeWideLeft": wide,
        "eyeWideRight": wide,
    }


def _mix(a, b, t) -> np.ndarray:
    return np.asarray(a, float) * (1 - t) + np.asarray(b, float) * t


def _colour(values) -> tuple:
    return tuple(int(v) for v in np.clip(np.round(values), 0, 255))


def _cloth_colour(rng) -> tuple:
    """Clothes people wear: mostly navy, grey, black, white, earth; now and then a clear colour."""
    muted = [(34, 42, 66), (52, 54, 58), (22, 22, 26), (222, 220, 214), (112, 94, 74), (72, 84, 66), (96, 40, 44)]
    muted += [(140, 146, 152), (60, 86, 120), (176, 150, 118), (40, 72, 74), (196, 180, 160)]
    base = np.array(muted[rng.integers(len(muted))], float)
    if rng.uniform() < 0.25:
        clear = [
            (168, 44, 52),
            (40, 96, 168),
            (216, 168, 52),
            (52, 132, 92),
            (196, 104, 132),
            (122, 84, 160),
            (222, 118, 60),
        ]
        base = np.array(clear[rng.integers(len(clear))], float)
    return _colour(base * rng.uniform(0.85, 1.12) + rng.uniform(-8, 8, 3))


def _hair_colour(rng, melanin: float, age: float) -> tuple[tuple, float]:
    """(sRGB, share of grey). Darker skins go with darker hair; grey comes between 38 and 75."""
    if melanin > 0.55:
        names, odds = ["black", "dark brown"], [0.85, 0.15]
    elif melanin > 0.3:
        names, odds = ["black", "dark brown", "brown"], [0.45, 0.4, 0.15]
    else:
        names = ["dark brown", "brown", "light brown", "dark blond", "blond", "red", "auburn", "black", "dyed"]
        odds = [0.2, 0.2, 0.16, 0.14, 0.12, 0.06, 0.06, 0.04, 0.02]
    colour = np.array(HAIR_COLOURS[names[rng.choice(len(names), p=odds)]], float) * rng.uniform(0.85, 1.15)
    onset = rng.uniform(36, 62)
    grey = float(np.clip((age - onset) / 22, 0, 1))
    silver = _mix(HAIR_COLOURS["grey"], HAIR_COLOURS["white"], rng.uniform())
    return _colour(_mix(colour, silver, grey)), grey


def _hairstyle(rng, gender: float, age: float) -> str:
    if gender > 0.5:
        odds = {
            "bald": 0.04 + 0.16 * (age > 45),
            "buzz": 0.14,
            "crop": 0.24,
            "side": 0.2,
            "swept": 0.14,
            "fringe": 0.08,
        }
        odds |= {"curly": 0.07, "afro": 0.04, "long": 0.03, "wavy": 0.02, "bun": 0.02}
    else:
        odds = {"bob": 0.17, "long": 0.2, "wavy": 0.17, "curly": 0.1, "bun": 0.12, "tail": 0.12, "fringe": 0.04}
        odds |= {"swept": 0.03, "crop": 0.03, "afro": 0.05, "side": 0.03, "buzz": 0.01}
    names = list(odds)
    share = np.array([odds[n] for n in names])
    return names[rng.choice(len(names), p=share / share.sum())]


def _paint(rng, melanin, makeup_worn):
    """Skin, its undertone, lips and makeup."""
    place = melanin * (len(SKIN_TONES) - 1)
    low = min(int(place), len(SKIN_TONES) - 2)
    undertone = float(rng.uniform(-1, 1))
    skin = _mix(SKIN_TONES[low], SKIN_TONES[low + 1], place - low) + undertone * np.array([1.5, 0.0, -7.0])
    rosy = np.array([196, 104, 100]) * (1 - melanin) + np.array([112, 62, 58]) * melanin
    makeup = float(rng.uniform(0.3, 1)) if makeup_worn and rng.uniform() < 0.5 else 0.0
    stain = np.array([(176, 38, 56), (196, 84, 92), (150, 44, 60), (188, 96, 84)][rng.integers(4)], float)
    lips = _mix(_mix(skin, rosy, rng.uniform(0.45, 0.75)), stain, makeup * rng.uniform(0.1, 0.75))
    return {"skin": _colour(skin), "lips": _colour(lips), "undertone": undertone, "makeup": makeup}


def _headwear(rng, gender):
    if rng.uniform() >= 0.16:
        return "none"
    options = ["beanie", "cap", "turban", "hat"] if gender > 0.5 else ["beanie", "hijab", "hijab", "hat", "turban"]
    return options[rng.integers(len(options))]


def _beard(rng, kind, grown):
    """Stubble, beard and moustache; ``kind``, 0..1, says which, where one is grown."""
    return {
        "stubble": float(rng.uniform(0.2, 1)) if grown and kind < 0.55 else 0.12 * grown,
        "beard": float(rng.uniform(0.45, 1)) if grown and kind > 0.74 else 0.0,
        "moustache": float(rng.uniform(0.5, 1)) if grown and kind > 0.66 else 0.0,
    }


def _glasses(rng, age):
    frames = [(20, 18, 18), (70, 48, 30), (150, 140, 120), (40, 44, 60), (120, 36, 40)]
    return {
        "glasses": float(rng.uniform(0.4, 1)) if rng.uniform() < 0.2 + 0.15 * (age > 45) else 0.0,
        "glasses_shape": float(rng.uniform()),
        "glasses_colour": _colour(np.array(frames[rng.integers(5)])),
    }


def sample_identity(seed: int, shapes) -> Identity:
    """The person with number ``seed``; ``shapes`` are the names the basis offers."""
    rng = np.random.default_rng([seed, 71])
    age = float(
        rng.choice(
            [rng.uniform(7, 16), rng.uniform(16, 32), rng.uniform(32, 55), rng.uniform(55, 86)],
            p=[0.15, 0.35, 0.28, 0.22],
        )
    )
    male = bool(rng.uniform() < 0.5)
    gender = float(np.clip(rng.normal(0.9 if male else 0.08, 0.1), 0, 1))
    race = rng.dirichlet([0.45, 0.45, 0.45])
    weight = float(np.clip(rng.normal(0.5, 0.2), 0.05, 0.98))
    macro = _macro_shapes(age, gender, race, weight)
    local = _local_shapes(rng, shapes, 0.75 if age < 14 else 1.0)
    # melanin follows the shape family only loosely: families and tones vary independently inside wide ranges
    centre = float(race @ np.array([0.82, 0.3, 0.22]))
    melanin = float(np.clip(rng.normal(centre, 0.16), 0, 1))
    paint = _paint(rng, melanin, makeup_worn=gender < 0.5 and age > 17)
    hair, grey = _hair_colour(rng, melanin, age)
    eye_odds = [0.6, 0.35, 0.05, 0, 0, 0] if melanin > 0.45 else [0.2, 0.24, 0.14, 0.12, 0.2, 0.1]
    eyes = np.array(list(EYE_COLOURS.values())[rng.choice(6, p=eye_odds)], float) * rng.uniform(0.8, 1.2)
    hairstyle = _hairstyle(rng, gender, age)
    wear = _headwear(rng, gender)
    kind = rng.uniform()
    brow_thickness = float(rng.uniform(0.75, 1.25) * (1.15 if gender > 0.5 else 0.85))
    clothes_odds = [0.24, 0.14, 0.1, 0.12, 0.18, 0.12, 0.1]
    return Identity(
        seed=seed,
        age=age,
        gender=gender,
        shapes=macro | {name: value for name, value in local.items() if name in shapes},
        **paint,
        eyes=_colour(eyes),
        hair=hair,
        brow=_colour(_mix(np.array(hair, float) * 0.8, (34, 26, 22), 0.35 * (1 - grey))),
        freckles=float(rng.uniform(0.3, 1)) if melanin < 0.4 and rng.uniform() < 0.22 else 0.0,
        blotches=float(rng.uniform(0.3, 1.0)),
        wrinkles=float(np.clip((age - 34) / 40, 0, 1) * rng.uniform(0.6, 1.1)),
        shine=float(rng.uniform(0.5, 1.3)),
        **_beard(rng, kind, grown=gender > 0.5 and age > 19),
        lids=float(rng.uniform(0.06, 0.26)),
        brow_thickness=brow_thickness,
        brow_height=float(rng.uniform(-1, 1)),
        brow_arch=float(rng.uniform(0, 1)),
        hairstyle=hairstyle,
        hairline=float(rng.uniform(-0.3, 0.5) + (rng.uniform(0, 1.2) if gender > 0.5 and age > 38 else 0)),
        parting=float(rng.uniform(-1, 1)),
        hair_volume=float(rng.uniform(0.6, 1.4)),
        hair_length=float(rng.uniform(0.7, 1.3)),
        headwear=wear,
        wear_colour=_cloth_colour(rng),
        **_glasses(rng, age),
        earrings=bool(gender < 0.5 and rng.uniform() < 0.35),
        clothes=CLOTHES[rng.choice(len(CLOTHES), p=clothes_odds)],
        pattern=PATTERNS[rng.choice(len(PATTERNS), p=[0.5, 0.15, 0.15, 0.1, 0.1])],
        cloth=_cloth_colour(rng),
        cloth2=_cloth_colour(rng),
        bearing=_bearing(rng),
    )
