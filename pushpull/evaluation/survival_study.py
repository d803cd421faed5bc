"""``python -m pushpull.evaluate survival``: what storage, codecs, resizing and a shift leave of an attack."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pushpull.attacks import BIM
from pushpull.evaluation.crafting import Evaluator
from pushpull.evaluation.output import decided_at
from pushpull.evaluation.records import RecordStore
from pushpull.evaluation.studies import StudyOptions
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.survival import BATCH, Setting, measure, tabulate
from pushpull.evaluation.written import percent, write_tables
from pushpull.files import read_text
from pushpull.plots.style import save
from pushpull.plots.survival import survival_figure

TITLE = "What survives storage and transport"
EPS_AV = "1,5,20"


def run_survival(
    evaluator: Evaluator, options: StudyOptions, out: Path, told: dict, on_examples: Callable[[int], None]
) -> dict:
    """Measure every detector of the evaluator, and write results.json, .csv, .md and a figure for each into ``out``.

    Examples that an earlier call measured in ``out`` are read. With several processes, one detector after the other is
    measured by the first.

    Returns:
        What results.json holds.
    """
    setting = Setting(attack=BIM(steps=options.steps), eps_avs=options.budgets, seed=options.seed)
    rows = []
    for subject in evaluator.subjects.values():
        found = _measured(evaluator, subject, setting, out, on_examples)
        mine = [{"model": subject.name} | row for row in tabulate(found, setting.channels, seed=options.seed)]
        save(survival_figure(mine, title=subject.name), out / f"{subject.name}.png")
        rows += mine
    document = {
        "format": "pushpull-survival/1",
        "title": TITLE,
        **told,
        "own_labels": evaluator.own_labels,
        "set": {crop or "as given": digest for crop, digest in evaluator.hashes.items()},
        "models": [
            {
                "name": name,
                "sha256": subject.sha256,
                "threshold": subject.point.threshold,
                "point": subject.point.name,
            }
            for name, subject in evaluator.subjects.items()
        ],
        "attack": {"name": "bim"} | asdict(setting.attack),
        "rows": rows,
    }
    write_tables(out, document, as_markdown(document))
    return document


def _measured(evaluator: Evaluator, subject: Subject, setting: Setting, out: Path, on_examples) -> list[dict]:
    """Every example of one detector, those on disk read; batches are those of a run without interruption."""
    facts = _facts(evaluator, subject, setting)
    key = json.dumps(facts, sort_keys=True)
    path = out / "records" / f"survival-{RecordStore(None, facts).name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    found = _stored(path, key)
    examples = evaluator.cuts[evaluator.crop_of(subject.name)]
    clips = [evaluator.labelled(subject.name, index) for index in range(len(examples))]
    first = len(found) - len(found) % BATCH
    found = found[:first]
    with open(path, "w", encoding="utf-8") as file:
        file.write(key + "\n" + "".join(json.dumps(example) + "\n" for example in found))
        rest = Setting(**{name: getattr(setting, name) for name in asdict(setting)} | {"seed": setting.seed + first})
        bases = [f"{example.source}/{example.base}" for example in examples[first:]]
        for example in measure(subject.detector, clips[first:], rest, bases=bases, cancel=evaluator.cancelled):
            found.append(example)
            file.write(json.dumps(example) + "\n")
            file.flush()
            on_examples(1)
    return found


def _facts(evaluator: Evaluator, subject: Subject, setting: Setting) -> dict:
    """Everything that the numbers of one detector depend on."""
    # What is not used is not told, as in Evaluator.key.
    moved = {"threshold": subject.point.threshold} if subject.point.threshold else {}
    return {
        "sha256": subject.sha256,
        **moved,
        "set": evaluator.hashes[evaluator.crop_of(subject.name)],
        # The set's hash does not say in which order its examples are, and a line is told by its number alone.
        "examples": [example.name for example in evaluator.examples],
        "own_labels": evaluator.own_labels,
        "attack": asdict(setting.attack),
        "eps_avs": setting.eps_avs,
        "channels": [channel.name for channel in setting.channels],
        "seed": setting.seed,
    }


def _stored(path: Path, key: str) -> list[dict]:
    """The examples of an earlier call with the same key, up to the first line that was cut off."""
    if not path.exists():
        return []
    head, *lines = read_text(path).splitlines() or [""]
    found = []
    for line in lines if head == key else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def as_markdown(found: dict) -> str:
    """The table as people read it."""
    lines = [f"# {found['title']}", "", "```sh", found["command"], "```", ""]
    first = found["rows"][0] if found["rows"] else {"clips": 0, "bases": 0, "frames": 0}
    steps = found["attack"]["steps"]
    lines += [
        f"{first['clips']} examples from {first['bases']} base clips, {first['frames']} frames, "
        f"set {', '.join(found['set'].values())}; BIM-{steps}, sound and picture, white-box. Percent of frames decided "
        f"right at {decided_at(found)}, with 95 % intervals by bootstrap over base clips. What a channel does to "
        "clean clips stands beside what it leaves of the attack; *survives* is the attack's harm through the channel "
        "relative to its harm in floating point.",
        "",
    ]
    for model in found["models"]:
        lines += [f"## {model['name']}", "", f"SHA-256 `{model['sha256'][:16]}`", ""]
        lines += ["| eps_av | channel | clean | attacked | survives | perturbation left: sound, picture |"]
        lines += ["|---|---|---|---|---|---|"]
        for row in (row for row in found["rows"] if row["model"] == model["name"]):
            left = ", ".join(percent(row[f"left_{name}"]) for name in ("audio", "video"))
            lines.append(
                f"| {row['eps_av']:g} | {row['title']} | {percent(row['clean'])} | "
                f"{percent(row['attacked'], interval=True)} | {percent(row['survives'])} | {left} |"
            )
        lines.append("")
    return "\n".join(lines)
