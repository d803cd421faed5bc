"""Whether a folder holds finished results of something else, which nobody wants replaced without a word."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from pushpull.files import read_text

SHOWN = 16  # digits of a hash in a message
WAYS = "give another folder, or allow to overwrite them with --overwrite"


def check_finished(
    folder: Path, asked: Mapping, *, defaults: Mapping, free: Collection[str] = (), overwrite: bool = False
) -> None:
    """Refuse a folder whose results.json is of another study, or of other detectors, examples or options.

    Args:
        folder: need not exist.
        asked: what results.json is going to hold, as far as it is known: "study", "options", "models", "set".
        defaults: of the options: results that are older than an option had it at its default.
        free: options that may differ: no number depends on them, or models and set tell them better.
        overwrite: whether other results may be replaced: then nothing is refused.

    Raises:
        ValueError: the message says what differs.
    """
    path = folder / "results.json"
    if overwrite or not path.is_file():
        return
    try:
        before = json.loads(read_text(path))
        study, there = study_of(before), _told(before, free)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{folder} already holds a results.json that is of no evaluation; {WAYS}") from error
    if study != asked["study"]:
        raise ValueError(f"{folder} already holds results of {study}, not of {asked['study']}; {WAYS}")
    _refuse_other(folder, "results", _options(defaults, free) | there, _told(asked, free))


def check_audit(folder: Path, asked: Mapping, *, overwrite: bool = False) -> None:
    """Refuse a folder whose audit.json is of another detector, or of other examples or options.

    Args:
        folder: need not exist.
        asked: what audit.json is going to hold: "model", "sha256", "point", "set_hash", "options", "reference".
        overwrite: whether another audit may be replaced: then nothing is refused.

    Raises:
        ValueError: the message says what differs.
    """
    path = folder / "audit.json"
    if overwrite or not path.is_file():
        return
    try:
        before = json.loads(read_text(path))
        # Audits from before it was told have one in the names of their attacks alone.
        there = _of_audit(before | {"reference": before.get("reference", asked["reference"])})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{folder} already holds an audit.json that cannot be read; {WAYS}") from error
    _refuse_other(folder, "an audit", there, _of_audit(asked))


def _of_audit(found: Mapping) -> dict:
    told, reference = _options(found["options"], ()), found["reference"]
    return told | {
        "model": f"{found['model']} {str(found['sha256'])[:SHOWN]}",
        "threshold": found["point"]["threshold"],
        "set": found["set_hash"],
        "reference": f"{reference['name']} {str(reference['sha256'])[:SHOWN]}" if reference else "none",
    }


def _refuse_other(folder: Path, what: str, there: Mapping, asked: Mapping) -> None:
    changed = [f"{k} ({there.get(k)} -> {value})" for k, value in asked.items() if there.get(k) != value]
    if changed:
        raise ValueError(f"{folder} already holds {what} with other {', '.join(changed)}; {WAYS}")


def study_of(found: Mapping) -> str:
    """The study that a results.json is of; those with a format of their own are called after it."""
    return found.get("study") or re.fullmatch(r"pushpull-(\w+)/\d+", found["format"])[1]


def _told(found: Mapping, free: Collection[str]) -> dict:
    """What is compared of a results.json, by the names that people are told."""
    told = _options(found["options"], free)
    if "models" in found:
        told["models"] = ", ".join(f"{model['name']} {str(model['sha256'])[:SHOWN]}" for model in found["models"])
    if "set" in found:
        told["set"] = ", ".join(found["set"].values())
    return told


def _options(options: Mapping, free: Collection[str]) -> dict:
    """Those that count, nested ones by their dotted names."""
    return _flat({name: value for name, value in options.items() if name not in free})


def _flat(values: Mapping, prefix: str = "") -> dict:
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat
