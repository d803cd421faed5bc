"""A figure of several training seeds: a dot for each, never one bar for all."""

from matplotlib.figure import Figure

from pushpull.plots.style import BLUE, GREEN, INK, MUTED, VERMILLION, new_figure


def seeds_figure(found: dict) -> Figure:
    """Clean and worst-case accuracy of every row, a dot for each seed, a tick for their mean.

    Args:
        found: what ``pushpull.evaluation.seeds.compare_seeds`` gives.

    Raises:
        ValueError: no rows.
    """
    rows = found["rows"]
    if not rows:
        raise ValueError("a figure of seeds needs at least one row")
    floor = found["floor"]  # the share of frames that speak: what "speaking" for all of them gets right
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
        axes.axvline(
            100 * max(floor, 1 - floor), color=GREEN, linestyle="--", linewidth=1.1, label="best constant answer"
        )
        axes.set_yticks(range(len(rows)), [row["row"] for row in rows])
        axes.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6), xlabel="frames decided right (%)")
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper right", ncols=4)
        told = f"{found['examples']} examples, eps_av {found['eps_av']:g}; a dot for each of "
        axes.set_title(
            told + f"{len({study['seed'] for study in found['studies']})} training seeds",
            fontsize=10,
            color=MUTED,
            loc="left",
        )
    return figure
