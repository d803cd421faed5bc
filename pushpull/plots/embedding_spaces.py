"""Embeddings of several detectors, clean and attacked: where the classes lie, and what the losses' numbers say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pushpull.plots.style import AFTER, ARROW, BEFORE, INK, MUTED, SILENT, SPEAKING, new_figure

MODALITIES = {"v": "picture", "a": "sound"}
COLUMNS = {"clean": "clean", "adversarial": "attacked"}
SHOWN = 500  # frames in a panel: more only cover each other
NUMBERS = {
    "inter": "cosine of the class centres\n(L1 pushes it down)",
    "intra": "cosine of a frame and its\nclass's centre (L2 pulls it up)",
    "relative_av": "distance of sound and picture\nover their length (L4 pulls it down)",
    "wrong": "frames nearer to the other\nclass's centre, by cosine (%)",
}
CLASSES = ((1, SPEAKING, "speaking"), (0, SILENT, "not speaking"))


def embedding_spaces_figure(spaces: dict[str, Any], rows: Sequence[dict], *, eps_av: float) -> Figure:
    """A column of maps for each detector, and below them the numbers of all with their intervals.

    A map's axis to the right is the line through the two clean centres, "speaking" at +1 and "not speaking" at -1; the
    axis upwards is the direction, of those that are left, in which clean frames differ most, in the same unit. All maps
    have one scale, so that a small cloud is a compact class.

    Args:
        spaces: by the detector's name, with ``labels`` and, of ``column("clean")`` and ``column("adversarial")``, the
            embeddings ["a"] and ["v"], lists of (T,) and (T, D) for each example.
        rows: of ``pushpull.evaluation.embeddings.embedding_rows``, in the same order.
        eps_av: budget of the attack.

    Raises:
        ValueError: no detector.
    """
    if not spaces:
        raise ValueError("a figure of embeddings needs at least one detector")
    count = len(spaces)
    with new_figure(max(2.05 * count + 0.8, 9.0), 11.6) as figure:
        top, bottom = figure.subfigures(2, 1, height_ratios=(3.1, 1))
        panels = top.subplots(4, count, squeeze=False, sharex=True, sharey=True)
        points = {(m, name): _planar(space, m) for m in MODALITIES for name, space in spaces.items()}
        limits = _limits([p for parts in points.values() for p in parts.values()])
        lines = [(m, column) for m in MODALITIES for column in COLUMNS]
        for y, (m, column) in enumerate(lines):
            for x, (name, row) in enumerate(zip(spaces, rows, strict=True)):
                axes = panels[y, x]
                _map(axes, points[m, name], np.concatenate(spaces[name].labels), column, row[column][f"wrong_{m}"])
                axes.set(xlim=limits[0], ylim=limits[1])
                if y == 0:
                    axes.set_title(row.get("row") or name, loc="center")
                if x == 0:
                    axes.set_ylabel(f"{MODALITIES[m]}\n{COLUMNS[column]}", fontweight="bold")
        top.legend(handles=_legend(), loc="outside upper right", ncols=4)
        top.suptitle(
            f"One dot a frame, before cross-attention; to the right: speaking. BIM, eps_av {eps_av:g}",
            x=0.01, ha="left", fontsize=10, color=MUTED,
        )  # fmt: skip
        for axes, (measure, title) in zip(bottom.subplots(1, len(NUMBERS)), NUMBERS.items(), strict=True):
            _numbers(axes, rows, measure, title)
    return figure


def _planar(space, m: str) -> dict[str, np.ndarray]:
    """{column: (N, 2)} in the plane of the clean frames."""
    clean, labels = np.concatenate(space.clean[m]).astype(np.float64), np.concatenate(space.labels)
    speaking, other = (clean[labels == value].mean(axis=0) for value, *_ in CLASSES)
    middle, across = (speaking + other) / 2, (speaking - other) / 2
    size = max(np.linalg.norm(across), 1e-12)
    across = across / size
    rest = clean - middle
    rest = rest - np.outer(rest @ across, across)
    upwards = np.linalg.svd(rest - rest.mean(axis=0), full_matrices=False)[2][0]
    upwards *= 1 if upwards[np.argmax(np.abs(upwards))] > 0 else -1  # of two signs always the same
    plane = np.stack([across, upwards], axis=1) / size
    shift = rest.mean(axis=0) @ plane[:, 1]
    return {c: (np.concatenate(space.column(c)[m]) - middle) @ plane - [0, shift] for c in COLUMNS}


def _limits(points: Sequence[np.ndarray]):
    low, high = np.quantile(np.concatenate(points), [0.003, 0.997], axis=0)
    room = 0.06 * (high - low)
    return list(zip(low - room, high + room, strict=True))


def _map(axes, points: dict, labels: np.ndarray, column: str, wrong: dict) -> None:
    shown = np.unique(np.linspace(0, len(labels) - 1, SHOWN).astype(int))
    axes.axvline(0, color=MUTED, linestyle=":", linewidth=1, zorder=1)
    for value, colour, _ in CLASSES:
        mine = shown[labels[shown] == value]
        marker = "o" if value else "s"
        axes.scatter(*points[column][mine].T, s=9, c=colour, marker=marker, alpha=0.45, linewidths=0, zorder=2)
    for value, colour, _ in CLASSES:
        before, now = (points[c][labels == value].mean(axis=0) for c in ("clean", column))
        look = {"marker": "o" if value else "s", "markersize": 7, "markeredgewidth": 1.2, "markeredgecolor": INK}
        if column != "clean":
            axes.plot(*before, **look, color="white", zorder=4)
            arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", now, before, zorder=6, arrowprops=arrow)
        axes.plot(*now, **look, color=colour, zorder=5)
    if wrong["value"] is not None:
        axes.text(
            0.03, 0.97, f"wrong side: {100 * wrong['value']:.0f} %", transform=axes.transAxes, va="top", fontsize=8.5,
            color=INK, bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.5}, zorder=6,
        )  # fmt: skip
    axes.grid(False)
    axes.tick_params(labelleft=False, labelbottom=False, length=0)


def _numbers(axes, rows: Sequence[dict], measure: str, title: str) -> None:
    """Estimates with intervals: sound and picture by marker, clean and attacked by colour."""
    scale = 100 if measure == "wrong" else 1
    marks = {measure: "D"} if measure.endswith("_av") else {f"{measure}_v": "s", f"{measure}_a": "^"}
    for step, (name, marker) in enumerate(marks.items()):
        for column, colour in (("clean", BEFORE), ("adversarial", AFTER)):
            place = np.arange(len(rows)) + (step - (len(marks) - 1) / 2) * 0.36 + (0.08 if column != "clean" else -0.08)
            found = [row[column][name] for row in rows]
            value, low, high = (
                np.array([np.nan if f[key] is None else scale * f[key] for f in found])
                for key in ("value", "low", "high")
            )
            axes.vlines(place, low, high, color=colour, linewidth=1.3, alpha=0.7)
            axes.plot(place, value, marker, color=colour, markersize=5)
    axes.set_xticks(range(len(rows)), [row.get("row") or row["model"] for row in rows])
    axes.set_title(title, fontsize=9.5)
    axes.grid(axis="x", visible=False)


def _legend() -> list[Line2D]:
    look = {"linestyle": "", "markersize": 7}
    return [
        Line2D([], [], marker="o", color=SPEAKING, label="speaking", **look),
        Line2D([], [], marker="s", color=SILENT, label="not speaking", **look),
        Line2D([], [], marker=ARROW, color=INK, label="centre, clean to attacked", **look),
        Line2D([], [], marker="s", color=BEFORE, label="clean", **look),
        Line2D([], [], marker="s", color=AFTER, label="attacked", **look),
        Line2D([], [], marker="s", color=MUTED, label="picture", **look),
        Line2D([], [], marker="^", color=MUTED, label="sound", **look),
    ]
