"""The figures of the results and of the planner, as SVG or PNG, in the page's colours by day and by night.

Figures carry every colour and size themselves: matplotlib's settings are one table for the whole process, which the
demo in the other tab uses too.
"""

import io
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

FORMATS = {"svg": "image/svg+xml", "png": "image/png"}
ROW = 0.3  # inches for one line of a forest plot


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Teal is a measured value, vermilion the margin, grey chance; each also differs in shape or dash."""

    paper: str
    ink: str
    soft: str
    line: str
    value: str
    margin: str


PALETTES = {
    "light": Palette(paper="#fffefb", ink="#1c2127", soft="#5d6570", line="#dfdacd", value="#08736d", margin="#c33b1c"),
    "dark": Palette(paper="#1a1f28", ink="#eeece6", soft="#a3abb8", line="#323a48", value="#43c9be", margin="#ff8160"),
}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A line of a forest plot: a share with its interval, and the counts behind it."""

    label: str
    share: float | None
    low: float
    high: float
    note: str = ""
    strong: bool = False


def forest(
    rows: list[Interval],
    *,
    title: str,
    margin: float | None = None,
    axis: str = "share correct",
    theme: str = "light",
    form: str = "svg",
) -> bytes:
    """Shares with intervals, one below the other, against chance and the margin."""
    palette = PALETTES[theme]
    figure, axes = _figure(palette, 7.2, 1.15 + ROW * max(1, len(rows)))
    places = range(len(rows) - 1, -1, -1)
    axes.axvline(0.5, color=palette.soft, linewidth=1.1, linestyle=(0, (4, 3)))
    _note(axes, palette, 0.5, "chance")
    if margin is not None:
        axes.axvline(margin, color=palette.margin, linewidth=1.3)
        _note(axes, palette, margin, f"margin {100 * margin:g} %", colour=palette.margin)
    for place, row in zip(places, rows, strict=True):
        if row.share is None:
            continue
        width = 3.0 if row.strong else 1.8
        axes.plot([row.low, row.high], [place, place], color=palette.value, linewidth=width, solid_capstyle="butt")
        for end in (row.low, row.high):
            axes.plot([end, end], [place - 0.16, place + 0.16], color=palette.value, linewidth=1.4)
        axes.plot(
            [row.share], [place], "o", color=palette.value, markeredgecolor=palette.paper, markersize=7 + row.strong
        )
    axes.set(xlim=(0, 1), ylim=(-0.7, max(1, len(rows)) - 0.3), xlabel=axis)
    axes.set_yticks(list(places), [row.label for row in rows])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    for place, row in zip(places, rows, strict=True):
        axes.annotate(
            row.note,
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=palette.soft,
            annotation_clip=False,
        )
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=palette.ink, pad=20)
    return _drawn(figure, form)


def power_curve(
    rows: list[dict],
    *,
    power: float,
    needed: int | None,
    planned: int | None = None,
    theme: str = "light",
    form: str = "svg",
) -> bytes:
    """Power against the number of volunteers: each number exact, hence the saw-tooth.

    Args:
        rows: of stats.planner.
        power: the one wanted.
        needed: smallest number that reaches it, if any does.
        planned: the study's own number.
    """
    palette = PALETTES[theme]
    figure, axes = _figure(palette, 7.2, 3.1)
    counts, values = [row["volunteers"] for row in rows], [row["power"] for row in rows]
    axes.axhline(power, color=palette.margin, linewidth=1.3)
    axes.plot(counts, values, "-", color=palette.value, linewidth=1.2, alpha=0.6)
    axes.plot(counts, values, "o", color=palette.value, markersize=4)
    if needed is not None:
        value = values[counts.index(needed)]
        axes.plot([needed], [value], "o", color=palette.ink, markersize=9, fillstyle="none", markeredgewidth=1.8)
        # To the side where there is room, and below the line of the wanted power.
        left = needed > (counts[0] + counts[-1]) / 2
        axes.annotate(
            f"{needed} volunteers: {100 * value:.0f} %",
            (needed, value),
            xytext=(-10 if left else 10, -16),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=9.5,
            fontweight="bold",
            color=palette.ink,
        )
    if planned is not None and planned in counts and planned != needed:
        axes.axvline(planned, color=palette.soft, linewidth=1.1, linestyle=(0, (4, 3)))
        axes.annotate(" planned", (planned, 0.02), xycoords=("data", "axes fraction"), fontsize=9, color=palette.soft)
    axes.set(xlim=(counts[0] - 0.5, counts[-1] + 0.5), ylim=(0, 1.03), xlabel="volunteers", ylabel="power")
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    return _drawn(figure, form)


def _figure(palette: Palette, width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=palette.paper)
    axes = figure.add_subplot(facecolor=palette.paper)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=palette.line)
    axes.grid(True, axis="x", color=palette.line, linewidth=0.7)
    axes.grid(False, axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(colors=palette.ink, labelsize=9.5, length=0)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=palette.soft, fontsize=9.5)
    return figure, axes


def _note(axes: Axes, palette: Palette, x: float, text: str, *, colour: str | None = None) -> None:
    axes.annotate(
        text,
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right" if colour is None else "left",
        fontsize=9,
        color=colour or palette.soft,
    )


def _drawn(figure: Figure, form: str) -> bytes:
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a detector's file may have two dollar signs in its name
    target = io.BytesIO()
    if form == "svg":
        FigureCanvasSVG(figure).print_svg(target, metadata={"Date": None, "Creator": None})
    else:
        figure.set_dpi(160)
        FigureCanvasAgg(figure).print_png(target, metadata={"Software": None})
    return target.getvalue()
