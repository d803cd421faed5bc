"""The sound of any video file, 16 kHz mono on the file's own clock."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.clip import SAMPLE_RATE
from pushpull.media.clock import LONGEST_GAP, RUN_UP, Clock, nowhere, read_clock, seek
from pushpull.media.ffmpeg import TIMES, FFmpeg, Limits, MediaError, source
from pushpull.media.probe import Probe, Track, probe, too_long
from pushpull.media.stimulus import dequantise_audio

SILENCE = 1e-3  # of full scale, -60 dB: below it nobody speaks
# What a piece of sound may be apart from the end of the one before without being moved: containers round their times.
SLACK = SAMPLE_RATE // 25
# Of the louder channel's level: what the mean of both must have, or they cancel each other.
CANCELLED = 0.25
SPARE = 1.0  # seconds that sound may outlast the pictures' limit


@dataclass(frozen=True, eq=False)
class Sound:
    """The sound of a file, or of a part of it.

    Args:
        samples: (N,) float32 in [-1, 1] at 16 kHz, on the grid k / 32768; sample 0 is heard with frame 0 of
            :func:`pushpull.media.read_frames`.
        track: which of the file's sound tracks it is, from 0.
        notes: what was chosen for the listener, in sentences; empty where there was nothing to choose.
    """

    samples: np.ndarray
    track: int
    notes: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether it holds nothing that could be speech."""
        return not len(self.samples) or float(np.abs(self.samples).max()) < SILENCE


def read_audio(
    path: str | os.PathLike, *, limits: Limits = Limits(), start: float = 0.0, seconds: float | None = None
) -> np.ndarray:
    """The samples of :func:`read_sound`."""
    return read_sound(path, limits=limits, start=start, seconds=seconds).samples


def read_sound(
    path: str | os.PathLike, *, limits: Limits = Limits(), start: float = 0.0, seconds: float | None = None
) -> Sound:
    """The sound of a file, or of ``seconds`` of it from ``start`` on, resampled and mixed down.

    Of several tracks it is the one that the file marks as default, or the first that is not silent. Channels that would
    cancel each other are not mixed: the louder one is taken. A sound that starts late is preceded by silence, a gap in
    it is silence, and it stays in step with the pictures whatever changes on the way (channels, rate).

    Raises:
        MediaError: no sound in the file, or it cannot be read within ``limits``.
    """
    name = Path(path).name
    header = probe(path, limits=limits.any_length() if start or seconds is not None else limits)
    header.require_audio(name)
    clock = read_clock(path, header, limits)
    tracks = sorted(header.tracks, key=lambda track: not track.default)
    found = None
    for track in tracks:
        sound = _read_track(path, header, clock, track, limits, start, seconds)
        if found is None or not sound.silent:
            found = sound
        if not sound.silent:
            break
    if found.track != 0 or (found.silent and len(tracks) > 1):
        said = f"Of {len(tracks)} sound tracks, number {found.track + 1} was taken"
        silent = "; all are silent" if found.silent else ""
        return Sound(found.samples, found.track, (said + silent + ".", *found.notes))
    return found


def _read_track(
    path, header: Probe, clock: Clock, track: Track, limits: Limits, start: float, seconds: float | None
) -> Sound:
    name, channels = Path(path).name, min(2, track.channels)
    most = round((limits.max_seconds + SPARE) * SAMPLE_RATE) if seconds is None else round(seconds * SAMPLE_RATE)
    early = max(0.0, start - RUN_UP)
    for begin in [early, 0.0] if early else [0.0]:
        # Which output is first decides whose times are told.
        arguments = [*seek(begin), *source(path, limits), "-map", f"0:a:{track.number}", "-vn", "-sn", "-dn"]
        arguments += ["-af", f"aresample={SAMPLE_RATE}", "-ac", str(channels), TIMES, "-f", "s16le", "pipe:1"]
        arguments += nowhere(header, "0:V:0")
        if len(header.tracks) > 1:
            arguments += nowhere(header, "0:a")
        shift = round((begin - clock.origin - start) * SAMPLE_RATE)
        with FFmpeg(arguments, name=name, timeout=limits.timeout, timed=True) as run:
            pieces, length, late = [], 0, False
            for piece in _in_step(_timed(run, channels, shift), name):
                late = late or (not pieces and begin > 0 and not piece.any())
                pieces.append(piece)
                length += len(piece)
                if length >= most:
                    break
            if length < most:
                run.finish()
            elif seconds is None:
                raise too_long(name, limits)
        if pieces and not late:
            break
    if not length and start:
        raise MediaError(f"{name}: there is nothing from {start:g} s on. Its sound ends before that: begin earlier.")
    if not length:
        raise MediaError(f"{name}: its sound track is empty. Record or export it again.")
    samples, notes = _mixed(np.concatenate(pieces)[:most])
    return Sound(dequantise_audio(samples), track.number, notes)


def _timed(run: FFmpeg, channels: int, shift: int) -> Iterator[tuple[int, np.ndarray]]:
    """(position of its first sample, (n, channels) int16) of every piece that ffmpeg puts out."""
    while (time := run.next_time()) is not None:
        data = run.read(2 * channels * time[1])
        yield time[0] + shift, np.frombuffer(data, dtype="<i2").reshape(-1, channels)


def _in_step(timed: Iterator[tuple[int, np.ndarray]], name: str) -> Iterator[np.ndarray]:
    """The pieces one after the other, with silence where one comes late and without what comes twice."""
    at, begun = 0, False
    for position, piece in timed:
        gap = position - at
        if gap > LONGEST_GAP * SAMPLE_RATE and begun:
            raise MediaError(
                f"{name}: the clock of its sound jumps from {at / SAMPLE_RATE:.1f} to {position / SAMPLE_RATE:.1f} s. "
                "Export it again, or cut out the part before."
            )
        if gap > (SLACK if begun else 0):
            yield np.zeros((gap, piece.shape[1]), piece.dtype)
            at += gap
        elif gap < -(SLACK if begun else 0):
            piece = piece[-gap:]
        if len(piece):
            begun = True
            yield piece
            at += len(piece)


def _mixed(samples: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N, channels) int16 as (N,) int16, and what was chosen."""
    if samples.shape[1] == 1:
        return samples[:, 0], ()
    # In blocks, because a long sound in double precision is four times as large.
    levels = np.sqrt([np.mean(np.square(channel, dtype=np.float64)) for channel in samples.T])
    mean = np.rint(samples.sum(axis=1, dtype=np.int32) / 2).astype(np.int16)
    if np.sqrt(np.mean(np.square(mean, dtype=np.float64))) < CANCELLED * levels.max():
        louder = int(levels.argmax())
        side = ("left", "right")[louder]
        return samples[:, louder], (f"Its channels cancel each other, so only the {side} one was taken.",)
    return mean, ()
