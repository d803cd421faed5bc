"""A perturbation magnified until it can be seen: what changed in picture and sound, with units."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from scipy.signal import stft

from pushpull.clip import FPS, SAMPLE_RATE
from pushpull.plots.style import AFTER, DIVERGING, INK, MUTED, SEQUENTIAL, new_figure, picture_axes

SAMPLE_STEPS = 32768  # 16-bit steps in full scale
COLUMNS = 1200  # of the waveform; more samples than that are drawn as their extremes
WINDOW = 512  # samples, 32 ms
DETAIL = 96  # samples, 6 ms
FLOOR = 1e-8  # of full scale, -160 dB: far below one 16-bit step, keeps the logarithm finite
DYNAMIC_RANGE = 60  # dB of the spectrogram


def pick_frames(delta: np.ndarray, count: int) -> list[int]:
    """``count`` frames of a (T, H, W) perturbation, spread over time, one of them the most changed one."""
    frames = len(delta)
    count = min(count, frames)
    chosen = {int(np.abs(delta).reshape(frames, -1).mean(1).argmax())}
    for frame in np.linspace(0, frames - 1, count).round().astype(int).tolist():
        chosen.add(frame)
    # The frame that crowds its neighbours most makes room for the most changed one.
    strongest = int(np.abs(delta).reshape(frames, -1).mean(1).argmax())
    while len(chosen) > count:
        chosen.remove(min(chosen - {strongest}, key=lambda frame: abs(frame - strongest)))
    return sorted(chosen)


def extremes(values: np.ndarray, columns: int = COLUMNS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre (in samples), lowest and highest of each of ``columns`` stretches of a one-dimensional array."""
    edges = np.linspace(0, len(values), min(columns, len(values)) + 1).astype(int)
    low = np.minimum.reduceat(values, edges[:-1])
    high = np.maximum.reduceat(values, edges[:-1])
    return (edges[:-1] + edges[1:]) / 2, low, high


def perturbation_figure(clean: dict, attacked: dict, *, count: int = 5, title: str = "") -> Figure:
    """What an attack added: heat maps of some frames, the waveform in 16-bit steps, and its spectrogram.

    Args:
        clean, attacked: {"audio": (N,), "video": (T, H, W)} arrays: full scale and grey levels.
        count: frames to show; the most changed one is among them.
        title: above the figure.
    """
    video = np.asarray(clean["video"], dtype=np.float64)
    delta = np.asarray(attacked["video"], dtype=np.float64) - video
    audio = np.asarray(clean["audio"], dtype=np.float64)
    sound = (np.asarray(attacked["audio"], dtype=np.float64) - audio) * SAMPLE_STEPS
    chosen = pick_frames(delta, count)
    strongest = int(np.abs(delta).reshape(len(delta), -1).mean(1).argmax())
    with new_figure(9.5, 8.2) as figure:
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        pictures, waves = figure.subfigures(2, 1, height_ratios=[1.05, 1.15])
        _draw_frames(pictures, video, delta, chosen, strongest)
        _draw_sound(waves, audio, sound)
    return figure


