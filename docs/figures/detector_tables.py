"""Tables of docs/results/detectors.md, made of the results in docs/results: clean, attacked, transferred."""

import json
from pathlib import Path

from pushpull.evaluation.written import percent

RESULTS = Path(__file__).parents[1] / "results"
CLEAN = {"GRID": "clean-grid", "heads": "clean-heads"}
ATTACKED = {
    "GRID and heads": ("detectors-all",),
    "GRID": ("detectors-grid", "detectors-grid-other"),
    "heads": ("detectors-heads", "detectors-heads-other"),
    "film": ("detectors-film", "detectors-film-other"),
}
TRANSFER = "transfer-detectors"
WORST = "worst case"
ALONE = {"audio": "sound", "video": "picture"}


def read(folder: str) -> dict:
    return json.loads((RESULTS / folder / "results.json").read_text(encoding="utf-8"))


def clean() -> str:
    """How well detectors do unattacked, on the footage of the attacks."""
    head = ["footage", "detector", "speaking found", "swapped", "shifted", "resting lips", "noise",
            "swapped: found at 5 %", "at 10 %", "at 20 %", "shifted: at 5 %", "resting: at 5 %"]  # fmt: skip
    lines = heading(head, left=2)
    for footage, folder in CLEAN.items():
        rows = {(row["model"], row["kind"]): row for row in read(folder)["rows"]}
        for name in dict.fromkeys(model for model, _ in rows):
            of = {kind: rows[name, kind] for kind in ("swapped", "shifted", "still", "noise")}
            cells = [footage, f"`{name}`", percent(of["swapped"]["found"])]
            cells += [percent(row["called_speaking"]) for row in of.values()]
            cells += [percent(of["swapped"][f"recall_at_{rate}"], interval=rate == 5) for rate in (5, 10, 20)]
            cells += [percent(of[kind]["recall_at_5"]) for kind in ("shifted", "still")]
            lines.append(table_row(cells))
    return "\n".join(lines)


def attacked(footage: str) -> str:
    """What the worst of cross entropy and margin leaves of every detector, budget by budget, and by modality."""
    rows, notes = {}, []
    for folder in ATTACKED[footage]:
        found = read(folder)
        for row in found["rows"]:
            if row["attack"] == WORST and row["set"] == "all":
                # Detectors of the first folder are told from there: the second has them to be compared with.
                place = rows.setdefault(row["model"], {"folder": folder})
                if place["folder"] == folder:
                    place[row["modality"], row["eps_av"]] = row
        bases = len({(example["source"], example["base"]) for example in found["examples"]})
        notes.append(f"[{folder}]({folder}/results.md): {len(found['examples'])} examples of {bases} base clips")
    changed = {key for place in rows.values() for key in place if key != "folder"}
    budgets = sorted({eps_av for _, eps_av in changed})
    alone = [modality for modality in ("audio", "video") if (modality, 5.0) in changed]
    head = ["detector", "clean", *(f"eps_av {eps:g}" for eps in budgets)]
    head += [f"{ALONE[modality]} alone, 5" for modality in alone] + ["stored, 5", "AP at 5 (floor)"]
    lines = heading(head, left=1)
    for name, place in rows.items():
        at_5 = place["both", 5.0]
        cells = [f"`{name}`", percent(at_5["clean"]["frame_accuracy"])]
        for eps in budgets:
            here = place.get(("both", eps))
            cells.append(percent(here["adversarial"]["frame_accuracy"], interval=True) if here else "")
        for modality in alone:
            here = place.get((modality, 5.0))
            cells.append(percent(here["adversarial"]["frame_accuracy"]) if here else "")
        cells.append(percent(at_5["stored"]["frame_accuracy"]))
        cells.append(f"{percent(at_5['adversarial']['average_precision'])} ({100 * at_5['floor']:.1f})")
        lines.append(table_row(cells))
    return "\n".join([*lines, "", "; ".join(notes) + "."])


def transfer() -> str:
    """Frames still right, of every pair: made on the row's detector, decided by the column's."""
    found = read(TRANSFER)
    rows = [row for row in found["rows"] if row["set"] == "all"]
    targets = list(dict.fromkeys(row["model"] for row in rows))
    lines = heading(["eps_av", "attack", "made on", *(f"`{name}`" for name in targets)], left=3)
    for eps_av in sorted({row["eps_av"] for row in rows}):
        at = [row for row in rows if row["eps_av"] == eps_av]
        for attack, steps in dict.fromkeys((row["attack"], row["parameters"]["steps"]) for row in at):
            for source in dict.fromkeys(row["source"] for row in at):
                cells = {
                    row["model"]: percent(row["adversarial"]["frame_accuracy"])
                    for row in at
                    if (row["attack"], row["parameters"]["steps"], row["source"]) == (attack, steps, source)
                }
                if len(cells) > 1:
                    shown = [f"**{cells[name]}**" if name == source else cells[name] for name in targets]
                    lines.append(table_row([f"{eps_av:g}", f"{attack.upper()}-{steps}", f"`{source}`", *shown]))
        together = {row["model"]: percent(row["adversarial"]["frame_accuracy"]) for row in at if " + " in row["source"]}
        if together:
            steps = next(row["parameters"]["steps"] for row in at if " + " in row["source"])
            lines.append(
                table_row([f"{eps_av:g}", f"MIM-{steps}", "all others together", *(together[name] for name in targets)])
            )
    bases = len({(example["source"], example["base"]) for example in found["examples"]})
    note = (
        f"[{TRANSFER}]({TRANSFER}/results.md), with intervals: {len(found['examples'])} examples of {bases} base clips."
    )
    return "\n".join([*lines, "", note])


def heading(cells: list[str], left: int) -> list[str]:
    return [table_row(cells), "|" + "---|" * left + "---:|" * (len(cells) - left)]


def table_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
