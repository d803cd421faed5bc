"""Universal noise on unseen clips: what the rows say, against counts made by hand, and the figure of them."""

import json

import numpy as np
import pytest
import torch
from perturb_support import write_people
from universal_support import LinearDetector, grey_clip

from pushpull.attacks import FitOptions, fit_universal, paper_budget
from pushpull.attacks.looped import apply, full_budget
from pushpull.evaluation.universal import Counts, UniversalOptions, difference, offset_of, share, universal_rows
from pushpull.evaluation.universal_clips import Sample, Samples, read_samples
from pushpull.plots.universal import noise_figure, universal_figure

OPTIONS = UniversalOptions(draws=2, resamples=200)
BIAS = 5.0  # most clips speak, by a margin that a fitted noise takes and a random one does not


def samples_of(count=6, labels=(1, 1, 0, 1), frames=(4, 3)):
    """Clips of two lengths, none of them among those that the noise was fitted on."""
    clips = []
    for number in range(count):
        length = frames[number % len(frames)]
        clips.append(grey_clip(length, 100 + number, None if labels is None else labels[:length], f"c{number}"))
    return Samples("toy test", "f00d", [Sample(clip.name, clip) for clip in clips])


@pytest.fixture(scope="module")
def noise():
    options = FitOptions(goal="silence", steps=30, batch=4, frames=4, loop=1000)
    facts = {"detector": {"name": "linear", "sha256": "0" * 64}}
    clips = [grey_clip(4, seed) for seed in range(4)]
    return fit_universal(LinearDetector(BIAS), clips, budgets=paper_budget(20), options=options, facts=facts)


@pytest.fixture(scope="module")
def rows(noise):
    return universal_rows(LinearDetector(BIAS), samples_of(), [noise], OPTIONS)


def row_of(rows, condition, column="adversarial"):
    return next(row for row in rows if (row["condition"], row["column"]) == (condition, column))


def test_a_fitted_noise_silences_clips_it_has_never_seen_and_random_noise_does_not(rows):
    fitted, random = row_of(rows, "fitted"), row_of(rows, "random")
    assert fitted["silenced"]["value"] == 1 > 0.2 > random["silenced"]["value"]
    assert fitted["beyond_random"]["value"] == pytest.approx(fitted["flipped"]["value"] - random["flipped"]["value"])
    assert row_of(rows, "random")["beyond_random"] == {"value": 0, "low": 0, "high": 0}
    assert {(row["condition"], row["column"]) for row in rows} == {
        (condition, column) for condition in ("fitted", "scrambled", "random") for column in ("adversarial", "stored")
    }


def test_rows_say_what_was_measured_and_json_holds_them(rows, noise):
    row = row_of(rows, "fitted")
    said = {"detector": "linear", "set": "toy test", "set_fingerprint": "f00d", "goal": "silence", "modality": "both"}
    said |= {"noise": noise.sha256, "white_box": True, "eps_av": 20, "clips": 6, "bases": 6, "frames": 21}
    assert said.items() <= row.items()
    assert row["psnr_db"] == pytest.approx(20 * np.log10(255 / 2), abs=0.1)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    other = LinearDetector(BIAS)
    other.card = {"name": "other", "sha256": "1" * 64}
    assert not universal_rows(other, samples_of(), [noise], OPTIONS)[0]["white_box"]


@pytest.mark.parametrize("together", [1, 8])
def test_counts_are_those_of_the_clips_one_by_one(noise, together):
    model, samples = LinearDetector(1.0), samples_of()
    options = UniversalOptions(draws=1, resamples=10, together=together)
    row = row_of(universal_rows(model, samples, [noise], options), "fitted")
    flipped = right = 0
    with torch.no_grad():
        for index, sample in enumerate(samples.clips):
            moved = apply(sample.clip, noise, offset_of(index, noise, options))
            before, after = ((model(clip.inputs()).margin[0] > 0).numpy() for clip in (sample.clip, moved))
            flipped, right = flipped + (before != after).sum(), right + (after == (sample.clip.labels == 1)).sum()
    assert row["flipped"]["value"] == pytest.approx(flipped / 21) and row["accuracy"]["value"] == right / 21


def test_offsets_differ_between_clips_and_not_between_runs(noise):
    found = [offset_of(index, noise, OPTIONS) for index in range(20)]
    assert len(set(found)) > 15 and all(0 <= offset < 1000 for offset in found)
    assert found == [offset_of(index, noise, OPTIONS) for index in range(20)]


def test_less_than_half_a_grey_level_does_not_survive_a_file():
    eps = {"video": 0.4}
    picture = full_budget({"video": -torch.sign(LinearDetector().video.detach())}, eps, {})
    rows = universal_rows(LinearDetector(2.0), samples_of(), [picture], OPTIONS)
    assert row_of(rows, "fitted")["silenced"]["value"] > 0.3
    assert row_of(rows, "fitted", "stored")["flipped"] == {"value": 0, "low": 0, "high": 0}


