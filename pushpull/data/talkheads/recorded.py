"""Somebody's real voice: recordings with the time of every word, and an estimate of the time of every sound in it.

A recording is a file with sound and, beside it, a word alignment in GRID's format (``NAME.align``, see
:func:`pushpull.data.speech.read_words`). A synthesiser says the same words, and each of its words is stretched over the
recorded one: words begin and end as they were aligned, and the sounds in them lie near where they are heard (how near:
docs/talkheads.md).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from pushpull.clip import FPS, SAMPLE_RATE
from pushpull.data.speech import ALIGN_UNITS, read_words
from pushpull.data.talkheads.voice import Phone, Voice, say
from pushpull.data.talkset import TalkSetOptions, split_of
from pushpull.files import sha256
from pushpull.media import read_audio

ALIGN = ".align"
MODEL = Voice(engine="flite", name="slt")  # who says the words once more
KEPT = 0.15  # seconds of the recording before its first word and after its last
FADE = 0.02  # seconds in which it comes and goes, so that neither clicks


@lru_cache
def recordings(folder: str, split: str) -> tuple[str, ...]:
    """Names of the recordings of ``split`` in a folder and those below it, in order.

    A file is in the split in which ``pushpull.data.talkset`` has it, so that heads that train a detector say nothing
    that it is tested on.

    Raises:
        ValueError: there is none.
    """
    root, found = Path(folder), []
    for path in sorted(root.rglob(f"[!.]*{ALIGN}")):
        sound = _sound_of(path)
        if sound is not None and split_of(sha256(sound), TalkSetOptions()) == split:
            found.append(sound.relative_to(root).as_posix())
    if not found:
        raise ValueError(
            f"{folder} holds no recording for the {split} split: a sound or video file with its words in NAME{ALIGN} "
            "beside it"
        )
    return tuple(found)


def read_recording(path: Path) -> tuple[np.ndarray, int, list[Phone]]:
    """What was recorded from a moment before the first word to a moment after the last.

    Returns:
        (N,) int16 samples, their rate in Hz, and the phones, pauses among them, in seconds.

    Raises:
        ValueError: no word, or one of which the alignment says that it lies past the end of the sound.
        VoiceError: the synthesiser is missing.
    """
    align = path.with_suffix(ALIGN)
    words = [(a / ALIGN_UNITS / FPS, b / ALIGN_UNITS / FPS, word) for a, b, word in read_words(align) if a < b]
    sound = read_audio(path)
    if not words:
        raise ValueError(f"{align}: nobody says a word")
    seconds, (start, _, word) = len(sound) / SAMPLE_RATE, words[-1]
    if start >= seconds:
        raise ValueError(f"{align}: {word!r} begins at {start:.2f} s, and the sound ends at {seconds:.2f} s")
    begin, end = max(0.0, words[0][0] - KEPT), min(seconds, words[-1][1] + KEPT)
    kept = sound[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)].copy()
    edge = np.linspace(0, 1, min(len(kept) // 2, round(FADE * SAMPLE_RATE)), dtype=np.float32)
    kept[: len(edge)] *= edge
    kept[len(kept) - len(edge) :] *= edge[::-1]
    phones, clock = [], begin
    for (start, stop, _), sounds in zip(words, said([word for _, _, word in words]), strict=True):
        phones.append(Phone("", clock, max(clock, start)))
        phones += stretched(sounds, max(clock, start), min(stop, seconds))
        clock = stop
    phones.append(Phone("", clock, end))
    moved = [Phone(phone.symbol, phone.start - begin, phone.stop - begin) for phone in phones]
    return np.round(kept * 32767).astype(np.int16), SAMPLE_RATE, [phone for phone in moved if phone.stop > phone.start]


def said(words: Sequence[str]) -> list[list[Phone]]:
    """The sounds of each word as the synthesiser says them in a row.

    Raises:
        ValueError: a word that it cannot say.
    """
    alone = [_sounds(word) for word in words]
    together = _sounds(" ".join(words))
    if len(together) != sum(map(len, alone)):
        return alone  # in a row some words sound otherwise, and nothing tells where one ends
    ends = np.cumsum([len(sounds) for sounds in alone])
    return [list(together[end - len(sounds) : end]) for sounds, end in zip(alone, ends, strict=True)]


def stretched(sounds: Sequence[Phone], start: float, stop: float) -> list[Phone]:
    """The sounds of a word, each as long in proportion, from ``start`` to ``stop`` (seconds)."""
    first, scale = sounds[0].start, (stop - start) / (sounds[-1].stop - sounds[0].start)
    return [Phone(s.symbol, start + (s.start - first) * scale, start + (s.stop - first) * scale) for s in sounds]


@lru_cache(maxsize=4096)
def _sounds(text: str) -> tuple[Phone, ...]:
    found = tuple(phone for phone in say(MODEL, text).phones if phone.symbol)
    if not found:
        raise ValueError(f"the word {text!r} of an alignment cannot be said")
    return found


def _sound_of(align: Path) -> Path | None:
    beside = [path for path in align.parent.glob(f"{align.stem}.*") if path.suffix != ALIGN and path.is_file()]
    return min(beside, default=None)
