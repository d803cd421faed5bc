"""A result as files, and its numbers as people read them."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pushpull.files import replacing
from pushpull.plots.style import save

SURE = 0.05  # p, corrected, below which tables show a difference in bold


def write_tables(
    folder: Path, found: dict, markdown: str, figure: Figure | None = None, *, rows: Sequence[dict] | None = None
) -> dict[str, Path]:
    """Write results.json, .csv, .md and, where there is one, figure.png into a folder, which is made if needed.

    Args:
        found: what results.json holds; nan is refused, JSON has none.
        markdown: the tables as people read them.
        rows: what results.csv holds, if not ``found["rows"]``.

    Returns:
        {name: path}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "results.json": json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "results.csv": as_csv(found["rows"] if rows is None else rows),
        "results.md": markdown,
    }
    paths = {}
    for name, text in texts.items():
        paths[name] = folder / name
        with replacing(paths[name], "w") as file:
            file.write(text)
    if figure is not None:
        paths["figure.png"] = save(figure, folder / "figure.png")
    return paths


def as_csv(rows: Sequence[dict]) -> str:
    """Every row on a line; an interval is three columns, NAME, NAME_low and NAME_high."""
    return _as_text([_flat(row) for row in rows])


def add_to_csv(path: Path, rows: Sequence[dict], identity: Sequence[str]) -> None:
    """Put rows into a table that may be there: those of the same ``identity`` are replaced, others stay.

    Args:
        identity: names of the columns that tell what was measured, nested ones with all that they hold.
    """
    known = []
    if path.exists():
        with open(path, encoding="utf-8", newline="") as file:
            known = list(csv.DictReader(file))

    def said(row: dict) -> dict:
        told = {key: str(value) for key, value in row.items() if key.partition(".")[0] in identity}
        return {key: value for key, value in told.items() if value not in ("", "None")}

    new = [_flat(row) for row in rows]
    made = [said(row) for row in new]
    with replacing(path, "w") as file:
        file.write(_as_text([row for row in known if said(row) not in made] + new))


def _as_text(rows: Sequence[dict]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    handle = io.StringIO()
    table = csv.DictWriter(handle, columns, lineterminator="\n", restval="")
    table.writeheader()
    table.writerows(rows)
    return handle.getvalue()


def _flat(row: dict, prefix: str = "") -> dict:
    found = {}
    for name, value in row.items():
        name = prefix + name.replace(" ", "_")
        if isinstance(value, dict) and {"value", "low", "high"} <= set(value):
            found |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
            found |= {f"{name}_{key}": value[key] for key in ("p", "p_holm") if key in value}
        elif isinstance(value, dict):
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def p_value(p: float | None) -> str:
    """Three digits, "-" where it is not defined."""
    return "-" if p is None else f"{p:.3f}"


def emphasised(text: str, change: dict | None) -> str:
    """``text``, in bold where ``change``, a difference as results hold it, is significant after Holm's correction."""
    sure = change is not None and change["p_holm"] is not None and change["p_holm"] < SURE
    return f"**{text}**" if sure else text


def percent(figure: dict | None, *, interval: bool = False) -> str:
    """A share as percent, "-" where it is not defined."""
    if figure is None or figure["value"] is None:
        return "-"
    text = f"{100 * figure['value']:.1f}"
    if interval and figure["low"] is not None:
        text += f" [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"
    return text


def points(figure: dict) -> str:
    """A difference of shares in points, with its sign and interval."""
    if figure["value"] is None:
        return "-"
    bounds = "" if figure["low"] is None else f" [{100 * figure['low']:+.1f}, {100 * figure['high']:+.1f}]"
    return f"{100 * figure['value']:+.1f}{bounds}"
