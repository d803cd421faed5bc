"""xab.store on SQLite and on PostgreSQL: sessions, races, deletion, retention."""

import threading
from collections import Counter

import pytest
import sqlalchemy as sa
from xab_support import Volunteer, fill, played, ready_study, small_design

from pushpull.clip import FPS
from xab.plan import FRAME_SECONDS
from xab.report import make_report
from xab.store import Conflict, NotFound, Refused, Store
from xab.store.schema import metadata


def start(store, study, clock, count=1):
    links = store.links.add_links(study, count)
    made = [Volunteer(store, token, clock).begin() for _, token in links]
    return made[0] if count == 1 else made


def test_frames_last_what_the_media_say():
    assert FRAME_SECONDS == 1 / FPS


def test_a_whole_journey(store, clock):
    study = ready_study(store, show_result=True)
    (number, token), *_ = store.links.add_links(study, 1)
    volunteer = Volunteer(store, token, clock)
    assert volunteer.state["step"] == "consent" and "withdraw" in volunteer.state["text"]
    volunteer.begin()
    assert store.studies.get(study).state == "frozen" and len(store.studies.get(study).frozen_digest) == 64
    assert volunteer.state["phase"] == "training" and volunteer.state["number"] == 1
    assert volunteer.answer()["correct"] in (True, False)
    for number in range(1, 6):
        state = volunteer.state
        assert (state["phase"], state["number"], state["trials"]) == ("test", number, 5)
        assert volunteer.answer()["correct"] is None
    state = volunteer.state
    assert state["step"] == "done" and state["result"]["trials"] == 4
    rows = store.results.judgments(study)
    assert Counter(row["phase"] for row in rows) == {"training": 1, "main": 4, "catch": 1}
    assert state["result"]["correct"] == sum(row["choice"] == row["match"] for row in rows if row["phase"] == "main")
    assert store.results.answers(study)[0].finished
    (person,) = store.links.people(study)
    assert (person["answered"], person["planned"], person["check_passed"], person["consent_version"]) == (6, 6, 1, 1)
    assert len(store.results.events(study)) == 18 and store.results.checks(study)[0]["report"] == {"frames": 25}


def test_plans_are_stored_before_the_first_trial_and_balanced(store, clock):
    study = ready_study(store)
    start(store, study, clock, 4)
    with store.engine.connect() as connection:
        query = sa.select(metadata.tables["trials"])
        rows = connection.execute(query).mappings().all()
    main = [row for row in rows if row["phase"] == "main"]
    assert len(rows) == 24 and len({row["handle"] for row in rows}) == 24
    assert set(Counter((row["pair_id"], row["x"], row["match"]) for row in main).values()) == {1}


def test_no_plan_follows_from_the_seed_alone(store, clock):
    answers = set()
    for _ in range(4):
        study = ready_study(store, speech=10, non_speech=10)
        start(store, study, clock)
        with store.engine.connect() as connection:
            trials, pairs = metadata.tables["trials"], metadata.tables["pairs"]
            query = sa.select(trials.c.x, trials.c.match).join(pairs).where(pairs.c.study_id == study)
            answers.add(tuple(map(tuple, connection.execute(query.order_by(trials.c.position)))))
    assert len(answers) == 4


@pytest.mark.parametrize("step", ["instructions", "check", "sound", "trials"])
def test_steps_cannot_be_jumped(store, clock, step):
    study = ready_study(store)
    (_, token), *_ = store.links.add_links(study, 1)
    act = {
        "instructions": lambda: store.sessions.advance(token, "instructions"),
        "check": lambda: store.sessions.check(token, passed=True, report={}),
        "sound": lambda: store.sessions.advance(token, "sound"),
        "trials": lambda: store.sessions.answer(token, handle="x", choice="A", nonce="n"),
    }[step]
    with pytest.raises((Conflict, NotFound)):
        act()
    assert store.sessions.state(token)["step"] == "consent"


