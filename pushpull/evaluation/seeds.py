"""Several training seeds of the same rows beside each other: what a row's loss does, and what is luck.

python -m pushpull.evaluate seeds results/seed-0 results/seed-1 results/seed-2 --out results/seeds

Takes finished studies with worst cases (table1, or detectors at several budgets) of the same examples and attacks, of
two training seeds or more. A seed's rows may lie in several folders: rows that were trained later need no second run of
the others. Rows are matched by their names in the paper's Table 1; every seed stands by itself, with its interval over
base clips, and the interval of a mean is over the seeds alone (Student's t): seeds are never pooled into one interval
with clips.
"""

import argparse
import json
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from pushpull.config import Parser
from pushpull.evaluation.finished import check_finished
from pushpull.evaluation.output import decided_at
from pushpull.evaluation.paper import TABLE_1
from pushpull.evaluation.statistics import LEVEL
from pushpull.evaluation.studies import WORST, StudyOptions
from pushpull.evaluation.written import percent, points, write_tables
from pushpull.files import check_folder, read_text
from pushpull.plots.seeds import seeds_figure

NAME, TITLE = "seeds", "Training seeds: what a row's loss does, and what is luck"
FORMAT = "pushpull-seeds/2"
REFERENCES = ("A", "B3", "M")
WORST_CLIP = "adversarial.frame_accuracy"  # of the row of worst cases: of every clip the attack that did most
MEASURES = {
    WORST_CLIP: "worst case",
    "worst_case": "never wrong",
    "clean.frame_accuracy": "clean",
    "clean.average_precision": "AP clean",
    "adversarial.average_precision": "AP attacked",
}


