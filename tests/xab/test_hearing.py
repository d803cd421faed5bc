"""Who hears the sound, and with what: it is stored, shown and exported, and a study may end there."""

import csv
import io

import pytest
from xab_support import Volunteer, ready_study
from xab_web import Visitor, app, browser  # noqa: F401

from xab import export
from xab.report import make_report


@pytest.mark.parametrize("admitted, step", [(True, "trials"), (False, "sound")])
def test_who_cannot_hear_is_recorded_and_admitted_or_not(store, clock, admitted, step):
    study = ready_study(store, admit_without_sound=admitted)
    (_, token), *_ = store.links.add_links(study, 1)
    store.sessions.consent(token, 1)
    store.sessions.advance(token, "instructions")
    store.sessions.check(token, passed=True, report={})
    assert store.links.people(study)[0]["hears"] is None
    store.sessions.advance(token, "sound", hears=False)
    assert store.links.people(study)[0]["hears"] is False
    state = store.sessions.state(token)
    assert state["step"] == step and state.get("needs_sound", False) is (not admitted)
    # Said by mistake: hearing it after all opens the way, once; later words about it change nothing.
    store.sessions.advance(token, "sound")
    assert store.sessions.state(token)["step"] == "trials"
    store.sessions.advance(token, "sound", hears=True)
    assert store.links.people(study)[0]["hears"] is (not admitted)


def test_results_and_export_name_who_cannot_hear(store, clock):
    study = ready_study(store)
    for hears in (True, False):
        (_, token), *_ = store.links.add_links(study, 1)
        Volunteer(store, token, clock).begin(hears=hears).finish("A" if hears else "B")
    found = make_report(store, study)
    assert found.analysis["cannot_hear"] == [2]
    assert any(caution.startswith("Volunteer 2 took part without hearing") for caution in found.cautions)
    both = found.analysis["sensitivity"]
    assert both["all_judgments"]["trials"] == 2 * both["hear_the_sound"]["trials"] > 0
    for name in ("judgments.csv", "volunteers.csv"):
        rows = list(csv.DictReader(io.StringIO(export.one(store, study, name).decode(export.CSV))))
        assert {(row["volunteer"], row["hears"]) for row in rows} == {("1", "true"), ("2", "false")}


def test_the_page_lets_them_say_so_and_go_on(app, browser):  # noqa: F811
    study = app.study()
    (token,) = app.links(study)
    with Visitor(browser, app, token) as visitor:
        visitor.agree().read().pass_check().cannot_hear().await_trial(1, 1, "Practice")
    assert app.store.links.people(study)[0]["hears"] is False


def test_a_study_that_needs_sound_ends_there_and_lets_them_change_their_mind(app, browser):  # noqa: F811
    study = app.study(admit_without_sound=False)
    (token,) = app.links(study)
    with Visitor(browser, app, token) as visitor:
        visitor.agree().read().pass_check().cannot_hear()
        visitor.see("This study needs sound")
        visitor.page.reload()
        visitor.see("This study needs sound")
        visitor.click("I can hear after all")
        visitor.hear().await_trial(1, 1, "Practice")
    assert app.store.links.people(study)[0]["hears"] is True


@pytest.mark.parametrize(
    "said, stored",
    [
        ({}, None),
        ({"listens": "headphones"}, "headphones"),
        ({"listens": "loudspeakers"}, "loudspeakers"),
        ({"hears": False, "listens": "headphones"}, None),
    ],
)
def test_what_a_volunteer_listens_with_is_stored_and_exported_if_they_say(store, said, stored):
    study = ready_study(store)
    (_, token), *_ = store.links.add_links(study, 1)
    store.sessions.consent(token, 1)
    store.sessions.advance(token, "instructions")
    store.sessions.check(token, passed=True, report={})
    store.sessions.advance(token, "sound", **said)
    store.sessions.advance(token, "sound", listens="loudspeakers")  # too late: the step is done
    assert store.links.people(study)[0]["listens"] == stored
    (row,) = csv.DictReader(io.StringIO(export.one(store, study, "volunteers.csv").decode(export.CSV)))
    assert row["listens"] == (stored or "")


@pytest.mark.parametrize("device", [None, "headphones"])
def test_the_sound_page_asks_what_they_listen_with_and_takes_no_answer_for_one(app, browser, device):  # noqa: F811
    study = app.study()
    (token,) = app.links(study)
    with Visitor(browser, app, token) as visitor:
        visitor.agree().read().pass_check().see("Set your volume")
        if device:
            visitor.page.get_by_label(device).check()
        visitor.hear().await_trial(1, 1, "Practice")
    assert app.store.links.people(study)[0]["listens"] == device
