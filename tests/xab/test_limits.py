"""Limits of what a page may store: they keep the disk free, and never end a volunteer's test."""

import pytest
from xab_support import Volunteer, played, ready_study

from xab import export
from xab.store import Conflict, sessions, trials


@pytest.fixture
def volunteer(store, clock):
    study = ready_study(store)
    ((_, token),) = store.links.add_links(study, 1)
    return Volunteer(store, token, clock)


def test_a_browser_that_failed_often_may_still_be_replaced(store, volunteer, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_CHECKS", 3)
    (study,) = store.studies.all()
    store.sessions.consent(volunteer.token, 1)
    store.sessions.advance(volunteer.token, "instructions")
    for _ in range(5):
        store.sessions.check(volunteer.token, passed=False, report={})
    assert volunteer.state["step"] == "check" and len(store.results.checks(study.id)) == 3
    store.sessions.check(volunteer.token, passed=True, report={})
    assert volunteer.state["step"] == "sound"
    assert [check["passed"] for check in store.results.checks(study.id)] == [False] * 3 + [True]


def test_a_full_log_keeps_what_an_answer_needs(store, volunteer, monkeypatch):
    monkeypatch.setattr(trials, "MOST_EVENTS", 10)
    (study,) = store.studies.all()
    volunteer.begin()
    handle = volunteer.state["handle"]
    seeks = [{"seq": 1000 + i, "kind": "seek", "role": "X", "page_ms": i, "handle": handle} for i in range(30)]
    assert store.sessions.log(volunteer.token, "seeks", seeks) == 10
    assert store.sessions.log(volunteer.token, "p", played(handle, first=500)) == 3
    assert store.sessions.log(volunteer.token, "p", played(handle, first=600)) == 0, "once is enough"
    volunteer.answer(events=())
    with pytest.raises(Conflict, match="play X and A and B"):
        volunteer.answer(events=())
    volunteer.finish()
    assert volunteer.state["step"] == "done"
    assert len(store.results.events(study.id)) == 10 + 3 * 6


def test_what_the_consent_says_is_erased_is_erased_and_the_rest_stays(store, clock, volunteer):
    (study,) = store.studies.all()
    for told in ("when you played, paused or searched", "the check of your browser", "window size", "under a number"):
        assert told in study.design.consent_text
    volunteer.begin().finish()
    assert {row["plays_a"] for row in export.judgments(store, study.id)} == {1}
    clock.pass_((study.design.retention_days + 1) * 86_400)
    assert store.links.forget() == 1
    assert store.results.events(study.id) == store.results.checks(study.id) == []
    (person,) = store.links.people(study.id)
    assert (person["token"], person["user_agent"], person["answered"]) == (None, None, 6)
    assert {row["plays_a"] for row in export.judgments(store, study.id)} == {None}, "nobody knows any more: not 0"
