"""An audit tells detectors that mask their gradients on purpose from those that do not, and says why."""

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation_support import Toy, toy_example, toy_examples

import pushpull as pp
from pushpull.clip import SAMPLES_PER_FRAME
from pushpull.evaluation import audit_command, checks
from pushpull.evaluation.audit import MASKED, NO_FLAG, ONE_CLASS, UNDECIDED, AuditOptions, audit, trials, verdict
from pushpull.evaluation.audit_page import audit_page, write_audit
from pushpull.evaluation.checks import CHECKS, Flag, flag
from pushpull.evaluation.crafting import Condition, Evaluator
from pushpull.evaluation.statistics import Clusters, Estimate
from pushpull.evaluation.subjects import Subject

QUICK = AuditOptions.quick(steps=4, ladder="2,4", budgets="1,20", queries=6, draws=4)

KEPT_NOTHING, KEPT_MUCH = Estimate(-45.0, -50.0, -40.0, 12), Estimate(35.0, 20.0, 45.0, 12)
SURELY_UP, PERHAPS_UP = Estimate(30.0, 12.0, 44.0, 12), Estimate(1.7, 0.0, 4.0, 12)
PERHAPS_DOWN = Estimate(0.6, 0.0, 1.8, 12)


class Quantised(Toy):
    """Sees the picture in steps of 4 grey levels, and claims the gradient of one that does not."""

    def forward(self, inputs):
        video = inputs["video"]
        coarse = 4 * (video / 4).round()
        return super().forward(inputs | {"video": video + (coarse - video).detach()})


class Noisy(Toy):
    """Adds noise of its own to the picture at every call."""

    def forward(self, inputs):
        noise = 3 * torch.randn(inputs["video"].shape[:2])[..., None, None]
        return super().forward(inputs | {"video": inputs["video"] + noise})


def raised(found):
    return {one.name for one in found.flags if one.passed is False}


@pytest.fixture(scope="module")
def undefended():
    return audit(Toy(), toy_examples(), QUICK)


def test_an_undefended_detector_is_not_robust_and_no_flag_is_up(undefended):
    found = undefended
    assert found.verdict == "not robust at eps_av 5" and raised(found) == set()
    assert found.clean == 100 and found.worst == found.paper_style == 0 and found.constant == 50


@pytest.mark.parametrize(
    "detector, reasons",
    [
        (Toy(scale=5000, heads=False), {"zero_gradients", "margin_beats_ce", "scaled_beats_ce"}),
        (Quantised(), {"lying_gradients"}),
        (Noisy(), {"random"}),
    ],
    ids=["logits times 5000", "straight-through quantiser", "noise of its own"],
)
def test_masking_on_purpose_is_flagged_for_its_reason(detector, reasons, undefended):
    found = audit(detector, toy_examples(), QUICK)
    assert reasons <= raised(found)
    # And each of the reasons tells this detector from one that does not mask.
    assert not reasons & raised(undefended)
    if "zero_gradients" in reasons:  # the paper's attacks leave much of it
        assert found.verdict == MASKED


def test_a_detector_out_of_reach_keeps_all_its_frames_but_its_unbounded_attack_wins():
    found = audit(Toy(), toy_examples(strength=4.0), QUICK)
    assert found.worst == 100 and raised(found) == set()
    # Nothing is against it, but six clips cannot say that no black-box attack wins on one in twenty.
    assert found.verdict == UNDECIDED and [one.name for one in found.flags if not one.sure] == ["black_box_wins"]
    assert found.attacks["BIM, margin, unbounded"]["adversarial"]["frame_accuracy"]["value"] == 0


def test_another_models_perturbation_is_tried_and_beats_gradients_that_are_none():
    class Blind(Toy):
        def forward(self, inputs):
            return super().forward({name: values.detach() for name, values in inputs.items()})

    found = audit(Blind("blind"), toy_examples(), QUICK, reference=Toy("plain"))
    assert {"black_box_wins", "unbounded"} <= raised(found)
    assert found.verdict == MASKED and found.worst == 0 < found.paper_style


