"""The sound of any file, each piece where its own time says: which track, mixed how, and that said."""

import os
import re
from dataclasses import dataclass

import numpy as np

from pushpull.clip import SAMPLE_RATE
from pushpull.media.clock import (
    BACKWARDS,
    Approach,
    Opened,
    approaches,
    beside,
    broken_clock,
    moment,
    open_source,
    timed,
)
from pushpull.media.ffmpeg import READING, SECOND, FFmpeg, Limits, MediaError, source
from pushpull.media.probe import AudioTrack, too_long
from pushpull.media.stimulus import dequantise_audio

SILENCE = 1e-3  # full scale, -60 dBFS: below it nobody speaks
LISTENING = 600.0  # seconds of a track that are listened to, to find out whether it is silent
LONGEST = 7 * 24 * 3600.0  # seconds of sound that are read where the limits set none
# ffmpeg's warnings of a clock that it set right, for picture and sound alike.
JUMPED = re.compile(r"discontinuity|non-?monoton|backward in time|invalid dropping", re.IGNORECASE)
JITTER = 0.03  # seconds by which a piece may be off its place before silence is put in or samples are left out
PATIENCE = 1.0  # seconds in which times that lag may come right by themselves
OPPOSITE = 3.0  # power of left less right over that of their mean: more is a correlation of channels below -1/2
DIFFERENCE = "aformat=channel_layouts=stereo,pan=mono|c0=0.5*c0-0.5*c1"


@dataclass(frozen=True, eq=False)
class Sound:
    """The sound of a file, and what there is to say about how it was taken.

    Args:
        samples: (N,) float32 in [-1, 1] at 16 kHz, on the grid k / 32768; sample 0 is heard with the first picture.
        remarks: sentences for people; none where there was nothing to choose.
    """

    samples: np.ndarray
    remarks: tuple[str, ...] = ()


def read_sound(
    path: str | os.PathLike, *, limits: Limits = Limits(), start: float = 0.0, seconds: float | None = None
) -> Sound:
    """The sound of a file, or of ``seconds`` of it from ``start`` on, resampled and mixed down.

    Of several tracks it is the default one, or the first that is not silent. Left and right are averaged; where that
    would cancel them, because one is the other upside down, one of them is turned over first. Times are those of
    :func:`pushpull.media.read_frames`: a sound that starts late is preceded by silence. A part that begins after the
    sound has ended is empty.

    Raises:
        MediaError: no sound in the file, its clock runs back, or it cannot be read within ``limits``.
    """
    file = open_source(path, limits, part=start > 0 or seconds is not None)
    file.about.require_audio(file.name)
    track, remarks = _chosen(file, start)
    for approach in approaches(file, start, seconds):
        late, sound, warnings = _read(file, track, approach, start)
        if approach.last or late <= 0:
            break
    if sound is None and start == 0:
        raise MediaError(f"{file.name}: its sound track is empty. Record or export it again.")
    sound = np.zeros((0, 1), np.int16) if sound is None else sound
    mono, turned = _mixed(sound if seconds is None else sound[: round(seconds * SAMPLE_RATE)])
    if JUMPED.search(warnings):
        remarks = (*remarks, "Its clock jumps, as where files were put one behind another; lips may be off after that.")
    if turned:
        remarks = (*remarks, "Left and right are each other upside down and would cancel; one was turned over.")
    return Sound(dequantise_audio(mono), remarks)


def read_audio(
    path: str | os.PathLike, *, limits: Limits = Limits(), start: float = 0.0, seconds: float | None = None
) -> np.ndarray:
    """:func:`read_sound` without its remarks.

    Returns:
        (N,) float32 in [-1, 1] at 16 kHz.
    """
    return read_sound(path, limits=limits, start=start, seconds=seconds).samples


def _read(file: Opened, track: AudioTrack, approach: Approach, start: float) -> tuple[float, np.ndarray | None, str]:
    """Seconds from the part's beginning to the first piece, (N, channels) int16 or None, and ffmpeg's warnings."""
    arguments = [*approach.arguments, "-map", f"0:{track.index}", "-ac", "1", "-ar", str(SAMPLE_RATE)]
    arguments += [*timed("{samp}"), "-f", "s16le", "pipe:1"]
    if not track.mono:
        arguments += ["-map", f"0:{track.index}", "-af", DIFFERENCE, "-ar", str(SAMPLE_RATE), "-f", "s16le", SECOND]
    # A second more than the pictures' limit: sound may outlast them. What precedes a part is read and left out.
    longest = int((min(file.limits.max_seconds, LONGEST) + 1 + max(0.0, approach.begin)) * 2 * SAMPLE_RATE)
    with FFmpeg([*arguments, *beside(file)], name=file.name, timeout=file.limits.timeout, loglevel=READING) as run:
        data = run.read_all(longest)
        if len(data) > longest:
            raise too_long(file.name, file.limits)
        warnings, difference = run.finish(), run.second()
        ticks = run.ticks()
    if not ticks:
        return float("inf"), None, warnings
    pieces = [(round(moment(tick, approach.begin) * SAMPLE_RATE), int(tick[2])) for tick in ticks]
    samples = [np.frombuffer(data, dtype="<i2")]
    samples += [] if track.mono else [np.resize(np.frombuffer(difference, dtype="<i2"), len(samples[0]))]
    return pieces[0][0] / SAMPLE_RATE, _placed(np.stack(samples, axis=1), pieces, file, start), warnings


