"""A figure of several training seeds: a dot for each, never one bar for all."""

import math

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from pushpull.plots.style import BLUE, GREEN, INK, MUTED, VERMILLION, new_figure

COLUMNS = 3  # of the panels of a figure by budget


def seeds_figure(found: dict) -> Figure:
    """Worst-case accuracy of every row, each seed by itself: dots at one budget, a panel of lines at several.

    Args:
        found: what ``pushpull.evaluation.seeds.compare_seeds`` gives.

    Raises:
        ValueError: no rows.
    """
    if not found["rows"]:
        raise ValueError("a figure of seeds needs at least one row")
    return _dots(found) if len(found["budgets"]) == 1 else _lines(found)


def _constant(found):
    """What the best constant answer gets right, in percent: the floor is the share of frames that speak."""
    return 100 * max(found["floor"], 1 - found["floor"])


def _told(found):
    return f"{found['examples']} examples, {{}} of {len({study['seed'] for study in found['studies']})} training seeds"


def _lines(found):
    """A panel for each row: its seeds against the budget, and the mean of the first row in all panels."""
    rows = {}
    for row in found["rows"]:
        rows.setdefault(row["row"], {})[row["eps_av"]] = row
    first, *_ = rows
    high = math.ceil(len(rows) / COLUMNS)
    with new_figure(8.4, 2.1 * high + 1.0) as figure:
        panels = figure.subplots(high, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (name, by_budget) in zip(panels, rows.items(), strict=False):
            axes.axhline(_constant(found), color=GREEN, linestyle="--", linewidth=1.1)
            if name != first:
                axes.plot(*_curve(rows[first]), color=MUTED, linewidth=1.4)
            for seed in next(iter(by_budget.values()))["seeds"]:
                axes.plot(*_curve(by_budget, str(seed)), "o-", color=VERMILLION, linewidth=1.0, markersize=3, alpha=0.7)
            axes.set(title=name, xscale="log", ylim=(0, 100))
            axes.set_xticks(found["budgets"], [f"{eps_av:g}" for eps_av in found["budgets"]])
            axes.xaxis.set_minor_formatter(NullFormatter())
        for axes in panels[len(rows) :]:
            axes.set_axis_off()
        axes = figure.axes[0]
        axes.plot([], [], "o-", color=VERMILLION, linewidth=1.0, markersize=3, label="a seed")
        axes.plot([], [], color=MUTED, linewidth=1.4, label=f"mean of {first}")
        axes.plot([], [], color=GREEN, linestyle="--", linewidth=1.1, label="best constant answer")
        figure.supxlabel("eps_av", fontsize=10)
        figure.supylabel("frames decided right in the worst case (%)", fontsize=10)
        figure.legend(loc="outside upper right", ncols=3)
        figure.suptitle(_told(found).format("a line for each"), fontsize=10, color=MUTED, x=0.01, ha="left")
    return figure


def _curve(by_budget, seed=None):
    """Budgets and worst-case accuracies in percent, of one seed or the mean."""
    measure = "adversarial.frame_accuracy" + ("" if seed is None else " of seeds")
    values = [row[measure] if seed is None else row[measure][seed] for row in by_budget.values()]
    return list(by_budget), [100 * value["value"] for value in values]


def _dots(found):
    rows = found["rows"]
    looks = (("clean.frame_accuracy", BLUE, "unattacked"), ("adversarial.frame_accuracy", VERMILLION, "worst case"))
    with new_figure(7.6, 0.5 * len(rows) + 1.9) as figure:
        axes = figure.subplots()
        for measure, colour, label in looks:
            for place, row in enumerate(rows):
                values = [100 * value["value"] for value in row[f"{measure} of seeds"].values()]
                offsets = [0.16 * (n - (len(values) - 1) / 2) for n in range(len(values))]
                axes.plot(values, [place + offset for offset in offsets], "o", color=colour, markersize=5, alpha=0.85)
                axes.plot(100 * row[measure]["value"], place, "|", color=INK, markersize=16, markeredgewidth=1.6)
            axes.plot([], [], "o", color=colour, label=label)
        axes.plot([], [], "|", color=INK, markersize=12, label="mean")
        axes.axvline(_constant(found), color=GREEN, linestyle="--", linewidth=1.1, label="best constant answer")
        axes.set_yticks(range(len(rows)), [row["row"] for row in rows])
        axes.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6), xlabel="frames decided right (%)")
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper right", ncols=4)
        told = _told(found).format(f"eps_av {found['budgets'][0]:g}; a dot for each")
        axes.set_title(told, fontsize=10, color=MUTED, loc="left")
    return figure
