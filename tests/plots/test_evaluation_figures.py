"""Figures of an evaluation: every attack that was made is there to see."""

import pytest

from pushpull.plots.evaluation import rows_figure

ATTACKS = ("bim", "mim", "pgd")


def row(attack, objective, accuracy):
    measured = {"value": accuracy, "low": accuracy - 0.05, "high": accuracy + 0.05}
    both = {"average_precision": measured, "frame_accuracy": measured}
    head = {"model": "talknet-lite", "attack": attack, "objective": objective, "eps_av": 5.0, "set": "all"}
    return head | {"adversarial": both, "clean": both, "floor": 0.5, "examples": 4, "paper": None, "worst_case": None}


def points(figure):
    """Per cent and whether hollow, of every marker of an attack on the right."""
    axes = figure.axes[1]
    drawn = [line for line in axes.lines if line.get_marker() in "osD" and len(line.get_xdata())]
    return {(round(float(line.get_xdata()[0])), line.get_markerfacecolor() == "white") for line in drawn}


@pytest.mark.parametrize(
    "objectives, seen",
    [
        ({"training_aware": ATTACKS, "inference_aware": ATTACKS}, {(10, False), (20, False), (30, False)}),
        ({"training_aware": ATTACKS, "inference_aware": ("bim",)}, {(10, False), (20, False), (30, False)}),
        ({"inference_aware": ATTACKS}, {(40, False), (50, False), (60, False)}),
    ],
    ids=["fig4", "table1", "no heads"],
)
def test_both_scenarios_are_drawn_where_each_attack_was_made_in_both(objectives, seen):
    first = {"training_aware": 0.1, "inference_aware": 0.4}
    rows = [
        row(attack, objective, first[objective] + 0.1 * ATTACKS.index(attack))
        for objective, attacks in objectives.items()
        for attack in attacks
    ]
    if len(rows) == 6:
        seen = seen | {(40, True), (50, True), (60, True)}
    assert points(rows_figure(rows)) == seen
