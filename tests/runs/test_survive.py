"""An attack that is made to survive: the file that is written is the file that is read, face finding included."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from perturb_support import FRAMES, make_world, random_clip

from pushpull import perturb
from pushpull.attacks import BIM
from pushpull.attacks.objectives import inference_aware
from pushpull.faces import read_clips
from pushpull.media import CODECS, probe, read_audio, read_frames
from pushpull.runs.scene_file import SceneFile
from pushpull.runs.survive import SurviveSpec, stand_ins_for, survive
from pushpull.runs.survived import VERSIONS

QUICK = SurviveSpec(codec="h264-18", attack=BIM(steps=2, grid=True), eps_av=40)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("survive"))


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    """A run: what came of it, and its folder."""
    folder = tmp_path_factory.mktemp("out") / "new"
    # Stopped after the first step: what there is by then is written all the same.
    return survive(world.model, world.footage.clips[0], folder, QUICK, on_step=lambda step: step.step < 1), folder


def test_the_files_are_ordinary_and_hold_the_whole_scene(world, done):
    survived, folder = done
    assert sorted(path.name for path in folder.iterdir()) == ["clean.mp4", "survive.json", "survive.mp4"]
    frames = {name: list(read_frames(folder / f"{name}.mp4")) for name in ("clean", "survive")}
    for name, pictures in frames.items():
        assert len(pictures) == FRAMES and pictures[0].shape[:2] == world.footage.size
        assert len(read_audio(folder / f"{name}.mp4")) >= FRAMES * 640
        assert probe(folder / f"{name}.mp4").video
    # The attack is in the face that was attacked, and the other one is as it was but for the codec.
    change = np.abs(frames["survive"][5].astype(int) - frames["clean"][5]).mean(axis=2)
    x1, y1, x2, y2 = world.footage.clips[0].origin.boxes[5].astype(int)
    other = world.footage.clips[1].origin.boxes[5].astype(int)
    assert change[y1:y2, x1:x2].mean() > 1.4 * change[other[1] : other[3], other[0] : other[2]].mean()


def test_what_is_scored_is_what_a_reader_of_the_file_gets(world, done):
    """The last version is recomputed here from nothing but the file."""
    survived, folder = done
    footage = read_clips(folder / "survive.mp4")
    centre = world.footage.clips[0].origin.boxes[:, 0].mean()
    track = min(range(2), key=lambda index: abs(footage.tracks[index].boxes[:, 0].mean() - centre))
    with torch.no_grad():
        margin = world.model(footage.clips[track].inputs()).margin[0].numpy()
    first = footage.tracks[track].start
    told = survived.margins["file"]
    assert np.allclose(told[first : first + len(margin)], margin, atol=1e-5)
    assert np.isnan(told).sum() == FRAMES - len(margin)
    assert survived.overlaps["file"] > 0.7


def test_the_report_tells_the_attack_from_the_codec(world, done):
    survived, folder = done
    report = json.loads((folder / "survive.json").read_text(encoding="utf-8"))
    assert report == json.loads(json.dumps(survived.report()))
    assert list(report["versions"]) == list(VERSIONS)
    clean = report["versions"]["clean"]
    assert clean["flipped"] == 0 and clean["right"] == clean["found"] == FRAMES
    assert report["stopped_after"] == 2
    assert report["spec"]["codec"] == "h264-18" and report["spec"]["attack"]["name"] == "bim"
    assert report["files"]["file"]["bytes"] == (folder / "survive.mp4").stat().st_size
    attacked = report["versions"]["file, known place"]
    control = report["versions"]["clean file, known place"]
    assert attacked["lead"] < control["lead"]
    assert "file, known place" in survived.text()
    # On the storage grid and within the budget.
    change = survived.attacked.video - survived.clip.video.astype(np.float32)
    assert np.abs(change).max() <= 4 and (change == np.rint(change)).all()


def test_the_attack_sees_what_the_file_gives_back(world, tmp_path):
    clip = world.footage.clips[0]
    scene = SceneFile(clip, CODECS["h264-23"])
    inputs = clip.inputs()
    inputs["video"] = (inputs["video"] + 5).clamp(0, 255)
    sent = scene.send(inputs)
    back = scene.cut(scene.write(tmp_path / "scene.mp4", clip.with_inputs(inputs))).inputs()
    for name in inputs:
        assert torch.equal(sent[name], back[name])
    only = scene.send({"video": inputs["video"]})
    assert set(only) == {"video"} and torch.equal(only["video"], sent["video"])
    # A brighter face comes back brighter: pasting, colours and crop agree with each other.
    control = scene.cut(scene.write(tmp_path / "control.mp4", clip)).inputs()
    assert (back["video"] - control["video"]).mean().item() == pytest.approx(5, abs=1)


@pytest.mark.parametrize(("method", "names"), [("actual", 2), ("stand-ins", 4), ("none", 0)])
def test_stand_ins_of_every_method_pass_a_gradient_to_picture_and_sound(world, method, names):
    clip = world.footage.clips[0]
    scene = SceneFile(clip, CODECS["vp9-31"])
    stand_ins = stand_ins_for(replace(QUICK, method=method, codec="vp9-31"), clip, scene)
    assert len(stand_ins) == names
    leaves = {name: values.requires_grad_() for name, values in clip.inputs().items()}
    back, rng = dict(leaves), np.random.default_rng(0)
    for stand_in in stand_ins:
        back = stand_in(back, rng)
    gradients = torch.autograd.grad(sum(values.sum() for values in back.values()), list(leaves.values()))
    assert all(gradient.any() for gradient in gradients)


def test_frames_are_counted_where_the_face_was_found(done):
    survived, _ = done
    nan, count = np.nan, FRAMES - 5
    labels = np.array([1, 1, 0, 0, 1] + [0] * count)
    made = replace(
        survived,
        margins={
            "clean": np.array([2.0, -1.0, -1.0, 1.0, 2.0] + [-1.0] * count),
            "file": np.array([-1.0, 3.0, 4.0, nan, nan] + [nan] * count),
        },
        labels=labels,
        wanted=np.ones(FRAMES, np.int64),
        aimed=np.array([False, True, True, True] + [False] * (FRAMES - 4)),
        overlaps={"file": 0.9},
    )
    assert made.row("file") == {
        "found": 3, "speaking": 2, "flipped": 3, "right": 1, "aimed": 2, "won": 2,
        "lead": pytest.approx(-2 / 3), "overlap": 0.9,
    }  # fmt: skip
    assert made.row("clean")["overlap"] is None


def test_what_cannot_be_done_is_refused(world, tmp_path):
    with pytest.raises(ValueError, match="was cut from no video"):
        survive(world.model, random_clip(), tmp_path)
    with pytest.raises(ValueError, match="unknown codec 'h265'; known are h264-18"):
        SurviveSpec(codec="h265")


class Nameless(BIM):
    """An attack that nobody registered."""


UNTOLD = {
    "an attack without a name": ({"attack": Nameless(grid=True)}, "attack must be one of"),
    "an objective without a name": ({"objective": inference_aware}, "objective"),
}


@pytest.mark.parametrize("case", UNTOLD)
def test_what_no_report_can_hold_is_refused_before_the_attack(world, tmp_path, case):
    changed, message = UNTOLD[case]
    with pytest.raises(ValueError, match=message):
        survive(
            world.model,
            world.footage.clips[0],
            tmp_path,
            replace(QUICK, **changed),
            on_step=lambda step: pytest.fail("ran"),
        )


def test_reports_of_an_earlier_run_are_gone_before_its_files_are_replaced(world, tmp_path):
    for name in ("survive.json", "report.json"):
        (tmp_path / name).write_text("{}")

    def killed(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survive(world.model, world.footage.clips[0], tmp_path, replace(QUICK, method="none"), on_step=killed)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="unknown method 'luck'"):
        SurviveSpec(method="luck")


def test_a_face_that_is_gone_is_not_found(world, tmp_path):
    """The other face is no substitute, and neither is none."""
    clip = world.footage.clips[0]
    far = replace(clip.origin, boxes=clip.origin.boxes + np.array([0, 400, 0, 400], np.float32))
    scene = SceneFile(replace(clip, origin=far), CODECS["h264-18"])
    assert scene.find(world.video) is None
    assert SceneFile(clip, CODECS["h264-18"]).find(world.video).overlap > 0.9


def test_the_command_writes_the_files_and_refuses_what_does_not_go_together(world, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--survive", "h264-28", "--survive-by", "stand-ins", "--steps", "1", "--eps-av", "40", "--face", "2"]
    assert perturb.main(world.run(*options, out=out)) == 0
    report = json.loads((out / "survive.json").read_text(encoding="utf-8"))
    assert report["source"]["face"] == 2 and report["spec"]["method"] == "stand-ins"
    assert report["spec"]["attack"] | {"steps": 1, "grid": True} == report["spec"]["attack"]
    said = capsys.readouterr().out
    assert "file, known place" in said and "survive.mp4" in said
    again = [str(world.video), "--from", str(out / "report.json"), "--device", "cpu", "--out", str(tmp_path / "again")]
    assert perturb.main(again) == 0
    assert "bit for bit" in capsys.readouterr().out
    assert json.loads((tmp_path / "again" / "survive.json").read_text(encoding="utf-8")) | {"seconds": 0} == report | {
        "seconds": 0
    }
    for more, words in (
        (options, "already holds survive.json, survive.mp4, clean.mp4, report.json"),
        (["--survive-by", "none"], "--survive-by needs --survive CODEC"),
        ([*options, "--model", "a,b"], "one --model"),
        ([*options[:2], "--offset", "3"], "a noise that is ready is added by --noise alone"),
    ):
        assert perturb.main(world.run(*more, out=out)) == 2
        assert words in capsys.readouterr().err
