"""Talking heads' scripts played: labels, lips and sound agree, kind by kind, without drawing anything."""

from dataclasses import replace

import numpy as np
import pytest

from pushpull.data.talkheads import voice as voices
from pushpull.data.talkheads.face import ACTS, animate
from pushpull.data.talkheads.perform import MARGIN, perform
from pushpull.data.talkheads.script import HeadMix, Role, Script, ScriptOptions, Turn, draw_script
from pushpull.data.talkheads.sensor import Sensor
from pushpull.data.talkheads.voice import Voice

MISSING = voices.missing()
speaks = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
TYPES = HeadMix().names


def describe(identity):
    return 20.0 + identity % 50, float(identity % 2)


def drawn(kind, number=0, **more):
    options = ScriptOptions(mix=HeadMix(**{name: float(name == kind) for name in TYPES}), **more)
    return draw_script(5, number, "train", options, describe)


@speaks
@pytest.mark.parametrize("kind", TYPES)
def test_labels_follow_the_kind(kind):
    script = drawn(kind, number=2)
    played = perform(script)
    assert played.audio.shape == (script.frames * 640,) and played.labels.shape == (1, script.frames)
    assert played.labels.any() == (kind in ("in_sync", "turns"))
    assert bool(played.lips[0]) == (kind in ("in_sync", "turns", "dubbed", "shifted", "silence", "noise"))
    if kind in ("in_sync", "turns"):
        middles = (np.arange(script.frames) + 0.5) / 25
        sounding = np.any([(middles >= p.start) & (middles < p.stop) for p in played.lips[0] if p.symbol], axis=0)
        assert (played.labels[0] >= sounding).all()


@speaks
def test_jaw_and_voice_go_together_to_the_frame():
    for number in range(6):
        script = drawn("in_sync", number)
        played = perform(script)
        jaw = animate(script.roles[0], played, 0, script.seed).units["jawOpen"]
        begin = round(MARGIN * 16000)
        sound = played.voices[0][begin : begin + 640 * script.frames].reshape(-1, 640).astype(float)
        envelope = np.sqrt((sound**2).mean(axis=1))
        a, b = (x - x.mean() for x in (envelope, jaw))
        lags = np.arange(-12, 13)
        scores = [np.dot(a[max(0, -k) : len(a) - max(0, k)], b[max(0, k) : len(b) - max(0, -k)]) for k in lags]
        assert abs(lags[int(np.argmax(scores))]) <= 1, script
        assert np.corrcoef(a, b)[0, 1] > 0.4, script


@speaks
@pytest.mark.parametrize("frames", [1, 2])
def test_lips_lead_their_sound_by_what_the_script_says(frames):
    script = replace(drawn("in_sync", 2), lead=0.0)
    together, ahead = perform(script), perform(replace(script, lead=frames / 25))
    assert np.array_equal(ahead.audio, together.audio) and np.array_equal(ahead.labels, together.labels)
    assert ahead.labels.any()
    starts = [[phone.start for phone in played.lips[0]] for played in (together, ahead)]
    assert np.allclose(starts[0], np.array(starts[1]) + frames / 25)
    # All of the mouth: also how far the jaw opens, which follows the voice's loudness.
    assert np.array_equal(ahead.voices[0][: -640 * frames], together.voices[0][640 * frames :])
    jaw, early = (animate(script.roles[0], played, 0, script.seed).units["jawOpen"] for played in (together, ahead))
    assert np.abs(early[:-frames] - jaw[frames:]).max() < 0.02 and np.abs(early - jaw).max() > 0.1


def test_each_clip_draws_its_lead_and_nothing_else_depends_on_it():
    leads = [drawn("in_sync", number).lead for number in range(40)]
    assert min(leads) >= 0 and max(leads) <= 0.06 and min(leads) < 0.01 and max(leads) > 0.05
    exact = drawn("in_sync", 3, lead=0.0)
    assert exact.lead == 0 and exact == replace(drawn("in_sync", 3), lead=0.0)
    with pytest.raises(ValueError, match="lead"):
        ScriptOptions(lead=0.3)


