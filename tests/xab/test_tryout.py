"""The test that anybody may try: its clips, its visitors, and that nothing of them is stored."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from browser_support import TINY
from fastapi import FastAPI
from starlette.testclient import TestClient
from tryout_support import Ended, fill_tryout, tryout_clips  # noqa: F401
from xab_support import Clock

from pushpull.clip import Clip
from pushpull.detectors import TalkNet, TalkNetConfig
from pushpull.media import read_stimulus
from xab.pages import mount
from xab.plan import SIDES
from xab.settings import Settings
from xab.stimuli import Span
from xab.store import StoreError
from xab.store.schema import metadata
from xab.tryout import clips, make, sessions
from xab.tryout.result import result, shown, told

TRIALS = 7  # one of practice


class Place:
    """The pages with a clock of their own, and a process that makes clips when told to."""

    def __init__(self, tmp_path):
        self.settings = Settings(data=tmp_path / "data", password="p")
        self.clock, self.started, self.worker = Clock(), 0, Ended(1)
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        self.inner = mount(app, self.settings, maker=self._start)
        self.tryouts = self.inner.state.context.tryouts
        self.tryouts._clock = self.clock
        self.store = self.inner.state.context.store
        self.web = TestClient(app, follow_redirects=False)

    def _start(self):
        self.started += 1
        return self.worker

    def post(self, path: str, **body):
        return self.web.post(f"/xab/api/try/{path}", json=body)

    def begin(self, counted: bool = False) -> str:
        return self.post("begin", counted=counted).json()["t"]

    def state(self, token: str) -> dict:
        return self.post("state", t=token).json()

    def answer(self, token: str, choice: str = "A", **changes):
        handle = self.state(token)["handle"]
        self.clock.pass_(3 * 10 * 0.04)
        return self.post("answer", **{"t": token, "handle": handle, "choice": choice, **changes})

    def right(self, token: str) -> str:
        """The right answer, which only the server knows."""
        return self.tryouts._visitors[token].current.plan.match

    def finish(self, token: str, right: int) -> dict:
        """Practise, answer ``right`` trials rightly and the rest wrongly; the last state."""
        self.answer(token)
        for number in range(TRIALS - 1):
            match = self.right(token)
            assert self.answer(token, match if number < right else SIDES[SIDES[0] == match]).json() == {"correct": None}
        return self.state(token)

    def stored(self) -> dict[str, int]:
        """Rows of every table that has some."""
        with self.store.engine.connect() as connection:
            counts = {
                name: connection.scalar(sa.select(sa.func.count()).select_from(table))
                for name, table in metadata.tables.items()
            }
        return {name: count for name, count in counts.items() if count}


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def ready(place, tryout_clips):  # noqa: F811
    fill_tryout(place.settings, tryout_clips)
    return place


@pytest.mark.parametrize(
    "query, script",
    [("", "tryout.js"), ("?t=", "volunteer.js"), ("?t=abcdefgh", "volunteer.js"), ("?x=1", "tryout.js")],
)
def test_who_has_no_link_may_try(place, query, script):
    page = place.web.get(f"/xab{query}")
    assert page.status_code == 200 and f"static/{script}" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert place.started == 0, "nobody has begun"


def test_experimenters_sign_in_from_there(place):
    assert 'href="xab/lab"' in place.web.get("/xab").text


def test_a_whole_try(ready):
    token = ready.begin()
    state = ready.state(token)
    assert (state["step"], state["phase"], state["number"], state["trials"]) == ("trials", "training", 1, 6)
    match = ready.right(token)
    assert ready.answer(token, match).json() == {"correct": True}
    for number in range(1, 7):
        state = ready.state(token)
        assert (state["phase"], state["number"]) == ("test", number)
        ready.answer(token, ready.right(token) if number != 2 else SIDES[SIDES[0] == ready.right(token)])
    found = ready.state(token)["result"]
    assert found["right"] == [True, False, True, True, True, True]
    assert (found["correct"], found["trials"], found["counted"], found["tally"]) == (5, 6, False, "")
    assert ready.started == 0, "the clips were there"


def test_nothing_is_stored_of_who_does_not_agree(ready):
    before = {path: path.stat().st_size for path in ready.settings.data.rglob("*") if path.is_file()}
    ready.finish(ready.begin(), right=6)
    assert ready.stored() == {}
    after = {path: path.stat().st_size for path in ready.settings.data.rglob("*") if path.is_file()}
    assert before.keys() == after.keys()


def test_of_who_agrees_a_number_is_stored_and_no_more(ready):
    for right in (6, 3, 3):
        last = ready.finish(ready.begin(counted=True), right=right)
    assert ready.stored() == {"tryouts": 2}
    assert ready.store.tally.counts() == [
        {"trials": 6, "correct": 3, "people": 2},
        {"trials": 6, "correct": 6, "people": 1},
    ]
    assert last["result"]["counted"] and "3 results were counted so far: 12 of 18" in last["result"]["tally"]


def test_counts_add_up_on_both_databases(store):
    for correct in (0, 6, 6):
        store.tally.add(correct, 6)
    store.tally.add(6, 8)
    assert [tuple(row.values()) for row in store.tally.counts()] == [(6, 0, 1), (6, 6, 2), (8, 6, 1)]


def test_a_repeated_answer_counts_once_and_another_never(ready):
    token = ready.begin(counted=True)
    handle = ready.state(token)["handle"]
    first = ready.answer(token, "A")
    assert ready.post("answer", t=token, handle=handle, choice="A").json() == first.json()
    again = ready.post("answer", t=token, handle=handle, choice="B")
    assert (again.status_code, again.json()["error"]) == (409, "already_answered")
    assert ready.state(token)["number"] == 1 and ready.state(token)["phase"] == "test"
    for _ in range(6):
        handle = ready.state(token)["handle"]
        ready.answer(token, "B")
    ready.post("answer", t=token, handle=handle, choice="B")
    assert sum(row["people"] for row in ready.store.tally.counts()) == 1


def test_an_answer_that_cannot_be_counted_is_sent_again(ready, monkeypatch):
    token = ready.begin(counted=True)
    for _ in range(TRIALS - 1):
        ready.answer(token)
    tally = ready.store.tally
    count = tally.add

    def away(*_):
        raise StoreError("the database is away")

    monkeypatch.setattr(tally, "add", away)
    assert ready.answer(token).status_code == 503
    monkeypatch.setattr(tally, "add", count)
    assert ready.answer(token).status_code == 200 and ready.state(token)["step"] == "done"
    assert sum(row["people"] for row in tally.counts()) == 1


def test_answers_before_the_clips_can_have_been_played_are_refused(ready):
    token = ready.begin()
    handle = ready.state(token)["handle"]
    ready.clock.pass_(3 * 10 * 0.04 * 0.8)
    early = ready.post("answer", t=token, handle=handle, choice="A")
    assert (early.status_code, early.json()["error"]) == (409, "too_early")


@pytest.mark.parametrize(
    "path, body, status",
    [
        ("begin", {}, 400),
        ("begin", {"counted": "yes"}, 400),
        ("state", {"t": "nobodys-token"}, 404),
        ("answer", {"t": "nobodys-token", "handle": "abcdefgh", "choice": "A"}, 404),
        ("answer", {"t": "nobodys-token", "handle": "abcdefgh", "choice": "C"}, 400),
    ],
)
def test_what_makes_no_sense_is_refused(place, path, body, status):
    assert place.post(path, **body).status_code == status


def test_only_the_current_trials_clips_are_served_and_they_look_alike(ready):
    token = ready.begin()
    trials = None
    for _ in range(2):
        state = ready.state(token)
        trials = ready.tryouts._visitors[token].trials
        replies = [ready.web.get(f"/xab/media/{state['media'][role]}") for role in "XAB"]
        assert [reply.status_code for reply in replies] == [200] * 3
        assert len({len(reply.content) for reply in replies}) == 1
        assert len({reply.content for reply in replies}) == 3
        later = trials[-1].media["X"]
        assert ready.web.get(f"/xab/media/{later}").status_code == 404
        ready.answer(token)
        assert ready.web.get(f"/xab/media/{state['media']['X']}").status_code == 404
    assert ready.web.get(f"/xab/media/{ready.tryouts._visitors[token].current.media['A']}").status_code == 404, "unseen"


def test_x_is_one_of_the_two(ready, tmp_path):
    token = ready.begin()
    state, match = ready.state(token), ready.right(token)
    decoded = {}
    for role, name in state["media"].items():
        path = tmp_path / f"{role}.mp4"
        path.write_bytes(ready.web.get(f"/xab/media/{name}").content)
        decoded[role] = read_stimulus(path)
    same = {side: np.array_equal(decoded[side][0], decoded["X"][0]) for side in SIDES}
    assert same == {side: side == match for side in SIDES}


def test_the_page_is_told_nothing_of_the_answer(ready):
    token = ready.begin()
    allowed = {"step", "phase", "number", "training", "trials", "handle", "seconds", "media", "played"}
    for _ in range(TRIALS):
        state = ready.state(token)
        assert set(state) == allowed and "genuine" not in json.dumps(state)
        ready.answer(token)


def test_the_first_visitor_waits_for_the_clips(place, tryout_clips):  # noqa: F811
    place.worker = Ended(None)
    token = place.begin()
    assert place.begin() and place.started == 1, "one process makes them for all"
    assert place.state(token) == {"step": "making", "made": 0, "of": TRIALS}
    writing = clips.unfinished(place.tryouts.clips.folder, place.worker.pid)
    writing.mkdir(parents=True)
    for number in range(9):
        (writing / f"{number}.mp4").touch()
    assert place.state(token)["made"] == 2
    for path in writing.iterdir():
        path.unlink()
    writing.rmdir()
    fill_tryout(place.settings, tryout_clips)
    assert place.state(token)["step"] == "trials"


def test_clips_that_cannot_be_made_are_tried_again(place):
    token = place.begin()
    assert place.state(token)["step"] == "failed"
    place.begin()
    assert place.started == 2


def test_visitors_are_forgotten_and_no_crowd_wears_the_server_out(ready, monkeypatch):
    token = ready.begin()
    name = ready.state(token)["media"]["X"]
    ready.clock.pass_(sessions.IDLE + 1)
    ready.begin()
    assert ready.post("state", t=token).status_code == 404
    assert ready.web.get(f"/xab/media/{name}").status_code == 404 and name not in ready.tryouts._names
    monkeypatch.setattr(sessions, "MOST", 3)
    some = [ready.begin() for _ in range(5)]
    assert [ready.post("state", t=one).status_code for one in some] == [404, 404, 200, 200, 200]
    statuses = [ready.post("begin", counted=False).status_code for _ in range(sessions.MOST_A_MINUTE)]
    assert set(statuses) == {200, 429} and statuses[-1] == 429
    ready.clock.pass_(61)
    assert ready.post("begin", counted=False).status_code == 200


@pytest.mark.parametrize(
    "correct, chance, rare, interval",
    [
        (0, "Of 64 people who only guess, 1 does as badly or worse.", True, "0 % to 46 %"),
        (1, "Of 64 people who only guess, 7 do as badly or worse.", False, "0 % to 64 %"),
        (3, "Half of them right is what guessing gives on average: 20 of 64 guessers.", False, "12 % to 88 %"),
        (4, "Of 64 people who only guess, 22 do as well or better.", False, "22 % to 96 %"),
        (6, "Of 64 people who only guess, 1 does as well or better.", True, "54 % to 100 %"),
    ],
)
def test_the_result_says_what_guessing_explains(correct, chance, rare, interval):
    found = result(correct, 6)
    assert found["chance"] == chance and interval in found["meaning"]
    assert found["meaning"].startswith("That is rare for a guesser") is rare
    assert sum(found["ways"]) == found["guessers"] == 64
    assert found["p"] == pytest.approx(min(1, 2 * sum(found["ways"][: min(correct, 6 - correct) + 1]) / 64))


def test_nobody_counted_is_nothing_told():
    assert told([]) == "" and "1 result was counted so far: 4 of 6 trials right (67 %)" in told(
        [{"trials": 6, "correct": 4, "people": 1}]
    )


def test_clips_are_made_once_and_as_a_studys(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = TalkNet(TalkNetConfig(**TINY)).eval()
    rng = np.random.default_rng(0)

    def face(speech):
        video = rng.integers(0, 256, (5, 112, 112)).astype(np.uint8)
        audio = (rng.integers(-2000, 2000, 5 * 640) / 32768).astype(np.float32)
        return Span(Clip(audio=audio, video=video, labels=np.full(5, int(speech)), name="f"), speech, True)

    monkeypatch.setattr(clips, "DESIGN", replace(clips.DESIGN, steps=1, attacks=("bim",)))
    monkeypatch.setattr(make, "collect_spans", lambda *_: [face(True), face(False)])
    folder = make.make_clips(tmp_path, tmp_path, load=lambda *_: model)
    pairs = clips.read_pairs(folder)
    assert [pair.phase for pair in pairs] == ["training", "main", "main"]
    assert {pair.modality for pair in pairs} == {"both"}
    assert {path.name for path in folder.iterdir()} == {f.path for p in pairs for f in p.stimuli} | {clips.MANIFEST}
    for pair in pairs[1:]:
        assert pair.measures["stored_video_max_levels"] == 1, "the paper's budget, rounded: picture and sound change"
        assert pair.measures["stored_audio_max_steps"] == 16
    assert "at most 16 of 65,536 steps" in shown(pairs) and "one grey level of 256" in shown(pairs)
    stamp = (folder / clips.MANIFEST).stat().st_mtime_ns
    assert make.make_clips(tmp_path, tmp_path) == folder, "no detector is loaded for what is there"
    assert (folder / clips.MANIFEST).stat().st_mtime_ns == stamp
    assert make.make_clips(tmp_path, tmp_path, again=True, load=lambda *_: model) == folder
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("text", ["", "[", "{}", "[{}]", '[{"stimuli": [{"colour": 1}]}]', "[1]"])
def test_a_list_that_another_version_wrote_is_made_again(tmp_path, text):
    (tmp_path / clips.MANIFEST).write_text(text)
    assert clips.read_pairs(tmp_path) is None


def test_a_process_that_fails_leaves_nothing(tmp_path):
    def broken(*_):
        raise ValueError("no such detector")

    with pytest.raises(ValueError, match="no such detector"):
        make.make_clips(tmp_path, tmp_path, load=broken)
    assert list((tmp_path / "tryout").iterdir()) == []


def test_what_a_killed_process_left_is_removed_in_time(place):
    folder = place.tryouts.clips.folder
    old, new = clips.unfinished(folder, 1), clips.unfinished(folder, 2)
    for path in (old, new):
        path.mkdir(parents=True)
    os.utime(old, (0, 0))
    place.begin()
    assert not old.exists() and new.exists()


def test_own_clips_are_used_where_the_shipped_ones_are_not(tmp_path):
    (tmp_path / "mine.mp4").touch()
    assert clips.design_for(tmp_path).clips == ()
    for name in clips.PREFERRED:
        (tmp_path / name).touch()
    assert clips.design_for(tmp_path).clips == clips.PREFERRED
