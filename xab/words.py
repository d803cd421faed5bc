"""What the statistics say, in sentences that may stand in a paper."""

from .plan import SHOWN_NAMES

FEW = 5  # volunteers below which the bootstrap over them says little


def p_value(p: float, digits: int = 3) -> str:
    """ "p = 0.699", or "p < 0.001" where the digits would show nothing."""
    least = 10.0**-digits
    return f"p < {least:.{digits}f}" if p < least else f"p = {p:.{digits}f}"


def headline(report: dict) -> str:
    """The count, the accuracy and the interval in one sentence."""
    overall = report["overall"]
    if not overall["trials"]:
        return "No answers yet."
    low, high = overall["clopper_pearson"]
    confidence = 100 * overall["equivalence"]["confidence"]
    people = report["volunteers_in_primary"]
    return (
        f"{people} volunteer{'s' if people != 1 else ''} gave the right answer in {overall['correct']} of "
        f"{overall['trials']} trials: {100 * overall['accuracy']:.1f} % ({confidence:g} % interval "
        f"{100 * low:.1f} to {100 * high:.1f} %; guessing gives 50 %)."
    )


def verdict(report: dict) -> tuple[str, str]:
    """(kind, sentence): "heard", "equivalent", "both", "below" or "open", and what it means."""
    overall = report["overall"]
    test = overall["equivalence"]
    if not overall["trials"]:
        return "open", "There is nothing to say before the first answer."
    margin, bound = f"{100 * test['margin']:g} %", f"{100 * test['upper_bound']:.1f} %"
    level = f"{100 * test['confidence']:g} %"
    above = overall["p_greater"] < 1 - test["confidence"]
    if above and test["equivalent"]:
        return "both", (
            f"Volunteers do better than guessing (one-sided {p_value(overall['p_greater'])}), but less often than the "
            f"margin of {margin}: the upper {level} bound is {bound}. There is a small effect."
        )
    if above:
        return "heard", (
            f"Volunteers tell the clips apart: they are right more often than guessing explains "
            f"(one-sided {p_value(overall['p_greater'])})."
        )
    if overall["accuracy"] < 0.5 and overall["p_two_sided"] < 1 - test["confidence"]:
        return "below", (
            f"Volunteers are right less often than guessing explains (two-sided {p_value(overall['p_two_sided'])}). "
            "That is no equivalence to guessing: they may perceive a difference and have mistaken the question."
        )
    if test["equivalent"]:
        return "equivalent", (
            f"Equivalent to guessing within the margin set before: the upper {level} bound of the accuracy is {bound}, "
            f"below {margin} ({p_value(test['p'])} against an accuracy of {margin} or more)."
        )
    return "open", (
        f"Not decided. The answers are compatible with guessing (two-sided {p_value(overall['p_two_sided'])}), and "
        f"that shows nothing by itself: an accuracy up to {bound} is compatible with them too, and the margin is "
        f"{margin}. More volunteers would decide it."
    )


def cautions(
    report: dict,
    *,
    identical: int = 0,
    pairs: int = 0,
    failed_checks: int = 0,
    planned: int | None = None,
    finished: int = 0,
    deleted: int = 0,
) -> list[str]:
    """What a reader has to know before believing the verdict.

    Args:
        report: of stats.analyse.
        identical: main pairs whose two stored twins do not differ at all.
        pairs: main pairs.
        failed_checks: volunteers who answered although their browser changed pixels or samples.
        planned: volunteers that the design set before; None where none were.
        finished: volunteers who answered every trial.
        deleted: volunteers whom the experimenter deleted after they had agreed to take part.
    """
    return [
        *_of_what_was_shown(identical, pairs, failed_checks),
        *_of_the_answers(report),
        *_of_the_volunteers(report),
        *(_of_the_deleted(deleted) if deleted else ()),
        *(_of_the_plan(planned, finished) if planned and report["overall"]["trials"] else ()),
    ]


