"""Attacks on many examples: what is recorded, that nothing is done twice, and that stopping loses nothing."""

import csv
import dataclasses

import numpy as np
import pytest
import torch
from evaluation_support import Toy, toy_example, toy_examples

import pushpull as pp
from pushpull.attacks import BIM, PGD
from pushpull.detectors import wrap
from pushpull.detectors.windowed import Windowed, windowed
from pushpull.evaluation.crafting import Condition, Evaluator
from pushpull.evaluation.records import RecordStore
from pushpull.evaluation.studies import STUDIES, study_rows
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.summary import Subset, chosen_correct, summarise, worst_of


def evaluator(*detectors, examples=None, **options):
    detectors = detectors or (Toy(),)
    return Evaluator([Subject.of(d) for d in detectors], examples or toy_examples(), **options)


def test_an_attack_within_reach_flips_every_frame_and_one_without_none():
    # A clip's score is 0.3; a unit of eps_av moves the picture by 0.1 grey levels and the sound by 1e-4, times 1000.
    found = evaluator()
    for eps_av, left in ((0.5, 1.0), (3, 0.0)):
        figures = summarise(Subset.of(found.examples), found.run(Condition(source="toy", eps_av=eps_av))["toy"])
        assert figures["adversarial"]["frame_accuracy"]["value"] == left
        assert figures["worst_case"]["value"] == left
        assert figures["clean"]["average_precision"]["value"] == 1.0
        assert figures["floor"] == 0.5


@pytest.mark.parametrize("batch", (1, 4))
def test_records_do_not_depend_on_the_batch(batch):
    condition = Condition(source="toy", attack=PGD(steps=2, restarts=2), eps_av=2)
    one, other = evaluator(batch=3).run(condition)["toy"], evaluator(batch=batch).run(condition)["toy"]
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.adversarial, b.adversarial)
        np.testing.assert_array_equal(a.ever, b.ever)


def test_what_is_on_disk_is_read_and_not_attacked_again(tmp_path):
    class Once(Toy):
        def forward(self, inputs):
            if torch.is_grad_enabled() and inputs["video"].requires_grad:
                attacked.append(len(inputs["video"]))
            return super().forward(inputs)

    attacked, condition = [], Condition(source="toy", attack=BIM(steps=2))
    first = evaluator(Once(), folder=tmp_path).run(condition)["toy"]
    assert attacked
    attacked.clear()
    again = evaluator(Once(), folder=tmp_path).run(condition)["toy"]
    assert not attacked
    for a, b in zip(first, again, strict=True):
        np.testing.assert_allclose(a.adversarial, b.adversarial, rtol=1e-5)
        np.testing.assert_array_equal(a.ever, b.ever)
        np.testing.assert_array_equal(a.labels, b.labels)


def test_gradients_may_be_in_bfloat16_but_decisions_are_told_in_float32(tmp_path):
    class Watched(Toy):
        def forward(self, inputs):
            seen.append((inputs["video"].requires_grad, torch.is_autocast_enabled("cpu")))
            return super().forward(inputs)

    seen = []
    for precision in ("float32", "bfloat16"):
        condition = Condition(source="toy", attack=BIM(steps=2), precision=precision)
        seen.clear()
        found = evaluator(Watched(), folder=tmp_path)
        assert found.missing(condition) == len(found.examples)  # those of the other precision are not taken for these
        found.run(condition)
        steps, scores = ({lower for grad, lower in seen if grad is step} for step in (True, False))
        assert steps == {precision == "bfloat16"} and False in scores
        assert {record.adversarial.dtype for record in found.run(condition)["toy"]} == {np.dtype("float32")}
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        Condition(source="toy", precision="float16")


@pytest.mark.parametrize(("shift", "by_copy"), [(0.0, True), (1e-5, True), (0.1, False)])
def test_scores_are_the_detectors_even_if_its_copy_for_attacks_says_otherwise(shift, by_copy):
    class Copied(Toy):
        def fast(self):
            return Toy(shift=shift)

        def forward(self, inputs):
            calls.append(1)
            return super().forward(inputs)

    calls, subject = [], Subject.of(Copied())
    said = [subject.score(example.clip.inputs()).margin for example in toy_examples(3)]
    assert len(calls) == (1 if by_copy else 3)
    for example, margin in zip(toy_examples(3), said, strict=True):
        torch.testing.assert_close(margin, Toy()(example.clip.inputs()).margin.detach(), atol=2e-5, rtol=0)


def test_a_stopped_evaluation_goes_on_with_what_is_missing_even_after_half_a_line(tmp_path):
    condition = Condition(source="toy", attack=BIM(steps=2))
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > 4  # in the second batch

    with pytest.raises(KeyboardInterrupt):
        evaluator(folder=tmp_path, batch=2, cancelled=cancelled).run(condition)
    path = next(tmp_path.glob("*.jsonl"))
    with open(path, "a") as file:
        file.write('[{"example": "toys/cl')
    going_on = evaluator(folder=tmp_path, batch=2)
    assert going_on.missing(condition) == 4
    records = going_on.run(condition)["toy"]
    whole = evaluator(batch=2).run(condition)["toy"]
    assert [r.example for r in records] == [r.example for r in whole]
    np.testing.assert_allclose([r.loss for r in records], [r.loss for r in whole], rtol=1e-5)


