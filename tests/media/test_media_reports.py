"""Twenty files like those that people report to video programs, and pictures of every size."""

import subprocess
import sys

import numpy as np
import pytest
from media_support import EVENT, FPS, RATE, ffmpeg, flash

from pushpull import media
from pushpull.media import Limits, MediaError

X264, AAC = ["-c:v", "libx264", "-preset", "ultrafast"], ["-c:a", "aac"]
HEVC = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-tag:v", "hvc1"]
HLG = ["-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-color_trc", "arib-std-b67", "-colorspace", "bt2020nc"]
VP8 = ["-c:v", "libvpx", "-deadline", "realtime"]
TOP_FIRST = ["-vf", "interlace=scan=tff", "-flags", "+ilme+ildct"]
# What each is: (file name, pictures a second of the film, how it is encoded).
FILES = {
    "8 kHz": ("phone.3gp", 15, [*X264, *AAC, "-ar", 8000, "-ac", 1]),
    "5.1": ("film.mkv", 24, [*X264, "-c:a", "ac3", "-ac", 6]),
    "10-bit HLG": ("hlg.mov", 30, [*HEVC, *HLG, *AAC]),
    "12 a second": ("slow.mp4", 12, [*X264, *AAC]),
    "23.976 a second": ("cinema.mp4", "24000/1001", [*X264, *AAC]),
    "29.97 a second": ("ntsc.mov", "30000/1001", [*X264, "-c:a", "pcm_s16be"]),
    "60 a second": ("game.mp4", 60, [*X264, *AAC]),
    "120 a second": ("slow motion.mp4", 120, [*X264, *AAC]),
    "interlaced": ("broadcast.ts", 50, [*TOP_FIRST, "-c:v", "mpeg2video", "-c:a", "mp2"]),
    "fragmented": ("live.mp4", 30, [*X264, *AAC, "-movflags", "+frag_keyframe+empty_moov+default_base_moof"]),
    "varying rate": ("vfr.mp4", 60, ["-vf", "select='lt(t,0.5)+not(mod(n,6))'", "-fps_mode", "vfr", *X264, *AAC]),
    "percent": ("50%d of it.mp4", 30, [*X264, *AAC]),
    "dash": ("-i.mp4", 30, [*X264, *AAC]),
    "colon": ("concat:2024-05-01T12:30:15.mp4", 30, [*X264, *AAC]),
    "quotes": ('it\'s "here".mp4', 30, [*X264, *AAC]),
    "newline": ("two\nlines.mp4", 30, [*X264, *AAC]),
}


