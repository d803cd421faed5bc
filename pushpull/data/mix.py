"""The types of example: what a pair of face and sound is labelled, and how it is made from real footage.

A frame is *speaking* when the voice of the visible person is audible at that frame. Every source clip is in sync and
its labels are its speech activity; from it and its neighbours come

=========  ==============================================  ===========================================  ==============
type       picture                                         sound                                        label
=========  ==============================================  ===========================================  ==============
in_sync    as filmed                                       as recorded                                  speech activity
swapped    as filmed                                       another clip's, same or other speaker        0
shifted    as filmed                                       its own, 200-800 ms early or late            0
still      the person's own silent lips, wandering         its own or another's                         0
frozen     one frame, with sensor noise and camera drift   its own or another's                         0
silence    as filmed                                       digital silence or room noise below -45 dB   0
noise      as filmed                                       noise, tones or babble at the voice's level  0
=========  ==============================================  ===========================================  ==============
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import cv2
import numpy as np

from pushpull.clip import FACE_SIZE, SAMPLE_RATE, SAMPLES_PER_FRAME, Clip
from pushpull.data.speech import runs

# Below 200 ms people themselves call sound and lips synchronous; within 800 ms the rhythm still looks plausible.
SHIFT_MS = (200.0, 800.0)
STILL_MARGIN = 3  # frames between still lips and speech: mouths open before and close after the sound
STILL_FRAMES = 5  # the shortest stretch worth wandering in
OWN = "own"


@dataclass(frozen=True)
class ExampleMix:
    """How often each type of example is drawn, relative to the sum of these shares.

    Args:
        in_sync: as filmed; labelled with its speech activity. All others are labelled not speaking.
        swapped: another clip's voice.
        shifted: its own voice, 200 to 800 ms early or late.
        still: resting lips and a voice. Needs footage in which people also pause.
        frozen: one frame, with sensor noise and camera drift, and a voice.
        silence: no sound, or room noise below -45 dB.
        noise: noise, tones or babble at the voice's level.
        own: finished examples of the corpus itself, with its own labels (talking heads: turns, chewing, dubbing, ...).

    Raises:
        ValueError: a share is negative or all are zero.
    """

    in_sync: float = 0.4
    swapped: float = 0.18
    shifted: float = 0.12
    still: float = 0.1
    frozen: float = 0.04
    silence: float = 0.04
    noise: float = 0.12
    own: float = 0.0

    def __post_init__(self):
        if min(self.shares) < 0 or sum(self.shares) == 0:
            raise ValueError(f"the shares of a mix must not be negative, nor all zero, got {self}")

    @property
    def names(self) -> tuple[str, ...]:
        """The types that :func:`make_example` makes from clips in sync."""
        return tuple(field.name for field in fields(self) if field.name != OWN)

    @property
    def shares(self) -> tuple[float, ...]:
        """One number for each of the names, and one for ``own``."""
        return tuple(getattr(self, name) for name in (*self.names, OWN))

    def draw(self, rng: np.random.Generator, count: int) -> list[str]:
        shares, names = np.array(self.shares), (*self.names, OWN)
        return [names[i] for i in rng.choice(len(shares), size=count, p=shares / shares.sum())]


class NoStillLips(ValueError):
    """Footage in which nobody pauses gives no resting lips."""


def make_example(
    kind: str, clip: Clip, neighbour: Callable[[], Clip], rng: np.random.Generator, *, start: int, frames: int
) -> Clip:
    """One labelled example of type ``kind`` from frames ``start`` to ``start + frames`` of a clip in sync.

    Args:
        kind: one of the names in ``ExampleMix``.
        clip: in sync, at least ``start + frames`` long, labels = its speech activity.
        neighbour: gives some other clip of the corpus each time it is called.
        rng: decides everything that is left to chance.

    Raises:
        ValueError: unknown type.
        NoStillLips: ``still`` where neither the clip nor its neighbours ever keep their lips still.
    """
    if kind not in MAKERS:
        raise ValueError(f"unknown type of example {kind!r}; there are {', '.join(MAKERS)}")
    window = clip.span(start, start + frames)
    video, audio = MAKERS[kind](clip, window, neighbour, rng, start)
    labels = window.labels if kind == "in_sync" else np.zeros(frames, dtype=np.int64)
    return Clip(audio=audio.astype(np.float32), video=video, labels=labels, name=f"{clip.name}-{kind}")


def _in_sync(clip, window, neighbour, rng, start):
    return window.video, window.audio


def _swapped(clip, window, neighbour, rng, start):
    return window.video, _voice_of(neighbour(), window.frames, rng)


def _shifted(clip, window, neighbour, rng, start):
    shift = round(rng.uniform(*SHIFT_MS) * SAMPLE_RATE / 1000)
    begin, samples = start * SAMPLES_PER_FRAME, len(window.audio)
    fits = [s for s in (-shift, shift) if begin + s >= 0 and begin + s + samples <= len(clip.audio)]
    # Where the clip has no sound that early or late, its sound goes round: the splice lies where clips are silent.
    return window.video, _around(clip.audio, begin + rng.choice(fits or [-shift, shift]), samples)


def _still(clip, window, neighbour, rng, start):
    donor = clip
    for _ in range(20):
        segment = still_segment(donor)
        if segment:
            break
        donor = neighbour()
    else:
        raise NoStillLips(
            f"no clip near {clip.name!r} keeps its lips still for {STILL_FRAMES} frames; use footage with pauses, or "
            "train without the type 'still' and without the warm-up, which needs it (mix.still 0, warmup_frames 0)"
        )
    path = segment[0] + wander(segment[1] - segment[0], window.frames, rng)
    return donor.video[path], _some_voice(window, neighbour, rng)


def _frozen(clip, window, neighbour, rng, start):
    frame = window.video[rng.integers(window.frames)]
    video = shake(np.repeat(frame[None], window.frames, axis=0), rng)
    return video, _some_voice(window, neighbour, rng)


def _silence(clip, window, neighbour, rng, start):
    if rng.random() < 0.5:
        return window.video, np.zeros_like(window.audio)
    return window.video, _at_level(_coloured(len(window.audio), rng), 10 ** (rng.uniform(-70, -45) / 20))


def _noise(clip, window, neighbour, rng, start):
    samples, seconds = len(window.audio), np.arange(len(window.audio)) / SAMPLE_RATE
    source = rng.choice(["steady", "beating", "tones", "babble"])
    if source == "babble":
        sound = sum(_at_level(_voice_of(neighbour(), window.frames, rng), 1.0) for _ in range(5))
    elif source == "tones":
        pitches = rng.uniform(80, 1200, size=4)
        sound = sum(np.sin(2 * np.pi * (f * seconds + rng.random())) for f in pitches)
    else:
        sound = _coloured(samples, rng)
    if source in ("beating", "tones"):  # at the rate of syllables, so that rhythm alone does not give it away
        sound = sound * (1 + rng.uniform(0.3, 1) * np.sin(2 * np.pi * (rng.uniform(2, 6) * seconds + rng.random())))
    loudness = max(_rms(clip.audio), 0.01) * 10 ** (rng.uniform(-5, 5) / 20)
    return window.video, np.clip(_at_level(sound, loudness), -1, 1)


MAKERS = {
    "in_sync": _in_sync,
    "swapped": _swapped,
    "shifted": _shifted,
    "still": _still,
    "frozen": _frozen,
    "silence": _silence,
    "noise": _noise,
}


def other_clip(pool, index: int, rng: np.random.Generator) -> Clip:
    """Some other clip of ``pool`` than number ``index``: where it has a say in that (``pool.other``), of its choice."""
    if hasattr(pool, "other"):
        return pool.other(index, rng)
    return pool[int((index + rng.integers(1, len(pool))) % len(pool))]


def base_clip(pool, index: int) -> str:
    """What footage clip number ``index`` was cut from: where the pool knows it (``pool.base``), a file, else the clip.

    Pieces of one file show one person in one place, so that they are not independent.
    """
    return pool.base(index) if hasattr(pool, "base") else pool[index].name


def still_segment(clip: Clip) -> tuple[int, int] | None:
    """(start, stop) of the longest stretch of at least 5 frames in which the lips rest, 3 frames away from speech."""
    best = None
    for start, stop in runs(clip.labels == 0):
        start += STILL_MARGIN if start > 0 else 0
        stop -= STILL_MARGIN if stop < clip.frames else 0
        if stop - start >= STILL_FRAMES and (best is None or stop - start > best[1] - best[0]):
            best = start, stop
    return best


def wander(length: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """(frames,) indices into ``length`` frames, one step a frame, turning at the ends and now and then by chance.

    Real sensor noise and motion stay at their real speed, no frame repeats its predecessor and there is no period:
    nothing but the resting lips tells the result from filmed footage.
    """
    path = np.empty(frames, dtype=np.int64)
    position, step = int(rng.integers(length)), int(rng.choice([-1, 1]))
    for t, turn in enumerate(rng.random(frames) < 0.05):
        path[t] = position
        step = -step if turn else step
        if not 0 <= position + step < length:
            step = -step
        position += step
    return path


def shake(video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Camera drift (up to 2 pixels, 1 degree, 1 %), flicker and sensor noise on (T, 112, 112) uint8 frames.

    A repeated frame would be given away by its perfect stillness; applied to other types too, the treatment itself
    gives nothing away.
    """
    seconds, middle = np.arange(len(video)) / 25, (FACE_SIZE - 1) / 2

    def sway(amplitude):
        rates, phases = rng.uniform(0.2, 2.5, size=3), rng.random(3)
        return amplitude * np.sin(2 * np.pi * (np.outer(seconds, rates) + phases)).mean(axis=1)

    x, y, flicker = sway(rng.uniform(0, 2)), sway(rng.uniform(0, 2)), sway(rng.uniform(0, 2))
    angle, scale, sigma = sway(rng.uniform(0, 1)), 1 + sway(rng.uniform(0, 0.01)), rng.uniform(0.3, 2.5)
    out = np.empty_like(video)
    for t, frame in enumerate(video):
        matrix = cv2.getRotationMatrix2D((middle, middle), angle[t], scale[t])
        matrix[:, 2] += x[t], y[t]
        moved = cv2.warpAffine(frame, matrix, (FACE_SIZE, FACE_SIZE), borderMode=cv2.BORDER_REFLECT_101)
        noise = rng.standard_normal(frame.shape, dtype=np.float32) * sigma + flicker[t]
        out[t] = np.clip(np.rint(moved + noise), 0, 255)
    return out


def _some_voice(window, neighbour, rng):
    return window.audio if rng.random() < 0.5 else _voice_of(neighbour(), window.frames, rng)


def _voice_of(clip, frames, rng):
    """A random stretch of the clip's sound, gone round where the clip is shorter."""
    room = clip.frames - frames
    begin = rng.integers(room + 1) if room > 0 else rng.integers(clip.frames)
    return _around(clip.audio, begin * SAMPLES_PER_FRAME, frames * SAMPLES_PER_FRAME)


def _around(audio, begin, samples):
    return audio[np.arange(begin, begin + samples) % len(audio)]


def _coloured(samples, rng):
    """Noise with a power spectrum 1/f^k, k from 0 (white) to 2 (brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[0] = 0
    return np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** (rng.uniform(0, 2) / 2), samples)


def _rms(audio):
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def _at_level(audio, rms):
    return audio * (rms / max(_rms(audio), 1e-9))
