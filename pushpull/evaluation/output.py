"""What the files of an evaluation hold: the document of results.json, and its tables as people read them."""

from collections import Counter
from collections.abc import Sequence

from pushpull.detectors.points import OWN
from pushpull.evaluation.crafting import FLOAT32, Evaluator
from pushpull.evaluation.studies import WORST, Study
from pushpull.evaluation.written import p_value, percent, points

FORMAT = "pushpull-evaluation/1"


def document(study: Study, evaluator: Evaluator, rows: Sequence[dict], told: dict) -> dict:
    """Everything about an evaluation, ready for JSON.

    Args:
        told: what only the caller knows: "command", "options", "environment".
    """
    return {
        "format": FORMAT,
        "study": study.name,
        "title": study.title,
        **told,
        "own_labels": evaluator.own_labels,
        "set": {crop or "as given": digest for crop, digest in evaluator.hashes.items()},
        "models": [
            {
                "name": name,
                "row": subject.row,
                "sha256": subject.sha256,
                "threshold": subject.point.threshold,
                "point": subject.point.name,
                "crop": subject.crop,
                "crop_used": evaluator.crop_of(name) or evaluator.examples[0].clip.crop,
                "seed": (subject.card.get("training") or {}).get("seed"),
            }
            for name, subject in evaluator.subjects.items()
        ],
        "examples": [
            {"name": e.name, "kind": e.kind, "base": e.base, "source": e.source, "digest": e.digest}
            for e in evaluator.examples
        ],
        "rows": list(rows),
    }


def as_markdown(found: dict) -> str:
    """The tables as people read them: what was done, then one table for each subset."""
    kinds = Counter(example["kind"].partition(" at ")[0] for example in found["examples"])  # of a film, where in it
    sources = Counter(example["source"] for example in found["examples"])
    bases = len({(example["source"], example["base"]) for example in found["examples"]})
    lines = [
        f"# {found['title']}",
        "",
        "```sh",
        found["command"],
        "```",
        "",
        f"{len(found['examples'])} examples from {bases} base clips "
        f"({', '.join(f'{n} {name}' for name, n in sources.items())}; "
        f"{', '.join(f'{n} {name}' for name, n in kinds.items())}), set {', '.join(found['set'].values())}. "
        "Intervals are 95 %, by bootstrap over base clips. AP is AVA's average precision in percent; its floor, what "
        f"scores that say nothing get, stands beside it. Accuracies are percent of frames at {decided_at(found)}. "
        '"Never wrong" counts frames that no iterate of the attack decided wrongly.',
        "",
    ]
    if attacked_in(found) != FLOAT32:
        lower = attacked_in(found)
        lines += [
            f"Gradients of the attacks are in {lower}. Decisions are scored in float32; iterates that were not kept, "
            f'which "never wrong" counts as well, in {lower}.',
            "",
        ]
    if found["own_labels"]:
        lines += ["What counts as right is each detector's own decision on the unattacked clip.", ""]
    for name in dict.fromkeys(row["set"] for row in found["rows"]):
        lines += _table(name, [row for row in found["rows"] if row["set"] == name])
    lines += ["## Detectors", "", "| name | row | crop | decides at log-odds | SHA-256 |", "|---|---|---|---|---|"]
    for model in found["models"]:
        crop = (
            model["crop"] if model["crop"] == model["crop_used"] else f"{model['crop_used']}, not its {model['crop']}"
        )
        lines.append(
            f"| {model['name']} | {model['row'] or '-'} | {crop} | {model['threshold']:g} | `{model['sha256'][:16]}` |"
        )
    return "\n".join(lines) + "\n"


def attacked_in(found: dict) -> str:
    """The precision of the attacks' gradients; documents from before there was a choice are float32."""
    return found.get("options", {}).get("attacks", {}).get("precision", FLOAT32)


def decided_at(found: dict) -> str:
    """Where the detectors of an evaluation decide, for people."""
    points = dict.fromkeys(model.get("point", OWN) for model in found["models"])
    words = {name: f"the operating point {name.replace('_', ' ')!r} of each detector's card" for name in points}
    return " or ".join((words | {OWN: "each detector's own threshold"})[name] for name in points)


def _table(name: str, rows: Sequence[dict]) -> list[str]:
    first = rows[0]
    lines = [
        f"## Examples: {name}",
        "",
        f"{first['examples']} examples, {first['frames']} frames; floor of AP {100 * first['floor']:.1f}.",
        "",
        "| model | attacked by way of | attack | objective | changes | eps_av | AP clean | AP | AP, paper | "
        "accuracy clean | accuracy | never wrong | stored | ECR sound, picture |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        paper = row["paper"]["mAP"] if row.get("paper") else None
        cells = [
            row["model"],
            "itself" if row["source"] == row["model"] else row["source"],
            f"**{WORST}**"
            if row["attack"] == WORST
            else f"{row['attack'].upper()}-{row['parameters'].get('steps', '')}",
            row["objective"],
            row["modality"],
            f"{row['eps_av']:g}",
            percent(row["clean"]["average_precision"]),
            percent(row["adversarial"]["average_precision"], interval=True),
            "" if paper is None else f"{paper:g}",
            percent(row["clean"]["frame_accuracy"]),
            percent(row["adversarial"]["frame_accuracy"], interval=True),
            percent(row["worst_case"], interval=True),
            percent(row["stored"]["frame_accuracy"]),
            ", ".join(_ratio(row[key]) for key in ("ecr_a", "ecr_v")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, "", *_differences(rows)]


def _differences(rows: Sequence[dict]) -> list[str]:
    """What every detector's worst case is beside that of the first."""
    lines = []
    for row in rows:
        for key in (key for key in row if key.startswith("minus ")):
            found = row[key]["frame_accuracy"]
            never = row[key]["worst_case"]
            lines.append(
                f"| {row['model']} {key} | {row['modality']} | {row['eps_av']:g} | {points(found)} "
                f"| {p_value(found['p_holm'])} | {points(never)} | {p_value(never['p_holm'])} |"
            )
    if not lines:
        return []
    head = "| worst case of | changes | eps_av | accuracy, points | p (Holm) | never wrong, points | p (Holm) |"
    return [head, "|---|---|---|---|---|---|---|", *lines, ""]


def _ratio(figure: dict | None) -> str:
    return "-" if figure is None or figure["value"] is None else f"{figure['value']:.3f}"
