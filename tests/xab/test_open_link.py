"""One link for everybody: a session for each who opens it, on SQLite and on PostgreSQL."""

import pytest
from xab_support import Volunteer, ready_study

from xab.store import NotFound, Refused, sessions


def test_open_link_issues_one_session_each(store, clock):
    study = ready_study(store)
    token = store.links.set_open_link(study, True)
    assert store.sessions.state(token) == {"step": "open"}
    issued = [store.sessions.issue(token) for _ in range(3)]
    assert len(set(issued)) == 3
    Volunteer(store, issued[0], clock).begin()
    store.links.set_open_link(study, False)
    with pytest.raises(NotFound):
        store.sessions.issue(token)
    assert Volunteer(store, issued[0], clock).state["step"] == "trials"


def test_an_open_link_that_is_opened_for_ever_fills_no_database(store, clock, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_WAITING", 3)
    study = ready_study(store)
    token = store.links.set_open_link(study, True)
    first, second, third = (store.sessions.issue(token) for _ in range(3))
    with pytest.raises(Refused, match="ask for one of your own"):
        store.sessions.issue(token)
    Volunteer(store, first, clock).begin()  # who takes part waits no longer
    fourth = store.sessions.issue(token)
    clock.pass_(8 * 86_400)
    store.sessions.issue(token)  # those who never began make room
    assert Volunteer(store, first, clock).state["step"] == "trials"
    for gone in (second, third, fourth):
        with pytest.raises(NotFound):
            store.sessions.state(gone)
    assert [person["kind"] for person in store.links.people(study)] == ["open", "open"]
