"""What the tests of the XAB pages share: studies with real clips, the app on a port, Chromium, a clicking volunteer."""

import hashlib
import secrets
import shutil
import threading
import time

import numpy as np
import pytest
import uvicorn
from browser_support import below
from fastapi import FastAPI
from xab_support import Volunteer, fill

from pushpull.media.stimulus import write_stimulus
from xab.pages import mount
from xab.plan import FRAME_SECONDS, Design
from xab.settings import Settings
from xab.stimuli import ENCODINGS
from xab.store import Stimulus, Store

# Ten frames each: the shortest that still has a start, a middle and an end.
TINY = {
    "title": "A tiny study",
    "models": ("none",),
    "attacks": ("bim",),
    "speech": 1,
    "non_speech": 1,
    "training": 1,
    "catch": 0,
    "seconds": 0.4,
    "volunteers": 2,
}
FRAMES = 10


def twins(seed: int, strength: int = 1) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A moving pattern with a tone, and the same with every pixel and sample changed by ``strength`` little steps."""
    rng = np.random.default_rng(seed)
    k, y, x = np.indices((FRAMES, 112, 112))
    video = (128 + 90 * np.sin(x / 9 + k / 2 + seed) * np.cos(y / 11)).round().astype(np.uint8)
    audio = (4000 * np.sin(2 * np.pi * (200 + 30 * seed) * np.arange(FRAMES * 640) / 16000)).round().astype(np.int16)
    noise = strength * rng.choice([-1, 1], video.shape), strength * rng.choice([-20, 20], audio.shape)
    return {
        "genuine": (video, audio),
        "adversarial": ((video + noise[0]).astype(np.uint8), (audio + noise[1]).astype(np.int16)),
    }


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class ClipMaker:
    """Real stimuli below a data folder; those of one position are made once and shared by all studies.

    Args:
        settings: where.
        strong: positions of pairs that differ as much as a catch trial's do.
    """

    def __init__(self, settings: Settings, *, strong: frozenset[int] = frozenset()):
        self._root = settings.data / "stimuli"
        self._strong = strong
        self._made: dict[int, tuple[Stimulus, ...]] = {}

    def __call__(self, position: int) -> tuple[Stimulus, ...]:
        if position not in self._made:
            self._made[position] = tuple(self._make(position))
        return self._made[position]

    def _make(self, position: int):
        (self._root / "clips").mkdir(parents=True, exist_ok=True)
        for twin, (video, audio) in twins(position, 12 if position in self._strong else 1).items():
            for encoding, variant in ENCODINGS.items():
                path = self._root / "clips" / f"{secrets.token_hex(12)}.mp4"
                write_stimulus(path, video, audio, variant=variant)
                data = path.read_bytes()
                yield Stimulus(
                    twin=twin,
                    encoding=encoding,
                    path=f"clips/{path.name}",
                    bytes=len(data),
                    file_sha256=sha(data),
                    video_sha256=sha(video.tobytes()),
                    audio_sha256=sha(audio.astype("<i2").tobytes()),
                )


def add_study(store: Store, clips: ClipMaker, **changes) -> str:
    """A study that is ready, its clips made without a model."""
    study = store.studies.create(Design(**{**TINY, **changes}))
    fill(store, study, frames=FRAMES, stimuli=clips)
    return study


class Person(Volunteer):
    """A volunteer without a browser, as patient as these clips are long."""

    def wait(self) -> None:
        time.sleep(3 * FRAMES * FRAME_SECONDS)


class NeverMade:
    """A process that ended without making anything."""

    pid = 0

    def poll(self) -> int:
        return 1


class Served:
    """The app on a port of its own; stop() and start() are a restart on the same port.

    Args:
        settings: where its things are.
        prefix: a path below which a proxy serves it.
        maker: see xab.pages.create; by default the clips of the test to try are never made.
    """

    def __init__(self, settings: Settings, *, prefix: str = "", maker=None):
        self.settings, self.prefix, self.maker = settings, prefix, maker or NeverMade
        self.clips = ClipMaker(settings)
        self.port = 0
        self.start()

    def start(self) -> None:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        self.inner = mount(app, self.settings, maker=self.maker)
        config = uvicorn.Config(
            below(self.prefix, app) if self.prefix else app,
            port=self.port,
            log_level="error",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        limit = time.monotonic() + 20
        while not self._server.started:
            assert self._thread.is_alive() and time.monotonic() < limit, "the server did not start"
            time.sleep(0.02)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self.inner.state.context.store.close()

    @property
    def store(self) -> Store:
        return self.inner.state.context.store

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}/xab"

    def link(self, token: str | None) -> str:
        return self.base if token is None else f"{self.base}?t={token}"

    def study(self, **changes) -> str:
        return add_study(self.store, self.clips, **changes)

    def links(self, study: str, count: int = 1) -> list[str]:
        return [token for _, token in self.store.links.add_links(study, count)]

    def at_trial(self, study: str) -> str:
        """The token of a volunteer who has come to the first trial."""
        (token,) = self.links(study)
        Person(self.store, token).begin()
        return token

    def choices(self, study: str) -> dict[int, list[str]]:
        """{volunteer: answers in order of the trials}"""
        found: dict[int, list[str]] = {}
        for row in self.store.results.judgments(study):
            found.setdefault(row["volunteer"], []).append(row["choice"])
        return found


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The app with an empty database; studies by ``app.study()``."""
    chromium_path()  # skips before anything is built
    served = Served(Settings(data=tmp_path_factory.mktemp("xab"), password="test"))
    yield served
    served.stop()


