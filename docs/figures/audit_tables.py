"""The table of audits, made of docs/results/audit-*."""

import json
from collections.abc import Sequence

from detector_tables import RESULTS, heading, table_row

from pushpull.evaluation.paper import TABLE_1

SHORT = {  # of pushpull.evaluation.checks.CHECKS
    "random": "random scores",
    "lying_gradients": "gradients lie",
    "zero_gradients": "gradients are zero",
    "more_steps": "more steps help",
    "margin_beats_ce": "margin beats cross entropy",
    "scaled_beats_ce": "scaled logits help",
    "float64_helps": "float64 helps",
    "all_heads_beat_one": "all heads beat one",
    "black_box_wins": "a black-box attack wins",
    "unbounded": "some frames outlast any change",
    "not_monotone": "a larger budget does less",
}

SCRATCH = ("B3", "E3", "M")


def shipped() -> str:
    """Every shipped row, in the order of Table 1, and the default."""
    return audits([f"audit-{row.lower()}" for row in TABLE_1] + ["audit-lite"])


def from_scratch() -> str:
    """Rows trained from scratch, seed 0, that are defended by attacks."""
    return audits([f"seed-0-audit-{row.lower()}" for row in SCRATCH])


def audits(folders: Sequence[str]) -> str:
    """What attacks leave of each, and which of its questions are answered with no, or (?) with perhaps not."""
    head = ["", "unattacked", "attacks as the paper's", "worst of all [95 %]", "verdict", "signs of masking"]
    lines, constants, examples, sets = heading(head, left=1), set(), set(), set()
    for folder in folders:
        found = json.loads((RESULTS / folder / "audit.json").read_text(encoding="utf-8"))
        right = found["attacks"]["worst of all"]["adversarial"]["frame_accuracy"]
        low, high = (f"{100 * right[bound]:.1f}" for bound in ("low", "high"))
        raised = [flag for flag in found["flags"] if flag["passed"] is False]
        signs = [f"{SHORT[flag['name']]} ({_number(flag)}{'' if flag['sure'] else '; ?'})" for flag in raised]
        lines.append(
            table_row(
                [
                    f"[{name_of(found)}]({folder}/audit.html)",
                    f"{found['clean']:.1f}",
                    f"{found['paper_style']:.1f}",
                    f"{found['worst']:.1f} [{low}, {high}]",
                    found["verdict"].partition(" at eps_av")[0],
                    ", ".join(signs) or "none",
                ]
            )
        )
        constants.add(f"{found['constant']:.1f}")
        examples.add(found["examples"])
        sets.add(found["set_hash"])
    note = (
        f"{_joined(examples)} examples (set {_joined(sets)}), eps_av {found['options']['eps_av']:g}; the best constant "
    )
    note += f"answer gets {_joined(constants)}. A question mark: the interval of that number reaches below its limit."
    return "\n".join([*lines, "", note])


def name_of(found: dict) -> str:
    """talknet-lite-d3 is D3; the default keeps its name."""
    row = found["model"].removeprefix("talknet-lite-").upper()
    return row if row in (*TABLE_1, *SCRATCH) else f"`{found['model']}`"


def _number(flag: dict) -> str:
    return f"{flag['number']:.1f}, limit {flag['limit']:g}"


def _joined(values) -> str:
    return " or ".join(str(value) for value in sorted(values))