def test_a_failed_check_is_stored_and_stops(store, clock):
    for required, step in ((True, "check"), (False, "sound")):
        study = ready_study(store, require_check=required)
        (_, token), *_ = store.links.add_links(study, 1)
        store.sessions.consent(token, 1)
        store.sessions.advance(token, "instructions")
        store.sessions.check(token, passed=False, report={"wrong": 3})
        assert store.sessions.state(token)["step"] == step
        assert [check["passed"] for check in store.results.checks(study)] == [False]


def test_a_judgment_is_stored_once_whatever_is_sent_again(store, clock):
    volunteer = start(store, ready_study(store), clock)
    first = volunteer.state["handle"]
    assert volunteer.answer("A", nonce="one")["duplicate"] is False
    # A lost acknowledgment: the same request again.
    again = store.sessions.answer(volunteer.token, handle=first, choice="A", nonce="one")
    assert again["duplicate"] is True
    for choice, nonce in (("B", "one"), ("A", "two"), ("B", "two")):
        with pytest.raises(Conflict) as caught:
            store.sessions.answer(volunteer.token, handle=first, choice=choice, nonce=nonce)
        assert caught.value.code == "already_answered"
    assert volunteer.state["number"] == 1 and volunteer.state["phase"] == "test"


def test_answers_for_other_trials_are_refused(store, clock):
    one, two = start(store, ready_study(store), clock, 2)
    foreign = two.state["handle"]
    with pytest.raises(NotFound):
        one.answer(handle=foreign)
    with store.engine.connect() as connection:
        trials = metadata.tables["trials"]
        later = connection.scalars(sa.select(trials.c.handle).order_by(trials.c.id).limit(4)).all()[3]
    with pytest.raises(Conflict) as caught:
        one.answer(handle=later)
    assert caught.value.code == "not_current"
    with pytest.raises(Refused):
        one.answer(choice="C")
    assert one.state["number"] == 1


@pytest.mark.parametrize("left_out", ["X", "A", "B"])
def test_every_clip_must_be_played(store, clock, left_out):
    volunteer = start(store, ready_study(store), clock)
    events = [event for event in played(volunteer.state["handle"]) if event["role"] != left_out]
    with pytest.raises(Conflict, match=left_out) as caught:
        volunteer.answer(events=events)
    assert caught.value.code == "not_played"
    assert volunteer.answer(events=played(volunteer.state["handle"], first=50))["duplicate"] is False


def test_clips_cannot_be_played_faster_than_time(store, clock):
    volunteer = start(store, ready_study(store), clock)
    volunteer.state  # noqa: B018 -- opens the trial
    volunteer.wait = lambda: None
    with pytest.raises(Conflict) as caught:
        volunteer.answer()
    assert caught.value.code == "too_early"


def test_events_survive_a_refused_answer_and_are_not_doubled(store, clock):
    study = ready_study(store)
    volunteer = start(store, study, clock)
    events = played(volunteer.state["handle"])
    assert store.sessions.log(volunteer.token, "p", events) == 3
    assert store.sessions.log(volunteer.token, "p", events) == 0
    assert volunteer.state["played"] == ["A", "B", "X"]
    volunteer.answer(events=())
    assert len(store.results.events(study)) == 3


