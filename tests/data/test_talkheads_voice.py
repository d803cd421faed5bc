"""Talking heads' voices and lips: timings are true, sound decides the label, lips close and open with the sound."""

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from pushpull.clip import SAMPLE_RATE
from pushpull.data.talkheads import voice as voices
from pushpull.data.talkheads.sound import BRIDGED, Recording, loudness, record, speech_activity
from pushpull.data.talkheads.text import sentence
from pushpull.data.talkheads.visemes import FEATURES, mouth, mouth_units, shapes_of
from pushpull.data.talkheads.voice import Phone, Voice, VoiceError, draw_voice, say

MISSING = voices.missing()
speaks = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))

TEXT = "Bob put a big paper bag, opened a copper pot, and bought a puppet. Pete had a bad day."
SOME = [
    Voice(engine="flite", name="slt"),
    Voice(engine="flite", name="kal16", tract=1.06, pace=0.9),
    Voice(engine="flite", name="rms", pitch=2, pace=1.2),
    Voice(engine="espeak", name="f3"),
    Voice(engine="espeak", name="m2", language="de", tract=0.94),
    Voice(engine="espeak", name="f5", tract=1.2, pace=1.1),
]


@speaks
@pytest.mark.parametrize("voice", SOME, ids=lambda voice: f"{voice.speaker}-{voice.tract}")
def test_phone_timings_are_those_of_the_samples(voice):
    said = say(voice, TEXT)
    power = np.convolve(said.audio.astype(float) ** 2, np.ones(80) / 80, "same")
    loud = np.percentile(power, 90)
    at = np.arange(len(power)) / SAMPLE_RATE
    pauses = [p for p in said.phones if not p.symbol and p.stop - p.start > 0.08]
    assert len(pauses) >= 2
    for pause in pauses:
        inside = power[(at > pause.start + 0.03) & (at < pause.stop - 0.03)]
        assert inside.mean() < 0.01 * loud
    spoken = [p for p in said.phones if p.symbol]
    # Of flite's first b, the voice in the closed mouth is quieter than what counts as audible; ends fade for all.
    audible = at[power > 0.003 * loud]
    assert abs(audible[0] - spoken[0].start) < (0.05 if voice.engine == "flite" else 0.006)
    assert abs(audible[-1] - spoken[-1].stop) < 0.06


ESPEAK = [(name, pace) for name in ("m1", "m3", "f1", "f4") for pace in (0.8, 1.2)]
LATE = [  # espeak-ng's own events come some 20 ms late, and up to 38
    *(Voice(engine="espeak", name=name, language="en-us", pace=pace) for name, pace in ESPEAK),
    Voice(engine="flite", name="slt"),
    Voice(engine="flite", name="rms"),
]


@speaks
@pytest.mark.parametrize("voice", LATE, ids=lambda voice: f"{voice.speaker}-{voice.pace}")
def test_a_vowel_begins_where_lips_that_were_closed_open(voice):
    """Where the sound of b ends and the vowel's begins: its steepest rise, against the vowel's first moment."""
    said = say(voice, "a baba bee, a baby, a bay by a bar, aba")
    power = np.convolve(said.audio.astype(float) ** 2, np.hanning(192) / np.hanning(192).sum(), "same")
    apart = []
    for before, phone in zip(said.phones, said.phones[1:], strict=False):
        if before.symbol.strip("ˈˌ").lower() != "b" or not phone.symbol:
            continue
        first, last = (round(t * SAMPLE_RATE) for t in (before.start, min(phone.start + 0.05, phone.stop)))
        level = np.log(power[first:last] + 1e-12)
        quiet = int(level[:-20].argmin())
        apart.append((first + quiet + int(np.diff(level[quiet:]).argmax())) / SAMPLE_RATE - phone.start)
    assert len(apart) >= 5
    assert abs(np.median(apart)) < 0.016, f"{1000 * np.median(apart):.0f} ms"


