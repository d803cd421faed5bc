"""Figures: what they show, that they survive odd clips, and that they leave matplotlib as they found it."""

import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from pushpull.attacks import Step
from pushpull.plots import embedding_figure, perturbation_figure, save, scores_figure, trace_figure
from pushpull.plots.embeddings import fit_plane
from pushpull.plots.perturbation import extremes, pick_frames
from pushpull.plots.scores import probability
from pushpull.plots.style import ARROW, new_figure, runs

T = 30


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def clip_pair(rng, frames=T, level=0.5):
    clean = {"audio": rng.uniform(-0.5, 0.5, frames * 640), "video": rng.uniform(0, 255, (frames, 112, 112))}
    attacked = {name: x + level * rng.uniform(-1, 1, x.shape) for name, x in clean.items()}
    return clean, attacked


def trace(restarts=2, steps=4, zeros=0.0):
    gradients = {"audio": zeros, "video": 0.0}
    return [
        Step(k, steps, r, restarts, 0.1 * k + r, 0.1 * k + r, k / steps, k / steps, {}, gradients, 0.5)
        for k in range(steps + 1)
        for r in range(restarts)
    ]


def draw(figure, tmp_path):
    path = save(figure, tmp_path / "figure.png", dpi=60)
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture.std() > 5, "the picture is empty"
    return picture


def test_scores_are_drawn_in_the_middle_of_their_frames(rng, tmp_path):
    before, after = rng.normal(0, 3, T), rng.normal(0, 3, T)
    figure = scores_figure(before, after, stored=after + 0.1, labels=np.arange(T) > 9, span=(0.2, 0.6), title="clip")
    top, bottom = figure.axes
    lines = {line.get_label(): line for line in top.get_lines()}
    np.testing.assert_allclose(lines["before"].get_xdata()[:2], [0.02, 0.06])
    np.testing.assert_allclose(lines["after"].get_ydata(), 1 / (1 + np.exp(-after)))
    flipped = ((before > 0) != (after > 0)).sum()
    assert f"{flipped} of {T} frames flipped" in top.get_title("left")
    names = [text.get_text() for text in bottom.get_yticklabels()]
    assert names == ["labels", "before", "after", "after, stored"]
    draw(figure, tmp_path)


@pytest.mark.parametrize("frames", [1, 2, 75])
def test_scores_of_short_and_saturated_clips(frames, tmp_path):
    margins = np.full(frames, 2000.0)
    draw(scores_figure(margins, -margins), tmp_path)
    assert probability(-2000.0) == 0.0 and probability(2000.0) == 1.0


def test_scores_must_have_one_length():
    with pytest.raises(ValueError, match=r"after has shape \(3,\), the scores before the attack \(4,\)"):
        scores_figure(np.zeros(4), np.zeros(3))


@pytest.mark.parametrize("frames, level", [(T, 0.5), (1, 0.5), (3, 0.0)])
def test_perturbation_figure_survives_odd_clips(rng, frames, level, tmp_path):
    draw(perturbation_figure(*clip_pair(rng, frames, level), title="title"), tmp_path)


def test_perturbation_colours_are_symmetric_and_in_grey_levels(rng):
    clean, attacked = clip_pair(rng, 8)
    attacked["video"][5] = clean["video"][5] + 3.0
    figure = perturbation_figure(clean, attacked, count=4)
    images = [axes.images[0] for sub in figure.subfigs for axes in sub.axes if axes.images]
    changes = [image for image in images if image.get_clim() != (0, 255)]
    assert len(changes) == 4 and all(image.get_clim() == pytest.approx((-3, 3)) for image in changes)
    assert any(np.allclose(image.get_array(), 3.0) for image in changes)


@pytest.mark.parametrize("count", [1, 3, 5, 40])
@pytest.mark.parametrize("strongest", [0, 7, 29])
def test_frames_shown_include_the_most_changed(count, strongest):
    delta = np.ones((T, 2, 2))
    delta[strongest] = -5.0
    chosen = pick_frames(delta, count)
    assert strongest in chosen and chosen == sorted(set(chosen)) and len(chosen) <= min(count, T)
    assert count == 40 or len(chosen) == count


