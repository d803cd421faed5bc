"""Any detector can be what a study's stimuli are made against, and the study records which it was."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from asd_support import weights_file
from fastapi import FastAPI
from starlette.testclient import TestClient
from xab_support import small_design

from pushpull.detectors import TalkNet, TalkNetConfig, load_detector, wrap
from pushpull.faces import read_clips
from pushpull.media import read_stimulus
from xab import export, plots
from xab.cli import main as cli
from xab.files import model_names
from xab.pages import form, mount
from xab.plan import Design, DesignError, pair_specs, paper_preset
from xab.settings import Settings
from xab.stimuli import make_study, measure
from xab.store import Pair, Store

ASSETS = Path(__file__).parents[2] / "assets"
SPEAKING = "1-speaking-indoors.mp4"
SHORT = {"clips": (SPEAKING,), "speech": 1, "non_speech": 0, "training": 0, "catch": 0, "steps": 1, "seconds": 0.4}


def toy(audio, video):
    """Speech is loud sound before a bright face: (B, T) log-odds."""
    return 20 * audio.reshape(len(audio), -1, 640).square().mean(-1) + (video.mean((2, 3)) - 100) / 50


@pytest.fixture
def store(tmp_path):
    made = Store(f"sqlite:///{tmp_path / 'x.sqlite'}")
    yield made
    made.close()


def test_faces_are_cut_as_each_detector_wants_them(store, tmp_path):
    torch.manual_seed(0)
    detectors = {
        "talknet": TalkNet(TalkNetConfig(size="lite")).eval(),
        "toy": wrap(toy, crop="face_box", name="a toy", threshold=0.25, licence="none"),
    }
    study = store.studies.create(small_design(**SHORT, models=tuple(detectors), eps_av=50))
    make_study(store, study, data=tmp_path, assets=ASSETS, load=lambda name, _: detectors[name])
    assert (store.studies.get(study).state, store.studies.get(study).note) == ("ready", "")
    talknet, own = store.studies.pairs(study)
    footage = read_clips(ASSETS / SPEAKING, crops=["talknet_demo", "face_box"])
    for pair, crop in ((talknet, "talknet_demo"), (own, "face_box")):
        genuine = next(file for file in pair.stimuli if file.twin == "genuine")
        video, _ = read_stimulus(tmp_path / "stimuli" / genuine.path)
        whole, start = footage.cut_as(crop)[0].video, round(25 * float(pair.clip.split()[-2]))
        assert np.array_equal(video, whole[start : start + len(video)])
        assert pair.measures["detector"]["crop"] == crop and not pair.measures["identical"]
    assert own.model == "toy" and own.measures["detector"]["name"] == "a toy"
    rows = list(csv.DictReader(io.StringIO(export.one(store, study, "stimuli.csv").decode("utf-8-sig"))))
    assert [(row["model_crop"], row["model_threshold"], row["model_point"]) for row in rows] == [
        ("talknet_demo", "0.0", "own"),
        ("face_box", "0.25", "own"),
    ]


@pytest.mark.parametrize("by_name", [True, False])
def test_a_published_detector_by_name_or_path(store, tmp_path, monkeypatch, capsys, by_name):
    path = weights_file("lr-asd-ava").resolve()
    monkeypatch.setenv("PUSHPULL_DETECTORS", str(path.parent))
    monkeypatch.setenv("PUSHPULL_XAB_DATA", str(tmp_path))
    monkeypatch.setenv("PUSHPULL_DATABASE_URL", f"sqlite:///{tmp_path / 'x.sqlite'}")
    monkeypatch.chdir(path.parent)
    assert "lr-asd-ava" in model_names()
    settings = [f"--set={name}={','.join(value) if name == 'clips' else value}" for name, value in SHORT.items()]
    model = "lr-asd-ava" if by_name else path.name
    assert cli(["create", *settings, "--set=attacks=bim", "--set=eps_av=50", f"--set=models={model}"]) == 0
    (study,) = store.studies.all()
    assert study.design.models == ("lr-asd-ava" if by_name else str(path),), "another process may stand elsewhere"
    (pair,) = store.studies.pairs(study.id)
    facts, card = pair.measures["detector"], load_detector(path).card
    assert (facts["architecture"], facts["crop"], facts["name"]) == ("lr-asd", "face_box", "lr-asd-ava")
    assert pair.measures["model_sha256"] == card["sha256"] == facts["source_sha256"]
    assert pair.measures["score_adversarial"] < pair.measures["score_genuine"]
    taken = export.one(store, study.id, "study.json") + export.one(store, study.id, "stimuli.csv")
    assert pair.model.encode() in taken and str(path.parent).encode() not in taken, "folders are nobody's business"


def test_the_form_takes_names_and_files(tmp_path):
    file = tmp_path / "mine.model"
    file.touch()
    known = form.choices_of([], ["talknet-lite"])
    shown = form.read({**_posted(), "models": ["talknet-lite", f" {file} ", ""]})
    design, errors = form.design_of(shown, known)
    assert errors == {} and design.models == ("talknet-lite", str(file))
    for wrong in (str(tmp_path / "none.model"), str(tmp_path), "/etc/passwd"):
        _, errors = form.design_of(form.read({**_posted(), "models": [wrong]}), known)
        assert errors == {"models": f"There is no {wrong} here."}


def _posted() -> dict[str, list[str]]:
    shown = form.typed(paper_preset())
    return {name: value if isinstance(value, list) else [value] for name, value in shown.items() if value is not False}


def test_the_stimuli_page_says_what_each_detector_is(tmp_path):
    app = FastAPI()
    inner = mount(app, Settings(data=tmp_path, password="p"))
    store, web = inner.state.context.store, TestClient(app)
    study = store.studies.create(small_design(training=0, catch=0, speech=1, non_speech=0))
    (spec,) = pair_specs(store.studies.get(study).design)
    clip = np.zeros((5, 112, 112), np.uint8), np.ones(5 * 640, np.int16)
    measures = measure(clip, clip, (np.zeros(5), np.zeros(5)), spec, np.ones(5, np.int64), threshold=0.25)
    measures["detector"] = {"name": "a toy", "crop": "face_box", "threshold": 0.25, "licence": "<none>"}
    store.studies.claim(study, "w", 1)
    store.studies.add_pair(study, "w", Pair(**vars(spec), clip="c", frames=5, measures=measures))
    web.post("/xab/lab/login", data={"password": "p"})
    page = web.get(f"/xab/lab/{study}/stimuli").text
    store.close()
    for fact in ("the face&#39;s box", "0.25", "its own", "&lt;none&gt;"):
        assert f"<td>{fact}</td>" in page or f'<td class="n">{fact}</td>' in page


@pytest.mark.parametrize(
    "models, words",
    [
        ((), "at least one detector"),
        (("/a/x.model", "/b/x.model"), "two files have the same name"),
        (("x" * 201,), "1 to 200 characters"),
    ],
)
def test_detectors_that_results_could_not_name(models, words):
    with pytest.raises(DesignError, match=words):
        Design(models=models)


def test_a_folder_of_detectors_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHPULL_DETECTORS", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="which is no folder"):
        model_names()


def test_a_detector_with_dollar_signs_in_its_name_has_a_row_in_the_results_figure():
    rows = [plots.Interval(label=name, share=0.5, low=0.3, high=0.7) for name in (r"a$\frac$b.model", "$x_1$")]
    for kind in plots.FORMATS:
        assert plots.forest(rows, title=r"By $\model$", form=kind)
