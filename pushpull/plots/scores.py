"""Speaking scores before and after an attack, on one time axis with what is right and what was decided."""

import numpy as np
from matplotlib.figure import Figure

from pushpull.clip import FPS
from pushpull.plots.style import AFTER, BEFORE, FAINT, INK, MUTED, SPEAKING, STORED, new_figure, runs


def probability(margin) -> np.ndarray:
    """Probability of speaking from log-odds, without overflow."""
    return 0.5 * (1 + np.tanh(np.asarray(margin, dtype=np.float64) / 2))


def scores_figure(
    before,
    after,
    *,
    stored=None,
    labels=None,
    reference: str = "labels",
    span: tuple[float, float] | None = None,
    title: str = "",
) -> Figure:
    """Probability of speaking per frame, above strips of labels and decisions.

    Args:
        before, after: (T,) logit margins (log-odds of speaking) of the clip as it was and as attacked.
        stored: (T,) margins of the attacked clip as a file holds it, or None.
        labels: (T,) 1 speaking, 0 not, or None when unknown.
        reference: what the label strip is called.
        span: (start, stop) seconds that a targeted attack aimed at, or None.
        title: above the figure.

    Raises:
        ValueError: the lengths differ.
    """
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    lines = {"before": (before, BEFORE, "-"), "after": (after, AFTER, "-")}
    if stored is not None:
        lines["after, stored"] = (np.asarray(stored, dtype=np.float64), STORED, (0, (1, 1.2)))
    strips = {} if labels is None else {reference: np.asarray(labels)}
    strips |= {name: (margin > 0).astype(int) for name, (margin, _, _) in lines.items()}
    for name, values in {**{n: m for n, (m, _, _) in lines.items()}, **strips}.items():
        if values.shape != before.shape:
            raise ValueError(f"{name} has shape {values.shape}, the scores before the attack {before.shape}")

    with new_figure(9.5, 3.2 + 0.26 * len(strips)) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, 0.32 * len(strips)])
        flipped = (before > 0) != (after > 0)
        _draw_scores(top, lines, flipped, span)
        share = f"{flipped.sum()} of {len(before)} frames flipped"
        top.set_title(f"{title}  ({share})" if title else share)
        _draw_decisions(bottom, strips, len(before))
    return figure


def _draw_scores(axes, lines, flipped, span):
    """Curves of the probability of speaking, shaded where a decision changed."""
    frames = len(flipped)
    instants = (np.arange(frames) + 0.5) / FPS
    for start, stop, changed in runs(flipped):
        if changed:
            axes.axvspan(start / FPS, stop / FPS, color=AFTER, alpha=0.10, linewidth=0)
    if span is not None:
        for edge in span:
            axes.axvline(edge, color=INK, linewidth=1.0, linestyle=(0, (2, 2)))
        axes.text(span[0], 1.045, " aimed at", fontsize=8.5, color=INK, va="bottom")
    axes.axhline(0.5, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    for name, (margin, colour, dashes) in lines.items():
        axes.plot(instants, probability(margin), color=colour, linestyle=dashes, label=name)
    axes.set(ylim=(-0.04, 1.04), xlim=(0, frames / FPS), ylabel="probability of speaking")
    axes.legend(loc="lower right", ncols=len(lines), bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)


def _draw_decisions(axes, strips, frames):
    """A strip of speaking and silent stretches for the labels and for each version's decisions."""
    axes.grid(False)
    for index, values in enumerate(strips.values()):
        for start, stop, speaking in runs(values):
            axes.barh(
                index,
                (stop - start) / FPS,
                left=start / FPS,
                height=0.74,
                color=SPEAKING if speaking else FAINT,
                edgecolor="white",
                linewidth=0.6,
            )
            if (stop - start) / frames > 0.09:
                middle = (start + stop) / 2 / FPS
                word, ink = ("speaking", "white") if speaking else ("silent", MUTED)
                axes.text(middle, index, word, ha="center", va="center_baseline", fontsize=8, color=ink)
    axes.set(yticks=range(len(strips)), yticklabels=strips, xlabel="time in s")
    axes.set_ylim(len(strips) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines[["left"]].set_visible(False)
