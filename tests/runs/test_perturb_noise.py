"""A universal noise from the shell: fitted, looked at, tried, added to a video, and added again from the report."""

import json
import shutil

import numpy as np
import pytest
from perturb_support import make_world

from pushpull import perturb, universal
from pushpull.attacks import UniversalNoise, load_noise
from pushpull.attacks.looped import apply
from pushpull.files import sha256
from pushpull.media import quantise_audio, quantise_video, read_stimulus


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("noise"))


@pytest.fixture(scope="module")
def noise(world):
    """A noise that was fitted on the people of the video, in a folder of its own."""
    out = world.video.parent / "fitted" / "hush.safetensors"
    where = ["--videos", str(world.video), "--model", str(world.checkpoint), "--device", "cpu", "--seconds", "0.4"]
    how = ["--goal", "silence", "--eps-av", "20", "--steps", "2", "--batch", "2", "--frames", "5", "--seed", "3"]
    assert universal.main(["fit", *where, *how, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def done(world, noise):
    """A run with it: its folder and its report."""
    out = world.video.parent / "done"
    assert perturb.main(world.run("--face", "1", "--noise", str(noise), "--offset", "500", out=out)) == 0
    return out, json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_a_fitted_noise_knows_where_it_comes_from(world, noise):
    facts = load_noise(noise).facts
    own = {"name": "own", "threshold": 0.0}
    assert facts["detector"] == {"name": "tiny", "sha256": sha256(world.checkpoint), "point": own}
    assert facts["data"] | {"set": ""} == {"sources": ["talk.mp4"], "split": None, "clips": 2, "seed": 0, "set": ""}
    assert facts["options"]["goal"] == "silence" and facts["steps_done"] == 2


def test_the_clip_is_changed_by_the_noise_and_nothing_else(world, noise, done):
    out, report = done
    frames, audio = read_stimulus(out / "adversarial_face.mp4")
    expected = apply(world.footage.clips[0], load_noise(noise), 500)
    assert np.array_equal(frames, quantise_video(expected.video))
    assert np.array_equal(audio, quantise_audio(expected.audio))
    assert len(report["trace"]) == 2 and not report["trace"][0]["grad_norm"], "nothing was searched"


def test_the_report_names_the_noise_its_budget_and_its_goal(noise, done):
    spec = done[1]["spec"]
    said = {"name": "universal", "noise": str(noise), "sha256": sha256(noise), "offset": 500, "keep": "last"}
    assert said.items() <= spec["attack"].items()
    assert (spec["eps_av"], spec["modality"], spec["target"]["kind"]) == (20, "both", "hide")


def test_the_run_repeats_bit_for_bit_from_its_report(world, noise, done, tmp_path, capsys):
    again = ["--from", str(done[0] / "report.json"), "--model", str(world.checkpoint), "--device", "cpu"]
    moved = shutil.move(noise, noise.with_name("elsewhere.safetensors"))
    try:
        assert perturb.main([*again, "--out", str(tmp_path / "lost")]) == perturb.REFUSED
        assert "which is not here; give its place: --noise FILE" in capsys.readouterr().err
        assert perturb.main([*again, "--noise", str(moved), "--out", str(tmp_path / "found")]) == 0
        assert "bit for bit" in capsys.readouterr().out
        UniversalNoise(None, load_noise(moved).video, {"video": 2.0}).save(noise)
        assert perturb.main([*again, "--out", str(tmp_path / "other")]) == perturb.REFUSED
        assert "is another noise: its SHA-256 is" in capsys.readouterr().err
    finally:
        shutil.move(moved, noise)


@pytest.mark.parametrize(("options", "says"), [
    (["--attack", "pgd"], "leave out --attack pgd"),
    (["--steps", "3"], "universal has no steps"),
])  # fmt: skip
def test_what_does_not_go_with_a_noise_is_refused(world, noise, tmp_path, capsys, options, says):
    assert perturb.main(world.run("--noise", str(noise), *options, out=tmp_path)) == perturb.REFUSED
    assert says in capsys.readouterr().err


def test_a_noise_has_to_be_one(world, noise, done, tmp_path, capsys):
    for options, says in [
        (["--noise", str(world.checkpoint)], "holds no universal noise"),
        (["--noise", str(tmp_path / "none")], "there is no noise at"),
        (["--attack", "universal"], "needs --noise FILE"),
    ]:
        assert perturb.main(world.run(*options, out=tmp_path / "x")) == perturb.REFUSED
        assert says in capsys.readouterr().err


def test_it_is_tried_on_clips_and_told(world, noise, tmp_path, capsys):
    where = ["--videos", str(world.video.parent), "--models", str(world.checkpoint), "--seconds", "0.4", "--clips", "2"]
    assert universal.main(["test", str(noise), *where, "--device", "cpu", "--draws", "1", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "a noise was fitted on clips of" in captured.err
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    rows = found["rows"]
    assert found["own_labels"] and found["noises"][0]["facts"] == load_noise(noise).facts
    assert len(rows) == 6 and rows[0]["white_box"] and rows[0]["accuracy"] is None and rows[0]["clips"] == 2
    assert (tmp_path / "figure.png").stat().st_size > 5000
    assert (tmp_path / "results.csv").read_text(encoding="utf-8").count("\ntiny,") == 6
    assert captured.out.count("| tiny (white box) |") == 6


def test_it_is_shown(noise, tmp_path, capsys):
    assert universal.main(["show", str(noise), "--out", str(tmp_path / "hush")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hush-figure.png", "hush.png", "hush.wav"]
    said = capsys.readouterr().out
    assert sha256(noise) in said and "eps_av 20" in said and "goal silence" in said and "tiny" in said


@pytest.mark.parametrize(("arguments", "says"), [
    ([], "Usage:"),
    (["sing"], "Usage:"),
    (["show", "none.safetensors"], "there is no noise at none.safetensors"),
    (["fit", "--out", "n.safetensors"], "say which clips"),
    (["fit", "--out", "n.safetensors", "--data", "a", "--videos", "b"], "say which clips"),
    (["fit", "--out", "n.txt", "--data", "a"], "must end in .safetensors"),
    (["fit", "--out", "n.safetensors", "--data", "nowhere"], "no folder nowhere"),
    (["fit", "--out", "n.safetensors", "--data", "x", "--eps-av", "-1"], "eps_av must be"),
    (["fit", "--out", "n.safetensors", "--videos", "."], "holds no video"),
])  # fmt: skip
def test_bad_input_ends_in_a_sentence(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert universal.main(arguments) == universal.REFUSED
    assert says in capsys.readouterr().err
