"""Operating points: taken off the log-odds once, whoever loads the detector, and only where they are its own."""

import json

import numpy as np
import pytest
import torch
from detector_support import batch
from evaluation_support import Toy, toy_examples
from perturb_support import write_detector

import pushpull as pp
from pushpull.attacks.objectives import margin
from pushpull.detectors import (
    Card,
    CheckpointError,
    Point,
    TalkNet,
    at_point,
    attack_copy,
    card_of,
    decided,
    decided_at,
    load_detector,
    point_of,
    points_of,
    undecided,
)
from pushpull.detectors import catalogue as listed
from pushpull.detectors.windowed import Windowed
from pushpull.evaluation.crafting import Condition, Evaluator
from pushpull.evaluation.points_cards import file_to_write, write_points
from pushpull.evaluation.subjects import Subject
from pushpull.files import sha256

MINE, OTHER = "1" * 64, "2" * 64
BOTH = {"speaking": {"threshold": -0.5, "sha256": MINE}, "strict_sync": {"threshold": 0.25, "sha256": MINE}}


def toy(**card):
    return Toy(card={"sha256": MINE, "operating_points": BOTH} | card).eval()


@pytest.mark.parametrize(
    "card, point, name, threshold",
    [
        ({}, None, "speaking", -0.5),
        ({}, "strict_sync", "strict_sync", 0.25),
        ({}, "own", "own", 0.0),
        ({"threshold": 0.75}, "own", "own", 0.75),
        ({"threshold": 0.75}, None, "speaking", -0.5),
        ({"operating_points": None}, None, "own", 0.0),
        ({"operating_points": None, "threshold": 0.75}, None, "own", 0.75),
        ({"sha256": OTHER}, None, "own", 0.0),  # of other weights
        (
            {"sha256": OTHER, "source_sha256": MINE},
            "speaking",
            "speaking",
            -0.5,
        ),  # of the published file they come from
        ({"sha256": OTHER, "source_sha256": MINE}, None, "own", 0.0),  # which begins with its authors' threshold
        ({"operating_points": {"speaking": {"sha256": MINE, "threshold": 1}}}, None, "speaking", 1.0),
    ],
)
def test_log_odds_are_relative_to_the_point(card, point, name, threshold):
    network, inputs = toy(**card), batch(2)
    detector = at_point(network, point)
    with torch.no_grad():
        wanted = network(inputs).margin - threshold
        for each in (detector, attack_copy(detector), detector_in_windows(detector)):
            torch.testing.assert_close(each(inputs).margin, wanted)
            fixed = fix_of(each, {"video": inputs["video"]})
            torch.testing.assert_close(fixed({"audio": inputs["audio"]}).margin, wanted)
    assert point_of(detector) == Point(name, threshold) and card_of(detector).threshold == 0
    assert (detector is network) == (threshold == 0), "what is not moved is not wrapped"


def detector_in_windows(detector):
    return Windowed(detector, 1.0)  # longer than the clips


def fix_of(detector, inputs):
    return detector.fix(inputs) if hasattr(detector, "fix") else lambda others: detector(inputs | others)


@pytest.mark.parametrize("point", ["speaking", "strict_sync", "own"])
def test_nothing_is_taken_off_twice(point):
    network = toy(threshold=0.75)
    detector = at_point(network, point)
    assert decided(detector) is detector and undecided(detector) is network
    assert Subject.of(detector).detector is detector, "an evaluation takes it as it is"
    for other in ("speaking", "strict_sync", "own"):
        again = at_point(detector, other)
        assert point_of(again) == point_of(at_point(network, other)) and undecided(again) is network
    assert decided_at(detector, Point("own", 0.0)) is network, "a report from before there were points"


@pytest.mark.parametrize(
    "card, point, message",
    [
        ({}, "loud", "one of speaking, strict_sync, own, got 'loud'"),
        ({"operating_points": None}, "speaking", "no operating point 'speaking'; measure one"),
        ({"operating_points": {"speaking": BOTH["speaking"]}}, "strict_sync", r"\(it has speaking\); measure"),
        ({"operating_points": {"speaking": {"sha256": MINE}}}, None, "a name and a threshold"),
        ({"operating_points": {"speaking": {"sha256": MINE, "threshold": float("nan")}}}, None, "finite"),
    ],
)
def test_a_point_that_is_not_there_is_refused(card, point, message):
    with pytest.raises(ValueError, match=message):
        at_point(toy(**card), point)


