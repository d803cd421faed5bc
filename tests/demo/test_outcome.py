"""The one noise for every clip, and files in which an attack survives: what the form, the page and the report make of
them."""

import json
import re
from dataclasses import astuple, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from browser_support import FRAMES, write_face, write_model

from pushpull import perturb
from pushpull.attacks import UniversalNoise, load_noise
from pushpull.demo import tables
from pushpull.demo.actions import Actions
from pushpull.demo.context import DemoContext
from pushpull.demo.form import Form
from pushpull.demo.form_fits import SURVIVE_EPS, FormFits
from pushpull.demo.loaded import DetectorCache
from pushpull.demo.noises import choices, find_noises, noise_card
from pushpull.demo.outcome import carry_out
from pushpull.demo.presentation import attacked_view
from pushpull.demo.storage import ResultStore
from pushpull.detectors.checkpoint import find_checkpoint
from pushpull.files import sha256

PARTS = (
    "clock progress sentence numbers files player run brakes stop eps modality target survive attack steps surviving"
)
ASKER = SimpleNamespace(session_hash="anna")
NOISE = Form("talknet-lite", attack="universal", eps_av=10.0, noise="hum")
QUICK = Form("talknet-lite", attack="bim", eps_av=40.0, steps=1, survive="h264-18", survive_by="stand-ins")