def opening(voice, consonant, text):
    """Seconds from a vowel's first moment to the steepest rise of sound over 500 Hz, which closed lips hold back."""
    said = say(voice, text)
    high = sosfiltfilt(butter(4, 500, "highpass", fs=SAMPLE_RATE, output="sos"), said.audio.astype(float))
    level = np.log(np.convolve(high**2, np.hanning(192) / np.hanning(192).sum(), "same") + 1e-9)
    step, apart = SAMPLE_RATE // 100, []
    for before, phone in zip(said.phones, said.phones[1:], strict=False):
        if before.symbol.strip("ˈˌ").lower() != consonant or not phone.symbol:
            continue
        middle = (before.start + before.stop) / 2
        first, last = (round(t * SAMPLE_RATE) for t in (middle - 0.01, min(phone.start + 0.04, phone.stop)))
        rise = level[first + step : last] - level[first : last - step]
        apart.append((first + int(rise.argmax()) + step // 2) / SAMPLE_RATE - phone.start)
    assert len(apart) >= 5
    return float(np.median(apart))


@speaks
@pytest.mark.parametrize(
    "consonant, text",
    [
        ("b", "a baba bee, a baby, a bay by a bar, aba"),
        ("m", "a mama me, a may, my mar, ama, a meal by a mile, a moon"),
    ],
)
def test_the_synthesisers_agree_where_lips_open(consonant, text):
    """Without the correction espeak-ng's vowels begin 17 (b) and 23 ms (m) later than flite's."""
    found = {"espeak": [], "flite": []}
    for voice in LATE:
        found[voice.engine].append(opening(voice, consonant, text))
    apart = np.mean(found["espeak"]) - np.mean(found["flite"])
    assert abs(apart) < 0.010, f"{1000 * apart:.0f} ms"


@speaks
def test_the_same_words_give_the_same_samples():
    for voice in SOME[::3]:
        assert np.array_equal(say(voice, "a bowl of soup").audio, say(voice, "a bowl of soup").audio)


def test_missing_programs_say_what_to_install(monkeypatch):
    monkeypatch.setattr(voices, "_run", lambda command: (_ for _ in ()).throw(FileNotFoundError("flite")))
    with pytest.raises(VoiceError, match="apt-get install flite"):
        say(SOME[0], "a")

    class Done:
        returncode = 3

    monkeypatch.setattr(voices, "_run", lambda command: Done())
    with pytest.raises(VoiceError, match="apt-get install espeak-ng"):
        say(SOME[3], "a")


def test_no_text_and_no_such_engine_raise():
    with pytest.raises(ValueError, match="no text"):
        say(SOME[0], "  ")
    with pytest.raises(ValueError, match="engine"):
        Voice(engine="parrot", name="x")


def test_splits_share_no_speaker():
    rng = np.random.default_rng(0)
    found = {}
    for split in ("train", "validation", "test"):
        drawn = [draw_voice(rng, split, gender=g, age=a) for g in (0.0, 1.0) for a in (9.0, 40.0) for _ in range(60)]
        found[split] = {voice.speaker for voice in drawn}
        assert len(found[split]) >= 4
    assert not found["train"] & found["test"] and not found["train"] & found["validation"]
    assert not found["validation"] & found["test"]


def test_sentences_end_and_vary():
    rng = np.random.default_rng(1)
    said = {sentence(rng, english=bool(i % 2)) for i in range(200)}
    assert len(said) > 190 and all(text[-1] in ".?" for text in said)


@pytest.mark.parametrize(
    "gap, bridged", [(BRIDGED - 0.02, True), (BRIDGED + 0.06, False)], ids=["short pause", "long pause"]
)
def test_short_pauses_belong_to_the_speech(gap, bridged):
    phones = [Phone("AA", 0.2, 0.6), Phone("", 0.6, 0.6 + gap), Phone("M", 0.6 + gap, 1.2)]
    active = speech_activity(phones, 40)
    assert active[5:15].all() and not active[:5].any() and not active[30:].any()
    assert active[5:30].all() == bridged


@pytest.mark.parametrize(
    "symbol, shapes",
    [
        ("AY", ["a", "i"]),
        ("aɪ", ["a", "i"]),
        ("tʃ", ["t", "sh"]),
        ("p", ["m"]),
        ("ɔː", ["o"]),
        ("", ["rest"]),
        ("?", ["k"]),
    ],
)
def test_phones_have_mouth_shapes(symbol, shapes):
    assert shapes_of(symbol) == shapes


def test_lips_close_for_bilabials_even_between_open_vowels():
    phones = [Phone("AA", 0.2, 0.4), Phone("M", 0.4, 0.46), Phone("AA", 0.46, 0.7)]
    features = mouth(phones, np.arange(0, 1, 0.005))
    seal, opening = features[:, FEATURES.index("seal")], features[:, FEATURES.index("open")]
    assert seal[86] > 0.95 and seal[60] < 0.1 and seal[110] < 0.1
    assert opening[60] > 0.6 and opening[110] > 0.6 and opening[0] < 0.05 and opening[-1] < 0.1
    units = mouth_units(features)
    # Sealed lips: what the jaw opens, mouthClose takes back.
    assert units["mouthClose"][86] == pytest.approx(units["jawOpen"][86], abs=0.02)


def test_rounding_comes_before_its_sound():
    phones = [Phone("T", 0.3, 0.4), Phone("UW", 0.4, 0.6), Phone("T", 0.6, 0.7)]
    pucker = mouth(phones, np.array([0.2, 0.3, 0.36, 0.5]))[:, FEATURES.index("pucker")]
    assert pucker[2] > 0.2 and pucker[3] > 0.7 and pucker[0] < pucker[2]


def test_loud_speech_opens_the_jaw_further():
    phones, times = [Phone("AA", 0.1, 0.9)], np.arange(0, 1, 0.04)
    loud = mouth(phones, times, np.ones(len(times)))[12, 0]
    assert loud > mouth(phones, times, np.full(len(times), 0.2))[12, 0] + 0.2


@pytest.mark.parametrize("noise", ["hiss", "hum", "babble", "music"])
def test_noise_is_as_loud_as_asked(noise):
    rng = np.random.default_rng(0)
    dry = np.sin(np.arange(32000) * 0.1).astype(np.float32) * 0.1
    others = [rng.standard_normal(9000), rng.standard_normal(7000)]
    kept = {"reverberation": 0.0, "floor_db": -120.0}
    quiet = record(dry, Recording(**kept), np.random.default_rng(3))
    noisy = record(dry, Recording(**kept, noise=noise, snr_db=6.0), np.random.default_rng(3), others)
    share = np.dot(noisy, quiet) / np.dot(quiet, quiet)
    rest = noisy - share * quiet
    snr = 20 * np.log10(np.linalg.norm(share * quiet) / np.linalg.norm(rest))
    assert snr == pytest.approx(6.0, abs=0.7)
    assert np.abs(noisy).max() <= 10 ** (-6 / 20) + 1e-3


def test_the_room_delays_nothing():
    dry = np.zeros(16000, np.float32)
    dry[4000] = 0.5
    wet = record(dry, Recording(reverberation=0.4, distance=0.5, floor_db=-120.0), np.random.default_rng(0))
    assert np.argmax(np.abs(wet)) == 4000 and np.abs(wet[4100:9000]).max() > 1e-3


def test_silence_has_no_loudness():
    assert not loudness(np.zeros(16000, np.float32), np.arange(0, 1, 0.04)).any()
