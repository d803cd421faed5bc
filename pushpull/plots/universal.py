"""What a universal noise does to clips that it has never seen, and what it looks and sounds like."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pushpull.attacks.looped import UniversalNoise
from pushpull.clip import SAMPLE_RATE
from pushpull.plots.style import (
    DIVERGING,
    GREEN,
    INK,
    MUTED,
    PURPLE,
    SEQUENTIAL,
    VERMILLION,
    new_figure,
    picture_axes,
)

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
SPREAD = 0.1  # of the way to the next budget: conditions stand apart, so that no interval hides another
WINDOW, BANDS = 512, 128  # samples of a spectrogram's window; bands of a spectrum


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
    places = list(dict.fromkeys((row["detector"], row["set"]) for row in rows))
    budgets = sorted({row["eps_av"] for row in rows})
    with new_figure(1.2 + 3.1 * max(2, len(places)), 1.2 + 2.5 * len(goals)) as figure:
        panels = figure.subplots(len(goals), len(places), squeeze=False, sharex=True, sharey=True)
        for line, goal in zip(panels, goals, strict=True):
            for panel, place in zip(line, places, strict=True):
                mine = [row for row in rows if (row["detector"], row["set"]) == place]
                mine = [row for row in mine if (row["goal"] or "flip") == goal]
                _draw(panel, mine, GOALS[goal][0], budgets)
                if goal == goals[0] and mine:
                    panel.set_title(_title(mine[0]), fontsize=9)
            line[0].set_ylabel(GOALS[goal][1])
        for panel in panels[-1]:
            panel.set_xlabel("eps_av")
            panel.set_xticks(range(len(budgets)), [f"{budget:g}" for budget in budgets])
            panel.set_xlim(-0.5, len(budgets) - 0.5)
        panels[0, 0].set_ylim(bottom=0)
        marks = [
            Line2D([], [], color=colour, marker=marker, label=word) for colour, marker, word in CONDITIONS.values()
        ]
        marks += [Line2D([], [], color=INK, linestyle=dashes, label=word) for dashes, word in COLUMNS.values()]
        figure.legend(handles=marks, loc="outside lower center", ncols=3)
    return figure


def _title(row: dict) -> str:
    kind = "white box" if row["white_box"] else f"fitted on {row['fitted_on'] or 'another detector'}"
    return f"{row['detector']}\n{kind}\n{row['set']}: {row['clips']} clips"


def _draw(panel, rows: Sequence[dict], measure: str, budgets: Sequence[float]) -> None:
    for number, (condition, (colour, marker, _)) in enumerate(CONDITIONS.items()):
        for column, (dashes, _) in COLUMNS.items():
            found = [row for row in rows if (row["condition"], row["column"]) == (condition, column)]
            found = sorted((row for row in found if row[measure] is not None), key=lambda row: row["eps_av"])
            x = np.array([budgets.index(row["eps_av"]) for row in found]) + (number - 1) * SPREAD
            value, low, high = (
                100 * np.array([np.nan if row[measure][key] is None else row[measure][key] for row in found])
                for key in ("value", "low", "high")
            )
            if column == "stored":
                panel.plot(x, value, dashes, color=colour, marker=marker, markersize=5, markerfacecolor="white")
                continue
            panel.plot(x, value, dashes, color=colour, marker=marker, markersize=5)
            panel.vlines(x, low, high, color=colour, linewidth=1.2, alpha=0.7)


def noise_figure(noise: UniversalNoise, title: str = "") -> Figure:
    """The picture that a noise adds, its loop of sound over time and frequency, and the sound's spectrum.

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
            picture_axes(panel)
            panel.set_title("the picture")
            figure.colorbar(shown, ax=panel, label="grey levels", shrink=0.8)
        if "audio" in parts:
            _draw_sound(panels, parts["audio"].numpy(), noise.eps["audio"])
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=MUTED)
    return figure


def _draw_sound(panels, loop: np.ndarray, eps: float) -> None:
    over_time, spectrum = panels
    window = min(WINDOW, len(loop))
    with np.errstate(divide="ignore"):  # a loop without a certain frequency is white there
        over_time.specgram(loop / eps, NFFT=window, noverlap=window // 2, Fs=SAMPLE_RATE / 1000, cmap=SEQUENTIAL)
    over_time.grid(False)
    # The axis of time comes in milliseconds, as that of frequency does in kHz.
    over_time.set(title="the loop of sound", xlabel="time in ms", ylabel="kHz")
    power = np.abs(np.fft.rfft(loop))[1:] ** 2 / len(loop)
    frequencies = np.fft.rfftfreq(len(loop), 1 / SAMPLE_RATE)[1:]
    bands = min(BANDS, len(power))
    power, frequencies = (np.array([part.mean() for part in np.array_split(x, bands)]) for x in (power, frequencies))
    # White noise of the full budget has the power eps^2 at every frequency.
    spectrum.plot(frequencies / 1000, 10 * np.log10(np.maximum(power / eps**2, 1e-6)), color=GREEN)
    spectrum.axhline(0, color=MUTED, linewidth=0.8, linestyle="--")
    spectrum.set(title="its spectrum", xlabel="kHz", ylabel="dB beside random signs")
