"""docs/app-first.png, -live, -survive, -compare: the page at first, as it films, after an attack and a comparison.

    python docs/figures/app_pictures.py              all of them
    python docs/figures/app_pictures.py first live   some

Needs Chromium, Playwright, ImageMagick and, to compare, the weights of lr-asd-ava (python -m pushpull.detectors fetch
lr-asd-ava). Takes some minutes: the attacks are run.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from browser_support import Visitor, launch  # noqa: E402
from kept import keep  # noqa: E402
from live_camera import camera  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

PORT = 7907
MODELS = ("talknet-lite-a", "talknet-lite-b2", "talknet-lite-d3", "talknet-lite-e2", "lr-asd-ava")
LISTENING = 4  # the sample's place in the gallery
FILM = ROOT / "assets" / "2-speaking-shelves.mp4"  # what the camera sees
FILMED = 60  # frames that are scored before the picture is taken


@contextmanager
def served():
    """The shipped page, its results in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PUSHPULL_XAB_DATA": f"{folder}/xab", "TMPDIR": folder}
        app = subprocess.Popen([sys.executable, "app.py", "--port", str(PORT)], cwd=ROOT, env=environment)
        try:
            yield wait_for(f"http://127.0.0.1:{PORT}")
        finally:
            app.terminate()
            app.wait()


def wait_for(base: str) -> str:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{base}/healthz", timeout=5).close()
            return base
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise TimeoutError("the page did not come up")


def first(playwright, base: str) -> None:
    browser = launch(playwright)
    page = Visitor(browser, base).page
    page.wait_for_selector(".pp-example .pp-timeline svg")
    page.wait_for_function("document.querySelector('pp-player video').currentTime > 1")
    keep(page.screenshot(), "app-first")
    browser.close()


def live(playwright, base: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        browser = launch(playwright, camera(FILM, Path(folder)))
        page = Visitor(browser, base).page
        page.click("button[role=tab]:has-text('Live')")
        page.click(".pp-live-start")
        page.wait_for_function(f"Number(document.querySelector('pp-live').dataset.told) > {FILMED}")
        page.wait_for_selector(".pp-live-screen.pp-speaking")
        keep(page.screenshot(), "app-live")
        browser.close()


def survive(playwright, base: str) -> None:
    browser = launch(playwright)
    visitor = Visitor(browser, base)
    page = visitor.page
    page.set_default_timeout(600_000)
    page.click(f"#pp-gallery [data-card='{LISTENING}']")
    page.wait_for_selector("#pp-faces [data-card]")
    page.click("#pp-surviving button")
    visitor.choose("#pp-survive", "CRF 23")
    page.click("#pp-run")
    page.wait_for_selector("#pp-files a")
    page.wait_for_function("document.querySelectorAll('pp-player video').length == 3")
    page.wait_for_function("[...document.querySelectorAll('pp-player video')].every(v => v.readyState >= 2)")
    page.set_viewport_size({"width": 1280, "height": 1220})
    page.evaluate("scrollTo(0, document.querySelector('#pp-gallery').getBoundingClientRect().top + scrollY - 120)")
    page.wait_for_timeout(1500)
    keep(page.screenshot(), "app-survive")
    browser.close()


def compare(playwright, base: str) -> None:
    browser = launch(playwright)
    page = Visitor(browser, base).page
    page.set_default_timeout(600_000)
    page.click("button[role=tab]:has-text('Compare')")
    page.click("#pp-compare-gallery [data-card='0']")
    page.wait_for_selector("#pp-compare-status .pp-note")
    choose_models(page)
    page.click("#pp-compare-run")
    page.wait_for_selector("#pp-compare-files a")
    page.wait_for_timeout(2000)
    page.evaluate("scrollTo(0, 0)")
    sentence, strips = page.locator("#pp-compare-sentence"), page.locator("pp-compare .pp-strip-row").last
    top, bottom = sentence.bounding_box(), strips.bounding_box()
    area = {"x": top["x"] - 16, "y": top["y"] - 10, "width": top["width"] + 32}
    area["height"] = bottom["y"] + bottom["height"] + 30 - area["y"]
    keep(page.screenshot(full_page=True, clip=area), "app-compare")
    browser.close()


def choose_models(page) -> None:
    """MODELS, and no other."""
    while page.locator("#pp-compare-models .token-remove").count():
        page.locator("#pp-compare-models .token-remove").first.click()
    for name in MODELS:
        page.click("#pp-compare-models input")
        page.fill("#pp-compare-models input", name)
        page.locator(f"[role=option]:has-text('{name}')").first.click()
    page.keyboard.press("Escape")


PICTURES = {"first": first, "live": live, "survive": survive, "compare": compare}


def main() -> None:
    with served() as base, sync_playwright() as playwright:
        for name in sys.argv[1:] or PICTURES:
            PICTURES[name](playwright, base)


if __name__ == "__main__":
    main()