class Folded(Toy):
    """Turns back 8 log-odds from its decision: steps of many grey levels only go past what lies between."""

    def forward(self, inputs):
        x = sum(super().features(inputs))
        margin = torch.where(x.abs() > 8, x.sign() * (16 - x.abs()), x)
        return pp.Outputs(torch.stack([-margin / 2, margin / 2], -1))


def test_what_a_smaller_budget_flips_is_not_held_against_one_without_bounds():
    found = audit(Folded(), toy_examples(strength=1.5), QUICK)
    left = {name: figures["adversarial"]["frame_accuracy"]["value"] for name, figures in found.attacks.items()}
    assert left["BIM, margin, unbounded"] > 0.5 and left["BIM, margin, both, eps_av 20"] == 0 and found.worst == 100
    assert raised(found) == set() and found.verdict == UNDECIDED


@pytest.mark.parametrize("strongest", ["BIM, margin, 4 steps", "BIM, margin, audio, eps_av 1"])
def test_every_white_box_attack_within_the_budget_counts(strongest, monkeypatch):
    """Noise that wins a frame has not beaten those of them that win all."""
    examples, subject = toy_examples(), Subject.of(Toy())
    clean = Evaluator([subject], examples).run(Condition(source="toy", eps_av=0))["toy"]
    made = {trial.name: trial.condition for trial in trials(subject, QUICK, None)}
    lost = {made["noise"]: 1, made[strongest]: 6}

    def run(evaluator, condition):
        sides = np.where(np.arange(6) < lost.get(condition, 0), -1, 1)
        return {"toy": [dataclasses.replace(record, adversarial=sides * record.clean) for record in clean]}

    monkeypatch.setattr(Evaluator, "run", run)
    found = audit(subject, examples, QUICK)
    assert found.worst == 0 and "black_box_wins" not in raised(found)


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapped", "an object"])
def test_a_function_that_cannot_be_run_in_float64_is_audited_without(wrapped):
    """Its numbers are float32 in no module; saturated as it is, the audit would have liked to know more."""
    looks = torch.ones(112 * 112) / 112**2

    def score(audio, video):
        return 5000 * (1000 * audio.unflatten(1, (-1, SAMPLES_PER_FRAME)).mean(-1) + video.flatten(2) @ looks - 128)

    class Object:
        card = {"name": "object"}

        def __call__(self, inputs):
            return pp.wrap(score)(inputs)

    found = audit(pp.wrap(score) if wrapped else Object(), toy_examples(), QUICK)
    asked = {one.name: one for one in found.flags}
    assert asked["float64_helps"].answer == "not measured" and asked["zero_gradients"].passed is False
    assert found.verdict == MASKED and not any("float64" in name for name in found.attacks)


@pytest.mark.parametrize(
    "paper_style, above, unbounded, said",
    [
        (20, KEPT_NOTHING, 30.0, "not robust at eps_av 5"),
        (90, KEPT_NOTHING, SURELY_UP, MASKED),
        (90, KEPT_NOTHING, PERHAPS_UP, "not robust at eps_av 5"),
        (90, KEPT_NOTHING, 0.0, "not robust at eps_av 5"),
        (90, KEPT_MUCH, 0.0, NO_FLAG),
        (90, KEPT_MUCH, SURELY_UP, MASKED),
        (90, KEPT_MUCH, PERHAPS_UP, UNDECIDED),
        (90, KEPT_MUCH, PERHAPS_DOWN, UNDECIDED),
        (90, Estimate(3.0, -2.0, 8.0, 12), 0.0, UNDECIDED),
        (90, Estimate(35.0, math.nan, math.nan, 1), 0.0, UNDECIDED),
    ],
)
def test_the_verdict_follows_figures_and_flags_and_how_sure_they_are(paper_style, above, unbounded, said):
    flags = [flag("unbounded", unbounded), flag("zero_gradients", None)]
    assert verdict(flags, paper_style=paper_style, constant=50, above_constant=above, eps_av=5.0) == said


