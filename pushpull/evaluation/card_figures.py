"""Robust figures for cards: the form that cards hold them in, and the command that takes them out of finished results.

    python -m pushpull.evaluation.card_figures docs/results/table1              into checkpoints/*.json
    python -m pushpull.evaluation.card_figures docs/results/audit-*             the verdicts of audits
    python -m pushpull.evaluation.card_figures docs/results/table1 --check      only say whether they stand there

A card gets figures where the SHA-256 of its weights stands in the results. Weights files are left as they are.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pushpull.config import Parser
from pushpull.detectors.checkpoint import CHECKPOINTS, SUFFIX, VISIBLE, CheckpointError
from pushpull.detectors.sidecar import add_to_card, read_sidecar
from pushpull.evaluation.audit_cards import audit_from, read_audit
from pushpull.evaluation.output import FORMAT
from pushpull.evaluation.studies import WORST
from pushpull.files import read_text, sha256

# Names of figures in a card, those of pushpull.metrics, and where ``summarise`` has them.
REPORTED = {
    "average_precision": ("adversarial", "average_precision"),
    "frame_accuracy": ("adversarial", "frame_accuracy"),
    "robust_accuracy": ("worst_case",),
    "success_rate": ("success_rate",),
    "ecr_a": ("ecr_a",),
    "ecr_v": ("ecr_v",),
    "snr_audio_db": ("snr_audio_db",),
    "psnr_db": ("psnr_db",),
}
ATTACKS = ("bim", "mim", "pgd")
LEAST = 100  # examples: with fewer, intervals are too wide to compare detectors
PARAMETERS = ("steps", "restarts", "objectives", "seed")


def card_form(told: dict[str, dict]) -> dict[str, dict]:
    """Summaries in the form of cards.

    Args:
        told: what ``pushpull.evaluation.summary.summarise`` gives of "worst", the worst case over all attacks, and of
            each attack.

    Returns:
        {"clean": {name: value}, "bim": ..., "worst": ...}: rates and average precisions in 0..1, "prevalence" the floor
        of the latter; "intervals" in each has (low, high) of 95 %.
    """
    worst = told["worst"]
    clean = {name: worst["clean"][name] for name in ("average_precision", "frame_accuracy")}
    unmoved = {name: None if worst[name] is None else 0.0 for name in ("ecr_a", "ecr_v")}
    found = {"clean": _part(clean | unmoved | {"prevalence": worst["floor"]})}
    for name, summary in told.items():
        picked = {metric: _at(summary, path) for metric, path in REPORTED.items()}
        found[name] = _part(picked | {"prevalence": summary["floor"]})
    return found


def _at(found: dict, path: tuple[str, ...]):
    for key in path:
        found = found[key]
    return found


def _part(figures: dict) -> dict:
    """Numbers by name, and the intervals of those that have one."""
    plain, intervals = dict.fromkeys(REPORTED), {}
    for name, value in figures.items():
        if isinstance(value, dict):
            if value["low"] is not None:
                intervals[name] = [value["low"], value["high"]]
            value = value["value"]
        plain[name] = value
    return plain | {"intervals": intervals}


def read_table(path: Path) -> dict:
    """A finished Table 1 that cards may quote.

    Args:
        path: of its results.json, or the folder that holds it.

    Raises:
        ValueError: it is no Table 1 of this package, or on too few examples, or on videos without labels.
    """
    path = path / "results.json" if path.is_dir() else path
    try:
        found = json.loads(read_text(path))
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}): finish  python -m pushpull.evaluate table1  or  "
            "python -m pushpull.audit  first"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or found.get("study") != "table1":
        raise ValueError(f"{path} holds no Table 1: cards take theirs from  python -m pushpull.evaluate table1")
    if (count := len(found["examples"])) < LEAST:
        raise ValueError(
            f"{path} is of {count} examples, and cards want at least {LEAST}: evaluate with --set.examples {LEAST}"
        )
    if found["own_labels"]:
        raise ValueError(f"{path} counts the detectors' own decisions as right: cards want clips with labels, --data")
    return found


def robust_from(table: dict, sha: str, place: str = "") -> dict:
    """The robust figures of one checkpoint, as its card holds them.

    Args:
        table: of :func:`read_table`.
        sha: SHA-256 of the weights.
        place: where the results lie, for people.

    Returns:
        What ``pushpull.training.robust.robust_figures`` gives, of all examples of the table, with "command" and
        "results".

    Raises:
        ValueError: the table is not of this checkpoint, or lacks an attack.
    """
    model = next((model for model in table["models"] if model["sha256"] == sha), None)
    if model is None:
        raise ValueError(f"no detector of SHA-256 {sha[:16]}... stands in the results")
    mine = [row for row in table["rows"] if row["model"] == model["name"] and row["set"] == "all"]
    told = {}
    for name in ATTACKS:
        # First comes the paper's objective; a detector without heads of its own for it has the other.
        told[name] = next((row for row in mine if row["attack"] == name), None)
    told["worst"] = next((row for row in mine if row["attack"] == WORST), None)
    if missing := [name for name, row in told.items() if row is None]:
        raise ValueError(f"the results have no row of {', '.join(missing)} for {model['name']}: evaluate it again")
    options, attacks = table["options"]["set"], table["options"]["attacks"]
    chosen = {"clips": len(table["examples"]), "frames": options["frames"], "eps_av": told["bim"]["eps_av"]}
    chosen |= {name: attacks[name] for name in PARAMETERS} | {"objective": told["bim"]["objective"]}
    digest = table["set"].get(model["crop_used"]) or next(iter(table["set"].values()))
    return {
        "options": chosen,
        "set": digest,
        "examples": len(table["examples"]),
        "base_clips": told["worst"]["base_clips"],
        "examples_set": digest,
        "command": table["command"],
        "results": place,
        **card_form(told),
    }


@dataclass(frozen=True)
class Quoted:
    """Finished results that cards take a part of themselves from.

    Args:
        path: where they lie.
        part: of the card: "robust" or "audit".
        attacked: {detector: SHA-256 of its weights}.
        of: what the card of the weights of a SHA-256 holds.
    """

    path: Path
    part: str
    attacked: dict[str, str]
    of: Callable[[str], dict]


def quoted(path: Path, place: str = "") -> Quoted:
    """A Table 1 or an audit, whichever lies there.

    Args:
        path: of results.json or audit.json, or their folder.
        place: where it lies, for people.

    Raises:
        ValueError: as :func:`read_table` and :func:`pushpull.evaluation.audit_cards.read_audit`.
    """
    if path.name == "audit.json" or (path / "audit.json").is_file():
        audit = read_audit(path)
        return Quoted(path, "audit", {audit["model"]: audit["sha256"]}, lambda sha: audit_from(audit, place))
    table = read_table(path)
    attacked = {model["name"]: model["sha256"] for model in table["models"]}
    return Quoted(path, "robust", attacked, lambda sha: robust_from(table, sha, place))


def fill(results: Sequence[Path], checkpoints: Path = CHECKPOINTS, *, check: bool = False) -> dict[str, dict[str, str]]:
    """Put the figures of Tables 1 and the verdicts of audits into the cards of their checkpoints.

    Args:
        results: results.json and audit.json, or their folders.
        checkpoints: folder of weights with cards.
        check: change nothing.

    Returns:
        {checkpoint: {part of its card: "written", "as it should be", or with ``check`` "differs"}}; nothing for those
        that stand in none of the results.

    Raises:
        ValueError, CheckpointError: as :func:`quoted`; a checkpoint of a name that stands in the results is another
            file than the one that was attacked, none of them stands there, or two results tell the same of one. No card
            was changed then.
    """
    hashes = {path: sha256(path) for path in sorted(checkpoints.glob(VISIBLE + SUFFIX))}
    parts: dict[Path, dict[str, dict]] = {}
    for path in results:
        one = quoted(path, _place(path, checkpoints))
        for weights in _attacked(one, hashes, checkpoints):
            mine = parts.setdefault(weights, {})
            if one.part in mine:
                raise ValueError(f"{path} is the second that tells of {weights.stem}, part {one.part!r}: give one")
            mine[one.part] = one.of(hashes[weights])
    before = {weights: read_sidecar(weights) for weights in parts}
    found: dict[str, dict[str, str]] = {weights.stem: {} for weights in hashes}
    for weights, mine in parts.items():
        differ = {name: part for name, part in mine.items() if before[weights].get(name) != part}
        if differ and not check:
            add_to_card(weights, **differ)
        told = "differs" if check else "written"
        found[weights.stem] = {name: told if name in differ else "as it should be" for name in mine}
    return found


def _attacked(one: Quoted, hashes: dict[Path, str], checkpoints: Path) -> list[Path]:
    """The checkpoints that results tell of.

    Raises:
        ValueError: there is none, or one of such a name is another file.
    """
    for weights, digest in hashes.items():
        other = one.attacked.get(weights.stem)
        if other is not None and digest not in one.attacked.values():
            raise ValueError(
                f"{weights} is not the {weights.stem} that was attacked in {one.path} (SHA-256 {digest[:16]}..., there "
                f"{other[:16]}...): evaluate or audit this one, or restore that one"
            )
    found = [weights for weights, digest in hashes.items() if digest in one.attacked.values()]
    if not found:
        raise ValueError(f"none of the checkpoints in {checkpoints} stands in {one.path}")
    return found


def _place(results: Path, checkpoints: Path) -> str:
    """Where results lie, seen from the folder around the checkpoints; outside of that, their folder's name alone."""
    folder = (results if results.is_dir() else results.parent).resolve()
    root = checkpoints.resolve().parent
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.name


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 1 where ``--check`` finds a card that differs."""
    parser = Parser(
        prog="python -m pushpull.evaluation.card_figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        help="folders of  python -m pushpull.evaluate table1  and  python -m pushpull.audit, or their JSON files",
    )
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS, help="folder of weights and cards (shipped)")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a card differs")
    given = parser.parse_args(arguments)
    try:
        found = fill(given.results, given.checkpoints, check=given.check)
    except (ValueError, CheckpointError, OSError) as error:
        parser.error(str(error))
    for name, parts in found.items():
        print(f"{name:24} {', '.join(f'{part}: {what}' for part, what in parts.items()) or 'not in the results'}")
    return int(any("differs" in parts.values() for parts in found.values()))


if __name__ == "__main__":
    sys.exit(main())
