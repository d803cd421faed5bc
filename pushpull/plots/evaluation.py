"""Figures of ``pushpull.evaluation``: rows beside the paper's, and what is left against the budget."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from pushpull.plots.style import BLUE, GREEN, INK, MUTED, PURPLE, SKY, VERMILLION, YELLOW, new_figure

COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, YELLOW, SKY, INK, MUTED)
MARKERS = "osD^vPX*"
ATTACKS = {"bim": (VERMILLION, "o"), "mim": (PURPLE, "s"), "pgd": (INK, "D")}
WORST = "worst case"
TOGETHER = "all others together"
MODALITY = {"both": "sound and picture", "audio": "sound alone", "video": "picture alone"}


def rows_figure(rows: Sequence[dict]) -> Figure:
    """Table 1 as a picture: average precision and accuracy of every detector, clean and attacked, beside the paper's.

    Args:
        rows: of one study and one set of examples, as ``pushpull.evaluation.studies.study_rows`` gives them.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a figure of an evaluation needs at least one row")
    models = list(dict.fromkeys(row["model"] for row in rows))
    with new_figure(11, 0.42 * len(models) + 2.0) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for place, model in enumerate(models):
            mine = [row for row in rows if row["model"] == model]
            _row(left, place, mine, lambda row: row["adversarial"]["average_precision"], "average_precision")
            _row(right, place, mine, lambda row: row["adversarial"]["frame_accuracy"], "frame_accuracy")
            for row in mine:
                if row.get("paper") and row["attack"] in ATTACKS:
                    left.plot(row["paper"]["mAP"], place + 0.3, "|", color=ATTACKS[row["attack"]][0], markersize=8)
            worst = [row for row in mine if row["attack"] == WORST and row["worst_case"]]
            for row in worst:
                right.plot(100 * row["worst_case"]["value"], place, "x", color=INK, markersize=7, markeredgewidth=2)
        left.axvline(100 * rows[0]["floor"], color=GREEN, linestyle="--", linewidth=1.2)
        ticks = "; small ticks: the paper's" if any(row.get("paper") for row in rows) else ""
        cross = "; cross: by every iterate of every attack" if any(row["attack"] == WORST for row in rows) else ""
        left.set(xlabel=f"AVA average precision (%); green: floor{ticks}", xlim=(0, 102))
        right.set(xlabel=f"frames decided right (%){cross}", xlim=(0, 102))
        for panel in (left, right):
            panel.set_ylim(len(models) - 0.4, -0.6)
            panel.grid(axis="y", visible=False)
        left.set_yticks(range(len(models)), models)
        handles = [left.plot([], [], "|", color=BLUE, markersize=13, markeredgewidth=2.5, label="not attacked")[0]]
        handles += [left.plot([], [], m, color=c, label=name.upper())[0] for name, (c, m) in ATTACKS.items()]
        if any(hollow for model in models for _, _, hollow in _shown([r for r in rows if r["model"] == model])):
            look = {"color": MUTED, "markerfacecolor": "white", "label": "hollow: inference-aware"}
            handles += left.plot([], [], "o", **look)
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
        figure.suptitle(_conditions(rows), x=0.01, ha="left", fontsize=10, color=MUTED)
    return figure


def _shown(rows) -> list[tuple[dict, float, bool]]:
    """Rows of one detector to draw, how far below its line, and whether hollow.

    Attacks on all heads; where each was made on the output alone as well (Fig. 4), those below, hollow.
    """
    found = {
        aware: [row for row in rows if row["attack"] in ATTACKS and row["objective"] == aware]
        for aware in ("training_aware", "inference_aware")
    }
    full, hollow = found["training_aware"] or found["inference_aware"], found["inference_aware"]
    if not found["training_aware"] or len(hollow) < len(full):
        return [(row, offset, False) for row, offset in zip(full, (-0.2, 0.0, 0.2), strict=False)]
    offsets = (-0.3, -0.18, -0.06, 0.06, 0.18, 0.3)
    return [(row, offset, row in hollow) for row, offset in zip([*full, *hollow], offsets, strict=False)]


def _row(panel, place, rows, figure_of, clean):
    value = rows[0]["clean"][clean]
    if value["value"] is not None:
        panel.plot(100 * value["value"], place, "|", color=BLUE, markersize=13, markeredgewidth=2.5)
    for row, offset, hollow in _shown(rows):
        found = figure_of(row)
        if found["value"] is None:
            continue
        colour, marker = ATTACKS[row["attack"]]
        if found["low"] is not None:
            panel.hlines(
                place + offset, 100 * found["low"], 100 * found["high"], color=colour, linewidth=1.2, alpha=0.6
            )
        face = "white" if hollow else colour
        panel.plot(100 * found["value"], place + offset, marker, color=colour, markerfacecolor=face, markersize=5)


