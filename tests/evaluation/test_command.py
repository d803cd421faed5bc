"""The commands, on toy detectors: every study gives its files, goes on where it stopped, and refuses what it must."""

import csv
import dataclasses
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_support import Toy, toy_example, toy_examples

import pushpull
from pushpull.config import described
from pushpull.evaluation import audit_command, command, survival_study
from pushpull.evaluation.command import USUAL, EvaluateOptions, main
from pushpull.evaluation.recall import recall_at
from pushpull.evaluation.statistics import Clusters
from pushpull.evaluation.studies import STUDIES, StudyOptions
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.unused import unused


@pytest.fixture
def toys(monkeypatch):
    def load(names, device, point="own"):
        made = {"A": Toy("A"), "D3": Toy("D3", scale=2.0, shift=0.05), "nc": Toy("nc", heads=False)}
        made["A"].card |= {"sha256": "a" * 64, "operating_points": {"speaking": {"threshold": -9, "sha256": "a" * 64}}}
        return [Subject.of(made.get(name, Toy(name)), point=point) for name in names]

    for module in (command, audit_command):
        monkeypatch.setattr(module, "load_subjects", load)
    monkeypatch.setattr(command, "held_out_examples", lambda *a, **k: {"talknet_demo": toy_examples(4)})
    monkeypatch.setattr(audit_command, "held_out_examples", lambda *a, **k: {"talknet_demo": toy_examples(4)})


