"""``python -m pushpull.evaluate embeddings``: where frames lie before cross-attention, clean and attacked."""

from dataclasses import asdict
from pathlib import Path

from pushpull.attacks import BIM
from pushpull.evaluation.crafting import Condition, Evaluator
from pushpull.evaluation.embeddings import MEASURES, by_kind, embed, embedding_rows, has_embeddings, missing, read_space
from pushpull.evaluation.statistics import Clusters
from pushpull.evaluation.studies import StudyOptions
from pushpull.evaluation.written import emphasised, percent, write_tables
from pushpull.plots.embedding_spaces import embedding_spaces_figure
from pushpull.plots.style import save

FORMAT = "pushpull-embeddings/1"
TITLE = "Fig. 2: do the losses push and pull? Embeddings, clean and attacked"
MODELS = ("A", "B3", "C1", "C4", "D3", "E3")
COLUMNS = {"clean": "clean", "adversarial": "attacked"}
# Of the tables in results.md: the measures, and what stands above them.
TABLES = {
    "Push and pull": ("inter_a", "inter_v", "intra_a", "intra_v", "centres_av", "relative_av", "norm_a", "norm_v"),
    "What the attack does": ("moved_a", "moved_v", "wrong_a", "wrong_v"),
}
HEADS = {
    "inter": "cos of class centres (L1 ↓)",
    "intra": "cos of frame and centre (L2 ↑)",
    "centres_av": "cos of sound's and picture's centre (L3 ↑)",
    "relative_av": "distance of sound and picture / length (L4 ↓)",
    "norm": "length",
    "moved": "moved, share of length",
    "wrong": "nearer to the other class, %",
}
NAMES = {"a": "sound", "v": "picture"}


def embedding_conditions(evaluator: Evaluator, options: StudyOptions) -> list[Condition]:
    """The attack on every detector that has embeddings, by BIM with the paper's objective.

    Raises:
        ValueError: none has.
    """
    names = [name for name in evaluator.subjects if has_embeddings(evaluator, name)]
    if not names:
        raise ValueError(f"none of {', '.join(evaluator.subjects)} gives embeddings e_a and e_v: nothing to measure")
    common = {"eps_av": options.budgets[0], "seed": options.seed, "precision": options.precision}
    return [Condition(source=name, attack=BIM(steps=options.steps), **common) for name in names]


def attack_embeddings(evaluator: Evaluator, conditions: list[Condition]) -> None:
    """This process's share of what is not on disk yet."""
    for condition in conditions:
        embed(evaluator, condition)


def count_missing(evaluator: Evaluator, conditions: list[Condition]) -> int:
    """Examples that still have to be attacked."""
    return sum(len(missing(evaluator, condition)) for condition in conditions)


def write_embeddings(evaluator: Evaluator, conditions: list[Condition], out: Path, told: dict) -> dict:
    """Measure what :func:`attack_embeddings` found, and write results.json, .csv, .md and figure.png into ``out``.

    Returns:
        What results.json holds.
    """
    spaces = {condition.source: read_space(evaluator, condition) for condition in conditions}
    clusters = Clusters([f"{e.source}/{e.base}" for e in evaluator.examples], seed=conditions[0].seed)
    kinds = [example.kind.partition(" at ")[0] for example in evaluator.examples]
    rows = [
        {"row": evaluator.subjects[row["model"]].row}
        | row
        | {"nearer to speaking": by_kind(spaces[row["model"]], kinds, clusters)}
        for row in embedding_rows(spaces, clusters)
    ]
    found = {
        "format": FORMAT,
        "title": TITLE,
        **told,
        "own_labels": evaluator.own_labels,
        "set": {crop or "as given": digest for crop, digest in evaluator.hashes.items()},
        "models": [
            {"name": name, "sha256": subject.sha256, "crop": subject.crop, "crop_used": evaluator.crop_of(name)}
            for name, subject in evaluator.subjects.items()
        ],
        "left_out": [name for name in evaluator.subjects if name not in spaces],
        "attack": {"name": conditions[0].attack_name, "eps_av": conditions[0].eps_av} | asdict(conditions[0].attack),
        "base_clips": clusters.count,
        "measures": MEASURES,
        "rows": rows,
    }
    write_tables(out, found, as_markdown(found))
    save(embedding_spaces_figure(spaces, rows, eps_av=conditions[0].eps_av), out / "figure.png", dpi=110)
    return found


