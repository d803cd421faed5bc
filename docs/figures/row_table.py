"""The tables of rows beside the paper's Table 1, made of the results of `python -m pushpull.evaluate table1`."""

from detector_tables import WORST, heading, read, table_row

from pushpull.evaluation.paper import TABLE_1
from pushpull.evaluation.written import SURE, emphasised, p_value, percent, points

OWN = ("M",)  # rows of ours, which the paper does not have
REFERENCE = "A"


def rows(folder: str) -> str:
    """Average precision beside the paper's, and what the worst case leaves of each row, against row A.

    Raises:
        ValueError: the study has no row A to compare with.
    """
    found = read(folder)
    told = [row for row in found["rows"] if row["set"] == "all" and row["row"] in (*TABLE_1, *OWN)]
    by_attack = {(row["row"], row["attack"], row["objective"]): row for row in told}
    worst = {row["row"]: row for row in told if row["attack"] == WORST}
    if REFERENCE not in worst:
        raise ValueError(f"{folder} has no row {REFERENCE} to compare with")
    minus = f"minus {worst[REFERENCE]['model']}"
    head = ["row", "AP clean", "AP under PGD", "the paper's", "frames right, clean"]
    head += ["worst case, % of frames [95 %]", "minus row A, points [95 %]", "p (Holm)"]
    lines = heading(head, left=1)
    for name in (name for name in (*TABLE_1, *OWN) if name in worst):
        pgd, row = by_attack[name, "pgd", "training_aware"], worst[name]
        cells = [name, percent(pgd["clean"]["average_precision"]), percent(pgd["adversarial"]["average_precision"])]
        cells += [f"{pgd['paper']['mAP']:.2f}" if pgd["paper"] else "", percent(row["clean"]["frame_accuracy"])]
        cells += [percent(row["adversarial"]["frame_accuracy"], interval=True)]
        difference = row.get(minus, {}).get("frame_accuracy")
        cells += [points(difference), p_value(difference["p_holm"])] if difference else ["", ""]
        lines.append(table_row(cells))
    return "\n".join(lines)


def budgets(folder: str) -> str:
    """What the worst of cross entropy and margin leaves of each row, by budget; in bold where it is not row A's."""
    found = read(folder)
    worst = [row for row in found["rows"] if row["attack"] == WORST and row["set"] == "all"]
    first = next(row["model"] for row in worst if row["row"] == REFERENCE)
    levels = sorted({row["eps_av"] for row in worst})
    lines = heading(["row", "unattacked", *(f"eps_av {eps_av:g}" for eps_av in levels)], left=1)
    for name in (name for name in (*TABLE_1, *OWN) if any(row["row"] == name for row in worst)):
        mine = {row["eps_av"]: row for row in worst if row["row"] == name}
        cells = [name, percent(mine[levels[0]]["clean"]["frame_accuracy"])]
        for row in (mine[eps_av] for eps_av in levels):
            text = percent(row["adversarial"]["frame_accuracy"], interval=True)
            change = row.get(f"minus {first}", {}).get("frame_accuracy")
            cells.append(emphasised(text, change))
        lines.append(table_row(cells))
    bases = len({(example["source"], example["base"]) for example in found["examples"]})
    note = f"{len(found['examples'])} examples from {bases} base clips, BIM-10; in bold what differs from row A on the "
    note += f"same clips (p < {SURE:g}, Holm). [All figures]({folder}/results.md)."
    return "\n".join([*lines, "", note])
