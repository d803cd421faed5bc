"""An address that leads to a sample with settings: written from a form, read back with every mistake named."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from urllib.parse import urlencode

from pushpull.demo.form import (
    METHOD_NAMES,
    MODALITY_NAMES,
    NOTHING,
    SURVIVE_NAMES,
    TARGET_NAMES,
    Form,
    attack_names,
    objective_names,
)
from pushpull.demo.intake import MAX_FACES
from pushpull.demo.noises import UNIVERSAL

SAMPLE, DETECTOR, FACE = "sample", "detector", "face"
LISTED = {
    "modality": MODALITY_NAMES,
    "target": TARGET_NAMES,
    "survive": SURVIVE_NAMES,
    "survive_by": METHOD_NAMES,
}
# Lowest and highest value, and whether it is a whole number; as the form's own fields have them.
RANGES = {
    "eps_av": (0, 40, False),
    "span_start": (0, 24 * 3600, False),
    "span_stop": (0, 24 * 3600, False),
    "steps": (1, 100, True),
    "restarts": (1, 10, True),
    "seed": (0, 2**31 - 1, True),
}
FLAGS = {"span_speaking", "grid"}
KNOWN = (SAMPLE, DETECTOR, FACE, "attack", "objective", "noise", *LISTED, *RANGES, *sorted(FLAGS))
# What mail programs, other sites and gradio put into addresses says nothing of the form.
FOREIGN = ("utm_", "__", "fbclid", "gclid", "view", "deep_link")
RESULTS = ("result", "compared")  # finished ones, see pushpull.demo.kept
SPOKEN = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
SHOWN = 40  # characters of a wrong value that are repeated


def write_link(sample: str, form: Form, face: int | None = None) -> str:
    """What follows the page's address: "?sample=1-speaking&detector=talknet-lite&attack=pgd&eps_av=5".

    Sample, detector, attack and budget are always there; of the rest only what differs from the form's first choices.
    ``face`` is from 1; None where the sample shows one alone.
    """
    first = vars(Form(form.model))
    said = {SAMPLE: sample, DETECTOR: form.model, "attack": form.attack, "eps_av": f"{form.eps_av:g}"}
    if face is not None:
        said[FACE] = str(face)
    unused = {"model", *said} | (set() if form.attack == UNIVERSAL else {"noise"})
    unused |= {"survive_by"} if form.survive == NOTHING else set()
    for name, value in vars(form).items():
        if name in unused or value is None or value == first[name]:
            continue
        said[name] = str(int(value)) if name in FLAGS else value if isinstance(value, str) else f"{value:.10g}"
    return "?" + urlencode(said)


def read_link(
    said: Mapping[str, str], detectors: list[str], samples: list[str], noises: Collection[str] = ()
) -> tuple[Form, str | None, int | None, list[str]]:
    """The form, the sample and the face that an address asks for.

    Args:
        said: its parameters; those that other programs add to every address are passed over.
        detectors: names of those that there are, the first one being the form's first choice.
        samples: names of the sample clips.
        noises: names of the noises for every clip.

    Returns:
        tuple: the form, with its first choices where the address says nothing or something wrong; the sample's name or
            None; the face, from 1, or None; and a sentence for each thing that is wrong.
    """
    problems, values, face = [], {}, None
    listed = LISTED | {"attack": attack_names(noises=True), "objective": objective_names(), "noise": noises}
    sample = said.get(SAMPLE)
    if sample is not None and sample not in samples:
        problems.append(_unknown("sample clip", sample, samples))
        sample = None
    model = said.get(DETECTOR)
    if model is not None and model not in detectors:
        problems.append(_unknown("detector", model, detectors))
        model = None
    for name, text in said.items():
        try:
            if name in listed and text not in listed[name]:
                problems.append(_unknown(name, text, list(listed[name])))
            elif name in listed:
                values[name] = text
            elif name == FACE:
                face = _in_range(name, text)
            elif name in RANGES:
                values[name] = _in_range(name, text)
            elif name in FLAGS:
                values[name] = _flag(name, text)
            elif name not in KNOWN and not name.startswith(FOREIGN) and name not in RESULTS:
                problems.append(_unknown("setting", name, list(KNOWN)))
        except ValueError as error:
            problems.append(str(error))
    return replace(Form(model or next(iter(detectors), "")), **values), sample, face, problems


def _in_range(name: str, text: str) -> float | int:
    low, high, whole = (1, MAX_FACES, True) if name == FACE else RANGES[name]
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} is {kind} from {low} to {high}, not “{text[:SHOWN]}”.")
    return value


def _flag(name: str, text: str) -> bool:
    if text.lower() not in SPOKEN:
        raise ValueError(f"{name} is 1 or 0, not “{text[:SHOWN]}”.")
    return SPOKEN[text.lower()]


def _unknown(what: str, text: str, known: list[str]) -> str:
    there = f"There are {', '.join(known)}." if known else "There is none here."
    return f"There is no {what} “{text[:SHOWN]}”. {there}"
