"""What a stranger types first: the public names, any detector, and reports that say what was used."""

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from perturb_support import make_world, random_clip

import pushpull as pp
from pushpull import __main__ as console
from pushpull import perturb
from pushpull.attacks import ATTACKS, BIM
from pushpull.config import Parser
from pushpull.runs.report import read_report

ROOT = Path(__file__).parents[1]


class Loudness(torch.nn.Module):
    """Twenty lines of a detector: loud while the picture is bright. No embeddings, no other heads."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(30.0))

    def forward(self, audio, video):
        loud = audio.unflatten(1, (-1, 640)).square().mean(-1).add(1e-9).sqrt()
        return self.weight * (loud - 0.1) + (video.mean(dim=(2, 3)) - 127) / 20


@pytest.fixture(scope="module")
def toy():
    return pp.wrap(Loudness(), name="loudness", crop="talknet_demo")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def python(code, cwd, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_it_loads_nothing_heavy(tmp_path):
    code = "import pushpull, sys; print({'torch', 'numpy', 'gradio', 'cv2'} & set(sys.modules) or 'light')"
    assert python(code, tmp_path) == "light"


def test_every_public_name_is_there():
    for name in pp.__all__:
        assert getattr(pp, name) is not None
    assert set(pp.__all__) <= set(dir(pp))
    with pytest.raises(AttributeError, match="no attribute 'attak'"):
        _ = pp.attak


def test_type_checkers_find_every_public_name_where_it_is_loaded_from():
    tree = ast.parse(Path(pp.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    homes = {name.asname: line.module for line in checked.body for name in line.names}
    assert homes == pp._HOMES and Path(pp.__file__).with_name("py.typed").is_file()


def test_the_five_lines_work_from_an_empty_folder(tmp_path):
    code = f"""
