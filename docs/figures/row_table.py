"""The tables of rows beside the paper's Table 1, made of the results of `python -m pushpull.evaluate table1`."""

from detector_tables import WORST, heading, read, table_row

from pushpull.evaluation.paper import TABLE_1
from pushpull.evaluation.written import p_value, percent, points

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
