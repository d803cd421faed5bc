"""The volunteer's API as a program meets it: what it refuses, and that it says nothing more than it must."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from xab_support import ready_study

from xab.pages import create, mount
from xab.settings import Settings


@pytest.fixture
def client(tmp_path):
    app = create(Settings(data=tmp_path / "xab", password="test"))
    with TestClient(app) as client:
        client.store = app.state.context.store
        yield client
        app.state.context.store.close()


@pytest.fixture
def token(client):
    ((_, token),) = client.store.links.add_links(ready_study(client.store), 1)
    return token


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("volunteer.js", "text/javascript; charset=utf-8"),
        ("volunteer.css", "text/css; charset=utf-8"),
        ("../settings.py", None),
        ("%2e%2e%2fsettings.py", None),
        ("nothing.js", None),
    ],
)
def test_static_files_have_their_types_and_nothing_else_is_served(client, name, kind):
    reply = client.get(f"/static/{name}")
    if kind is None:
        assert reply.status_code == 404
    else:
        assert (reply.status_code, reply.headers["content-type"]) == (200, kind)
        assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "before, after", [("", "."), ("", ","), ("<", ">"), ("(", ")."), (" ", " "), ("", "\u00a0"), ("", "\u201d")]
)
def test_a_link_with_what_mail_programs_add_leads_to_the_right_one(before, after, tmp_path):
    app = FastAPI()
    inner = mount(app, Settings(data=tmp_path, password="test"))
    web = TestClient(app)
    reply = web.get("/xab", params={"t": f"{before}_abc-DEF{after}"}, follow_redirects=False)
    assert reply.status_code == 303 and reply.headers["location"] == "?t=_abc-DEF"
    assert reply.headers["referrer-policy"] == "no-referrer" and reply.headers["cache-control"] == "no-store"
    followed = web.get("/xab", params={"t": f"{before}_abc-DEF{after}"})
    inner.state.context.store.close()
    assert followed.url.path == "/xab" and followed.url.params["t"] == "_abc-DEF" and followed.status_code == 200


@pytest.mark.parametrize("token", ["", "abc", "two tokens.in_one_link", "....", "x" * 65, "x" * 65 + "."])
def test_what_is_no_link_is_left_to_the_page_to_refuse(token, tmp_path):
    app = FastAPI()
    inner = mount(app, Settings(data=tmp_path, password="test"))
    reply = TestClient(app).get("/xab", params={"t": token}, follow_redirects=False)
    inner.state.context.store.close()
    assert reply.status_code == 200 and "<html" in reply.text


def test_the_page_allows_no_inline_code_and_no_other_host(tmp_path):
    app = FastAPI()
    inner = mount(app, Settings(data=tmp_path, password="test"))
    reply = TestClient(app).get("/xab/?t=abc")
    inner.state.context.store.close()
    assert str(reply.url).endswith("/xab?t=abc"), "one address, so that the page's own are relative to it"
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert "<script>" not in reply.text and "style=" not in reply.text and "http://www.w3.org/2000/svg" in reply.text
    assert reply.text.count("http") == 1  # the name of SVG


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"t": ""},
        {"t": "short"},
        {"t": 12345678},
        {"t": "a" * 65},
        {"t": "' OR 1=1 --"},
        {"t": "abcdefgh", "more": 1},
        [],
        None,
    ],
)
def test_requests_that_make_no_sense_are_refused_without_an_echo(client, body):
    reply = client.post("/api/state", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"] == "bad_request"
    assert "OR 1=1" not in reply.text


@pytest.mark.parametrize("path", ["state", "consent", "step", "check", "events", "answer", "withdraw", "join"])
def test_a_token_that_nobody_has_opens_nothing(client, path):
    event = {"seq": 0, "kind": "play", "page_ms": 1}
    more = {
        "consent": {"version": 1, "agree": True},
        "step": {"step": "sound"},
        "check": {"report": {"video": []}},
        "events": {"page": "page", "events": [event]},
        "answer": {"page": "page", "events": [], "handle": "abcdefgh", "choice": "A", "nonce": "abcdefgh"},
    }
    reply = client.post(f"/api/{path}", json={"t": "nobodys-token", **more.get(path, {})})
    assert (reply.status_code, reply.json()["error"]) == (404, "unknown_link")


def test_page_names_longer_than_the_column_are_refused(client, token):
    event = {"seq": 0, "kind": "play", "page_ms": 1}
    for length, status in ((32, 200), (33, 400)):
        reply = client.post("/api/events", json={"t": token, "page": "p" * length, "events": [event]})
        assert reply.status_code == status


def test_events_sent_twice_are_stored_once(client, token):
    body = {"t": token, "page": "p", "events": [{"seq": seq, "kind": "play", "page_ms": seq} for seq in range(3)]}
    assert [client.post("/api/events", json=body).json()["stored"] for _ in range(2)] == [3, 0]


def test_a_flood_is_refused(client, token):
    assert (
        client.post("/api/state", content=b" " * 300_000, headers={"content-type": "application/json"}).status_code
        == 413
    )
    events = [{"seq": seq, "kind": "play", "page_ms": 1} for seq in range(501)]
    assert client.post("/api/events", json={"t": token, "page": "p", "events": events}).status_code == 400