import pushpull as pp
detector = pp.load_detector("talknet-lite")
clip = pp.read_clips({str(ROOT / "assets" / "9-chewing.mp4")!r}, seconds=1)[0]
run = pp.attack(detector, clip, pp.PGD(steps=1, restarts=1), eps_av=5)
print(run.metrics)
run.save("result")
"""
    said = python(code, tmp_path)
    assert "Attack success rate" in said and "adversarial" in said.splitlines()[0]
    report = json.loads((tmp_path / "result" / "report.json").read_text(encoding="utf-8"))
    assert report["spec"]["model"] == "talknet-lite" and report["spec"]["seconds"] == 1
    assert len(list((tmp_path / "result").iterdir())) == 9


def test_a_detector_of_ones_own_goes_all_the_way_and_says_what_it_lacks(toy, tmp_path):
    run = pp.attack(toy, random_clip(), pp.BIM(steps=2), eps_av=20)
    assert run.spec.objective == "inference_aware" and run.clean.embeddings == {}
    assert run.metrics["adversarial"]["ecr_a"] is None and "no embeddings" in run.metrics.notes["adversarial.ecr_a"]
    assert "ECR" not in str(run.metrics)
    files = run.save(tmp_path / "result")
    assert "embeddings.png" not in files and "adversarial_scene.mp4" not in files
    assert all(path.stat().st_size for path in files.values())
    report = json.loads(files["report.json"].read_text(encoding="utf-8"))
    assert report["checkpoint"]["name"] == "loudness" and report["checkpoint"]["sha256"] is None
    with pytest.raises(ValueError, match="came from no file"):
        read_report(files["report.json"])
    with pytest.raises(ValueError, match="already holds"):
        run.save(tmp_path / "result")


def test_a_report_names_what_was_used_and_repeats_it(world, tmp_path, capsys):
    clip = world.footage[1]
    spec = {"eps_av": 7, "modality": "video", "target": "hide", "seed": 3}
    run = pp.attack(pp.load_detector(world.checkpoint, "cpu"), clip, pp.BIM(steps=2), **spec)
    run.save(tmp_path / "result")
    past = read_report(tmp_path / "result" / "report.json")
    assert past.spec.face == 2 and past.spec.modality == "video" and past.spec.seed == 3 and past.spec.eps_av == 7
    again = ["--from", str(tmp_path / "result" / "report.json"), "--model", str(world.checkpoint)]
    again += ["--device", "cpu", "--out", str(tmp_path / "again")]
    assert perturb.main(again) == 0, capsys.readouterr()
    assert "bit for bit" in capsys.readouterr().out


def test_a_part_of_a_file_is_named_in_the_report(world):
    (clip, _) = pp.read_clips(world.video, start=0.08, seconds=0.44)
    run = pp.attack(world.model, clip, pp.FGSM(), eps_av=5)
    assert (run.spec.start, run.spec.seconds, clip.origin.offset) == (0.08, 0.44, 0.08)
    assert run.report()["source"]["face_starts_s"] == 0.08


def test_labels_and_targets_reach_the_attack(toy):
    labels = np.array([1, 0] * 7)
    run = pp.attack(toy, random_clip(), pp.FGSM(), eps_av=5, labels=labels)
    assert not run.own_labels and run.labels[0].tolist() == labels.tolist()
    with pytest.raises(ValueError, match="unknown target"):
        pp.attack(toy, random_clip(), pp.FGSM(), target="shout")


WRONG = {
    "footage": ({"clip": [random_clip()]}, "clip must be a pushpull.Clip, such as read_clips.*got a list"),
    "the name of a detector": (
        {"detector": "talknet-lite"},
        "pushpull.load_detector or pushpull.wrap gives, got 'talk",
    ),
    "a class": ({"detector": Loudness}, "pushpull.load_detector or pushpull.wrap gives, got <class"),
    "scores": ({"detector": lambda x: x["audio"]}, "gave a Tensor, not pushpull.Outputs: .* pushpull.wrap"),
    "half a label": ({"labels": np.full(14, 0.5)}, "labels must be .*1 speaking or 0 not"),
    "a third label": ({"labels": [10] + [0] * 13}, "labels must be .*1 speaking or 0 not"),
    "a batch of labels": ({"labels": np.ones((1, 14))}, r"labels must be \(T,\).*got \(1, 14\)"),
    "a class of attacks": ({"attack": pp.FGSM}, "with its parameters, such as PGD.*register_attack"),
    "an objective of one's own": ({"objective": max}, "known are training_aware.*register_objective"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_attacked_is_told(case, toy):
    given, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        pp.attack(**{"detector": toy, "clip": random_clip(), "attack": pp.FGSM()} | given)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"clips": "clip.mp4"}, "clips must be pushpull.Clip.*got a str"),
        ({"detectors": lambda x: x["audio"]}, "gave a Tensor, not pushpull.Outputs"),
        ({"attack": pp.FGSM}, "attack must be one with its parameters"),
        ({"objective": max}, "known are training_aware.*register_objective"),
    ],
)
def test_what_cannot_be_evaluated_is_told(given, message, toy):
    with pytest.raises(ValueError, match=message):
        pp.evaluate(**{"detectors": toy, "clips": [random_clip()], "attack": pp.FGSM()} | given)


def test_clips_may_come_one_alone_or_one_by_one(toy):
    rows = [pp.evaluate(toy, clips, pp.FGSM())[0] for clips in (random_clip(), iter([random_clip()]))]
    assert rows[0] == rows[1] and rows[0]["examples"] == 1


def test_numbers_of_numpy_are_numbers(toy, tmp_path):
    attack = pp.BIM(steps=np.int64(2), step_size=np.float32(0.5))
    run = pp.attack(toy, random_clip(), attack, eps_av=np.int64(3), seed=np.int64(1))
    told = json.loads(json.dumps(run.report()["spec"]))
    assert (told["eps_av"], told["seed"], told["attack"]["steps"], told["attack"]["step_size"]) == (3, 1, 2, 0.5)
    pp.evaluate(toy, [random_clip()], attack, eps_av=np.float32(3), seed=np.int64(1), out=tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
def test_everything_is_on_the_detectors_device():
    run = pp.attack(pp.load_detector("talknet-lite", "cuda"), random_clip(), pp.BIM(steps=1))
    assert run.clean.margin.device.type == "cpu"


def test_an_attack_of_ones_own_is_known_by_its_name(world):
    @pp.register_attack("half-step")
    @dataclass(frozen=True, kw_only=True)
    class HalfStep(BIM):
        steps: int = 1

    try:
        run = pp.attack(world.model, world.footage[0], HalfStep(), eps_av=5)
        assert run.spec.attack_name == "half-step" and run.report()["spec"]["attack"]["name"] == "half-step"
        with pytest.raises(ValueError, match="registered already"):
            pp.register_attack("half-step")(BIM)
        with pytest.raises(TypeError, match="no subclass of Attack"):
            pp.register_attack("other")(dict)
    finally:
        del ATTACKS["half-step"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 0, "usage: pushpull COMMAND"),
        (["--help"], 0, "perturb"),
        (["--version"], 0, f"pushpull {pp.__version__}"),
        (["atack"], 2, "no command 'atack'"),
        (["perturb", "--help"], 0, "Attack one face of a video"),
        (["detectors", "--help"], 0, "fetch"),
    ],
)
def test_the_console_command(arguments, code, says, capsys):
    argv = sys.argv
    try:
        assert console.main(arguments) == code
    finally:
        sys.argv = argv
    said = capsys.readouterr()
    assert says in said.out + said.err


@pytest.mark.parametrize(
    ("typed", "prog", "called"),
    [
        (["bin/pushpull", "zoo", "--help"], "python -m pushpull.training.zoo", "pushpull zoo"),
        (["-m", "pushpull", "universal", "fit"], "python -m pushpull.universal fit", "pushpull universal fit"),
        (["-m", "pushpull.universal", "fit"], "python -m pushpull.universal fit", "python -m pushpull.universal fit"),
        (["bin/pytest"], "python -m xab", "python -m xab"),
    ],
)
def test_a_command_calls_itself_by_what_was_typed(typed, prog, called, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", *typed])
    assert Parser(prog=prog).prog == called
