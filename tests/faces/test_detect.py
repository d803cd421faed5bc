"""Looking for faces in processes of their own: memory, faults, ends; and looking at some frames as good as at all."""

import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from pushpull.faces import FaceDetector, TrackCache, detect, find, find_tracks, read_clips
from pushpull.faces.find import Found
from pushpull.faces.tracking import Track, overlaps
from pushpull.media import MediaError, read_frames, write_preview

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "assets"
PICTURE = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks at processes through /proc")


def family():
    """This process and its children."""
    mine, found = str(os.getpid()), []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name == mine or (folder / "stat").read_text().rsplit(")", 1)[1].split()[1] == mine:
                found.append(folder)
        except OSError:
            continue
    return found


def resident():
    pages, mine = 0, Path("/proc/self/cmdline").read_bytes()
    for folder in family():
        with contextlib.suppress(OSError):  # it has just ended
            # Between fork and exec a child still is this process, and shares its memory.
            if folder.name == str(os.getpid()) or (folder / "cmdline").read_bytes() != mine:
                pages += int((folder / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@linux
def test_memory_does_not_grow_with_pictures(monkeypatch):
    """500 pictures of 0.2 MB: a process of the detector keeps every one it was given, so it is replaced in time."""
    monkeypatch.setattr(detect, "PICTURES", 50)
    with FaceDetector(2) as detector:
        for _ in range(150):
            detector(PICTURE)
        before = resident()
        for _ in range(500):
            detector(PICTURE)
        grown = resident() - before
    assert grown < 2 * 50 * PICTURE.nbytes + 10e6, f"{grown / 1e6:.0f} MB for 500 pictures"


@linux
@pytest.mark.slow
def test_a_ten_minute_file_takes_no_more_than_a_short_one(tmp_path):
    """From file to tracks: RSS of everything, ffmpeg and detector included."""
    portrait = np.stack(list(read_frames(ASSETS / "1-speaking-indoors.mp4", max_side=96))[:50])
    peaks = []
    for repeats in (6, 300):
        path = tmp_path / f"{repeats}.mp4"
        frames = (frame for _ in range(repeats) for frame in portrait)
        write_preview(path, frames, np.zeros(repeats * 50 * 640, np.int16))
        peak = 0

        def watch(share, text):
            nonlocal peak
            peak = max(peak, resident())

        assert len(find_tracks(path, progress=watch)) >= 1
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 150e6, f"{peaks[0] / 1e6:.0f} MB for 12 s, {peaks[1] / 1e6:.0f} MB for ten minutes"


@pytest.mark.parametrize(
    "fault", ["import os; os.kill(os.getpid(), 11)", "import sys; sys.exit(3)", "raise RuntimeError"]
)
def test_a_fault_in_the_detector_is_an_error_and_not_the_end(fault, tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text(fault)
    with FaceDetector(1) as detector:
        with monkeypatch.context() as patch:
            patch.setattr(detect, "WORKER", worker)
            with pytest.raises(MediaError, match="face detector broke off .* Try the clip again"):
                detector(PICTURE)
        assert detector(PICTURE).shape == (0, 5), "the next picture has a new process"


def test_a_stuck_detector_is_given_up(tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(detect, "WORKER", worker)
    monkeypatch.setattr(detect, "PATIENCE", 0.3)
    began = time.monotonic()
    with FaceDetector(1) as detector, pytest.raises(MediaError, match="broke off"):
        detector(PICTURE)
    assert time.monotonic() - began < 20


@linux
def test_its_processes_end_with_it():
    before = set(family())
    with FaceDetector(2) as detector:
        detector(PICTURE)
        assert set(family()) > before
    assert set(family()) <= before


@linux
def test_its_processes_end_with_a_parent_that_is_killed():
    code = """
import os, sys, time
import numpy as np
from pushpull.faces import FaceDetector
detector = FaceDetector(1)
detector(np.zeros((64, 64, 3), np.uint8))
print(detector._idle.get()._process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = Path("/proc") / parent.stdout.readline().strip()
    parent.kill()
    parent.wait()
    end = time.monotonic() + 10
    while child.exists() and "(zombie)" not in (child / "status").read_text() and time.monotonic() < end:
        time.sleep(0.05)
    assert not child.exists() or "(zombie)" in (child / "status").read_text()


def test_a_script_without_a_main_guard_may_look_for_faces(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\nfrom pushpull.faces import detect_faces\n"
        "print(detect_faces(np.zeros((64, 64, 3), np.uint8)).shape)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "(0, 5)", done.stderr


def test_the_worker_loads_neither_torch_nor_the_package():
    code = f"import runpy, sys; sys.argv = ['', '/']; runpy.run_path({str(detect.WORKER)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60)
    loaded = done.stdout.split()
    assert "struct" in loaded and not {"torch", "pushpull", "numpy"} & set(loaded), done.stderr


@pytest.mark.parametrize("name", ["7-conversation.mp4", "9-chewing.mp4"])
def test_some_frames_tell_as_much_as_all(name):
    every, now = (find_tracks(ASSETS / name, stride=stride) for stride in (1, find.STRIDE))
    assert [(t.start, t.stop) for t in now] == [(t.start, t.stop) for t in every]
    for first, second in zip(every, now, strict=True):
        shared = [overlaps(a[None], b[None])[0, 0] for a, b in zip(first.boxes, second.boxes, strict=True)]
        assert np.mean(shared) > 0.9


def test_who_comes_between_two_looks_is_seen_from_where_they_are():
    """A face from frame 6 to 25 of 40, looked for in every 4th frame: nobody is told more than asked half-way."""

    class Scripted:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, rgb):
            index, answer = int(rgb[0, 0, 0]), Future()
            faces = [[10, 10, 30, 30, 0.9]] if 6 <= index <= 25 else []
            answer.set_result(np.array(faces, np.float32).reshape(-1, 5))
            return answer

    frames = [np.full((40, 40, 3), index, np.uint8) for index in range(40)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "FaceDetector", Scripted)
        (track,) = find_tracks(frames)
    assert (track.start, track.stop) == (6, 26)


def test_faces_are_told_as_they_are_found():
    told = []
    footage = read_clips(
        ASSETS / "7-conversation.mp4",
        progress=lambda share, text: told.append(("at", share)),
        seen=lambda picture: told.append(("face", picture)),
        cache=TrackCache(folder=Path(os.devnull) / "none"),
    )
    faces = [index for index, (what, _) in enumerate(told) if what == "face"]
    assert len(faces) == len(footage.clips) == 2
    assert told[faces[0]][1].shape == (160, 160, 3)
    assert told[faces[0] - 1][1] < 0.2, "long before the search is over"


class TestCache:
    found = Found([Track(3, np.ones((5, 4), np.float32), np.full(5, 0.7, np.float32))], (48, 64), 90)

    def test_what_was_found_comes_back(self, tmp_path):
        cache, file = TrackCache(tmp_path / "cache"), tmp_path / "a.bin"
        file.write_bytes(b"one")
        key = cache.key(file, 0.0, None)
        assert cache.get(key) is None
        cache.put(key, self.found)
        held = cache.get(key)
        assert (held.size, held.frames, held.tracks[0].start) == ((48, 64), 90, 3)
        assert np.array_equal(held.tracks[0].boxes, self.found.tracks[0].boxes)
        copy = tmp_path / "b.bin"
        copy.write_bytes(b"one")
        assert cache.key(copy, 0.0, None) == key, "a copy is the same file"
        assert len({key, cache.key(file, 1.0, None), cache.key(file, 0.0, 2.0)}) == 3, "another part is not"
        hours = {cache.key(file, 12345.0 + frame / 25, 10.0) for frame in range(25)}
        assert len(hours) == 25, "nor is one that begins a frame later, hours into a film"

    def test_a_file_is_searched_once(self, tmp_path, monkeypatch):
        cache, path = TrackCache(tmp_path), ASSETS / "9-chewing.mp4"
        first = read_clips(path, cache=cache)
        monkeypatch.setattr("pushpull.faces.read.find", None)
        second = read_clips(path, cache=cache)
        assert np.array_equal(first.clips[0].video, second.clips[0].video)

    @pytest.mark.parametrize("spoil", ["empty", "half", "text", "folder is a file", "off"])
    def test_a_spoilt_cache_is_a_miss(self, tmp_path, spoil, monkeypatch):
        folder = tmp_path / "cache"
        if spoil == "off":
            monkeypatch.setenv("PUSHPULL_CACHE", "off")
            cache = TrackCache()
            assert cache.folder is None
        else:
            cache = TrackCache(folder)
        if spoil == "folder is a file":
            folder.write_text("")
        cache.put("key", self.found)
        path = folder / "key.npz"
        if path.exists():
            data = path.read_bytes()
            path.write_bytes({"empty": b"", "half": data[: len(data) // 2], "text": b"I am none."}[spoil])
        assert cache.get("key") is None

    def test_it_does_not_grow_without_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr("pushpull.faces.cache.MOST", 3)
        cache = TrackCache(tmp_path)
        for index in range(5):
            cache.put(f"k{index}", self.found)
            os.utime(tmp_path / f"k{index}.npz", (index, index)) if index < 4 else None
        assert len(list(tmp_path.glob("*.npz"))) == 3 and cache.get("k4") is not None
