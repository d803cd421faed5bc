"""docs/xab-consent-*.png, -sound-phone and -lab-results: what volunteers agree to and hear, and results of guesses.

    python docs/figures/xab_pictures.py

Needs Chromium, Playwright and ImageMagick. The five volunteers are simulated: they guess, and pass every catch trial.
Their clips are patterns, not faces.
"""

import random
import sys
import tempfile
import threading
from pathlib import Path

import sqlalchemy as sa

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from kept import keep  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from xab_support import fill  # noqa: E402
from xab_web import FRAMES, Person, Served, chromium_path  # noqa: E402

from xab.plan import paper_preset  # noqa: E402
from xab.settings import Settings  # noqa: E402
from xab.store import schema  # noqa: E402

VOLUNTEERS, PASSWORD = 5, "of these pictures"
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


def take_part(served: Served, token: str, seed: int) -> None:
    """The whole test of somebody who guesses, but for catch trials."""
    person, guess = Person(served.store, token).begin(), random.Random(seed)
    session = sa.select(schema.sessions.c.id).where(schema.sessions.c.token == token).scalar_subquery()
    plan = sa.select(schema.trials.c.handle, schema.trials.c.match, schema.trials.c.phase)
    with served.store.engine.connect() as connection:
        found = {row.handle: row for row in connection.execute(plan.where(schema.trials.c.session_id == session))}
    while (state := person.state)["step"] == "trials":
        trial = found[state["handle"]]
        person.answer(trial.match if trial.phase == "catch" else guess.choice("AB"))


def study_of(served: Served) -> str:
    """A study as in the paper that all its volunteers have finished; it has one more link."""
    study = served.store.studies.create(paper_preset(volunteers=VOLUNTEERS))
    fill(served.store, study, frames=FRAMES, stimuli=served.clips)
    people = [
        threading.Thread(target=take_part, args=(served, token, seed))
        for seed, token in enumerate(served.links(study, VOLUNTEERS))
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    return study


def shoot(browser, served: Served, study: str) -> None:
    token = served.links(study)[0]
    link = served.link(token)
    for name, context in (("desktop", {"viewport": {"width": 1280, "height": 800}}), ("phone", PHONE)):
        page = browser.new_context(**context).new_page()
        page.goto(link)
        page.wait_for_selector("text=Before you start")
        keep(page.screenshot(full_page=True), f"xab-consent-{name}")
    served.store.sessions.consent(token, 1)
    served.store.sessions.advance(token, "instructions")
    served.store.sessions.check(token, passed=True, report={})
    page.reload()  # on the phone
    page.click("text=Play the sound")
    page.wait_for_selector("text=Play again")
    keep(page.screenshot(full_page=True), "xab-sound-phone")
    page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
    page.goto(f"{served.base}/lab")
    page.fill("input[type=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Log out")
    page.goto(f"{served.base}/lab/{study}/results")
    page.wait_for_selector("h2:has-text('Numbers')")
    page.wait_for_load_state("networkidle")
    keep(page.screenshot(full_page=True), "xab-lab-results")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        served = Served(Settings(data=Path(folder), password=PASSWORD))
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox", "--disable-gpu"])
        shoot(browser, served, study_of(served))
        browser.close()
        served.stop()


if __name__ == "__main__":
    main()