def write_noise(folder, name="hum", **facts):
    generator = torch.Generator().manual_seed(0)
    audio, video = (2 * torch.rand(shape, generator=generator) - 1 for shape in ((16_000,), (112, 112)))
    parts = {"audio": 1e-3, "video": 1.0}
    return UniversalNoise(audio * 9e-4, video * 0.9, parts, facts).save(folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def context(tmp_path_factory, unhurried):
    folder = tmp_path_factory.mktemp("outcome")
    places = {name: folder / name for name in ("checkpoints", "clips", "noises")}
    for place in places.values():
        place.mkdir()
    write_model(places["checkpoints"])
    write_face(places["clips"] / "hopper.mp4")
    facts = {"options": {"goal": "silence"}, "data": {"clips": 7, "sources": ["others"]}}
    write_noise(places["noises"], **facts)
    (places["noises"] / "broken.safetensors").write_bytes(b"no noise")
    detectors = DetectorCache(places["checkpoints"], device="cpu")
    store = ResultStore(root=folder / "store")
    return DemoContext(detectors=detectors, store=store, clips=places["clips"], noises=places["noises"])


@pytest.fixture(scope="module")
def subject(context):
    return context.read_sample(context.samples()[0])


@pytest.fixture(scope="module")
def ui():
    return SimpleNamespace(**{name: name for name in PARTS.split()})


@pytest.fixture(scope="module")
def shown(context, subject, ui):
    """What the page shows at the end of an attack, by its form; each is run once."""
    known = {}

    def run(form):
        if form not in known:
            updates = {}
            for update in Actions(context, ui).attack(ASKER, subject, 0, *astuple(form)):
                updates |= update
            known[form] = updates
        return known[form]

    return run


def folder_of(context, shown):
    token = shown["player"].split("results/")[1].split("/")[0]
    return context.store.root / token


@pytest.mark.parametrize(
    ("form", "sentence", "numbers", "files"),
    [
        (
            NOISE,
            "The noise knows nothing of this clip",
            "<h2>Numbers",
            ["The noise", "With hum.safetensors beside it", "--from hopper-universal-eps10-report.json"],
        ),
        (
            QUICK,
            "Written as H.264 CRF 18, AAC 96k and read again",
            "<h2>In the file",
            ["The file that survives", "hopper-bim-eps40"],
        ),
    ],
    ids=["noise", "survive"],
)
def test_the_page_tells_what_came_of_it(shown, form, sentence, numbers, files):
    found = shown(form)
    assert 'role="alert"' not in found["progress"], found["progress"]
    assert sentence in found["sentence"] and numbers in found["numbers"]
    assert all(words in found["files"] for words in files)
    assert f"eps_av {form.eps_av:g} ·" in found["sentence"] and "Face 1 of hopper" in found["sentence"]
    # Of the frames flipped, progress and sentence say the same: those decided otherwise than in the clean clip.
    said = re.search(r"(\d+|not one) (?:of (\d+) frames|frame) changed sides", found["sentence"])
    share = round(100 * int(said[1]) / int(said[2])) if said[2] else 0
    assert f"<dt>frames flipped</dt><dd>{share} %</dd>" in found["progress"]


def test_the_noise_is_the_very_one_of_the_folder(context, subject, shown):
    folder = folder_of(context, shown(NOISE))
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["spec"]["attack"]["noise"] == "hum.safetensors"
    assert (folder / "hum.safetensors").read_bytes() == (context.noises / "hum.safetensors").read_bytes()
    moved = report["storage"]["video"]["adversarial"]["max"]
    assert 0.8 < moved <= 0.9
    cut = carry_out(
        context, subject, 0, replace(NOISE, eps_av=2.0), context.detectors.get("talknet-lite"), on_step=lambda _: True
    )
    assert cut.run.metrics["adversarial"]["max_video"] == pytest.approx(0.2)


def test_an_aim_that_was_met_from_the_start_is_not_called_a_success(context, subject):
    network = context.detectors.get("talknet-lite")
    outcome = carry_out(context, subject, 0, Form("talknet-lite", "fgsm"), network, on_step=lambda _: True)
    run = outcome.run
    met = replace(run, targets=(run.clean.margin > 0).long())
    assert met.nothing_to_gain and "nothing to gain" in replace(outcome, run=met).sentence()
    missed = replace(run, targets=1 - met.targets)
    assert not missed.nothing_to_gain and "nothing to gain" not in replace(outcome, run=missed).sentence()
    assert not replace(run, targets=None).nothing_to_gain


@pytest.mark.parametrize(
    ("eps", "words"),
    [
        (
            {"audio": 5e-4, "video": 0.5},
            "no pixel moved by more than 0.5 of 255 grey levels and no sample by more than",
        ),
        ({"audio": 5e-4, "video": 0.0}, "no sample moved by more than 0.0005 of full scale."),
        ({"audio": 0.0, "video": 0.5}, "no pixel moved by more than 0.5 of 255 grey levels."),
        ({"audio": 0.0, "video": 0.0}, "nothing was allowed to change."),
    ],
)
def test_the_sentence_says_what_was_allowed_to_move(eps, words):
    scores = dict.fromkeys(("clean", "adversarial", "stored"), np.ones(4))
    assert words in tables.sentence(scores, eps, cancelled=False, frozen=[])


@pytest.mark.parametrize("form", [NOISE, QUICK], ids=["noise", "survive"])
def test_the_report_repeats_it_in_the_shell(context, shown, form, tmp_path, capsys):
    folder = folder_of(context, shown(form))
    clip, model = context.clips / "hopper.mp4", context.detectors.folder / "talknet-lite.safetensors"
    given = [str(clip), "--from", str(folder / "report.json"), "--model", str(model), "--device", "cpu"]
    assert perturb.main([*given, "--out", str(tmp_path / "again")]) == 0
    assert "bit for bit" in capsys.readouterr().out


def test_what_is_played_and_drawn_is_the_file_that_survives(context, shown):
    folder = folder_of(context, shown(QUICK))
    view = json.loads((folder / "view.json").read_text(encoding="utf-8"))
    assert view["screens"][1]["files"]["scene"] == "survive.mp4" and (folder / "survive.mp4").is_file()
    assert list(view["scores"]) == ["clean", "adversarial", "file"]
    section = json.loads((folder / "report.json").read_text(encoding="utf-8"))["survive"]
    assert sum(score is not None for score in view["scores"]["file"]) == section["versions"]["file"]["found"]
    assert (section["codec"], section["method"]) == ("h264-18", "stand-ins")


def test_the_floor_is_said_and_lost_faces_are_no_decisions(context, subject):
    network = context.detectors.get("talknet-lite")
    outcome = carry_out(context, subject, 0, QUICK, network, on_step=lambda _: True)
    clean = np.ones(FRAMES)
    half = np.array([-1.0] * 4 + [1.0] * 4 + [np.nan] * (FRAMES - 8))
    margins = outcome.survived.margins | {"clean": clean, "file": half, "clean file": np.array([-1.0] * 5 + [1.0] * 7)}
    said = " ".join(tables.survival_words(replace(outcome.survived, margins=margins)))
    assert "the 8 of 12 frames in which the face is found: 4 changed sides" in said
    assert "without the attack, 5 did: that is the floor" in said and "nothing of the attack is left" in said
    gone = replace(outcome.survived, margins=margins | {"file": np.full(FRAMES, np.nan)})
    assert "shows no face in that place" in " ".join(tables.survival_words(gone))
    address = attacked_view(outcome.folder, subject, 0, outcome.run, gone)
    assert json.loads((context.store.root / address.partition("/")[2]).read_text())["scores"]["file"] == [None] * FRAMES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attack": "universal"}, "choose another attack, or let it survive nothing"),
        ({"attack": "square", "survive_by": "actual"}, "Square asks the model 50 times"),
        ({"attack": "square", "survive_by": "actual", "steps": None}, "steps is empty"),
        ({"survive": "h265"}, "unknown codec"),
        ({"survive": "nothing", "attack": "universal", "noise": "gone"}, "no noise 'gone' here: hum"),
    ],
)
def test_what_does_not_go_together_says_what_to_choose(shown, changes, message):
    said = shown(replace(QUICK, **changes))["progress"]
    assert message in said.replace("&#x27;", "'") and "The attack did not run" in said


