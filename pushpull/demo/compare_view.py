"""What the Compare tab shows: what <pp-compare> draws, the table, the progress and the files of a comparison."""

import json
import math
import shutil
import zipfile
from html import escape
from pathlib import Path

import numpy as np

from pushpull.attacks import Step
from pushpull.clip import FPS
from pushpull.demo import models, tables, view
from pushpull.demo.intake import LIMITS, Subject
from pushpull.demo.made import file_prefix, options_of, shell
from pushpull.demo.presentation import run_clusters
from pushpull.demo.storage import ResultFolder
from pushpull.metrics import COLUMNS, FLOORS
from pushpull.runs.compare import TOLD, Comparison
from pushpull.runs.compare_save import COMPARISON_FILES, folder_name, write_comparison
from pushpull.runs.run import Run

ZIP = "comparison.zip"
OFFERED = {
    ZIP: ("Everything (ZIP)", "the files below, and each model's bit-exact clip, scores, figures and report"),
    "comparison.png": ("Figure", ""),
    "comparison.csv": ("Numbers (CSV)", ""),
    "comparison_scores.csv": ("Scores (CSV)", ""),
    "comparison.json": ("Report (JSON)", ""),
}
TRUTH = "The bar under each strip is the truth: gold where the face really speaks."
OWN = "The bar under each strip is what that model said of the clean clip; nobody labelled it: gold is speaking."


EXPLANATION = """
<section class="pp-about"><h2>What is compared?</h2><ol>
  <li><b>Attack each model itself</b>White-box: the noise is made anew for every model, with its own gradient. This
  is how robust a model is by itself, and what adversarial training and the AVIL losses are to improve.</li>
  <li><b>One model's noise on all</b>Transfer: the noise is made once, on one model, and every other hears and sees the
  same. This is what an attacker can do who does not know the model.</li>
  <li><b>One clip, one axis</b>Each model gets the face cut as in its training, out of the same video. Their scores
  stand above each other, so that one sees where each gives way.</li>
</ol></section>"""


def write_compare(folder: ResultFolder, subject: Subject, face: int, comparison: Comparison) -> str:
    """Write compare.json and the clip that it plays into ``folder``; the address of the former."""
    runs = comparison.runs
    first = next(iter(runs.values()))
    screen = view.write_clean(folder, subject, face, first.clip)
    content = {
        "fps": FPS,
        "frames": first.clip.frames,
        "file": screen["files"]["scene"],
        "size": view.size(subject),
        "boxes": view.boxes(subject, face),
        "marks": OWN if first.own_labels else TRUTH,
        "models": [_model(name, run, comparison.transfer_from) for name, run in runs.items()],
    }
    (folder.path / "compare.json").write_text(json.dumps(content), encoding="utf-8")
    return folder.url("compare.json")


def _model(name: str, run: Run, transfer_from: str | None) -> dict:
    frames = run.clip.frames
    flipped = {version: run.metrics[version]["flipped"] / frames for version in ("adversarial", "stored")}
    words = models.network(run.card)
    if name == transfer_from:
        words += "; the noise was made on it"
    return {
        "name": name,
        "words": f"{words}. {run.metrics['adversarial']['flipped']} of {frames} frames flipped",
        "scores": {version: np.round(margin.astype(np.float64), 3).tolist() for version, margin in run.margins.items()},
        "classes": run.labels[0].tolist(),
        "flipped": flipped,
        "embeddings": run_clusters(run),
    }


def player(address: str) -> str:
    """The comparison at ``address``."""
    return f'<pp-compare src="{escape(address)}"></pp-compare>'


def headline(comparison: Comparison) -> str:
    """The result in one breath, as HTML."""
    first = next(iter(comparison.runs.values()))
    frames = first.clip.frames
    flipped = {name: run.metrics["adversarial"]["flipped"] for name, run in comparison.runs.items()}
    if comparison.transfer_from is not None:
        source = comparison.transfer_from
        others = {name: count for name, count in flipped.items() if name != source}
        words = (
            f'Noise made on <em>{escape(source)}</em> flips <em class="push">{flipped[source]} of {frames}</em> frames '
            f"there, and on the others {_listed(others)}."
        )
    else:
        best = min(flipped, key=flipped.__getitem__)
        words = f"The same attack, made for each model anew, flips {_listed(flipped)} of {frames} frames."
        second = min((name for name in flipped if name != best), key=flipped.__getitem__, default=best)
        if clearly_fewer(flipped[best], flipped[second], frames):
            words += f' <em class="pull">{escape(best)}</em> holds best.'
    return f'<p class="pp-sentence" role="status">{words}</p>'


def clearly_fewer(few: int, many: int, frames: int) -> bool:
    """Whether ``few`` of ``frames`` frames flipped is less than ``many`` by more than chance.

    By two standard errors of a difference of shares. Neighbouring frames are alike, so that this is the least to ask.
    """
    share = (few + many) / (2 * frames)
    return (many - few) / frames > 2 * math.sqrt(2 * share * (1 - share) / frames)


