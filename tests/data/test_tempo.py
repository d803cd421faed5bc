"""Clips played at another speed: sound and lips stay together, and nothing else changes."""

import numpy as np
import pytest

from pushpull.clip import Clip
from pushpull.data.tempo import resample, retime


def flashing(frames=50, flash=20, pitch=500.0):
    """A tone throughout, a white frame, a click and one speaking frame at the same instant."""
    seconds = np.arange(frames * 640) / 16000
    audio = (0.1 * np.sin(2 * np.pi * pitch * seconds)).astype(np.float32)
    audio[flash * 640 + 320] = 1.0
    video = np.zeros((frames, 112, 112), np.uint8)
    video[flash] = 255
    labels = np.zeros(frames, np.int64)
    labels[flash] = 1
    return Clip(audio=audio, video=video, labels=labels)


@pytest.mark.parametrize("frames", [36, 40, 49, 63, 100])
def test_sound_picture_and_labels_move_together(frames):
    played = retime(flashing(), frames)
    expected = 20.5 / 50 * frames - 0.5
    shown = np.flatnonzero(played.video[:, 0, 0] == 255)
    assert played.frames == frames and (played.labels == (played.video[:, 0, 0] == 255)).all()
    # Played faster, a single frame may be left out; its neighbours then stand on either side of the click.
    assert len(shown) >= frames // 50 and (np.abs(shown - expected) <= 0.5 * max(1, frames / 50)).all()
    heard = np.abs(played.audio).argmax() / 640 - 0.5
    assert abs(heard - expected) < 0.02


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_the_pitch_goes_with_the_speed(speed):
    tone = 0.3 * np.sin(2 * np.pi * 500 * np.arange(32000) / 16000).astype(np.float32)
    played = resample(tone, round(32000 / speed))
    spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played))))
    assert abs(spectrum.argmax() * 16000 / len(played) - 500 * speed) < 1
    inner = played[2000:-2000]
    assert np.isclose(inner.std(), tone.std(), rtol=0.01) and played.dtype == np.float32


def test_at_its_own_speed_a_clip_is_itself():
    clip = flashing()
    assert retime(clip, clip.frames) is clip


def test_it_never_leaves_full_scale_and_takes_a_clip_without_labels():
    square = np.sign(np.sin(np.arange(640 * 10) / 9)).astype(np.float32)
    played = retime(Clip(audio=square, video=np.zeros((10, 112, 112), np.uint8)), 8)
    assert np.abs(played.audio).max() <= 1 and played.labels is None
