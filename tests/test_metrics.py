"""Metrics against hand-worked cases and brute force."""

import csv
import io
import itertools
import json
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from pushpull.metrics import (
    COLUMNS,
    METRICS,
    Metrics,
    average_precision,
    compare,
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


def official(ranked_labels):
    """VOC average precision of an order, as the AVA-ActiveSpeaker tool integrates it, written the slow way."""
    positives = sum(ranked_labels)
    points = [(0.0, 0.0)]
    found = 0
    for rank, label in enumerate(ranked_labels, 1):
        found += label
        points.append((found / positives, found / rank))
    area = 0.0
    for i in range(1, len(points)):
        best_from_here = max(precision for _, precision in points[i:])
        area += (points[i][0] - points[i - 1][0]) * best_from_here
    return area


def worst_order(scores, labels):
    """The lowest official value over every order that the scores allow."""
    orders = itertools.permutations(range(len(scores)))
    allowed = (o for o in orders if all(scores[a] >= scores[b] for a, b in itertools.pairwise(o)))
    return min(official([labels[i] for i in o]) for o in allowed)


@pytest.mark.parametrize(
    "scores, labels, expected",
    [
        ([4, 3, 2, 1], [1, 1, 0, 0], 1.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0.5),  # precision 1/3 then 2/4; made monotone, 1/2 and 1/2
        ([4, 3, 2, 1], [1, 0, 1, 0], 0.5 * 1 + 0.5 * 2 / 3),
        ([5, 4, 3, 2, 1], [0, 1, 0, 1, 1], 3 / 5),  # 1/2, 2/4, 3/5 rise to the right: 3/5 everywhere
        ([1, 1, 1, 1], [1, 1, 0, 0], 0.5),  # constant scores: the prevalence, whatever the row order
        ([1, 1, 1, 1], [0, 0, 1, 1], 0.5),
        ([2, 1, 1, 0], [1, 1, 0, 0], 0.5 * 1 + 0.5 * 2 / 3),  # the tie puts the negative first
        ([1], [1], 1.0),
    ],
)
def test_average_precision_of_hand_worked_cases(scores, labels, expected):
    assert average_precision(scores, labels) == pytest.approx(expected, abs=1e-12)
    assert average_precision(torch.tensor(scores), torch.tensor(labels)) == average_precision(scores, labels)


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_without_ties_is_the_official_tools(seed):
    generator = np.random.default_rng(seed)
    scores, labels = generator.permutation(300), generator.integers(0, 2, 300)
    expected = official(labels[np.argsort(-scores)].tolist())
    assert average_precision(scores, labels) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_ties_count_as_the_worst_order(seed):
    generator = np.random.default_rng(seed)
    scores, labels = generator.integers(0, 3, 7), generator.integers(0, 2, 7)
    labels[0] = 1
    expected = worst_order(scores.tolist(), labels.tolist())
    assert average_precision(scores, labels) == pytest.approx(expected, abs=1e-12)
    shuffled = generator.permutation(7)
    assert average_precision(scores[shuffled], labels[shuffled]) == pytest.approx(expected, abs=1e-12)


def test_floor_of_average_precision_is_the_prevalence():
    labels = np.r_[np.ones(225), np.zeros(225)]
    assert average_precision(labels, labels) == 1.0
    assert average_precision(-labels, labels) == prevalence(labels) == 0.5


@pytest.mark.parametrize(
    "value",
    [
        average_precision([1.0, 2.0], [0, 0]),
        average_precision([], []),
        average_precision([1.0, math.nan], [0, 1]),
        prevalence([]),
        frame_accuracy([], []),
        robust_accuracy(np.zeros((1, 2), bool), np.zeros((1, 2), bool)),
        success_rate([0, 0], [1, 1], [1, 1]),
        ecr(np.zeros((3, 4)), np.ones((3, 4))),
        snr_db(np.zeros(3), np.zeros(3)),
    ],
)
def test_what_is_not_defined_is_nan(value):
    assert math.isnan(value)


def test_scores_and_labels_must_match():
    with pytest.raises(ValueError, match="must match"):
        average_precision([1.0, 2.0], [1])


def test_rates():
    labels, clean, after = [1, 1, 0, 0, 1], [1, 1, 0, 1, 0], [0, 1, 1, 0, 0]
    assert frame_accuracy(after, labels) == pytest.approx(2 / 5)
    assert success_rate(clean, after, labels) == pytest.approx(2 / 3)  # frames 0, 1, 2 were right; 0 and 2 fell
    assert target_rate(after, [0, 0, 0, 0, 0]) == pytest.approx(3 / 5)
    assert robust_accuracy([[True, False, False]], [[True, True, False]]) == 0.5


def test_ecr_is_the_mean_of_per_frame_ratios():
    z = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    attacked = z + np.array([[0.0, 1.0], [2.0, 0.0], [5.0, 5.0]])
    assert ecr(z, attacked) == pytest.approx((1 / 5 + 2 / 1) / 2)
    assert ecr(z[None].repeat(2, 0), attacked[None].repeat(2, 0)) == pytest.approx(1.1)


def test_signal_to_noise_ratios():
    assert snr_db([10.0, 10.0], [11.0, 9.0]) == pytest.approx(20.0)
    assert snr_db([1.0], [1.0]) == math.inf and snr_db([0.0], [1.0]) == -math.inf
    assert psnr(np.zeros((2, 2)), np.full((2, 2), 25.5)) == pytest.approx(20.0)
    assert psnr(np.ones((2, 2)), np.ones((2, 2))) == math.inf


def test_ssim_averages_frames():
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 16)).astype(float)
    noisy = frames.copy()
    noisy[1] = np.random.default_rng(1).integers(0, 256, (16, 16))
    assert ssim(frames, frames) == 1.0
    single = ssim(frames[1:2], noisy[1:2])
    assert single < 0.2 and ssim(frames, noisy) == pytest.approx((2 + single) / 3)