def _listed(counts: dict[str, int]) -> str:
    parts = [f'<em class="push">{count}</em> ({escape(name)})' for name, count in counts.items()]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def table(comparison: Comparison) -> str:
    """The numbers: a row for each metric, a column for each model; what is best after the attack stands out."""
    names = list(comparison.runs)
    head = "".join(f'<th scope="col" class="n">{escape(name)}</th>' for name in names)
    body = []
    for metric in {metric.name: metric for _, metric, _ in comparison.rows()}.values():
        best = _best(metric, comparison)
        cells = "".join(_cell(metric, comparison.runs[name], name in best) for name in names)
        body.append(f'<tr><th scope="row">{metric.title}<small>{metric.meaning}</small></th>{cells}</tr>')
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in comparison.remarks)
    columns = "Big is the <em>adversarial</em> clip; before the arrow the <em>clean</em> one; small as <em>stored</em>."
    rows = f'<table class="pp-table"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    more = f'<ul class="pp-remarks">{remarks}</ul>' if remarks else ""
    return f"<h2>Numbers</h2><p>{columns}</p>{tables.scroll(rows, 'Numbers')}{more}"


def _best(metric, comparison: Comparison) -> set[str]:
    """The models that hold best by this metric; none where all are alike, nothing is better or it may be chance."""
    values = {name: run.metrics["adversarial"][metric.name] for name, run in comparison.runs.items()}
    values = {name: value for name, value in values.items() if value is not None}
    if not metric.better or len(set(values.values())) < 2:
        return set()
    wanted, *others = sorted(set(values.values()), reverse=metric.better == "higher")
    frames = next(iter(comparison.runs.values())).clip.frames
    counted = {"frames": 1, "share": frames}.get(metric.unit.partition(" ")[0])
    if counted is not None:
        few, many = sorted((round(wanted * counted), round(others[0] * counted)))
        if not clearly_fewer(few, many, frames):
            return set()
    return {name for name, value in values.items() if value == wanted}


def _cell(metric, run: Run, best: bool) -> str:
    written = {
        version: "–" if (value := run.metrics[version][metric.name]) is None else metric.write(value)
        for version in COLUMNS
    }
    told = TOLD[metric.name]
    main = f'<b class="{"best" if best else ""}">{written["clean" if metric.name in FLOORS else "adversarial"]}</b>'
    if "clean" in told and metric.name not in FLOORS:
        main = f"{written['clean']} → {main}"
    stored = f"<small>stored {written['stored']}</small>" if "stored" in told else ""
    return f'<td class="n">{main}{stored}</td>'


def progress(
    names: list[str], told: dict[str, str], trace: list[Step], now: str | None, share: float, note: str = ""
) -> str:
    """How far a comparison is: a line for each model, and a bar for the one that is attacked.

    Args:
        names: the models.
        told: what came of those that are done.
        trace: steps so far of the one that is attacked.
        now: its name.
        share: of the whole work, 0..1.
        note: what is done instead of a step.
    """
    items, otherwise = [], "waits" if share < 1 else "left out"
    for name in names:
        said, state = told.get(name), "done" if name in told else "now" if name == now else ""
        if said is None and name == now and trace:
            said = f"step {trace[-1].step} of {trace[-1].steps}, {100 * trace[-1].flipped_share:.0f} % flipped"
        items.append(f'<li class="{state}">{escape(name)}<span>{escape(said or otherwise)}</span></li>')
    text = note or (f"Attacking {now}" if now else "Starting")
    head = f"<header><b>{escape(text)}</b><span>{100 * share:.0f} %</span></header>"
    bar = f'<div class="pp-bar"><i style="width:{100 * share:.1f}%"></i></div>'
    return f'<div class="pp-run" role="status">{head}{bar}<ol class="pp-queue">{"".join(items)}</ol></div>'


def outcome(run: Run) -> str:
    """What came of one model, for the list of progress."""
    column = run.metrics["adversarial"]
    return f"{column['flipped']} of {column['frames']} frames flipped"


def write_files(folder: ResultFolder, subject: Subject, comparison: Comparison, say) -> str:
    """Write the files to take away into ``folder``; links to them, as HTML."""
    place = folder.path / "files"
    files = write_comparison(place, comparison, source=subject.source, limits=LIMITS, say=say, films=False)
    say("the ZIP")
    pack(folder.path / ZIP, files)
    for name in COMPARISON_FILES:
        (place / name).replace(folder.path / name)
    shutil.rmtree(place, ignore_errors=True)  # it is in the ZIP
    entries = [
        (folder.url(name), title, note or COMPARISON_FILES.get(name, "")) for name, (title, note) in OFFERED.items()
    ]
    again = ["--model", ",".join(comparison.runs)]
    if comparison.transfer_from:
        again += ["--transfer-from", comparison.transfer_from]
    again += options_of(comparison.spec)
    words = "The same from the shell, annotated videos of every model included:"
    name, first = next(iter(comparison.runs.items()))
    if not first.own_labels:
        again += ["--labels", f"{folder_name(name)}/scores.csv"]
        words = "The same from the shell, beside what the ZIP holds, annotated videos of every model included:"
    command = shell(subject.source.path, *again)
    return tables.files(entries, command, words, prefix=file_prefix(subject.source.path, comparison.spec))


def pack(path: Path, files: dict[str, Path]) -> Path:
    """The files under their names in a ZIP archive; videos and pictures are stored as they are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files.items():
            loose = file.suffix in (".csv", ".json", ".md")
            archive.write(file, name, zipfile.ZIP_DEFLATED if loose else zipfile.ZIP_STORED)
    return path
