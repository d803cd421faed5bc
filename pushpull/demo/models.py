"""What the page says of a model: its name in the list, and its card in a few lines."""

from html import escape

from pushpull.demo.panels import empty

ARCHITECTURES = {"talknet": "TalkNet", "light-asd": "Light-ASD", "lr-asd": "LR-ASD"}
VARIANTS = {
    "talknet": "TalkNet",
    "nctalknet": "TalkNet without cross-attention",
    "spectalknet": "TalkNet on spectrograms",
}
COMPARED_ROWS = ("A", "B2", "D3", "E2")
COMPARED_ARCHITECTURES = ("lr-asd", "light-asd")
LOSSES = ("L1", "L2", "L3", "L4")


def label(card: dict) -> str:
    """A checkpoint's entry in the list, such as "E2: CE + L1 + L4, trained on MIM examples (talknet-lite-e2)"."""
    name = str(card.get("name", ""))
    words = title(card)
    return f"{words} ({name})" if words != name else name


def title(card: dict) -> str:
    """What a detector is, such as "E2: CE + L1 + L4, trained on MIM examples"; its name if the card does not say."""
    row = card.get("row")
    if not row:
        words = card["title"] if isinstance(card.get("title"), str) and card["title"] else _origin(card)
        return words or str(card.get("name", ""))
    training = card["training"] if isinstance(card.get("training"), dict) else {}
    losses = [loss for number, loss in enumerate(LOSSES, 1) if training.get(f"lambda{number}")]
    words = " + ".join(["CE", *losses])
    if card.get("variant") == "nctalknet":
        words = "without cross-attention"
    if card.get("variant") == "spectalknet":
        words = "spectrogram instead of MFCC"
    if training.get("adversarial"):
        words += f", trained on {str(training['adversarial']).upper()} examples"
    if card.get("size") == "full":
        words += ", full size: slow without a GPU"
    return f"{row}: {words}"


def _origin(card: dict) -> str:
    """What it is and what it was trained on, as far as the card says; "" if neither."""
    what, data = ARCHITECTURES.get(card.get("architecture"), card.get("architecture") or ""), card.get("trained_on")
    return f"{what}, trained on {data.split(' (')[0]}" if what and isinstance(data, str) else str(what)


def network(card: dict) -> str:
    """The network in a word or two: "TalkNet, lite", "LR-ASD"; "a detector of one's own" where nothing is said."""
    variant = VARIANTS.get(card.get("variant"), card.get("variant"))
    what = variant or ARCHITECTURES.get(card.get("architecture"), card.get("architecture"))
    parts = [str(part) for part in (what, card.get("size")) if part]
    return ", ".join(parts) or "a detector of one's own"


def to_compare(cards: dict[str, dict]) -> list[str]:
    """What a comparison begins with: undefended, adversarially trained, AVIL, both, and an AVA-trained detector."""
    of_row = {card.get("row"): name for name, card in cards.items() if card.get("size") == "lite"}
    chosen = [of_row[row] for row in COMPARED_ROWS if row in of_row]
    others = [name for name, card in cards.items() if card.get("architecture") in COMPARED_ARCHITECTURES]
    chosen += sorted(others, key=lambda name: COMPARED_ARCHITECTURES.index(cards[name]["architecture"]))[:1]
    return chosen if len(chosen) > 1 else list(cards)[:2]


def choices(cards: dict[str, dict]) -> list[tuple[str, str]]:
    """(label, name) of every card, for a list to choose from."""
    return [(label(card), name) for name, card in cards.items()]


def model_card(card: dict | None) -> str:
    """What a checkpoint's card says about it, in a few lines."""
    if card is None:
        return empty(
            "No model yet: the folder <code>checkpoints/</code> is empty. Train one with "
            "<code>python -m pushpull.train</code>, or fetch a published one in the Models tab."
        )
    facts = [f"<b>{escape(network(card))}</b>"]
    if isinstance(card.get("parameters"), int | float):
        facts.append(f"{card['parameters'] / 1e6:.2f} M parameters")
    if isinstance(card.get("bytes"), int | float):
        facts.append(f"{card['bytes'] / 1e6:.1f} MB")
    lines = [" · ".join(facts), *_figures(card)]
    if isinstance(card.get("trained_on"), str):
        lines.append(f"trained on {escape(card['trained_on'])}")
    if isinstance(card.get("summary"), str):
        lines.append(escape(card["summary"]))
    return f'<div class="pp-model">{"<br>".join(lines)}</div>'


def _figures(card):
    """Lines on how well it does and how well it holds; none where the card does not say."""
    lines = []
    try:
        for source, tests in card["heldout"]["sources"].items():
            shown = {name: tests[name]["ap"] for name in ("in_sync", "swapped", "shifted", "still") if name in tests}
            told = ", ".join(f"{escape(name.replace('_', ' '))} <b>{value:.0f}</b>" for name, value in shown.items())
            lines.append(f"AVA-AP on held-out {escape(str(source))}: {told}")
        robust = card["robust"]
        told = ", ".join(
            f"{name.upper()} <b>{100 * robust[name]['average_precision']:.0f}</b>" for name in ("bim", "mim", "pgd")
        )
        floor = 100 * robust["clean"]["prevalence"]
        clean = 100 * robust["clean"]["average_precision"]
        budget = robust["options"]["eps_av"]
        lines.append(f"attacked at eps_av {budget:g}: {told} (clean <b>{clean:.0f}</b>, floor {floor:.0f})")
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    return lines