class Outputs(NamedTuple):
    logits_av: torch.Tensor
    z_a: torch.Tensor
    z_v: torch.Tensor


def model(inputs):
    """Speaking where the frame is bright; z from each input."""
    z_a = inputs["audio"].reshape(len(inputs["audio"]), -1, 2)
    z_v = inputs["video"].flatten(2)
    margin = z_v.mean(-1) - 127.5
    return Outputs(torch.stack([torch.zeros_like(margin), margin], -1), z_a, z_v)


@pytest.fixture
def clips():
    video = torch.tensor([[200.0, 200, 50, 50], [200, 50, 50, 50]])[..., None, None].expand(2, 4, 8, 8).clone()
    return {"audio": torch.full((2, 8), 0.5), "video": video}


def test_compare(clips):
    labels = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0]])
    attacked = {"audio": clips["audio"] * 1.1, "video": clips["video"].clone()}
    attacked["video"][0, 0] = 100.0
    ever = torch.zeros(2, 4, dtype=torch.bool)
    ever[0, :2] = True
    report = compare(model, clips, {"adversarial": attacked, "stored": clips}, labels, flipped_ever=ever)
    clean, found, stored = (report.columns[name] for name in ("clean", "adversarial", "stored"))
    assert clean["frame_accuracy"] == 7 / 8 and clean["prevalence"] == 0.5
    assert clean["flipped"] == 0 and clean["frames"] == 8
    assert found["frame_accuracy"] == 6 / 8 and found["flipped"] == 1 and found["success_rate"] == pytest.approx(1 / 7)
    assert found["robust_accuracy"] == 6 / 8
    # The clip's three bright frames first, then four dark ones of which one is speaking, last by the tie rule.
    assert clean["average_precision"] == pytest.approx((3 * 1 + 4 / 8) / 4)
    assert found["ecr_a"] == pytest.approx(0.1) and found["ecr_v"] == pytest.approx(0.5 / 8)
    assert found["max_video"] == 100 and found["max_audio"] == pytest.approx(0.05 * 32768, rel=1e-5)
    assert found["mean_video"] == pytest.approx(100 / 8)
    assert found["snr_audio_db"] == pytest.approx(20.0, abs=1e-4)
    assert stored["success_rate"] == 0 and stored["ssim"] == 1.0

    assert clean["psnr_db"] is None and report.notes["clean.psnr_db"] == "the picture is not changed"
    assert stored["robust_accuracy"] is None and "adversarial column only" in report.notes["stored.robust_accuracy"]
    assert all(report[k.split(".")[0]][k.split(".")[1]] is None for k in report.notes)

    text = json.dumps(report.to_dict(), allow_nan=False)
    assert Metrics.from_dict(json.loads(text)) == report
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(report.rows()[0]))
    writer.writerows(report.rows())
    assert "psnr_db" in table.getvalue() and [row["metric"] for row in report.rows()][0] == "flipped"


