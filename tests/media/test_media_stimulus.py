"""Stimuli come back bit by bit, previews look the same, and a failed write leaves the old file."""

import os

import numpy as np
import pytest
from media_support import RATE, fake_ffmpeg

from pushpull import media
from pushpull.media import MediaError


def noise(frames=10, height=112, width=112, seed=0):
    rng = np.random.default_rng(seed)
    video = rng.integers(0, 256, (frames, height, width), dtype=np.uint8)
    return video, rng.integers(-32768, 32768, frames * 640).astype(np.int16)


@pytest.mark.parametrize("codec", ["vp9", "av1"])
@pytest.mark.parametrize("shape", [(30, 112, 112), (3, 111, 113), (1, 64, 96)])
def test_a_stimulus_comes_back_bit_by_bit(tmp_path, codec, shape):
    video, audio = noise(*shape)
    path = media.write_stimulus(tmp_path / "s.mp4", video, audio, codec=codec)
    video2, audio2 = media.read_stimulus(path)
    assert video2.dtype == np.uint8 and np.array_equal(video2, video)
    assert audio2.dtype == np.int16 and np.array_equal(audio2, audio)
    assert os.listdir(tmp_path) == ["s.mp4"]


def test_a_stimulus_is_also_an_ordinary_video(tmp_path):
    video, audio = noise()
    path = media.write_stimulus(tmp_path / "s.mp4", video, audio)
    frames = np.stack(list(media.read_frames(path)))
    assert np.array_equal(media.grey(frames), video)  # the whole way through RGB keeps every level
    assert np.array_equal(media.quantise_audio(media.read_audio(path)), audio)


def test_black_white_and_silence(tmp_path):
    video = np.stack([np.full((16, 16), level, np.uint8) for level in (0, 1, 15, 16, 235, 236, 254, 255)])
    audio = np.zeros(8 * 640, np.int16)
    video2, audio2 = media.read_stimulus(media.write_stimulus(tmp_path / "s.mp4", video, audio))
    assert np.array_equal(video2, video) and np.array_equal(audio2, audio)


def test_an_ordinary_video_is_no_stimulus(mp4):
    with pytest.raises(MediaError, match="not a bit-exact stimulus"):
        media.read_stimulus(mp4)


@pytest.mark.parametrize(
    ("video", "audio", "says"),
    [
        (np.zeros((2, 16, 16), np.float32), np.zeros(9, np.int16), "uint8"),
        (np.zeros((0, 16, 16), np.uint8), np.zeros(9, np.int16), "T >= 1"),
        (np.zeros((2, 16, 16, 3), np.uint8), np.zeros(9, np.int16), r"\(T, H, W\)"),
        (np.zeros((2, 16, 16), np.uint8), np.zeros(9, np.float32), "quantise_audio"),
        (np.zeros((2, 16, 16), np.uint8), np.zeros(0, np.int16), "N >= 1"),
    ],
)
def test_a_stimulus_of_the_wrong_kind_is_refused(tmp_path, video, audio, says):
    with pytest.raises(ValueError, match=says):
        media.write_stimulus(tmp_path / "s.mp4", video, audio)
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    video, audio = noise(2, 16, 16)
    path = media.write_stimulus(tmp_path / "s.mp4", video, audio)
    before = path.read_bytes()
    fake_ffmpeg(tmp_path, monkeypatch, "cat > /dev/null; echo 'No space left on device' >&2; exit 1")
    with pytest.raises(MediaError, match="disk is full"):
        media.write_stimulus(path, video, audio)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["fake-ffmpeg", "s.mp4"]


def test_quantise_rounds_half_to_even_and_clips():
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5]) / 32768
    assert media.quantise_audio(halves).tolist() == [0, 2, 2, 0, -2]
    assert media.quantise_audio(np.array([1.0, -1.0, 2.0])).tolist() == [32767, -32768, 32767]
    assert media.quantise_video(np.array([0.5, 1.5, 254.5, -3, 300], np.float32)).tolist() == [0, 2, 254, 0, 255]
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(media.quantise_audio(media.dequantise_audio(every)), every)
    with pytest.raises(ValueError, match="NaN"):
        media.quantise_video(np.array([np.nan]))


@pytest.mark.parametrize("shape", [(5, 48, 64, 3), (5, 47, 63, 3), (5, 47, 64)])
def test_a_preview_plays_and_looks_the_same(tmp_path, shape):
    ramp = np.linspace(30, 220, shape[2]).astype(np.uint8)
    frames = np.broadcast_to(ramp[:, None] if len(shape) == 4 else ramp, shape).copy()
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(5 * 640) / RATE)
    path = media.write_preview(tmp_path / "p.mp4", iter(frames), tone.astype(np.float32))
    back = np.stack(list(media.read_frames(path)))
    assert back.shape == (5, 48, 64, 3)
    seen = back[:, : shape[1], : shape[2]].astype(int)
    assert np.abs(seen - (frames if len(shape) == 4 else frames[..., None])).mean() < 3
    assert np.abs(media.read_audio(path)).max() > 0.2
    header = path.read_bytes()
    assert header.index(b"moov") < header.index(b"mdat")  # plays before it is all there


def test_what_the_frames_raise_comes_out_and_nothing_is_left(tmp_path):
    def frames():
        yield np.zeros((16, 16, 3), np.uint8)
        yield np.zeros((18, 16, 3), np.uint8)

    with pytest.raises(ValueError, match="all frames must be"):
        media.write_preview(tmp_path / "p.mp4", frames(), np.zeros(100, np.int16))
    with pytest.raises(ValueError, match="no frames"):
        media.write_preview(tmp_path / "p.mp4", [], np.zeros(100, np.int16))
    assert os.listdir(tmp_path) == []
