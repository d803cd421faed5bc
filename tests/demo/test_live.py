"""Scores while a camera films: parts in, scores out; and the whole of it with a camera that Chromium makes up."""

import io
import struct
import subprocess

import numpy as np
import pytest
from browser_support import Served, Visitor, launch, write_face, write_model
from PIL import Image

from pushpull.clip import SAMPLES_PER_FRAME
from pushpull.demo import live
from pushpull.demo.live import AHEAD, Part, Refused, Session, Sessions, read_part
from pushpull.detectors import TalkNet, TalkNetConfig

FACE = np.array([[40, 30, 100, 110, 0.9]], np.float32)
NOBODY = np.zeros((0, 5), np.float32)


@pytest.fixture(scope="module")
def network():
    tiny = {"size": "lite", "visual_widths": (8, 16, 16, 16), "tcn_blocks": 1, "visual_hidden": 16}
    return TalkNet(TalkNetConfig(**tiny, audio_widths=(8, 8, 16, 128))).eval()


def part(count=5, seed=0):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 255, (count, 120, 160, 3)).astype(np.uint8)
    return Part(frames, rng.uniform(-0.1, 0.1, count * SAMPLES_PER_FRAME).astype(np.float32))


def packed(count=5, *, said=None, height=120, width=160):
    picture = io.BytesIO()
    Image.fromarray(np.full((count * height, width, 3), 99, np.uint8)).save(picture, "JPEG")
    sound = np.arange(count * SAMPLES_PER_FRAME).astype("<i2")
    return struct.pack("<I", count if said is None else said) + sound.tobytes() + picture.getvalue()


def test_every_frame_is_scored_once_and_in_order(network):
    session = Session(network, lambda _picture: FACE)
    told = []
    for number in range(16):  # 80 frames: more than a window
        found = session.add(part(seed=number))
        told += list(range(found["first"], found["first"] + len(found["scores"])))
        assert found["seen"] == 5 * (number + 1) and len(found["box"]) == 4
    assert told == list(range(80 - AHEAD))


def test_scores_are_those_of_the_whole_track_where_it_fits_the_window(network, monkeypatch):
    parts = [part(seed=number) for number in range(4)]
    session = Session(network, lambda _picture: FACE)
    scores = [score for one in parts for score in session.add(one)["scores"]]
    whole = Session(network, lambda _picture: FACE)
    monkeypatch.setattr(live, "AHEAD", 0)
    together = Part(np.concatenate([one.frames for one in parts]), np.concatenate([one.audio for one in parts]))
    expected = whole.add(together)["scores"]
    # Those that are told last have been scored with everything that there is.
    assert np.allclose(scores[-5:], expected[5:10], atol=1e-3)


def test_a_face_that_goes_and_another_that_comes_begin_anew(network):
    seen = [FACE, FACE, FACE, NOBODY, NOBODY, NOBODY, NOBODY, FACE, FACE, FACE]
    session = Session(network, lambda _picture: seen.pop(0))
    found = [session.add(part(seed=number)) for number in range(10)]
    assert [one["box"] is None for one in found] == [False] * 6 + [True] + [False] * 3
    assert found[-1]["first"] == 35 and len(found[-1]["scores"]) == 5


def test_what_is_left_out_leaves_a_gap_and_never_a_delay(network):
    """A server that is slow gets the newest window at once and tells of it, under the numbers of the frames filmed."""
    looks = []
    session = Session(network, lambda picture: looks.append(picture) or FACE)
    session.add(part(20))
    found = session.add(part(live.WINDOW, seed=1), skipped=37)
    assert len(looks) == 2 + live.WINDOW // live.LOOK, "the face is looked for all along a long part"
    assert found["seen"] == 20 + 37 + live.WINDOW and found["first"] == 57
    assert len(found["scores"]) == live.WINDOW - AHEAD
    alone = Session(network, lambda _picture: FACE).add(part(live.WINDOW, seed=1))
    assert found["scores"] == alone["scores"], "nothing from before the gap is heard or seen in it"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no frames"),
        (packed(said=0), "no frames"),
        (packed(51), "no frames"),
        (packed(said=6), "cannot be read|no frames"),
        (packed()[:-4000] + b"\0" * 9, "cannot be read|no frames"),
        (packed(2, height=121, width=800), "another size"),
        (b"\5\0\0\0" + b"\0" * 4_000_000, "too large"),
    ],
)
def test_what_is_no_part_is_refused(body, message):
    with pytest.raises(Refused, match=message):
        read_part(body)


def test_a_part_is_read_as_it_was_sent():
    got = read_part(packed(3))
    assert got.frames.shape == (3, 120, 160, 3) and abs(int(got.frames.mean()) - 99) <= 1
    assert got.audio.shape == (3 * SAMPLES_PER_FRAME,) and got.audio[1] == 1 / 32768


def test_only_some_film_at_once_and_who_has_gone_makes_room(network, monkeypatch):
    monkeypatch.setattr(Session, "add", lambda self, part, skipped: {})
    now = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    loaded = []
    sessions = Sessions(lambda name: loaded.append(name) or network)
    for name in ("anna", "ben", "anna"):
        sessions.add(name, part(), detector=f"{name}'s")
    assert loaded == ["anna's", "ben's"]
    with pytest.raises(Refused, match="Others are filming"):
        sessions.add("cleo", part(), detector="")
    sessions.end("ben")
    sessions.add("cleo", part(), detector="")
    now[0] += live.IDLE + 1
    sessions.add("dora", part(), detector="")
    now[0] += live.IDLE + 1
    sessions.tidy()
    assert not sessions._sessions  # though nobody films after that
    sessions.close()


def test_a_camera_is_scored_while_it_films_and_then_attacked(tmp_path):
    import imageio_ffmpeg

    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    served = Served(tmp_path / "app")
    write_model(served.folder / "checkpoints", "talknet-other")
    film = write_face(tmp_path / "film.mp4", frames=100)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", "-loglevel", "error", "-i", str(film)]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(tmp_path / "film.y4m")], check=True, timeout=60)
    subprocess.run([*command, "-ac", "1", "-ar", "48000", str(tmp_path / "film.wav")], check=True, timeout=60)
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    camera += [f"--use-file-for-fake-video-capture={tmp_path / 'film.y4m'}"]
    camera += [f"--use-file-for-fake-audio-capture={tmp_path / 'film.wav'}"]
    with playwright.sync_playwright() as running:
        browser = launch(running, camera)
        visitor = Visitor(browser, served.base)
        page = visitor.page
        page.click("#pp-video .source-selection button >> nth=1")  # the Attack tab's webcam: no upload is there now
        page.click("button[role=tab]:has-text('Live')")
        page.select_option(".pp-live-detector select", "talknet-other")
        page.click(".pp-live-start")
        page.wait_for_function("Number(document.querySelector('pp-live').dataset.told) > 12")
        assert served.context.detectors.loaded() == "talknet-other"
        assert "peaking" in page.locator(".pp-live-says").inner_text()
        page.click(".pp-live-start")
        page.click(".pp-live-attack")
        page.wait_for_selector("#pp-faces [data-card]")
        assert "filmed.webm" in page.locator("#pp-status").inner_text()
        # Then the server is gone, and a proxy answers with a page of its own.
        page.click("button[role=tab]:has-text('Live')")
        page.route("**/live/*", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"))
        page.click(".pp-live-start")
        page.wait_for_selector(".pp-live-says >> text=The server does not answer")
        assert page.evaluate("document.querySelector('pp-live').face") is None  # that of the filming before is gone
        assert visitor.errors == []
        browser.close()
    served.stop()