def test_one_hundred_answers_at_once_leave_one(database_url):
    store = Store(database_url)
    study = ready_study(store)
    (_, token), *_ = store.links.add_links(study, 1)
    volunteer = Volunteer(store, token).begin()
    handle = volunteer.state["handle"]
    volunteer.wait()
    store.sessions.log(token, "p", played(handle))
    outcomes = []

    def send(index):
        try:
            result = store.sessions.answer(token, handle=handle, choice="AB"[index % 2], nonce=str(index))
            outcomes.append(("stored", "AB"[index % 2], result["duplicate"]))
        except Conflict as error:
            outcomes.append((error.code,))

    threads = [threading.Thread(target=send, args=(index,)) for index in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [outcome for outcome in outcomes if outcome[0] == "stored"]
    assert len(stored) == 1 and len(outcomes) == 20
    (row,) = store.results.judgments(study)
    assert row["choice"] == stored[0][1]
    store.close()


def test_volunteers_who_start_at_once_get_different_slots(database_url):
    store = Store(database_url)
    study = ready_study(store)
    tokens = [token for _, token in store.links.add_links(study, 12)]
    failures = []

    def consent(token):
        try:
            store.sessions.consent(token, 1)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=consent, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(person["slot"] for person in store.links.people(study)) == list(range(12))
    store.close()


def test_withdrawal_deletes_every_row_and_frees_the_slot(store, clock):
    study = ready_study(store)
    one, two = start(store, study, clock, 2)
    one.answer()
    two.answer()
    store.sessions.withdraw(one.token)
    with store.engine.connect() as connection:
        for name in ("sessions", "trials", "judgments", "events", "checks"):
            table = metadata.tables[name]
            key = table.c.id if name == "sessions" else table.c.session_id
            assert len(set(connection.scalars(sa.select(key)))) == 1, name
    assert store.studies.get(study).withdrawn == 1
    for call in (one.answer, lambda: store.sessions.withdraw(one.token), lambda: one.state):
        with pytest.raises(NotFound):
            call()
    third = start(store, study, clock)
    people = {person["token"]: person for person in store.links.people(study)}
    assert (people[third.token]["slot"], people[third.token]["number"]) == (0, 3)


def test_a_person_can_be_deleted_by_the_experimenter(store, clock):
    study = ready_study(store)
    volunteer = start(store, study, clock)
    volunteer.answer()
    store.links.delete_person(study, 1)
    assert store.results.judgments(study) == []
    with pytest.raises(NotFound):
        store.links.delete_person(study, 1)


@pytest.mark.parametrize("agreed", [True, False])
def test_who_withdrew_and_who_was_deleted_are_counted_apart_once_they_agreed(store, clock, agreed):
    study = ready_study(store)
    (_, first), (_, second), _ = store.links.add_links(study, 3)
    if agreed:
        for token in (first, second):
            Volunteer(store, token, clock).begin().answer()
    store.sessions.withdraw(first)
    store.links.delete_person(study, 2)
    left = store.studies.get(study)
    assert (left.withdrawn, left.deleted) == (agreed, agreed)
    told = [caution for caution in make_report(store, study).cautions if "deleted by the experimenter" in caution]
    assert len(told) == agreed


def test_previews_neither_freeze_nor_count(store, clock):
    study = ready_study(store)
    preview = Volunteer(store, store.links.preview_link(study), clock).begin().finish()
    assert preview.state["step"] == "done"
    assert store.studies.get(study).state == "ready"
    assert store.results.judgments(study) == [] and store.links.people(study) == []
    start(store, study, clock)
    with pytest.raises(NotFound):
        preview.state  # noqa: B018
    assert store.links.people(study)[0]["slot"] == 0


def test_a_frozen_study_keeps_its_design_and_a_ready_one_versions_its_consent(store, clock):
    study = ready_study(store)
    store.studies.revise(study, small_design(consent="New words."))
    fill(store, study)
    (_, token), *_ = store.links.add_links(study, 1)
    with pytest.raises(Conflict) as caught:
        store.sessions.consent(token, 1)
    assert caught.value.code == "consent_changed"
    assert store.sessions.state(token)["text"] == "New words."
    store.sessions.consent(token, 2)
    for change in (
        lambda: store.studies.revise(study, small_design()),
        lambda: store.studies.claim(study, "w", 1),
        lambda: store.studies.freeze(study),
    ):
        with pytest.raises(Conflict):
            change()
    assert store.links.people(study)[0]["consent_version"] == 2


def test_links_that_were_sent_outlive_a_new_design(store, clock):
    study = ready_study(store)
    volunteer = Volunteer(store, store.links.add_links(study, 1)[0][1], clock)
    preview = store.links.preview_link(study)
    store.studies.revise(study, small_design(title="Without the typo"))
    for state in ("draft", "making", "failed"):
        if state == "making":
            store.studies.claim(study, "w", 6)
        elif state == "failed":
            store.studies.finish(study, "w", error="no clips")
        assert (volunteer.state["step"], store.studies.get(study).state) == ("consent", state)
        with pytest.raises(Conflict, match="come back later") as caught:
            store.sessions.consent(volunteer.token, 1)
        assert caught.value.code == "not_ready"
    with pytest.raises(NotFound):
        store.sessions.state(preview)
    fill(store, study)
    assert volunteer.begin().finish().state["title"] == "Without the typo"


def test_a_ready_study_is_not_taken_back_from_its_links(store, clock):
    study = ready_study(store)
    with pytest.raises(Conflict) as caught:
        store.studies.claim(study, "w", 6)
    assert (caught.value.code, store.studies.get(study).state) == ("made", "ready")
    start(store, study, clock).answer()
    # As a version before left it: answers, but not frozen.
    with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(sa.update(metadata.tables["studies"]).values(state="failed"))
    with pytest.raises(Conflict, match="volunteers have agreed"):
        store.studies.revise(study, small_design())
    assert len(store.results.judgments(study)) == 1


def test_an_archived_study_answers_nobody_and_keeps_results(store, clock):
    study = ready_study(store)
    volunteer = start(store, study, clock)
    volunteer.answer()
    open_token = store.links.set_open_link(study, True)
    handle = volunteer.state["media"]["X"]
    store.studies.archive(study)
    assert volunteer.state["step"] == "closed"
    with pytest.raises(Conflict):
        store.sessions.log(volunteer.token, "p", [])
    for call in (lambda: store.sessions.issue(open_token), lambda: store.sessions.media(handle)):
        with pytest.raises(NotFound):
            call()
    assert len(store.results.judgments(study)) == 1
    store.sessions.withdraw(volunteer.token)
    assert store.results.judgments(study) == []


def test_media_are_those_of_the_current_trial_only(store, clock):
    volunteer = start(store, ready_study(store), clock)
    media = volunteer.state["media"]
    found = {role: store.sessions.media(name) for role, name in media.items()}
    assert {role: item.role for role, item in found.items()} == {"X": "X", "A": "A", "B": "B"}
    twin = {role: found["X"].files[role].path.split("-")[1] for role in "XAB"}
    assert twin["A"] != twin["B"] and twin["X"] in (twin["A"], twin["B"])
    assert found["X"].files["X"].path.endswith("reference.mp4") and found["X"].files["A"].path.endswith("choice.mp4")
    volunteer.answer()
    for name in media.values():
        with pytest.raises(NotFound):
            store.sessions.media(name)


def test_retention_erases_what_leads_to_a_person_and_keeps_answers(store, clock):
    study = ready_study(store, retention_days=30)
    volunteer = start(store, study, clock)
    store.links.add_links(study, 1)
    volunteer.finish()
    assert store.links.forget() == 0
    clock.pass_(31 * 86_400)
    assert store.links.forget() == 2
    (person,) = store.links.people(study)
    assert person["token"] is None and person["user_agent"] is None
    assert len(store.results.judgments(study)) == 6 and store.results.events(study) == []
    assert {row["viewport"] for row in store.results.judgments(study)} == {"{}"}
    assert store.links.forget() == 0


def test_a_dead_workers_study_can_be_taken_over_and_resumed(store, clock):
    study = store.studies.create(small_design())
    store.studies.claim(study, "one", 6)
    with pytest.raises(Conflict):
        store.studies.claim(study, "two", 6)
    clock.pass_(61)
    store.studies.claim(study, "two", 6)
    with pytest.raises(Conflict):
        store.studies.progress(study, "one", "still here")
    store.studies.finish(study, "two", error="no face in clip.mp4")
    assert (store.studies.get(study).state, store.studies.get(study).note) == ("failed", "no face in clip.mp4")


def test_deleting_a_study_leaves_nothing(store, clock):
    study = ready_study(store)
    other = ready_study(store)
    start(store, study, clock).finish()
    assert len(store.studies.delete(study)) == 6 * 4
    assert [left.id for left in store.studies.all()] == [other]
    with store.engine.connect() as connection:
        for name in ("sessions", "trials", "judgments", "events", "checks"):
            assert connection.scalar(sa.select(sa.func.count()).select_from(metadata.tables[name])) == 0
    with pytest.raises(NotFound):
        store.studies.get(study)
