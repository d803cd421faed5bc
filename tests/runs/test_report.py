"""Specs and reports: what goes into JSON comes out the same, and what does not belong there is named."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from perturb_support import FRAMES, random_clip, write_detector

from pushpull.attacks import BIM, FGSM, MIM, PGD, Noise
from pushpull.attacks.base import ATTACKS
from pushpull.attacks.objectives import span_targets
from pushpull.clip import Origin
from pushpull.detectors import load_model
from pushpull.media import quantise_video
from pushpull.runs.report import Source, read_report, run_report, scores_table, storage
from pushpull.runs.run import execute
from pushpull.runs.save import write_report, write_results
from pushpull.runs.spec import RunSpec, Target, attack_parameters, make_attack
from pushpull.runs.survive_spec import SurviveSpec

LABELS = "0110" * 3 + "01"
SOURCE = Source("clip.mp4", "0" * 64, 7)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_detector(tmp_path_factory.mktemp("model") / "tiny"), "cpu")


@pytest.fixture(scope="module")
def run(model):
    return execute(model, random_clip(), RunSpec(attack=BIM(steps=2), eps_av=10))


ORDERS = {
    "defaults": RunSpec(),
    "fgsm": RunSpec(attack=FGSM(keep="last"), modality="audio", eps_av=2),
    "mim": RunSpec(attack=MIM(steps=3, step_size=0.5, momentum=0.9, early_stop=True), objective="margin"),
    "pgd on the grid": RunSpec(attack=PGD(steps=1, restarts=1, grid=True), eps_av=10.5, seed=7),
    "noise": RunSpec(attack=Noise(kind="uniform"), face=2, start=1.5, seconds=3, model="elsewhere/own.safetensors"),
    "hide": RunSpec(target=Target(kind="hide"), labels="0101"),
    "span": RunSpec(target=Target(kind="span", start=1.2, stop=2, speaking=True, hold=False)),
}


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_goes_through_json_and_back(name):
    spec = ORDERS[name]
    again = RunSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec and hash(again) == hash(spec)
    assert again.attack_name == spec.to_dict()["attack"]["name"]


def test_what_is_left_out_of_an_order_keeps_its_default():
    assert RunSpec.from_dict({}) == RunSpec()
    assert RunSpec.from_dict({"attack": {"name": "pgd", "steps": 3}}).attack == PGD(steps=3)
    assert attack_parameters("bim") == {
        "keep": "best",
        "grid": False,
        "early_stop": False,
        "steps": 10,
        "step_size": None,
    }


REFUSED = {
    "unknown key": ({"epsilon": 5, "budget": 1}, "the spec has no budget, epsilon; it takes model"),
    "unknown target key": ({"target": {"kind": "hide", "when": 2}}, "target has no when"),
    "unknown parameter": ({"attack": {"name": "fgsm", "restarts": 2}}, "fgsm has no restarts"),
    "unknown attack": ({"attack": {"name": "cw"}}, "unknown attack 'cw'; known are fgsm, bim"),
    "attack without a name": ({"attack": {"steps": 2}}, "attack needs a name"),
    "attack as a word": ({"attack": "pgd"}, "attack must be an object"),
    "steps as a word": ({"attack": {"name": "bim", "steps": "3"}}, "bim: steps cannot be '3'"),
    "steps as a truth": ({"attack": {"name": "bim", "steps": True}}, "bim: steps cannot be True"),
    "half a step": ({"attack": {"name": "bim", "steps": 2.5}}, "bim: steps cannot be 2.5"),
    "grid as a number": ({"attack": {"name": "bim", "grid": 1}}, "bim: grid cannot be 1"),
    "step size zero": ({"attack": {"name": "bim", "step_size": 0}}, "step_size is a fraction of eps above 0"),
    "model of nothing": ({"model": ""}, "model must be the name or path"),
    "modality": ({"modality": "smell"}, "unknown modality 'smell'"),
    "objective": ({"objective": "fun"}, "unknown objective 'fun'"),
    "endless budget": ({"eps_av": float("inf")}, "eps_av must be a number of at least 0"),
    "budget as a word": ({"eps_av": "5"}, "eps_av must be a number"),
    "face zero": ({"face": 0}, "face must be a whole number of at least 1"),
    "half a seed": ({"seed": 0.5}, "seed must be a whole number"),
    "no seconds": ({"seconds": 0}, "seconds must be above 0"),
    "labels of words": ({"labels": "yes"}, 'labels must be a string of "0" and "1"'),
    "target kind": ({"target": {"kind": "mute"}}, "unknown target 'mute'"),
    "span without an end": ({"target": {"kind": "span", "start": 1.0}}, "stop is missing"),
    "ends without a span": ({"target": {"kind": "hide", "start": 1.0, "stop": 2.0}}, "belong to the target"),
    "speaking as a number": ({"target": {"kind": "span", "start": 1, "stop": 2, "speaking": 1}}, "true or false"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_an_order_cannot_be_is_named(case):
    values, message = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        RunSpec.from_dict(values)


def test_targets_say_what_the_attack_wants():
    labels = torch.tensor([[0, 1, 1, 0, 1]])
    assert Target().resolve(labels) == (None, None, None)
    for kind, value in (("hide", 0), ("speak", 1)):
        targets, mask, aimed = Target(kind=kind).resolve(labels)
        assert (targets == value).all() and mask is None and aimed is None
    for hold in (True, False):
        targets, mask, aimed = Target(kind="span", start=0.04, stop=0.12, speaking=False, hold=hold).resolve(labels)
        wanted, inside = span_targets(labels, 0.04, 0.12, speaking=False)
        assert torch.equal(targets, wanted) and torch.equal(aimed, inside)
        assert mask is None if hold else torch.equal(mask, inside)


def test_labels_are_the_orders_else_the_clips_else_the_models(model):
    clip, quick = random_clip(), RunSpec(attack=Noise(steps=1), eps_av=0)
    own = execute(model, clip, quick)
    assert own.own_labels and torch.equal(own.labels, (own.clean.margin > 0).long())
    assert 0 < own.labels.float().mean() < 1
    labelled = replace(clip, labels=np.array([int(c) for c in LABELS]))
    given = execute(model, labelled, quick)
    assert not given.own_labels and given.spec.labels == LABELS, "the report must hold the labels that were used"
    over = execute(model, labelled, replace(quick, labels="1" * FRAMES))
    assert (over.labels == 1).all()
    with pytest.raises(ValueError, match=f"there are 3 labels for the {FRAMES} frames"):
        execute(model, clip, replace(quick, labels="010"))


def test_an_outcome_agrees_with_the_model_asked_again(model, run):
    with torch.no_grad():
        for name, clip in (("adversarial", run.adversarial_clip), ("stored", run.stored_clip)):
            assert np.array_equal(model(clip.inputs()).margin[0].numpy(), run.margins[name])
    stored = run.stored_clip.video
    assert np.array_equal(quantise_video(stored), stored), "the stored clip is on the grid of 8-bit frames"
    column = run.metrics["adversarial"]
    assert column["flipped"] == ((run.margins["clean"] > 0) != (run.margins["adversarial"] > 0)).sum() > 0


def test_the_same_order_finds_the_same_bits_and_another_seed_others(model):
    spec = RunSpec(attack=make_attack("pgd", steps=1, restarts=2), eps_av=5, seed=1)
    first, same = (execute(model, random_clip(), spec).digest() for _ in range(2))
    assert first == same
    other = execute(model, random_clip(), replace(spec, seed=2)).digest()
    assert first["audio"] != other["audio"] and first["video"] != other["video"]


def test_a_span_table_leaves_out_what_does_not_count(model):
    target = Target(kind="span", start=0.08, stop=0.2, speaking=True, hold=False)
    origin = Origin(Path("clip.mp4"), 1, 0.0, None, 25, np.zeros((FRAMES, 4)), (160, 230))
    run = execute(model, replace(random_clip(), origin=origin), RunSpec(attack=FGSM(), target=target))
    table = scores_table(run)
    assert table["target"].tolist()[2:5] == [1, 1, 1] and table["target"].isna().sum() == FRAMES - 3
    assert table["time_s"].iloc[2] == pytest.approx(1.08)


def test_storage_says_what_a_file_keeps(model, run):
    said = storage(run)
    kept = np.abs(run.stored_clip.video - run.clip.video.astype(np.float32))
    assert said["video"]["stored"]["max"] == kept.max()
    assert said["video"]["stored"]["mean"] == pytest.approx(kept.mean(), rel=1e-6)
    assert said["video"]["changed_share"]["stored"] == pytest.approx((kept > 0).mean(), rel=1e-6)
    assert f"in a file by at most {kept.max():.4g}" in said["statement"] and "grey levels" in said["statement"]
    # Half a grey level: nothing of the picture can move on the grid, and the report must not hide it.
    held = execute(model, random_clip(), RunSpec(attack=BIM(steps=1, grid=True), eps_av=5))
    assert (
        held.frozen == ["video"] and "The budget of the picture is below one storage step" in storage(held)["statement"]
    )
    assert storage(held)["video"]["stored"]["max"] == 0 < storage(held)["audio"]["stored"]["max"]


def test_a_report_is_json_with_units_and_reads_back(model, run, tmp_path):
    report = run_report(run, source=SOURCE, files={"scores.csv": "scores"})
    path = write_report(tmp_path / "report.json", report)
    loaded = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert loaded == json.loads(json.dumps(report))
    assert set(loaded["metrics"]["units"]) == set(loaded["metrics"]["columns"]["adversarial"])
    assert {name: budget["unit"] for name, budget in loaded["budgets"].items()} == {
        "audio": "full scale",
        "video": "grey levels",
    }
    assert len(loaded["trace"]) == 3 and loaded["trace"][-1]["best_loss"] == loaded["loss"]["adversarial"]
    past = read_report(path)
    assert (past.spec, past.source, past.digest) == (run.spec, SOURCE, run.digest())
    assert past.checkpoint == model.card["sha256"] and past.stopped_after is None
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_a_trace_that_is_not_finite_is_still_json(model, run, tmp_path):
    step = replace(run.result.trace[0], loss=float("nan"), grad_norm={"audio": float("inf")})
    odd = replace(run, result=replace(run.result, trace=(step,)))
    path = write_report(tmp_path / "report.json", run_report(odd, source=SOURCE))
    (kept,) = json.loads(path.read_text(encoding="utf-8"))["trace"]
    assert kept["loss"] is None and kept["grad_norm"] == {"audio": None} and kept["best_loss"] == step.best_loss


def damaged(report, change):
    report = json.loads(json.dumps(report))
    change(report)
    return json.dumps(report)


DAMAGE = {
    "an order of tomorrow": (lambda report: report["spec"].update(colour="red"), "the spec has no colour"),
    "another format": (lambda report: report.update(format="pushpull.perturb/3"), "its format is 'pushpull.perturb/3'"),
    "no digest": (lambda report: report.pop("digest"), "is damaged: 'digest' is missing"),
    "source of nothing": (lambda report: report.update(source=None), "is damaged"),
    "checkpoint as a word": (lambda report: report.update(checkpoint="tiny"), "is damaged"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_report_is_refused(case, model, run, tmp_path):
    change, message = DAMAGE[case]
    text = damaged(run_report(run, source=SOURCE), change)
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_report(tmp_path / "report.json")


def test_an_old_report_still_repeats(run, tmp_path):
    """As versions before the second format wrote it."""
    report = run_report(run, source=SOURCE)
    old = {("order" if key == "spec" else key): value for key, value in report.items()}
    (tmp_path / "report.json").write_text(json.dumps(old | {"format": "pushpull.perturb/1"}))
    past = read_report(tmp_path / "report.json")
    assert (past.spec, past.digest) == (run.spec, run.digest())


def test_the_version_in_reports_is_the_projects():
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"' in pyproject and 'path = "pushpull/__init__.py"' in pyproject


def test_what_an_overwritten_run_had_and_this_one_has_not_is_gone(run, tmp_path):
    old = ("trace.png", "embeddings.png", "adversarial_scene.mp4", "annotated.mp4", "mine.txt")
    for name in old:
        (tmp_path / name).write_text("of another run")
    blind = replace(run, result=replace(run.result, trace=()), clean=run.clean._replace(e_a=None, z_a=None))
    written = write_results(tmp_path, blind, films=False)
    assert not set(old) & set(written)
    assert {path.name for path in tmp_path.iterdir()} == set(written) | {"mine.txt"}


@dataclass(frozen=True, kw_only=True)
class Mine(BIM):
    """A stranger's."""


@pytest.mark.parametrize(("attack", "name"), [(BIM(), "bim"), (Mine(), "sign-of-the-times")])
def test_specs_call_an_attack_by_its_registered_name(attack, name, monkeypatch):
    monkeypatch.setitem(ATTACKS, "sign-of-the-times", Mine)
    assert RunSpec(attack=attack).to_dict()["attack"]["name"] == name
    assert SurviveSpec(attack=attack).to_dict()["attack"]["name"] == name