def test_noises_are_found_seen_and_explained(context, tmp_path, caplog):
    found = find_noises(context.noises)
    assert list(found) == ["hum"] and "broken.safetensors is not offered" in caplog.text
    assert choices(found) == [("hum", "hum")]
    card = noise_card(found["hum"])
    assert (
        "Fitted beforehand with 7 clips of other people (others), to make nobody speak." in card
        and "A budget below 10" in card
    )
    assert "<img" in card and 'alt="what is added to every picture' in card and "a loop of 1 s" in card
    assert "There is no noise on this server" in noise_card(None) and find_noises(tmp_path / "absent") == {}
    (context.noises / "hum.json").write_text('{"title": "A hum", "caption": "<b>bold</b>"}', encoding="utf-8")
    assert choices(found) == [("A hum", "hum")] and "&lt;b&gt;bold" in noise_card(found["hum"])
    (context.noises / "hum.json").unlink()


def test_the_noises_that_ship_are_the_shipped_detectors():
    found = find_noises()
    assert list(found) == ["flip-10", "flip-5"], "the larger comes first"
    for name, path in found.items():
        noise, card = load_noise(path), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert noise.eps_av == float(name.partition("-")[2]) and noise.sha256 == card["sha256"] == sha256(path)
        detector = noise.facts["detector"]
        assert detector == {"name": "talknet-lite", "sha256": sha256(find_checkpoint("talknet-lite"))}
        assert card["detector"] == detector["sha256"] and "CC BY 4.0" in card["credit"]
        assert f"--eps-av {noise.eps_av:g} --goal {noise.facts['options']['goal']} " in card["command"]
        assert card["seed"] == noise.facts["options"]["seed"] and path.stat().st_size < 2e5


def test_a_choice_brings_what_goes_with_it(context, ui):
    fits = FormFits(context, ui)
    chosen = fits.noise("universal", "hum")
    assert chosen == {"eps": 10.0, "modality": "both", "target": "hide", "survive": "nothing"}
    for attack, name in (("pgd", "hum"), ("universal", None)):
        assert list(fits.noise(attack, name)) == ["eps"]  # nothing is changed
    chosen = fits.survive("h264-23", "universal")
    assert (chosen["eps"], chosen["attack"]) == (SURVIVE_EPS, "bim") and "every step writes a file" in chosen[
        "surviving"
    ]
    assert fits.survive("nothing", "bim") == {"surviving": ""}
