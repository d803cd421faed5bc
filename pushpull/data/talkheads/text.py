"""Things to say: sentences put together from small word lists, and words that no language has.

Neither is anybody's text, so nothing that is spoken here has an author. English sentences follow five patterns; for
other languages words are invented from syllables that are easily pronounced, and the voice reads them its own way.
"""

import numpy as np

SUBJECTS = (
    "the blue boat", "my brother", "a small bird", "every farmer", "the old piano", "our neighbour", "nobody",
    "the mayor", "that purple bus", "a famous baker", "the whole family", "somebody", "the weather", "their puppy",
    "the final page", "a paper bag", "the Monday market", "your window", "her football team", "the number five",
    "a warm pullover",
)  # fmt: skip
VERBS = (
    "moved to", "could open", "will probably buy", "remembers", "may follow", "has never seen", "built",
    "wants to paint", "always forgets", "left behind", "might become", "looks like", "found", "borrowed",
    "is waiting for", "jumped over", "whispers about", "measures", "promised", "should have washed",
)  # fmt: skip
OBJECTS = (
    "the open door", "a map of the moon", "five potatoes", "some apple pie", "the river bank", "my favourite shoes",
    "a bowl of soup", "the first of March", "two more bottles", "an empty room", "the post office", "a piece of wood",
    "all of the money", "your umbrella", "the big bridge", "a photo of the beach", "the wrong number", "fresh butter",
)  # fmt: skip
TAILS = (
    "before noon", "in the morning", "by the bay", "for a while", "without a word", "on Wednesday", "again and again",
    "with both hands", "above the valley", "if possible", "as we speak", "under the apple tree", "more or less",
)  # fmt: skip
OPENERS = ("well", "maybe", "of course", "by the way", "so", "you know", "for example", "honestly", "at the moment")
QUESTIONS = (
    "do you believe that",
    "why would you say that",
    "who told you that",
    "have you heard that",
    "is it true that",
)
SPELLED = ("B", "F", "M", "O", "P", "R", "S", "U", "V", "W")  # as in GRID: "bin blue at F two now"
COMMANDS = ("bin", "lay", "place", "set"), ("blue", "green", "red", "white"), ("at", "by", "in", "with")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ENDINGS = ("again", "now", "please", "soon")

# Latin letters that voices of most languages read one by one.
ONSETS = (
    "b",
    "p",
    "m",
    "t",
    "d",
    "n",
    "k",
    "g",
    "l",
    "r",
    "s",
    "f",
    "v",
    "h",
    "bl",
    "br",
    "pr",
    "tr",
    "st",
    "gr",
    "fl",
)
NUCLEI = ("a", "e", "i", "o", "u", "a", "e", "o", "ai", "au", "ei", "ia", "io")
CODAS = ("", "", "", "", "n", "m", "r", "l", "s", "t", "p")


def sentence(rng: np.random.Generator, *, english: bool) -> str:
    """One thing to say, 1 to 4 s long at a common pace, ending in a full stop or a question mark."""
    if not english:
        return _invented(rng)
    pattern = rng.integers(5)
    if pattern == 0:
        verb, colour, place = (pick(rng, words) for words in COMMANDS)
        return f"{verb} {colour} {place} {pick(rng, SPELLED)} {pick(rng, NUMBERS)} {pick(rng, ENDINGS)}."
    clause = f"{pick(rng, SUBJECTS)} {pick(rng, VERBS)} {pick(rng, OBJECTS)}"
    if pattern == 1:
        return f"{clause}."
    if pattern == 2:
        return f"{clause} {pick(rng, TAILS)}."
    if pattern == 3:
        return f"{pick(rng, OPENERS)}, {clause}."
    return f"{pick(rng, QUESTIONS)} {clause}?"


def pick(rng: np.random.Generator, choices):
    return choices[int(rng.integers(len(choices)))]


def _invented(rng):
    words = []
    for _ in range(rng.integers(3, 8)):
        syllables = rng.choice(4, p=[0.2, 0.45, 0.25, 0.1]) + 1
        words.append("".join(pick(rng, ONSETS) + pick(rng, NUCLEI) for _ in range(syllables)) + pick(rng, CODAS))
    if len(words) > 4 and rng.random() < 0.4:
        words[len(words) // 2 - 1] += ","
    return " ".join(words) + ("?" if rng.random() < 0.2 else ".")
