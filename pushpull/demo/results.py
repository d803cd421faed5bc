"""The results in docs/results as a page shows them: each with its question, figure, table, command and limits."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pushpull.evaluation.audit import FORMAT as AUDIT
from pushpull.files import read_text

WORST = "worst case"
TOLD = tuple(f"pushpull-{name}/1" for name in ("clean", "points", "survival", "embeddings", "universal", "seeds"))
MOST_ROWS = 60  # of a table on the page; the files have all of them
DOWNLOADS = {
    "results.csv": "all figures (CSV)",
    "results.json": "everything (JSON)",
    "audit.html": "the audit's page",
    "audit.json": "everything (JSON)",
}


@dataclass(frozen=True)
class Result:
    """One folder of results.

    Args:
        name: of the folder.
        title: for people.
        html: what the page shows.
        markdown: tables below that, of results that are told as text.
    """

    name: str
    title: str
    html: str
    markdown: str = ""


def read_results(folder: Path) -> list[Result]:
    """Every result in ``folder``, in the order of its README's links, the others by name; damaged ones are left out."""
    found = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        try:
            result = _study(path) or _audit(path) or _told(path)
        except (KeyError, TypeError, IndexError, ValueError):
            continue  # of an older version, or damaged: one folder must not cost the others
        if result is not None:
            found[path.name] = result
    listed = read_text(folder / "README.md") if (folder / "README.md").is_file() else ""
    return sorted(found.values(), key=lambda r: (listed.find(f"({r.name}/") % (len(listed) + 1), r.name))


def report_page(folder: Path, name: str) -> Path | None:
    """The page of the audit ``name`` among results; None where there is none."""
    path = folder / name / "audit.html"
    # Only what is listed: a name may be "..".
    return path if name and path in folder.glob("*/audit.html") else None


