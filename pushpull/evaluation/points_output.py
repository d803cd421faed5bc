"""The files of a choice of operating points: results.json, results.csv, results.md."""

from collections.abc import Sequence
from pathlib import Path

from pushpull.detectors.points import OWN
from pushpull.evaluation.points import Rule
from pushpull.evaluation.points_rows import DEVELOPMENT
from pushpull.evaluation.recall import FALSE_ALARMS
from pushpull.evaluation.written import SURE, emphasised, percent, points, write_tables

FORMAT = "pushpull-points/1"
TITLES = {OWN: "own threshold"}
ORDER = ("still", "frozen", "silence", "noise", "swapped", "shifted")


def document(
    title: str,
    told: dict,
    rules: Sequence[Rule],
    footage: Sequence[dict],
    models: Sequence[dict],
    rows: Sequence[dict],
    ranked: Sequence[dict],
) -> dict:
    """Everything about a choice of points, ready for JSON.

    Args:
        told: "command", "options", "environment".
        footage: what was scored, see :class:`pushpull.evaluation.points_rows.Footage`.
        models, rows: of the detectors.
        ranked: see :func:`pushpull.evaluation.points_ranking.ranking`, with "data".
    """
    listed = [{"point": rule.name, "rate": rule.rate, "over": list(rule.kinds)} for rule in rules]
    parts = {"rules": listed, "footage": list(footage), "models": list(models), "rows": list(rows)}
    parts |= {"ranking": list(ranked)}
    return {"format": FORMAT, "title": title, **told, **parts}


def write_results(folder: Path, found: dict) -> None:
    """Write the files into a folder, which is made if needed."""
    rows = [{**row, "over": "+".join(row.get("over", ()))} for row in found["rows"]]
    write_tables(folder, found, as_markdown(found), rows=rows)


def as_markdown(found: dict) -> str:
    """The tables as people read them, one for each set of footage."""
    rules = "; ".join(
        f"*{rule['point'].replace('_', ' ')}*: {100 * rule['rate']:g} % of all frames of {_listed(rule['over'])}"
        for rule in found["rules"]
    )
    lines = [f"# {found['title']}", "", "```sh", found["command"], "```", ""]
    lines += [
        "Thresholds are in each detector's own log-odds. Each point is the threshold at which a stated share of frames "
        f"that do not speak are false alarms: {rules}. They were chosen on the development set, so that what is told "
        "of it is told of footage that they fit. *Found*: speaking frames above the threshold; other columns: frames "
        "of that kind above it. Percent, with 95 % intervals by bootstrap over base clips; that of a threshold is of "
        "the same choice on resampled clips.",
        "",
    ]
    for name in dict.fromkeys(row["data"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["data"] == name]
        role = "the development set" if rows[0]["role"] == DEVELOPMENT else "elsewhere: the points are not its own"
        sets = (
            f"{each['clips']} clips, {each['frames']} frames, cut as {each['crop']}, set {each['set']}"
            for each in found["footage"]
            if each["name"] == name
        )
        lines += [f"## {name}: {role}", "", f"{'; '.join(sets)}.", "", *_table(rows), ""]
        lines += [*_ranking([row for row in found["ranking"] if row["data"] == name]), ""]
    lines += ["## Detectors", "", "| name | crop | SHA-256 |", "|---|---|---|"]
    lines += [f"| {model['name']} | {model['crop']} | `{model['sha256'][:16]}` |" for model in found["models"]]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[dict]) -> list[str]:
    kinds = [kind for kind in ORDER if any(kind in row["false_alarms"] for row in rows)]
    lines = [
        f"| model | point | threshold | found | {' | '.join(kinds)} |",
        "|---|---|---|---" + "|---" * len(kinds) + "|",
    ]
    for row in rows:
        cells = [row["model"], TITLES.get(row["point"], row["point"].replace("_", " ")), _threshold(row)]
        cells += [percent(row["found"], interval=True)]
        cells += [percent(row["false_alarms"].get(kind), interval=True) for kind in kinds]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _ranking(rows: Sequence[dict]) -> list[str]:
    rates = [f"{100 * rate:g}" for rate in FALSE_ALARMS]
    first, compared = rows[0]["model"], any(_change(row, rows[0]["model"], rates[0]) for row in rows)
    told = ["Speaking frames found where so many frames of each kind are false alarms, whatever the threshold"]
    told += [f"; points minus {first}, paired, in bold where p < {SURE:g} (Holm)"] if compared else []
    head = ["model", "kind", *(f"at {rate} %" for rate in rates)]
    head += [f"minus {first}, at {rate} %" for rate in rates] if compared else []
    lines = ["".join(told) + ".", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in sorted(rows, key=lambda row: ORDER.index(row["kind"])):
        cells = [row["model"], row["kind"], *(percent(row[f"recall_at_{rate}"], interval=True) for rate in rates)]
        if compared:
            cells += [_told_change(_change(row, first, rate)) for rate in rates]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _change(row: dict, first: str, rate: str) -> dict | None:
    return row.get(f"minus {first}_at_{rate}")


def _told_change(change: dict | None) -> str:
    return "" if change is None else emphasised(points(change), change)


def _threshold(row: dict) -> str:
    bounds = row.get("threshold_interval")
    text = f"{row['threshold']:.2f}"
    if row["role"] != DEVELOPMENT or bounds is None or bounds["low"] is None:
        return text
    return f"{text} [{bounds['low']:.2f}, {bounds['high']:.2f}]"


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(kinds[:-1]) + f" and {kinds[-1]}" if len(kinds) > 1 else kinds[0]
