"""The Compare and Models tabs in Chromium: several models on one clip, cards searched, sorted, fetched and attacked."""

import io
import json
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest
from browser_support import FRAMES, Served, write_model

from pushpull.demo import models_tab
from pushpull.demo.compare_actions import Progress
from pushpull.detectors import FetchError


@pytest.fixture(scope="module")
def served(tmp_path_factory, unhurried):
    served = Served(tmp_path_factory.mktemp("app"))
    write_model(served.folder / "checkpoints", "talknet-other")
    yield served
    served.stop()


@pytest.fixture
def page(browser, served):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(240_000)  # of patience, for machines that do other things too
    errors, hosts = [], set()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto(served.base)
    page.wait_for_selector("#pp-run")
    yield page
    page.close()
    assert errors == [] and hosts == {served.base.split("//")[1]}


def open_tab(page, name):
    page.click(f"button[role=tab]:has-text('{name}')")


def set_steps(page, steps):
    slider = page.locator("#pp-compare-steps input[type=range]")
    for _ in range(40):  # a slider that has only just come into view may not listen yet
        page.fill("#pp-compare-steps input[type=number]", str(steps))
        page.press("#pp-compare-steps input[type=number]", "Enter")
        page.wait_for_timeout(250)
        if slider.input_value() == str(steps):
            return
    pytest.fail("the slider does not move")


def choose_sample(page):
    page.click("#pp-compare-gallery [data-card='0']")
    page.wait_for_selector("#pp-compare-status .pp-note")


def test_two_models_are_compared_and_taken_away(page, served):
    open_tab(page, "Compare")
    page.click("#pp-compare-run")
    page.wait_for_selector("#pp-compare-progress >> text=Choose a clip first")
    page.wait_for_timeout(1500)
    assert page.locator("#pp-compare-progress >> text=Choose a clip first").is_visible(), "it was wiped away"
    choose_sample(page)
    set_steps(page, 1)
    page.click("#pp-how label:has-text('noise on all')")
    page.wait_for_selector("#pp-source input")
    page.click("#pp-compare-run")
    page.wait_for_selector("#pp-compare-files a")
    assert page.locator("pp-compare .pp-strip-row svg").count() == 2
    assert page.locator("pp-compare .pp-compare-clusters .pp-clusters").count() == 2
    assert "Noise made on talknet-lite flips" in page.locator("#pp-compare-sentence").inner_text()
    told = page.locator("#pp-compare-numbers").inner_text()
    assert "Attack success rate" in told and "scored on all" in told
    assert ("its floor, the prevalence" in told) == ("AVA average precision" in told)
    assert page.locator("#pp-compare-progress .pp-queue .done").count() == 2
    with page.expect_download() as started:
        page.click("#pp-compare-files a >> text=Everything")
    archive = zipfile.ZipFile(io.BytesIO(Path(started.value.path()).read_bytes()))
    assert {"comparison.json", "talknet-lite/report.json", "talknet-other/adversarial_face.mp4"} <= set(
        archive.namelist()
    )
    report = json.loads(archive.read("comparison.json"))
    assert report["transfer_from"] == "talknet-lite" and report["source"]["path"] == "hopper.mp4"
    address = page.locator("pp-compare").get_attribute("src")
    with urllib.request.urlopen(f"{served.base}/{address}", timeout=30) as reply:
        view = json.loads(reply.read())
    assert [len(model["scores"]["stored"]) for model in view["models"]] == [FRAMES, FRAMES]
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.querySelector('pp-compare .pp-plot svg').clientWidth < 390")
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_another_clip_ends_a_comparison_and_the_next_one_runs(page):
    open_tab(page, "Compare")
    choose_sample(page)
    set_steps(page, 100)
    page.click("#pp-compare-run")
    page.wait_for_selector("#pp-compare-progress >> text=of 100")
    page.click("#pp-compare-gallery [data-card='0']")
    page.wait_for_selector("#pp-compare-run:has-text('Compare them'):enabled")
    page.wait_for_selector("#pp-compare-stop", state="hidden")
    assert page.locator("#pp-compare-progress .pp-run").count() == 0
    set_steps(page, 1)
    page.click("#pp-compare-run")
    page.wait_for_selector("#pp-compare-files a")