def _placed(samples: np.ndarray, pieces: list[tuple[int, int]], file: Opened, start: float) -> np.ndarray:
    """``samples``, (N, channels), in ``pieces`` of (place of the first sample, number), put where they are due."""
    due, counts = np.array(pieces, dtype=np.int64).T
    begins = np.concatenate([[0], np.cumsum(counts)])
    offsets = due - begins[:-1]  # constant where one piece follows the other
    jitter, parts, at = JITTER * SAMPLE_RATE, [], int(due[0])
    for index, (begin, end) in enumerate(zip(begins[:-1], begins[1:], strict=True)):
        ahead = int(due[index]) - at
        if ahead < -BACKWARDS * SAMPLE_RATE:
            raise broken_clock(file.name, start + at / SAMPLE_RATE, -ahead / SAMPLE_RATE)
        if ahead < -jitter:
            # Times within one packet may lag and come right with the next: only what stays behind is left out.
            soon = np.searchsorted(begins, begin + PATIENCE * SAMPLE_RATE)
            ahead += int(offsets[index:soon].max() - offsets[index])
        if ahead > jitter:
            if due[index] > (min(file.limits.max_seconds, LONGEST) + 1) * SAMPLE_RATE:
                raise too_long(file.name, file.limits)
            parts.append(np.zeros((ahead, samples.shape[1]), np.int16))
            at += ahead
        begin = min(end, begin - ahead) if ahead < -jitter else begin
        parts.append(samples[begin:end])
        at += int(end - begin)
    first = int(due[0])
    lead = [np.zeros((first, samples.shape[1]), np.int16)] if first > 0 else []
    return np.concatenate(lead + parts)[max(0, -first) :]


def _mixed(sound: np.ndarray) -> tuple[np.ndarray, bool]:
    """Means of the channels, beside them half of left less right where there are two -> (N,) int16, whether turned."""
    mean = sound[:, 0]
    if sound.shape[1] == 1 or len(sound) == 0:
        return mean, False
    loudness = np.mean(np.square(sound, dtype=np.float32), axis=0, dtype=np.float64)
    opposite = bool(loudness[1] > OPPOSITE * loudness[0])
    return (sound[:, 1] if opposite else mean), opposite


def _chosen(file: Opened, start: float) -> tuple[AudioTrack, tuple[str, ...]]:
    """The track to take, and a sentence about it where there is a choice."""
    tracks = file.about.tracks
    if len(tracks) == 1:
        return tracks[0], ()
    numbers = {track.index: number for number, track in enumerate(tracks, start=1)}
    first, *others = sorted(tracks, key=lambda track: not track.default)
    silent = []
    for track in (first, *others):
        if _loudest(file, track, start) >= SILENCE:
            break
        silent.append(track)
    else:
        return first, (f"All {len(tracks)} sound tracks are silent; track {numbers[first.index]} was taken.",)
    why = "the file's default" if not silent and track.default else "the first"
    if silent:
        names = ", ".join(str(numbers[other.index]) for other in silent)
        why = f"the first that is not silent ({names} {'is' if len(silent) == 1 else 'are'})"
    return track, (f"The sound is track {numbers[track.index]} of {len(tracks)}, {why}.",)


def _loudest(file: Opened, track: AudioTrack, start: float) -> float:
    """The largest sample of a track, full scale; 0 where there is none."""
    jump = ["-ss", f"{start:.3f}"] if start > 0 else []
    arguments = [*jump, "-t", f"{LISTENING:g}", *source(file.path, file.limits), "-map", f"0:{track.index}"]
    arguments += ["-af", "volumedetect", "-f", "null", "-"]
    with FFmpeg(arguments, name=file.name, timeout=file.limits.timeout, loglevel="info") as run:
        _, said = run.wait()
    found = re.findall(r"max_volume: (-?[\d.]+) dB", said)
    return max((10 ** (float(level) / 20) for level in found), default=0.0)
