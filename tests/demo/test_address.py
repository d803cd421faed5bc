"""The page's address: tabs, finished results that come back after a reload, and results that are gone."""

import json
import shutil
from urllib.parse import parse_qs, urlparse

import pytest
from browser_support import Served, Visitor, write_model

from pushpull.demo.kept import PARTS, SHOWN, Kept, marked
from pushpull.demo.storage import ResultStore

FORM = ("talknet-lite", "bim")
WHOLE = dict.fromkeys(PARTS, "words")


@pytest.fixture(scope="module")
def served(tmp_path_factory, unhurried):
    served = Served(tmp_path_factory.mktemp("app"))
    write_model(served.folder / "checkpoints", "talknet-other")
    yield served
    served.stop()


@pytest.fixture
def visitor(browser, served):
    visitor = Visitor(browser, served.base)
    yield visitor
    visitor.page.close()
    assert visitor.errors == []
    assert visitor.hosts == {served.base.split("//")[1]}


def asked(page):
    return parse_qs(urlparse(page.url).query)


def selected(page, name):
    page.wait_for_selector(f"#pp-tabs [role=tab][data-tab-id={name}][aria-selected=true]")


def test_the_tab_is_in_the_address_and_the_back_button_leads_back(visitor, served):
    page = visitor.page
    page.click("[data-tab-id=models]")
    page.wait_for_url("**/#models")
    page.click("[data-tab-id=results]")
    page.wait_for_url("**/#results")
    page.reload()
    selected(page, "results")
    page.go_back()
    selected(page, "models")
    page.go_back()
    selected(page, "attack")
    assert not urlparse(page.url).fragment


def test_a_narrow_page_has_all_tabs_in_its_address(browser, served):
    """There the last tabs are in a menu."""
    visitor = Visitor(browser, served.base, width=360)
    page = visitor.page
    page.goto("about:blank")
    page.goto(f"{served.base}/#live")
    page.wait_for_selector(".pp-live-start", state="visible")
    page.click("button[aria-label='More tabs']")
    page.click(".overflow-dropdown button:has-text('Results')")
    page.wait_for_url("**/#results")
    page.click("#pp-tabs [data-tab-id=attack]")
    page.wait_for_selector("#pp-run", state="visible")
    page.wait_for_function("!location.hash")  # a moment later
    page.go_back()
    page.wait_for_selector("#pp-result h2", state="visible")
    page.close()
    assert visitor.errors == []


def test_a_finished_attack_is_there_after_a_reload_until_another_clip_is_chosen(visitor, served):
    page = visitor.page
    page.goto(f"{served.base}/?sample=hopper&attack=bim&eps_av=2")
    page.wait_for_selector("#pp-faces [data-card]")
    page.click("#pp-run")
    page.wait_for_selector("#pp-files [data-result]")
    page.wait_for_url("**/?result=*")
    assert list(asked(page)) == ["result"]
    before = {name: page.inner_text(f"#pp-{name}") for name in ("sentence", "numbers", "files", "progress")}

    page.reload()
    page.wait_for_selector("#pp-files [data-result]")
    page.wait_for_selector("pp-player .pp-timeline svg")
    assert {name: page.inner_text(f"#pp-{name}") for name in before} == before
    assert "BIM" in page.input_value("#pp-attack input") and page.input_value("#pp-eps input[type=number]") == "2"
    link = page.get_attribute("#pp-files a", "href")
    assert page.request.get(f"{served.base}/{link}").ok

    visitor.choose_sample()
    page.wait_for_function("!new URLSearchParams(location.search).has('result')")
    assert not page.inner_text("#pp-files").strip()


def test_a_comparison_is_there_after_a_reload(visitor, served):
    page = visitor.page
    page.click("[data-tab-id=compare]")
    page.click("#pp-compare-gallery [data-card='0']")
    page.wait_for_selector("#pp-compare-status:has-text('hopper')")
    page.click("#pp-compare-run")
    page.wait_for_selector("#pp-compare-files [data-result]")
    page.wait_for_url("**/?compared=*#compare")
    before = page.inner_text("#pp-compare-numbers")
    page.reload()
    selected(page, "compare")
    page.wait_for_selector("#pp-compare-files [data-result]")
    page.wait_for_selector("pp-compare svg")
    assert page.inner_text("#pp-compare-numbers") == before
    assert page.locator("#pp-compare-models .token").count() == 2


@pytest.mark.parametrize(
    ("name", "tab", "place"),
    [("result", "attack", "#pp-progress"), ("compared", "compare", "#pp-compare-progress")],
)
def test_a_result_that_is_gone_is_said(browser, served, name, tab, place):
    visitor = Visitor(browser, served.base)
    visitor.page.goto(f"{served.base}/?{name}={'0' * 32}#{tab}")
    visitor.page.wait_for_selector(f"{place}:has-text('no longer here')")
    assert "2 hours" in visitor.page.inner_text(place)
    visitor.page.close()


def kept_in(tmp_path, text=None):
    store = ResultStore(root=tmp_path)
    folder = store.open()
    if text is None:
        Kept(tab="attack", form=FORM, parts=WHOLE).write(folder)
    else:
        (folder.path / SHOWN).write_text(text)
    return store, folder


def test_what_was_kept_is_found(tmp_path):
    store, folder = kept_in(tmp_path)
    found = Kept.find(store, folder.token, "attack", FORM)
    assert found == Kept(tab="attack", form=FORM, parts=WHOLE)
    assert folder.token in marked("<p>files</p>", folder)


@pytest.mark.parametrize(
    ("text", "tab", "fields"),
    [
        (None, "compare", FORM),
        (None, "attack", (*FORM, "a field that came later")),
        ("{", "attack", FORM),
        ("[]", "attack", FORM),
        (json.dumps({"tab": "attack", "form": FORM}), "attack", FORM),
        (json.dumps({"tab": "attack", "form": FORM, "parts": {"files": ""}}), "attack", FORM),
    ],
)
def test_what_does_not_fit_is_as_if_it_were_gone(tmp_path, text, tab, fields):
    store, folder = kept_in(tmp_path, text)
    assert Kept.find(store, folder.token, tab, fields) is None


def test_a_folder_that_was_cleared_away_is_gone(tmp_path):
    store, folder = kept_in(tmp_path)
    shutil.rmtree(folder.path)
    assert Kept.find(store, folder.token, "attack", FORM) is None
    assert Kept.find(store, "../" + folder.token, "attack", FORM) is None
