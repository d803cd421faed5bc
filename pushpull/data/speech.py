"""When somebody speaks: word alignments where there are any, else the energy of the sound."""

from pathlib import Path

import numpy as np

from pushpull.clip import SAMPLE_RATE, SAMPLES_PER_FRAME
from pushpull.files import read_text

ALIGN_UNITS = 1000  # GRID's .align files count 1000 units per video frame of 25 fps, that is 25 units per millisecond
SILENCES = frozenset({"sil", "sp"})

HOP = SAMPLE_RATE // 100  # 10 ms, four energies per video frame
WINDOW = 400  # 25 ms, the usual analysis window of speech
QUIETEST = -60.0  # dB re full scale; below it nothing counts as a voice, however quiet the rest of the clip is
CONTRAST = 12.0  # dB between loud and quiet parts; with less there is no telling a voice from its background
RISE, FALL = 0.60, 0.40  # hysteresis: a voice begins and ends at these shares of the way from floor to peak, in dB
GAP, BURST = 20, 8  # slots of 10 ms: pauses up to 200 ms belong to the speech, bursts under 80 ms are clicks


def read_words(path: str | Path) -> list[tuple[float, float, str]]:
    """The words of an alignment in GRID's format: one ``start end word`` per line.

    Args:
        path: the file; 1000 units are one video frame at 25 fps; the words ``sil`` and ``sp`` are silence.

    Returns:
        (start, end, word) in the file's units, in its order, without silences.

    Raises:
        ValueError: a line is not ``start end word`` with start <= end, or the file is no text; the message names
            file and line.
    """
    words = []
    try:
        lines = read_text(path).splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: a word alignment is text with 'start end word' on each line") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            start, end, word = line.split()
            start, end = float(start), float(end)
        except ValueError:
            raise ValueError(f"{path}:{number}: expected 'start end word', got {line!r}") from None
        if not start <= end:
            raise ValueError(f"{path}:{number}: a word ends before it starts: {line!r}")
        if word not in SILENCES:
            words.append((start, end, word))
    return words


def read_align(path: str | Path, frames: int) -> np.ndarray:
    """Speech activity from a word alignment, see :func:`read_words`, which says what is refused.

    Args:
        frames: T, how many video frames the clip has; frames past the last word are silent.

    Returns:
        (T,) bool, true where the middle of the frame lies inside a word.
    """
    speech = np.zeros(frames, dtype=bool)
    middles = (np.arange(frames) + 0.5) * ALIGN_UNITS
    for start, end, _ in read_words(path):
        speech |= (middles >= start) & (middles < end)
    return speech


def detect_speech(audio: np.ndarray) -> np.ndarray:
    """Speech activity from the energy of (N,) float32 audio, for footage without alignments.

    The level of every 10 ms is compared with the clip's own floor and peak (5th and 95th percentile, dB) with
    hysteresis; short pauses are bridged and clicks dropped. It cannot tell a voice from any other sound that comes
    and goes, and calls a clip without contrast silent: give footage with music or traffic an alignment file.

    Returns:
        (T,) bool, one per video frame, true where at least half of the frame is speech.
    """
    frames = len(audio) // SAMPLES_PER_FRAME
    if frames == 0:
        return np.zeros(0, dtype=bool)
    level = _levels(audio, frames * 4)
    floor, peak = max(np.percentile(level, 5), QUIETEST - CONTRAST), np.percentile(level, 95)
    if peak < QUIETEST or peak - floor < CONTRAST:
        return np.zeros(frames, dtype=bool)
    begin, end = floor + RISE * (peak - floor), floor + FALL * (peak - floor)
    # Hysteresis without a loop: a run above `end` is speech when it anywhere rises above `begin`.
    speech = _keep_runs(level > end, lambda a, b: level[a:b].max() > begin)
    speech = ~_keep_runs(~speech, lambda a, b: b - a > GAP or a == 0 or b == len(speech))
    speech = _keep_runs(speech, lambda a, b: b - a >= BURST)
    return speech.reshape(frames, 4).sum(axis=1) >= 2


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of every stretch of true in (T,) bool ``flags``, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _keep_runs(flags, keep):
    kept = np.zeros_like(flags)
    for start, stop in runs(flags):
        kept[start:stop] = keep(start, stop)
    return kept


def _levels(audio, slots):
    """(slots,) dB re full scale: RMS of a 25 ms window centred on each slot of 10 ms."""
    margin = (WINDOW - HOP) // 2
    power = np.concatenate([[0.0], np.cumsum(np.pad(audio.astype(np.float64), (margin, margin)) ** 2)])
    start = np.arange(slots) * HOP
    return 10 * np.log10(np.maximum(power[start + WINDOW] - power[start], 0) / WINDOW + 1e-12)
