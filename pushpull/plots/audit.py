"""Figures of an audit: what every attack leaves, against the budget and against the number of steps."""

from matplotlib.figure import Figure

from pushpull.plots.style import BLUE, GREEN, INK, MUTED, PURPLE, VERMILLION, YELLOW, new_figure

PARTS = {
    "paper": (BLUE, "as the paper attacks"),
    "strong": (VERMILLION, "stronger objectives and steps"),
    "black box": (GREEN, "without the detector's gradients"),
    "worst": (INK, "worst of all, per clip"),
}
MODALITIES = {"both": (INK, "o"), "video": (VERMILLION, "s"), "audio": (PURPLE, "D")}


def attacks_figure(attacks: dict[str, dict], clean: float, constant: float) -> Figure:
    """Frames still right under every attack of one budget.

    Args:
        attacks: of an ``Audit``.
        clean, constant: percent of frames right unattacked, and by the best constant answer.

    Raises:
        ValueError: no attacks.
    """
    shown = {name: found for name, found in attacks.items() if found["part"] in PARTS}
    if not shown:
        raise ValueError("a figure of an audit needs its attacks")
    with new_figure(8.2, 0.32 * len(shown) + 1.5) as figure:
        axes = figure.subplots()
        for place, found in enumerate(shown.values()):
            value = found["adversarial"]["frame_accuracy"]
            colour = PARTS[found["part"]][0]
            axes.barh(place, 100 * value["value"], color=colour, height=0.62, alpha=0.85)
            if value["low"] is not None:
                axes.hlines(place, 100 * value["low"], 100 * value["high"], color=INK, linewidth=1.2)
            axes.text(101, place, f"{100 * value['value']:.1f}", va="center", fontsize=8, color=MUTED)
        axes.axvline(clean, color=BLUE, linewidth=1.4)
        axes.axvline(constant, color=YELLOW, linewidth=1.4, linestyle="--")
        axes.text(clean, -0.75, "clean", ha="right", fontsize=8, color=BLUE)
        axes.text(constant, -0.75, "constant answer", ha="center", fontsize=8, color=INK)
        axes.set_yticks(range(len(shown)), list(shown), fontsize=8)
        axes.set(xlim=(0, 106), ylim=(len(shown) - 0.4, -1.1), xlabel="frames decided right (%)")
        axes.grid(axis="y", visible=False)
        used = {found["part"] for found in shown.values()}
        handles = [axes.barh([0], [0], color=c, label=text) for part, (c, text) in PARTS.items() if part in used]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def ladders_figure(attacks: dict[str, dict], constant: float) -> Figure:
    """Frames still right against the budget, for what may change, and against the number of steps."""
    with new_figure(8.2, 3.3) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for modality, (colour, marker) in MODALITIES.items():
            mine = [f for f in attacks.values() if f["part"] == "budgets" and f["modality"] == modality]
            if mine:
                _line(left, [f["eps_av"] for f in mine], mine, colour, marker, modality)
        mine = [found for found in attacks.values() if found["part"] == "steps"]
        if mine:
            _line(right, [f["parameters"]["steps"] for f in mine], mine, INK, "o", "both")
        left.set(xlabel="eps_av", ylabel="frames decided right (%)", ylim=(0, 103))
        right.set(xlabel="gradient steps")
        for panel in (left, right):
            panel.set_xscale("log")
            panel.axhline(constant, color=YELLOW, linestyle="--", linewidth=1.2, label="constant answer")
            ticks = sorted({round(float(x), 3) for line in panel.get_lines()[:-1] for x in line.get_xdata()})
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            panel.minorticks_off()
        left.legend(loc="best")
    return figure


def _line(panel, places, found, colour, marker, label):
    values = [f["adversarial"]["frame_accuracy"] for f in found]
    panel.plot(places, [100 * v["value"] for v in values], marker=marker, color=colour, markersize=5, label=label)
    if all(v["low"] is not None for v in values):
        low, high = ([100 * v[side] for v in values] for side in ("low", "high"))
        panel.fill_between(places, low, high, color=colour, alpha=0.13, linewidth=0)
