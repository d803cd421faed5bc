"""An attack that is made to survive: the file that is written is the file that is read, face finding included."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from perturb_support import FRAMES, make_world, random_clip

from pushpull.attacks import BIM
from pushpull.faces import read_clips
from pushpull.media import CODECS, probe, read_audio, read_frames
from pushpull.runs.scene_file import SceneFile
from pushpull.runs.spec import Target
from pushpull.runs.survive import VERSIONS, SurviveSpec, stand_ins_for, survive

QUICK = SurviveSpec(codec="h264-18", attack=BIM(steps=2, grid=True), eps_av=40)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("survive"))


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    """A finished run: what came of it, and its folder."""
    folder = tmp_path_factory.mktemp("out") / "new"
    return survive(world.model, world.footage.clips[0], folder, QUICK), folder


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


def test_a_target_is_reported_as_such(world, tmp_path):
    spec = replace(QUICK, method="stand-ins", target=Target(kind="span", start=0.1, stop=0.3, speaking=True))
    survived = survive(world.model, world.footage.clips[0], tmp_path, spec, on_step=lambda step: step.step < 1)
    row = survived.row("adversarial")
    assert row["aimed"] == survived.aimed.sum() == 5
    assert row["won"] == (survived.margins["adversarial"][survived.aimed] > 0).sum()
    assert survived.report()["stopped_after"] == 2


def test_what_cannot_be_done_is_refused(world, tmp_path):
    with pytest.raises(ValueError, match="was cut from no video"):
        survive(world.model, random_clip(), tmp_path)
    with pytest.raises(ValueError, match="unknown codec 'h265'; known are h264-18"):
        SurviveSpec(codec="h265")
    with pytest.raises(ValueError, match="unknown method 'luck'"):
        SurviveSpec(method="luck")


def test_a_face_that_is_gone_is_not_found(world, tmp_path):
    """The other face is no substitute, and neither is none."""
    clip = world.footage.clips[0]
    far = replace(clip.origin, boxes=clip.origin.boxes + np.array([0, 400, 0, 400], np.float32))
    scene = SceneFile(replace(clip, origin=far), CODECS["h264-18"])
    assert scene.find(world.video) is None
    assert SceneFile(clip, CODECS["h264-18"]).find(world.video).overlap > 0.9
