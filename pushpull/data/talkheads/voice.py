"""Nobody's voice: text to 16 kHz sound with the time of every phone, by the synthesisers flite and espeak-ng.

Both report when each phone begins and ends in the samples they write; tests hold them to it at the pauses. A voice
is a synthesiser's voice with its own pitch, pace and length of vocal tract (all of the spectrum moved, by
resampling), so that four and fifty voices become as many as there are seeds. Somebody's voice, from recordings,
is played in the same way (:mod:`pushpull.data.talkheads.recorded`).
"""

import json
import os
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample

from pushpull.clip import SAMPLE_RATE

# espeak-ng's event for a vowel comes only after the transition from the consonant before it, which is heard as part of
# the vowel: 20 ms late at 165 words a minute, in proportion at other paces (how it was measured: docs/talkheads.md).
ONSET = 0.020  # seconds
ONSET_PACE = 165  # words a minute
VOWELS = frozenset("aɑɐɶæʌɜɞəɘᵻɨɤᵊeɛiɪoɔɒɵuʊɯʉyʏøœɚɝ")
PROGRAM = Path(__file__).with_name("espeak.py")
TIMEOUT = 30.0  # seconds; a sentence takes a tenth of one
LEVEL = 0.08  # RMS of speech before anything is done to it, full scale

# What each split may use. A speaker is flite's voice or espeak-ng's variant; kal and kal16 are one man.
FLITE = {"train": ("slt", "awb"), "validation": ("kal16",), "test": ("rms",)}
FLITE_PITCH = {"slt": 170.0, "awb": 124.0, "kal16": 90.0, "rms": 103.0}  # Hz as they come
WOMEN = {
    "train": ("f1", "f2", "f3", "Alicia", "Andrea", "anika", "belinda", "steph", "Annie", "aunty"),
    "validation": ("f4", "linda"),
    "test": ("f5", "shelby"),
}
MEN = {
    "train": (
        "m1", "m2", "m3", "m4", "m5", "m6", "Alex", "Andy", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky",
        "Lee", "Marco", "Mario", "Mike", "Nguyen", "adam", "antonio", "benjamin", "boris", "david", "ed", "paul",
    ),
    "validation": ("m7", "Michael", "caleb", "edward", "norbert"),
    "test": ("m8", "max", "pedro", "robert", "travis"),
}  # fmt: skip
ENGLISH = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc")
# Read Latin letters without surprises.
FOREIGN = (
    "af", "ca", "cs", "da", "de", "eo", "es", "es-419", "et", "eu", "fi", "fr", "hr", "hu", "id", "is", "it", "la",
    "lv", "nb", "nl", "pl", "pt", "pt-br", "ro", "sk", "sl", "sq", "sv", "sw", "tr",
)  # fmt: skip


class VoiceError(RuntimeError):
    """Nothing can be spoken here; the message says what to install."""


@dataclass(frozen=True, kw_only=True)
class Voice:
    """A speaker.

    Args:
        engine: "flite", "espeak" or "recorded".
        name: flite's voice ("slt"), espeak-ng's variant ("f3"), or the folder of a real voice's recordings.
        language: espeak-ng's language; flite speaks "en-us".
        pitch: semitones above the voice's own.
        tract: factor on every frequency of the spectrum, 0.85 a big man .. 1.3 a child; pitch moves along.
        pace: factor on the speed of speech, before 1.
    """

    engine: str
    name: str
    language: str = "en-us"
    pitch: float = 0.0
    tract: float = 1.0
    pace: float = 1.0

    def __post_init__(self):
        if self.engine not in ENGINES:
            raise ValueError(f"a voice's engine is one of {', '.join(ENGINES)}, got {self.engine!r}")
        if not (0.5 <= self.tract <= 2 and 0.4 <= self.pace <= 2.5 and abs(self.pitch) <= 12):
            raise ValueError(f"need tract 0.5..2, pace 0.4..2.5 and pitch within an octave, got {self}")

    @property
    def speaker(self) -> str:
        """What must not be in two splits; of recordings, each of which is in one, all are of one speaker."""
        return f"{self.engine}-{Path(self.name).name}"

    @property
    def english(self) -> bool:
        return self.language.startswith("en")


