"""Phones to lips: what each sound asks of the mouth, blended as mouths blend it, in ARKit's face units.

Coarticulation by dominance functions (Cohen and Massaro 1993): every sound pulls every feature of the mouth towards
its target with a strength that is whole while it lasts and fades before and after; the feature goes where the pulls
balance. Rounding fades slowly before its sound (lips round ahead), closures fast, so that m, b and p close even
between open vowels, and h or k, which the lips do not care about, hardly pull at all.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pushpull.data.talkheads.voice import Phone

FEATURES = ("open", "seal", "wide", "pucker", "funnel", "tuck", "upper", "lower", "tongue")
# Targets 0..1 of each mouth shape, in FEATURES' order, and how hard it pulls on the lips and on the jaw.
SHAPES = {
    #          open  seal  wide  puck  funn  tuck  uppr  lowr  tong   lips  jaw
    "rest":   (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00,  0.50, 0.50),
    "a":      (1.00, 0.00, 0.10, 0.00, 0.00, 0.00, 0.25, 0.45, 0.00,  1.00, 1.00),
    "ae":     (0.85, 0.00, 0.50, 0.00, 0.00, 0.00, 0.35, 0.55, 0.00,  1.00, 1.00),
    "uh":     (0.62, 0.00, 0.10, 0.00, 0.10, 0.00, 0.15, 0.35, 0.00,  0.80, 0.90),
    "schwa":  (0.45, 0.00, 0.10, 0.00, 0.05, 0.00, 0.10, 0.25, 0.00,  0.40, 0.60),
    "e":      (0.60, 0.00, 0.60, 0.00, 0.00, 0.00, 0.30, 0.50, 0.00,  1.00, 1.00),
    "i":      (0.32, 0.00, 0.95, 0.00, 0.00, 0.00, 0.30, 0.50, 0.00,  1.10, 0.90),
    "o":      (0.68, 0.00, 0.00, 0.45, 0.50, 0.00, 0.05, 0.20, 0.00,  1.30, 1.00),
    "u":      (0.30, 0.00, 0.00, 0.95, 0.35, 0.00, 0.00, 0.05, 0.00,  1.50, 0.90),
    "y":      (0.28, 0.00, 0.10, 0.80, 0.40, 0.00, 0.05, 0.10, 0.00,  1.50, 0.90),
    "er":     (0.40, 0.00, 0.00, 0.20, 0.50, 0.00, 0.05, 0.25, 0.00,  1.00, 0.80),
    "m":      (0.10, 1.00, 0.05, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00,  6.00, 2.00),
    "f":      (0.15, 0.00, 0.15, 0.00, 0.00, 1.00, 0.25, 0.00, 0.00,  4.00, 1.60),
    "th":     (0.28, 0.00, 0.20, 0.00, 0.00, 0.00, 0.15, 0.35, 0.90,  1.00, 1.20),
    "t":      (0.18, 0.00, 0.25, 0.00, 0.00, 0.00, 0.15, 0.35, 0.15,  0.50, 1.00),
    "s":      (0.10, 0.00, 0.45, 0.00, 0.00, 0.00, 0.30, 0.55, 0.00,  0.80, 1.60),
    "sh":     (0.14, 0.00, 0.00, 0.25, 0.85, 0.00, 0.25, 0.45, 0.00,  1.80, 1.50),
    "l":      (0.35, 0.00, 0.15, 0.00, 0.00, 0.00, 0.15, 0.35, 0.40,  0.40, 0.70),
    "r":      (0.25, 0.00, 0.00, 0.35, 0.50, 0.00, 0.05, 0.25, 0.00,  0.90, 0.80),
    "k":      (0.32, 0.00, 0.10, 0.00, 0.00, 0.00, 0.10, 0.30, 0.00,  0.20, 0.50),
    "h":      (0.40, 0.00, 0.05, 0.00, 0.00, 0.00, 0.10, 0.25, 0.00,  0.10, 0.20),
    "w":      (0.14, 0.00, 0.00, 1.00, 0.25, 0.00, 0.00, 0.00, 0.00,  2.20, 1.20),
    "bv":     (0.16, 0.45, 0.05, 0.00, 0.00, 0.25, 0.00, 0.00, 0.00,  2.50, 1.40),
}  # fmt: skip
VOWELS = frozenset(("a", "ae", "uh", "schwa", "e", "i", "o", "u", "y", "er"))

ARPABET = {
    "AA": "a", "AE": "ae", "AH": "uh", "AO": "o", "AW": "a u", "AX": "schwa", "AXR": "er", "AY": "a i", "B": "m",
    "CH": "t sh", "D": "t", "DH": "th", "EH": "e", "ER": "er", "EY": "e i", "F": "f", "G": "k", "HH": "h", "HV": "h",
    "IH": "i", "IY": "i", "JH": "t sh", "K": "k", "L": "l", "M": "m", "N": "t", "NG": "k", "OW": "o u", "OY": "o i",
    "P": "m", "R": "r", "S": "s", "SH": "sh", "T": "t", "TH": "th", "UH": "u", "UW": "u", "V": "f", "W": "w",
    "Y": "i", "Z": "s", "ZH": "sh", "SSIL": "rest",
}  # fmt: skip
_IPA = {
    "a": "aɑɐɶ", "ae": "æ", "uh": "ʌɜɞ", "schwa": "əɘᵻɨɤᵊ", "e": "eɛ", "i": "iɪj", "o": "oɔɒɵ", "u": "uʊɯʉ",
    "y": "yʏøœɥ", "er": "ɚɝ", "m": "mbpɓʙ", "f": "fvɱʋ", "bv": "βɸ", "th": "θð", "t": "tdnɾɖʈɳɗɽ", "s": "szɬ",
    "sh": "ʃʒɕʑʂʐ", "l": "lɭʎɫ", "r": "rɹɻʁʀᵣ", "k": "kɡgŋxɣqɢɴɲcɟçʝχħʕ", "h": "hɦʔ", "w": "wʍ",
}  # fmt: skip
IPA = {symbol: shape for shape, symbols in _IPA.items() for symbol in symbols}

RATE = 200  # Hz at which mouths are computed; pictures look at fewer moments
FADE = 0.045  # seconds in which a pull falls to 1/e, after Cohen and Massaro's 30 to 60 ms
FADES = {"seal": (0.012, 0.012), "tuck": (0.02, 0.02), "pucker": (0.11, 0.06), "funnel": (0.08, 0.06)}  # before, after
INERTIA = 0.016  # seconds: lips do not jump
MINIMUM_CLOSURE = 0.05  # seconds around a bilabial's middle in which lips touch, whatever its neighbours


def shapes_of(symbol: str) -> list[str]:
    """The mouth shapes of a phone, in order: ARPAbet in capitals, else IPA; a pause rests.

    Marks of length and tone are passed over; a sound without any known letter is taken for one that lips ignore.
    """
    if not symbol:
        return ["rest"]
    if symbol in ARPABET:
        return ARPABET[symbol].split()
    found = [IPA[character] for character in symbol if character in IPA]
    return found or ["k"]


def spread(phones: Sequence[Phone]) -> list[tuple[str, float, float]]:
    """(shape, start, stop) of every mouth shape; the parts of a diphthong or affricate share its time."""
    out = []
    for phone in phones:
        shapes = shapes_of(phone.symbol)
        edges = np.linspace(phone.start, phone.stop, len(shapes) + 1)
        out += [(shape, float(a), float(b)) for shape, a, b in zip(shapes, edges[:-1], edges[1:], strict=True)]
    return out


def mouth(phones: Sequence[Phone], times: np.ndarray, loudness: np.ndarray | None = None) -> np.ndarray:
    """The mouth's features while ``phones`` are spoken.

    Args:
        phones: in order, seconds; where none is, the mouth rests.
        times: (T,) seconds, increasing.
        loudness: (T,) 0..1, opens the jaw further where the voice is loud; None for an even voice.

    Returns:
        (T, 9) in FEATURES' order, 0..1.
    """
    begin, end = float(times[0]) - 0.3, float(times[-1]) + 0.3
    grid = np.arange(begin, end, 1 / RATE)
    shapes = [s for s in spread(phones) if s[2] > begin - 0.5 and s[1] < end + 0.5]
    pulled, pull = np.zeros((len(FEATURES), len(grid))), np.full((len(FEATURES), len(grid)), 1e-6)
    rest = np.ones(len(grid))
    for shape, start, stop in shapes:
        *targets, lips, jaw = SHAPES[shape]
        if shape != "rest":
            # Nothing is said before and after the phones: the mouth rests there as it does in a pause.
            rest[(grid >= start) & (grid < stop)] = 0
        for row, name in enumerate(FEATURES):
            before, after = FADES.get(name, (FADE, FADE))
            away = np.where(grid < start, (start - grid) / before, np.maximum(grid - stop, 0) / after)
            strength = (jaw if name == "open" else lips) * np.exp(-away)
            pulled[row] += strength * targets[row]
            pull[row] += strength
    pull += 0.5 * gaussian_filter1d(rest, 0.03 * RATE)
    features = gaussian_filter1d(pulled / pull, INERTIA * RATE, axis=1)
    for shape, start, stop in shapes:
        if shape == "m":
            middle, half = (start + stop) / 2, max(stop - start, MINIMUM_CLOSURE) / 2
            touch = np.clip(1.6 - 0.6 * np.abs(grid - middle) / half, 0, 1) * (np.abs(grid - middle) < 2 * half)
            features[1] = np.maximum(features[1], touch)
    out = np.stack([np.interp(times, grid, row) for row in features], axis=1)
    if loudness is not None:
        out[:, 0] *= 0.45 + 0.75 * loudness
        out[:, 7] *= 0.7 + 0.4 * loudness
    return np.clip(out, 0, 1)


def mouth_units(features: np.ndarray, *, articulation: float = 1.0, asymmetry: float = 0.0) -> dict[str, np.ndarray]:
    """ARKit face units, name -> (T,) 0..1, of (T, 9) mouth ``features``.

    Args:
        articulation: how far this person's mouth moves, 0.6 (mumbles) .. 1.4.
        asymmetry: -0.3..0.3, how much further the left side moves than the right.
    """
    opening, seal, wide, pucker, funnel, tuck, upper, lower, tongue = features.T
    a = articulation
    free = 1 - seal  # what sealed lips still leave
    jaw = np.clip(0.64 * a * opening * (1 - 0.6 * seal), 0, 1)
    left, right = 1 + asymmetry, 1 - asymmetry
    # Lips seal by following the jaw up (mouthClose undoes what jawOpen parts) and by rolling in a little.
    units = {
        "jawOpen": jaw,
        "mouthClose": jaw * seal + 0.35 * jaw * np.maximum(pucker - 0.5, 0) * free,
        "mouthRollLower": 0.22 * seal + 0.62 * tuck,
        "mouthRollUpper": 0.20 * seal,
        "mouthPucker": 0.70 * a * pucker * free,
        "mouthFunnel": 0.60 * a * funnel * free,
        "tongueOut": 0.20 * tongue * free * np.clip(jaw * 6, 0, 1),
        "mouthShrugUpper": 0.12 * tuck,
        "jawForward": 0.15 * funnel,
    }
    for side, factor in (("Left", left), ("Right", right)):
        units["mouthPress" + side] = 0.30 * seal * factor
        units["mouthStretch" + side] = 0.50 * a * wide * free * factor
        units["mouthSmile" + side] = 0.14 * a * wide * free * factor
        units["mouthUpperUp" + side] = 0.32 * a * np.maximum(upper, 0.9 * tuck) * free * factor
        units["mouthLowerDown" + side] = 0.50 * a * lower * free * (1 - tuck) * factor
    return {name: np.clip(values, 0, 1) for name, values in units.items()}
