"""The files of a comparison: one report about all detectors, and a folder for each."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from pushpull.files import check_folder as check_place
from pushpull.files import replacing, shown
from pushpull.media import Limits
from pushpull.plots import comparison_figure, save
from pushpull.runs.compare import Comparison
from pushpull.runs.report import Source
from pushpull.runs.run import Run
from pushpull.runs.save import taken, write_report, write_results
from pushpull.runs.video import describe

FORMAT = "pushpull.compare/1"
COMPARISON = "comparison.json"
# Name of each file to what it is; the report comes last, so that a folder with a report is complete.
COMPARISON_FILES = {
    "comparison.md": "the numbers as a table with what they mean",
    "comparison.png": "the detectors' scores above each other on one time axis",
    "comparison.csv": "every metric of every detector and version of the clip",
    "comparison_scores.csv": "score of every frame by every detector, as log-odds",
    COMPARISON: "every number and setting; the folders' reports repeat the runs",
}


def folder_name(detector: str) -> str:
    """What the folder of a detector is called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", detector).strip("-.") or "detector"


def check_comparison_folder(folder: str | os.PathLike, detectors: Iterable[str], *, overwrite: bool) -> None:
    """Raise ValueError if files of a comparison would replace something, or could not be written."""
    folder = Path(folder)
    check_place(folder)
    there = [name for name in COMPARISON_FILES if (folder / name).exists()]
    names = [folder_name(name) for name in detectors]
    if len(set(names)) < len(names):
        raise ValueError(f"the detectors' names give the same folders: {', '.join(names)}; call them differently")
    there += [f"{name}/{file}" for name in names for file in taken(folder / name)]
    if there and not overwrite:
        raise ValueError(f"{folder} already holds {', '.join(there)}; give another folder, or allow to overwrite them")


def write_comparison(
    folder: str | os.PathLike,
    comparison: Comparison,
    *,
    source: Source | None = None,
    limits: Limits = Limits(),
    say: Callable[[str], object] = lambda text: None,
    films: bool = True,
) -> dict[str, Path]:
    """Write the files of ``COMPARISON_FILES`` into ``folder``, and each detector's into a folder of its own below it.

    Args:
        folder: made if needed.
        comparison: the runs.
        source, limits, films: as :func:`pushpull.runs.save.write_results`.
        say: called with what is being written.

    Returns:
        {name relative to ``folder``: path}.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / COMPARISON).unlink(missing_ok=True)
    paths = {}
    for name, run in comparison.runs.items():
        place = folder_name(name)

        def tell(text: str, name=name) -> None:
            say(f"{name}: {text}")

        files = write_results(folder / place, run, source=source, limits=limits, say=tell, films=films)
        paths |= {f"{place}/{file}": path for file, path in files.items()}
    say("the comparison")
    with replacing(folder / "comparison.md", "w") as handle:
        handle.write(markdown(comparison))
    save(figure_of(comparison), folder / "comparison.png")
    comparison.metrics_table().to_csv(folder / "comparison.csv", index=False)
    comparison.scores_table().to_csv(folder / "comparison_scores.csv", index=False)
    write_report(folder / COMPARISON, comparison_report(comparison, source=source))
    return {name: folder / name for name in COMPARISON_FILES} | paths


def comparison_report(comparison: Comparison, *, source: Source | None = None) -> dict:
    """Everything about a comparison, ready for JSON; what belongs to one detector is in its own report."""
    return {
        "format": FORMAT,
        "transfer_from": comparison.transfer_from,
        "remarks": list(comparison.remarks),
        "detectors": {name: _entry(run) | {"folder": folder_name(name)} for name, run in comparison.runs.items()},
        **_common(comparison, source),
    }


def _common(comparison: Comparison, source: Source | None) -> dict:
    first = next(iter(comparison.runs.values())).report()
    spec = {name: value for name, value in first["spec"].items() if name not in ("model", "labels", "objective")}
    told = first["source"] | ({} if source is None else {"path": source.path})
    return {"source": told, "spec": spec, "budgets": first["budgets"], "environment": first["environment"]}


def _entry(run: Run) -> dict:
    report = run.report()
    keys = ("checkpoint", "made_on", "reference", "metrics", "loss", "seconds", "digest")
    return {"objective": run.spec.objective, "crop": run.clip.crop} | {key: report[key] for key in keys}


def figure_of(comparison: Comparison):
    """The figure of :func:`pushpull.plots.comparison_figure` for a comparison."""
    runs = list(comparison.runs.values())
    notes = {}
    for name, run in comparison.runs.items():
        column = run.metrics["adversarial"]
        made = ", attacked" if name == comparison.transfer_from else ""
        notes[name] = f"({column['flipped']} of {column['frames']} frames flipped{made})"
    return comparison_figure(
        {name: run.margins for name, run in comparison.runs.items()},
        labels=None if any(run.own_labels for run in runs) else runs[0].labels[0].numpy(),
        notes=notes,
        title=headline(comparison),
    )


def headline(comparison: Comparison) -> str:
    """Clip, attack and budget in a line."""
    first = next(iter(comparison.runs.values()))
    how = f"made on {comparison.transfer_from}" if comparison.transfer_from else "white-box on each"
    return f"{shown(first.clip.name)}: {describe(first).split('; ')[0]}; {how}"


def markdown(comparison: Comparison) -> str:
    """The comparison as a page of Markdown: what was done, the table, what its words mean."""
    names = list(comparison.runs)
    rows = comparison.rows()
    lines = [f"# {headline(comparison)}", "", *(f"{remark}\n" for remark in comparison.remarks)]
    lines += ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for title, metric, values in rows:
        cells = ("–" if values[name] is None else metric.write(values[name]) for name in names)
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    meanings = dict.fromkeys((metric.title, metric.meaning) for _, metric, _ in rows)
    lines += ["", "![scores](comparison.png)", "", *(f"* {title}: {meaning}" for title, meaning in meanings)]
    lines += [
        "",
        "*adversarial* is the clip as the attack found it, *stored* as 8-bit frames and 16-bit samples hold it.",
    ]
    return "\n".join(lines) + "\n"