def test_shards_together_have_every_example_once(tmp_path):
    condition = Condition(source="toy", attack=BIM(steps=2))
    counts = [
        len(evaluator(folder=tmp_path, batch=1, shard=shard, shards=3).run(condition)["toy"]) for shard in range(3)
    ]
    assert counts == [2, 4, 6]  # each reads what the others have left
    assert evaluator(folder=tmp_path).missing(condition) == 0
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.glob("*.jsonl")) == 6


@pytest.mark.parametrize(
    "change",
    ({"eps_av": 2.0}, {"seed": 1}, {"attack": BIM(steps=3)}, {"objective": "margin"}, {"modality": "audio"}),
)
def test_other_conditions_have_other_records(change):
    base = {"source": "toy", "attack": BIM(steps=2)}
    keys = [RecordStore(None, evaluator().key(Condition(**c))).name for c in (base, base | change)]
    assert keys[0] != keys[1]


def test_an_attack_that_nobody_registered_is_known_by_its_code():
    def attack(size):
        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Mine(BIM):
            def update(self, x, gradient, loss, memory, box, streams):
                moved = super().update(x, gradient, loss, memory, box, streams)
                return {name: x[name] + size * (values - x[name]) for name, values in moved.items()}

        return Mine(steps=2)

    keys = [evaluator().key(Condition(source="toy", attack=attack(size))) for size in (1, 1, 0.5)]
    assert keys[0] == keys[1] != keys[2]
    assert "attack_code" not in evaluator().key(Condition(source="toy"))
    row = pp.evaluate(Toy(), [example.clip for example in toy_examples()], attack(1))[0]
    assert row["adversarial"]["frame_accuracy"]["value"] == 0


def test_other_weights_or_examples_have_other_records():
    condition = Condition(source="toy")
    names = {RecordStore(None, found.key(condition)).name for found in (
        evaluator(), evaluator(Toy(scale=1.0)), evaluator(examples=toy_examples(4)),
    )}  # fmt: skip
    assert len(names) == 2
    changed = Toy()
    changed.gain.data[0] = 2
    assert Subject.of(changed).sha256 != Subject.of(Toy()).sha256


def test_other_windows_than_the_files_have_other_records():
    card = {"sha256": "f" * 64, "window_seconds": 2.0}
    said, other, short = (
        Subject.of(wrapped).sha256
        for wrapped in (windowed(Toy(card=card)), Windowed(Toy(card=card), 1.0), Windowed(Toy(card=card), 0.5))
    )
    assert said == "f" * 64 and len({said, other, short}) == 3


def test_transfer_is_scored_by_the_target_and_iterates_are_the_sources_alone():
    strong, weak = Toy("strong"), Toy("weak", shift=0.0, scale=3.0)
    found = evaluator(strong, weak).run(Condition(source="strong", targets=("strong", "weak"), eps_av=3))
    assert found["strong"][0].ever is not None and found["weak"][0].ever is None
    assert [r.target for r in found["weak"]] == ["weak"] * 6
    np.testing.assert_allclose(found["weak"][0].adversarial, 3 * found["strong"][0].adversarial, rtol=1e-4)


def test_a_detector_decides_at_its_own_threshold():
    subject = Subject.of(Toy(card={"threshold": 0.5}))
    found = Evaluator([subject], toy_examples())
    right = found.right("toy")
    assert [r.all() for r in right] == [False, True] * 3  # a score of 0.3 is below 0.5
    plain = Subject.of(Toy()).score(toy_examples()[0].clip.inputs()).margin
    moved = subject.score(toy_examples()[0].clip.inputs()).margin
    torch.testing.assert_close(moved, plain - 0.5)


def test_a_detector_without_heads_or_embeddings_is_evaluated_and_says_what_is_missing():
    detector = wrap(lambda audio, video: video.flatten(2).mean(-1) - 128, name="bare")
    found = evaluator(detector)
    records = found.run(Condition(source="bare", eps_av=4))["bare"]
    figures = summarise(Subset.of(found.examples), records)
    assert figures["adversarial"]["frame_accuracy"]["value"] == 0.0
    assert figures["ecr_a"] is None and figures["norm_v"] is None
    told = [
        next(
            iter(
                study_rows(STUDIES["table1"], found, [Condition(source="bare", attack=BIM(steps=1), objective=wanted)])
            )
        )
        for wanted in ("training_aware", "features", "margin")
    ]
    assert [row["objective"] for row in told] == ["inference_aware", "inference_aware", "margin"]


def test_own_labels_are_what_the_detector_says_of_the_unattacked_clip():
    wrong = [toy_example("clip", speaking=True, strength=-0.3)]
    found = evaluator(examples=wrong, own_labels=True)
    record = found.run(Condition(source="toy", eps_av=1))["toy"][0]
    assert not record.labels.any() and found.right("toy")[0].all()


