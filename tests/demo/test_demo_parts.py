"""The demo's parts without a browser: what they say, keep, refuse and escape."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from browser_support import FRAMES, write_face, write_model

from pushpull.attacks import Step
from pushpull.demo import models, panels, tables
from pushpull.demo.actions import about
from pushpull.demo.background import BackgroundTask
from pushpull.demo.clusters import embeddings
from pushpull.demo.form import Form
from pushpull.demo.intake import MAX_SECONDS, take_in
from pushpull.demo.labels import with_labels
from pushpull.demo.loaded import DetectorCache
from pushpull.demo.storage import ResultStore
from pushpull.demo.view import envelope, gains
from pushpull.detectors import CheckpointError, Outputs
from pushpull.runs.spec import RunSpec
from pushpull.training.options import TrainOptions


@pytest.fixture
def store(tmp_path):
    return ResultStore(root=tmp_path / "store")


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subject")
    return take_in(write_face(folder / "hopper.mp4"), ResultStore(root=folder / "store"))


# --- background tasks ---


def test_a_background_task_reports_and_returns():
    def work(report):
        report("half")
        time.sleep(0.1)
        report("done")
        return 42

    with BackgroundTask(work, every=0.01) as task:
        assert list(task.reports()) == ["half", "done"]
        assert task.result() == 42


def test_what_the_work_raises_comes_out_of_result():
    def work(report):
        raise ValueError("no such face")

    with BackgroundTask(work) as task:
        assert list(task.reports()) == []
        with pytest.raises(ValueError, match="no such face"):
            task.result()


def test_leaving_stops_the_work_at_its_next_report():
    done = []

    def work(report):
        for index in range(1000):
            report(index)
            done.append(index)
            time.sleep(0.01)

    with BackgroundTask(work) as task:
        next(task.reports())
    time.sleep(0.2)
    count = len(done)
    assert count < 100
    time.sleep(0.1)
    assert len(done) == count


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_the_work_and_the_threads_it_starts_let_others_go_first():
    def work(report):
        found = []
        inner = threading.Thread(target=lambda: found.append(priority()))
        inner.start()
        inner.join()
        return priority(), *found

    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = priority()
    with BackgroundTask(work) as task:
        own, inner = task.result()
    assert own == inner > before
    assert priority() == before


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_torchs_own_threads_let_others_go_first():
    """Threads of torch that an earlier computation left behind must not do the attack's work at full priority."""
    code = """
import os, threading, torch
from pathlib import Path
from pushpull.demo.background import NICENESS, BackgroundTask

def ticks(task):
    return sum(map(int, (task / "stat").read_text().rpartition(")")[2].split()[11:13]))

def burn(_report):
    torch.set_num_threads(2)
    began = {task.name: ticks(task) for task in Path("/proc/self/task").iterdir()}
    matrix = torch.rand(700, 700)
    for _ in range(60):
        matrix = torch.relu(matrix @ matrix).clamp(max=1)
    busy = [task for task in Path("/proc/self/task").iterdir() if ticks(task) - began.get(task.name, 0) > 2]
    return [os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in busy]

burn(None)
with BackgroundTask(burn) as task:
    found = task.result()
print(found)
assert found and set(found) == {NICENESS}
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={**os.environ, "OMP_NUM_THREADS": "2"})


# --- the form ---


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, {"attack_name": "pgd", "eps_av": 5.0, "face": 1, "start": 0.0, "seconds": None}),
        ({"attack": "fgsm", "steps": 50, "restarts": 7}, {"attack_name": "fgsm"}),
        ({"attack": "bim", "steps": 3, "grid": True}, {"attack_name": "bim"}),
        ({"modality": "audio", "eps_av": 0.5, "seed": 9}, {"modality": "audio", "eps_av": 0.5, "seed": 9}),
    ],
)
def test_a_form_becomes_an_order_that_a_report_can_hold(subject, changes, expected):
    spec = Form("talknet-lite", **changes).spec(subject, 0)
    assert {name: getattr(spec, name) for name in expected} == expected
    assert RunSpec.from_dict(spec.to_dict()) == spec


def test_a_span_goes_into_the_order_and_only_a_span(subject):
    span = Form("m", target="span", span_start=0.2, span_stop=0.6, span_speaking=True).spec(subject, 0).target
    assert (span.kind, span.start, span.stop, span.speaking) == ("span", 0.2, 0.6, True)
    assert Form("m", target="hide").spec(subject, 0).target.start is None


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"eps_av": None}, "eps_av is empty"),
        ({"seed": None}, "seed is empty"),
        ({"attack": "magic"}, "unknown attack"),
        ({"target": "span", "span_start": 2.0, "span_stop": 1.0}, "starts before it stops"),
        ({"target": "span", "span_stop": None}, "stop is missing"),
        ({"steps": 0}, "at least 1"),
        ({"modality": "smell"}, "unknown modality"),
    ],
)
def test_a_form_that_makes_no_sense_says_why(subject, changes, message):
    with pytest.raises(ValueError, match=message):
        Form("talknet-lite", **changes).spec(subject, 0)


# --- intake ---


def test_a_short_clip_is_read_whole(subject):
    assert (subject.start, subject.length, subject.cut, subject.remarks) == (0.0, None, False, [])
    assert len(subject.footage.clips) == 1
    assert subject.source.path == "hopper.mp4" and len(subject.source.sha256) == 64


def test_a_long_clip_is_cut_where_it_was_asked(tmp_path, store):
    path = write_face(tmp_path / "long.mp4", frames=25 * 22)
    part = take_in(path, store, start=5.0)
    assert part.cut and (part.start, part.length) == (5.0, MAX_SECONDS)
    assert 16.5 < part.footage.seconds <= MAX_SECONDS
    assert part.remarks[0] == f"Seconds 5.0 to {5 + part.footage.seconds:.1f} of 22: the demo takes 20 s."
    spec = Form("m").spec(part, 0)
    assert (spec.start, spec.seconds) == (5.0, MAX_SECONDS)


def test_silence_is_told_of(tmp_path, store):
    (said,) = take_in(write_face(tmp_path / "silent.mp4", silent=True), store).remarks
    assert "silent" in said and said in about(take_in(tmp_path / "silent.mp4", store))


def test_a_samples_labels_go_to_the_face_they_are_of(subject):
    elsewhere = {"box": [0, 0, 20, 20], "labels": "1" * FRAMES}
    here = {"box": [60, 10, 160, 150], "labels": "01" * (FRAMES // 2)}
    assert with_labels(subject, [elsewhere, here]).footage.clips[0].labels.tolist() == [0, 1] * (FRAMES // 2)
    assert with_labels(subject, [elsewhere]).footage.clips[0].labels is None
    assert with_labels(subject, [here | {"labels": "01"}]).footage.clips[0].labels is None
    assert subject.footage.clips[0].labels is None


# --- the detectors ---


def test_the_preferred_model_comes_first_and_a_new_file_is_seen(tmp_path):
    detectors = DetectorCache(tmp_path, device="cpu")
    assert detectors.cards() == {} and detectors.default() is None
    write_model(tmp_path, "another")
    write_model(tmp_path)
    assert list(detectors.cards()) == ["talknet-lite", "another"]
    first = detectors.get("talknet-lite")
    assert detectors.get("talknet-lite") is first
    later = time.time() + 10
    os.utime(tmp_path / "talknet-lite.safetensors", (later, later))
    assert detectors.get("talknet-lite") is not first


@pytest.mark.parametrize(
    "name, message", [("", "no model yet"), (None, "no model yet"), ("gone", "no detector is called")]
)
def test_a_model_that_is_not_there_says_what_to_do(tmp_path, name, message):
    with pytest.raises(CheckpointError, match=message):
        DetectorCache(tmp_path, device="cpu").get(name)


# --- what is drawn ---


def test_envelope_and_gains():
    audio = np.zeros(16_000, dtype=np.float32)
    audio[8100:8200] = -0.5
    low, high = np.array(envelope(audio)).T
    assert low.min() == -0.5 and high.max() == 0 and np.argmin(low) == len(low) // 2
    assert gains({"audio": 5e-4, "video": 0.5}) == (240.0, 500.0)
    assert gains({"audio": 0.0, "video": 0.0}) == (1.0, 1.0)


@pytest.mark.parametrize(
    "eps_av, modality, found, absent",
    [
        (5, "both", ["± 0.0005", "16.4 of 32 768 steps", "± 0.5", "255 grey levels"], ["not attacked"]),
        (5, "audio", ["± 0.0005", "not attacked"], ["± 0.5<"]),
        (0, "both", ["± 0<"], ["dBFS", "inf"]),
        (40, "video", ["± 4", "not attacked"], ["0.004"]),
    ],
)
def test_budgets_are_said_with_units(eps_av, modality, found, absent):
    text = panels.budgets(eps_av, modality)
    assert all(words in text for words in found) and not any(words in text for words in absent)


def test_what_a_visitor_wrote_is_escaped():
    evil = "<img src=x onerror=alert(1)>"
    for html in (panels.alert(evil), panels.note(evil), panels.waiting(evil), panels.about(evil, 1.0, (2, 2), 1, "")):
        assert "<img" not in html and "&lt;img" in html
    assert "<img" not in tables.files([("a", "b", "c")], f"python -m pushpull.perturb {evil}")
    card = {"variant": evil, "size": evil, "summary": evil, "heldout": {"sources": {evil: {"in_sync": {"ap": 9.0}}}}}
    assert "<img" not in models.model_card(card) and "held-out &lt;img" in models.model_card(card)


@pytest.mark.parametrize(
    ("row", "size", "words"),
    [
        ("A", "lite", "A: CE (talknet-lite-a)"),
        ("A", "full", "A: CE, full size: slow without a GPU (talknet-full-a)"),
        ("D3", "lite", "D3: CE + L1 + L4 (talknet-lite-d3)"),
        ("E2", "lite", "E2: CE + L1 + L4, trained on MIM examples (talknet-lite-e2)"),
        ("nc", "lite", "nc: without cross-attention (nctalknet-lite)"),
        ("spec", "lite", "spec: spectrogram instead of MFCC (spectalknet-lite)"),
    ],
)
def test_models_are_named_by_their_row_and_what_it_means(row, size, words):
    options = TrainOptions.of_row(row, size=size)
    card = {"name": options.name, "row": row, "variant": options.variant, "size": size, "training": asdict(options)}
    assert models.label(card) == words and models.choices({options.name: card}) == [(words, options.name)]


def test_a_model_without_row_or_figures_is_named_all_the_same():
    assert models.label({"name": "mine"}) == "mine"
    assert "AVA-AP" not in models.model_card({"name": "mine", "heldout": None, "robust": {}})


def test_a_card_tells_how_well_the_model_does_and_holds():
    attacked = {name: {"average_precision": 0.5} for name in ("bim", "mim", "pgd")}
    robust = attacked | {"clean": {"average_precision": 0.97, "prevalence": 0.3}, "options": {"eps_av": 5.0}}
    heldout = {"sources": {"grid_s1": {"in_sync": {"ap": 98.7}, "swapped": {"ap": 91.2}}}}
    html = models.model_card({"variant": "talknet", "heldout": heldout, "robust": robust})
    assert "held-out grid_s1: in sync <b>99</b>, swapped <b>91</b>" in html
    assert "eps_av 5: BIM <b>50</b>, MIM <b>50</b>, PGD <b>50</b> (clean <b>97</b>, floor 30)" in html


def step(**changes):
    first = Step(0, 4, 0, 2, 1.0, 1.0, 0.9, 0.1, {}, {}, 0.1)
    return replace(first, **changes)


def test_a_running_attack_shows_every_start_as_a_curve_and_the_time_left():
    trace = [step(step=k, restart=r, loss=1.0 + k, progress=(k + 1) / 5) for k in range(3) for r in range(2)]
    html = panels.attacking(trace, 30.0)
    assert html.count('<path class="loss"') == 2 and html.count('<path class="flips"') == 2
    assert "Step 2 of 4" in html and "about 20 s left" in html and "60 %" in html
    assert "<dt>frames flipped</dt><dd>10 %</dd>" in html, "not those won, wrong ones among them"
    done = panels.attacking(trace, 30.0, note="Done", done=True, flipped=0.25)
    assert "left" not in done and "<dt>frames flipped</dt><dd>25 %</dd>" in done


def test_the_sentence_counts_both_columns():
    scores = {"clean": np.ones(10), "adversarial": -np.ones(10), "stored": np.ones(10)}
    said = tables.sentence(scores, {"audio": 5e-4, "video": 0.0}, cancelled=True, frozen=["audio"])
    assert "10 of 10 frames changed sides" in said and "none changed sides" in said
    assert "0.0005 of full scale" in said and "grey levels" not in said
    assert "stopped it early" in said and "below one storage step" in said
    scores["adversarial"] = np.ones(10)
    said = tables.sentence(scores, {"audio": 0.0, "video": 0.0}, cancelled=False, frozen=[])
    assert "not one frame changed sides" in said and "nothing was allowed to change" in said


def outputs_of(rng, frames):
    """Outputs for a batch of one whose embeddings lie in a plane of their own."""
    logits = torch.zeros(1, frames, 2)
    return Outputs(logits, logits, logits, *(torch.from_numpy(rng.standard_normal((1, frames, 8))) for _ in range(4)))


def test_clusters_lie_in_the_plane_of_the_reference_where_there_is_one():
    rng, classes = np.random.default_rng(0), np.array([1] * 6)
    clean, attacked = outputs_of(rng, 6), outputs_of(rng, 6)
    known = {name: torch.from_numpy(rng.standard_normal((20, 8))) for name in ("e_a", "e_v", "z_a", "z_v")}
    known["labels"] = torch.arange(20) % 2
    own = embeddings(clean, attacked, classes, {})
    shown = embeddings(clean, attacked, classes, {"z_a": 0.5}, known)
    assert "no reference" in own["note"] and "held out" in shown["note"]
    for layer, before in zip(shown["layers"], own["layers"], strict=True):
        for plot, alone in zip(layer["plots"], before["plots"], strict=True):
            # A clip of one class has one centre of its own, the reference has both.
            assert [centre["speaking"] for centre in alone["centres"]] == [True] and "reference" not in alone
            assert [centre["speaking"] for centre in plot["centres"]] == [False, True]
            for value, centre in enumerate(plot["centres"]):
                points = [
                    at
                    for at, of in zip(plot["reference"]["at"], plot["reference"]["classes"], strict=True)
                    if of == value
                ]
                assert centre["at"] == pytest.approx(np.mean(points, axis=0), abs=1e-3)
            (drift,) = plot["drifts"]
            assert drift["from"] == pytest.approx(np.mean(plot["clean"], axis=0), abs=1e-3)
            assert drift["to"] == pytest.approx(np.mean(plot["adversarial"], axis=0), abs=1e-3)
    assert embeddings(clean, None, classes, {}, known)["layers"][0]["plots"][0].get("drifts") is None
