"""What a universal noise does to clips that it has never seen, and what it looks and sounds like."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pushpull.attacks.looped import UniversalNoise
from pushpull.clip import SAMPLE_RATE
from pushpull.plots.style import DIVERGING, GREEN, INK, MUTED, PURPLE, VERMILLION, bare, new_figure

CONDITIONS = {
    "fitted": (VERMILLION, "o", "fitted on other clips"),
    "scrambled": (PURPLE, "^", "same spectrum, random phases"),
    "random": (MUTED, "s", "random signs"),
}
COLUMNS = {"adversarial": ("-", "as fitted"), "stored": (":", "stored in a file")}
# What a noise is after: the share of frames that says how well it does, and its name.
GOALS = {
    "flip": ("flipped", "frames flipped (%)"),
    "silence": ("silenced", "speaking frames silenced (%)"),
    "speak": ("made_to_speak", "silent frames made to speak (%)"),
}
SPREAD = 0.012  # of the axis, by which the conditions stand apart, so that their intervals do not cover each other


def universal_figure(rows: Sequence[dict]) -> Figure:
    """Frames won against the budget: a line of panels for each goal, a column for each detector and set of clips.

    Args:
        rows: of :func:`pushpull.evaluation.universal.universal_rows`.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a figure of universal noises needs at least one row")
    goals = [goal for goal in GOALS if any((row["goal"] or "flip") == goal for row in rows)]
    places = list(dict.fromkeys((row["detector"], row["set"], row["white_box"]) for row in rows))
    with new_figure(1.2 + 3.0 * len(places), 0.9 + 2.7 * len(goals)) as figure:
        panels = figure.subplots(len(goals), len(places), squeeze=False, sharex=True, sharey=True)
        for line, goal in zip(panels, goals, strict=True):
            for panel, (detector, name, white) in zip(line, places, strict=True):
                mine = [
                    row
                    for row in rows
                    if (row["detector"], row["set"], row["goal"] or "flip") == (detector, name, goal)
                ]
                _draw(panel, mine, GOALS[goal][0])
                if goal == goals[0]:
                    clips = max((row["clips"] for row in mine), default=0)
                    bases = max((row["bases"] for row in mine), default=0)
                    kind = "white box" if white else "transfer"
                    panel.set_title(f"{detector}, {kind}\n{name}\n{clips} clips of {bases}", parse_math=False)
                    panel.title.set_fontsize(9)
                if goal == goals[-1]:
                    panel.set_xlabel("eps_av")
            line[0].set_ylabel(GOALS[goal][1])
            line[0].set_ylim(-3, 103)
        handles = {label: handle for panel in panels.flat for handle, label in zip(*_legend(panel), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(3, len(handles)))
    return figure


def _legend(panel):
    return panel.get_legend_handles_labels()


def _draw(panel, rows: Sequence[dict], measure: str) -> None:
    budgets = sorted({row["eps_av"] for row in rows})
    width = SPREAD * (budgets[-1] - budgets[0] or 1.0) if budgets else 0.0
    for number, (condition, (colour, marker, label)) in enumerate(CONDITIONS.items()):
        for column, (dashes, where) in COLUMNS.items():
            found = sorted(
                (
                    row
                    for row in rows
                    if row["condition"] == condition and row["column"] == column and row[measure] is not None
                ),
                key=lambda row: row["eps_av"],
            )
            if not found:
                continue
            x = np.array([row["eps_av"] for row in found]) + (number - 1) * width
            value, low, high = (
                100 * np.array([np.nan if row[measure][key] is None else row[measure][key] for row in found])
                for key in ("value", "low", "high")
            )
            stored = column == "stored"
            panel.plot(
                x,
                value,
                dashes,
                color=colour,
                marker=marker,
                markersize=5,
                markerfacecolor="white" if stored else colour,
                label=f"{label}, {where}",
            )
            if not stored:
                panel.vlines(x, low, high, color=colour, linewidth=1.2, alpha=0.7)
    panel.set_xticks(budgets, [f"{budget:g}" for budget in budgets])


def noise_figure(noise: UniversalNoise, title: str = "") -> Figure:
    """The picture and the loop of sound that a noise adds, and the sound's spectrum.

    Args:
        noise: with its units on the axes.
        title: above the figure.
    """
    parts = noise.parts
    with new_figure(3.4 * ("video" in parts) + 6.2 * ("audio" in parts), 3.2) as figure:
        ratios = [3.4] * ("video" in parts) + [3.1, 3.1] * ("audio" in parts)
        panels = list(figure.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0])
        if "video" in parts:
            panel, eps = panels.pop(0), noise.eps["video"]
            shown = panel.imshow(parts["video"].numpy(), cmap=DIVERGING, vmin=-eps, vmax=eps, interpolation="nearest")
            bare(panel)
            panel.set_title("added to every frame")
            figure.colorbar(shown, ax=panel, label="grey levels", shrink=0.8)
        if "audio" in parts:
            _draw_sound(panels, parts["audio"].numpy(), noise.eps["audio"])
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=MUTED, parse_math=False)
    return figure


def _draw_sound(panels, loop: np.ndarray, eps: float) -> None:
    wave, spectrum = panels
    wave.plot(np.arange(len(loop)) / SAMPLE_RATE, loop, color=INK, linewidth=0.25)
    wave.axhline(eps, color=MUTED, linewidth=0.8, linestyle="--")
    wave.axhline(-eps, color=MUTED, linewidth=0.8, linestyle="--")
    wave.set(title="added to the sound, again and again", xlabel="time in s", ylabel="full scale")
    power = np.abs(np.fft.rfft(loop)) ** 2 / len(loop)
    frequencies = np.fft.rfftfreq(len(loop), 1 / SAMPLE_RATE)
    # White noise of the full budget has the power eps^2 at every frequency.
    bands = max(1, len(power) // 128)
    power = np.array([part.mean() for part in np.array_split(power[1:], max(1, len(power[1:]) // bands))])
    frequencies = np.array([part.mean() for part in np.array_split(frequencies[1:], len(power))])
    spectrum.plot(frequencies / 1000, 10 * np.log10(np.maximum(power / eps**2, 1e-6)), color=GREEN)
    spectrum.axhline(0, color=MUTED, linewidth=0.8, linestyle="--")
    spectrum.set(title="its spectrum", xlabel="kHz", ylabel="dB, of white noise of the budget")
