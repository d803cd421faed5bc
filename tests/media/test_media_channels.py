"""Channels: a clip that was stored, compressed, resized or delayed comes back whole and in step."""

import numpy as np
import pytest

from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.media import write_video
from pushpull.media.channels import CHANNELS, get_channels
from pushpull.media.codecs import CODECS
from pushpull.media.pictures import read_frames
from pushpull.media.whole import grey

FRAMES, FLASH, CLICK = 26, 11, 9000  # frame of the flash, sample of the click
MILLISECOND = 16  # samples


@pytest.fixture(scope="module")
def clip() -> Clip:
    """One bright frame, one click: whatever comes back, it is seen when, and heard when."""
    rng = np.random.default_rng(0)
    video = np.full((FRAMES, 112, 112), 60, np.uint8)
    video[FLASH, 20:90, 20:90] = 220
    audio = 1e-3 * rng.standard_normal(FRAMES * SAMPLES_PER_FRAME)
    shape = np.exp(-((np.arange(-160, 160) / 25) ** 2) / 2)
    audio[CLICK - 160 : CLICK + 160] += 0.3 * shape * rng.standard_normal(320)
    labels = (np.arange(FRAMES) > 12).astype(np.int64)
    return Clip(audio=audio.clip(-1, 1).astype(np.float32), video=video, labels=labels, name="flash and click")


@pytest.mark.parametrize("name", CHANNELS)
def test_what_comes_back_is_in_step(clip, name):
    channel = CHANNELS[name]
    back = channel(clip)
    assert back.frames == clip.frames and back.name == clip.name
    assert np.array_equal(back.labels, clip.labels)
    seen = back.video.astype(float).mean((1, 2))
    assert seen.argmax() == FLASH
    likeness = np.correlate(back.audio.astype(float), clip.audio.astype(float), "full")
    lag = likeness.argmax() - (len(clip.audio) - 1)
    assert abs(lag - channel.late * SAMPLES_PER_FRAME) < MILLISECOND


@pytest.mark.parametrize("name", [name for name, channel in CHANNELS.items() if channel.group != "timing"])
def test_what_comes_back_is_nearly_what_was_sent(clip, name):
    back = CHANNELS[name](clip)
    assert np.abs(back.video.astype(float) - clip.video).mean() < 1  # grey level
    error = back.audio.astype(float) - clip.audio
    assert (error**2).sum() < 0.2 * (clip.audio.astype(float) ** 2).sum()


@pytest.mark.parametrize("name", ["resize-84", "resize-224", "sound-late", "mp3-128"])
def test_a_channel_does_one_thing(clip, name):
    """Neither resizing nor delays round, and what is not their business stays as it was."""
    shifted = clip.with_inputs({"audio": clip.inputs()["audio"], "video": clip.inputs()["video"] + 0.25})
    back = CHANNELS[name](shifted)
    if name.startswith("resize"):
        assert np.array_equal(back.audio, shifted.audio)
        assert back.video[0, 50, 50] == pytest.approx(60.25)
    else:
        assert np.array_equal(back.video, shifted.video)


def test_delays_are_silent_where_nothing_is_left(clip):
    late, early = CHANNELS["sound-late"](clip).audio, CHANNELS["sound-early"](clip).audio
    assert not late[:SAMPLES_PER_FRAME].any() and not early[-SAMPLES_PER_FRAME:].any()
    assert np.array_equal(late[SAMPLES_PER_FRAME:], clip.audio[:-SAMPLES_PER_FRAME])
    assert np.array_equal(early[:-SAMPLES_PER_FRAME], clip.audio[SAMPLES_PER_FRAME:])


@pytest.mark.parametrize("name", CODECS)
def test_grey_pictures_keep_their_brightness(tmp_path, name):
    """They once lost two levels on the way from full to studio range."""
    ramp = np.tile(np.repeat(np.arange(0, 256, 16, dtype=np.uint8), 8)[:112], (112, 1))
    path = write_video(tmp_path / f"ramp.{CODECS[name].container}", [ramp] * 3, np.zeros(1920, np.int16), CODECS[name])
    for frame in read_frames(path):
        assert abs((grey(frame).astype(float) - ramp).mean()) < 0.75


def test_unknown_channels_are_named():
    assert [channel.name for channel in get_channels(["stored", "h264-23"])] == ["stored", "h264-23"]
    with pytest.raises(ValueError, match="unknown channel h265; known are stored"):
        get_channels(["stored", "h265"])