@pytest.mark.parametrize(
    "paper_style, worst, unbounded, said",
    [
        (100, 100, 0.0, ONE_CLASS),
        (80, 70, PERHAPS_UP, ONE_CLASS),
        (90, 80, SURELY_UP, MASKED),
        (80, 50, 0.0, "not robust at eps_av 5"),
        (0, 0, 0.0, "not robust at eps_av 5"),
    ],
)
def test_where_a_constant_answer_is_right_throughout_nobody_is_blamed_for_not_beating_it(
    paper_style, worst, unbounded, said
):
    above = Estimate(worst - 100.0, worst - 100.0, worst - 100.0, 12)
    flags = [flag("unbounded", unbounded)]
    assert verdict(flags, paper_style=paper_style, constant=100, above_constant=above, eps_av=5.0) == said


def test_clips_that_speak_throughout_do_not_make_a_detector_out_of_reach_one_that_is_not_robust():
    speaking = [toy_example(f"c{i}", speaking=True, strength=4.0).clip for i in range(3)]
    found = pp.audit(Toy(), [dataclasses.replace(clip, labels=None) for clip in speaking], options=QUICK)
    assert found.worst == found.constant == 100 and found.verdict == ONE_CLASS
    assert "which always says so" in audit_page(found, "x")


@pytest.mark.parametrize(
    "measured, passed, sure, answer",
    [
        (None, None, False, "not measured"),
        (0.5, True, True, "yes"),
        (1.7, False, True, "no"),
        (Estimate(1.7, 0.0, 4.0, 12), False, False, "perhaps not"),
        (Estimate(6.0, 1.2, 9.0, 12), False, True, "no"),
        (Estimate(0.3, 0.0, 0.9, 12), True, True, "yes"),
        (Estimate(0.3, 0.0, 2.0, 12), True, False, "perhaps"),
        (Estimate(6.0, math.nan, math.nan, 1), False, False, "perhaps not"),
    ],
)
def test_a_flag_knows_whether_other_clips_might_answer_otherwise(measured, passed, sure, answer):
    found = flag("unbounded", measured)
    assert (found.passed, found.sure, found.answer) == (passed, sure, answer)


def left_right(*counts, frames=10):
    """One record a clip, all frames speaking, of which so many are still right."""
    return [
        SimpleNamespace(labels=np.ones(frames, int), adversarial=np.where(np.arange(frames) < n, 1.0, -1.0))
        for n in counts
    ]


def test_intervals_are_over_base_clips_and_pair_attacks_on_the_same_clip():
    clusters = Clusters([f"c{i}" for i in range(8)])
    even, one = left_right(*[5] * 8), left_right(*[5] * 7, 9)
    assert checks.left(clusters, even) == Estimate(50.0, 50.0, 50.0, 8)
    # All of 5 points come from one clip of eight: without it, nothing.
    lucky = checks.gained(clusters, one, even)
    assert lucky.value == 5 and lucky.low == 0 < lucky.high
    # Clips differ by much, but the attacks by the same on each: paired, that is certain.
    apart = checks.gained(clusters, left_right(*range(1, 9)), left_right(*range(8)))
    assert (apart.value, apart.low, apart.high) == (10, 10, 10)
    won = checks.clips_won(clusters, [even, left_right(*[4] * 6, 9, 9)], one)
    assert won.value == pytest.approx(100 * 7 / 8) and (won.low, won.high) == pytest.approx((47.3, 99.7), abs=0.1)
    assert checks.clips_won(clusters, [even], even).high == pytest.approx(36.9, abs=0.1), "none of eight is not none"
    assert checks.won_back(clusters, [[one, even], [even, even]]).value == 0
    assert checks.won_back(clusters, [[one, even], [even, one]]).value == 5
    # Every frame speaks, so that "always speaking" is always right.
    assert checks.above_constant(clusters, even).value == -50


