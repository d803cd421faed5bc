"""A decoder that hangs is ended, one that is no longer wanted too, and memory stays small."""

import os
import time
import tracemalloc
from pathlib import Path

import pytest
from media_support import fake_ffmpeg, ffmpeg

from pushpull import media
from pushpull.media import Limits, MediaError
from pushpull.media.ffmpeg import FFmpeg


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
def test_closing_the_iterator_ends_ffmpeg(films):
    path = films / "long.mp4"
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


def test_memory_does_not_grow_with_length(films):
    """Ten minutes, 15,000 frames: all of them together would be 46 MB here and 41 GB at 720p."""
    path = films / "ten minutes.mp4"
    picture = "color=gray:s=32x32:r=25:d=600"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast", "-g", 250, path)
    tracemalloc.start()
    count = sum(1 for _ in media.read_frames(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 15_000
    assert peak < 2 * 1024**2
