"""What the tests of media share: a film of one flash and one tone, in any container."""

import stat
import subprocess

import imageio_ffmpeg
import pytest

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


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def mp4(films):
    path = films / "plain.mp4"
    ffmpeg(*flash(), "-c:v", "libx264", "-c:a", "aac", "-movflags", "+faststart", path)
    return path


def fake_ffmpeg(folder, monkeypatch, body):
    script = folder / "fake-ffmpeg"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