@dataclass(frozen=True)
class Phone:
    """One sound: ``symbol`` in ARPAbet, capitals (flite), or IPA (espeak-ng), "" for a pause; seconds."""

    symbol: str
    start: float
    stop: float


@dataclass(frozen=True, eq=False)
class Utterance:
    """What was said: (N,) float32 at 16 kHz, and its phones in order, pauses among them, without overlap."""

    audio: np.ndarray
    phones: tuple[Phone, ...]

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


def draw_voice(rng: np.random.Generator, split: str, *, gender: float, age: float, flite: float = 0.35) -> Voice:
    """A voice of ``split`` that suits a person of ``gender`` 0 (female) .. 1 (male) and ``age`` years.

    Args:
        flite: how often flite speaks where it has a voice that suits; else espeak-ng does.
    """
    child = age < 14
    male = gender > 0.5 and not child
    fits = [name for name in FLITE[split] if (name == "slt") == (not male)]
    tract = float(rng.uniform(1.1, 1.25)) if child else float(rng.uniform(0.93, 1.07))
    pace = float(rng.uniform(0.82, 1.2)) * (0.92 if age > 65 else 1.0)
    pitch = float(rng.uniform(-2.5, 2.5))
    if rng.random() < flite and fits:
        return Voice(engine="flite", name=_pick(rng, fits), pitch=pitch, tract=tract, pace=pace)
    name = _pick(rng, (MEN if male else WOMEN)[split])
    language = _pick(rng, ENGLISH) if rng.random() < 0.5 else _pick(rng, FOREIGN)
    return Voice(engine="espeak", name=name, language=language, pitch=pitch, tract=tract, pace=pace)


def say(voice: Voice, text: str) -> Utterance:
    """Speak ``text``, or, where the voice is recorded, the recording of that name. The same give the same samples.

    Raises:
        VoiceError: the synthesiser is missing (the message says what to install), or failed.
        ValueError: there is nothing to say.
    """
    if not text.strip():
        raise ValueError("there is no text to speak")
    raw, rate, phones = ENGINES[voice.engine](voice, text)
    # Moved by playing it faster; a synthesiser was asked to speak that much slower.
    count = max(1, round(len(raw) * SAMPLE_RATE / (rate * voice.tract)))
    scale = count / SAMPLE_RATE / (len(raw) / rate)
    margin = rate // 20  # the transform takes the sound for periodic: let the ends meet in silence
    padded = np.pad(raw.astype(np.float64), (margin, margin))
    longer = round(len(padded) * count / len(raw))
    lead = round(margin * longer / len(padded))
    audio = resample(padded, longer)[lead : lead + count]
    loud = np.sqrt(np.mean(np.square(audio[np.abs(audio) > 0.02 * np.abs(audio).max()]))) if audio.any() else 1.0
    audio = np.clip(audio * (LEVEL / loud), -1, 1).astype(np.float32)
    seconds = count / SAMPLE_RATE
    moved = [Phone(p.symbol, min(p.start * scale, seconds), min(p.stop * scale, seconds)) for p in phones]
    return Utterance(audio, tuple(p for p in moved if p.stop > p.start))


def missing() -> list[str]:
    """What must be installed before anything can be said; empty when all is there."""
    lacking = []
    for voice in (Voice(engine="flite", name="slt"), Voice(engine="espeak", name="f1")):
        try:
            say(voice, "a")
        except VoiceError as error:
            lacking.append(str(error))
    return lacking


