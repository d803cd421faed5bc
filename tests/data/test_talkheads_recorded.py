"""Talking heads with a real voice: where its sounds lie, which files a split may use, and what of a clip has it."""

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pushpull.clip import FPS, SAMPLE_RATE
from pushpull.data.talkheads import voice as voices
from pushpull.data.talkheads.perform import perform
from pushpull.data.talkheads.recorded import read_recording, recordings, said
from pushpull.data.talkheads.script import HeadMix, ScriptOptions, draw_script
from pushpull.data.talkheads.voice import Phone, Voice, say

MISSING = voices.missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
SPEAKER = Voice(engine="flite", name="rms", pace=0.9)
WORDS = ("bin", "lay", "place", "set", "blue", "green", "red", "white", "zero", "seven", "again", "please")
SPLITS = ("train", "validation", "test")


def write(path: Path, audio: np.ndarray, words) -> None:
    """A recording: (N,) float32 and [(start, stop, word)] in seconds."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(np.round(audio * 32767).astype("<i2").tobytes())
    lines = [f"{round(a * FPS * 1000)} {round(b * FPS * 1000)} {word}\n" for a, b, word in words]
    path.with_suffix(".align").write_text("".join(lines))


def speak(path: Path, words) -> list[list[Phone]]:
    """Record somebody who says some words, half a second into the file; what they say, sound by sound."""
    audio, phones, clock = [np.zeros(SAMPLE_RATE // 2, np.float32)], [], 0.5
    for word in words:
        heard = say(SPEAKER, word)
        audio.append(heard.audio)
        phones.append([Phone(p.symbol, clock + p.start, clock + p.stop) for p in heard.phones if p.symbol])
        clock += heard.seconds
    spans = [(sounds[0].start, sounds[-1].stop, word) for sounds, word in zip(phones, words, strict=True)]
    write(path, np.concatenate(audio), [(0, 0.5, "sil"), *spans])
    return phones


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    (root / "s1").mkdir()
    rng = np.random.default_rng(0)
    for number in range(24):
        speak(root / "s1" / f"{number:02d}.wav", rng.choice(WORDS, 4))
    (root / "notes.align").write_text("0 1000 alone\n")
    return root


def test_words_lie_where_they_were_aligned_and_sounds_near_where_they_are_heard(tmp_path):
    errors = []
    for words in (WORDS[:6], WORDS[6:]):
        truth = speak(tmp_path / "one.wav", words)
        samples, rate, phones = read_recording(tmp_path / "one.wav")
        begin = truth[0][0].start - 0.15
        assert rate == SAMPLE_RATE and len(samples) / rate == pytest.approx(truth[-1][-1].stop + 0.15 - begin, abs=0.01)
        assert phones[0] == Phone("", 0.0, pytest.approx(0.15, abs=0.001)) and phones[-1].symbol == ""
        assert all(a.stop == pytest.approx(b.start) for a, b in zip(phones[:-1], phones[1:], strict=True))
        found = [phone for phone in phones if phone.symbol]
        assert [p.symbol for p in found] == [p.symbol for sounds in truth for p in sounds]
        errors += [abs(p.stop + begin - t.stop) for p, t in zip(found, sum(truth, []), strict=True)]
        ends = np.cumsum([len(sounds) for sounds in truth]) - 1
        assert max(abs(found[i].stop + begin - truth[n][-1].stop) for n, i in enumerate(ends)) < 0.002
    assert np.median(errors) < 0.03


def test_words_that_sound_otherwise_in_a_row_are_said_alone():
    together, alone = said(["bin", "blue"]), said(["1", "2"])
    assert [len(sounds) for sounds in together] == [3, 3]
    # In a row they are the number twelve.
    assert [[p.symbol for p in sounds] for sounds in alone] == [["W", "AH", "N"], ["T", "UW"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([(0, 0.5, "sil")], "nobody says a word"),
        ([(0.1, 0.2, "bin"), (2.0, 2.1, "blue")], "'blue' begins at 2.00 s, and the sound ends at 1.00 s"),
        ([(0.1, 0.2, "...")], "cannot be said"),
    ],
)
def test_a_recording_that_cannot_be_used_says_why(words, message, tmp_path):
    write(tmp_path / "one.wav", np.zeros(SAMPLE_RATE, np.float32), words)
    with pytest.raises(ValueError, match=message):
        read_recording(tmp_path / "one.wav")


def test_every_recording_is_in_one_split(folder):
    found = []
    for split in SPLITS:
        try:
            found += recordings(str(folder), split)
        except ValueError as error:
            assert f"no recording for the {split} split" in str(error)
    assert sorted(found) == [f"s1/{number:02d}.wav" for number in range(24)]


def drawn(kind, folder="", share=1.0):
    mix = HeadMix(**{name: float(name == kind) for name in HeadMix().names})
    options = ScriptOptions(mix=mix, recorded=str(folder), recorded_share=share)
    return draw_script(5, 2, "train", options, lambda identity: (40.0, 1.0))


@pytest.mark.parametrize("kind", HeadMix().names)
def test_all_who_are_heard_in_a_clip_have_the_voice_and_nothing_else_is_another(kind, folder):
    plain, script = drawn(kind), drawn(kind, folder)
    turns = [turn for thread in script.threads for turn in thread]
    before = [turn for thread in plain.threads for turn in thread]
    assert {turn.voice.engine for turn in turns} <= {"recorded"} and script.roles[0].voice.engine == "recorded"
    assert len({turn.text for turn in turns}) == len(turns)
    assert len({turn.voice for turn in turns}) == len({turn.voice for turn in before})
    assert [replace(a, voice=b.voice, text=b.text) for a, b in zip(turns, before, strict=True)] == before
    assert replace(script, roles=plain.roles, threads=plain.threads) == plain
    played = perform(script)
    assert played.labels.any() == (kind in ("in_sync", "turns")) and np.isfinite(played.audio).all()


def test_a_share_of_clips_has_the_voice(folder):
    assert drawn("in_sync", folder, share=0.0) == drawn("in_sync")
    with pytest.raises(ValueError, match="recorded_share"):
        drawn("in_sync", folder, share=1.5)
    with pytest.raises(ValueError, match="no recording"):
        drawn("in_sync", folder / "nowhere")