def test_worst_of_takes_the_strongest_attack_of_each_clip_and_every_frame_that_any_won():
    found = evaluator()
    weak, strong = (found.run(Condition(source="toy", eps_av=eps))["toy"] for eps in (1, 3))
    mixed = [[*weak[:3], *strong[3:]], [*strong[:3], *weak[3:]]]
    worst = worst_of(mixed)
    assert [r.adversarial.tolist() for r in worst] == [r.adversarial.tolist() for r in strong]
    assert all(r.ever.all() for r in worst)
    with pytest.raises(ValueError, match="no attacks"):
        worst_of([])


@pytest.mark.parametrize("column", ["clean", "adversarial"])
def test_a_frame_that_is_wrong_before_or_after_is_not_one_that_never_was(column):
    """Iterates may have been decided in bfloat16, where a frame on the brink falls on the other side."""
    found = evaluator()
    record, *others = found.run(Condition(source="toy", eps_av=0.01))["toy"]
    assert not record.ever.any()
    brink = dataclasses.replace(record, **{column: np.where(np.arange(6) < 2, -1, 1) * getattr(record, column)})
    told = summarise(Subset.of(found.examples), [brink, *others])
    frames = sum(len(each.labels) for each in (record, *others))
    assert told["worst_case"]["value"] == pytest.approx(1 - 2 / frames)
    assert worst_of([[record], [brink]])[0].ever.sum() == 2


def test_of_several_attacks_from_python_the_last_row_is_the_worst_case_clip_by_clip():
    clips = [example.clip for example in toy_examples()]
    (one,) = pp.evaluate(Toy(heads=False), clips, BIM(steps=1))
    assert (one["attack"], one["objective"]) == ("bim", "inference_aware")
    rows = pp.evaluate(Toy(), clips, [BIM(steps=1), pp.Noise(steps=1)], eps_av=0.9, objective=("margin", "features"))
    told = [(row["attack"], row["objective"]) for row in rows]
    assert told == [(a, o) for a in ("bim", "noise") for o in ("margin", "features")] + [("worst case", "all")]
    right = [row["adversarial"]["frame_accuracy"]["value"] for row in rows]
    assert right[-1] <= min(right[:-1]) < max(right[:-1])


def test_results_from_python_say_what_was_measured_and_gather_in_one_table(tmp_path):
    clips = [example.clip for example in toy_examples()]

    def table() -> list[dict]:
        with open(tmp_path / "results.csv", newline="") as file:
            return list(csv.DictReader(file))

    for eps_av in (1, 5, 1.0):
        pp.evaluate(Toy(), clips, [BIM(steps=2), pp.PGD(steps=1, restarts=1)], eps_av=eps_av, out=tmp_path)
    assert [(row["attack"], row["eps_av"]) for row in table()] == [
        (attack, eps_av) for eps_av in ("5.0", "1.0") for attack in ("bim", "pgd", "worst case")
    ], "what is measured again takes its old place, and nothing else is lost"
    told = table()[0]
    assert (told["parameters.steps"], told["modality"], told["seed"]) == ("2", "both", "0") and len(told["clips"]) == 16
    pp.evaluate(Toy(), clips[:2], BIM(steps=2), eps_av=5, out=tmp_path)
    assert len(table()) == 7, "other clips are another measurement"


def test_correct_examples_are_those_that_all_models_get_right():
    right = [[np.array([1, 1]), np.array([1, 0])], [np.array([1, 1]), np.array([1, 1])]]
    assert chosen_correct(right).tolist() == [True, False]
    assert chosen_correct(right, 0.5).tolist() == [True, True]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Evaluator([], toy_examples()), "different names"),
        (lambda: evaluator(Toy(), Toy()), "different names"),
        (lambda: evaluator(examples=toy_examples() * 2), "each of them once"),
        (lambda: Subset.of(toy_examples(), np.zeros(6)), "no example is in the set"),
        (lambda: pp.evaluate(Toy(), [toy_example("a", speaking=True).clip], seed=-1), "seed must be >= 0"),
        (lambda: pp.evaluate(Toy(), [toy_example("a", speaking=True).clip], seed=1.5), "seed must be >= 0"),
        (lambda: pp.evaluate(Toy(), [toy_example("a", speaking=True).clip], []), "at least one attack"),
        (lambda: pp.evaluate(Toy(), [toy_example("a", speaking=True).clip], objective=["margin", "no"]), "unknown"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_ensemble_attacks_all_of_its_members_and_scores_one_that_is_none():
    # One sees only the sound, the other only the picture: an attack by way of either leaves the other alone.
    deaf, blind, both = Toy("deaf"), Toy("blind"), Toy("both")
    deaf.gain.data[0] = blind.gain.data[1] = 0
    found = evaluator(deaf, blind, both)
    condition = Condition(source="deaf", ensemble=("blind",), targets=("both",), objective="inference_aware", eps_av=2)
    assert condition.attacked == "deaf + blind"
    moved = found.run(condition)["both"][0]
    alone = found.run(Condition(source="deaf", targets=("both",), objective="inference_aware", eps_av=2))["both"][0]
    assert moved.ever is None
    assert abs(moved.adversarial - moved.clean).mean() > 1.5 * abs(alone.adversarial - alone.clean).mean()