@dataclass(frozen=True)
class Mean:
    """A mean over training seeds and its interval.

    Args:
        value: the mean.
        low, high: 95 % by Student's t over the seeds; nan of fewer than two.
        seeds: how many.
    """

    value: float
    low: float
    high: float
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """Of one value a seed."""
        found = np.asarray(values, dtype=np.float64)
        value, count = float(found.mean()), len(found)
        if count < 2:
            return cls(value, math.nan, math.nan, count)
        half = float(student.ppf((1 + LEVEL) / 2, count - 1) * found.std(ddof=1) / math.sqrt(count))
        return cls(value, value - half, value + half, count)

    def to_dict(self) -> dict:
        """JSON has no nan: what is not defined is None."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if math.isnan(x) else x for name, x in numbers.items()} | {"seeds": self.seeds}


def read_study(folder: Path) -> dict:
    """The results of one seed.

    Raises:
        ValueError: no finished study with worst cases of one modality, or its detectors are not of one seed.
    """
    path = folder / "results.json" if folder.is_dir() else folder
    try:
        found = json.loads(read_text(path))
        worst = [row for row in found["rows"] if row["attack"] == WORST and row["set"] == "all"]
        seeds = {model["seed"] for model in found["models"]}
        weights = {model["row"]: model["sha256"] for model in found["models"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no results of python -m pushpull.evaluate table1 ({error})") from error
    if not worst:
        raise ValueError(f"{folder} has no worst cases: make it with python -m pushpull.evaluate table1 or detectors")
    if len(changed := {row["modality"] for row in worst}) > 1:
        raise ValueError(
            f"{folder} has worst cases of changes to {', '.join(sorted(changed))}: choose one with --attacks.modalities"
        )
    if len(seeds) != 1 or None in seeds:
        raise ValueError(f"the detectors of {folder} were trained from seeds {seeds}: give a folder for each seed")
    rows = {(row["row"], row["eps_av"]): row | {"sha256": weights[row["row"]]} for row in worst if row["row"]}
    return {"folder": folder.name, "seed": seeds.pop(), "rows": rows, "document": found}


def rows_of_seeds(studies: Sequence[dict]) -> dict[int, dict[tuple[str, float], dict]]:
    """{seed: {(row, eps_av): figures}} of :func:`read_study`'s studies; a row may lie in several folders of its seed.

    Raises:
        ValueError: a row of one seed is two detectors.
    """
    found: dict[int, dict[tuple[str, float], dict]] = {}
    for study in studies:
        rows = found.setdefault(study["seed"], {})
        for (name, eps_av), row in study["rows"].items():
            if rows.setdefault((name, eps_av), row)["sha256"] != row["sha256"]:
                raise ValueError(
                    f"row {name} of seed {study['seed']} is another detector in {study['folder']} than in a folder "
                    "before it: leave one of them out"
                )
    return found


def compare_seeds(folders: Sequence[Path], references: Sequence[str] = REFERENCES) -> dict:
    """What results.json holds: every row at every budget with its seeds and mean, and differences to ``references``.

    Rows that not every seed has are told of those that have them.

    Raises:
        ValueError: a folder is none, all are of one seed, or they differ in examples or attacks.
    """
    studies = sorted((read_study(Path(folder)) for folder in folders), key=lambda study: study["seed"])
    _check_alike(studies)
    seeds = rows_of_seeds(studies)
    known = {name for rows in seeds.values() for name, _ in rows}
    budgets = sorted({eps_av for rows in seeds.values() for _, eps_av in rows})
    # In the paper's order, then others.
    names = [*filter(known.__contains__, TABLE_1), *sorted(known - set(TABLE_1))]
    first = studies[0]["document"]
    example = next(iter(studies[0]["rows"].values()))
    return {
        "format": FORMAT,
        "title": TITLE,
        "options": first["options"],
        "set": first["set"],
        "references": list(references),
        "budgets": budgets,
        "examples": example["examples"],
        "base_clips": example["base_clips"],
        "floor": example["floor"],
        "studies": [
            {
                "folder": study["folder"],
                "seed": study["seed"],
                "command": study["document"]["command"],
                "models": [{k: m[k] for k in ("name", "row", "sha256")} for m in study["document"]["models"]],
            }
            for study in studies
        ],
        "rows": [_row(name, eps_av, seeds, references) for eps_av in budgets for name in names],
    }


def _row(name, eps_av, seeds, references):
    of_seed = {seed: rows[name, eps_av] for seed, rows in seeds.items() if (name, eps_av) in rows}
    row = {"row": name, "eps_av": eps_av, "seeds": list(of_seed)}
    for measure in MEASURES:
        values = {seed: _value(found, measure) for seed, found in of_seed.items()}
        row[measure] = Mean.of([value["value"] for value in values.values()]).to_dict()
        row[f"{measure} of seeds"] = {str(seed): value for seed, value in values.items()}
    for reference in references:
        others = {seed: rows[reference, eps_av] for seed, rows in seeds.items() if (reference, eps_av) in rows}
        pairs = [(mine, others[seed]) for seed, mine in of_seed.items() if seed in others and name != reference]
        if pairs:
            gains = [_worst(mine) - _worst(other) for mine, other in pairs]
            row[f"minus {reference}"] = Mean.of(gains).to_dict() | {"of seeds": gains}
    return row


def _check_alike(studies):
    seeds = sorted({study["seed"] for study in studies})
    if len(seeds) < 2:
        raise ValueError(f"give results of two seeds or more; got {', '.join(map(str, seeds)) or 'none'}")
    first, *others = (study["document"] for study in studies)
    for other in others:
        for key in ("set", "study"):
            if other[key] != first[key]:
                raise ValueError(f"the folders differ in {key}: {first[key]} and {other[key]}")
        if _attacks(other) != _attacks(first):
            raise ValueError("the folders differ in how strongly the examples were attacked")
        if decided_at(other) != decided_at(first):
            raise ValueError(
                f"the folders differ in where frames are decided: {decided_at(first)}, {decided_at(other)}"
            )


def _attacks(document: dict) -> dict:
    """How strongly the examples were attacked; results that are older than an option had it at its default."""
    return asdict(StudyOptions()) | document["options"]["attacks"]


def _value(row: dict, measure: str) -> dict:
    for key in measure.split("."):
        row = row[key]
    return {name: row[name] for name in ("value", "low", "high")}


def _worst(row: dict) -> float:
    return _value(row, WORST_CLIP)["value"]


def seeds_of(found: dict) -> list[int]:
    """The training seeds of a comparison, each once."""
    return list(dict.fromkeys(study["seed"] for study in found["studies"]))


def as_markdown(found: dict) -> str:
    """The tables as people read them, one for each budget."""
    lines = [
        f"# {found['title']}",
        "",
        *("```sh", *(study["command"] for study in found["studies"]), found["command"], "```", ""),
        f"{found['examples']} examples from {found['base_clips']} base clips, the same for all seeds (set "
        f"{', '.join(found['set'].values())}), eps_av {', '.join(f'{eps_av:g}' for eps_av in found['budgets'])}. "
        "Percent of frames right in the worst case: "
        "of every clip the attack that left the fewest; *never wrong* are those that no iterate of any attack decided "
        "wrongly. With 95 % intervals: of a seed by bootstrap over base clips, of a mean and "
        "of a difference by Student's t over the seeds. Differences, in points, are of rows of one seed.",
    ]
    for eps_av in found["budgets"]:
        if len(found["budgets"]) > 1:
            lines += ["", f"## eps_av {eps_av:g}"]
        lines += ["", *_table(found, [row for row in found["rows"] if row["eps_av"] == eps_av])]
    lines += ["", "## Checkpoints", "", "| seed | row | SHA-256 |", "|---|---|---|"]
    for study in found["studies"]:
        lines += [f"| {study['seed']} | {m['row'] or m['name']} | `{m['sha256'][:16]}` |" for m in study["models"]]
    return "\n".join(lines) + "\n"


def _table(found, rows):
    seeds = seeds_of(found)
    told = [f"minus {name}" for name in found["references"] if any(f"minus {name}" in row for row in rows)]
    head = ["row", *(f"seed {seed}: worst case" for seed in seeds)]
    head += ["mean over seeds", "never wrong", "clean", "AP clean", *told]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        each = row[f"{WORST_CLIP} of seeds"]
        cells = [row["row"], *(percent(each.get(str(seed)), interval=True) for seed in seeds)]
        cells += [percent(row[WORST_CLIP], interval=True), percent(row["worst_case"])]
        cells += [percent(row["clean.frame_accuracy"])]
        cells += [percent(row["clean.average_precision"]), *(points(row[name]) if name in row else "" for name in told)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = Parser(
        prog=f"python -m pushpull.evaluate {NAME}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        help="results of table1 or detectors, one folder or several for each training seed",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the comparison")
    parser.add_argument(
        "--against", default=",".join(REFERENCES), help="rows to subtract, comma-separated [%(default)s]"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace finished results of another study")
    given = parser.parse_args(arguments)
    try:
        check_folder(given.out)
        check_finished(given.out, {"study": NAME, "options": {}}, defaults={}, overwrite=given.overwrite)
        references = [name.strip() for name in given.against.split(",") if name.strip()]
        command = f"python -m pushpull.evaluate {NAME} {shlex.join(arguments)}"
        found = {"command": command} | compare_seeds(given.folders, references)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    write_tables(given.out, found, as_markdown(found), seeds_figure(found))
    print(as_markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
