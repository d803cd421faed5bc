"""What the microphone hears: voices placed in time, the room, noise, babble and music, the recording's level."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve, lfilter

from pushpull.clip import FPS, SAMPLE_RATE
from pushpull.data.speech import GAP, HOP
from pushpull.data.talkheads.voice import Phone

# A shorter pause belongs to the speech around it, as in pushpull.data.speech: one policy for all footage.
BRIDGED = GAP * HOP / SAMPLE_RATE
NOISES = ("none", "hiss", "hum", "babble", "music")
# A scale of five notes sounds like music whatever is played in it.
SCALE = (0, 2, 4, 7, 9)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """How a clip is recorded.

    Args:
        reverberation: seconds until the room's echo has fallen by 60 dB; 0 is a dry booth.
        distance: 0 at the lips .. 1 across the room: the share of the sound that comes by way of the walls.
        noise: one of NOISES. snr_db: the voices' level over it; without a voice in the clip, over a voice's usual.
        floor_db: the microphone's own noise, dB re full scale.
        level_db: the finished sound's peak, dB re full scale.
    """

    reverberation: float = 0.2
    distance: float = 0.2
    noise: str = "none"
    snr_db: float = 10.0
    floor_db: float = -65.0
    level_db: float = -6.0

    def __post_init__(self):
        if self.noise not in NOISES:
            raise ValueError(f"noise is one of {', '.join(NOISES)}, got {self.noise!r}")
        if not (0 <= self.reverberation <= 3 and 0 <= self.distance <= 1 and self.level_db <= 0):
            raise ValueError(f"need reverberation 0..3 s, distance 0..1 and level_db <= 0, got {self}")


def speech_activity(phones: Sequence[Phone], frames: int) -> np.ndarray:
    """When a voice is heard: (T,) bool at 25 fps, true where the middle of the frame lies in speech.

    Pauses of up to 200 ms between phones belong to the speech.
    """
    spoken = sorted((p.start, p.stop) for p in phones if p.symbol)
    merged: list[list[float]] = []
    for start, stop in spoken:
        if merged and start - merged[-1][1] <= BRIDGED:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    middles = (np.arange(frames) + 0.5) / FPS
    active = np.zeros(frames, dtype=bool)
    for start, stop in merged:
        active |= (middles >= start) & (middles < stop)
    return active


def loudness(audio: np.ndarray, times: np.ndarray) -> np.ndarray:
    """How loud the voice is at ``times`` (seconds), 0..1 of its own loud parts; (N,) sound -> (T,)."""
    envelope = np.sqrt(gaussian_filter1d(audio.astype(np.float64) ** 2, 0.02 * SAMPLE_RATE)[:: HOP // 2])
    at = np.arange(len(envelope)) * (HOP // 2) / SAMPLE_RATE
    loud = np.percentile(envelope[envelope > 0.05 * max(envelope.max(), 1e-9)], 85) if envelope.any() else 1.0
    return np.clip(np.interp(times, at, envelope / loud, left=0, right=0), 0, 1)


def record(voices: np.ndarray, recording: Recording, rng: np.random.Generator, others=()) -> np.ndarray:
    """The finished sound.

    Args:
        voices: (N,) everybody who is to be heard, dry.
        others: sounds of strangers, for babble: any lengths, each at least a second.
        rng: decides the room's walls and the noise's samples.

    Returns:
        (N,) float32 on the grid of 16 bits, peak at ``level_db``; a sound with nothing in it stays that quiet.
    """
    heard = _in_room(voices.astype(np.float64), recording, rng)
    speech = _rms(heard[np.abs(heard) > 1e-3]) if (np.abs(heard) > 1e-3).any() else 0.0
    reference = speech or 0.05
    if recording.noise != "none":
        noise = _noise(recording.noise, len(heard), rng, others)
        heard = heard + noise * (reference * 10 ** (-recording.snr_db / 20) / max(_rms(noise), 1e-9))
    peak = np.abs(heard).max()
    if peak > 0:
        heard = heard * (10 ** (recording.level_db / 20) / peak)
    heard = heard + rng.standard_normal(len(heard)) * 10 ** (recording.floor_db / 20)
    return (np.clip(np.rint(heard * 32768), -32768, 32767) / 32768).astype(np.float32)


def _in_room(dry, recording, rng):
    """Sparse early echoes and a decaying tail; the direct sound keeps its time, so lips and sound stay together."""
    if recording.reverberation == 0 or recording.distance == 0:
        return dry
    length = int(recording.reverberation * SAMPLE_RATE)
    seconds = np.arange(length) / SAMPLE_RATE
    tail = rng.standard_normal(length) * 10 ** (-3 * seconds / recording.reverberation)
    tail = lfilter([0.35], [1, -0.65], tail)  # walls swallow high frequencies
    tail[: int(0.004 * SAMPLE_RATE)] = 0
    for delay in rng.uniform(0.004, 0.035, size=5):
        tail[min(int(delay * SAMPLE_RATE), length - 1)] += (
            rng.choice([-1, 1]) * rng.uniform(0.5, 1.5) * np.std(tail) * 8
        )
    tail *= recording.distance / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return fftconvolve(dry, tail)[: len(dry)]


def _noise(kind, samples, rng, others):
    seconds = np.arange(samples) / SAMPLE_RATE
    if kind == "hiss":
        spectrum = np.fft.rfft(rng.standard_normal(samples))
        spectrum[0] = 0
        return np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** (rng.uniform(0, 2) / 2), samples)
    if kind == "hum":  # mains and a fan
        base = rng.choice([50.0, 60.0])
        tones = sum(np.sin(2 * np.pi * (base * k * seconds + rng.random())) / k for k in range(1, 8))
        return tones + 0.6 * lfilter([0.05], [1, -0.95], rng.standard_normal(samples)) * 8
    if kind == "babble":
        return sum(_placed(other, samples, rng) / max(_rms(other), 1e-9) for other in others)
    return _music(samples, rng)


def _placed(other, samples, rng):
    return np.resize(np.roll(other, int(rng.integers(len(other)))), samples).astype(np.float64)


def _music(samples, rng):
    """Plucked notes of a pentatonic scale over a slow bass: two voices, a steady beat."""
    out = np.zeros(samples)
    beat, root = rng.uniform(0.16, 0.36), 110 * 2 ** (rng.integers(12) / 12)
    for octave, every, decay, gain in ((2, 1, 0.3, 1.0), (0, 4, 1.2, 0.9)):
        for start in np.arange(0, samples / SAMPLE_RATE, beat * every):
            if every == 1 and rng.random() < 0.25:
                continue
            pitch = root * 2 ** (octave + SCALE[rng.integers(len(SCALE))] / 12)
            begin = int(start * SAMPLE_RATE)
            t = np.arange(min(int(3 * decay * SAMPLE_RATE), samples - begin)) / SAMPLE_RATE
            note = sum(np.sin(2 * np.pi * pitch * k * t) / k**1.5 for k in range(1, 6) if pitch * k < SAMPLE_RATE / 2)
            out[begin : begin + len(t)] += gain * note * np.exp(-t / decay) * np.clip(t / 0.005, 0, 1)
    return out


def _rms(audio):
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0
