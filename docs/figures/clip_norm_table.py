"""The table of detectors that normalise by the clip's own statistics, made of docs/results/clip-norm*."""

from detector_tables import WORST, heading, read, table_row

from pushpull.detectors.clip_norm import split_share
from pushpull.evaluation.written import percent

RANKED, ATTACKED = "clip-norm", "clip-norm-attacked"
FOOTAGE = {"strangers": "strangers", "grid_s1": "GRID", "talkheads:heads-eval": "heads"}
KINDS = {
    "swapped": "swapped",
    "shifted": "shifted",
    "still": "resting lips",
    "frozen": "frozen faces",
    "noise": "noise",
}


def ranked() -> str:
    """Speaking frames found at 5 % false alarms of each kind, by footage and share."""
    rows = {(row["data"], row["model"], row["kind"]): row for row in read(RANKED)["ranking"]}
    lines = heading(["footage", "share of the clip's own", *KINDS.values()], left=1)
    for data, shown in FOOTAGE.items():
        models = list(dict.fromkeys(model for place, model, _ in rows if place == data))
        for model in models:
            cells = [shown, _share(model)]
            lines.append(table_row([*cells, *(_found(rows[data, model, kind], models[0]) for kind in KINDS)]))
    return "\n".join(lines)


def attacked() -> str:
    """What the worst of cross entropy and margin leaves, by budget."""
    found = read(ATTACKED)
    worst = [row for row in found["rows"] if row["attack"] == WORST and row["set"] == "all"]
    budgets = sorted({row["eps_av"] for row in worst})
    lines = heading(["share of the clip's own", "unattacked", *(f"eps_av {eps:g}" for eps in budgets)], left=0)
    for model in dict.fromkeys(row["model"] for row in worst):
        mine = {row["eps_av"]: row for row in worst if row["model"] == model}
        cells = [_share(model), percent(mine[budgets[0]]["clean"]["frame_accuracy"], interval=True)]
        cells += [percent(mine[eps]["adversarial"]["frame_accuracy"], interval=True) for eps in budgets]
        lines.append(table_row(cells))
    bases = len({(example["source"], example["base"]) for example in found["examples"]})
    return "\n".join([*lines, "", f"{len(found['examples'])} examples of {bases} base clips."])


def _share(model: str) -> str:
    return f"{split_share(model)[1] or 0:g}"


def _found(row: dict, first: str) -> str:
    text = percent(row["recall_at_5"])
    change = row.get(f"minus {first}_at_5")
    return f"**{text}**" if change and change["p_holm"] is not None and change["p_holm"] < 0.05 else text
