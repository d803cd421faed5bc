"""Faces followed from frame to frame, box by box, and scene cuts."""

import numpy as np
import pytest
from PIL import Image

from pushpull.tracking import SceneCuts, Tracker

LEFT, RIGHT = (10, 10, 50, 60), (120, 10, 160, 60)


def follow(*pictures, cuts=()):
    """Tracks of a list of pictures, each a list of (box, score)."""
    tracker = Tracker()
    for index, picture in enumerate(pictures):
        rows = np.array([[*box, score] for box, score in picture], np.float32).reshape(-1, 5)
        tracker.update(rows, cut=index in cuts)
    return tracker.tracks()


def spans(tracks):
    return sorted((track.start, track.stop) for track in tracks)


SEEN, LIKELY, NOTHING = [(LEFT, 0.9)], [(LEFT, 0.45)], []

PATHS = {
    "one face": ([SEEN] * 30, (), [(0, 30)]),
    "a gap is bridged": ([SEEN] * 15 + [NOTHING] * 10 + [SEEN] * 15, (), [(0, 40)]),
    "a long gap is not": ([SEEN] * 15 + [NOTHING] * 11 + [SEEN] * 15, (), [(0, 15), (26, 41)]),
    "a cut splits": ([SEEN] * 40, (20,), [(0, 20), (20, 40)]),
    "nothing lives through a cut in a gap": ([SEEN] * 15 + [NOTHING] * 4 + [SEEN] * 15, (17,), [(0, 15), (19, 34)]),
    "too short": ([SEEN] * 9, (), []),
    "long enough": ([SEEN] * 10, (), [(0, 10)]),
    "cut into too short": ([SEEN] * 18, (9,), []),
    "two people": ([SEEN + [(RIGHT, 0.9)]] * 20, (), [(0, 20), (0, 20)]),
    "one leaves": ([SEEN + [(RIGHT, 0.9)]] * 12 + [SEEN] * 12, (), [(0, 12), (0, 24)]),
    "turned away and back": ([SEEN] * 12 + [LIKELY] * 30 + [SEEN] * 12, (), [(0, 54)]),
    "only likely to the end": ([SEEN] * 12 + [LIKELY] * 30, (), [(0, 12)]),
    "never more than likely": ([LIKELY] * 60, (), []),
    "unlikely": ([[(LEFT, 0.3)]] * 60, (), []),
    "a jump is another face": ([SEEN] * 12 + [[(RIGHT, 0.9)]] * 12, (), [(0, 12), (12, 24)]),
}


@pytest.mark.parametrize("case", PATHS)
def test_tracks(case):
    pictures, cuts, expected = PATHS[case]
    tracks = follow(*pictures, cuts=cuts)
    assert spans(tracks) == expected
    for track in tracks:
        assert track.boxes.shape == (track.stop - track.start, 4) and track.scores.shape == (len(track.boxes),)


def test_a_gap_is_interpolated_and_marked():
    def at(x):
        return [((x, 10, x + 60, 80), 0.9)]

    pictures = [at(i) for i in range(20)] + [NOTHING] * 8 + [at(i) for i in range(28, 50)]
    (track,) = follow(*pictures)
    assert np.array_equal(np.flatnonzero(track.scores == 0), np.arange(20, 28))
    # A steady movement stays steady through the gap; the median's ends repeat.
    assert np.abs(track.boxes[6:-6, 0] - np.arange(6, 44)).max() < 1e-3


def test_a_single_wrong_box_is_smoothed_away():
    wrong = [((14, 4, 58, 66), 0.9)]
    (track,) = follow(*[SEEN] * 10, wrong, *[SEEN] * 10)
    assert np.abs(track.boxes - LEFT).max() < 1e-3


def test_each_face_goes_to_the_track_it_overlaps_most():
    """Two that come close, each detected in either order, keep their places."""
    generator = np.random.default_rng(0)
    pictures = []
    for i in range(30):
        pair = [((10 + i, 10, 50 + i, 60), 0.8), ((80 - i // 3, 12, 120 - i // 3, 62), 0.9)]
        pictures.append([pair[j] for j in generator.permutation(2)])
    tracks = follow(*pictures)
    assert spans(tracks) == [(0, 30), (0, 30)]
    assert sorted(round(float(track.boxes[15, 0])) for track in tracks) == [25, 75]


def test_the_longest_and_biggest_comes_first():
    small, big = ((10, 10, 30, 30), 0.9), ((100, 10, 180, 90), 0.8)
    assert [round(t.boxes[0, 0]) for t in follow(*[[small, big]] * 12)] == [100, 10]
    assert [t.start for t in follow(*[SEEN] * 12, *[NOTHING] * 12, *[SEEN] * 30)] == [24, 0]


def noise_picture(seed, level=128):
    coarse = np.random.default_rng(seed).integers(0, level * 2, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((160, 120), Image.Resampling.NEAREST))


def flashed(picture):
    return np.clip(picture.astype(int) + 60, 0, 255).astype(np.uint8)


CUTS = {
    "the same": (lambda a: a, False),
    "grain": (lambda a: np.clip(a + np.random.default_rng(1).normal(0, 8, a.shape), 0, 255).astype(np.uint8), False),
    "a flash": (flashed, False),
    "a fade": (lambda a: (a * 0.6).astype(np.uint8), False),
    "a small pan": (lambda a: np.roll(a, 4, axis=1), False),
    "another scene": (lambda a: noise_picture(99, 60), True),
    "black": (lambda a: np.zeros_like(a), True),
}


@pytest.mark.parametrize("change", CUTS)
def test_scene_cuts(change):
    alter, expected = CUTS[change]
    cuts, first = SceneCuts(), noise_picture(0)
    assert cuts.update(first) is False  # nothing before it
    assert cuts.update(alter(first)) is expected
