"""The form of a study: its fields, what they mean, and how what is typed becomes a Design."""

from dataclasses import dataclass, fields

from ..files import detector_path
from ..plan import ATTACKS, MODALITIES, Design, DesignError, budget_units, stored_limits


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field. ``kind``: text, long, number, yes, either or many. ``other`` asks for what is not listed."""

    name: str
    label: str
    help: str
    kind: str = "number"
    unit: str = ""
    other: str = ""


GROUPS = (
    (
        "What volunteers see",
        (
            Field(name="title", label="Title", help="Volunteers see it on every page.", kind="text"),
            Field(
                name="consent",
                label="Consent text",
                help="Shown first, and stored in every version. {minutes} and {retention_days} are filled in.",
                kind="long",
            ),
            Field(
                name="show_result",
                label="Tell volunteers their own score at the end",
                help="Off by default: people talk, and later volunteers would hear it.",
                kind="yes",
            ),
        ),
    ),
    (
        "Clips and attacks",
        (
            Field(name="clips", label="Clips", help="None chosen means every shipped clip.", kind="many"),
            Field(
                name="models",
                label="Detectors",
                help="Each is attacked in pairs of its own, on faces cut as it wants them. Listed is what is on this "
                "machine; python -m pushpull.detectors shows what else can be fetched, and PUSHPULL_DETECTORS names a "
                "folder of .model or .safetensors files.",
                kind="many",
                other="Or a file, by its path on this machine",
            ),
            Field(name="attacks", label="Attacks", help="One cell of pairs for each.", kind="many"),
            Field(
                name="modalities",
                label="What the attack may change",
                help="One cell of pairs for each.",
                kind="many",
            ),
            Field(
                name="eps_av",
                label="Budget ε_av",
                help="The paper's joint budget: 10⁻⁴ ε_av of full scale in the sound, 0.1 ε_av grey levels in the "
                "picture. The paper uses 5.",
            ),
            Field(
                name="on_grid",
                label="How the noise gets into a file",
                help="A file holds whole grey levels and whole 16-bit steps: the fractions that an attack works with "
                "cannot be stored.",
                kind="either",
            ),
            Field(name="steps", label="Steps", help="Iterations of the attack.", unit="iterations"),
            Field(name="seconds", label="Length of a clip", help="Rounded down to whole video frames.", unit="seconds"),
            Field(name="speech", label="Pairs of a speaking face", help="In each cell.", unit="pairs"),
            Field(name="non_speech", label="Pairs of a silent face", help="In each cell.", unit="pairs"),
        ),
    ),
    (
        "Training and catch trials",
        (
            Field(name="training", label="Training trials", help="With feedback, before the test.", unit="trials"),
            Field(name="training_eps_av", label="Their budget ε_av", help="Large enough to be seen and heard."),
            Field(
                name="catch",
                label="Catch trials",
                help="Hidden in the test; whoever attends passes. They do not count in the accuracy.",
                unit="trials",
            ),
            Field(name="catch_eps_av", label="Their budget ε_av", help="Large enough to be seen and heard."),
        ),
    ),
    (
        "Analysis, fixed before the first answer",
        (
            Field(
                name="margin",
                label="Equivalence margin",
                help="Detection is called equivalent to guessing when the upper bound of the accuracy is below it. "
                "0.65 is the default.",
                unit="share correct",
            ),
            Field(name="confidence", label="Confidence", help="Of every interval.", unit="share"),
            Field(
                name="exclude_failed_catch",
                label="Leave out volunteers who fail a catch trial",
                help="A rule for the primary analysis; the results show both ways anyway.",
                kind="yes",
            ),
            Field(name="volunteers", label="Planned volunteers", help="The planner says how many it takes."),
        ),
    ),
    (
        "Browsers, privacy, repeatability",
        (
            Field(
                name="require_check",
                label="Stop volunteers whose browser changes pixels or samples",
                help="Off: the finding is stored, and they go on.",
                kind="yes",
            ),
            Field(
                name="admit_without_sound",
                label="Admit people who cannot hear the sound",
                help="They say so on the sound page, and the results name them and show both ways. Off: their test "
                "ends there.",
                kind="yes",
            ),
            Field(
                name="retention_days",
                label="Retention",
                help="This long after a volunteer's last activity the link, browser and event log are erased; "
                "the answers and their times stay, under a number.",
                unit="days",
            ),
            Field(name="seed", label="Seed", help="Of clips, attacks and every volunteer's plan."),
        ),
    ),
)
# What each answer to the field on_grid does, in words.
WAYS = {
    False: "Attack in fractions, then round",
    True: "Attack only what a file can hold (the storage grid)",
}
WAYS_HELP = {
    False: "As in the paper. Picture: changes below half a grey level are lost; from half a level on they become "
    "whole ones, so a pixel may exceed the budget by half a level. Sound: likewise, in steps too fine to matter.",
    True: "Nothing exceeds the budget. Picture: below ε_av = 10, one grey level, no pixel can change. Sound: whole "
    "16-bit steps within the budget.",
}
NO = "no"
FIELDS = {field.name: field for _, group in GROUPS for field in group}
TYPES = {entry.name: entry.type for entry in fields(Design)}


def typed(design: Design) -> dict:
    """A design as the form shows it: text, lists of names, booleans."""
    shown = {}
    for name in FIELDS:
        value = getattr(design, name)
        if isinstance(value, tuple):
            shown[name] = list(value)
        elif isinstance(value, bool | str):
            shown[name] = value
        else:
            shown[name] = f"{value:g}" if isinstance(value, float) else str(value)
    return shown


def read(posted: dict[str, list[str]]) -> dict:
    """What was typed, in the same shape; a field that is missing is empty."""
    shown = {}
    for name, field in FIELDS.items():
        given = posted.get(name, [])
        if field.kind == "many":
            shown[name] = [value.strip() for value in given if value.strip()]
        elif field.kind in ("yes", "either"):
            shown[name] = bool(given) and given[0] != NO
        else:
            shown[name] = (given or [""])[0].replace("\r\n", "\n")
    return shown


def design_of(shown: dict, choices: dict[str, list[str]]) -> tuple[Design | None, dict[str, str]]:
    """The design, or None and what is wrong by field; "" stands for the study as a whole."""
    values, errors = {}, {}
    for name, value in shown.items():
        try:
            values[name] = _converted(name, value)
            if name in choices:
                values[name] = [_choice(name, one, choices[name]) for one in value]
            Design.from_dict({name: values[name]})
        except DesignError as error:
            message = str(error)
            if message.startswith(name):
                errors[name] = sentence(message.removeprefix(name).lstrip(" :"))
    if errors:
        return None, errors
    try:
        return Design.from_dict(values), {}
    except DesignError as error:
        return None, {"": sentence(str(error))}


def _choice(name: str, value: str, known: list[str]) -> str:
    """One of the known choices, or the absolute path of a detector's file."""
    if value in known:
        return value
    if name == "models" and (path := detector_path(value)):
        return path
    raise DesignError(f"{name}: there is no {value} here")


