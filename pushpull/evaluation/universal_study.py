"""Universal noises on several detectors, from clips to files: what ``python -m pushpull.universal test`` writes."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pushpull.attacks.looped import UniversalNoise
from pushpull.evaluation.examples import Example, set_hash
from pushpull.evaluation.finished import SHOWN, check_finished
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.universal import UniversalOptions, universal_rows
from pushpull.evaluation.written import percent, write_tables
from pushpull.plots.universal import GOALS, universal_figure

STUDY = "universal"
FORMAT = f"pushpull-{STUDY}/1"
FREE = ("batch",)  # an option that no number depends on
TITLE = "One noise for clips that it has never seen"


def run_universal(
    subjects: Sequence[Subject],
    examples_for: Callable[[Subject], Sequence[Example]],
    noises: Sequence[UniversalNoise],
    out: Path,
    options: UniversalOptions = UniversalOptions(),
    *,
    own_labels: bool = False,
    told: dict | None = None,
    overwrite: bool = False,
    progress: Callable = lambda noises, name: noises,
) -> dict:
    """Try noises on detectors, and write results.json, .csv, .md and figure.png into ``out``.

    Args:
        examples_for: the clips, cut as a detector wants them; asked for once for each detector, before any is tried.
        own_labels: see :func:`pushpull.evaluation.universal.universal_rows`.
        told: what only the caller knows: "command", "environment".
        overwrite: replace finished results of something else in ``out``.
        progress: wraps the noises; called with them and ``name``, the detector's.

    Returns:
        What results.json holds.

    Raises:
        ValueError: ``out`` holds results of other noises, detectors, clips or options; the message says which differ.
    """
    examples = {subject.name: examples_for(subject) for subject in subjects}
    document = {
        "format": FORMAT,
        "title": TITLE,
        **(told or {}),
        "own_labels": own_labels,
        "models": [{"name": subject.name, "sha256": subject.sha256} for subject in subjects],
        "set": {name: set_hash(clips) for name, clips in examples.items()},
        "options": asdict(options)
        | {
            "noises": ", ".join(noise.sha256[:SHOWN] for noise in noises),
            "thresholds": {subject.name: subject.point.threshold for subject in subjects},
        },
        "noises": [{"sha256": noise.sha256, "eps": noise.eps, "facts": noise.facts} for noise in noises],
        "rows": [],
    }
    check_finished(out, {"study": STUDY} | document, defaults={}, free=FREE, overwrite=overwrite)
    for subject in subjects:
        shown = partial(progress, name=subject.name)
        document["rows"] += universal_rows(
            subject, examples[subject.name], noises, options, own_labels=own_labels, progress=shown
        )
        # After each of them: a stopped call has lost one detector, not all.
        write_tables(out, document, as_markdown(document), universal_figure(document["rows"]))
    return document


def as_markdown(document: dict) -> str:
    """The rows as people read them: percent with 95 % intervals over base clips."""
    lines = [f"# {document['title']}", ""]
    if document.get("command"):
        lines += ["```sh", document["command"], "```", ""]
    lines += [
        "Percent of frames, with 95 % intervals by bootstrap over base clips. *Won* is what the goal is after: of all "
        "frames those flipped, of speaking frames those silenced, of the others those made to speak. *Less random*: "
        "frames flipped, less those that random signs of the same budget flip.",
        "",
        "| detector | clips | goal | eps_av | noise | column | flipped | won | less random | accuracy |",
        "|---|---|---|---:|---|---|---:|---:|---:|---:|",
    ]
    for row in document["rows"]:
        goal = row["goal"] or "flip"
        cells = [
            f"{row['detector']}{' (white box)' if row['white_box'] else ''}",
            f"{row['set']}: {row['clips']} of {row['flipped']['clusters']}",
            goal,
            f"{row['eps_av']:g}",
            row["condition"],
            row["column"],
            *(percent(row[name], interval=True) for name in ("flipped", GOALS[goal][0], "beyond_random")),
            " to ".join(percent(row[name]) for name in ("clean_accuracy", "accuracy")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
