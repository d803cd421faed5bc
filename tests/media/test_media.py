"""Any container comes in in step: time, rotation, pixels, colours."""

import numpy as np
import pytest
from media_support import EVENT, FPS, RATE, ffmpeg, flash

from pushpull import media


def seen_and_heard(path):
    """Index of the first white frame, index of the first loud sample."""
    levels = np.array([frame.mean() for frame in media.read_frames(path)])
    audio = media.read_audio(path)
    return int(np.argmax(levels > 200)), int(np.argmax(np.abs(audio) > 0.1)), len(levels), len(audio)


CONTAINERS = {
    "mp4 30 fps": ("a.mp4", 30, ["-c:v", "libx264", "-c:a", "aac"]),
    "mov 24 fps pcm": ("a.mov", 24, ["-c:v", "mpeg4", "-c:a", "pcm_s16le"]),
    "mkv 60 fps opus": ("a.mkv", 60, ["-c:v", "libx264", "-c:a", "libopus"]),
    "mkv 29.97 fps mono 8 kHz": ("b.mkv", "30000/1001", ["-c:v", "libx264", "-c:a", "flac", "-ac", 1, "-ar", 8000]),
    "webm vp8": ("a.webm", 30, ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"]),
    "avi mpeg4 mp3": ("a.avi", 15, ["-c:v", "mpeg4", "-c:a", "mp3"]),
    "mpeg1 mp2": ("a.mpg", 25, ["-c:v", "mpeg1video", "-c:a", "mp2"]),
    "transport stream": ("a.ts", 50, ["-c:v", "libx264", "-c:a", "aac"]),
    "flv": ("a.flv", 30, ["-c:v", "flv", "-c:a", "mp3"]),
    "ogg theora": ("a.ogv", 30, ["-c:v", "libtheora", "-c:a", "libvorbis"]),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_comes_out_in_step(films, kind):
    name, rate, codecs = CONTAINERS[kind]
    path = films / name
    ffmpeg(*flash(rate), *codecs, path)
    frame, sample, frames, samples = seen_and_heard(path)
    assert abs(frame - EVENT * FPS) <= 2  # a 15 fps picture lasts 1.7 of ours
    assert abs(sample / RATE - EVENT) < 0.06  # MP3 and MP2 delay by their coder's look-ahead
    assert abs(sample / RATE - frame / FPS) < 0.08
    assert abs(frames - 2 * FPS) <= 2 and abs(samples - 2 * RATE) <= 0.1 * RATE


def test_browser_recording_without_duration(films):
    path = films / "webcam.webm"
    path.write_bytes(ffmpeg(*flash(), "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", "-f", "webm", "-"))
    about = media.probe(path)
    assert (about.seconds, about.video, about.audio, about.rate) == (None, True, True, 30)
    frame, sample, frames, _ = seen_and_heard(path)
    assert abs(frame - 25) <= 1 and abs(sample / RATE - EVENT) < 0.03 and abs(frames - 50) <= 1


def test_variable_frame_rate_keeps_time(films):
    # 60 fps in the first half second, then one picture in twelve (5 fps), as a phone does in the dark.
    path = films / "vfr.mkv"
    choose = ["-vf", "select='lt(t,0.5)+not(mod(n,12))'", "-fps_mode", "vfr"]
    ffmpeg(*flash(60), *choose, "-c:v", "libx264", "-c:a", "aac", path)
    frame, sample, frames, _ = seen_and_heard(path)
    assert frame == 25 and abs(sample / RATE - EVENT) < 0.03
    assert abs(frames - 50) <= 5  # the last picture's own length is not in the file


@pytest.mark.parametrize("late", ["audio", "video"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_late_start_stays_in_step(films, mp4, late, suffix):
    path = films / f"late-{late}.{suffix}"
    shifts = {"audio": ["-i", mp4, "-itsoffset", 0.3, "-i", mp4], "video": ["-itsoffset", 0.3, "-i", mp4, "-i", mp4]}
    ffmpeg(*shifts[late], "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    frame, sample, _, _ = seen_and_heard(path)
    flash_at, tone_at = (1.0, 1.3) if late == "audio" else (1.3, 1.0)
    assert abs(frame / FPS - flash_at) <= 0.04 and abs(sample / RATE - tone_at) < 0.04


@pytest.mark.parametrize(("turn", "corner"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (270, (0, 1))])
def test_rotation_is_applied(films, mp4, turn, corner):
    """``turn`` degrees counter-clockwise; ``corner`` (row, column) is where the red box must come to lie."""
    path = films / f"turned{turn}.mp4"
    ffmpeg("-display_rotation", turn, "-i", mp4, "-c", "copy", path)
    frame = next(media.read_frames(path))
    height, width = frame.shape[:2]
    assert (height, width) == ((120, 160) if turn % 180 == 0 else (160, 120))
    row, column = (5 if corner[0] == 0 else height - 6), (5 if corner[1] == 0 else width - 6)
    assert frame[row, column, 0] > 150 and frame[row, column, 1] < 100
    assert frame[height // 2, width // 2].max() < 40


def test_pixels_are_made_square_and_frames_shrunk(films, mp4):
    path = films / "wide.mp4"
    ffmpeg("-i", mp4, "-vf", "setsar=2", "-c:v", "libx264", "-c:a", "copy", path)
    assert next(media.read_frames(path)).shape == (120, 320, 3)
    assert next(media.read_frames(path, max_side=100)).shape == (38, 100, 3)
    assert next(media.read_frames(path, max_side=1000)).shape == (120, 320, 3)


def test_a_change_of_size_in_mid_stream_gives_frames_of_one_size(films):
    parts = []
    for number, size in enumerate(("160x120", "320x240")):
        parts.append(films / f"part{number}.ts")
        ffmpeg(*flash(25, size, seconds=1), "-c:v", "libx264", "-c:a", "aac", parts[-1])
    path = films / "resized.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert {frame.shape for frame in media.read_frames(path)} == {(120, 160, 3)}


def test_colours_and_grey(films):
    path = films / "red.mkv"
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    (films / "raw").write_bytes(picture.tobytes())
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", FPS, "-i", films / "raw"]
    ffmpeg(*raw, "-c:v", "ffv1", "-pix_fmt", "bgr0", path)
    frame = next(media.read_frames(path))
    assert np.array_equal(frame, picture)
    assert media.grey(frame)[0, 0] == round(picture[0, 0] @ [0.299, 0.587, 0.114])


def test_grey_is_its_definition_everywhere():
    rgb = np.random.default_rng(0).integers(0, 256, (1000, 3), dtype=np.uint8)
    exact = rgb.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert np.abs(media.grey(rgb) - exact).max() <= 0.5 + 1e-9
    same = np.arange(256, dtype=np.uint8)
    assert (media.grey(np.stack([same] * 3, axis=-1)) == same).all()


def test_read_media_holds_both(mp4):
    both = media.read_media(mp4)
    assert both.frames.shape == (50, 120, 160, 3) and both.frames.dtype == np.uint8
    assert both.audio.dtype == np.float32 and abs(len(both.audio) - 2 * RATE) < 100
    # On the 16-bit grid, so that a clean clip can be stored as it is.
    assert (both.audio * 32768 == np.round(both.audio * 32768)).all()