def _load(path: Path) -> dict | None:
    try:
        found = json.loads(read_text(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _study(folder: Path) -> Result | None:
    """A folder of ``python -m pushpull.evaluate``."""
    found = _load(folder / "results.json")
    if found is None or found.get("format") != "pushpull-evaluation/1":
        return None
    rows = [row for row in found["rows"] if row["set"] == found["rows"][0]["set"]]
    examples = found["examples"]
    bases = len({(example["source"], example["base"]) for example in examples})
    told = (
        f"{len(examples)} examples from {bases} base clips, {rows[0]['frames']} frames; intervals are 95 %, by "
        f"bootstrap over base clips. AP is AVA's average precision; scores that say nothing get "
        f"{100 * rows[0]['floor']:.1f}. "
    )
    if found["own_labels"]:
        told += "What counts as right is each detector's own decision on the unattacked clip."
    html = _heading(found["title"], _note(folder), told) + _picture(folder, found["title"]) + _table(rows)
    return Result(folder.name, found["title"], html + _sources(folder, found["command"]))


def _audit(folder: Path) -> Result | None:
    """A folder of ``python -m pushpull.audit``."""
    found = _load(folder / "audit.json")
    if found is None or found.get("format") != AUDIT:
        return None
    title = f"Audit of {found['model']}: {found['verdict']}"
    bases = found["attacks"]["worst of all"]["base_clips"]
    told = (
        f"{found['examples']} examples from {bases} base clips. "
        f"Frames decided right: {found['clean']:.1f} % unattacked, "
        f"{found['paper_style']:.1f} % under the worst of BIM, MIM and PGD, {found['worst']:.1f} % under the worst "
        f"of all; the best constant answer gets {found['constant']:.1f} %."
    )
    lines = "".join(
        f"<tr><th scope=row>{escape(one['title'])}</th><td>{escape(one['answer'])}</td>"
        f"<td>{_measured(one)} {escape(one['unit'])}</td></tr>"
        for one in found["flags"]
    )
    head = "<tr><th scope=col>question</th><th scope=col></th><th scope=col>measured</th></tr>"
    html = _heading(title, _note(folder), told) + _scroll(f"<table>{head}{lines}</table>", title)
    return Result(folder.name, title, html + _sources(folder, found["command"]))


def _measured(flag: dict) -> str:
    """The number of one question of an audit, with its interval where it has one."""
    if flag["number"] is None:
        return "-"
    return f"{flag['number']:.3g}" + ("" if flag["low"] is None else f" [{flag['low']:.3g}, {flag['high']:.3g}]")


def _told(folder: Path) -> Result | None:
    """A folder whose results are told in ``results.md``: clean figures, points, survival, embeddings, noises."""
    found = _load(folder / "results.json")
    if found is None or found.get("format") not in TOLD or not (folder / "results.md").is_file():
        return None
    # Its heading and its command are on the page already.
    text = read_text(folder / "results.md").partition("```\n\n")[2]
    html = _heading(found["title"], _note(folder), "") + _sources(folder, found["command"])
    pictures = "".join(_embedded(path, found["title"]) for path in sorted(folder.glob("*.png")))
    return Result(folder.name, found["title"], html + pictures, text)


def _note(folder: Path) -> str:
    """What may be said of a result, and what not: ``limits.md`` in its folder, one paragraph."""
    path = folder / "limits.md"
    return read_text(path).strip() if path.is_file() else ""


def _heading(title: str, note: str, told: str) -> str:
    limits = f"<p class=pp-result-limits>{escape(note)}</p>" if note else ""
    return f"<h2>{escape(title)}</h2>{limits}" + (f"<p>{escape(told)}</p>" if told else "")


def _picture(folder: Path, title: str) -> str:
    path = folder / "figure.png"
    return _embedded(path, title) if path.is_file() else ""


def _embedded(path: Path, title: str) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode()
    image = f'<img alt="{escape(title)}; the table has the numbers" src="data:image/png;base64,{encoded}">'
    return f'<div class=pp-result-figure tabindex=0 role=region aria-label="figure of the result">{image}</div>'


def _table(rows: Sequence[dict]) -> str:
    """What is left of each detector; worst cases first where there are some."""
    worst = [row for row in rows if row["attack"] == WORST]
    shown = (worst + [row for row in rows if row["attack"] != WORST])[:MOST_ROWS]
    names = ("detector", "attack", "changes", "eps_av", "AP clean", "AP attacked", "AP, paper", "right clean (%)",
             "right attacked (%)")  # fmt: skip
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    lines = "".join(f"<tr>{_line(row)}</tr>" for row in shown)
    left = f"<p>{len(rows) - len(shown)} more rows are in the files.</p>" if len(rows) > len(shown) else ""
    return _scroll(f"<table><tr>{head}</tr>{lines}</table>", "table of the result") + left


def _line(row: dict) -> str:
    source = row["model"] if row["source"] == row["model"] else f"{row['model']} by way of {row['source']}"
    attack = WORST if row["attack"] == WORST else f"{row['attack'].upper()}, {row['objective'].replace('_', '-')}"
    paper = row["paper"]["mAP"] if row.get("paper") else None
    cells = (
        attack,
        row["modality"],
        f"{row['eps_av']:g}",
        _percent(row["clean"]["average_precision"]),
        _percent(row["adversarial"]["average_precision"]),
        "" if paper is None else f"{paper:g}",
        _percent(row["clean"]["frame_accuracy"]),
        _percent(row["adversarial"]["frame_accuracy"], interval=True),
    )
    return f"<th scope=row>{escape(source)}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells)


def _percent(figure: dict, *, interval: bool = False) -> str:
    if figure["value"] is None:
        return "-"
    bounds = (
        f" ({100 * figure['low']:.0f} to {100 * figure['high']:.0f})" if interval and figure["low"] is not None else ""
    )
    return f"{100 * figure['value']:.1f}{bounds}"


def _scroll(table: str, label: str) -> str:
    """A wide table scrolls by itself, by keyboard as well."""
    return f'<div class=pp-result-table tabindex=0 role=region aria-label="{escape(label)}">{table}</div>'


def _sources(folder: Path, command: str) -> str:
    """The command that makes it again, and the files as links that carry their content."""
    links = []
    for name, text in DOWNLOADS.items():
        path = folder / name
        if path.is_file():
            kind = {"csv": "text/csv", "json": "application/json", "html": "text/html"}[path.suffix[1:]]
            content = base64.b64encode(path.read_bytes()).decode()
            links.append(f'<a download="{folder.name}-{name}" href="data:{kind};base64,{content}">{text}</a>')
    return f"<p>Made by <code>{escape(command)}</code></p><p class=pp-result-files>{' '.join(links)}</p>"
