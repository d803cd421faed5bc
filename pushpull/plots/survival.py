"""How much of an attack is left after storage and transport: frames decided right against the budget, by channel."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter
from matplotlib.transforms import offset_copy

from pushpull.plots.style import BLUE, GREEN, INK, MUTED, PAPER, PURPLE, SKY, VERMILLION, YELLOW, new_figure

GROUPS = {
    "storage": "Storage",
    "codec": "Compression",
    "geometry": "Resizing",
    "timing": "Sound against picture",
}
COLOURS = (VERMILLION, BLUE, GREEN, PURPLE, YELLOW, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")
DODGE = 3.5  # points between marks at the same budget


def survival_figure(rows: Sequence[dict], *, title: str = "") -> Figure:
    """Share of frames right against eps_av, a line with its interval for each channel, in a panel for each group.

    Solid lines are attacked clips, dotted ones the same channel without an attack: what lies between them is the
    attack's doing. The black line, the same in every panel, is the attack in floating point.

    Args:
        rows: of ``pushpull.evaluation.survival.tabulate``.
        title: above the figure.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("there are no rows to draw: measure some clips first")
    groups = [group for group in GROUPS if any(row["group"] == group for row in rows)]
    groups += sorted({row["group"] for row in rows} - {"", *groups})
    groups = groups or [""]
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    with new_figure(4.9 * columns, 3.7 * lines + (0.3 if title else 0)) as figure:
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, group in zip(panels, groups, strict=False):
            _draw_group(axes, rows, group)
            axes.set_title(GROUPS.get(group, group))
            axes.tick_params(labelbottom=True, labelleft=True)
        for axes in panels[len(groups) :]:
            axes.set_visible(False)
    return figure


def _draw_group(axes, rows, group):
    budgets = sorted({row["eps_av"] for row in rows})
    low, high = budgets[0], budgets[-1]
    if low > 0:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.25, high * 1.25)
    else:
        axes.set_xlim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
    axes.set_xticks(budgets)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.set(ylim=(0, 1.03), xlabel="budget eps_av", ylabel="frames decided right")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    direct = [row for row in rows if row["group"] == ""]
    names = list(dict.fromkeys(row["channel"] for row in rows if row["group"] == group)) if group else []
    if direct:
        _draw_channel(axes, direct, INK, None, "no channel", -DODGE * (len(names) + 1) / 2)
    for number, name in enumerate(names):
        part = [row for row in rows if row["channel"] == name]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        _draw_channel(axes, part, colour, marker, part[0]["title"], DODGE * (number - (len(names) - 1) / 2))
    # Lines may run anywhere: the legend lies on paper, so that they do not run through its words.
    legend = axes.legend(
        loc="lower left", fontsize=8, title="solid: attacked; dotted: not", title_fontsize=8, alignment="left",
        frameon=True, framealpha=0.88, facecolor=PAPER, edgecolor="none", borderpad=0.2,
    )  # fmt: skip
    legend.set_zorder(5)


def _draw_channel(axes, rows, colour, marker, label, aside):
    """``aside``: points by which marks and intervals stand beside their budget, so that none hides another."""
    rows = sorted(rows, key=lambda row: row["eps_av"])
    budgets, right = [row["eps_av"] for row in rows], [row["attacked"]["value"] for row in rows]
    shift = offset_copy(axes.transData, axes.figure, x=aside, units="points")
    style = {"color": colour, "linewidth": 1.8 if marker else 2.4, "zorder": 3 if marker else 2}
    axes.plot(budgets, right, marker=marker, markersize=4.5, label=label, transform=shift, **style)
    if all(row["attacked"]["low"] is not None for row in rows):
        ends = [[row["attacked"][end] for row in rows] for end in ("low", "high")]
        axes.vlines(budgets, *ends, color=colour, linewidth=1.1, alpha=0.75, transform=shift)
    clean = [row["clean"]["value"] for row in rows]
    axes.plot(budgets, clean, color=colour if marker else MUTED, linestyle=(0, (1, 1.6)), linewidth=1.4)