def _of_the_plan(planned: int, finished: int) -> list[str]:
    """Results are shown live, and who stops when they please is right too often."""
    if finished == planned:
        return []
    people = f"{planned} volunteer{'s were' if planned != 1 else ' was'} planned and {finished} finished"
    if finished < planned:
        return [
            f"{people}: a look on the way. The p-values and bounds are those of a study that ends at the number set "
            "before; who ends it at the first look that pleases is wrong more often than they say."
        ]
    return [
        f"{people}: if they were added after a look at the results, the p-values and bounds are too good. The first "
        f"{planned} are the study that was planned."
    ]


def _of_what_was_shown(identical: int, pairs: int, failed_checks: int) -> list[str]:
    said = []
    if identical:
        said.append(
            f"{identical} of {pairs} main pairs are identical twins, because nothing within the budget can be stored: "
            "nobody could tell these apart."
        )
    if failed_checks:
        said.append(
            f"{failed_checks} volunteer{'s' if failed_checks > 1 else ''} answered in a browser that does not show "
            "what is stored."
        )
    return said


def _of_the_answers(report: dict) -> list[str]:
    said = []
    if deaf := report["cannot_hear"]:
        people = "volunteer" if len(deaf) == 1 else "volunteers"
        said.append(
            f"{people.capitalize()} {', '.join(str(number) for number in deaf)} took part without hearing the sound, "
            "and can only guess where nothing but the sound differs. The numbers without them are given below."
        )
    spread = report["dispersion"]
    if spread and spread["p"] < 0.05:
        said.append(
            f"Volunteers differ more than chance explains (variance {spread['ratio']:.1f} times binomial, "
            f"{p_value(spread['p'])}): the exact intervals are too narrow. Use the bootstrap over volunteers"
            f"{_bootstrap_says(report)}."
        )
    bias = report["side_bias"]
    if bias["trials"] and bias["p"] < 0.05:
        said.append(
            f"Volunteers prefer a side: they chose A in {100 * bias['share_a']:.0f} % of the trials "
            f"({p_value(bias['p'])}). Sides are balanced, so this lowers the accuracy rather than raising it."
        )
    catch = report["catch"]
    if catch["trials"] and catch["share"] < 0.8:
        said_count = f"Only {catch['passed']}" if catch["passed"] else "None"
        verb = "was" if catch["passed"] <= 1 else "were"
        said.append(
            f"{said_count} of {catch['trials']} catch trials {verb} passed: perhaps not everybody attended, or "
            "the loudspeakers were off."
        )
    return said


def _bootstrap_says(report: dict) -> str:
    bound, test = report["cluster_bootstrap_upper_bound"], report["overall"]["equivalence"]
    if bound is None:
        return ""
    side = "below" if bound < test["margin"] else "not below"
    return f": its upper {100 * test['confidence']:g} % bound, {100 * bound:.1f} %, is {side} the margin"


def _of_the_volunteers(report: dict) -> list[str]:
    said, overall = [], report["overall"]
    if overall["trials"] and report["volunteers_in_primary"] < FEW:
        few = report["volunteers_in_primary"]
        said.append(
            f"{few} volunteer{' says' if few == 1 else 's say'} little about people in general: the exact test takes "
            "every answer as independent."
        )
    if report["excluded_for_catch"]:
        said.append(
            f"Left out by the rule set before: volunteers "
            f"{', '.join(str(number) for number in report['excluded_for_catch'])}, who failed a catch trial."
        )
    return said


def _of_the_deleted(deleted: int) -> list[str]:
    people = f"{deleted} volunteer{'s' if deleted > 1 else ''} who had agreed to take part"
    return [
        f"{people} {'were' if deleted > 1 else 'was'} deleted by the experimenter, with every answer. Whoever reports "
        "the study has to say so, and why: answers that are left out after they were seen make any result."
    ]


def group_label(grouping: str, value) -> str:
    """What a row of a grouped result is called."""
    if grouping == "speech":
        return "speaking face" if value else "silent face"
    if grouping == "x":
        return f"X is {value}"
    if grouping == "match":
        return f"right answer {value}"
    if grouping == "pair":
        return f"pair {value + 1}"
    if grouping == "volunteer":
        return f"volunteer {value}"
    if grouping == "position":
        return f"trial {value}"
    return SHOWN_NAMES.get(value, str(value))
