"""Behind a proxy that serves everything below a path of its own: no address may leave it."""

import re
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest
from browser_support import below
from fastapi import FastAPI
from starlette.testclient import TestClient
from xab_support import ready_study
from xab_web import Served, Visitor, browser, chromium_path  # noqa: F401

from xab.pages import mount
from xab.settings import Settings

PREFIX = "/people/anna/pushpull"
XAB = f"{PREFIX}/xab"


@pytest.fixture
def lab(tmp_path):
    """(client, store) of an experimenter who is logged in."""
    app = FastAPI()
    inner = mount(app, Settings(data=tmp_path / "data", password="right"))
    web = TestClient(below(PREFIX, app))
    answer = web.post(f"{XAB}/lab/login", data={"password": "right"})
    assert answer.status_code == 200 and answer.url.path == f"{XAB}/lab"
    yield web, inner.state.context.store
    inner.state.context.store.close()


def addresses(page: str) -> set[str]:
    """Every address in a page that is fetched without asking: links, pictures, scripts, what scripts ask for."""
    found = re.findall(r'(?:href|src|srcset|data-watch|data-progress)="([^"]+)"', page)
    return {unescape(one) for one in found if not one.startswith(("data:", "http", "#"))}


def test_every_address_of_the_lab_stays_below_the_prefix(lab):
    web, store = lab
    study = ready_study(store)
    store.links.add_links(study, 1)
    waiting, seen = {f"{XAB}/lab"}, set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        answer = web.get(path, headers={"accept": "text/html"})
        assert answer.status_code == 200 and answer.url.path == urlsplit(path).path, path
        if answer.headers["content-type"].startswith("text/html"):
            assert not re.search(r'(?:href|src|srcset|action|data-summary|data-watch)="/', answer.text), path
            waiting |= {urljoin(path, one) for one in addresses(answer.text)} - seen
        assert all(one.startswith(f"{XAB}/") for one in waiting)
    assert {f"{XAB}/lab/{study}/results", f"{XAB}/lab/planner", f"{XAB}/static/lab.css"} <= seen


@pytest.mark.parametrize(
    "action, goes_to",
    [("links", "/lab/{study}"), ("freeze", "/lab/{study}"), ("preview", ""), ("nothing", "/lab/{study}/nothing")],
)
def test_forms_lead_to_pages_below_the_prefix(lab, action, goes_to):
    web, store = lab
    study = ready_study(store)
    page = web.get(f"{XAB}/lab/{study}").text
    token = re.search(r'name="form_token" value="([\w-]+)"', page).group(1)
    answer = web.post(f"{XAB}/lab/{study}/{action}", data={"form_token": token, "count": "2"})
    assert answer.url.path == XAB + goes_to.format(study=study)
    assert answer.status_code == (404 if action == "nothing" else 200)


@pytest.mark.parametrize(
    "header, address",
    [
        (PREFIX, f"http://testserver{XAB}"),
        (f"{PREFIX}/", f"http://testserver{XAB}"),
        ("", "http://testserver/xab"),
        ('/"><script>', "http://testserver/xab"),
    ],
)
def test_links_follow_what_a_proxy_says_of_its_prefix(lab, header, address):
    web, store = lab
    study = ready_study(store)
    store.links.add_links(study, 1)
    table = web.get(f"{XAB}/lab/{study}/links.csv", headers={"x-forwarded-prefix": header}).text
    assert f",{address}?t=" in table


def test_a_volunteer_below_the_prefix(tmp_path, browser):  # noqa: F811
    served = Served(Settings(data=tmp_path, password="test"), prefix=PREFIX)
    try:
        study = served.study(training=0)
        (token,) = served.links(study)
        with Visitor(browser, served, token) as visitor:  # any request outside the prefix is a trouble
            visitor.begin().await_trial(1).play().answer().await_trial(2)
            visitor.page.goto(f"{served.base}/?t={token}")
            visitor.await_trial(2)
            assert urlsplit(visitor.page.url).path == XAB
    finally:
        served.stop()
