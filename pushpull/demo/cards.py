"""A detector's card as a person reads it: what it is, how well it does, how well it holds, and whose it is."""

import json
import math
from functools import lru_cache
from html import escape
from pathlib import Path

from pushpull.demo import models
from pushpull.demo.results import report_page
from pushpull.detectors.base import CROPS
from pushpull.detectors.checkpoint import SUFFIX
from pushpull.detectors.points import points_of, usual_point
from pushpull.evaluation.card_figures import LEAST
from pushpull.evaluation.checks import CHECKS
from pushpull.files import read_text, sha256, shipped_folder

CLEAN = ("in_sync", "swapped", "shifted", "still")
ATTACKS = ("bim", "mim", "pgd")
HELP = {
    "in_sync": "its own sound",
    "swapped": "another's voice",
    "shifted": "sound that comes early or late",
    "still": "a face that does not move",
}
FOOLS = {
    "still": "resting lips",
    "frozen": "a frozen face",
    "silence": "no sound",
    "noise": "noise",
    "swapped": "another's voice",
    "shifted": "sound out of step",
}


def with_sidecar(card: dict, folder: Path) -> dict:
    """A shipped card with what people added to the file beside the weights, if that file is about these weights."""
    if card.get("where") != "shipped":
        return card
    weights = folder / f"{card['name']}{SUFFIX}"
    try:
        beside = json.loads(read_text(weights.with_suffix(".json")))
        digest = _digest(weights, weights.stat().st_mtime_ns)
        return card | {"sha256": digest} | (beside if beside.get("sha256") == digest else {}) | {"name": card["name"]}
    except (OSError, ValueError, AttributeError, RecursionError):
        return card


@lru_cache(maxsize=256)
def _digest(path: Path, _changed: int) -> str:
    return sha256(path)


def group(card: dict) -> str:
    """Which of the page's groups a detector is in: by where it is from and what defends it."""
    training = card.get("training") if isinstance(card.get("training"), dict) else {}
    if card.get("where") != "shipped":
        return "published" if card.get("source_sha256") else "own"
    avil = any(training.get(f"lambda{number}") for number in range(1, 5))
    if training.get("adversarial"):
        return "both" if avil else "adversarial"
    return "avil" if avil else "undefended"


GROUPS = {
    "undefended": "undefended",
    "adversarial": "adversarially trained",
    "avil": "AVIL losses",
    "both": "both defences",
    "published": "published by others",
    "own": "your own",
}


