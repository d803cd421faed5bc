"""Each kind of example is what the table in pushpull/data/mix.py says."""

import numpy as np
import pytest
from training_support import SPEECH, talker

from pushpull.clip import SAMPLE_RATE, SAMPLES_PER_FRAME, Clip
from pushpull.data.mix import ExampleMix, NoStillLips, make_example, shake, still_segment, wander

FRAMES, START = 40, 30
CLIP, OTHER = talker(1, 100), talker(2, 100)


def example(kind, seed=0, clip=CLIP, other=OTHER, start=START, frames=FRAMES):
    return make_example(kind, clip, lambda: other, np.random.default_rng(seed), start=start, frames=frames)


def rms(audio):
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def where(audio, source):
    """Sample of ``source`` at which ``audio`` begins, gone round; None if it is not from there."""
    for begin in np.flatnonzero(source == audio[0]):
        if np.array_equal(source[np.arange(begin, begin + len(audio)) % len(source)], audio):
            return int(begin)
    return None


@pytest.mark.parametrize("kind", ExampleMix().names)
def test_every_kind_is_labelled_and_repeatable(kind):
    made, again, other = example(kind, 5), example(kind, 5), example(kind, 6)
    assert made.frames == FRAMES and made.labels.dtype == np.int64
    speech = CLIP.labels[START : START + FRAMES]
    assert np.array_equal(made.labels, speech if kind == "in_sync" else 0 * speech)
    assert np.array_equal(made.video, again.video) and np.array_equal(made.audio, again.audio)
    if kind not in ("in_sync",):
        assert not (np.array_equal(made.video, other.video) and np.array_equal(made.audio, other.audio))


@pytest.mark.parametrize("kind", ["in_sync", "swapped", "shifted", "silence", "noise"])
def test_the_picture_is_as_filmed(kind):
    assert np.array_equal(example(kind).video, CLIP.video[START : START + FRAMES])


def test_in_sync_sounds_as_recorded():
    assert where(example("in_sync").audio, CLIP.audio) == START * SAMPLES_PER_FRAME


def test_swapped_is_a_stretch_of_the_neighbour():
    assert all(where(example("swapped", seed).audio, OTHER.audio) is not None for seed in range(10))
    short = talker(3, 25)
    assert where(example("swapped", other=short).audio, np.tile(short.audio, 2)) is not None


def test_shifted_is_its_own_sound_200_to_800_ms_early_or_late():
    begins = np.array([where(example("shifted", seed).audio, CLIP.audio) for seed in range(200)])
    shifts = 1000 * (begins - START * SAMPLES_PER_FRAME) / SAMPLE_RATE
    assert (np.abs(shifts) >= 200).all() and (np.abs(shifts) <= 800).all()
    assert 60 < (shifts > 0).sum() < 140
    assert np.abs(shifts).min() < 230 and np.abs(shifts).max() > 770


@pytest.mark.parametrize("start, sign", [(0, 1), (60, -1)])
def test_shifted_goes_the_way_the_clip_has_sound(start, sign):
    begins = [where(example("shifted", seed, start=start).audio, CLIP.audio) for seed in range(20)]
    assert all(sign * (begin - start * SAMPLES_PER_FRAME) > 0 for begin in begins)


def test_still_wanders_in_the_longest_rest_away_from_speech():
    for seed in range(10):
        made = example("still", seed)
        moments = made.video[:, 0, 1].astype(int)
        assert set(made.video[:, 0, 0]) == {1}, "its own lips"
        assert moments.min() >= SPEECH[1] + 3 and moments.max() < 100
        assert (np.abs(np.diff(moments)) == 1).all(), "real speed, no frame twice in a row"
    heard = [where(example("still", seed).audio, CLIP.audio) for seed in range(40)]
    assert 8 < sum(begin == START * SAMPLES_PER_FRAME for begin in heard) < 32, "its own voice or another's"


