"""Any detector of the registry on the page: a toy of 20 lines, published weights, files in a folder."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from asd_support import weights_file
from browser_support import write_face, write_model

import app
from pushpull.attacks import ATTACKS, OBJECTIVES
from pushpull.demo import models, tables
from pushpull.demo.context import DemoContext
from pushpull.demo.form import Form, attack_names, objective_names
from pushpull.demo.health import report
from pushpull.demo.intake import take_in
from pushpull.demo.loaded import DetectorCache
from pushpull.demo.presentation import attacked_view, clean_view, remarks
from pushpull.demo.storage import ResultStore
from pushpull.detectors import CheckpointError, open_detector
from pushpull.media import read_stimulus
from pushpull.runs.run import execute
from pushpull.runs.spec import attack_parameters, make_attack

TOY = """
import torch
import pushpull as pp

class Loudness(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(30.0))

    def forward(self, audio, video):
        loud = audio.unflatten(1, (-1, 640)).square().mean(-1).add(1e-9).sqrt()
        return self.weight * (loud - 0.1) + (video.mean(dim=(2, 3)) - 127) / 20

detector = pp.wrap(Loudness(), name="loudness", crop="face_box")
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "loudness.py"
    path.write_text(TOY, encoding="utf-8")
    return open_detector(path, "cpu")


@pytest.fixture(scope="module")
def context(tmp_path_factory, toy):
    folder = tmp_path_factory.mktemp("detectors")
    (folder / "checkpoints").mkdir()
    write_model(folder / "checkpoints")
    detectors = DetectorCache(folder / "checkpoints", given=[toy], device="cpu")
    return DemoContext(detectors=detectors, store=ResultStore(root=folder / "store"), clips=folder)


@pytest.fixture(scope="module")
def subject(context):
    return take_in(write_face(context.clips / "hopper.mp4"), context.store)


def view_of(context, address):
    _, token, name = address.split("/")
    folder = context.store.find(token, name).parent
    return json.loads((folder / name).read_text(encoding="utf-8")), folder


def attacked(context, subject, network):
    form = Form("any", attack="bim", steps=2, eps_av=20, objective="automatic")
    run = execute(network, subject.clips(network)[0], form.spec(subject, 0))
    return run, *view_of(context, attacked_view(context.store.open(), subject, 0, run))


def test_a_given_detector_is_the_default_and_goes_all_the_way(context, subject, toy):
    assert context.detectors.default() == "loudness" and context.detectors.get("loudness") is toy
    assert report(context, None)["detector"] == {"default": "loudness", "loaded": "loudness"}
    assert models.label(context.detectors.cards()["loudness"]) == "loudness"
    assert "a detector of one's own" in models.model_card(context.detectors.cards()["loudness"]).replace("&#x27;", "'")
    view, _ = view_of(context, clean_view(context, subject, 0, toy))
    assert view["embeddings"]["layers"] == [] and "no embeddings" in view["embeddings"]["note"]
    run, view, _ = attacked(context, subject, toy)
    assert run.spec.objective == "inference_aware" and view["embeddings"]["layers"] == []
    said = remarks(run)
    assert "no head for sound and picture alone" in said[0] and "no embeddings" in said[1]
    assert said[2] == "The detector decides at its own threshold, log-odds 0."
    html = tables.numbers(run.metrics, "Right is what it said.", said)
    assert "ECR" not in html.split("<table")[1] and "no embeddings" in html.split("<table")[0]


def test_each_detector_sees_the_crop_it_was_trained_on(context, subject, toy):
    """The file is read once; its faces are there in both crops."""
    files = {}
    for network in (toy, context.detectors.get("talknet-lite")):
        clip = subject.clips(network)[0]
        run, view, folder = attacked(context, subject, network)
        assert len(remarks(run)) == 1 or network is toy, "only where it decides"
        for screen in view["screens"]:
            assert all((folder / name).is_file() for name in screen["files"].values())
        frames, _ = read_stimulus(folder / view["screens"][0]["files"]["face"])
        assert np.array_equal(frames, clip.video)
        files[clip.crop] = clip.video
    assert set(files) == {"face_box", "talknet_demo"} and not np.array_equal(*files.values())


def test_published_weights_in_a_folder_are_offered(context, subject, monkeypatch):
    path = weights_file("lr-asd-ava")
    monkeypatch.setenv("PUSHPULL_DETECTORS", str(path.parent))
    card = context.detectors.cards()["lr-asd-ava"]
    assert models.label(card) == "LR-ASD, trained on AVA-ActiveSpeaker (lr-asd-ava)"
    network = context.detectors.get("lr-asd-ava")
    assert subject.clips(network)[0].crop == "face_box"
    run, view, _ = attacked(context, subject, network)
    (layer,) = view["embeddings"]["layers"]
    assert layer["id"] == "e" and [plot["title"] for plot in layer["plots"]] == ["picture, e_v", "sound, e_a"]
    assert "no embeddings after cross-attention" in view["embeddings"]["note"]
    assert "no head for sound alone" in remarks(run)[0]


def test_what_is_not_on_this_machine_is_known_but_not_offered(context):
    assert context.detectors.all_cards()["lr-asd-ava"]["where"] == "published"
    assert "lr-asd-ava" not in context.detectors.cards()
    with pytest.raises(CheckpointError, match="no detector is called 'lr-asd-ava' here"):
        context.detectors.get("lr-asd-ava")


def test_two_detectors_of_one_name_are_refused(tmp_path, toy):
    with pytest.raises(ValueError, match="same name; there are: loudness"):
        DetectorCache(tmp_path, given=[toy, toy])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "no file at"),
        ("import nothing_of_that_name", "fails when it is run: ModuleNotFoundError"),
        ("net = 1", "sets no detector"),
        ("detector = int", "sets no detector"),
    ],
)
def test_a_script_without_a_detector_says_so_before_anything_is_served(tmp_path, code, message, monkeypatch, capsys):
    path = tmp_path / "mine.py"
    if code is not None:
        path.write_text(code, encoding="utf-8")
    monkeypatch.setattr(app, "build_app", lambda **_: pytest.fail("built although it cannot be served"))
    with pytest.raises(SystemExit):
        app.main(["--model", str(path), "--port", "7999"])
    assert message in capsys.readouterr().err


def test_a_module_that_nobody_wrapped_is_wrapped(tmp_path):
    path = tmp_path / "bright.py"
    path.write_text("def detector(audio, video):\n    return video.mean(dim=(2, 3))\n", encoding="utf-8")
    assert open_detector(path, "cpu").card["name"] == "bright"


def test_every_registered_attack_and_objective_is_offered():
    names = attack_names()
    assert list(names)[0] == "pgd" and all(names.values())
    assert set(ATTACKS) - set(names) == {"universal"}  # it needs a file
    assert list(objective_names())[0] == "automatic" and set(objective_names()) == {"automatic", *OBJECTIVES}


@pytest.mark.parametrize(("attack", "steps"), [("pgd", 20), ("apgd", 20), ("square", 1000), ("noise", 20)])
def test_steps_are_what_the_attack_takes_them_for(attack, steps):
    spec = Form(model="lite", attack=attack, steps=20).spec(SimpleNamespace(start=0.0, length=None), 0)
    restarts = {"restarts": 2} if "restarts" in attack_parameters(attack) else {}
    assert spec.attack == make_attack(attack, steps=steps, **restarts)