@speaks
def test_shifted_sound_is_the_same_sound_elsewhere():
    script = replace(drawn("shifted"), recording=replace(drawn("shifted").recording, noise="none", reverberation=0.0))
    moved, kept = perform(script), perform(replace(script, shift=0.0))
    assert 0.2 <= abs(script.shift) <= 0.8 and not moved.labels.any() and kept.labels.any()
    samples = round(script.shift * 16000)
    a, b = (moved.audio, kept.audio) if samples > 0 else (kept.audio, moved.audio)
    assert np.corrcoef(a[abs(samples) :], b[: len(b) - abs(samples)])[0, 1] > 0.95


@speaks
def test_two_people_speak_in_turn():
    script = draw_script(1, 4, "test", ScriptOptions(people=2, seconds=7.0), describe)
    labels = perform(script).labels
    assert labels.shape == (2, 175) and labels.any(axis=1).all()
    assert labels.all(axis=0).mean() < 0.02
    assert script.roles[0].voice.speaker and script.roles[0].identity != script.roles[1].identity


@speaks
def test_a_script_is_a_clip():
    script = drawn("in_sync", 3)
    assert script == drawn("in_sync", 3) and script != drawn("in_sync", 4)
    one, two = perform(script), perform(script)
    assert np.array_equal(one.audio, two.audio)
    motions = [animate(script.roles[0], played, 0, script.seed) for played in (one, two)]
    assert all(np.array_equal(motions[0].units[name], motions[1].units[name]) for name in motions[0].units)


@pytest.mark.parametrize("act", ACTS)
def test_gestures_move_the_mouth_and_stay_in_range(act):
    voice = Voice(engine="espeak", name="m1")
    script = Script(
        seed=3, kind="gesture", split="train", seconds=4.0, roles=(Role(identity=1, voice=voice, act=act),), threads=()
    )
    played = perform(script)
    still = animate(replace(script.roles[0], act=""), played, 0, 3).units
    moved = animate(script.roles[0], played, 0, 3).units
    for values in moved.values():
        assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1
    lips = [name for name in moved if name.startswith(("mouth", "jaw", "tongue"))]
    assert max(np.ptp(moved[name]) for name in lips) > 0.1
    assert still["jawOpen"].max() < 0.06 and not played.labels.any()


def test_splits_share_no_person():
    people = {
        split: {draw_script(0, n, split, ScriptOptions(identities=40), describe).roles[0].identity for n in range(80)}
        for split in ("train", "validation", "test")
    }
    assert not people["train"] & people["test"] and not people["train"] & people["validation"]


def test_shares_are_kept():
    options = ScriptOptions(
        mix=HeadMix(in_sync=3, turns=0, dubbed=1, shifted=0, still=0, gesture=0, silence=0, noise=0)
    )
    drawn = [draw_script(0, n, "train", options, describe).kind for n in range(300)]
    assert set(drawn) == {"in_sync", "dubbed"} and 0.68 < drawn.count("in_sync") / 300 < 0.82


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: HeadMix(in_sync=-1.0), "negative"),
        (lambda: ScriptOptions(people=4), "one to three"),
        (lambda: ScriptOptions(seconds=0), "0.2"),
        (lambda: Sensor(quality=0), "quality"),
        (lambda: Role(identity=1, voice=Voice(engine="flite", name="slt"), act="sing"), "act"),
        (lambda: replace(drawn("in_sync"), seconds=0.01), "multiple"),
        (
            lambda: replace(
                drawn("in_sync"), threads=((Turn(who=4, text="a", voice=Voice(engine="flite", name="slt"), pause=0),),)
            ),
            "role 4",
        ),
    ],
)
def test_impossible_options_raise(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_an_ideal_sensor_changes_nothing_and_a_bad_one_repeats_itself():
    frame = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert np.array_equal(Sensor().film(np.random.default_rng(0))(frame), frame)
    bad = Sensor(blur=0.01, smear=0.3, noise=4.0, gain=0.9, gamma=1.1, quality=50)
    one, two = (bad.film(np.random.default_rng(1)) for _ in range(2))
    for _ in range(2):
        first = one(frame)
        assert np.array_equal(first, two(frame)) and not np.array_equal(first, frame)


def test_a_long_clip_moves_without_overflow():
    script = drawn("gesture", 1, seconds=120.0)
    with np.errstate(over="raise", invalid="raise"):
        motion = animate(replace(script.roles[0], act="chew"), perform(replace(script, threads=())), 0, 1)
    assert np.isfinite(motion.turn).all() and len(motion.turn) == 3000