@pytest.mark.parametrize("fewer, sure", [(0, True), (1, False)])
def test_on_enough_base_clips_a_detector_on_which_no_black_box_attack_wins_can_be_without_a_flag(fewer, sure):
    clusters = Clusters([f"c{i}" for i in range(checks.ENOUGH - fewer)], replicates=2)
    records = left_right(*[5] * clusters.count)
    found = flag("black_box_wins", checks.clips_won(clusters, [records], records))
    assert found.passed and found.sure is sure
    said = verdict([found], paper_style=90, constant=50, above_constant=KEPT_MUCH, eps_av=5.0)
    assert said == (NO_FLAG if sure else UNDECIDED)
    # Half of the examples speak, half do not, of the same clips.
    assert audit_command.SET["examples"] // 2 >= checks.ENOUGH


def test_every_question_has_a_limit_and_a_meaning():
    for name in CHECKS:
        assert flag(name, CHECKS[name][1]).passed and flag(name, CHECKS[name][1] + 1).passed is False
        assert isinstance(flag(name, None), Flag) and flag(name, None).passed is None


def test_files_hold_the_verdict_and_the_page_needs_no_other_host(tmp_path, undefended):
    found = undefended
    paths = write_audit(tmp_path, found, "python -m pushpull.audit toy --data <clips>")
    told = json.loads(paths["audit.json"].read_text())
    assert told["verdict"] == found.verdict and len(told["flags"]) == len(CHECKS)
    assert told["sha256"] == found.subject.sha256 and told["options"]["eps_av"] == 5.0
    page = paths["audit.html"].read_text()
    assert found.verdict in page and "&lt;clips&gt;" in page and 'src="data:image/png' in page
    assert "http://" not in page and "https://" not in page and audit_page(found, "x").count("<img") == 2


def test_an_interrupted_audit_goes_on_with_what_is_missing(tmp_path):
    done = []
    with pytest.raises(KeyboardInterrupt):
        audit(Toy(), toy_examples(), QUICK, folder=tmp_path, cancelled=lambda: len(list(tmp_path.glob("*.jsonl"))) > 3)
    before = len(list(tmp_path.glob("*.jsonl")))
    found = audit(Toy(), toy_examples(), QUICK, folder=tmp_path, on_trial=lambda name, n, total: done.append(n))
    assert before >= 3 and done[-1] == len(found.attacks) - 1


def test_from_python_clips_without_labels_count_the_detectors_own_decisions(tmp_path):
    clips = [toy_example(f"c{i}", speaking=i % 2 == 0).clip for i in range(4)]
    clips = [pp.Clip(audio=clip.audio, video=clip.video, name=clip.name) for clip in clips]
    found = pp.audit(Toy(shift=-1.0), clips, options=QUICK, out=tmp_path / "audit")
    assert found.clean == 100 and (tmp_path / "audit" / "audit.html").exists()
    rows = pp.evaluate([Toy("one"), Toy("two", scale=2)], clips, pp.BIM(steps=2), out=tmp_path / "rows")
    assert [row["model"] for row in rows] == ["one", "two"] and rows[0]["clean"]["frame_accuracy"]["value"] == 1
    assert (tmp_path / "rows" / "results.csv").read_text().startswith("model,sha256")
    with pytest.raises(ValueError, match="some clips have labels"):
        pp.evaluate(Toy(), [*clips, toy_example("c", speaking=True).clip])


def test_from_python_an_audit_says_how_it_was_made_and_takes_no_others_place(tmp_path):
    clips = [example.clip for example in toy_examples(2)]
    pp.audit(Toy(), clips, options=QUICK, reference=Toy("plain", scale=2), out=tmp_path)
    told = json.loads((tmp_path / "audit.json").read_text())["command"]
    assert repr(QUICK) in told and "reference='plain'" in told and "point='own'" in told
    pp.audit(Toy(), clips, options=QUICK, reference=Toy("plain", scale=2), out=tmp_path)  # the same goes on
    for more in ({}, {"options": dataclasses.replace(QUICK, queries=7), "reference": Toy("plain", scale=2)}):
        with pytest.raises(ValueError, match="already holds an audit"):
            pp.audit(Toy(), clips, **{"options": QUICK} | more, out=tmp_path)
    pp.audit(Toy(), clips, options=QUICK, out=tmp_path, overwrite=True)
    assert "reference" not in json.loads((tmp_path / "audit.json").read_text())["command"]


