"""Several detectors on one clip: white-box on each, one's perturbation on all, and the files that tell of it."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from perturb_support import FRAMES, make_world, random_clip, write_detector

import pushpull as pp
from pushpull import perturb
from pushpull.faces import FACE_BOX, TALKNET_DEMO, crop_box, move_change, recut
from pushpull.runs.compare_save import COMPARISON_FILES, folder_name
from pushpull.runs.report import read_report
from pushpull.runs.transfer import transfer


def loudness(audio, video):
    return 30 * audio.unflatten(1, (-1, 640)).square().mean(-1) + (video.mean(dim=(2, 3)) - 127) / 20


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def second(world):
    return write_detector(world.video.parent / "second", world.footage[0], seed=1)


@pytest.fixture(scope="module")
def detectors(world, second):
    boxed = pp.wrap(loudness, name="boxed", crop=FACE_BOX)
    return {"tiny": world.model, "second": pp.load_detector(second, "cpu"), "boxed": boxed}


@pytest.fixture(scope="module")
def white_box(world, detectors):
    return pp.compare(detectors, world.footage[0], pp.BIM(steps=2), eps_av=10)


def test_each_detector_is_attacked_as_if_alone(world, detectors, white_box):
    assert list(white_box.runs) == list(detectors) and white_box.transfer_from is None
    alone = pp.attack(detectors["second"], world.footage[0], pp.BIM(steps=2), eps_av=10)
    assert white_box.runs["second"].digest() == alone.digest()
    assert white_box.runs["second"].metrics.columns == alone.metrics.columns


def test_a_detector_of_another_crop_sees_the_same_face_cut_its_way(world, white_box):
    run = white_box.runs["boxed"]
    assert run.clip.crop == FACE_BOX
    again = pp.read_clips(world.video, crops=(FACE_BOX,))[0]
    assert np.array_equal(run.clip.video, again.video) and np.array_equal(run.clip.audio, again.audio)
    assert recut(run.clip, TALKNET_DEMO).video.tobytes() == world.footage[0].video.tobytes()


def test_one_perturbation_is_scored_on_all(world, detectors):
    found = pp.compare(detectors, world.footage[0], pp.BIM(steps=2), eps_av=10, transfer_from="second")
    source, other = found.runs["second"], found.runs["tiny"]
    assert list(found.runs) == list(detectors) and source.source_card is None
    assert other.digest() == source.digest() and other.source_card["name"] == source.card["name"]
    said = detectors["tiny"](source.result.adversarial).margin[0].detach().numpy()
    np.testing.assert_allclose(other.margins["adversarial"], said, atol=1e-5)
    assert other.metrics["adversarial"]["robust_accuracy"] is None
    # The crop of the third is another one: the same sound, the picture's change where the face has it.
    moved = found.runs["boxed"].result
    assert torch.equal(moved.adversarial["audio"], source.result.adversarial["audio"])
    limit = source.result.delta["video"].abs().max()
    assert 0 < moved.delta["video"].abs().max() <= limit + 1e-4
    assert any("cut faces differently" in remark for remark in found.remarks)
    assert any("made on second" in remark for remark in found.remarks)


@pytest.mark.parametrize("objective", ["margin", "ce_scaled"])
def test_a_transferred_loss_is_of_the_objective_that_the_report_names(world, detectors, objective):
    two = {name: detectors[name] for name in ("tiny", "second")}
    run = pp.compare(two, world.footage[0], pp.FGSM(), objective=objective, transfer_from="second").runs["tiny"]
    # On the same detector with the same labels, the attack's own loss of the unattacked clip.
    own = pp.attack(two["tiny"], world.footage[0], pp.FGSM(), objective=objective)
    assert run.spec.objective == objective
    assert run.result.clean_loss.item() == pytest.approx(own.result.clean_loss.item(), rel=1e-4)
    assert run.result.loss.item() != run.result.clean_loss.item()


def test_given_labels_count_for_all(world, detectors):
    labels = np.array([1, 0] * (FRAMES // 2))
    found = pp.compare(detectors, world.footage[0], pp.FGSM(), labels=labels, transfer_from="tiny")
    assert all(run.labels[0].tolist() == labels.tolist() for run in found.runs.values())
    assert not any("Nobody labelled" in remark for remark in found.remarks)


def test_a_change_is_moved_to_where_the_face_has_it():
    boxes = np.array([[40, 30, 90, 100]], np.float32)
    change = np.zeros((1, 112, 112), np.float32)
    change[0, 50:62, 50:62] = 1  # the middle of TalkNet's square, below the middle of the face
    moved = move_change(change, boxes, TALKNET_DEMO, FACE_BOX)[0]
    rows, columns = np.nonzero(moved > 0.5)
    x1, y1, x2, y2 = crop_box(boxes[0], TALKNET_DEMO)
    middle = ((x1 + x2) / 2 - 40) / 50 * 112, ((y1 + y2) / 2 - 30) / 70 * 112
    assert (columns.mean(), rows.mean()) == pytest.approx(middle, abs=1) and moved.min() >= 0 and moved.max() <= 1
    assert np.array_equal(move_change(change, boxes, FACE_BOX, FACE_BOX), change)


def test_a_clip_of_no_file_is_given_to_all_as_it_is():
    toys = {name: pp.wrap(loudness, name=name, crop=crop) for name, crop in (("a", FACE_BOX), ("b", TALKNET_DEMO))}
    found = pp.compare(toys, random_clip(), pp.FGSM(), transfer_from="a")
    assert found.runs["a"].clip is found.runs["b"].clip
    assert "came from no file, so a saw the face cut otherwise" in found.remarks[0]
    with pytest.raises(ValueError, match="cut from no file"):
        recut(random_clip(), FACE_BOX)
    with pytest.raises(ValueError, match="does not fit a clip of 3"):
        transfer(found.runs["a"], toys["b"], random_clip(frames=3))


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([], {}, "nothing to compare"),
        (["x", "x"], {}, "two detectors are called 'x'"),
        (["x", "y"], {"transfer_from": "z"}, "on one of x, y, not on z"),
    ],
)
def test_what_cannot_be_compared_is_refused(given, options, message):
    with pytest.raises(ValueError, match=message):
        pp.compare([pp.wrap(loudness, name=name) for name in given], random_clip(), pp.FGSM(), **options)


def test_a_step_tells_whose_it_is_and_stops_that_one_alone(world, detectors):
    seen = []

    def on_step(name, step):
        seen.append(name)
        return name != "tiny"

    two = {name: detectors[name] for name in ("tiny", "second")}
    found = pp.compare(two, world.footage[0], pp.BIM(steps=3), on_step=on_step)
    assert seen == ["tiny"] + ["second"] * 4
    assert [run.result.cancelled for run in found.runs.values()] == [True, False]


def test_tables_and_files_say_what_the_runs_say(white_box, tmp_path):
    column = white_box.runs["tiny"].metrics["adversarial"]
    line = next(line for line in white_box.table() if line.startswith("Frames flipped, adversarial"))
    assert line.split()[3] == str(column["flipped"])
    assert any(line.startswith("its floor, the prevalence ") for line in white_box.table())
    files = white_box.save(tmp_path / "all")
    assert set(COMPARISON_FILES) < set(files) and all(path.stat().st_size for path in files.values())
    table = pd.read_csv(files["comparison.csv"]).set_index(["detector", "version"])
    assert table.loc[("tiny", "adversarial"), "flipped"] == column["flipped"] and len(table) == 9
    scores = pd.read_csv(files["comparison_scores.csv"])
    np.testing.assert_allclose(scores["boxed stored"], white_box.runs["boxed"].margins["stored"], atol=1e-6)
    report = json.loads(files["comparison.json"].read_text(encoding="utf-8"))
    assert report["detectors"]["boxed"]["crop"] == FACE_BOX and report["detectors"]["boxed"]["folder"] == "boxed"
    assert report["detectors"]["tiny"]["digest"] == white_box.runs["tiny"].digest()
    told = files["comparison.md"].read_text(encoding="utf-8")
    assert "| Frames flipped, adversarial |" in told and "* Frame accuracy: " in told
    with pytest.raises(ValueError, match=r"already holds comparison.md.*tiny/report.json"):
        white_box.save(tmp_path / "all")


@pytest.mark.parametrize("name, folder", [("a/b c", "a-b-c"), ("../..", "detector"), ("lr-asd-ava", "lr-asd-ava")])
def test_a_detectors_folder_stays_in_its_place(name, folder):
    assert folder_name(name) == folder


# --- the command ---


def test_the_command_compares_and_its_reports_repeat(world, second, tmp_path, capsys):
    out = tmp_path / "out"
    both = ["--model", f"{world.checkpoint}, {second}", "--attack", "bim", "--steps", "1", "--device", "cpu"]
    assert perturb.main([str(world.video), *both, "--face", "1", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^ +tiny +second$", said, re.MULTILINE) and "the run on second" in said
    again = ["--from", str(out / "second" / "report.json"), "--out", str(tmp_path / "again"), "--device", "cpu"]
    assert perturb.main(again) == 0 and "bit for bit" in capsys.readouterr().out
    transferred = tmp_path / "transferred"
    options = ["--transfer-from", "second", "--out", str(transferred), "--face", "2"]
    assert perturb.main([str(world.video), *both, *options]) == 0
    assert not (transferred / "tiny" / "trace.png").exists()
    with pytest.raises(ValueError, match="made on second: repeat the report of that one"):
        read_report(transferred / "tiny" / "report.json")
    assert read_report(transferred / "second" / "report.json").spec.face == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "CHECKPOINT", "--transfer-from", "tiny"], "needs several models"),
        (["--model", "CHECKPOINT,CHECKPOINT"], "two detectors are called 'tiny'"),
        (["--model", "CHECKPOINT,absent"], "no detector is called 'absent'"),
        (["--from", "report.json", "--model", "a,b"], "--from repeats the run of one model"),
    ],
)
def test_what_the_command_cannot_compare_it_says(world, options, message, capsys, tmp_path):
    options = [option.replace("CHECKPOINT", str(world.checkpoint)) for option in options]
    assert perturb.main([str(world.video), *options, "--out", str(tmp_path / "out")]) == perturb.REFUSED
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("stopped", "source", "said"),
    [
        ([False, False], None, None),
        ([True], None, "with a:"),
        ([False, True], None, "with b:"),  # the last one: there is nothing left to skip
        ([True, True], "a", "with a:"),  # what is scored on b was made on a
    ],
)
def test_whoever_was_stopped_is_named(monkeypatch, capsys, stopped, source, said):
    class Told:
        def __init__(self, cancelled):
            self.result = self
            self.cancelled = cancelled

    runs = [(name, Told(cancelled)) for name, cancelled in zip("ab", stopped, strict=False)]
    monkeypatch.setattr(perturb, "compare_each", lambda *_, **__: iter(runs))
    assert perturb.attack_each({"a": None, "b": None}, None, pp.RunSpec(attack=pp.FGSM()), source) == runs
    out = capsys.readouterr().out
    assert said in out if said else "Stopped early" not in out
