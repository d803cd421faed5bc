"""What every row of Table 1 reaches, and what the attacks leave of it."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from pushpull.plots.style import BLUE, GREEN, INK, MUTED, PURPLE, VERMILLION, new_figure

ATTACKS = {"bim": (VERMILLION, "o", "BIM"), "mim": (PURPLE, "s", "MIM"), "pgd": (INK, "D", "PGD")}
WORST = "worst of all"
MEASURES = {"average_precision": "AVA-AP (%)", "robust_accuracy": "frames right under every iterate (%)"}


def zoo_figure(cards: Sequence[dict]) -> Figure:
    """Rows of models, each with its clean figure and those under BIM, MIM and PGD.

    Args:
        cards: of checkpoints that :mod:`pushpull.training.zoo` attacked, with the keys ``row`` and ``robust``.

    Returns:
        Two panels: average precision with its floor, the prevalence, and frame accuracy (clean) beside robust accuracy.

    Raises:
        ValueError: no cards.
    """
    if not cards:
        raise ValueError("a figure of the zoo needs at least one card")
    with new_figure(11, 0.32 * len(cards) + 1.8) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        rows = range(len(cards))
        for panel, (measure, title) in zip(panels, MEASURES.items(), strict=True):
            clean = [_percent(card["robust"]["clean"], measure) for card in cards]
            worst = [min(_percent(card["robust"][name], measure) for name in ATTACKS) for card in cards]
            panel.hlines(rows, worst, clean, color=MUTED, linewidth=1, alpha=0.6)
            panel.plot(clean, rows, "|", color=BLUE, markersize=13, markeredgewidth=2.5, label="not attacked")
            for name, (colour, marker, label) in ATTACKS.items():
                found = [_percent(card["robust"][name], measure) for card in cards]
                panel.plot(found, rows, marker, color=colour, markersize=6, alpha=0.85, label=label)
            _worst(panel, cards, measure)
            panel.set(xlabel=title, xlim=(0, 102), ylim=(len(cards) - 0.4, -0.6))
            panel.grid(axis="y", visible=False)
        floor = 100 * cards[0]["robust"]["clean"]["prevalence"]
        panels[0].axvline(floor, color=GREEN, linestyle="--", linewidth=1.2, label="floor")
        panels[0].set_yticks(list(rows), [str(card["row"]) for card in cards])
        budget = cards[0]["robust"]["options"]["eps_av"]
        figure.suptitle(f"white-box, sound and picture, eps_av {budget:g}", x=0.01, ha="left", fontsize=10, color=MUTED)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=6, columnspacing=1.2)
    return figure


def _worst(panel, cards: Sequence[dict], measure: str) -> None:
    """A cross for the worst case over all attacks and objectives, with its interval, of cards that tell of one."""
    told = [(place, card["robust"]["worst"]) for place, card in enumerate(cards) if "worst" in card["robust"]]
    for place, worst in told:
        if bounds := worst.get("intervals", {}).get(measure):
            panel.hlines(place + 0.24, *(100 * bound for bound in bounds), color=VERMILLION, linewidth=1.4)
    if told:
        places, values = zip(*((place + 0.24, 100 * worst[measure]) for place, worst in told), strict=True)
        panel.plot(values, places, "x", color=VERMILLION, markersize=7, markeredgewidth=2, label=WORST)


def _percent(figures: dict, measure: str) -> float:
    """A clean model has no iterates: what is right of it is what it is right about."""
    value = figures[measure]
    return 100 * (figures["frame_accuracy"] if value is None else value)
