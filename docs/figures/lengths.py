"""docs/results/lengths/lengths.png: what longer training, and heavier interaction losses, change of rows from scratch.

    python docs/figures/lengths.py

Made of docs/results/lengths (detectors named ROW-FRAMESk and d3-lambda-WEIGHT; their cards are in
docs/from-scratch/lengths) and, for the full 400,000 frames, of docs/results/seed-0-eps-5: the same examples, attacks
and training seed.
"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from detector_tables import RESULTS, heading, read, table_row

from pushpull.evaluation.studies import WORST
from pushpull.evaluation.written import percent
from pushpull.plots.style import BLUE, GREEN, PURPLE, new_figure, save

CARDS = RESULTS.parent / "from-scratch"
FOLDER, WHOLE, WHOLE_FRAMES = "lengths", "seed-0-eps-5", 400
ROWS = {"A": (BLUE, "o"), "D3": (PURPLE, "^")}
WEIGHED, WEIGHED_FRAMES, WEIGHT = "D3", 200, 0.1  # of the sweep over lambda, and the row's own lambda
LAMBDA = re.compile(r"d3-lambda-([\d.]+)$")


def worst(folder: str) -> dict[str, dict]:
    """{detector: its row of worst cases over all examples} of a Table 1."""
    return {row["model"]: row for row in read(folder)["rows"] if row["attack"] == WORST and row["set"] == "all"}


def by_length() -> dict[str, dict[int, dict]]:
    """{row: {thousands of frames: its figures}}."""
    short, whole = worst(FOLDER), worst(WHOLE)
    if read(FOLDER)["set"] != read(WHOLE)["set"]:
        raise ValueError(f"{FOLDER} and {WHOLE} are of other examples: their rows cannot stand beside each other")
    found = {}
    for row in ROWS:
        name = re.compile(rf"{row.lower()}-(\d+)k$")
        lengths = {int(match[1]): figures for model, figures in short.items() if (match := name.search(model))}
        found[row] = dict(sorted(lengths.items())) | {WHOLE_FRAMES: whole[f"talknet-lite-{row.lower()}"]}
    return found


def by_weight() -> dict[float, dict]:
    """{lambda: figures}; 0 is row A of the same length."""
    lengths = by_length()
    weights = {float(match[1]): row for model, row in worst(FOLDER).items() if (match := LAMBDA.search(model))}
    weights |= {0.0: lengths["A"][WEIGHED_FRAMES], WEIGHT: lengths[WEIGHED][WEIGHED_FRAMES]}
    return dict(sorted(weights.items()))


def table() -> str:
    """Frames right, unattacked and in the worst case, by length and by lambda."""
    head = ["row", "frames trained", "lambda", "swapped voices, AP: GRID", "heads", "unattacked", "worst case [95 %]"]
    lines = heading(head, left=1)
    for row, lengths in by_length().items():
        own = f"{WEIGHT:g}" if row == WEIGHED else "-"
        lines += [_line(row, frames, own, figures) for frames, figures in lengths.items()]
    for weight, figures in by_weight().items():
        if weight not in (0.0, WEIGHT):
            lines.append(_line(WEIGHED, WEIGHED_FRAMES, f"{weight:g}", figures))
    return "\n".join([*lines, "", f"[All figures]({FOLDER}/results.md)."])


def _line(row: str, frames: int, weight: str, figures: dict) -> str:
    folder = "seed-0" if frames == WHOLE_FRAMES else "lengths"
    card = json.loads((CARDS / folder / f"{figures['model']}.json").read_text(encoding="utf-8"))
    looks = [f"{source['swapped']['ap']:.0f}" for source in card["heldout"]["sources"].values()]
    cells = [row, f"{frames},000", weight, *looks, percent(figures["clean"]["frame_accuracy"])]
    return table_row([*cells, percent(figures["adversarial"]["frame_accuracy"], interval=True)])


def draw() -> Path:
    lengths, weights = by_length(), by_weight()
    floor = 100 * max(worst(WHOLE)["talknet-lite-a"]["floor"], 1 - worst(WHOLE)["talknet-lite-a"]["floor"])
    with new_figure(10.4, 4.4) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for row, (colour, marker) in ROWS.items():
            _curve(left, list(lengths[row]), list(lengths[row].values()), colour, marker, row)
        places = range(len(weights))
        _curve(right, list(places), list(weights.values()), PURPLE, "^", WEIGHED)
        left.set(xscale="log", xlabel="thousands of frames trained", ylabel="frames decided right (%)", ylim=(0, 100))
        left.set_xticks(list(lengths["A"]), [str(frames) for frames in lengths["A"]], minor=False)
        left.minorticks_off()
        right.set_xticks(list(places), [f"{weight:g}" if weight else "0 (row A)" for weight in weights])
        right.set(xlabel=f"lambda of D3's two interaction losses, {WEIGHED_FRAMES},000 frames")
        for axes in (left, right):
            axes.axhline(floor, color=GREEN, linestyle="--", linewidth=1.1, label="best constant answer")
        left.plot([], [], color="0.4", linestyle=":", label="unattacked")
        left.plot([], [], color="0.4", label="worst case at eps_av 5")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return save(figure, RESULTS / FOLDER / "lengths.png")


def _curve(axes, places: list, rows: list[dict], colour: str, marker: str, label: str) -> None:
    clean = [100 * row["clean"]["frame_accuracy"]["value"] for row in rows]
    attacked = [row["adversarial"]["frame_accuracy"] for row in rows]
    values = [100 * one["value"] for one in attacked]
    spread = [[100 * abs(one["value"] - one[end]) for one in attacked] for end in ("low", "high")]
    axes.plot(places, clean, linestyle=":", marker=marker, color=colour, markersize=5)
    axes.errorbar(places, values, spread, color=colour, marker=marker, capsize=3, label=label)


if __name__ == "__main__":
    print(draw())