def as_markdown(found: dict) -> str:
    """The tables as people read them."""
    first, attack = found["rows"][0], found["attack"]
    lines = [
        f"# {found['title']}",
        "",
        "```sh",
        found["command"],
        "```",
        "",
        f"{first['examples']} examples from {found['base_clips']} base clips, {first['frames']} frames of which "
        f"{100 * first['speaking']:.0f} % speak, set {', '.join(found['set'].values())}; BIM-{attack['steps']}, "
        f"white-box, sound and picture, eps_av {attack['eps_av']:g}. Embeddings are e_a and e_v, one a frame, before "
        "cross-attention: what the losses L1 to L4 act on, and the arrows say where each wants its number. Intervals "
        "are 95 %, by bootstrap over base clips.",
        "",
    ]
    if found["left_out"]:
        lines += [f"Left out, because they give no embeddings e_a and e_v: {', '.join(found['left_out'])}.", ""]
    for title, measures in TABLES.items():
        lines += [f"## {title}", "", f"| detector | | {' | '.join(_head(m) for m in measures)} |"]
        lines += ["|---|---|" + "---|" * len(measures)]
        for row in found["rows"]:
            for column, name in COLUMNS.items():
                if any(m in row[column] for m in measures if m.startswith("moved")) or title == "Push and pull":
                    cells = [_cell(m, row[column].get(m)) for m in measures]
                    lines.append(f"| {row['model']} | {name} | {' | '.join(cells)} |")
        lines.append("")
    lines += _kinds(found["rows"]) + _differences(found["rows"])
    lines += ["## Detectors", "", "| name | crop | SHA-256 |", "|---|---|---|"]
    lines += [f"| {m['name']} | {m['crop_used'] or 'as given'} | `{m['sha256'][:16]}` |" for m in found["models"]]
    return "\n".join(lines) + "\n"


def _head(measure: str) -> str:
    stem, _, modality = measure.rpartition("_")
    return HEADS[measure] if measure in HEADS else f"{NAMES[modality]}: {HEADS[stem]}"


def _cell(measure: str, figure: dict | None) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    if measure.startswith("wrong"):
        return percent(figure, interval=True)
    digits = 2 if not measure.startswith("norm") else 1
    text = f"{figure['value']:.{digits}f}"
    return text + (f" [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]" if figure["low"] is not None else "")


def _kinds(rows: list[dict]) -> list[str]:
    """What each encoder alone takes the kinds of examples for."""
    kinds = list(rows[0]["nearer to speaking"])
    lines = ["## By kind of example", "", "Frames that are nearer to the clean centre of speaking ones, percent.", ""]
    lines += [f"| detector | | | {' | '.join(kind.replace('_', ' ') for kind in kinds)} |"]
    lines += ["|---|---|---|" + "---|" * len(kinds)]
    for row in rows:
        for m, modality in NAMES.items():
            for column, name in COLUMNS.items():
                cells = [percent(row["nearer to speaking"][kind][column][m], interval=True) for kind in kinds]
                lines.append(f"| {row['model']} | {modality} | {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _differences(rows: list[dict]) -> list[str]:
    """What every detector's numbers are beside those of the first, and whether chance could do it."""
    measures = [m for m in TABLES["Push and pull"] if not m.startswith("norm")] + ["wrong_a", "wrong_v"]
    lines = []
    for row in rows:
        for key in (key for key in row if key.startswith("minus ")):
            for column, name in COLUMNS.items():
                cells = [_difference(row[key][column][m]) for m in measures]
                lines.append(f"| {row['model']} {key} | {name} | {' | '.join(cells)} |")
    if not lines:
        return []
    head = [
        f"| | | {' | '.join(_head(m).replace(', %', '') for m in measures)} |",
        "|---|---|" + "---|" * len(measures),
    ]
    told = "Paired over base clips; in bold where p < .05 after Holm's correction over the detectors."
    return ["## Beside the first", "", told, "", *head, *lines, ""]


def _difference(figure: dict) -> str:
    return emphasised(f"{figure['value']:+.2f}", figure)
