"""Folders of clips and their cards as people bring them: what cannot be read costs itself alone."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from perturb_support import random_clip, write_detector

from pushpull.data.speech import read_align
from pushpull.data.talkset import find_videos
from pushpull.demo.context import Sample
from pushpull.demo.models import label, model_card
from pushpull.detectors import list_models, load_model
from pushpull.files import read_text
from pushpull.runs.cards import Card, find_clips, read_card
from pushpull.runs.labels import read_labels
from xab.files import clip_names

FIELD = Path(__file__).parents[3] / "shared/data/field"
FACE = {"box": [0.0, 1.0, 2.0, 3.0], "labels": "01"}
WHOLE = json.dumps({"title": "Zoë", "caption": "says é", "faces": [FACE | {"voice": "x"}]}, ensure_ascii=False)
READ = Card("Zoë", "says é", (FACE,))
CARDS = {
    "none": (None, Card(), None),
    "utf-8": (WHOLE.encode(), READ, None),
    "byte order mark": (WHOLE.encode("utf-8-sig"), READ, None),
    "latin-1": (WHOLE.encode("latin-1"), READ, None),
    "utf-16 of an editor": (WHOLE.encode("utf-16"), READ, None),
    "half a utf-16": (WHOLE.encode("utf-16")[:-1], Card(), "is no JSON"),
    "empty": (b"", Card(), "is no JSON"),
    "trailing comma": (b'{"title": "a",}', Card(), "is no JSON"),
    "half": (b"{", Card(), "is no JSON"),
    "too deep": (b"[" * 100_000, Card(), "is no JSON"),
    "a list": (b"[]", Card(), "holds no JSON object"),
    "no faces": (b'{"title": "a", "faces": null}', Card("a"), None),
    "null for words": (b'{"title": null, "caption": 7}', Card(), None),
    "faces of another kind": (b'{"title": "a", "faces": {"box": 1}}', Card("a"), "a face on it is left out"),
    "a face that is none": (json.dumps({"faces": [None, FACE]}).encode(), Card(faces=(FACE,)), "a face"),
    "half a box": (b'{"faces": [{"box": [0, 0, 9], "labels": "0"}]}', Card(), "a face on it"),
    "a box of nothing": (b'{"faces": [{"box": [0, 0, 9, NaN], "labels": "0"}]}', Card(), "a face on it"),
    "labels in words": (b'{"faces": [{"box": [0, 1, 2, 3], "labels": "yes"}]}', Card(), "a face on it"),
    "labels that are a number": (b'{"faces": [{"box": [0, 1, 2, 3], "labels": 1}]}', Card(), "a face on it"),
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_is_read_or_costs_itself(case, tmp_path):
    content, wanted, said = CARDS[case]
    if content is not None:
        (tmp_path / "my_clip.json").write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_card(tmp_path / "my_clip.mp4") == wanted
    assert [said in str(one.message) and "my_clip.json" in str(one.message) for one in caught] == [True] * bool(said)


@pytest.mark.filterwarnings("ignore:.*is no JSON")
def test_the_gallery_shows_a_clip_whose_card_is_bad(tmp_path):
    (tmp_path / "my_clip.json").write_text("{,}")
    assert Sample.read(tmp_path / "my_clip.mp4").title == "my clip"


def test_hidden_files_and_folders_are_no_clips(tmp_path):
    for name in ("._a.mp4", "a.mp4", ".b.webm", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.mp4").mkdir()
    assert [path.name for path in find_clips(tmp_path)] == clip_names(tmp_path) == ["a.mp4"]
    assert [path.name for path in find_videos(tmp_path)] == ["a.mp4"]
    assert find_clips(tmp_path / "absent") == clip_names(tmp_path / "absent") == []


@pytest.mark.skipif(not (FIELD / "f10_bom").is_dir(), reason="needs shared/data/field")
def test_folders_of_bug_reports():
    (clip,) = find_clips(FIELD / "f10_clips")
    assert clip.name == "1-face.mp4"
    (clip,) = find_clips(FIELD / "f10_bom")
    said = json.loads((FIELD / "f10_bom/1-face.json").read_text(encoding="utf-8-sig"))
    card = read_card(clip)
    assert card.title == said.get("title", "") and len(card.faces) == len(said.get("faces") or [])


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (lambda text: text.encode("utf-8-sig"), "Zoë"),
        (lambda text: text.encode("latin-1"), "Zoë"),
        (lambda text: text.encode()[:-3], None),
    ],
)
@pytest.mark.filterwarnings("ignore:.*is not the card")
def test_the_card_of_a_model(content, title, tmp_path):
    path = write_detector(tmp_path / "tiny", random_clip())
    beside = path.with_suffix(".json")
    text = json.dumps(json.loads(beside.read_text(encoding="utf-8")) | {"title": "Zoë"}, ensure_ascii=False)
    beside.write_bytes(content(text))
    shutil.copy(beside, tmp_path / "._tiny.safetensors")  # a Mac's: no weights
    assert load_model(path, "cpu").card.get("title") == title
    assert [card["name"] for card in list_models(tmp_path)] == ["tiny"]


@pytest.mark.parametrize("nonsense", [None, "many", [], {}])
def test_a_model_whose_card_is_nonsense_stays_in_the_list(nonsense):
    card = {"name": "x", "row": "A", "parameters": nonsense, "bytes": nonsense, "training": nonsense}
    card |= {"heldout": nonsense, "robust": nonsense, "summary": nonsense, "title": nonsense}
    assert label(card) == "A: CE (x)" and "a detector of one" in model_card(card)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_texts_of_every_editor(encoding, tmp_path):
    (tmp_path / "a.align").write_bytes("0 1000 sil\n1000 3000 né\n".encode(encoding))
    assert read_text(tmp_path / "a.align").endswith("né\n")
    assert read_align(tmp_path / "a.align", 4).tolist() == [False, True, True, False]


def test_labels_out_of_a_spreadsheet(tmp_path):
    times = "".join(f"{time:.2f},{int(time > 0.1)}\r\n" for time in np.arange(6) / 25)
    (tmp_path / "labels.csv").write_bytes(("time_s,label\r\n" + times).encode("utf-8-sig"))
    assert read_labels(tmp_path / "labels.csv", 6) == "000111"