def _draw_frames(figure, video, delta, chosen, strongest):
    # At least a hundredth of a grey level, so that "nothing" is drawn as nothing and not as magnified rounding.
    limit = max(np.abs(delta).max(), 0.01)
    rows = figure.subplots(2, len(chosen), squeeze=False)
    for column, frame in enumerate(chosen):
        rows[0, column].imshow(video[frame], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        image = rows[1, column].imshow(
            delta[frame], cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest", rasterized=True
        )
        for axes in rows[:, column]:
            picture_axes(axes)
        name = f"{frame / FPS:.2f} s"
        most = delta.any() and frame == strongest
        rows[0, column].set_title(
            name + (", most changed" if most else ""),
            loc="center",
            fontsize=9,
            fontweight="bold" if most else "normal",
            pad=4,
        )
        rows[1, column].set_xlabel(f"largest {np.abs(delta[frame]).max():.3g}", fontsize=8.5, color=MUTED, labelpad=3)
    rows[0, 0].set_ylabel("face as it was", fontsize=9)
    rows[1, 0].set_ylabel("change", fontsize=9)
    bar = figure.colorbar(image, ax=rows[1, :], pad=0.015, aspect=14, shrink=0.95)
    bar.set_label("grey levels of 255", fontsize=9)
    bar.outline.set_visible(False)


def _draw_sound(figure, audio, sound):
    overview, detail, spectrum, average = figure.subplots(2, 2, width_ratios=[3.4, 1]).ravel()
    seconds, reach = len(audio) / SAMPLE_RATE, max(np.abs(sound).max(), 1.0)
    _draw_overview(overview, audio, sound, reach)
    overview.set_xlim(0, seconds)
    _draw_detail(detail, sound, reach)
    if len(sound) >= WINDOW and sound.any():
        hertz, instants, change = _power(sound / SAMPLE_STEPS)
        image = spectrum.pcolormesh(
            instants, hertz, change, cmap=SEQUENTIAL, vmax=change.max(), vmin=change.max() - DYNAMIC_RANGE,
            shading="gouraud", rasterized=True,
        )  # fmt: skip
        bar = figure.colorbar(image, ax=average, location="left", fraction=0.09, aspect=16, pad=0.0)
        bar.ax.yaxis.set_ticks_position("right")
        bar.ax.set_title("dB", fontsize=9, fontweight="normal")
        bar.outline.set_visible(False)
        average.plot(_power(audio)[2].mean(1), hertz, color=INK, linewidth=1.3, label="sound")
        average.plot(change.mean(1), hertz, color=AFTER, linewidth=1.3, label="change")
        average.legend(loc="upper right", handlelength=1.2, borderaxespad=0.1)
        average.set(xlabel="dB re full scale", title="Mean over time")
    else:
        spectrum.text(seconds / 2, SAMPLE_RATE / 4, "the sound is not changed", ha="center", va="center", color=MUTED)
        average.set_visible(False)
    spectrum.grid(False)
    spectrum.set(xlim=(0, seconds), xlabel="time in s", title="Spectrogram of the change")
    for axes in (spectrum, average):
        axes.set_ylim(0, SAMPLE_RATE / 2)
        axes.yaxis.set_major_formatter(EngFormatter(unit="Hz"))
    average.tick_params(axis="y", labelleft=False)


def _power(samples):
    """Frequencies in Hz, instants in s, power in dB re full scale (F, T)."""
    hertz, instants, values = stft(samples, SAMPLE_RATE, nperseg=WINDOW, noverlap=WINDOW * 3 // 4)
    return hertz, instants, 20 * np.log10(np.abs(values) + FLOOR)


def _draw_overview(axes, audio, sound, reach):
    """Extremes of the change, with the sound itself over it so that one sees where in the speech the noise sits."""
    centres, low, high = extremes(sound)
    axes.fill_between(centres / SAMPLE_RATE, low, high, color=AFTER, alpha=0.55, linewidth=0, label="the change")
    _, quiet, loud = extremes(audio)
    loudest = max(np.abs(audio).max(), 1e-3)
    axes.fill_between(
        centres / SAMPLE_RATE, quiet / loudest * reach, loud / loudest * reach, color=INK, alpha=0.75, linewidth=0,
        label=f"the sound, 1/{loudest * SAMPLE_STEPS / reach:.0f} of its size",
    )  # fmt: skip
    axes.grid(False)
    axes.set(ylim=(-1.3 * reach, 1.75 * reach), ylabel="16-bit steps", title="Change of the sound")
    axes.legend(loc="upper right", ncols=2, borderaxespad=0.1)


def _draw_detail(axes, sound, reach):
    """A few milliseconds around the loudest change, sample by sample."""
    length = min(DETAIL, len(sound))
    energy = np.convolve(sound**2, np.ones(length), "valid")
    first = int(energy.argmax())
    part = sound[first : first + length]
    instants = (first + np.arange(length)) / SAMPLE_RATE * 1000
    axes.step(instants, part, where="mid", color=AFTER, linewidth=1.1)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set(ylim=(-1.3 * reach, 1.75 * reach), xlim=(instants[0], instants[-1]), xlabel="time in ms")
    axes.set_title(f"Largest: {np.abs(sound).max():.3g} of 32768", fontsize=9.5)
    axes.locator_params(axis="x", nbins=4)