def test_still_lips_may_be_the_neighbours_and_must_be_somebodys():
    talks = Clip(audio=CLIP.audio, video=CLIP.video, labels=np.ones(100, dtype=np.int64))
    assert set(example("still", clip=talks).video[:, 0, 0]) == {2}
    with pytest.raises(NoStillLips, match="footage with pauses"):
        example("still", clip=talks, other=talks)


@pytest.mark.parametrize(
    "speech, expected",
    [
        ([], (0, 30)),
        ([(0, 30)], None),
        ([(10, 20)], (0, 7)),
        ([(8, 20)], (23, 30)),
        ([(0, 10), (20, 30)], None),  # 10 silent frames, 4 left in the middle
        ([(0, 9), (20, 30)], (12, 17)),
    ],
)
def test_still_segment(speech, expected):
    labels = np.zeros(30, dtype=np.int64)
    for start, stop in speech:
        labels[start:stop] = 1
    clip = Clip(audio=np.zeros(30 * SAMPLES_PER_FRAME, np.float32), video=np.zeros((30, 112, 112), np.uint8))
    assert still_segment(Clip(audio=clip.audio, video=clip.video, labels=labels)) == expected


@pytest.mark.parametrize("length", [5, 7, 40])
def test_wander_has_no_jump_no_repeat_and_no_period(length):
    path = wander(length, 500, np.random.default_rng(0))
    assert path.min() == 0 and path.max() == length - 1
    assert (np.abs(np.diff(path)) == 1).all()
    assert not any(np.array_equal(path[:-period], path[period:]) for period in range(1, 250))


def test_frozen_is_one_frame_that_still_trembles():
    made = example("frozen")
    steps = np.abs(np.diff(made.video.astype(int), axis=0))
    assert (steps.max(axis=(1, 2)) > 0).all(), "no two frames are the same"
    source = CLIP.video[START].astype(float)
    middle = made.video[:, 16:-16, 16:-16].astype(float)
    assert np.abs(middle.mean(axis=0) - source[16:-16, 16:-16]).mean() < 12


def test_shaking_stays_small_and_keeps_the_type():
    still = np.full((30, 112, 112), 128, np.uint8)
    levels = [np.abs(shake(still, np.random.default_rng(seed)).astype(float) - 128) for seed in range(5)]
    assert max(change.mean() for change in levels) < 5
    assert shake(still, np.random.default_rng(0)).dtype == np.uint8


def test_silence_is_digital_or_below_45_db():
    levels = np.array([rms(example("silence", seed).audio) for seed in range(60)])
    rooms = levels[levels > 0]
    assert 15 < len(rooms) < 45
    assert 20 * np.log10(rooms.max()) < -45 and 20 * np.log10(rooms.min()) > -70.1


def test_noise_is_as_loud_as_the_voice_and_never_the_voice():
    made = [example("noise", seed).audio for seed in range(40)]
    decibels = np.array([20 * np.log10(rms(audio) / rms(CLIP.audio)) for audio in made])
    assert np.abs(decibels).max() < 5.1 and decibels.std() > 1
    assert all(where(audio, CLIP.audio) is None for audio in made)


def test_unknown_kinds_and_senseless_shares_are_refused():
    with pytest.raises(ValueError, match="unknown type of example 'dubbed'; there are in_sync"):
        example("dubbed")
    with pytest.raises(ValueError, match="must not be negative"):
        ExampleMix(still=-0.1)
    with pytest.raises(ValueError, match="nor all zero"):
        ExampleMix(**dict.fromkeys(ExampleMix().names, 0.0))


def test_kinds_are_drawn_by_their_shares():
    mix = ExampleMix(in_sync=3, swapped=1, shifted=0, still=0, frozen=0, silence=0, noise=0)
    drawn = mix.draw(np.random.default_rng(0), 4000)
    assert set(drawn) == {"in_sync", "swapped"}
    assert abs(drawn.count("in_sync") / 4000 - 0.75) < 0.03
