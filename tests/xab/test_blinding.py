"""Can anything that a volunteer's browser may fetch, short of watching, separate the genuine from the adversarial side?

Every judge below turns what was fetched in a trial into a guess, and a judge that is right suspiciously often fails the
test. The twins differ as much as an attack at eps_av = 300 makes them, so a leak of sizes or bytes would show.
"""

import hashlib
import itertools
import json
import re
import time
from collections import Counter

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from scipy.stats import binomtest
from starlette.testclient import TestClient
from xab_support import Volunteer
from xab_web import ClipMaker, add_study

from xab.blinding import UNIT
from xab.pages import mount
from xab.settings import Settings
from xab.store.schema import metadata

VOLUNTEERS = 8
CATCH = 4  # position of the catch pair in the study that is harvested
# Of all judges together one may be this unlucky in a million runs.
SUSPICIOUS = 1e-6


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    settings = Settings(data=tmp_path_factory.mktemp("blind"), password="p")
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    inner = mount(app, settings)
    clips = ClipMaker(settings, strong=frozenset({CATCH}))  # made once for all studies
    yield TestClient(app), inner.state.context.store, clips
    inner.state.context.store.close()


def truth(store) -> dict[str, tuple[str, str, str]]:
    """{trial's handle: (x, match, phase)}, which only the database knows."""
    trials = metadata.tables["trials"]
    with store.engine.connect() as connection:
        return {row.handle: (row.x, row.match, row.phase) for row in connection.execute(sa.select(trials))}


@pytest.fixture(scope="module")
def harvest(place):
    """Everything fetched in every trial of VOLUNTEERS sessions: (truth, state, {role: answers})."""
    web, store, clips = place
    study = add_study(store, clips, speech=2, non_speech=2, training=0, catch=1, seconds=0.4)
    found = []
    for _, token in store.links.add_links(study, VOLUNTEERS):
        volunteer = Volunteer(store, token).begin()
        volunteer.wait = lambda: None
        while (state := web.post("/xab/api/state", json={"t": token}).json())["step"] == "trials":
            fetched = {}
            for role, name in state["media"].items():
                whole = web.get(f"/xab/media/{name}")
                part = web.get(f"/xab/media/{name}", headers={"range": "bytes=100-299"})
                assert part.status_code == 206 and part.content == whole.content[100:300]
                fetched[role] = {"whole": whole, "part": part, "head": web.head(f"/xab/media/{name}")}
            found.append((truth(store)[state["handle"]], state, fetched))
            with store.engine.begin() as connection:  # the trial has lasted long enough
                trials = metadata.tables["trials"]
                connection.execute(sa.update(trials).values(opened_at=trials.c.opened_at - 60))
            volunteer.answer("A")
    return found


def runs_in_common(one: bytes, other: bytes, size: int = 48, stride: int = 16) -> int:
    """How many stretches of ``size`` bytes of one occur in the other: finds every common run of size + stride bytes.

    Shorter ones prove nothing: they are the codec's own headers, and the sizes of the pictures that they encode.
    """
    known = {one[start : start + size] for start in range(len(one) - size)}
    return sum(other[start : start + size] in known for start in range(0, len(other) - size, stride))


def padding_before_media(data: bytes) -> int:
    return data.index(b"moov")


JUDGES = {
    "the longer": lambda side, x: len(side["whole"].content),
    "the name in alphabetical order": lambda side, x: side["whole"].request.url.path,
    "the sum of the name": lambda side, x: sum(side["whole"].request.url.path.encode()),
    "media that start later": lambda side, x: padding_before_media(side["whole"].content),
    "bytes in common with X": lambda side, x: runs_in_common(side["whole"].content, x["whole"].content),
    "hash nearest to that of X": lambda side, x: hashlib.sha256(side["whole"].content).digest(),
    "headers like those of X": lambda side, x: len(
        set(side["whole"].headers.items()) & set(x["whole"].headers.items())
    ),
    "answered sooner": lambda side, x: side["whole"].elapsed.total_seconds(),
    "a part of it answered sooner": lambda side, x: side["part"].elapsed.total_seconds(),
}


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize("question", ["which side equals X", "which side is adversarial"])
def test_no_judge_does_better_than_guessing(harvest, name, question):
    right = trials = 0
    for (x, match, _), _, fetched in harvest:
        values = {side: JUDGES[name](fetched[side], fetched["X"]) for side in "AB"}
        if values["A"] == values["B"]:
            continue  # this judge cannot tell
        guess = max("AB", key=values.get)
        other = "B" if match == "A" else "A"
        wanted = match if question == "which side equals X" else (other if x == "genuine" else match)
        right, trials = right + (guess == wanted), trials + 1
    if trials:
        # Two-sided: a judge that is always wrong is as good as one that is always right.
        assert binomtest(right, trials).pvalue > SUSPICIOUS, f"{name}: {right} of {trials}"


