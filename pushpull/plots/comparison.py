"""The scores of several detectors before and after an attack, above each other on one time axis."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from pushpull.clip import FPS
from pushpull.plots.scores import probability
from pushpull.plots.style import AFTER, BEFORE, FAINT, INK, MUTED, SPEAKING, STORED, new_figure, runs

STRIP = 0.95  # inches, height of a detector's strip


def comparison_figure(
    scores: Mapping[str, Mapping[str, np.ndarray]],
    *,
    labels: np.ndarray | None = None,
    notes: Mapping[str, str] | None = None,
    title: str = "",
) -> Figure:
    """A strip for each detector: probability of speaking before, after, and after as a file holds it; at the right, the
    share of frames whose decision changed.

    Args:
        scores: {detector: {"clean", "adversarial", "stored": (T,) log-odds of speaking}}.
        labels: (T,) 1 speaking, 0 not, for a strip at the bottom; None when they are unknown or differ.
        notes: {detector: a few words that are written behind its name}.
        title: above the figure.

    Raises:
        ValueError: no detectors, or the lengths differ.
    """
    if not scores:
        raise ValueError("a figure of a comparison needs at least one detector")
    lengths = {len(margin) for versions in scores.values() for margin in versions.values()}
    lengths |= set() if labels is None else {len(labels)}
    if len(lengths) > 1:
        raise ValueError(f"scores and labels differ in length: {sorted(lengths)} frames")
    (frames,) = lengths
    strips = len(scores)
    with new_figure(10.5, STRIP * strips + (0.4 if labels is not None else 0) + 1.1) as figure:
        heights = [1.0] * strips + ([0.22] if labels is not None else [])
        grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[6, 1.15])
        first = None
        for row, (name, versions) in enumerate(scores.items()):
            axes = figure.add_subplot(grid[row, 0], sharex=first)
            first = first or axes
            _draw_strip(axes, versions, name, (notes or {}).get(name, ""), last=row + 1 == len(heights))
            _draw_bars(figure.add_subplot(grid[row, 1]), versions, top=row == 0, last=row + 1 == strips)
        if labels is not None:
            _draw_labels(figure.add_subplot(grid[strips, 0], sharex=first), np.asarray(labels))
        first.set_xlim(0, frames / FPS)
        handles = first.get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower left", ncols=3)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def _draw_strip(axes, versions, name, note, *, last):
    instants = (np.arange(len(versions["clean"])) + 0.5) / FPS
    flipped = (versions["clean"] > 0) != (versions["adversarial"] > 0)
    for start, stop, changed in runs(flipped):
        if changed:
            axes.axvspan(start / FPS, stop / FPS, color=AFTER, alpha=0.10, linewidth=0)
    axes.axhline(0.5, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    lines = {"clean": (BEFORE, "-", "before"), "adversarial": (AFTER, "-", "after")}
    lines["stored"] = (STORED, (0, (1, 1.2)), "after, stored")
    for version, (colour, dashes, label) in lines.items():
        axes.plot(instants, probability(versions[version]), color=colour, linestyle=dashes, label=label, linewidth=1.6)
    axes.set(ylim=(-0.06, 1.06), yticks=[0, 0.5, 1])
    axes.set_title(f"{name}  {note}".strip(), fontsize=9.5, pad=4)
    axes.tick_params(labelbottom=last)
    if last:
        axes.set_xlabel("time in s")


def _draw_bars(axes, versions, *, top, last):
    shares = [
        float(((versions["clean"] > 0) != (versions[version] > 0)).mean()) for version in ("adversarial", "stored")
    ]
    for at, (share, colour) in enumerate(zip(shares, (AFTER, STORED), strict=True)):
        axes.barh(at, share, color=colour, height=0.62)
        axes.text(
            min(share + 0.03, 0.72), at, f"{share:.0%}", va="center", fontsize=9, color=INK if share < 0.7 else "w"
        )
    axes.set(xlim=(0, 1), ylim=(1.5, -0.5), yticks=[], xticks=[0, 0.5, 1])
    axes.tick_params(labelbottom=last)
    axes.spines[["left"]].set_visible(False)
    if top:
        axes.set_title("frames flipped", fontsize=9.5, pad=4)
    if last:
        axes.set_xticklabels(["0", "50", "100 %"])


def _draw_labels(axes, labels):
    for start, stop, speaking in runs(labels):
        axes.barh(0, (stop - start) / FPS, left=start / FPS, height=0.8, color=SPEAKING if speaking else FAINT)
        if (stop - start) / len(labels) > 0.09:
            word, ink = ("speaking", "white") if speaking else ("silent", MUTED)
            axes.text((start + stop) / 2 / FPS, 0, word, ha="center", va="center_baseline", fontsize=8, color=ink)
    axes.grid(False)
    axes.set(yticks=[0], yticklabels=["labels"], ylim=(-0.5, 0.5), xlabel="time in s")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines[["left"]].set_visible(False)
