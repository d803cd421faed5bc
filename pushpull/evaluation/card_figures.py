"""Robust figures for cards: the form that cards hold them in, and the command that takes them out of a Table 1.

    python -m pushpull.evaluation.card_figures docs/results/table1              into checkpoints/*.json
    python -m pushpull.evaluation.card_figures docs/results/table1 --check      only say whether they stand there

A card gets figures where the SHA-256 of its weights stands in the results. Weights files are left as they are.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pushpull.detectors.checkpoint import CHECKPOINTS, SUFFIX, VISIBLE, CheckpointError
from pushpull.detectors.sidecar import add_to_card, read_sidecar
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
            f"{path} cannot be read ({error.strerror}): finish  python -m pushpull.evaluate table1  first"
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


def fill(results: Path, checkpoints: Path = CHECKPOINTS, *, check: bool = False) -> dict[str, str]:
    """Put the figures of a Table 1 into the cards of its checkpoints.

    Args:
        results: results.json, or its folder.
        checkpoints: folder of weights with cards.
        check: change nothing.

    Returns:
        {checkpoint: "written", "as it should be", with ``check`` "differs", or "not in the results"}.

    Raises:
        ValueError, CheckpointError: as :func:`read_table`; a checkpoint of a name that stands in the results is another
            file than the one that was attacked, or none of them stands there. No card was changed then.
    """
    table, place = read_table(results), _place(results, checkpoints)
    attacked = {model["name"]: model["sha256"] for model in table["models"]}
    found, cards = {}, {}
    for weights in sorted(checkpoints.glob(VISIBLE + SUFFIX)):
        name, digest = weights.stem, sha256(weights)
        if digest in attacked.values():
            cards[weights] = (robust_from(table, digest, place), read_sidecar(weights).get("robust"))
        elif name in attacked:
            raise ValueError(
                f"{weights} is not the {name} that was attacked (SHA-256 {digest[:16]}..., in the results "
                f"{attacked[name][:16]}...): evaluate this one, or restore that one"
            )
        else:
            found[name] = "not in the results"
    if not cards:
        raise ValueError(f"none of the checkpoints in {checkpoints} stands in {results}")
    for weights, (robust, before) in cards.items():
        same = robust == before
        if not same and not check:
            add_to_card(weights, robust=robust)
        found[weights.stem] = "as it should be" if same else "differs" if check else "written"
    return dict(sorted(found.items()))


def _place(results: Path, checkpoints: Path) -> str:
    """Where results lie, seen from the folder around the checkpoints; outside of that, their folder's name alone."""
    folder = (results if results.is_dir() else results.parent).resolve()
    root = checkpoints.resolve().parent
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.name


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 1 where ``--check`` finds a card that differs."""
    parser = argparse.ArgumentParser(
        prog="python -m pushpull.evaluation.card_figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("results", type=Path, help="results.json of  python -m pushpull.evaluate table1, or its folder")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS, help="folder of weights and cards (shipped)")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a card differs")
    given = parser.parse_args(arguments)
    try:
        found = fill(given.results, given.checkpoints, check=given.check)
    except (ValueError, CheckpointError, OSError) as error:
        parser.error(str(error))
    for name, what in found.items():
        print(f"{name:24} {what}")
    return int("differs" in found.values())


if __name__ == "__main__":
    sys.exit(main())