def figures(card: dict) -> dict[str, tuple[float, float | None, float | None]]:
    """What the card measures, in percent with an interval where it has one.

    Returns:
        "clean" and "attacked" average precision, the latter under the worst of the attacks that it tells of, its
        "floor", and "held", the share of frames that no step of the worst attack flips; those that are there.
    """
    robust = card.get("robust")
    if not isinstance(robust, dict):
        return {}
    found = {
        "clean": _figure(robust.get("clean"), "average_precision"),
        "floor": _figure(robust.get("clean"), "prevalence"),
        "attacked": _worst(robust, "average_precision"),
        "held": _worst(robust, "robust_accuracy"),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _worst(robust: dict, name: str):
    found = [figure for attack in ATTACKS if (figure := _figure(robust.get(attack), name)) is not None]
    return min(found, default=None)


def _figure(part, name: str) -> tuple[float, float | None, float | None] | None:
    """A share as percent with the interval that "intervals" of its part has for it."""
    if not isinstance(part, dict) or not _number(value := part.get(name)):
        return None
    intervals = part.get("intervals")
    bounds = intervals.get(name) if isinstance(intervals, dict) else None
    bounds = bounds if isinstance(bounds, list) and len(bounds) == 2 else (None, None)
    low, high = (100 * bound if _number(bound) else None for bound in bounds)
    return 100 * value, low, high


def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def written(figure: tuple[float, float | None, float | None]) -> str:
    """A figure for people: "45 %", with its interval "45 % (41 to 49)"."""
    value, low, high = figure
    return f"{value:.0f} %" + (f" ({low:.0f} to {high:.0f})" if low is not None and high is not None else "")


def entry(card: dict) -> str:
    """One detector in the list, as HTML."""
    name, kind, found = str(card["name"]), group(card), figures(card)
    facts = [models.network(card)]
    if _number(card.get("parameters")):
        facts.append(f"{card['parameters'] / 1e6:.2f} M parameters")
    if _number(card.get("bytes")):
        facts.append(f"{card['bytes'] / 1e6:.1f} MB")
    title = models.title(card)
    head = (
        f"<header><h2>{escape(title)}</h2><code>{escape(name)}</code>"
        f'<p class="pp-quiet">{escape(" · ".join(facts))}</p>'
        f'<span class="pp-tag pp-tag-{kind}">{GROUPS[kind]}</span></header>'
    )
    # Cards are measured on different clips, whose floors differ: what is left above the floor can be set side by side.
    above = f"{found['attacked'][0] - found['floor'][0]:.2f}" if {"attacked", "floor"} <= set(found) else "-999"
    sort = {
        "data-name": name.lower(),
        "data-group": kind,
        "data-clean": f"{found['clean'][0]:.2f}" if "clean" in found else "-1",
        "data-attacked": above,
        "data-held": f"{found['held'][0]:.2f}" if "held" in found else "-1",
        "data-size": str(card.get("bytes") or 0),
    }
    attributes = " ".join(f'{key}="{escape(value)}"' for key, value in sort.items())
    return (
        f'<article class="pp-model-card" {attributes}>{head}{_bars(card, found)}{_buttons(card)}'
        f"<details><summary>The whole card</summary>{_facts(card, found)}</details></article>"
    )


def _bars(card: dict, found: dict) -> str:
    if "attacked" not in found:
        words = "Its authors measured it." if group(card) == "published" else "Its card has no figures."
        return f'<div class="pp-model-bars pp-quiet">{words} The Attack and Compare tabs measure it on your clip.</div>'
    floor = found.get("floor", (None,))[0]
    rows = [("clean", "clean", floor), ("attacked", "attacked", floor), ("held", "frames held", None)]
    bars = "".join(_bar(name, text, found[name], mark) for name, text, mark in rows if name in found)
    budget = card["robust"].get("options", {}).get("eps_av")
    told = f" at ε_av {budget:g}" if _number(budget) else ""
    note = f"AVA-AP and frames that the worst of BIM, MIM, PGD never flips{told}; the line is the floor of AP"
    said = [f"floor {floor:.0f} %"] if floor is not None else []
    said += [f"{card['robust']['examples']} clips"] if _number(card["robust"].get("examples")) else []
    on = f'<small class="pp-quiet">{escape(", ".join(said))}</small>' if said else ""
    return f'<div class="pp-model-bars" title="{escape(note)}">{bars}{on}</div>'


def _bar(name: str, text: str, figure, floor: float | None) -> str:
    value, low, high = figure
    marks = "" if floor is None else f'<u style="left:{floor:.1f}%"></u>'
    if low is not None and high is not None:
        marks += f'<s style="left:{low:.1f}%;width:{high - low:.1f}%"></s>'
    bar = f'<span class="pp-meter"><i class="{name}" style="width:{value:.1f}%"></i>{marks}</span>'
    return f"<div><span>{text}</span>{bar}<b>{written(figure)}</b></div>"


def _buttons(card: dict) -> str:
    name = escape(str(card["name"]))
    if card["where"] == "published":
        size = f"{card['bytes'] / 1e6:.1f} MB" if _number(card.get("bytes")) else ""
        return f'<div class="pp-model-do"><button type="button" data-fetch="{name}">Fetch, {size}</button></div>'
    return f'<div class="pp-model-do"><button type="button" data-attack="{name}">Attack this one</button></div>'


def _facts(card: dict, found: dict) -> str:
    """Everything else that the card says, a line each."""
    lines: list[tuple[str, str]] = [
        ("trained on", _trained_on(card)),
        ("summary", str(card.get("summary") or "")),
        ("face crop", CROPS.get(str(card.get("crop")), str(card.get("crop") or ""))),
        *_points(card),
        *_heldout(card),
        *_robust(card, found),
        ("long tracks", str(card.get("long_tracks") or "")),
        *_audit(card),
        ("licence", str(card.get("licence") or ("MIT, as all of pushpull" if card["where"] == "shipped" else ""))),
        ("credit", str(card.get("credit") or "")),
        ("from", str(card.get("source") or "")),
        ("SHA-256", str(card.get("sha256") or card.get("source_sha256") or "")),
    ]
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in lines if text)
    return f"<dl>{items}</dl>{_report(card)}"


def _points(card: dict) -> list[tuple[str, str]]:
    """Where it decides, in plain words, and what that gives on people of another domain."""
    try:
        thresholds = points_of(card)
    except ValueError:
        thresholds = {}
    if not thresholds:
        own = card.get("threshold") if _number(card.get("threshold")) else 0.0
        return [("decides at", f"log-odds above {own:g} count as speaking; its card has no operating points")]
    lines, used = [], usual_point(card).name
    for name, threshold in thresholds.items():
        facts = card["operating_points"][name]
        told = [f"log-odds above {threshold:.2f} count as speaking"]
        if (found := _share(facts.get("found"))) is not None:
            told.append(f"finds {written(found)} of speaking frames of other people")
        alarms = facts.get("false_alarms") if isinstance(facts.get("false_alarms"), dict) else {}
        measured = {words: _share(alarms.get(kind)) for kind, words in FOOLS.items()}
        fooled = [f"{words} {figure[0]:.0f} %" for words, figure in measured.items() if figure is not None]
        if fooled:
            told.append(f"is fooled by {', '.join(fooled)}")
        shown = name.replace("_", " ")
        lines.append((f"point: {shown}" + (" (used here)" if name == used else ""), "; ".join(told)))
    return lines