def test_compare_of_a_targeted_attack_counts_frames_at_the_target(clips):
    labels = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]])
    aimed = torch.zeros(2, 4, dtype=torch.bool)
    aimed[:, 0] = True
    dark = {**clips, "video": clips["video"].clone()}
    dark["video"][0] = 50.0
    report = compare(model, clips, {"adversarial": dark}, labels, targets=torch.zeros_like(labels), aimed=aimed)
    assert report["adversarial"]["success_rate"] == 0.5 and report.columns["clean"]["success_rate"] == 0.0
    assert report["adversarial"]["flipped"] == 2 and report["adversarial"]["frames"] == 8


@pytest.mark.parametrize(
    ("brightness", "wanted", "expected"),
    [
        (50.0, 0, (None, None, None)),  # all at the aim before
        ([200.0, 50.0, 50.0, 50.0], 0, (0.0, 1.0, 0.0)),
        ([200.0, 200.0, 50.0, 50.0], 0, (0.0, 0.5, 0.5)),  # the second one stays
        (50.0, 1, (0.0, 0.0, 1.0)),
    ],
)
def test_frames_at_the_aim_before_are_neither_gained_nor_held(brightness, wanted, expected):
    before = torch.tensor(brightness).expand(1, 4)[..., None, None].expand(1, 4, 8, 8).clone()
    after = before.clone()
    after[0, 0] = 50.0
    clean, attacked = ({"audio": torch.full((1, 8), 0.5), "video": video} for video in (before, after))
    targets = torch.full((1, 4), wanted)
    ever = (after.mean((2, 3)) > 127.5).long() == targets
    report = compare(
        model, clean, {"adversarial": attacked}, torch.zeros(1, 4).long(), targets=targets, flipped_ever=ever
    )
    found = report["clean"]["success_rate"], report["adversarial"]["success_rate"]
    assert (*found, report["adversarial"]["robust_accuracy"]) == expected
    if expected[1] is None:
        assert "every frame was at it before" in report.notes["adversarial.success_rate"]


def test_compare_explains_what_it_cannot_say(clips):
    silent = {"audio": torch.zeros(2, 8), "video": clips["video"]}
    noisy = {"audio": torch.full((2, 8), 0.1), "video": clips["video"]}
    labels = torch.zeros(2, 4, dtype=torch.int64)
    report = compare(lambda x: model(x).logits_av, silent, {"adversarial": noisy}, labels)
    column = report["adversarial"]
    for metric in ("average_precision", "ecr_a", "ecr_v", "snr_audio_db", "robust_accuracy"):
        assert column[metric] is None and report.notes[f"adversarial.{metric}"]
    assert column["prevalence"] == 0.0
    json.dumps(report.to_dict(), allow_nan=False)


FLOOR = "its floor, the prevalence"
SHOWN = {
    "a floor follows what it is the floor of": ({}, [FLOOR], []),
    "a floor of nothing is left out": ({"average_precision": None}, [], ["AVA average precision", FLOOR]),
    "another number that is nowhere leaves it": ({"psnr_db": None}, [FLOOR], ["PSNR of picture"]),
}


@pytest.mark.parametrize("case", SHOWN)
def test_a_table_leaves_out_what_is_nowhere_and_its_floor(case):
    changed, there, gone = SHOWN[case]
    column = {metric.name: 1 for metric in METRICS} | changed
    text = str(Metrics(dict.fromkeys(COLUMNS, column)))
    assert all(title in text for title in there) and not any(title in text for title in gone)