def test_extremes_keep_every_peak(rng):
    samples = rng.normal(size=5000)
    centres, low, high = extremes(samples, 100)
    assert len(centres) == 100 and low.min() == samples.min() and high.max() == samples.max()
    assert np.array_equal(extremes(samples[:7], 100)[1], samples[:7])


def test_runs():
    assert runs(np.array([1, 1, 0, 1])) == [(0, 2, 1), (2, 3, 0), (3, 4, 1)]
    assert runs(np.array([0])) == [(0, 1, 0)]


def embeddings(rng, frames=T):
    return {name: rng.normal(size=(frames, 8)) for name in ("z_a", "z_v")}


def test_embeddings_are_projected_on_the_plane_of_the_clean_ones(rng, tmp_path):
    clean, attacked, labels = embeddings(rng), embeddings(rng), rng.integers(0, 2, T)
    reference = embeddings(rng, 200) | {"labels": rng.integers(0, 2, 200)}
    figure = embedding_figure(clean, attacked, labels, moved=labels == 1, reference=reference, title="t")
    assert [axes.get_title("left") for axes in figure.axes] == ["z_a: audio", "z_v: video"]
    plane = fit_plane(reference["z_a"])
    drawn = np.concatenate([c.get_offsets() for c in figure.axes[0].collections if len(c.get_offsets()) > 1])
    for point in plane.transform(attacked["z_a"]):
        assert np.abs(drawn - point).sum(1).min() < 1e-9
    draw(figure, tmp_path)
    again = fit_plane(reference["z_a"])
    assert np.array_equal(plane.components_, again.components_)


def test_embeddings_with_one_class_or_one_modality(rng, tmp_path):
    clean = {"z_v": rng.normal(size=(5, 4))}
    figure = embedding_figure(clean, clean, np.zeros(5, int), moved=np.zeros(5, bool))
    assert len(figure.axes) == 1
    draw(figure, tmp_path)


def test_a_plane_needs_two_points(rng):
    with pytest.raises(ValueError, match="at least 2 embeddings"):
        fit_plane(rng.normal(size=(1, 8)))


@pytest.mark.parametrize("restarts", [1, 3])
def test_trace_has_a_line_per_restart_and_the_best(restarts, tmp_path):
    figure = trace_figure(trace(restarts), objective="training_aware", title="PGD")
    left, right = figure.axes
    assert len(left.get_lines()) == len(right.get_lines()) == restarts + (restarts > 1)
    assert left.get_lines()[-1].get_ydata().max() == pytest.approx(0.4 + restarts - 1)
    draw(figure, tmp_path)


def test_trace_shows_zero_gradients_only_where_they_matter():
    assert trace_figure(trace(1, zeros=0.01)).axes[1].get_legend() is None
    labels = [text.get_text() for text in trace_figure(trace(1, zeros=0.5)).axes[1].get_legend().get_texts()]
    assert labels == ["zero gradients, audio"]


def test_trace_of_one_step_and_of_none(tmp_path):
    draw(trace_figure(trace(1)[:1]), tmp_path)
    with pytest.raises(ValueError, match="trace is empty"):
        trace_figure([])


def test_matplotlib_is_left_as_it_was_even_by_threads(rng):
    before = dict(matplotlib.rcParams)
    margins = rng.normal(size=(8, T))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda row: scores_figure(row, -row), margins))
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_dollar_signs_in_names_are_not_read_as_mathematics(rng, tmp_path):
    name = r"a$\frac$b"  # a formula that does not end would stop the figure
    figure = scores_figure(rng.normal(0, 3, T), rng.normal(0, 3, T), title=name)
    figure.axes[1].set_yticks([0, 1], [name, "$x_1$"])
    draw(figure, tmp_path)
    with new_figure(4, 3) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label="$x_1$")
        axes.set_xticks([0, 1], [name, name])
        axes.set_title(name)
        figure.legend(loc="outside upper right")
    draw(figure, tmp_path)
    texts = {text.get_text(): text for text in figure.findobj(Text)}
    assert not any(texts[shown].get_parse_math() for shown in (name, "$x_1$"))
    assert ARROW.get_path().vertices.shape[0] < 40  # an arrow, and not the words that call for it