def _converted(name: str, value):
    wanted_type = TYPES[name]
    if wanted_type is not int and wanted_type is not float:
        return value
    text = value.strip().replace(",", ".").replace("\u2009", "")
    try:
        return int(text) if wanted_type is int else float(text)
    except ValueError as error:
        wanted = "a whole number" if wanted_type is int else "a number"
        raise DesignError(f"{name} must be {wanted}, got {value[:40]!r}") from error


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def summary(design: Design) -> dict:
    """What a design amounts to, for the box beside the form."""
    cells = len(design.cells)
    return {
        "cells": cells,
        "pairs": design.pairs,
        "trials": design.pairs + design.training + design.catch,
        "minutes": design.minutes,
        "judgments": design.pairs * design.volunteers,
        "volunteers": design.volunteers,
        "margin": design.margin,
        "budgets": {
            label: budget_units(eps)
            for label, eps in (
                ("test", design.eps_av),
                ("training", design.training_eps_av),
                ("catch", design.catch_eps_av),
            )
        },
        "stored": [stored(design, on_grid) for on_grid in WAYS],
        "notes": _notes(design),
    }


def stored(design: Design, on_grid: bool) -> dict:
    """What one answer to the field on_grid does to picture and sound at the design's budget."""
    budget, limits = budget_units(design.eps_av), stored_limits(design.eps_av, on_grid=on_grid)
    changes = {}
    for medium, size, unit, units in (
        ("picture", "video_levels", "grey level of 256", "grey levels of 256"),
        ("sound", "audio_steps", "step of 65,536", "steps of 65,536"),
    ):
        most, allowed = limits[size], budget[size]
        if not {"both", "video" if medium == "picture" else "audio"} & set(design.modalities):
            words = "Not attacked."
        elif not most:
            lost = f"less than {'one' if on_grid else 'half a'} {unit}"
            words = f"Nothing changes: the budget, {allowed:.3g} {units}, is {lost}."
        else:
            over = f", {most - allowed:.2g} more than the budget" if most > allowed + 0.05 else ", within the budget"
            words = f"Changes by up to {most} {unit if most == 1 else units}{over}."
        changes[medium] = words
    return {"way": WAYS[on_grid], "chosen": design.on_grid == on_grid, **changes}


def _notes(design: Design) -> list[str]:
    notes, attacked = [], set(design.modalities)
    limits = stored_limits(design.eps_av, on_grid=design.on_grid)
    if not limits["video_levels"]:
        if "video" in attacked:
            notes.append("Picture-only pairs will be identical twins: no grey level can move within this budget.")
        if "both" in attacked:
            notes.append(
                "Only the sound will change: a grey level is more than this budget. Attack in fractions, then round, "
                "from ε_av = 5 on, or choose ε_av = 10 or more, to change the picture too."
            )
    if not limits["audio_steps"] and attacked & {"both", "audio"}:
        notes.append("The sound's budget is less than one 16-bit step: nothing can move.")
    if "noise" in design.attacks and len(design.attacks) > 1:
        notes.append("Noise is a control: its pairs count in the overall accuracy like the others.")
    return notes


def choices_of(clips: list[str], models: list[str]) -> dict[str, list[str]]:
    """What the fields of kind "many" can be chosen from."""
    return {"clips": clips, "models": models, "attacks": list(ATTACKS), "modalities": list(MODALITIES)}
