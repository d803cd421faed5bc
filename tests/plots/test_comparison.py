"""The figure of several detectors: a strip for each, on one time axis."""

import numpy as np
import pytest

from pushpull.clip import FPS
from pushpull.plots import comparison_figure


def scores(flipped, frames=50):
    clean = np.ones(frames)
    adversarial = clean.copy()
    adversarial[:flipped] = -1
    return {"clean": clean, "adversarial": adversarial, "stored": clean}


def test_every_detector_has_a_strip_and_its_share_of_flipped_frames():
    labels = np.array([1, 0] * 25)
    figure = comparison_figure({"a": scores(10), "b": scores(45)}, labels=labels, notes={"b": "(weak)"}, title="clip")
    strips = [axes for axes in figure.axes if len(axes.lines) > 1]
    assert [axes.get_title(loc="left") for axes in strips] == ["a", "b  (weak)"]
    assert {axes.get_xlim() for axes in strips} == {(0, 50 / FPS)}
    told = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"20%", "90%", "0%"} <= set(told)
    assert len(figure.axes) == 2 * 2 + 1
    assert len(comparison_figure({"a": scores(1)}).axes) == 2


@pytest.mark.parametrize(
    ("given", "labels", "message"),
    [
        ({}, None, "at least one detector"),
        ({"a": scores(1), "b": scores(1, frames=9)}, None, "differ in length"),
        ({"a": scores(1)}, np.ones(9), "differ in length"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, labels, message):
    with pytest.raises(ValueError, match=message):
        comparison_figure(given, labels=labels)
