"""Clips played faster or slower: other voices, and other paces of speech, whose sound and lips stay together."""

import numpy as np

from pushpull.clip import SAMPLES_PER_FRAME, Clip


def retime(clip: Clip, frames: int) -> Clip:
    """All of ``clip``, played within ``frames`` frames.

    The sound is resampled (pitch, formants and pace change together, as on a tape played at another speed), each frame
    of the picture is the nearest one, so that some are left out or shown twice, as where frame rates were converted.

    Args:
        frames: at least 1; the speed is ``clip.frames / frames``.
    """
    if frames == clip.frames:
        return clip
    nearest = np.floor((np.arange(frames) + 0.5) * clip.frames / frames).astype(np.int64)
    return Clip(
        audio=resample(clip.audio, frames * SAMPLES_PER_FRAME),
        video=clip.video[nearest],
        labels=None if clip.labels is None else clip.labels[nearest],
        name=clip.name,
    )


def resample(audio: np.ndarray, samples: int) -> np.ndarray:
    """(N,) float32 -> (samples,) float32 over the same time: the same spectrum, cut off or continued with zeros.

    Mirrored at its end before the transform, so that the end does not leak into the beginning. Within [-1, 1].
    """
    mirrored = np.concatenate([audio, audio[::-1]])
    spectrum = np.fft.rfft(mirrored)
    played = np.fft.irfft(spectrum, 2 * samples)[:samples] * (samples / len(audio))
    return np.clip(played, -1, 1).astype(np.float32)
