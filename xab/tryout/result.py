"""What a visitor is told at the end: how their answers compare with guessing, in words that promise nothing."""

import math
from collections.abc import Mapping

from .. import stats
from ..store import Pair


def result(correct: int, trials: int) -> dict:
    """The count against chance.

    Returns:
        ``correct``, ``trials``, ``guessers`` (2^trials people who only guess), ``ways`` (how many of them get 0, 1, ...
        right), ``p`` (exact, two-sided), ``interval`` (Clopper-Pearson, 95 %), and the sentences ``headline``,
        ``chance`` and ``meaning``.
    """
    ways = [math.comb(trials, right) for right in range(trials + 1)]
    guessers, p = 2**trials, stats.binomial_p(correct, trials)
    low, high = stats.clopper_pearson(correct, trials)
    if 2 * correct == trials:
        chance = f"Half of them right is what guessing gives on average: {ways[correct]} of {guessers} guessers."
    elif 2 * correct > trials:
        chance = f"Of {guessers} people who only guess, {_do(sum(ways[correct:]))} as well or better."
    else:
        chance = f"Of {guessers} people who only guess, {_do(sum(ways[: correct + 1]))} as badly or worse."
    rare = p < 0.05
    start = "That is rare for a guesser, but it happens, and" if rare else "It fits guessing, and"
    meaning = (
        f"{start} {trials} answers say little: in the long run you might be right anywhere from "
        f"{100 * low:.0f} % to {100 * high:.0f} % of the time (95 % interval)."
    )
    return {
        "correct": correct,
        "trials": trials,
        "guessers": guessers,
        "ways": ways,
        "p": p,
        "interval": [low, high],
        "headline": f"You found X in {correct} of {trials} trials",
        "chance": chance,
        "meaning": meaning,
    }


def _do(people: int) -> str:
    return "1 does" if people == 1 else f"{people} do"


def shown(pairs: list[Pair]) -> str:
    """What was in the clips that counted, and what the detector made of them, as measured on the stored files."""
    main = [pair for pair in pairs if pair.phase == "main"]
    found = [pair.measures for pair in main if pair.measures]
    if not found:
        return ""
    sound = max(one["stored_audio_max_steps"] for one in found)
    picture = max(one["stored_video_max_levels"] for one in found)
    pixels = sum(one["stored_video_changed_share"] for one in found) / len(found)
    flipped = sum(one["frames_flipped"] for one in found) / len(found)
    levels = "one grey level" if picture == 1 else f"up to {picture} grey levels"
    return (
        f"One of A and B was attacked: its sound differs by at most {sound} of 65,536 steps, and {100 * pixels:.0f} % "
        f"of its pixels by {levels} of 256. That changed the decision of the detector, {main[0].model}, in "
        f"{100 * flipped:.0f} % of the frames."
    )


def told(counts: list[Mapping[str, int]]) -> str:
    """What everybody who let their result be counted found, together; empty when nobody did."""
    people = sum(row["people"] for row in counts)
    if not people:
        return ""
    correct = sum(row["people"] * row["correct"] for row in counts)
    trials = sum(row["people"] * row["trials"] for row in counts)
    who = "1 result was" if people == 1 else f"{people} results were"
    return (
        f"{who} counted so far: {correct} of {trials} trials right ({100 * correct / trials:.0f} %). Whoever likes may "
        "take part, and more than once, so this is no study."
    )
