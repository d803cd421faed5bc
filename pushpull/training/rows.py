"""The models of the paper's Table 1 by name, its two substitutes for the black-box attack, and one of ours."""

from pushpull.training.networks import TALKNET

AVIL_WEIGHT = 0.1  # each lambda_j, paper section 3.3

ROWS: dict[str, dict] = {
    "A": {},
    "B1": {"adversarial": "bim"},
    "B2": {"adversarial": "mim"},
    "B3": {"adversarial": "pgd"},
    "C1": {"lambda1": AVIL_WEIGHT},
    "C2": {"lambda2": AVIL_WEIGHT},
    "C3": {"lambda3": AVIL_WEIGHT},
    "C4": {"lambda4": AVIL_WEIGHT},
    "D1": {"lambda1": AVIL_WEIGHT, "lambda2": AVIL_WEIGHT},
    "D2": {"lambda1": AVIL_WEIGHT, "lambda3": AVIL_WEIGHT},
    "D3": {"lambda1": AVIL_WEIGHT, "lambda4": AVIL_WEIGHT},
    "D4": {"lambda2": AVIL_WEIGHT, "lambda3": AVIL_WEIGHT},
    "D5": {"lambda2": AVIL_WEIGHT, "lambda4": AVIL_WEIGHT},
    "D6": {"lambda3": AVIL_WEIGHT, "lambda4": AVIL_WEIGHT},
    "E1": {"lambda1": AVIL_WEIGHT, "lambda4": AVIL_WEIGHT, "adversarial": "bim"},
    "E2": {"lambda1": AVIL_WEIGHT, "lambda4": AVIL_WEIGHT, "adversarial": "mim"},
    "E3": {"lambda1": AVIL_WEIGHT, "lambda4": AVIL_WEIGHT, "adversarial": "pgd"},
    "M": {"adversarial": "pgd", "adversarial_data": "batch"},  # ours: Madry et al. 2018, the field's baseline
    "nc": {"variant": "nctalknet"},
    "spec": {"variant": "spectalknet"},
}

# What a row fixes; a row that does not name one of them has it at the value that turns it off.
NEUTRAL = {
    "variant": "talknet",
    "lambda1": 0.0,
    "lambda2": 0.0,
    "lambda3": 0.0,
    "lambda4": 0.0,
    "adversarial": "",
    "adversarial_data": "set",
}
VISUAL_WEIGHT = 0.5  # of CE_v in the published recipes of Light-ASD and LR-ASD


def row_settings(row: str) -> dict:
    """All that ``row`` fixes, by the names of :class:`pushpull.training.options.TrainOptions`.

    Raises:
        ValueError: no such row.
    """
    if row not in ROWS:
        raise ValueError(f"row is one of {', '.join(ROWS)}, got {row!r}")
    return NEUTRAL | ROWS[row]


def complete(values: dict) -> dict:
    """Option values from a file and flags, and what row and architecture fix where nothing was given."""
    row, architecture = values.get("row", ""), values.get("architecture", TALKNET)
    settings = row_settings(row) if row else {}
    if row:
        settings["name"] = checkpoint_name(row, values.get("size", "lite"), architecture)
    elif architecture != TALKNET:
        settings["name"] = f"{architecture}-trained"
    if architecture != TALKNET:
        settings["visual_weight"] = VISUAL_WEIGHT
    return settings | values


def checkpoint_name(row: str, size: str, architecture: str = TALKNET) -> str:
    """talknet-lite-a, talknet-lite-b1, ..., nctalknet-lite, spectalknet-lite; lr-asd-a, ..."""
    variant = row_settings(row)["variant"]
    if variant != "talknet":
        return f"{variant}-{size}"
    return f"{architecture}-{size}-{row.lower()}" if architecture == TALKNET else f"{architecture}-{row.lower()}"


def row_of(settings: dict) -> str:
    """The row that these settings are, or "" if they are none of the paper's."""
    mine = {key: settings[key] for key in NEUTRAL}
    return next((row for row in ROWS if row_settings(row) == mine), "")
