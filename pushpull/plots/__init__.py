"""Figures for the app, reports and README, as matplotlib ``Figure`` objects; no pyplot, no global state."""

from pushpull.plots.comparison import comparison_figure
from pushpull.plots.embeddings import embedding_figure
from pushpull.plots.perturbation import perturbation_figure
from pushpull.plots.scores import scores_figure
from pushpull.plots.style import save
from pushpull.plots.survival import survival_figure
from pushpull.plots.trace import trace_figure
from pushpull.plots.zoo import zoo_figure

__all__ = [
    "comparison_figure",
    "embedding_figure",
    "perturbation_figure",
    "save",
    "scores_figure",
    "survival_figure",
    "trace_figure",
    "zoo_figure",
]
