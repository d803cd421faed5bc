"""Public clips to measure on: listed at fixed commits, fetched once, cut to one face."""

import csv
import functools
import http.server
import subprocess
import sys
import threading
from pathlib import Path

import imageio_ffmpeg
import pytest

from pushpull.media import read_media

ROOT = Path(__file__).parents[2]
HEAD = "name,repository,commit,path,start,seconds,crop\n"


def fetch(listed, out, base):
    command = [sys.executable, str(ROOT / "benchmarks/strangers.py"), "--list", str(listed), "--out", str(out)]
    return subprocess.run([*command, "--base", base], capture_output=True, text=True, timeout=120)


@pytest.fixture
def web(tmp_path):
    """A folder, and the address at which it is served."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "web")
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / "web", f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_clips_are_fetched_cut_and_not_fetched_again(web, tmp_path):
    folder, base = web
    source = folder / "someone/project/c0ffee/some clips/talk.mp4"
    source.parent.mkdir(parents=True)
    picture, sound = "testsrc=size=320x240:rate=25:duration=3", "sine=frequency=300:duration=3"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(source)], check=True)
    listed = tmp_path / "list.csv"
    row = "{},someone/project,c0ffee,some clips/{},0.5,1.2,160:120:40:20\n"
    listed.write_text(HEAD + row.format("01", "talk.mp4") + row.format("02", "gone.mp4"))

    first = fetch(listed, tmp_path / "out", base)
    assert first.returncode == 1 and "1 of 2 clips" in first.stdout and "02" in first.stderr and "404" in first.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["01.mkv"]
    found = read_media(tmp_path / "out/01.mkv")
    assert found.frames.shape[1:3] == (120, 160) and abs(len(found.frames) - 30) <= 1
    assert abs(found.audio).max() > 0.05, "its sound came along"

    source.unlink()
    listed.write_text(HEAD + row.format("01", "talk.mp4"))
    again = fetch(listed, tmp_path / "out", base)
    assert again.returncode == 0 and "1 of 1 clips" in again.stdout, again.stderr


def test_the_list_names_every_clip_once_at_a_fixed_commit():
    with (ROOT / "docs/strangers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (
        len({row["name"] for row in rows}) == len({(row["repository"], row["path"]) for row in rows}) == len(rows) > 40
    )
    assert all(len(row["commit"]) == 40 and float(row["seconds"]) <= 10 for row in rows)
