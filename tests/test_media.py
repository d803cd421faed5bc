"""Files in, files out: any container in step, every bad file a clear message, stimuli the same bits again."""

import os
import stat
import subprocess
import time
import tracemalloc
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from pushpull import media
from pushpull.ffmpeg import FFmpeg
from pushpull.media import Limits, MediaError

FPS, RATE = 25, 16_000
EVENT = 1.0  # seconds into the test video: a white flash and a loud tone, both for 0.2 s


def ffmpeg(*arguments, stdout=None):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", "-loglevel", "error", *map(str, arguments)]
    done = subprocess.run(command, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def flash(rate=30, size="160x120", seconds=2):
    """Black but for the flash, silent but for the tone."""
    lit = f"between(t,{EVENT},{EVENT + 0.2})"
    # A little red in the left upper corner tells which way up the picture is.
    video = f"color=black:s={size}:r={rate}:d={seconds},drawbox=w=iw/4:h=ih/4:c=red:t=fill"
    video += f",drawbox=c=white:t=fill:enable='{lit}'"
    sound = f"aevalsrc='0.5*sin(2*PI*1000*t)*{lit}|0.4*sin(2*PI*1000*t)*{lit}':s=44100:d={seconds}"
    return ["-f", "lavfi", "-i", video, "-f", "lavfi", "-i", sound]


def write_text(path, text):
    path.write_text(text)
    return path


def seen_and_heard(path):
    """Index of the first white frame, index of the first loud sample."""
    levels = np.array([frame.mean() for frame in media.read_frames(path)])
    audio = media.read_audio(path)
    return int(np.argmax(levels > 200)), int(np.argmax(np.abs(audio) > 0.1)), len(levels), len(audio)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def mp4(folder):
    path = folder / "plain.mp4"
    ffmpeg(*flash(), "-c:v", "libx264", "-c:a", "aac", "-movflags", "+faststart", path)
    return path


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
def test_every_container_comes_out_in_step(folder, kind):
    name, rate, codecs = CONTAINERS[kind]
    path = folder / name
    ffmpeg(*flash(rate), *codecs, path)
    frame, sample, frames, samples = seen_and_heard(path)
    assert abs(frame - EVENT * FPS) <= 2  # a 15 fps picture lasts 1.7 of ours
    assert abs(sample / RATE - EVENT) < 0.06  # MP3 and MP2 delay by their coder's look-ahead
    assert abs(sample / RATE - frame / FPS) < 0.08
    assert abs(frames - 2 * FPS) <= 2 and abs(samples - 2 * RATE) <= 0.1 * RATE


def test_browser_recording_without_duration(folder):
    path = folder / "webcam.webm"
    path.write_bytes(ffmpeg(*flash(), "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", "-f", "webm", "-"))
    assert media.probe(path) == media.Probe(seconds=None, video=True, audio=True, rate=30)
    frame, sample, frames, _ = seen_and_heard(path)
    assert abs(frame - 25) <= 1 and abs(sample / RATE - EVENT) < 0.03 and abs(frames - 50) <= 1


def test_variable_frame_rate_keeps_time(folder):
    # 60 fps in the first half second, then one picture in twelve (5 fps), as a phone does in the dark.
    path = folder / "vfr.mkv"
    choose = ["-vf", "select='lt(t,0.5)+not(mod(n,12))'", "-fps_mode", "vfr"]
    ffmpeg(*flash(60), *choose, "-c:v", "libx264", "-c:a", "aac", path)
    frame, sample, frames, _ = seen_and_heard(path)
    assert frame == 25 and abs(sample / RATE - EVENT) < 0.03
    assert abs(frames - 50) <= 5  # the last picture's own length is not in the file


@pytest.mark.parametrize("late", ["audio", "video"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_late_start_stays_in_step(folder, mp4, late, suffix):
    path = folder / f"late-{late}.{suffix}"
    shifts = {"audio": ["-i", mp4, "-itsoffset", 0.3, "-i", mp4], "video": ["-itsoffset", 0.3, "-i", mp4, "-i", mp4]}
    ffmpeg(*shifts[late], "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    frame, sample, _, _ = seen_and_heard(path)
    flash_at, tone_at = (1.0, 1.3) if late == "audio" else (1.3, 1.0)
    assert abs(frame / FPS - flash_at) <= 0.04 and abs(sample / RATE - tone_at) < 0.04


@pytest.mark.parametrize(("turn", "corner"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (270, (0, 1))])
def test_rotation_is_applied(folder, mp4, turn, corner):
    """``turn`` degrees counter-clockwise; ``corner`` (row, column) is where the red box must come to lie."""
    path = folder / f"turned{turn}.mp4"
    ffmpeg("-display_rotation", turn, "-i", mp4, "-c", "copy", path)
    frame = next(media.read_frames(path))
    height, width = frame.shape[:2]
    assert (height, width) == ((120, 160) if turn % 180 == 0 else (160, 120))
    row, column = (5 if corner[0] == 0 else height - 6), (5 if corner[1] == 0 else width - 6)
    assert frame[row, column, 0] > 150 and frame[row, column, 1] < 100
    assert frame[height // 2, width // 2].max() < 40


def test_pixels_are_made_square_and_frames_shrunk(folder, mp4):
    path = folder / "wide.mp4"
    ffmpeg("-i", mp4, "-vf", "setsar=2", "-c:v", "libx264", "-c:a", "copy", path)
    assert next(media.read_frames(path)).shape == (120, 320, 3)
    assert next(media.read_frames(path, max_side=100)).shape == (38, 100, 3)
    assert next(media.read_frames(path, max_side=1000)).shape == (120, 320, 3)


def test_a_change_of_size_in_mid_stream_gives_frames_of_one_size(folder):
    parts = []
    for number, size in enumerate(("160x120", "320x240")):
        parts.append(folder / f"part{number}.ts")
        ffmpeg(*flash(25, size, seconds=1), "-c:v", "libx264", "-c:a", "aac", parts[-1])
    path = folder / "resized.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert {frame.shape for frame in media.read_frames(path)} == {(120, 160, 3)}


def test_colours_and_grey(folder):
    path = folder / "red.mkv"
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    (folder / "raw").write_bytes(picture.tobytes())
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", FPS, "-i", folder / "raw"]
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


# --- what cannot be read ----------------------------------------------------------------------------------------


def broken(folder, mp4, kind):
    """A file of that kind, and what its message must say."""
    path, whole = folder / f"broken {kind}.mp4", mp4.read_bytes()
    if kind == "missing":
        return folder / "nowhere.mp4", "no such file"
    if kind == "folder":
        return folder, "folder"
    if kind == "empty":
        path.write_bytes(b"")
        return path, "empty"
    if kind == "text":
        return write_text(path, "I am not a video.\n" * 200), "not a video"
    if kind == "noise":
        path.write_bytes(np.random.default_rng(1).bytes(20_000))
        return path, "not a video"
    if kind == "zeros":
        path.write_bytes(bytes(20_000))
        return path, "not a video"
    if kind == "cut in half":
        path.write_bytes(whole[: len(whole) * 6 // 10])
        return path, "truncated"
    if kind == "cut off before its index":
        ffmpeg("-i", mp4, "-c", "copy", path)  # without faststart the index comes last
        path.write_bytes(path.read_bytes()[:-2000])
        return path, "truncated"
    if kind == "webm cut":
        path = path.with_suffix(".webm")
        ffmpeg("-i", mp4, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
        return path, "truncated"
    if kind == "fifo":
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        return path, "not a regular file"
    if kind == "playlist":
        return write_text(path, f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{mp4}\n#EXT-X-ENDLIST\n"), "not a video"
    if kind == "playlist by name":
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{mp4}\n#EXT-X-ENDLIST\n"
        return write_text(path.with_suffix(".m3u8"), text), "not a video"
    if kind == "concat list":
        return write_text(path, f"ffconcat version 1.0\nfile '{mp4}'\n"), "not a video"
    if kind == "session description":
        return write_text(path, "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n"), "not a video"
    if kind == "dash manifest":
        return write_text(path, f"<?xml version='1.0'?><MPD><Period><BaseURL>{mp4}</BaseURL></Period></MPD>"), "not a"
    raise AssertionError(kind)


BROKEN = [
    "missing",
    "folder",
    "empty",
    "text",
    "noise",
    "zeros",
    "cut in half",
    "cut off before its index",
    "webm cut",
] + ["fifo", "playlist", "playlist by name", "concat list", "session description", "dash manifest"]


@pytest.mark.parametrize("kind", BROKEN)
def test_bad_files_say_what_is_wrong(folder, mp4, kind):
    path, says = broken(folder, mp4, kind)
    for read in (media.read_audio, lambda path: list(media.read_frames(path))):
        with pytest.raises(MediaError, match=says) as error:
            read(path)
        text = str(error.value)
        assert str(folder) + "/" not in text, "a visitor must not see the server's folders"
        assert len(text) < 800


@pytest.mark.parametrize("name", ["-y.mp4", "concat:plain.mp4|plain.mp4", "a:b.mp4", "50%d.mp4", "день 'x'.mp4"])
def test_odd_names_are_only_names(folder, mp4, name, monkeypatch):
    monkeypatch.chdir(folder)
    Path(name).write_bytes(mp4.read_bytes())
    assert len(list(media.read_frames(name))) == 50
    assert media.read_audio(name).size > 0


def test_sound_without_picture_and_picture_without_sound(folder, mp4):
    silent, voice, cover = folder / "silent.mp4", folder / "voice.wav", folder / "cover.m4a"
    ffmpeg("-i", mp4, "-an", "-c:v", "copy", silent)
    ffmpeg("-i", mp4, "-vn", voice)
    picture = ["-map", "0:v", "-map", "0:a", "-frames:v", 1, "-c:v", "mjpeg", "-disposition:v", "attached_pic"]
    ffmpeg("-i", mp4, *picture, cover)
    with pytest.raises(MediaError, match="no sound"):
        media.read_audio(silent)
    for path in (voice, cover):  # a song's cover is no video
        with pytest.raises(MediaError, match="no picture"):
            next(media.read_frames(path))
        assert media.read_audio(path).size > 0
    assert len(list(media.read_frames(silent))) == 50


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(max_seconds=0.5), "longer than 0.5 s"),
        (Limits(max_pixels=100 * 100), "160 x 120 pixels"),
        (Limits(max_bytes=1000), "MB"),
    ],
)
def test_limits(mp4, limits, says):
    for read in (media.read_audio, lambda path, limits: list(media.read_frames(path, limits=limits))):
        with pytest.raises(MediaError, match=says):
            read(mp4, limits=limits)


def test_the_duration_limit_holds_where_the_file_does_not_say(folder):
    path = folder / "endless.webm"
    path.write_bytes(
        ffmpeg(*flash(seconds=4), "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", "-f", "webm", "-")
    )
    taken = 0
    with pytest.raises(MediaError, match="longer than 1 s"):
        for _ in media.read_frames(path, limits=Limits(max_seconds=1)):
            taken += 1
    assert taken == 25
    with pytest.raises(MediaError, match="longer than 1 s"):
        media.read_audio(path, limits=Limits(max_seconds=1))


def test_a_header_that_hides_a_huge_picture(folder, mp4):
    # The probe's own check set aside: the decoder's must hold alone.
    command = ["-max_pixels", "10000", "-i", str(mp4), "-f", "null", "-"]
    with FFmpeg(command, name="x.mp4", timeout=30) as run, pytest.raises(MediaError, match="larger than the limit"):
        run.finish()


# --- a process that hangs, and one that is no longer wanted ----------------------------------------------------


def fake_ffmpeg(folder, monkeypatch, body):
    script = folder / "fake-ffmpeg"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pid, within=5.0):
    end = time.monotonic() + within
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


@pytest.mark.parametrize("body", ["sleep 300 & echo $! > {pid}; wait", "sleep 300 & echo $! > {pid}; echo 'P6'; wait"])
def test_a_stuck_ffmpeg_is_ended_with_its_children(tmp_path, mp4, monkeypatch, body):
    pid = tmp_path / "pid"
    fake_ffmpeg(tmp_path, monkeypatch, body.format(pid=pid))
    began = time.monotonic()
    for read in (lambda limits: media.read_audio(mp4, limits=limits), lambda limits: media.probe(mp4, limits=limits)):
        with pytest.raises(MediaError, match="gave up after waiting 0.3 s"):
            read(Limits(timeout=0.3))
        assert gone(pid.read_text().strip())
    with FFmpeg([], name="x", timeout=0.3) as run, pytest.raises(MediaError, match="gave up"):
        run.read(100)
    assert gone(pid.read_text().strip())
    assert time.monotonic() - began < 10


def test_a_missing_ffmpeg_says_so(tmp_path, mp4, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nothing"))
    with pytest.raises(MediaError, match="imageio-ffmpeg"):
        media.read_audio(mp4)


def children():
    mine = str(os.getpid())
    pids = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
    return {
        pid for pid in pids if alive(pid) and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1] == mine
    }


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_closing_the_iterator_ends_ffmpeg(folder):
    path = folder / "long.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=640x480:r=25:d=20", "-c:v", "libx264", "-preset", "ultrafast", path)
    before = children()
    frames = media.read_frames(path)
    next(frames)
    assert len(children() - before) == 1
    frames.close()
    assert children() <= before
    with pytest.raises(KeyError):  # what the consumer raises ends it too
        for _ in media.read_frames(path):
            raise KeyError
    assert children() <= before


def test_memory_does_not_grow_with_length(folder):
    """Ten minutes, 15,000 frames: all of them together would be 46 MB here and 41 GB at 720p."""
    path = folder / "ten minutes.mp4"
    picture = "color=gray:s=32x32:r=25:d=600"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast", "-g", 250, path)
    tracemalloc.start()
    count = sum(1 for _ in media.read_frames(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 15_000
    assert peak < 2 * 1024**2


# --- out and back ----------------------------------------------------------------------------------------------


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