def test_the_largest_of_many_rises_is_no_proof_that_one_is_there():
    """One of twelve budgets does less by chance alone: without correction that would be told of nearly every model."""
    rng, up = np.random.default_rng(0), 0
    clusters = Clusters([f"c{i}" for i in range(40)], replicates=500)
    for _ in range(40):
        ladders = [[left_right(*rng.binomial(25, 0.5, 40), frames=25) for _ in range(5)] for _ in range(3)]
        found = flag("not_monotone", checks.won_back(clusters, ladders))
        up += found.passed is False and found.sure
    assert up <= 4


class Framed(Toy):
    """Looks at the middle of the picture alone."""

    def forward(self, inputs):
        return super().forward(inputs | {"video": inputs["video"][:, :, 8:104, 8:104]})


@pytest.mark.parametrize(
    ("detector", "silent", "share"),
    [(Toy(), False, 0), (Framed(), False, 0), (Toy(), True, 0), (Toy(scale=5000), False, 1)],
    ids=["plain", "looks at the middle", "a silent clip", "saturated"],
)
def test_zero_gradients_are_of_what_the_detector_looks_at_and_what_moves(detector, silent, share):
    examples = toy_examples()
    if silent:
        clip = examples[0].clip
        mute = dataclasses.replace(clip, audio=np.zeros_like(clip.audio))
        examples[0] = dataclasses.replace(examples[0], clip=mute)
    clusters = Clusters([example.base for example in examples])
    assert checks.zero_gradients(clusters, Subject.of(detector), examples).value == share


class Rounding(Toy):
    """Rounds the picture to multiples of ``step`` grey levels, as files do at 1, with the gradient of no rounding."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def forward(self, inputs):
        video = inputs["video"]
        coarse = self.step * (video / self.step).round()
        return super().forward(inputs | {"video": video + (coarse - video).detach()})


@pytest.mark.parametrize("step", [1, 2, 4])
def test_rounding_with_a_made_up_gradient_is_a_lie_also_of_pictures_that_are_whole_grey_levels(step):
    """A probe of a whole grey level would take them through the rounding as if there were none."""
    rng = np.random.default_rng(0)

    def of_file(example):
        video = rng.integers(100, 156, example.clip.video.shape).astype(np.float32)
        return dataclasses.replace(example, clip=dataclasses.replace(example.clip, video=video))

    examples = [of_file(example) for example in toy_examples(4)]
    assert flag("lying_gradients", checks.slope_error(Subject.of(Toy()), examples)).passed
    assert checks.slope_error(Subject.of(Rounding(step)), examples) > 0.9


class Deaf(Toy):
    """Hears how loud it is, by its gradient; in truth the sound is all one to it."""

    def features(self, inputs):
        loud = inputs["audio"].unflatten(1, (-1, SAMPLES_PER_FRAME)).square().mean(-1).clamp(min=1e-10).log()
        return loud - loud.detach(), super().features(inputs)[1]


def test_the_truth_of_one_modality_does_not_hide_the_lie_of_the_other():
    """A silent clip has no gradient to tell of, so that there are fewer lies than truths."""
    examples = toy_examples(8)
    mute = dataclasses.replace(examples[0].clip, audio=np.zeros_like(examples[0].clip.audio))
    examples[0] = dataclasses.replace(examples[0], clip=mute)
    assert checks.slope_error(Subject.of(Deaf()), examples) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"ladder": "10"}, "ladder"),
        ({"ladder": "10,10"}, "ladder"),
        ({"ladder": "1.2,1.8"}, "whole"),
        ({"ladder": "5,ten"}, "ladder is one or several numbers"),
        ({"eps_av": math.nan}, "finite"),
        ({"budgets": "5,1"}, "budgets"),
        ({"queries": 0}, "queries"),
        ({"eps_av": 0}, "eps_av"),
    ],
)
def test_options_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        AuditOptions(**changes)
