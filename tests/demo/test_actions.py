"""The Attack tab's actions without a browser: what each event changes."""

from dataclasses import astuple, replace
from types import SimpleNamespace

import pytest
from browser_support import write_face, write_model

from pushpull.demo.actions import READS, RUN, Actions
from pushpull.demo.attack_tab import choose, unread
from pushpull.demo.context import DemoContext
from pushpull.demo.form import Form
from pushpull.demo.loaded import DetectorCache
from pushpull.demo.storage import ResultStore

PARTS = "subject face sample wished clock video gallery status faces trim start progress sentence player numbers files"
PARTS += " run brakes stop"
ANNA = SimpleNamespace(session_hash="anna")


@pytest.fixture(scope="module")
def act(tmp_path_factory, unhurried):
    folder = tmp_path_factory.mktemp("actions")
    (folder / "clips").mkdir()
    (folder / "checkpoints").mkdir()
    write_model(folder / "checkpoints")
    write_face(folder / "clips" / "hopper.mp4")
    detectors = DetectorCache(folder / "checkpoints", device="cpu")
    context = DemoContext(detectors=detectors, store=ResultStore(root=folder / "store"), clips=folder / "clips")
    return Actions(context, SimpleNamespace(**{name: name for name in PARTS.split()}))


@pytest.fixture
def two_faces(act, monkeypatch):
    """The sample shows two faces: the same one twice."""
    subject = act.context.read_sample(act.context.samples()[0])
    twice = {name: getattr(subject.footage, name) * 2 for name in ("clips", "tracks", "thumbnails")}
    crops = {name: videos * 2 for name, videos in subject.footage.other_crops.items()}
    footage = replace(subject.footage, **twice, other_crops=crops)
    monkeypatch.setattr(type(act.context), "read_sample", lambda *_, **__: replace(subject, footage=footage))


def test_where_the_verdict_will_be_it_says_that_the_clip_is_read(act, tmp_path):
    picture = tmp_path / "<b>.mp4"
    picture.write_bytes(b"\x89PNG and no more")
    for updates in (act.read_sample(ANNA, 0, "talknet-lite"), act.take_upload(ANNA, str(picture), "talknet-lite")):
        *on_the_way, last = (update["player"] for update in updates if "player" in update)
        assert on_the_way and all("Reading " in said and "<b>.mp4" not in said for said in on_the_way)
        assert "Reading " not in last


def test_nothing_can_be_run_until_a_clip_was_read_or_refused(act, tmp_path):
    picture, read = tmp_path / "picture.mp4", act.context.samples()[0].path
    picture.write_bytes(b"\x89PNG and no more")
    chose = choose(act.context)
    for updates in (
        act.read_sample(ANNA, 0, "talknet-lite"),
        act.read_sample(ANNA, 7, "talknet-lite"),
        act.take_upload(ANNA, str(picture), "talknet-lite"),
        act.take_upload(ANNA, None, "talknet-lite"),
        act.retake(ANNA, None, 0, 0.0, "talknet-lite"),
        act.retake(ANNA, str(read), None, 0.0, "talknet-lite"),
        iter([act.clear(ANNA)]),
        iter([unread(act.ui, act)()]),
    ):
        button = chose(ANNA)
        assert (button.value, button.interactive) == (READS, False)
        *on_the_way, last = [update["run"] for update in updates if "run" in update]
        assert all((button.value, button.interactive) == (READS, False) for button in on_the_way)
        assert (last.value, last.interactive) == (RUN, True)


def test_another_clip_ends_the_reading_of_the_one_before(act, monkeypatch):
    updates = act.read_sample(ANNA, 0, "talknet-lite")
    assert "Reading" in next(updates)["status"]
    act.context.requests.choose("ben")
    assert "Reading" in next(updates)["player"]  # somebody else's clip
    act.context.requests.choose("anna")
    assert list(updates) == []
    # What was told last may reach the page after it was cleared: it is taken back.
    updates = act.read_sample(ANNA, 0, "talknet-lite")
    assert "Reading" in next(updates)["status"] and act.clear(ANNA)["status"] == ""
    assert [update["status"] for update in updates] == [""]
    # So with what a model is asked meanwhile.
    monkeypatch.setattr(
        act, "_show", lambda *_: act.context.requests.choose("anna") or {"player": "of the clip before"}
    )
    assert "player" not in act.ask(ANNA, act.context.read_sample(act.context.samples()[0]), 0, "talknet-lite")


def test_an_attack_is_done_when_its_files_are_there(act):
    subject = act.context.read_sample(act.context.samples()[0])
    form = Form("talknet-lite", attack="bim", steps=2)
    updates = list(act.attack(ANNA, subject, 0, *astuple(form)))
    first = next(number for number, update in enumerate(updates) if update.get("sentence"))
    on_the_way = [update["progress"] for update in updates[first:-1] if "progress" in update]
    assert len(on_the_way) > 2 and all("The results are there" in said for said in on_the_way)
    assert not any(words in said for said in on_the_way for words in ("Done", "100 %</span>"))
    assert "Done" in updates[-1]["progress"] and "100 %</span>" in updates[-1]["progress"]
    assert "<a href=" in updates[-1]["files"]


@pytest.mark.parametrize(("wished", "face", "said"), [(1, 1, ""), (None, 0, ""), (3, 0, "asks for face 4")])
def test_a_link_chooses_the_face_it_names_and_says_where_there_is_none(act, two_faces, wished, face, said):
    updates = {}
    for update in act.pick_sample(ANNA, "talknet-lite", wished, SimpleNamespace(card=0)):
        updates |= update
    assert updates["face"] == face and updates["wished"] is None
    assert said in updates["status"] and ('role="alert"' in updates["status"]) == bool(said)