def _flite(voice, text):
    """flite's own rate, pitch target and durations; its -psdur prints the end of every phone."""
    pitch = FLITE_PITCH[voice.name] * 2 ** (voice.pitch / 12)
    options = ["-voice", voice.name, "--setf", f"duration_stretch={voice.tract / voice.pace:.4f}"]
    options += ["--setf", f"int_f0_target_mean={pitch / voice.tract:.2f}"]
    with tempfile.TemporaryDirectory(prefix="talkheads-") as folder:
        path = Path(folder) / "said.wav"
        try:
            done = _run(["flite", *options, "-psdur", "-t", text, "-o", str(path)])
        except FileNotFoundError:
            raise VoiceError("speaking with flite needs its program: apt-get install flite") from None
        if done.returncode or not path.exists():
            raise VoiceError(f"flite failed: {done.stderr.decode(errors='replace')[-300:]}")
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            raw = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    phones, begin = [], 0.0
    for item in done.stdout.decode().split():
        symbol, _, end = item.rpartition(":")
        phones.append(Phone("" if symbol == "pau" else symbol.upper(), begin, float(end)))
        begin = float(end)
    return raw, rate, phones


def _espeak(voice, text):
    name = f"{voice.language}+{voice.name}"
    pitch = int(np.clip(round(50 + 5 * (voice.pitch - 12 * np.log2(voice.tract))), 0, 99))
    pace = int(np.clip(round(165 * voice.pace / voice.tract), 80, 450))
    done = _run([sys.executable, "-I", "-S", str(PROGRAM), name, str(pitch), "55", str(pace), text])
    if done.returncode == 3:
        raise VoiceError("speaking with espeak-ng needs its library: apt-get install espeak-ng")
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-300:]
        raise VoiceError(f"espeak-ng cannot speak as {name} (status {done.returncode}): {said}")
    head, _, samples = done.stdout.partition(b"\n")
    head = json.loads(head)
    raw = np.frombuffer(samples, dtype="<i2")
    # "(de)" marks a switch of language inside the text: no sound.
    marks = [(at, symbol) for at, symbol in head["phones"] if not symbol.startswith("(")]
    ends = [at for at, _ in marks[1:]] + [len(raw)]
    phones = [Phone(s, at / head["rate"], end / head["rate"]) for (at, s), end in zip(marks, ends, strict=True)]
    phones = _with_onsets(phones, ONSET * ONSET_PACE / pace)
    if marks and marks[0][0] > 0:
        phones.insert(0, Phone("", 0.0, marks[0][0] / head["rate"]))
    return raw, head["rate"], phones


def _recorded(voice, text):
    # It has a synthesiser say the words, and so needs this module.
    from pushpull.data.talkheads.recorded import read_recording

    return read_recording(Path(voice.name) / text)


ENGINES = {"flite": _flite, "espeak": _espeak, "recorded": _recorded}  # called with voice and text: samples, Hz, phones


def _with_onsets(phones: list[Phone], onset: float) -> list[Phone]:
    """The phones with every vowel that follows a consonant begun ``onset`` seconds earlier, where it is heard."""
    moved = list(phones)
    for index in range(1, len(moved)):
        before, phone = moved[index - 1], moved[index]
        if _is_vowel(phone.symbol) and before.symbol and not _is_vowel(before.symbol):
            begin = max(phone.start - onset, (before.start + before.stop) / 2)
            moved[index - 1] = Phone(before.symbol, before.start, begin)
            moved[index] = Phone(phone.symbol, begin, phone.stop)
    return moved


def _is_vowel(symbol: str) -> bool:
    letters = [character for character in symbol if character.isalpha()]
    return bool(letters) and letters[0] in VOWELS


def _run(command):
    # Voices are looked for by the user's language and in the user's folders unless told otherwise.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    return subprocess.run(command, capture_output=True, timeout=TIMEOUT, env=environment, stdin=subprocess.DEVNULL)


def _pick(rng, choices):
    return choices[int(rng.integers(len(choices)))]