def test_the_clip_of_the_attack_tab_is_the_one_to_compare_on(page, monkeypatch):
    steps = Progress.step
    # Steps that take their time: a browser that is slow today still finds the comparison running.
    monkeypatch.setattr(Progress, "step", lambda *given: (time.sleep(0.3), steps(*given))[1])
    page.click("#pp-gallery [data-card='0']")
    page.wait_for_selector("#pp-faces [data-card]")
    open_tab(page, "Compare")
    page.wait_for_selector("#pp-compare-gallery [data-card='-1'][aria-pressed='true']")
    assert "hopper" in page.locator("#pp-compare-status").inner_text()
    set_steps(page, 100)
    page.click("#pp-compare-run")
    page.wait_for_selector("#pp-compare-progress .pp-queue .now")
    page.click("#pp-compare-cancel")
    page.wait_for_selector("#pp-compare-progress >> text=Cancelled")
    assert page.locator("pp-compare").count() == 0
    page.click("#pp-compare-run")
    page.wait_for_selector("#pp-compare-progress .pp-queue .now")
    page.click("#pp-compare-stop")
    page.wait_for_selector("#pp-compare-progress >> text=Stopped early")
    assert page.locator("pp-compare .pp-strip-row").count() == 1, "the second model was left out"


def test_cards_are_searched_sorted_and_filtered(page):
    open_tab(page, "Models")
    page.wait_for_selector(".pp-model-card")
    shown = page.locator(".pp-model-card:visible")
    everything = shown.count()
    assert everything == 6  # two checkpoints, four that can be fetched
    page.fill("pp-models input[type=search]", "lr-asd talkset")
    assert shown.count() == 1 and "LR-ASD" in shown.first.inner_text()
    assert page.locator("pp-models output").inner_text() == "1 detector"
    for piece, count in (("85e6c77f", 1), ("6c77fc", 0)):  # a hash is found by its beginning, not by what is in it
        page.fill("pp-models input[type=search]", piece)
        assert shown.count() == count
    page.fill("pp-models input[type=search]", "")
    page.click("pp-models [data-group='published'] >> nth=0")
    assert shown.count() == 4
    page.click("pp-models .pp-segments [data-group='published']")
    page.select_option("pp-models select", "size")
    sizes = page.eval_on_selector_all(".pp-model-card", "cards => cards.map(card => Number(card.dataset.size))")
    assert sizes == sorted(sizes) and len(sizes) == everything


def test_a_card_leads_to_its_attack(page):
    open_tab(page, "Models")
    page.click("[data-attack='talknet-other']")
    page.wait_for_selector("#pp-run:visible")
    page.wait_for_function("document.querySelector('#pp-model input').value.includes('talknet-other')")


def test_a_fetch_that_fails_says_where_to_put_the_file(page, monkeypatch):
    def fetch(name, progress):
        progress(1_000_000, 3_426_337)
        raise FetchError(f"cannot fetch {name} (no network): put it at /cache/{name}.model")

    monkeypatch.setattr(models_tab, "fetch", fetch)
    open_tab(page, "Models")
    page.click("[data-fetch='lr-asd-ava']")
    page.wait_for_selector("#pp-models-status [role=alert]")
    assert "put it at /cache/lr-asd-ava.model" in page.locator("#pp-models-status").inner_text()


def test_what_was_fetched_can_be_attacked_at_once(page, served, monkeypatch):
    def fetch(name, progress):
        return write_model(served.folder / "checkpoints", name)

    monkeypatch.setattr(models_tab, "fetch", fetch)
    open_tab(page, "Models")
    page.click("[data-fetch='light-asd-ava']")
    page.wait_for_selector("#pp-models-status >> text=is here now")
    (served.folder / "checkpoints" / "light-asd-ava.safetensors").unlink()
