"""One look for all figures: colours that colour-blind readers can tell apart, quiet axes, legible sizes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle

# The palette of Okabe and Ito; what it tells apart is also told apart by marker, line style or position.
BLUE, VERMILLION, GREEN, PURPLE, SKY, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
INK, MUTED, FAINT, PAPER = "#22262B", "#6B737C", "#E4E7EB", "#FFFFFF"

BEFORE, AFTER, STORED = BLUE, VERMILLION, PURPLE
SPEAKING, SILENT = GREEN, YELLOW
DIVERGING = "RdBu_r"  # signed changes; safe for the common colour blindnesses
SEQUENTIAL = "magma"  # power
ARROW = MarkerStyle(r"$\rightarrow$")  # made here: within STYLE, matplotlib reads no mathematics

STYLE = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,  # a file's name may hold two dollar signs
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "font.size": 10,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}

# matplotlib reads its settings from one process-wide table: two figures made at once would see each other's.
_SETTINGS = threading.Lock()


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A ``Figure`` of ``width`` x ``height`` inches; what is drawn inside the block has the project's look."""
    with _SETTINGS, matplotlib.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: str | Path, dpi: int = 140) -> Path:
    """Write a figure as PNG, SVG or PDF, by the ending of ``path``."""
    path = Path(path)
    with _SETTINGS:
        figure.savefig(path, dpi=dpi, facecolor=PAPER)
    return path


def picture_axes(axes: Axes) -> None:
    """No ticks, no grid, no frame: for pictures."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def runs(values: np.ndarray) -> list[tuple[int, int, object]]:
    """(start, stop, value) of each stretch of equal neighbours in a one-dimensional array."""
    edges = np.flatnonzero(np.diff(values)) + 1
    starts, stops = np.r_[0, edges], np.r_[edges, len(values)]
    return [(int(a), int(b), values[a]) for a, b in zip(starts, stops, strict=True)]
