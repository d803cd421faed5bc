"""What happens to a clip on its way to somebody else: stored, compressed, resized, out of step; and back again.

A channel does one thing. Those that compress give back what a file holds, 8-bit pictures and 16-bit sound, read as
the package reads any file; resizing and delays are computed in floating point, so that their harm is not mixed with
that of rounding, which is the channel ``stored``.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from pushpull.clip import FACE_SIZE, FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Clip, fit_audio
from pushpull.media.codecs import CODECS, Codec, write_video
from pushpull.media.ffmpeg import FFmpeg, Limits, MediaError
from pushpull.media.pictures import read_frames
from pushpull.media.sound import read_audio
from pushpull.media.stimulus import dequantise_audio, quantise_audio, quantise_video
from pushpull.media.whole import grey

TIMEOUT = 600.0  # seconds for one file
GROUPS = ("storage", "codec", "geometry", "timing")


@dataclass(frozen=True)
class Channel:
    """A way that a clip may go.

    Args:
        name: in code, JSON and on the command line.
        title: for people.
        group: of GROUPS, channels that are drawn together.
        send: the clip that comes back: as long as the one that was sent, with its labels, name and origin.
        late: frames by which its sound comes back later than it was sent; what codecs delay is compensated for.
    """

    name: str
    title: str
    group: str
    send: Callable[[Clip], Clip]
    late: int = 0

    def __call__(self, clip: Clip) -> Clip:
        return self.send(clip)


def store(clip: Clip) -> Clip:
    """8-bit pictures and 16-bit samples: what a lossless file holds."""
    return replace(clip, video=quantise_video(clip.video), audio=dequantise_audio(quantise_audio(clip.audio)))


def through_codec(clip: Clip, codec: Codec) -> Clip:
    """The face alone as a file of ``codec``, written and read like any other.

    Raises:
        MediaError: ffmpeg failed, or other pictures than were written came back.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"face.{codec.container}"
        write_video(path, quantise_video(clip.video), clip.audio, codec, timeout=TIMEOUT)
        limits = Limits(max_seconds=clip.seconds + 10, timeout=TIMEOUT)
        frames = [grey(frame) for frame in read_frames(path, limits=limits)]
        sound = read_audio(path, limits=limits)
    if len(frames) != clip.frames:
        raise MediaError(f"{codec.name} gave back {len(frames)} pictures for {clip.frames}. Report this.")
    # Odd sides would come back padded; faces are 112 x 112.
    return replace(clip, video=np.stack(frames), audio=fit_audio(sound, clip.frames))


def through_mp3(clip: Clip, kilobits: int = 128) -> Clip:
    """The sound as an MP3 file; the pictures stay as they are."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.mp3"
        arguments = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", "pipe:0", "-c:a", "libmp3lame"]
        arguments += ["-b:a", f"{kilobits}k", "-f", "mp3", f"file:{path}"]
        samples = quantise_audio(clip.audio).astype("<i2").tobytes()
        with FFmpeg(arguments, name=path.name, timeout=TIMEOUT, feed=[samples]) as run:
            run.finish()
        sound = read_audio(path, limits=Limits(max_seconds=clip.seconds + 10, timeout=TIMEOUT))
    return replace(clip, audio=fit_audio(sound, clip.frames))


def resize(clip: Clip, side: int) -> Clip:
    """The pictures at ``side`` x ``side`` pixels and back at 112 x 112, as players and platforms scale them."""
    pictures = [_scaled(_scaled(frame.astype(np.float32), side), FACE_SIZE) for frame in clip.video]
    return replace(clip, video=np.stack(pictures).clip(0, 255))


def _scaled(picture: np.ndarray, side: int) -> np.ndarray:
    method = cv2.INTER_AREA if side < len(picture) else cv2.INTER_LINEAR
    return cv2.resize(picture, (side, side), interpolation=method)


def delay(clip: Clip, frames: int) -> Clip:
    """The sound later by ``frames`` (earlier, if negative) against the picture; silence where nothing is left."""
    audio = np.zeros_like(clip.audio)
    moved = min(abs(frames) * SAMPLES_PER_FRAME, len(audio))
    rest = len(audio) - moved
    if frames >= 0:
        audio[moved:] = clip.audio[:rest]
    else:
        audio[:rest] = clip.audio[moved:]
    return replace(clip, audio=audio)


def _make_channels() -> dict[str, Channel]:
    found = [Channel("stored", "8-bit pictures, 16-bit sound", "storage", store)]
    for codec in CODECS.values():
        found.append(Channel(codec.name, codec.title, "codec", lambda clip, codec=codec: through_codec(clip, codec)))
    found.append(Channel("mp3-128", "sound as MP3 128k", "codec", through_mp3))
    for side in (84, 2 * FACE_SIZE):
        title = f"pictures {FACE_SIZE} → {side} → {FACE_SIZE}"
        found.append(Channel(f"resize-{side}", title, "geometry", lambda clip, side=side: resize(clip, side)))
    for name, frames in (("late", 1), ("early", -1)):
        title = f"sound {name} by a frame ({1000 // FPS} ms)"
        found.append(Channel(f"sound-{name}", title, "timing", lambda clip, n=frames: delay(clip, n), late=frames))
    return {channel.name: channel for channel in found}


CHANNELS: dict[str, Channel] = _make_channels()


def get_channels(names: Sequence[str] | None = None) -> list[Channel]:
    """The channels of these names, in their order; all of them by default.

    Raises:
        ValueError: no channel has that name.
    """
    names = list(CHANNELS) if names is None else names
    if unknown := [name for name in names if name not in CHANNELS]:
        raise ValueError(f"unknown channel {', '.join(unknown)}; known are {', '.join(CHANNELS)}")
    return [CHANNELS[name] for name in names]
