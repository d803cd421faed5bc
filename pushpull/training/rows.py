"""The models of the paper by the names of its Table 1, and its two substitutes for the black-box attack."""

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
    "nc": {"variant": "nctalknet"},
    "spec": {"variant": "spectalknet"},
}

# What a row fixes; a row that does not name one of them has it at the value that turns it off.
NEUTRAL = {"variant": "talknet", "lambda1": 0.0, "lambda2": 0.0, "lambda3": 0.0, "lambda4": 0.0, "adversarial": ""}


def row_settings(row: str) -> dict:
    """All that ``row`` fixes, by the names of :class:`pushpull.training.options.TrainOptions`.

    Raises:
        ValueError: no such row.
    """
    if row not in ROWS:
        raise ValueError(f"row is one of {', '.join(ROWS)}, got {row!r}")
    return NEUTRAL | ROWS[row]


def complete(values: dict) -> dict:
    """Option values from a file and flags, with what their ``row`` fixes filled in; what was given stays as given."""
    row = values.get("row", "")
    if not row:
        return values
    settings = row_settings(row)
    return settings | {"name": checkpoint_name(row, values.get("size", "lite"))} | values


def checkpoint_name(row: str, size: str) -> str:
    """talknet-lite-a, talknet-lite-b1, ..., nctalknet-lite, spectalknet-lite."""
    settings = row_settings(row)
    plain = settings["variant"] != "talknet"
    return f"{settings['variant']}-{size}" + ("" if plain else f"-{row.lower()}")


def row_of(settings: dict) -> str:
    """The row that these settings are, or "" if they are none of the paper's."""
    mine = {key: settings[key] for key in NEUTRAL}
    return next((row for row in ROWS if row_settings(row) == mine), "")