def _share(part) -> tuple[float, float | None, float | None] | None:
    """A share as percent with its interval, of {"value", "low", "high"}."""
    if not isinstance(part, dict) or not _number(part.get("value")):
        return None
    low, high = (100 * part[name] if _number(part.get(name)) else None for name in ("low", "high"))
    return 100 * part["value"], low, high


def _trained_on(card: dict) -> str:
    training = card.get("training")
    if isinstance(card.get("trained_on"), str):
        return card["trained_on"]
    parts = str(training.get("data", "")).split(",") if isinstance(training, dict) else []
    return ", ".join(_source(part) for part in parts if part)


def _source(text: str) -> str:
    """Footage as training names it, "talkheads:heads*1.5", for people."""
    name, _, weight = text.partition("*")
    where, _, folder = name.rpartition(":")
    words = {"talkheads": f"generated talking heads ({folder})", "ava": "AVA-ActiveSpeaker"}.get(where)
    words = words or ("GRID, speaker 1" if folder.startswith("grid") else folder)
    return f"{words}, weighted {weight}" if weight else words


def _heldout(card: dict) -> list[tuple[str, str]]:
    """Clean figures of each held-out source, as its authors measured them."""
    heldout = card.get("heldout")
    sources = heldout.get("sources") if isinstance(heldout, dict) else None
    lines = []
    for source, tests in sources.items() if isinstance(sources, dict) else ():
        if not isinstance(tests, dict):
            continue
        told = [f"{HELP[name]} {tests[name]['ap']:.0f}" for name in CLEAN if _number((tests.get(name) or {}).get("ap"))]
        if told:
            lines.append((f"AVA-AP, held-out {_source(str(source))}", ", ".join(told)))
    return lines


def _robust(card: dict, found: dict) -> list[tuple[str, str]]:
    if "clean" not in found:
        return []
    robust = card["robust"]
    told = [
        f"{name.upper()} {written(figure)}"
        for name in ATTACKS
        if (figure := _figure(robust.get(name), "average_precision")) is not None
    ]
    if "floor" in found:
        told.append(f"floor {written(found['floor'])}")
    options = robust.get("options") if isinstance(robust.get("options"), dict) else {}
    words = ", ".join(f"{key} {options[key]}" for key in ("eps_av", "steps", "restarts", "objective") if key in options)
    words += f"; {robust['examples']} clips" if _number(robust.get("examples")) else ""
    return [("AVA-AP attacked", ", ".join(told)), ("attacked with", words)]


def _audit(card: dict) -> list[tuple[str, str]]:
    """What an audit said, how much that weighs, and what it measured."""
    audit = card.get("audit")
    if not isinstance(audit, dict) or audit.get("sha256", card.get("sha256")) != card.get("sha256"):
        return []
    lines = [("audit", str(audit.get("verdict") or ""))]
    count, quick = audit.get("examples"), bool(audit.get("quick"))
    if _number(count) and (quick or count < LEAST):
        short = " and short attacks" if quick else ""
        wants = f"to be told to others, it wants {LEAST} examples and long attacks"
        lines[0] = ("audit", f"{lines[0][1]}: a first look, {count} examples{short}; {wants}")
    worst, clean = (_share(audit.get(name)) for name in ("worst", "clean"))
    if worst and clean:
        told = f"{written(worst)} of frames right under the worst of all attacks, {written(clean)} unattacked"
        constant = audit.get("constant")
        told += f"; the best constant answer gets {100 * constant:.0f} %" if _number(constant) else ""
        lines.append(("audit: worst case", told))
    flags = audit.get("flags") if isinstance(audit.get("flags"), dict) else {}
    raised = {n: f for n, f in flags.items() if n in CHECKS and isinstance(f, dict) and f.get("passed") is False}
    for words, sure in (("audit: not so", True), ("audit: perhaps not so", False)):
        # Cards from before intervals say nothing of how sure they are.
        found = [CHECKS[name][0] for name, flag in raised.items() if bool(flag.get("sure", True)) == sure]
        lines.append((words, ", ".join(found)))
    return lines


def _report(card: dict) -> str:
    """A link to the audit's page, where this server has it."""
    audit = card.get("audit")
    name = Path(str(audit.get("results") or "")).name if isinstance(audit, dict) else ""
    if report_page(shipped_folder("docs") / "results", name) is None:
        return ""
    return f'<p><a href="audits/{escape(name)}" target="_blank" rel="noopener">Report of the audit</a></p>'
