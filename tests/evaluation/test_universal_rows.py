"""Universal noise on unseen clips: what the rows say, against counts made by hand, and the figure of them."""

import json

import numpy as np
import pytest
import torch
from universal_support import LinearDetector, grey_clip

from pushpull import universal
from pushpull.attacks import FitOptions, fit_universal, paper_budget
from pushpull.attacks.looped import apply, full_budget
from pushpull.evaluation.examples import Example, set_hash
from pushpull.evaluation.statistics import Clusters
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.universal import Counts, UniversalOptions, difference, offset_of, share, universal_rows
from pushpull.evaluation.universal_study import run_universal
from pushpull.plots.universal import noise_figure, universal_figure

OPTIONS = UniversalOptions(draws=2)
BIAS = 5.0  # most clips speak, by a margin that a fitted noise takes and a random one does not


def examples_of(count=6, labels=(1, 1, 0, 1), frames=(4, 3)):
    """Clips of two lengths, none of them among those that the noise was fitted on."""
    found = []
    for number in range(count):
        length = frames[number % len(frames)]
        clip = grey_clip(length, 100 + number, labels[:length])
        found.append(Example(clip, "in_sync", f"c{number}", "toys"))
    return found


def linear(bias=BIAS, **card):
    detector = LinearDetector(bias)
    detector.card |= card
    return Subject.of(detector)


@pytest.fixture(scope="module")
def noise():
    options = FitOptions(goal="silence", steps=30, batch=4, frames=4, loop=1000)
    facts = {"detector": {"name": "linear", "sha256": "0" * 64}}
    clips = [grey_clip(4, seed) for seed in range(4)]
    return fit_universal(LinearDetector(BIAS), clips, budgets=paper_budget(20), options=options, facts=facts)


@pytest.fixture(scope="module")
def rows(noise):
    return universal_rows(linear(), examples_of(), [noise], OPTIONS)


def row_of(rows, condition, column="adversarial"):
    return next(row for row in rows if (row["condition"], row["column"]) == (condition, column))


def test_a_fitted_noise_silences_clips_it_has_never_seen_and_random_noise_does_not(rows):
    fitted, random = row_of(rows, "fitted"), row_of(rows, "random")
    assert fitted["silenced"]["value"] == 1 > 0.2 > random["silenced"]["value"]
    assert fitted["beyond_random"]["value"] == pytest.approx(fitted["flipped"]["value"] - random["flipped"]["value"])
    assert row_of(rows, "random")["beyond_random"] == {"value": 0, "low": 0, "high": 0, "clusters": 6}
    assert {(row["condition"], row["column"]) for row in rows} == {
        (condition, column) for condition in ("fitted", "scrambled", "random") for column in ("adversarial", "stored")
    }


def test_rows_say_what_was_measured_and_json_holds_them(rows, noise):
    row = row_of(rows, "fitted")
    said = {"detector": "linear", "set": "toys", "set_hash": set_hash(examples_of()), "goal": "silence"}
    said |= {"noise": noise.sha256, "white_box": True, "eps_av": 20, "clips": 6, "frames": 21, "modality": "both"}
    assert said.items() <= row.items()
    assert row["psnr_db"] == pytest.approx(20 * np.log10(255 / 2), abs=0.1)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    other = linear(name="other", sha256="1" * 64)
    transfer = universal_rows(other, examples_of(), [noise], OPTIONS)[0]
    assert not transfer["white_box"] and transfer["fitted_on"] == "linear" and transfer["detector"] == "other"


@pytest.mark.parametrize("batch", [1, 8])
def test_counts_are_those_of_the_clips_one_by_one(noise, batch):
    model, examples = LinearDetector(1.0), examples_of()
    row = row_of(universal_rows(linear(1.0), examples, [noise], UniversalOptions(draws=1, batch=batch)), "fitted")
    flipped = right = 0
    with torch.no_grad():
        for index, example in enumerate(examples):
            moved = apply(example.clip, noise, offset_of(index, noise, 0))
            before, after = ((model(clip.inputs()).margin[0] > 0).numpy() for clip in (example.clip, moved))
            flipped, right = flipped + (before != after).sum(), right + (after == (example.clip.labels == 1)).sum()
    assert row["flipped"]["value"] == pytest.approx(flipped / 21) and row["accuracy"]["value"] == right / 21


def test_a_detector_decides_at_its_own_threshold(noise):
    """Where the threshold takes the bias away, half of the frames were silent before."""
    row = universal_rows(linear(threshold=BIAS), examples_of(), [noise], OPTIONS)[0]
    assert row["flipped"]["value"] < 0.9 and row["silenced"]["value"] == 1


def test_offsets_differ_between_clips_and_not_between_runs(noise):
    found = [offset_of(index, noise, 0) for index in range(20)]
    assert len(set(found)) > 15 and all(0 <= offset < 1000 for offset in found)
    assert found == [offset_of(index, noise, 0) for index in range(20)]


def test_less_than_half_a_grey_level_does_not_survive_a_file():
    eps = {"video": 0.4}
    picture = full_budget({"video": -torch.sign(LinearDetector().video.detach())}, eps, {})
    rows = universal_rows(linear(2.0), examples_of(), [picture], OPTIONS)
    assert row_of(rows, "fitted")["silenced"]["value"] > 0.3
    assert row_of(rows, "fitted", "stored")["flipped"] == {"value": 0, "low": 0, "high": 0, "clusters": 6}


