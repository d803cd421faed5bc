"""Tables of README.md and docs/, made of the cards beside the checkpoints and of docs/results.

    python docs/figures/tables.py            writes them into the pages, and docs/zoo.png
    python docs/figures/tables.py --check    only says whether they are what the cards say

A table lies between two comments: <!-- table NAME: ... --> and <!-- end of table -->.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import audit_tables
import detector_tables
import lengths
import ranking_tables
import row_table
import seed_tables

from pushpull.evaluation.paper import TABLE_1
from pushpull.plots import save, zoo_figure
from pushpull.training.zoo import table as zoo_table

ROOT = Path(__file__).parents[2]
CHECKPOINTS = ROOT / "checkpoints"
KINDS = ("in_sync", "swapped", "shifted", "still")
SHOWN = ("talknet-lite", "talknet-full-a", "talknet-full-e2")  # in README.md
LITE = [f"talknet-lite-{row.lower()}" for row in TABLE_1] + ["nctalknet-lite", "spectalknet-lite", "talknet-lite"]
FULL = ["talknet-full-a", "talknet-full-b2", "talknet-full-c4", "talknet-full-d3", "talknet-full-e2",
        "nctalknet-full", "spectalknet-full"]  # fmt: skip


def card(name: str) -> dict:
    return json.loads(card_path(name).read_text(encoding="utf-8"))


def card_path(name: str) -> Path:
    """The card of a shipped checkpoint, or of a full-size one for which there is no room."""
    shipped = CHECKPOINTS / f"{name}.json"
    return shipped if shipped.exists() else ROOT / "docs" / "full-size" / f"{name}.json"


def detectors() -> str:
    """README.md's: what the detectors reach, and what is left of it."""
    lines = [
        "| name | parameters | own voice | swapped | shifted | strangers | attacked |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in SHOWN:
        told = card(name)
        sources = told["heldout"]["sources"].values()
        clean = [" / ".join(f"{source[kind]['ap']:.1f}" for source in sources) for kind in KINDS[:3]]
        unseen = told.get("unseen", {}).get("sources", {}).get("strangers")
        strangers = f"{unseen['in_sync']['ap']:.1f}" if unseen else ""
        robust = told["robust"]
        held = ""
        if quotes_results(told):
            low, high = (f"{100 * bound:.1f}" for bound in robust["worst"]["intervals"]["frame_accuracy"])
            held = f"{percent(robust['clean'])} to {percent(robust['worst'])} [{low}, {high}]"
        cells = [f"`{name}`", f"{told['parameters'] / 1e6:.1f} M", *clean, strangers, held]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def held_out() -> str:
    """Average precision of the lite rows on held-out clips, by source and type."""
    sources = ("GRID", "heads")
    head = ["row", *(f"{source}: {kind.replace('_', ' ')}" for source in sources for kind in KINDS)]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for name in LITE:
        told = card(name)
        if not told.get("row"):
            continue  # talknet-lite has a section of its own, and other heads
        found = [source[kind]["ap"] for source in told["heldout"]["sources"].values() for kind in KINDS]
        lines.append("| " + " | ".join([told["row"], *(f"{value:.1f}" for value in found)]) + " |")
    return "\n".join(lines)


def attacked() -> str:
    """What attacks leave of the lite detectors; of those whose card quotes docs/results."""
    told = [card(name) for name in LITE]
    told = [one for one in told if quotes_results(one)]
    head = ["row", "AP", "under PGD", "frames right", "BIM", "MIM", "PGD", "worst case [95 %]", "ECR a", "ECR v"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for one in told:
        robust = one["robust"]
        low, high = (f"{100 * bound:.1f}" for bound in robust["worst"]["intervals"]["frame_accuracy"])
        cells = [one.get("row") or f"`{one['name']}`"]
        cells += [percent(robust[part], "average_precision") for part in ("clean", "pgd")]
        cells += [percent(robust[part]) for part in ("clean", "bim", "mim", "pgd")]
        cells += [f"{percent(robust['worst'])} [{low}, {high}]"]
        cells += [f"{robust['pgd'][ratio]:.2f}" for ratio in ("ecr_a", "ecr_v")]
        lines.append("| " + " | ".join(cells) + " |")
    examples = {one["robust"]["examples"] for one in told}
    frames = {one["robust"]["options"]["frames"] for one in told}
    places = dict.fromkeys(one["robust"]["results"] for one in told)
    links = ", ".join(f"[{place}]({place.removeprefix('docs/')}/results.md)" for place in places)
    note = (
        f"{joined(examples)} examples of {joined(frames)} frames, eps_av {told[0]['robust']['options']['eps_av']:g}; "
    )
    note += f"all figures, and the commands: {links}."
    return "\n".join([*lines, "", note])


def full() -> str:
    """The full-size rows, as the zoo's command prints them: with its own attacks, also where a card has later ones."""
    kept = {path.stem: path for path in (ROOT / "docs" / "full-size").glob("*.json")}
    return (
        zoo_table([kept.get(name, card_path(name)) for name in FULL])
        .strip()
        .replace("grid_s1:", "GRID:")
        .replace("talkheads:heads:", "heads:")
    )


def survival() -> str:
    """What channels leave of an attack, budget by budget, of docs/results/survival."""
    found = json.loads((ROOT / "docs" / "results" / "survival" / "results.json").read_text(encoding="utf-8"))
    budgets = sorted({row["eps_av"] for row in found["rows"]})
    head = ["", "clean", *(f"eps_av {eps_av:g}" for eps_av in budgets), f"sound, picture left (eps_av {budgets[-1]:g})"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for channel in dict.fromkeys(row["channel"] for row in found["rows"]):
        rows = {row["eps_av"]: row for row in found["rows"] if row["channel"] == channel}
        last = rows[budgets[-1]]
        cells = [last["title"], f"{100 * last['clean']['value']:.0f}"]
        cells += [f"{100 * rows[eps_av]['attacked']['value']:.0f}" for eps_av in budgets]
        left = [last[f"left_{name}"]["value"] for name in ("audio", "video")]
        cells += [", ".join(f"{100 * value:.0f}" for value in left) if None not in left else "-"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def universal() -> str:
    """Frames that a noise flips in clips it has not seen, beside its controls, of docs/results/universal-*."""
    sets = {"GRID": "universal-grid", "heads": "universal-heads"}
    conditions = {"fitted": "fitted", "scrambled": "same spectrum", "random": "random signs"}
    head = ["detector", "eps_av", *(f"{name}: {shown}" for name in sets for shown in conditions.values())]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    found = {}
    for folder in sets.values():
        results = json.loads((ROOT / "docs" / "results" / folder / "results.json").read_text(encoding="utf-8"))
        for row in results["rows"]:
            if row["column"] == "adversarial":
                value, low, high = (100 * row["flipped"][key] for key in ("value", "low", "high"))
                place = found.setdefault((row["detector"], row["eps_av"]), {})
                place[folder, row["condition"]] = f"{value:.1f} [{low:.0f}, {high:.0f}]"
    for (name, eps_av), cells in found.items():
        shown = [cells.get((folder, condition), "-") for folder in sets.values() for condition in conditions]
        lines.append("| " + " | ".join([f"`{name}`", f"{eps_av:g}", *shown]) + " |")
    return "\n".join(lines)


def quotes_results(told: dict) -> bool:
    return bool((told.get("robust") or {}).get("results"))


def percent(part: dict, name: str = "frame_accuracy") -> str:
    return f"{100 * part[name]:.1f}"


def joined(numbers) -> str:
    return " or ".join(str(number) for number in sorted(numbers))


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "detectors": ("README.md", detectors),
    "held out": ("docs/training.md", held_out),
    "attacked": ("docs/training.md", attacked),
    "full size": ("docs/training.md", full),
    "survival": ("docs/survival.md", survival),
    "universal": ("docs/universal.md", universal),
    "detectors unattacked": ("docs/results/detectors.md", detector_tables.clean),
    "detectors on GRID and heads": ("docs/results/detectors.md", partial(detector_tables.attacked, "GRID and heads")),
    "detectors on GRID": ("docs/results/detectors.md", partial(detector_tables.attacked, "GRID")),
    "detectors on heads": ("docs/results/detectors.md", partial(detector_tables.attacked, "heads")),
    "detectors on a film": ("docs/results/detectors.md", partial(detector_tables.attacked, "film")),
    "table 1": ("docs/results/README.md", partial(row_table.rows, "table1")),
    "held out of seeds": ("docs/results/README.md", partial(seed_tables.held_out, **seed_tables.LITE)),
    "seeds at 5": ("docs/results/README.md", partial(seed_tables.seeds, "seeds-eps-5")),
    "seeds at 1": ("docs/results/README.md", partial(seed_tables.seeds, "seeds-eps-1")),
    "budgets from scratch": ("docs/results/README.md", partial(row_table.budgets, "seed-0-budgets")),
    "lengths": ("docs/results/README.md", lengths.table),
    "LR-ASD by seeds": ("docs/results/README.md", partial(seed_tables.seeds, "lr-asd-seeds")),
    "held out of LR-ASD": ("docs/results/README.md", partial(seed_tables.held_out, **seed_tables.LR_ASD)),
    "ranking of strangers": ("docs/results/README.md", ranking_tables.detectors),
    "clip norm": ("docs/results/README.md", ranking_tables.ranked),
    "clip norm attacked": ("docs/results/README.md", ranking_tables.attacked),
    "audits from scratch": ("docs/results/README.md", audit_tables.from_scratch),
    "audits": ("docs/results/README.md", audit_tables.shipped),
    "transfer of detectors": ("docs/results/detectors.md", detector_tables.transfer),
}


def with_table(page: str, name: str, text: str) -> str:
    """A page with one of its tables replaced.

    Raises:
        ValueError: the page has no such place, or several.
    """
    place = re.compile(rf"(<!-- table {re.escape(name)}:[^>]*-->\n).*?(<!-- end of table -->)", re.S)
    found, count = place.subn(lambda match: f"{match[1]}{text}\n{match[2]}", page)
    if count != 1:
        raise ValueError(f"the page has {count} places for the table {name!r}")
    return found


def pages() -> dict[Path, str]:
    """The pages as they should be."""
    found: dict[Path, str] = {}
    for name, (page, make) in TABLES.items():
        path = ROOT / page
        found[path] = with_table(found.get(path) or path.read_text(encoding="utf-8"), name, make())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a page differs")
    given = parser.parse_args()
    differ = {path: text for path, text in pages().items() if path.read_text(encoding="utf-8") != text}
    for path, text in differ.items():
        print(f"{path.relative_to(ROOT)} {'differs' if given.check else 'is written'}")
        if not given.check:
            path.write_text(text, encoding="utf-8")
    if not given.check:
        rows = [card(name) for name in LITE]
        save(zoo_figure([one for one in rows if one.get("row") and quotes_results(one)]), ROOT / "docs" / "zoo.png")
    return int(given.check and bool(differ))


if __name__ == "__main__":
    sys.exit(main())