def check(path, height=120, width=160):
    """Flash and tone are at one second, the pictures are as large as they should be, and all of them are there."""
    frames = list(media.read_frames(path))
    sound = np.abs(media.read_audio(path))
    levels = np.array([frame.mean() for frame in frames])
    assert {frame.shape for frame in frames} == {(height, width, 3)}
    assert np.argmax(levels > 150) / FPS == pytest.approx(EVENT, abs=0.041)
    assert np.argmax(sound > 0.1) / RATE == pytest.approx(EVENT, abs=0.03)
    # The last picture's own length is in no file: one at 10 a second may be missing.
    assert len(frames) == pytest.approx(2 * FPS, abs=3) and len(sound) / RATE == pytest.approx(2, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_files_of_bug_reports_are_read_right(tmp_path, kind):
    name, rate, words = FILES[kind]
    made = tmp_path / f"made.{name.rsplit('.', 1)[1]}"
    ffmpeg(*flash(rate), *words, made)
    check(made.rename(tmp_path / name))


@pytest.mark.slow
def test_a_rotated_hevc_of_a_phone(tmp_path):
    ffmpeg(*flash(), *HEVC, *AAC, tmp_path / "lying.mov")
    ffmpeg("-display_rotation", 90, "-i", tmp_path / "lying.mov", "-c", "copy", tmp_path / "upright.mov")
    check(tmp_path / "upright.mov", height=160, width=120)


@pytest.mark.slow
def test_a_live_webm_without_a_duration(tmp_path):
    path = tmp_path / "live.webm"
    path.write_bytes(ffmpeg(*flash(), *VP8, "-c:a", "libopus", "-f", "webm", "-live", 1, "-"))
    about = media.probe(path)
    assert about.seconds is None and about.promised is None
    assert media.measured_seconds(path, about) == pytest.approx(2, abs=0.1)
    check(path)


@pytest.mark.slow
def test_two_sound_tracks(tmp_path):
    ffmpeg(*flash(), *X264, *AAC, tmp_path / "one.mp4")
    music = ["-f", "lavfi", "-i", "sine=300:d=2"]
    tracks = ["-map", "0:v", "-map", "0:a", "-map", "1:a", "-c:v", "copy"]
    ffmpeg("-i", tmp_path / "one.mp4", *music, *tracks, tmp_path / "two.mp4")
    check(tmp_path / "two.mp4")
    assert media.read_sound(tmp_path / "two.mp4").remarks == ("The sound is track 1 of 2, the file's default.",)


@pytest.mark.slow
def test_cover_art_is_no_picture_of_the_film(tmp_path):
    ffmpeg(*flash(), *X264, *AAC, tmp_path / "one.mp4")
    ffmpeg("-f", "lavfi", "-i", "color=white:s=600x600:d=1", "-frames:v", 1, tmp_path / "cover.jpg")
    words = ["-map", "1:v", "-map", "0:v", "-map", "0:a", "-c", "copy", "-disposition:v:0", "attached_pic"]
    ffmpeg("-i", tmp_path / "one.mp4", "-i", tmp_path / "cover.jpg", *words, tmp_path / "covered.mp4")
    check(tmp_path / "covered.mp4")


def large(path, size, frames=6):
    picture = f"testsrc2=s={size}:r=25:d={frames / 25}"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast", "-threads", 2, path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ("2160x3840", (3840, 2160, 3)),
        ("4096x2160", (2091, 3966, 3)),
        ("8192x4320", (2091, 3966, 3)),
        ("4320x8192", (3966, 2091, 3)),
    ],
)
def test_large_pictures_are_shrunk_on_the_way(tmp_path, size, shape):
    path = tmp_path / "large.mp4"
    large(path, size)
    sizes = [frame.shape for frame in media.read_frames(path)]
    assert len(sizes) == 6 and len(set(sizes)) == 1
    height, width = sizes[0][:2]
    assert height * width <= 1.001 * 3840 * 2160
    assert height / width == pytest.approx(int(size.split("x")[1]) / int(size.split("x")[0]), rel=0.002)
    assert sizes[0] == shape or size != "2160x3840"
    assert next(media.read_frames(path, max_side=320)).shape[:2] == pytest.approx(
        [320 * height / max(height, width), 320 * width / max(height, width)], abs=1
    )


def test_a_picture_beyond_the_largest_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "large.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=9000x4320:r=25:d=0.04", "-c:v", "mjpeg", path)
    with pytest.raises(MediaError, match="9000 x 4320 pixels, more than the limit of 8192 x 4320") as error:
        next(media.read_frames(path))
    assert "ffmpeg says" not in str(error.value)
    with pytest.raises(MediaError, match="limit"):
        next(media.read_frames(path, limits=Limits(max_pixels=100 * 100)))


MEASURE = """
import resource, sys
from pushpull import media
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for _ in media.read_frames(sys.argv[1]))
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(count, own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_memory_for_the_largest_pictures_is_bounded(tmp_path):
    """8192 x 4320 is 106 MB in RGB: two threads of a decoder hold a few, and here come only shrunk ones, of 25 MB."""
    path = tmp_path / "large.mp4"
    large(path, "8192x4320", frames=30)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path], capture_output=True, text=True, timeout=300, check=True
    )
    count, own, decoder = (int(word) for word in done.stdout.split())
    assert count == 30 and own < 150 * 1024 and decoder < 1200 * 1024, done.stdout