def budget_figure(
    rows: Sequence[dict], lines: Sequence[str], measure: str = "frame_accuracy", panels: str | None = None
) -> Figure:
    """What is left against eps_av, a line for each combination of ``lines``.

    Args:
        rows: of one study and one set of examples.
        lines: the keys of a row that tell lines apart, such as ("model",) or ("modality",).
        measure: "frame_accuracy" or "average_precision".
        panels: a key of a row, each of whose values gets a panel beside the others; None draws a single one.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a figure of an evaluation needs at least one row")
    values = list(dict.fromkeys(row[panels] for row in rows)) if panels else [None]
    name = "frames decided right (%)" if measure == "frame_accuracy" else "AVA average precision (%)"
    moved = "eps_av: sound moves by 1e-4 of full scale, picture by 0.1 grey levels for each"
    with new_figure(7.6 if len(values) == 1 else 3.9 * len(values), 4.4) as figure:
        for axes, value in zip(figure.subplots(1, len(values), sharey=True, squeeze=False)[0], values, strict=True):
            shown = [row for row in rows if panels is None or row[panels] == value]
            _budget_lines(axes, shown, lines, measure)
            axes.set_ylim(0, 103)
            title = _conditions(rows) if value is None else MODALITY.get(value, str(value))
            axes.set_title(title, fontsize=10, color=MUTED)
        first = figure.axes[0]
        first.set_ylabel(name)
        first.legend(loc="best", ncols=2 if len(first.lines) > 4 and len(values) == 1 else 1)
        if len(values) == 1:
            first.set_xlabel(moved)
        else:
            figure.supxlabel(moved, fontsize=10)
            figure.suptitle(_conditions(rows), x=0.01, ha="left", fontsize=10, color=MUTED)
    return figure


def _budget_lines(axes, rows, lines, measure):
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row[key]) for key in lines), []).append(row)
    for number, (names, group) in enumerate(groups.items()):
        group = sorted(group, key=lambda row: row["eps_av"])
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        budgets = [0.0, *(row["eps_av"] for row in group)]
        found = [group[0]["clean"][measure], *(row["adversarial"][measure] for row in group)]
        values = [100 * (x["value"] if x["value"] is not None else float("nan")) for x in found]
        axes.plot(budgets, values, marker=marker, color=colour, markersize=5, label=", ".join(names))
        if all(x["low"] is not None for x in found):
            low, high = ([100 * x[side] for x in found] for side in ("low", "high"))
            axes.fill_between(budgets, low, high, color=colour, alpha=0.13, linewidth=0)
        stars = [(row["eps_av"], row["paper"]["mAP"]) for row in group if row.get("paper")]
        if stars and measure == "average_precision":
            look = {"markersize": 13, "markeredgecolor": INK, "linestyle": ""}
            axes.plot(*zip(*stars, strict=True), "*", color=colour, **look, label=f"{', '.join(names)}: the paper's")
    if measure == "average_precision":
        axes.axhline(100 * rows[0]["floor"], color=GREEN, linestyle="--", linewidth=1.2, label="floor")


def matrix_figure(rows: Sequence[dict]) -> Figure:
    """Transfer: frames still decided right; a row is the detector attacked by way of, a column the one that decides.

    The first row is of clips that nothing was done to, the last of those made on all other detectors together.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a figure of an evaluation needs at least one row")
    sources = list(dict.fromkeys(TOGETHER if " + " in row["source"] else row["source"] for row in rows))
    sources = ["nothing", *sorted(sources, key=lambda name: name == TOGETHER)]
    targets = list(dict.fromkeys(row["model"] for row in rows))
    budgets = sorted({row["eps_av"] for row in rows})
    with new_figure(2.0 + (0.9 * len(targets) + 0.4) * len(budgets), 1.9 + 0.45 * len(sources)) as figure:
        panels = figure.subplots(1, len(budgets), sharey=True, squeeze=False)[0]
        for panel, eps_av in zip(panels, budgets, strict=True):
            values = [[_least(rows, s, t, eps_av) for t in targets] for s in sources]
            panel.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
            for y, line in enumerate(values):
                for x, value in enumerate(line):
                    text = "-" if value != value else f"{value:.0f}"
                    panel.text(x, y, text, ha="center", va="center", color="white" if value <= 55 else "black")
            panel.set_xticks(range(len(targets)), targets, rotation=30, ha="right")
            panel.grid(False)
            panel.set_title(f"eps_av {eps_av:g}", fontsize=10)
        panels[0].set_yticks(range(len(sources)), sources)
        panels[0].set_ylabel("attacked by way of")
        figure.suptitle("frames still decided right (%), the strongest of the attacks", x=0.01, ha="left", fontsize=10)
    return figure


def _least(rows, source, target, eps_av):
    """Of what was made on ``source``, percent; nan where nothing was. "nothing": of the target's own clean clips."""
    mine = [row for row in rows if (row["model"], row["eps_av"]) == (target, eps_av)]
    if source == "nothing":
        found = [row["clean"]["frame_accuracy"]["value"] for row in mine if row["source"] == target]
    elif source == TOGETHER:
        found = [row["adversarial"]["frame_accuracy"]["value"] for row in mine if " + " in row["source"]]
    else:
        found = [row["adversarial"]["frame_accuracy"]["value"] for row in mine if row["source"] == source]
    return 100 * min(found, default=float("nan"))


def _conditions(rows) -> str:
    budgets = sorted({row["eps_av"] for row in rows})
    eps = f"eps_av {budgets[0]:g}" + (f" to {budgets[-1]:g}" if len(budgets) > 1 else "")
    return f"{rows[0]['examples']} examples ({rows[0]['set']}), {eps}; bars and bands: 95 % over base clips"