def test_labels_success_and_objective_follow_the_point():
    """A clip of log-odds 0.3 speaks at 0 and at -0.5, and is silent at 0.5."""
    clip = pp.Clip(audio=np.zeros(640 * 4, np.float32), video=np.full((4, 112, 112), 128.3, np.float32))
    network = toy(operating_points={"strict_sync": {"threshold": 0.5, "sha256": MINE}})
    spoken, silent = (pp.attack(at_point(network, p), clip, pp.BIM(steps=3), eps_av=5) for p in ("own", "strict_sync"))
    assert spoken.labels.all() and not silent.labels.any()
    np.testing.assert_allclose(silent.margins["clean"], -0.2, atol=1e-3)
    for run in (spoken, silent):
        assert run.metrics["adversarial"]["flipped"] == 4 and run.result.flipped_ever.all()
    assert spoken.margins["adversarial"].max() < 0 < silent.margins["adversarial"].min()
    said = at_point(network, "strict_sync")(clip.inputs())
    assert margin(said, silent.labels).item() == pytest.approx(-0.2, abs=1e-3)
    assert silent.report()["checkpoint"]["point"] == {"name": "strict_sync", "threshold": 0.5}
    assert spoken.report()["checkpoint"]["point"] == {"name": "own", "threshold": 0.0}


def test_a_comparison_says_where_each_decides():
    clip = pp.Clip(audio=np.zeros(640 * 2, np.float32), video=np.full((2, 112, 112), 127.8, np.float32))
    detectors = {"low": at_point(toy()), "own": at_point(toy(), "own")}
    found = pp.compare(detectors, clip, pp.BIM(steps=1), eps_av=1)
    assert found.runs["low"].labels.all() and not found.runs["own"].labels.any(), "-0.2 lies between the two"
    said = "low at its operating point 'speaking', log-odds -0.5; own at its own threshold, log-odds 0"
    assert any(said in remark for remark in found.remarks)


def test_records_of_another_point_are_others_and_those_from_before_stay_good():
    condition, found = Condition(source="toy"), {}
    for point in ("own", "speaking", "strict_sync"):
        found[point] = Evaluator([Subject.of(toy(), point=point)], toy_examples(2)).key(condition)
    assert "thresholds" not in found["own"]
    assert found["speaking"]["thresholds"] == {"toy": -0.5} != found["strict_sync"]["thresholds"]


def test_a_checkpoint_is_loaded_at_the_point_of_its_card_and_its_weights_stay(tmp_path):
    path = write_detector(tmp_path / "tiny")
    before, digest = path.read_bytes(), sha256(path)
    network, inputs = load_detector(path, "cpu"), batch()
    assert isinstance(network, TalkNet), "a card without points"
    write_points(file_to_write(str(path)), {"speaking": {"threshold": -2.0, "sha256": digest}}, sha256=digest)
    assert path.read_bytes() == before
    detector = load_detector(path, "cpu")
    with torch.no_grad():
        torch.testing.assert_close(detector(inputs).margin, network(inputs).margin + 2)
    assert detector.card["point"] == {"name": "speaking", "threshold": -2.0}
    assert isinstance(load_detector(path, "cpu", "own"), TalkNet)
    with pytest.raises(CheckpointError, match="not the card of the weights"):
        write_points(path.with_suffix(".json"), {}, sha256=OTHER)


def test_published_weights_have_the_points_that_were_measured_of_them(monkeypatch):
    monkeypatch.setattr(listed, "measured", lambda: {MINE: BOTH})
    card = Card(name="theirs", source_sha256=MINE).to_dict()
    assert points_of(listed.published_points(card)) == {"speaking": -0.5, "strict_sync": 0.25}
    assert listed.published_points(card | {"source_sha256": OTHER}) == card | {"source_sha256": OTHER}


def test_points_that_ship_are_those_of_the_weights_beside_them():
    """And those of published files are of files that the catalogue knows."""
    folder = listed.MEASURED.parents[2] / "checkpoints"
    for path in folder.glob("*.safetensors"):
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        for facts in card.get("operating_points", {}).values():
            assert facts["sha256"] == card["sha256"], path
    assert set(listed.measured()) <= {published.sha256 for published in listed.PUBLISHED.values()}
