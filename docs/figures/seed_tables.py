"""Tables of rows that were trained from several seeds, made of their cards and of the results in docs/results."""

import json
from pathlib import Path

from detector_tables import heading, read, table_row

from pushpull.evaluation.seeds import WORST_CLIP, seeds_of
from pushpull.evaluation.written import percent, points

CARDS = Path(__file__).parents[1] / "from-scratch"
LITE = {"rows": ("A", "C1", "C4", "D3", "B3", "E3", "M"), "cards": "seed-?/talknet-lite-{}.json"}
LR_ASD = {"rows": ("A", "C4", "D3", "M"), "cards": "lr-asd-seed-?/lr-asd-{}.json"}
SOURCES = ("GRID", "heads")  # in the cards' order; those of LR-ASD have the first alone
KINDS = ("in_sync", "swapped", "shifted", "still")


def held_out(rows: tuple[str, ...], cards: str) -> str:
    """Average precision on held-out clips by source and type: the mean over the seeds, the least and the most."""
    found = {row: [read_card(path) for path in sorted(CARDS.glob(cards.format(row.lower())))] for row in rows}
    sources = SOURCES[: len(found[rows[0]][0]["heldout"]["sources"])]
    head = ["row", *(f"{source}: {kind.replace('_', ' ')}" for source in sources for kind in KINDS)]
    lines = heading(head, left=1)
    for row in rows:
        cells = [row]
        for number in range(len(sources)):
            for kind in KINDS:
                values = [list(card["heldout"]["sources"].values())[number][kind]["ap"] for card in found[row]]
                cells.append(f"{sum(values) / len(values):.0f} ({min(values):.0f} to {max(values):.0f})")
        lines.append(table_row(cells))
    return "\n".join(lines)


def read_card(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def seeds(folder: str) -> str:
    """What the worst case leaves of every row, seed by seed, and its differences to other rows of the same seed."""
    found = read(folder)
    numbers = [str(seed) for seed in seeds_of(found)]
    against = [name for name in found["references"] if any(f"minus {name}" in row for row in found["rows"])]
    head = ["row", "unattacked", f"seeds {', '.join(numbers)}", "mean [95 %]"]
    head += [*(f"minus {name}" for name in against), "AP attacked"]
    lines = heading(head, left=1)
    for row in found["rows"]:
        of_seeds = row[f"{WORST_CLIP} of seeds"]
        cells = [row["row"], percent(row["clean.frame_accuracy"])]
        cells += [", ".join(percent(of_seeds[n]) if n in of_seeds else "-" for n in numbers)]
        cells += [percent(row[WORST_CLIP], interval=True)]
        cells += [points(row[f"minus {name}"]) if f"minus {name}" in row else "" for name in against]
        cells += [percent(row["adversarial.average_precision"])]
        lines.append(table_row(cells))
    floor = 100 * found["floor"]
    note = f"{found['examples']} examples from {found['base_clips']} base clips, eps_av {found['budgets'][0]:g}; AP is "
    note += f"at least {floor:.1f}, and the best constant answer gets {max(floor, 100 - floor):.1f} % of frames right. "
    note += f"[All figures]({folder}/results.md)."
    return "\n".join([*lines, "", note])
