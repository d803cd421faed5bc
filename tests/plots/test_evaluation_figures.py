"""Figures of an evaluation: every attack that was made is there to see."""

import pytest

from pushpull.plots.evaluation import budget_figure, matrix_figure, rows_figure

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


def test_a_matrix_tells_what_is_untouched_what_transfers_and_what_was_made_on_all_others():
    def pair(source, model, accuracy, clean=0.9):
        made = row("bim", "inference_aware", accuracy) | {"source": source, "model": model}
        return made | {"clean": {"frame_accuracy": {"value": clean}}}

    # Scored in the crop of another's attack, a detector is not what it is on its own: B's own 90 % is told, not 70.
    rows = [pair("A", "A", 0.1), pair("A", "B", 0.6, clean=0.7), pair("B", "A", 0.7), pair("B", "B", 0.2)]
    rows += [pair("B", "B", 0.15), pair("B + C", "A", 0.5)]
    axes = matrix_figure(rows).axes[0]
    told = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["nothing", "A", "B", "all others together"]
    assert [[told[y, x] for x in range(2)] for y in range(4)] == [["90", "90"], ["10", "60"], ["70", "15"], ["50", "-"]]


def test_each_modality_has_a_panel_with_a_line_for_each_detector():
    rows = [
        row("worst case", "all", 0.4) | {"model": model, "modality": modality, "eps_av": eps_av}
        for model in ("A", "B")
        for modality in ("both", "audio")
        for eps_av in (1.0, 5.0)
    ]
    figure = budget_figure(rows, ("model",), panels="modality")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["sound and picture", "sound alone"]
    assert all([list(line.get_xdata()) for line in axes.lines] == [[0, 1, 5]] * 2 for axes in figure.axes)
    assert len(budget_figure(rows[:2], ("model",)).axes) == 1
