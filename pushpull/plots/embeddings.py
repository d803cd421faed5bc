"""Where frames lie in the model's embedding spaces, and where an attack pushes them."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA

from pushpull.plots.style import ARROW, INK, MUTED, SILENT, SPEAKING, new_figure

MODALITIES = {
    "z_a": "audio",
    "z_v": "video",
    "e_a": "audio, before cross-attention",
    "e_v": "video, before cross-attention",
}
CLASSES = ((1, "speaking", SPEAKING, "o"), (0, "not speaking", SILENT, "s"))
ARROWS = 60  # more only cover each other


def fit_plane(reference: np.ndarray) -> PCA:
    """The plane of largest variance of (N, D) clean embeddings; the same every time.

    Raises:
        ValueError: fewer than two embeddings or dimensions.
    """
    reference = np.asarray(reference, dtype=np.float64)
    if reference.ndim != 2 or min(reference.shape) < 2:
        raise ValueError(f"a plane needs at least 2 embeddings of 2 dimensions, got {reference.shape}")
    return PCA(n_components=2, svd_solver="full").fit(reference)


def embedding_figure(
    clean: dict, attacked: dict, labels, *, moved=None, reference: dict | None = None, title: str = ""
) -> Figure:
    """One panel per embedding: clean frames, attacked frames, class centres, arrows from where to where.

    The axes are the principal components of clean embeddings, so attacked ones are shown in a space that they did
    not shape.

    Args:
        clean, attacked: {"z_a": (T, D), "z_v": (T, D)} (or e_a, e_v) of the same frames.
        labels: (T,) 1 speaking, 0 not.
        moved: (T,) bool, frames to draw arrows for, e.g. those whose decision flipped; None means all.
        reference: {"z_a": (N, D), ..., "labels": (N,)} clean embeddings of more clips, which fit the plane and the
            class centres and are drawn faintly; None means ``clean`` itself.
        title: above the figure.
    """
    labels = np.asarray(labels)
    moved = np.ones(len(labels), bool) if moved is None else np.asarray(moved, dtype=bool)
    source = {**clean, "labels": labels} if reference is None else reference
    names = [name for name in MODALITIES if name in clean]
    with new_figure(5.0 * len(names), 5.2) as figure:
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            _draw_panel(axes, name, clean[name], attacked[name], labels, moved, source, reference is not None)
        figure.legend(handles=_legend(reference is not None), loc="outside lower center", ncols=6, handletextpad=0.3)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def _draw_panel(axes, name, clean, attacked, labels, moved, source, has_reference):
    plane = fit_plane(source[name])
    before, after, cloud = (plane.transform(np.asarray(z, np.float64)) for z in (clean, attacked, source[name]))
    known = np.asarray(source["labels"])
    for value, _, colour, marker in CLASSES:
        if has_reference:
            axes.scatter(*cloud[known == value].T, s=9, c=colour, marker=marker, alpha=0.18, linewidths=0, zorder=1)
        mine = labels == value
        axes.scatter(*before[mine].T, s=26, c=colour, marker=marker, alpha=0.85, linewidths=0, zorder=3)
        axes.scatter(
            *after[mine].T, s=26, facecolors="none", edgecolors=colour, marker=marker, linewidths=1.2, zorder=4
        )
    step = np.linalg.norm(after - before, axis=1)
    drawn = np.flatnonzero(moved)[np.argsort(-step[moved], kind="stable")[:ARROWS]]
    axes.quiver(
        *before[drawn].T, *(after - before)[drawn].T, angles="xy", scale_units="xy", scale=1, color=INK, alpha=0.45,
        width=0.0028, headwidth=5, headlength=6, zorder=2,
    )  # fmt: skip
    for value, _, colour, marker in CLASSES:
        if (known == value).any():
            centre = cloud[known == value].mean(0)
            axes.scatter(*centre, s=190, c=colour, marker=marker, edgecolors="white", linewidths=3.2, zorder=5)
            axes.scatter(*centre, s=190, c=colour, marker=marker, edgecolors=INK, linewidths=1.6, zorder=6)
    share = plane.explained_variance_ratio_
    axes.set(
        xlabel=f"first component ({share[0]:.0%} of variance)",
        ylabel=f"second component ({share[1]:.0%})",
        title=f"{name}: {MODALITIES[name]}",
    )
    axes.margins(0.06)
    axes.tick_params(labelleft=False, labelbottom=False, length=0)


def _legend(has_reference: bool) -> list[Line2D]:
    def entry(label, marker, **options):
        return Line2D([], [], linestyle="none", marker=marker, label=label, **options)

    handles = [entry(name, marker, color=colour, markersize=6) for _, name, colour, marker in CLASSES]
    handles.append(entry("attacked", "o", markerfacecolor="none", markeredgecolor=MUTED, markersize=6))
    handles.append(entry("class centre", "o", color=MUTED, markeredgecolor=INK, markersize=10, markeredgewidth=1.4))
    handles.append(entry("moved by the attack", ARROW, color=INK, markersize=12, alpha=0.6))
    if has_reference:
        handles.append(entry("reference clips", "o", color=MUTED, alpha=0.35, markersize=4))
    return handles
