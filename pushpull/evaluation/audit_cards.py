"""The verdict of an audit as a card holds it: which audits a card may quote, and what of them."""

import json
from pathlib import Path

from pushpull.detectors.points import OWN
from pushpull.evaluation.audit import FORMAT, AuditOptions
from pushpull.files import read_text

COMMAND = "python -m pushpull.audit"
LENGTHS = ("steps", "restarts", "queries", "draws")  # of attacks: fewer than the usual number make an audit a quick one
OF_FLAGS = ("number", "low", "high", "limit", "passed", "sure")


def read_audit(path: Path) -> dict:
    """A finished audit that a card may quote.

    Args:
        path: of its audit.json, or the folder that holds it.

    Raises:
        ValueError: it is no audit of this package, or nobody could make it again.
    """
    path = path / "audit.json" if path.is_dir() else path
    try:
        found = json.loads(read_text(path))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): finish  {COMMAND}  first") from error
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path} holds no audit: cards take theirs from  {COMMAND}")
    if not str(found.get("command")).startswith(COMMAND):
        raise ValueError(f"{path} is of clips that it does not name: cards want an audit made by  {COMMAND} --data")
    try:
        audit_from(found)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} lacks {error} of an audit: audit the detector again") from error
    return found


def audit_from(found: dict, place: str = "") -> dict:
    """An audit in the form of cards.

    Args:
        found: of :func:`read_audit`.
        place: where the report lies, for people.

    Returns:
        "verdict"; "point", where the detector decided; "quick", whether attacks were shorter than an audit's usually
        are; "examples" and "base_clips"; "clean" and "worst", shares of frames right with 95 % intervals, unattacked
        and under the worst of all attacks; "paper_style" and "constant", shares without one; "flags", {name: number,
        its interval, limit, passed, sure}; and by what it can be made again.
    """
    options, worst = found["options"], found["attacks"]["worst of all"]
    usual = AuditOptions()
    flags = {flag["name"]: {key: _short(flag[key]) for key in OF_FLAGS} for flag in found["flags"]}
    return {
        "verdict": found["verdict"],
        "eps_av": options["eps_av"],
        # Audits from before there were points are of log-odds 0.
        "point": (found.get("point") or {"name": OWN})["name"],
        "quick": any(options[name] < getattr(usual, name) for name in LENGTHS),
        "examples": found["examples"],
        "base_clips": worst["base_clips"],
        "clean": _share(worst["clean"]["frame_accuracy"]),
        "paper_style": _short(found["paper_style"] / 100),
        "worst": _share(worst["adversarial"]["frame_accuracy"]),
        "constant": _short(found["constant"] / 100),
        "flags": flags,
        "set": found["set_hash"],
        "sha256": found["sha256"],
        "command": found["command"],
        "results": place,
    }


def _share(figure: dict) -> dict:
    return {name: _short(figure[name]) for name in ("value", "low", "high")}


def _short(value):
    """As people read it; all digits are in the audit."""
    return round(value, 4) if isinstance(value, float) else value
