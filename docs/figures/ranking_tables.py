"""Tables of how well detectors rank other people's frames, made of `python -m pushpull.evaluate points`."""

from detector_tables import WORST, heading, read, table_row

from pushpull.detectors.clip_norm import split_share
from pushpull.evaluation.written import emphasised, percent

DETECTORS, RANKED, ATTACKED = "ranking", "clip-norm", "clip-norm-attacked"
FOOTAGE = {"strangers": "strangers", "grid_s1": "GRID", "talkheads:heads-eval": "heads"}
KINDS = {
    "swapped": "swapped",
    "shifted": "shifted",
    "still": "resting lips",
    "frozen": "frozen faces",
    "noise": "noise",
}


def detectors() -> str:
    """Speaking frames of strangers found at 5 % false alarms of each kind, at 10 and 20 % for moving lips."""
    rows = {(row["model"], row["kind"]): row for row in read(DETECTORS)["ranking"]}
    models = list(dict.fromkeys(model for model, _ in rows))
    columns = [(kind, rate) for kind in ("swapped", "shifted") for rate in (5, 10, 20)]
    columns += [(kind, 5) for kind in ("still", "frozen", "noise")]
    lines = heading(["detector", *(f"{KINDS[kind]}, {rate} %" for kind, rate in columns)], left=1)
    for model in models:
        cells = (_found(rows[model, kind], models[0], rate) for kind, rate in columns)
        lines.append(table_row([f"`{model}`", *cells]))
    return "\n".join(lines)


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


def _found(row: dict, first: str, rate: int = 5) -> str:
    text = percent(row[f"recall_at_{rate}"])
    return emphasised(text, row.get(f"minus {first}_at_{rate}"))