def test_pieces_of_a_video_are_one_base_clip_and_have_no_labels(noise):
    row = universal_rows(linear(), examples_of(), [noise], OPTIONS, own_labels=True)[0]
    assert row["accuracy"] is None is row["clean_accuracy"]
    assert row["flipped"]["value"] > 0.5 and row["flipped"]["clusters"] == 1 and row["flipped"]["low"] is None


def test_intervals_are_over_base_clips():
    labels = np.ones(10, np.int64)
    counts = [Counts.of(np.ones(10, bool), np.zeros(10, bool), labels)] * 5
    counts += [Counts.of(np.ones(10, bool), np.ones(10, bool), labels)] * 5
    wide, narrow = (
        share(Clusters(names), counts, "flipped", "frames") for names in (["a"] * 5 + ["b"] * 5, list("abcdefghij"))
    )
    assert (wide["low"], wide["value"], wide["high"]) == (0, 0.5, 1)
    assert 0 < narrow["low"] < 0.5 < narrow["high"] < 1
    assert share(Clusters(list("abcdefghij")), counts, "raised", "silent") is None, "nobody was silent"


def test_differences_are_paired():
    """Clips differ a lot; the second noise flips one frame in ten less in each of them."""
    flips = [np.r_[np.zeros(n, bool), np.ones(10 - n, bool)] for n in range(1, 10)]
    before, labels = np.ones(10, bool), np.ones(10, np.int64)
    counts = [Counts.of(before, after, labels) for after in flips]
    others = [Counts.of(before, np.r_[after[1:], True], labels) for after in flips]
    found = difference(Clusters(list("abcdefghi")), counts, others)
    assert all(found[key] == pytest.approx(0.1) for key in ("value", "low", "high"))


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"batch": 0}, {"seed": -1}])
def test_options_refuse_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        UniversalOptions(**wrong)


def test_no_examples_are_refused(noise):
    with pytest.raises(ValueError, match="at least one example"):
        universal_rows(linear(), [], [noise], OPTIONS)


def test_the_figure_has_a_panel_for_each_goal_detector_and_set(rows):
    others = [row | {"goal": "flip", "set": "others", "white_box": False, "eps_av": 10.0} for row in rows]
    figure = universal_figure([*rows, *others])
    assert len(figure.axes) == 4 and len(universal_figure(rows).axes) == 1
    assert {axes.get_ylabel() for axes in figure.axes} >= {"speaking frames silenced (%)", "frames flipped (%)"}
    drawn = [line.get_ydata().tolist() for line in universal_figure(rows).axes[0].lines]
    assert drawn[0] == [100.0], "the fitted noise comes first"
    with pytest.raises(ValueError, match="at least one row"):
        universal_figure([])


@pytest.mark.parametrize(("modality", "panels"), [("both", 4), ("audio", 2), ("video", 2)])
def test_the_picture_of_a_noise_shows_what_it_has(noise, modality, panels):
    parts = {name: values for name, values in noise.parts.items() if modality in ("both", name)}
    alone = full_budget({n: v / noise.eps[n] for n, v in parts.items()}, {n: noise.eps[n] for n in parts}, {})
    assert len(noise_figure(alone, "title").axes) == panels


def tried(noise, out, *, subject=None, count=6, overwrite=False, **options):
    """What a test of a noise wrote: results.json as text."""
    options = UniversalOptions(**{"draws": 1} | options)
    subjects = [subject or linear()]
    run_universal(subjects, lambda _: examples_of(count), [noise], out, options, overwrite=overwrite)
    return (out / "results.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"draws": 2}, "draws (1 -> 2)"),
        ({"seed": 1}, "seed (0 -> 1)"),
        ({"count": 4}, "set ("),
        ({"subject": linear(sha256="1" * 64)}, "models (linear 0000000000000000 -> linear 1111111111111111)"),
        ({"subject": linear(point={"name": "own", "threshold": 1.5})}, "thresholds.linear (0.0 -> 1.5)"),
    ],
)
def test_finished_results_of_something_else_are_kept(noise, tmp_path, change, named):
    tried(noise, tmp_path)
    before = tried(noise, tmp_path, batch=2)  # the same again, in other batches
    with pytest.raises(ValueError, match="--overwrite") as refused:
        tried(noise, tmp_path, **change)
    assert named in str(refused.value)
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == before
    assert tried(noise, tmp_path, overwrite=True, **change) != before


@pytest.mark.parametrize(
    ("where", "split", "sources", "said"),
    [
        ("--videos", None, ["toys"], "fitted on clips of toys as well"),  # whatever pieces of it, and how many
        ("--videos", None, ["others"], ""),
        ("--videos", "train", ["toys"], ""),  # data of a folder of that name
        ("--data", "test", ["others", "toys"], "fitted on clips of toys as well"),
        ("--data", "train", ["toys"], ""),
    ],
)
def test_clips_that_a_noise_was_fitted_on_are_told_of(where, split, sources, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(universal, "load_subjects", lambda *_: [linear()])
    monkeypatch.setattr(universal, "_examples", lambda given, crop: examples_of(2))
    fitted = full_budget({"audio": torch.ones(10)}, {"audio": 1e-4}, {"data": {"split": split, "sources": sources}})
    path = str(fitted.save(tmp_path / "n"))
    assert universal.main(["test", path, where, "toys", "--draws", "1", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert said in told and ("fitted on" in told) is bool(said)


def test_results_of_another_noise_are_kept(noise, tmp_path):
    tried(noise, tmp_path)
    with pytest.raises(ValueError, match="noises"):
        tried(full_budget({"audio": torch.ones(10)}, {"audio": 1e-4}, {}), tmp_path)