def test_a_judge_who_may_look_inside_would_be_caught(harvest):
    """The test above can fail: without the blinding's padding the sizes tell everything."""
    right = 0
    for (x, match, _), _, fetched in harvest:
        other = "B" if match == "A" else "A"
        adversarial = other if x == "genuine" else match
        right += max("AB", key=lambda side: _media_bytes(fetched[side]["whole"].content)) == adversarial
    assert binomtest(right, len(harvest)).pvalue < SUSPICIOUS


def _media_bytes(data: bytes) -> int:
    """The size of the mdat box: the stimulus itself, which a browser has to get."""
    at = data.index(b"mdat")
    return int.from_bytes(data[at - 4 : at], "big")


def test_all_clips_of_a_trial_look_alike_from_outside(harvest):
    for _, _, fetched in harvest:
        for kind in ("whole", "part", "head"):
            heads = {role: list(fetched[role][kind].headers.items()) for role in "XAB"}
            assert heads["X"] == heads["A"] == heads["B"]
        names = {name.lower() for name in fetched["X"]["whole"].headers}
        assert not names & {"etag", "last-modified", "content-disposition", "content-md5", "digest", "server-timing"}


def test_a_catch_trial_has_the_size_of_every_other(harvest):
    stored, sizes = {}, set()
    for (_, _, phase), _, fetched in harvest:
        whole = [fetched[role]["whole"] for role in "XAB"]
        stored.setdefault(phase, []).append(max(_media_bytes(answer.content) for answer in whole))
        sizes |= {len(answer.content) for answer in whole}
        sizes |= {int(fetched[role]["part"].headers["content-range"].rpartition("/")[2]) for role in "XAB"}
    assert min(stored["catch"]) > max(stored["main"]) + UNIT, "a test that compares equal sizes would show nothing"
    assert len(sizes) == 1


def test_no_bytes_are_served_twice(harvest):
    sums = Counter(
        hashlib.sha256(fetched[role]["whole"].content).digest() for _, _, fetched in harvest for role in "XAB"
    )
    assert set(sums.values()) == {1}
    names = [state["media"][role] for _, state, _ in harvest for role in "XAB"]
    assert len(set(names)) == len(names) == 3 * len(harvest)


def test_the_page_is_told_nothing_of_the_answer(harvest):
    allowed = {"title", "preview", "trials", "training", "minutes", "step", "phase", "number", "handle", "seconds"}
    allowed |= {"media", "played"}
    for (_, _, phase), state, _ in harvest:
        assert set(state) == allowed and state["phase"] == "test"  # a catch trial too
        # Names that are drawn at random may spell anything, now and then "bim".
        tokens = [state["handle"], *state["media"].values()]
        assert all(re.fullmatch(r"[\w-]{20,}", token) for token in tokens) and len(set(tokens)) == len(tokens)
        text = json.dumps(state)
        for token in tokens:
            text = text.replace(token, "")
        assert not re.search(r"genuine|adversarial|catch|match|main|bim|eps", text), phase


def test_answers_in_the_test_are_acknowledged_alike(place):
    web, store, clips = place
    study = add_study(store, clips, speech=2, non_speech=0, training=0, catch=1)
    (_, token), *_ = store.links.add_links(study, 1)
    volunteer = Volunteer(store, token).begin()
    volunteer.wait = lambda: time.sleep(3 * 0.4)
    replies = [volunteer.answer(side) for side in "ABA"]
    assert replies == [{"duplicate": False, "correct": None}] * 3


def test_nothing_describes_the_api_and_errors_tell_nothing(place):
    web, store, _ = place
    for path in ("/openapi.json", "/docs", "/xab/openapi.json", "/xab/docs", "/xab/redoc", "/xab/static/", "/xab/api"):
        assert web.get(path).status_code == 404
    for body in ({}, {"t": "x" * 24}, {"t": "' OR 1=1 --"}, {"t": ["x"]}, {"t": "x" * 24, "more": 1}):
        answer = web.post("/xab/api/state", json=body)
        assert answer.status_code in (400, 404)
        assert not re.search(r"select|sqlite|traceback|xab/|pydantic", answer.text, re.I)


def test_media_of_other_trials_and_guessed_names_are_the_same_nothing(place):
    web, store, clips = place
    study = add_study(store, clips, speech=2, non_speech=0, training=0, catch=0)
    (_, token), *_ = store.links.add_links(study, 1)
    volunteer = Volunteer(store, token).begin()
    volunteer.state  # noqa: B018 -- opens the trial
    trials = metadata.tables["trials"]
    with store.engine.connect() as connection:
        later = connection.scalar(sa.select(trials.c.media_a).order_by(trials.c.id.desc()).limit(1))
    answers = [web.get(f"/xab/media/{name}") for name in (later, "guess", "x" * 500, "%00")]
    for one, other in itertools.pairwise(answers):
        assert (one.status_code, one.content) == (other.status_code, other.content)
    assert answers[0].status_code == 404
