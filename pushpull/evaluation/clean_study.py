"""``python -m pushpull.evaluate clean``: how well detectors do unattacked, kind by kind, at stated false-alarm rates.

A decision threshold says nothing of a detector that was trained elsewhere: what ranks detectors is how many speaking
frames they find while they call so many of the others speaking.
"""

from pathlib import Path

import numpy as np

from pushpull.evaluation.crafting import Evaluator
from pushpull.evaluation.examples import SPEAKING
from pushpull.evaluation.output import decided_at
from pushpull.evaluation.recall import FALSE_ALARMS, recall_at
from pushpull.evaluation.statistics import Clusters
from pushpull.evaluation.written import percent, write_tables
from pushpull.metrics import average_precision

TITLE = "Clean figures, kind by kind"
WANTS_LABELS = "clean figures need labels: give --data, not --videos"
REPLICATES = 500


def run_clean(evaluator: Evaluator, out: Path, told: dict, seed: int = 0) -> dict:
    """Score every example of every detector, and write results.json, .csv and .md into ``out``.

    Returns:
        What results.json holds.

    Raises:
        ValueError: the examples have no labels, or none of them speaks.
    """
    if evaluator.own_labels:
        raise ValueError(WANTS_LABELS)
    rows = [row for name in evaluator.subjects for row in clean_rows(evaluator, name, seed)]
    document = {
        "format": "pushpull-clean/1",
        "title": TITLE,
        **told,
        "set": {crop or "as given": digest for crop, digest in evaluator.hashes.items()},
        "models": [
            {
                "name": name,
                "sha256": subject.sha256,
                "threshold": subject.point.threshold,
                "point": subject.point.name,
                "crop": subject.crop,
                "crop_used": evaluator.crop_of(name),
            }
            for name, subject in evaluator.subjects.items()
        ],
        "rows": rows,
    }
    write_tables(out, document, as_markdown(document))
    return document


def clean_rows(evaluator: Evaluator, name: str, seed: int = 0) -> list[dict]:
    """A row for each kind of example that does not speak, and one for all of them together.

    Returns:
        "model", "kind", "examples", "frames"; with intervals over base clips, rates in 0..1: "called_speaking" (frames
        of this kind above the detector's threshold), "found" (speaking frames above it), and "recall_at_5", ..:
        speaking frames above the threshold at which 5 % of this kind's frames are; "average_precision" of both, its
        "floor".

    Raises:
        ValueError: no example speaks.
    """
    scores = [said.margin[0].numpy() for said in evaluator.clean(name)]
    clusters = Clusters([f"{e.source}/{e.base}" for e in evaluator.examples], replicates=REPLICATES, seed=seed)
    owners = [np.full(len(s), index) for index, s in enumerate(scores)]
    speaking = [i for i, e in enumerate(evaluator.examples) if e.kind == SPEAKING or e.clip.labels.any()]
    if not speaking:
        raise ValueError("no example speaks: there is nothing to find")
    labels = np.concatenate([evaluator.examples[i].clip.labels for i in speaking]) == 1
    positive = (
        np.concatenate([scores[i] for i in speaking])[labels],
        np.concatenate([owners[i] for i in speaking])[labels],
    )
    kinds = dict.fromkeys(e.kind for i, e in enumerate(evaluator.examples) if i not in set(speaking))
    groups = {kind: [i for i, e in enumerate(evaluator.examples) if e.kind == kind] for kind in kinds}
    groups["all"] = [i for members in groups.values() for i in members]
    rows = []
    for kind, members in groups.items():
        if not members:
            continue
        negative = np.concatenate([scores[i] for i in members]), np.concatenate([owners[i] for i in members])
        both = np.concatenate([positive[0], negative[0]])
        truth = np.concatenate([np.ones(len(positive[0])), np.zeros(len(negative[0]))])
        row = {"model": name, "kind": kind, "examples": len(members), "frames": len(negative[0])}
        row["average_precision"] = average_precision(both, truth)
        row["floor"] = float(truth.mean())
        row["called_speaking"] = _share(clusters, *negative)
        row["found"] = _share(clusters, *positive)
        for rate in FALSE_ALARMS:
            value, replicates = recall_at(clusters, positive, negative, rate)
            row[f"recall_at_{100 * rate:g}"] = clusters.interval(replicates, value).to_dict()
        rows.append(row)
    return rows


def _share(clusters: Clusters, scores: np.ndarray, owners: np.ndarray) -> dict:
    """Share of frames above the detector's threshold."""
    count = np.bincount(owners, minlength=clusters.examples)
    above = np.bincount(owners, weights=scores > 0, minlength=clusters.examples)
    value, replicates = clusters.ratio(above, count)
    return clusters.interval(replicates, value).to_dict()


def as_markdown(found: dict) -> str:
    """The table as people read it."""
    lines = [
        f"# {found['title']}",
        "",
        "```sh",
        found["command"],
        "```",
        "",
        f"Set {', '.join(found['set'].values())}. Percent, with 95 % intervals by bootstrap over base clips. *Called "
        f"speaking*: frames of examples that do not speak, above {decided_at(found)}. *Found*: speaking frames "
        "above it. *Recall*: speaking frames found where 5, 10 and 20 % of this kind's frames are false alarms.",
        "",
    ]
    for model in found["models"]:
        facts = f"SHA-256 `{model['sha256'][:16]}`, faces cut as {model['crop_used'] or 'given'}"
        lines += [f"## {model['name']}", "", facts, ""]
        lines += ["| kind | examples | AP (floor) | called speaking | found | recall at 5 % | at 10 % | at 20 % |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for row in (row for row in found["rows"] if row["model"] == model["name"]):
            recalls = (percent(row[f"recall_at_{100 * rate:g}"], interval=True) for rate in FALSE_ALARMS)
            ranked = f"{100 * row['average_precision']:.1f} ({100 * row['floor']:.1f})"
            lines.append(
                f"| {row['kind']} | {row['examples']} | {ranked} | {percent(row['called_speaking'], interval=True)} | "
                f"{percent(row['found'])} | {' | '.join(recalls)} |"
            )
        lines.append("")
    return "\n".join(lines)
