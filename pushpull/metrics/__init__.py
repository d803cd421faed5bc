"""Metrics of detection, of robustness and of how visible a perturbation is."""

from pushpull.metrics.functions import (
    average_precision,
    ecr,
    frame_accuracy,
    prevalence,
    psnr,
    robust_accuracy,
    snr_db,
    ssim,
    success_rate,
    target_rate,
)
from pushpull.metrics.table import COLUMNS, FLOORS, GREY, METRICS, STORED_STEP, Metric, Metrics, Pair, compare, tabulate

__all__ = [
    "COLUMNS",
    "FLOORS",
    "GREY",
    "METRICS",
    "Metric",
    "Metrics",
    "Pair",
    "STORED_STEP",
    "average_precision",
    "compare",
    "ecr",
    "frame_accuracy",
    "prevalence",
    "psnr",
    "robust_accuracy",
    "snr_db",
    "ssim",
    "success_rate",
    "tabulate",
    "target_rate",
]
