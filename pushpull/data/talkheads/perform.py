"""A script played: the finished sound, the label of every frame, and what each face's lips follow."""

from dataclasses import dataclass

import numpy as np

from pushpull.clip import SAMPLE_RATE, SAMPLES_PER_FRAME
from pushpull.data.talkheads.script import Script
from pushpull.data.talkheads.sound import record, speech_activity
from pushpull.data.talkheads.voice import Phone, Utterance, say

MARGIN = 1.0  # seconds of voices kept before and after the clip, for shifted sound and for lips that are ahead of it


@dataclass(frozen=True, eq=False)
class Performance:
    """What a clip sounds like and what its faces do it to.

    Args:
        audio: (640 T,) float32, as the file has it.
        labels: (R, T) int64, 1 where the role's own voice is heard in time with its lips.
        lips: per role, the phones that its lips follow, heard or not; seconds from the clip's start.
        voices: per role, (N + 2 s,) float32: the dry voice that its lips follow, from MARGIN before the clip.
    """

    audio: np.ndarray
    labels: np.ndarray
    lips: tuple[tuple[Phone, ...], ...]
    voices: tuple[np.ndarray, ...]


def perform(script: Script) -> Performance:
    """Play ``script``.

    Raises:
        VoiceError: a synthesiser is missing.
    """
    margin = round(MARGIN * SAMPLE_RATE)
    samples = script.frames * SAMPLES_PER_FRAME
    roles = len(script.roles)
    lips: list[list[Phone]] = [[] for _ in range(roles)]
    own: list[list[Phone]] = [[] for _ in range(roles)]
    voices = [np.zeros(samples + 2 * margin, np.float32) for _ in range(roles)]
    heard = np.zeros(samples + 2 * margin, np.float32)
    for turn, start, said in _schedule(script):
        phones = [Phone(p.symbol, p.start + start, p.stop + start) for p in said.phones]
        at = margin + round(start * SAMPLE_RATE)
        if turn.lips:
            lips[turn.who] += [Phone(p.symbol, p.start - script.lead, p.stop - script.lead) for p in phones]
            _add(voices[turn.who], said.audio, at - round(script.lead * SAMPLE_RATE))
        if turn.heard:
            _add(heard, said.audio, at + round(script.shift * SAMPLE_RATE))
        if turn.lips and turn.heard and script.shift == 0:
            own[turn.who] += phones
    rng = np.random.default_rng([script.seed, 1])
    others = [say(turn.voice, turn.text).audio for turn in script.strangers] if _babbles(script) else []
    return Performance(
        audio=record(heard[margin : margin + samples], script.recording, rng, others),
        labels=np.stack([speech_activity(phones, script.frames) for phones in own]).astype(np.int64),
        lips=tuple(tuple(sorted(phones, key=lambda phone: phone.start)) for phones in lips),
        voices=tuple(voices),
    )


def _babbles(script):
    return script.recording.noise == "babble"


def _schedule(script: Script):
    """(turn, second at which its sound file starts, what was said) of every turn that matters to the clip."""
    for thread in script.threads:
        clock = 0.0
        for turn in thread:
            if clock > script.seconds + MARGIN:
                break
            said = say(turn.voice, turn.text)
            first, last = _sounding(said)
            start = clock + turn.pause - first
            clock = start + last
            yield turn, start, said


def _sounding(said: Utterance) -> tuple[float, float]:
    """Seconds of the first and the last sound; synthesisers put a pause at either end."""
    voiced = [phone for phone in said.phones if phone.symbol]
    return (voiced[0].start, voiced[-1].stop) if voiced else (0.0, said.seconds)


def _add(track, sound, at):
    begin, end = max(0, at), min(len(track), at + len(sound))
    if begin < end:
        track[begin:end] += sound[begin - at : end - at]
