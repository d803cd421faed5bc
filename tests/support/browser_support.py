"""What the tests of the demo share: a video with a face, a tiny model, the app on a port, Chromium."""

import json
import shutil
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image

from pushpull.clip import SAMPLES_PER_FRAME
from pushpull.detectors import TalkNet, TalkNetConfig, save_checkpoint
from pushpull.media import write_preview

FRAMES = 12  # a face must be seen for ten
TINY = {"size": "lite", "visual_widths": (8, 16, 16, 16), "tcn_blocks": 1, "visual_hidden": 16}
TINY |= {"audio_widths": (8, 8, 16, 128)}


def write_face(path: Path, *, frames: int = FRAMES, silent: bool = False) -> Path:
    """A small video of a public-domain photograph that matplotlib brings, with a sweep for sound."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        face = Image.open(file).convert("RGB").crop((40, 0, 490, 600)).resize((110, 147))
    pictures = np.full((frames, 160, 220, 3), 90, np.uint8)
    for index, picture in enumerate(pictures):
        picture[5:152, 50 + index % 3 : 160 + index % 3] = np.asarray(face)
    moments = np.arange(frames * SAMPLES_PER_FRAME) / 16_000
    sound = np.zeros_like(moments) if silent else 0.2 * np.sin(2000 * moments**2)
    return write_preview(path, pictures, sound.astype(np.float32))


def write_model(folder: Path, name: str = "talknet-lite") -> Path:
    """Random weights whose decisions sit close enough to the threshold to be moved."""
    torch.manual_seed(0)
    model = TalkNet(TalkNetConfig(**TINY)).eval()
    return save_checkpoint(folder / name, model, {"summary": "Random weights, for tests."})


def below(prefix: str, app):
    """ASGI: ``app`` as behind a proxy that serves it below ``prefix`` and takes that away without a word."""

    async def proxy(scope, receive, send):
        if scope["type"] == "http":
            path = scope["path"]
            # What lies outside the prefix is another server's.
            inside = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else "/not/ours"
            scope = {**scope, "path": inside, "raw_path": inside.encode()}
        await app(scope, receive, send)

    return proxy


class Served:
    """The demo on a port of its own, in a thread; with a ``prefix`` as behind a proxy, see :func:`below`."""

    def __init__(self, folder: Path, *, model: bool = True, samples: bool = True, example: bool = False, prefix=""):
        from app import build_app

        self.folder = folder
        clips, checkpoints = folder / "clips", folder / "checkpoints"
        for made in (clips, checkpoints):
            made.mkdir(parents=True)
        if samples:
            write_face(clips / "hopper.mp4")
        if model:
            write_model(checkpoints)
        folders = {"clips": clips, "checkpoints": checkpoints, "results": folder / "results"}
        self.app = build_app(**folders, root_path=prefix, example=example)
        app = below(prefix, self.app) if prefix else self.app
        config = uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        limit = time.monotonic() + 60
        while not self._server.started:
            assert self._thread.is_alive() and time.monotonic() < limit, "the server did not start"
            time.sleep(0.02)
        self.base = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}{prefix}"

    @property
    def context(self):
        return self.app.state.context

    def health(self) -> dict:
        """What /healthz says."""
        with urllib.request.urlopen(f"{self.base}/healthz", timeout=30) as reply:
            return json.load(reply)

    def wait_for_example(self) -> None:
        """Until a page that is loaded shows the example."""
        limit = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(f"{self.base}/example/view.json", timeout=30).close()
                return
            except urllib.error.HTTPError:
                assert time.monotonic() < limit, "no example was made"
                time.sleep(0.1)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        for thread in threading.enumerate():
            if thread.name == "task":  # an interpreter that ends while torch works in a daemon thread aborts
                thread.join(60)


def launch(playwright, more=()):
    """A Chromium that asks nobody but this machine for anything; skips with the reason where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium here: apt install chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    quiet += ["--disable-sync", "--no-first-run", "--mute-audio"]
    return playwright.chromium.launch(executable_path=found, args=[*quiet, *more])


class Visitor:
    """Somebody with a browser window; what the page throws and which hosts it asks is written down."""

    def __init__(self, browser, base, width=1280):
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(120_000)  # of patience, for machines that do other things too
        self.errors, self.hosts = [], set()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(base)
        self.page.wait_for_selector("#pp-run")

    def choose_sample(self):
        self.page.click("#pp-gallery [data-card='0']")
        self.page.wait_for_selector("#pp-faces [data-card]")  # a player may be there before: that of the example
        self.page.wait_for_selector("pp-player .pp-timeline svg")
        return self.page.locator("#pp-faces [data-card]").count()

    def choose(self, field, words):
        """Take what is called ``words`` of a list of the form."""
        self.page.click(f"{field} input")
        self.page.click(f"[role=option]:has-text({json.dumps(words)})")

    def set_steps(self, steps):
        self.page.click("#pp-advanced button")
        self._slide("#pp-steps", steps)

    def _slide(self, field, value):
        slider, box = (self.page.locator(f"{field} input[type={kind}]") for kind in ("range", "number"))
        for _ in range(40):  # a slider that has only just come into view may not listen yet
            box.fill(str(value))
            box.press("Enter")
            self.page.wait_for_timeout(250)
            if slider.input_value() == str(value):
                break
        assert slider.input_value() == str(value)

    def begin_a_long_attack(self):
        """One that lasts while another visitor's page loads, where the processor is shared with others as well."""
        self.choose_sample()
        self.set_steps(100)
        self._slide("#pp-restarts", 10)
        self.page.click("#pp-run")
        self.page.wait_for_selector("#pp-progress .pp-curve")

    def scrolls_sideways(self):
        return self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
