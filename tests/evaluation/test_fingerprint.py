"""A detector of one's own is known by its weights, its settings and its code: records of another are not its own."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from evaluation_support import Toy, toy_examples

import pushpull as pp
from pushpull.evaluation.audit import AuditOptions, audit
from pushpull.evaluation.fingerprint import fingerprint
from pushpull.evaluation.subjects import Subject

SCRIPT = """
import torch
import pushpull as pp

LIMIT = {limit}


def helper(audio):
    return audio.unflatten(1, (-1, 640)).mean(-1) {sign} LIMIT


def score(audio, video):
    return {score}


detector = pp.wrap(score, name="mine", front_end="{front_end}", threshold={threshold})
"""
FIRST = {"limit": 0.5, "sign": "+", "score": "helper(audio)", "front_end": "waveform", "threshold": 0.0}


def of_script(path, **changes):
    path.write_text(SCRIPT.format(**FIRST | changes))
    return Subject.of(str(path)).sha256


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": -50},
        {"sign": "-"},
        {"score": "helper(2 * audio)"},
        {"score": "torch.sin(helper(audio))"},
        {"front_end": "mfcc"},
        {"threshold": 0.5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_changed_script_is_another_detector(changes, tmp_path):
    path = tmp_path / "mine.py"
    assert of_script(path) == of_script(path) != of_script(path, **changes)


def test_it_is_the_same_in_another_process(tmp_path):
    path = tmp_path / "mine.py"
    here = of_script(path)
    code = f"from pushpull.evaluation.subjects import Subject; print(Subject.of({str(path)!r}).sha256)"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_settings_weights_and_closures_count_and_training_mode_does_not():
    def made(factor):
        return lambda audio, video: factor * video.mean((2, 3))

    def scaled(audio, video, factor):
        return factor * video.mean((2, 3))

    assert fingerprint(Toy()) == fingerprint(Toy()) == fingerprint(Toy().train())
    moved = Toy()
    moved.gain.data[0] += 1e-6
    found = [Toy(), moved, Toy(scale=2.0), made(1), made(2), partial(scaled, factor=1), partial(scaled, factor=2)]
    assert len({fingerprint(one) for one in found}) == len(found)
    looped = torch.nn.Linear(2, 1)
    looped.settings = {"self": looped}
    assert fingerprint(looped) == fingerprint(looped)


def test_records_of_a_detector_before_it_was_changed_are_not_its_own(tmp_path):
    def detector(offset):
        return pp.wrap(lambda audio, video: video.mean((2, 3)) - 128 - offset, name="mine")

    clips = [example.clip for example in toy_examples()]
    found = [
        pp.evaluate(detector(offset), clips, pp.BIM(steps=2), out=tmp_path)[0]["clean"]["frame_accuracy"]["value"]
        for offset in (0, 0, 100)
    ]
    assert found == [1, 1, 0.5]


@pytest.mark.parametrize("point", ["own", "speaking"])
def test_weights_that_were_changed_after_loading_are_not_those_of_the_file(point):
    """Such as logits times 100, made to try an audit: beside the original it is another detector."""
    detector = pp.load_detector("talknet-lite", "cpu", point=point)
    assert Subject.of(detector).sha256 == detector.card["sha256"]
    with torch.no_grad():
        next(p for name, p in detector.named_parameters() if name.endswith("headAV.weight")).mul_(100)
    changed = Subject.of(detector).sha256
    assert changed != detector.card["sha256"] and changed == Subject.of(detector).sha256


def test_two_functions_are_two_detectors_to_an_audit():
    quick = AuditOptions.quick(steps=2, ladder="2,4", budgets="1,20", queries=4, draws=2)
    one, other = (
        pp.wrap(lambda audio, video, gain=gain: gain * (video.mean((2, 3)) - 128), name=f"times {gain}")
        for gain in (1, 2)
    )
    found = audit(one, toy_examples(2), quick, reference=other)
    assert any(name.startswith("transfer from times 2") for name in found.attacks)