def chromium_path() -> str:
    """A Chromium to test with, or skip with the reason."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium here: apt install chromium")


@pytest.fixture(scope="module")
def browser():
    """A browser that asks nobody but this machine for anything."""
    path = chromium_path()
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    quiet += ["--disable-sync", "--no-first-run", "--mute-audio"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=quiet)
        yield browser
        browser.close()


class Visitor:
    """A volunteer in a browser window, who clicks what a volunteer clicks."""

    def __init__(self, browser, app: Served, token: str | None, **context):
        self.app, self.token = app, token
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.watch(self.page)
        self.page.goto(app.link(token))

    def watch(self, page) -> None:
        """Anything that a page throws, and any request to another host, is a trouble."""
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((self.app.base, "blob:", "data:")) else self.troubles.append(request.url)
            ),
        )
        page.set_default_timeout(60_000)  # other processes may take the processor

    def second_tab(self):
        page = self.context.new_page()
        self.watch(page)
        page.goto(self.app.link(self.token))
        return page

    def see(self, text: str, page=None) -> None:
        (page or self.page).get_by_role("heading", name=text).wait_for()

    def click(self, name: str, page=None) -> None:
        (page or self.page).get_by_role("button", name=name, exact=True).click()

    def agree(self) -> "Visitor":
        self.see("Before you start")
        self.page.get_by_label("I have read this").check()
        self.click("Agree and continue")
        return self

    def read(self) -> "Visitor":
        self.see("What you do")
        self.click("Continue")
        return self

    def pass_check(self) -> "Visitor":
        self.see("Your browser is fine")
        self.click("Continue")
        return self

    def hear(self) -> "Visitor":
        """Count the murmurs: the page does not tell, so try until it is content."""
        self.see("Set your volume")
        go = self.page.get_by_role("button", name="Continue", exact=True)
        self.page.get_by_role("button", name="Play the sound").click()
        self.page.locator(".count[aria-disabled=false]").first.wait_for()
        for number in "234":
            self.page.get_by_role("button", name=number, exact=True).click()
            if go.is_visible():
                break
        go.click()
        return self

    def cannot_hear(self) -> "Visitor":
        self.see("Set your volume")
        self.page.locator("summary", has_text="I cannot hear the sound").click()
        self.click("I cannot hear the sound")
        return self

    def begin(self) -> "Visitor":
        """Up to the first trial."""
        return self.agree().read().pass_check().hear()

    def await_trial(self, number: int, of: int = 2, kind: str = "Trial", page=None) -> "Visitor":
        page = page or self.page
        page.locator("#count", has_text=f"{kind} {number} of {of}").wait_for()
        page.locator(".trial[data-ready]").wait_for()
        return self

    def play(self, roles: str = "XAB") -> "Visitor":
        for role in roles:
            self.page.locator(f".clip[data-role={role}]").click()
            self.page.locator(f".clip[data-role={role}][data-now=played]").wait_for()
        return self

    def answer(self, side: str = "A") -> "Visitor":
        self.page.locator(f".answer[data-side={side}][aria-disabled=false]").click()
        return self

    def practise(self, side: str = "A") -> "Visitor":
        self.await_trial(1, 1, "Practice").play().answer(side)
        self.click("Start the test")
        return self

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, kind, *_) -> None:
        self.context.close()
        if kind is None:
            assert self.troubles == []