def arguments(study, out, *more, models="A,D3", eps="1,3"):
    few = ["--attacks.steps", "2", "--attacks.restarts", "1", "--attacks.eps-av", eps, "--quiet"]
    return [study, "--models", models, "--data", "footage", "--out", str(out), *few, *more]


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_writes_its_files(study, toys, tmp_path, capsys):
    assert main(arguments(study, tmp_path)) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["study"] == study and len(found["examples"]) == 4
    assert found["command"].startswith(f"python -m pushpull.evaluate {study} --models A,D3")
    assert {row["set"] for row in found["rows"]} == {"all", "correct", "correct in 90 %"}
    assert {model["name"] for model in found["models"]} == {"A", "D3"}
    assert all(len(model["sha256"]) == 64 for model in found["models"])
    assert all((model["point"], model["threshold"]) == ("own", 0) for model in found["models"])
    with open(tmp_path / "results.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(found["rows"]) and table[0]["adversarial.frame_accuracy_low"] != ""
    assert (tmp_path / "figure.png").stat().st_size > 5000
    assert "| A |" in (tmp_path / "results.md").read_text() and found["title"] in capsys.readouterr().out


def test_table_1_stands_beside_the_paper_with_worst_cases_and_differences(toys, tmp_path):
    main(arguments("table1", tmp_path, eps="5"))
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    pgd = next(r for r in rows if (r["model"], r["attack"], r["objective"]) == ("D3", "pgd", "training_aware"))
    assert pgd["paper"] == {"mAP": 93.15, "ecr_a": 0.0811, "ecr_v": 0.2313, "clean_mAP": 91.81}
    worst = next(r for r in rows if (r["model"], r["attack"]) == ("D3", "worst case"))
    assert worst["parameters"] == {"over": 5} and worst["paper"] is None
    assert set(worst["minus A"]) == {"worst_case", "frame_accuracy", "average_precision"}
    assert 0 < worst["minus A"]["frame_accuracy"]["p_holm"] <= 1
    assert "D3 minus A" in (tmp_path / "results.md").read_text()


def test_transfer_may_take_longer_and_says_in_which_precision(toys, tmp_path):
    main(arguments("transfer", tmp_path, "--attacks.long-steps", "3", "--attacks.precision", "bfloat16", eps="5"))
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {(r["attack"], r["parameters"]["steps"]) for r in rows} == {("bim", 2), ("mim", 2), ("bim", 3)}
    assert "Gradients of the attacks are in bfloat16" in (tmp_path / "results.md").read_text()


def test_the_same_command_again_attacks_nothing(toys, tmp_path, monkeypatch):
    main(arguments("fig3c", tmp_path))
    before = (tmp_path / "results.md").read_text()
    monkeypatch.setattr(command.Evaluator, "craft", lambda *_: pytest.fail("attacked again"))
    assert main(arguments("fig3c", tmp_path)) == 0
    assert (tmp_path / "results.md").read_text() == before


@pytest.mark.parametrize(
    "study, more, models, eps, message",
    [
        ("fig3b", (), "A", "0", "results of fig3c, not of fig3b"),
        ("clean", (), "A", "0", "results of fig3c, not of clean"),
        ("fig3c", (), "A,D3", "0", "results with other models (A aaaaaaaaaaaaaaaa -> A aaaaaaaaaaaaaaaa, D3 "),
        ("fig3c", (), "A", "1", "results with other attacks.eps_av (0 -> 1)"),
        ("fig3c", ("--point", "speaking"), "A", "0", "results with other point (own -> speaking)"),
        ("fig3c", ("--device", "cpu", "--batch", "2", "--data", "elsewhere"), "A", "0", None),
        ("fig3b", ("--overwrite",), "A", "0", None),
    ],
)
def test_finished_results_of_something_else_are_not_replaced(study, more, models, eps, message, toys, tmp_path, capsys):
    assert main(arguments("fig3c", tmp_path, models="A", eps="0")) == 0
    before = (tmp_path / "results.json").read_bytes()
    if message is None:
        assert main(arguments(study, tmp_path, *more, models=models, eps=eps)) == 0
        return
    with pytest.raises(SystemExit):
        main(arguments(study, tmp_path, *more, models=models, eps=eps))
    told = capsys.readouterr().err.replace("\n", " ")
    assert message in told and "give another folder, or allow to overwrite them with --overwrite" in told
    assert (tmp_path / "results.json").read_bytes() == before


def test_results_of_other_examples_and_of_older_versions_are_known(toys, tmp_path, monkeypatch, capsys):
    main(arguments("fig3c", tmp_path, models="A", eps="0"))
    path = tmp_path / "results.json"
    found = json.loads(path.read_text())
    for name in ("precision", "long_steps"):  # options that older results do not know
        found["options"]["attacks"].pop(name)
    path.write_text(json.dumps(found))
    assert main(arguments("fig3c", tmp_path, models="A", eps="0")) == 0
    monkeypatch.setattr(command, "held_out_examples", lambda *a, **k: {"talknet_demo": toy_examples(5)})
    for text, message in ((None, "results with other set ("), ("{}", "of no evaluation"), ("[", "of no evaluation")):
        path.write_text(path.read_text() if text is None else text)
        with pytest.raises(SystemExit):
            main(arguments("fig3c", tmp_path, models="A", eps="0"))
        assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_detector_without_heads_is_attacked_by_the_head_it_has(toys, tmp_path):
    main(arguments("fig4", tmp_path, models="A,nc", eps="3"))
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {r["objective"] for r in rows if r["model"] == "nc"} == {"inference_aware"}
    assert {r["objective"] for r in rows if r["model"] == "A"} == {"training_aware", "inference_aware"}


@pytest.fixture
def few(monkeypatch):
    """One channel in place of all."""
    few = survival_study.Setting(attack=survival_study.BIM(), channels=None).channels[:1]
    make = survival_study.Setting
    monkeypatch.setattr(survival_study, "Setting", lambda **k: make(**{"channels": few} | k))
    return few


def test_survival_goes_on_with_the_examples_that_are_missing(toys, few, tmp_path):
    assert main(arguments("survival", tmp_path, models="A", eps="3")) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert [row["channel"] for row in found["rows"]] == ["float", few[0].name]
    assert found["rows"][0]["attacked"]["value"] == 0 and found["rows"][0]["clean"]["value"] == 1
    assert (tmp_path / "A.png").exists() and few[0].title in (tmp_path / "results.md").read_text()
    path = next((tmp_path / "records").glob("survival-*.jsonl"))
    path.write_text(path.read_text()[:-20])
    main(arguments("survival", tmp_path, models="A", eps="3"))
    again = json.loads((tmp_path / "results.json").read_text())
    assert again["rows"] == found["rows"]
    kept = path.read_text()
    main(arguments("survival", tmp_path, "--point", "speaking", "--overwrite", models="A", eps="3"))
    moved = json.loads((tmp_path / "results.json").read_text())
    assert (moved["models"][0]["point"], moved["models"][0]["threshold"]) == ("speaking", -9)
    assert moved["rows"][0]["clean"]["value"] == 0.5, "far below all scores everybody speaks"
    assert path.read_text() == kept and "operating point 'speaking'" in (tmp_path / "results.md").read_text()


def test_survival_pairs_examples_in_another_order_with_their_own_base_clips(toys, few, tmp_path, monkeypatch):
    """Each source may be named first: the set and its hash are the same."""
    found = {}
    made = toy_examples(4)
    for order in (1, -1):
        examples = {"talknet_demo": made[::order]}
        monkeypatch.setattr(command, "held_out_examples", lambda *a, examples=examples, **k: examples)
        assert main(arguments("survival", tmp_path, models="A", eps="0")) == 0
        lines = [path.read_text().splitlines()[1:] for path in (tmp_path / "records").glob("survival-*.jsonl")]
        found[order] = [[json.loads(line)["clip"] for line in part] for part in lines]
    names = [example.clip.name for example in made]
    assert found[1] == [names] and sorted(found[-1]) == [names, names[::-1]]


def test_clean_figures_tell_recall_at_false_alarm_rates_by_kind(toys, tmp_path, capsys, monkeypatch):
    # A negative strength puts the score on the wrong side: a swapped voice is believed, noise is not.
    kinds = {"in_sync": (True, 2.0), "swapped": (False, -1.0), "noise": (False, 1.5)}

    def made(*_, **__):
        examples = [
            dataclasses.replace(toy_example(f"{kind}{i}", speaking=speaks, strength=strength), kind=kind)
            for kind, (speaks, strength) in kinds.items()
            for i in range(3)
        ]
        return {"talknet_demo": examples}

    monkeypatch.setattr(command, "held_out_examples", made)
    assert main(arguments("clean", tmp_path, models="A")) == 0
    rows = {row["kind"]: row for row in json.loads((tmp_path / "results.json").read_text())["rows"]}
    assert set(rows) == {"swapped", "noise", "all"} and rows["all"]["examples"] == 6
    # Frames of swapped voices score +1 and more, above the threshold and below what speaks.
    assert rows["swapped"]["called_speaking"]["value"] == 1.0 and rows["swapped"]["recall_at_5"]["value"] == 1.0
    assert rows["all"]["found"]["value"] == 1.0 and "| swapped | 3 |" in (tmp_path / "results.md").read_text()


def test_figures_are_of_the_point_that_was_asked_for(toys, tmp_path):
    for point, told in (("own", "each detector's own threshold"), ("speaking", "operating point 'speaking'")):
        assert main(arguments("fig3c", tmp_path / point, "--point", point, models="A", eps="0")) == 0
        found = json.loads((tmp_path / point / "results.json").read_text())
        assert found["options"]["point"] == found["models"][0]["point"] == point
        assert told in (tmp_path / point / "results.md").read_text()
        right = found["rows"][0]["clean"]["frame_accuracy"]["value"]
        assert right == (1.0 if point == "own" else 0.5), "far below all scores everybody speaks"


FILE = {"attacks": {"steps": 4}, "batch": 3}


@pytest.mark.parametrize(
    "more, file, told",
    [
        ([], None, (450, 50, 10, 5, "0.5,1,2,5,10")),
        (["--quick"], None, (24, 25, 10, 1, "0.5,1,2,5,10")),
        (["--quick", "--set.examples", "4", "--attacks.steps", "3"], None, (4, 25, 3, 1, "0.5,1,2,5,10")),
        (["--quick", "--attacks.eps-av=3"], FILE, (24, 25, 4, 1, "3")),
        ([], FILE, (450, 50, 4, 5, "0.5,1,2,5,10")),
        ([], {"attacks": {"eps_av": "7"}}, (450, 50, 10, 5, "7")),
    ],
)
def test_quick_and_usual_numbers_hold_where_no_others_are_given(more, file, told, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(command, "run_study", lambda study, options, *_, **__: seen.append(options))
    if file:
        (tmp_path / "some.json").write_text(json.dumps(file))
        more = [*more, "--config", str(tmp_path / "some.json")]
    assert main(["detectors", "--data", "d", "--out", str(tmp_path), *more]) == 0
    chosen, attacks = seen[0].set, seen[0].attacks
    assert (chosen.examples, chosen.frames, attacks.steps, attacks.restarts, attacks.eps_av) == told


@pytest.mark.parametrize(
    "more, told",
    [
        ([], (150, 50, 5000, 5.0)),
        (["--set.frames", "9"], (150, 9, 5000, 5.0)),
        (["--quick", "--attacks.eps-av", "2"], (12, 25, 100, 2.0)),
        (["--quick", "--set.examples", "2", "--attacks.queries", "7"], (2, 25, 7, 5.0)),
    ],
)
def test_a_quick_audit_keeps_what_is_given(more, told, toys, tmp_path, monkeypatch):
    seen = []
    told_of = SimpleNamespace(verdict="", clean=0, paper_style=0, worst=0, constant=0, flags=[])
    monkeypatch.setattr(
        audit_command, "audit_one", lambda subject, cuts, options, *_, **__: seen.append(options) or told_of
    )
    assert audit_command.main(["A", "--data", "d", "--out", str(tmp_path), *more]) == 0
    chosen, attacks = seen[0].set, seen[0].attacks
    assert (chosen.examples, chosen.frames, attacks.queries, attacks.eps_av) == told


@pytest.mark.parametrize("rate, recall", [(0.0, 0.5), (0.24, 0.5), (0.25, 0.75), (1.0, 1.0)])
def test_recall_at_a_false_alarm_rate_is_counted(rate, recall):
    clusters = Clusters(["a", "b"], replicates=5)
    positive = np.array([9.0, 8.0, 6.5, 1.0]), np.array([0, 0, 1, 1])
    negative = np.array([7.0, 6.0, 0.0, -1.0]), np.array([0, 1, 0, 1])
    assert recall_at(clusters, positive, negative, rate)[0] == recall


def test_audit_command_writes_a_page_for_each_detector(toys, tmp_path, capsys):
    few = ["--attacks.steps", "2", "--attacks.ladder", "1,2", "--attacks.budgets", "1,20", "--attacks.queries", "4"]
    few += ["--attacks.restarts", "1", "--attacks.draws", "2", "--quiet", "--reference", ""]
    assert audit_command.main(["A", "D3", "--data", "footage", "--out", str(tmp_path), *few]) == 0
    assert {path.parent.name for path in tmp_path.glob("*/audit.html")} == {"A", "D3"}
    assert "A: not robust at eps_av 5" in capsys.readouterr().out
    # The same again goes on; another detector, or other attacks, do not take its place unasked.
    again = ["--data", "footage", "--out", str(tmp_path / "A"), *few]
    assert audit_command.main(["A", *again]) == 0
    for other, differs in (
        (["D3", *again], "other model (A "),
        (["A", *again, "--attacks.queries", "5"], "queries (4 -> 5)"),
        (["A", *again, "--reference", "D3"], "reference (none -> D3 "),
    ):
        with pytest.raises(SystemExit):
            audit_command.main(other)
        assert f"{tmp_path / 'A'} already holds an audit with" in (said := capsys.readouterr().err) and differs in said
    assert audit_command.main(["D3", *again, "--reference", "A", "--overwrite"]) == 0
    path = tmp_path / "A" / "audit.json"
    told = json.loads(path.read_text())
    assert told["reference"] == {"name": "A", "sha256": "a" * 64}
    path.write_text(json.dumps({key: value for key, value in told.items() if key != "reference"}))
    assert audit_command.main(["D3", *again, "--reference", "A"]) == 0  # of audits from before, nothing is refused


@pytest.mark.parametrize(
    "given, message",
    [
        (["table1", "--out", "x"], "say what to attack"),
        (["table1", "--out", "x", "--data", "d", "--videos", "v"], "say what to attack"),
        (["table9", "--out", "x", "--data", "d"], "invalid choice"),
        (["table1", "--out", "x", "--data", "d", "--attacks.steps", "0"], "steps and restarts"),
        (["table1", "--out", "x", "--data", "d", "--attacks.precision", "half"], "float32 or bfloat16"),
        (["survival", "--out", "x", "--data", "d", "--attacks.precision", "bfloat16"], "in float32"),
        (["table1", "--out", "x", "--data", "d", "--attacks.eps-av", "-1"], "eps_av"),
        (["table1", "--out", "x", "--data", "d", "--attacks.eps-av", "5,x"], "eps_av is one or several numbers"),
        (["table1", "--out", "x", "--data", "d", "--attacks.eps-av", "nan"], "eps_av is one or several numbers"),
        (["fig3b", "--out", "x", "--data", "d", "--attacks.modalities", ","], "modalities is one or several"),
        (["table1", "--out", "x", "--data", "d", "--attacks.eps", "3"], "unrecognized arguments: --attacks.eps 3"),
        (["clean", "--out", "x", "--videos", "nowhere.mp4", "--models", "no-such-model"], "give --data, not --videos"),
        (["points", "--out", "x", "--data", "d", "--else", "e"], "unrecognized arguments: --else e"),
        (["table1", "--out", "x", "--data", "d", "--point", "loud"], "one of speaking, strict_sync, own"),
        (["table1", "--out", "x", "--data", "/nowhere", "--models", "lite"], "/nowhere"),
        (["table1", "--out", "x", "--data", "d", "--models", "no-such-model"], "no-such-model"),
    ],
)
def test_what_cannot_be_done_is_said(given, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(given)
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_options_know_their_budgets():
    assert StudyOptions(eps_av="0.5, 1,5").budgets == (0.5, 1.0, 5.0)
    twice = StudyOptions(eps_av="5,1,5.0", modalities="both, audio,both", objectives="margin,margin")
    assert (twice.budgets, twice.changed, twice.further) == ((5, 1), ("both", "audio"), ("margin",))
    assert EvaluateOptions(data="x").attacks.further == ("inference_aware", "margin")


def test_the_functions_keep_their_names_beside_the_commands():
    assert callable(pushpull.evaluate) and callable(pushpull.audit)
    for name in ("evaluate", "audit"):
        with pytest.raises(ImportError, match=f"from pushpull import {name}"):
            __import__(f"pushpull.{name}")
        assert callable(getattr(pushpull, name))
    found = subprocess.run([sys.executable, "-m", "pushpull.audit", "--help"], capture_output=True, text=True)
    assert found.returncode == 0 and "--quick" in found.stdout


OTHER = {
    "eps_av": "3",
    "steps": 7,
    "restarts": 2,
    "objectives": "margin",
    "modalities": "video",
    "long_steps": 20,
    "precision": "bfloat16",
    "seed": 5,
}


@pytest.mark.parametrize("study", STUDIES)
def test_options_are_said_to_change_nothing_where_they_change_nothing(study):
    subjects, usual = [SimpleNamespace(name=name) for name in "abc"], StudyOptions()
    conditions = STUDIES[study].asked(subjects, usual)
    for name, value in OTHER.items():
        options = dataclasses.replace(usual, **{name: value})
        told = unused(study, options, usual)
        assert bool(told) == (STUDIES[study].asked(subjects, options) == conditions), name
        assert all(name.replace("_", "-") in sentence for sentence in told)
    several = dataclasses.replace(usual, eps_av="1,5")
    changed = {condition.eps_av for condition in STUDIES[study].asked(subjects, several)}
    assert bool(unused(study, several, usual)) == (changed == {1.0})


@pytest.mark.parametrize(("study", "usual"), [*((name, each.eps_av) for name, each in STUDIES.items()), *USUAL.items()])
def test_the_help_tells_the_budgets_that_each_study_begins_with(study, usual):
    _, named, rest = described(StudyOptions)["eps_av"].partition(study)
    told = re.search(r"(?<!\w)\d[\d.,]*\d", rest)[0] if named else StudyOptions().eps_av
    assert told == usual


def test_what_changes_nothing_is_said(toys, tmp_path, capsys):
    assert main(arguments("clean", tmp_path, "--attacks.restarts", "9", models="A")) == 0
    assert "note: --attacks.restarts changes nothing in clean" in capsys.readouterr().err