def test_without_labels_there_is_no_accuracy(noise):
    row = universal_rows(LinearDetector(BIAS), samples_of(labels=None), [noise], OPTIONS)[0]
    assert row["accuracy"] is None is row["clean_accuracy"] and row["flipped"]["value"] > 0.5


def test_intervals_are_over_base_clips():
    counts = [Counts.of(np.ones(10, bool), np.zeros(10, bool), None)] * 5
    counts += [Counts.of(np.ones(10, bool), np.ones(10, bool), None)] * 5
    assert share(counts, ["a"] * 10, "flipped", "frames", OPTIONS) == {"value": 0.5, "low": None, "high": None}
    wide = share(counts, ["a"] * 5 + ["b"] * 5, "flipped", "frames", OPTIONS)
    narrow = share(counts, list("abcdefghij"), "flipped", "frames", OPTIONS)
    assert (wide["low"], wide["value"], wide["high"]) == (0, 0.5, 1)
    assert 0 < narrow["low"] < 0.5 < narrow["high"] < 1
    assert share(counts, list("abcdefghij"), "raised", "silent", OPTIONS) is None, "nobody was silent"


def test_differences_are_paired():
    """Clips differ a lot; the second noise flips one frame in ten less in each of them."""
    flips = [np.r_[np.zeros(n, bool), np.ones(10 - n, bool)] for n in range(1, 10)]
    before = np.ones(10, bool)
    counts = [Counts.of(before, after, None) for after in flips]
    others = [Counts.of(before, np.r_[after[1:], True], None) for after in flips]
    found = difference(counts, others, list("abcdefghi"), OPTIONS)
    assert all(value == pytest.approx(0.1) for value in found.values())


def test_options_refuse_what_makes_no_sense():
    for wrong in ({"draws": 0}, {"together": 0}, {"resamples": 0}, {"level": 1.0}, {"seed": -1}):
        with pytest.raises(ValueError, match="at least 1"):
            UniversalOptions(**wrong)


def test_every_face_of_a_video_is_a_clip(tmp_path):
    write_people(tmp_path / "two.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    found = read_samples(f"videos:{tmp_path}", split="test", count=9)
    assert [sample.base for sample in found.clips] == ["two.mp4"] * 2 and found.clips[0].clip.labels is None
    assert len(read_samples(f"videos:{tmp_path / 'two.mp4'}", split="test", count=1).clips) == 1


def test_footage_gives_kinds_in_turn(footage):
    found = read_samples("deep/films", split="train", count=3, kinds=["in_sync", "noise"])
    assert [sample.clip.name.rsplit("-", 1)[1] for sample in found.clips][:2] == ["in_sync", "noise"]
    assert found.fingerprint == footage["train"].fingerprint and found.name == "films train"
    assert found.clips[0].clip.name == read_samples("deep/films", split="train", count=1).clips[0].clip.name


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"split": "all"}, "split is train"), ({"count": 0}, "at least one clip"), ({"kinds": ["sung"]}, "kinds are"),
     ({"kinds": []}, "kinds are")],
)  # fmt: skip
def test_samples_that_cannot_be_had_are_refused(tmp_path, wrong, says):
    with pytest.raises(ValueError, match=says):
        read_samples(f"videos:{tmp_path}", **{"split": "test", "count": 1} | wrong)


def test_the_figure_has_a_panel_for_each_goal_detector_and_set(rows):
    others = [row | {"goal": "flip", "set": "others", "white_box": False, "eps_av": 10.0} for row in rows]
    panels = [axes for axes in universal_figure([*rows, *others]).axes if axes.get_xlabel() or axes.get_ylabel()]
    assert len(universal_figure([*rows, *others]).axes) == 4 and len(universal_figure(rows).axes) == 1
    assert {axes.get_ylabel() for axes in panels} >= {"speaking frames silenced (%)", "frames flipped (%)"}
    line = next(
        line for line in universal_figure(rows).axes[0].lines if line.get_label() == "fitted on other clips, as fitted"
    )
    assert line.get_ydata().tolist() == [100.0]
    with pytest.raises(ValueError, match="at least one row"):
        universal_figure([])


@pytest.mark.parametrize(("modality", "panels"), [("both", 4), ("audio", 2), ("video", 2)])
def test_the_picture_of_a_noise_shows_what_it_has(noise, modality, panels):
    parts = {name: values for name, values in noise.parts.items() if modality in ("both", name)}
    alone = full_budget({n: v / noise.eps[n] for n, v in parts.items()}, {n: noise.eps[n] for n in parts}, {})
    assert len(noise_figure(alone, "title").axes) == panels
