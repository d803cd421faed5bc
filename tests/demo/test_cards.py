"""A detector's card as the Models tab shows it, whatever is or is not on it."""

import json
import zipfile
from types import SimpleNamespace

import pytest

from pushpull.demo import cards, tables
from pushpull.demo.compare_view import clearly_fewer, headline, pack
from pushpull.metrics import METRICS, Metrics

ROBUST = {
    "clean": {"average_precision": 0.97, "prevalence": 0.3},
    "bim": {"average_precision": 0.5, "robust_accuracy": 0.4},
    "mim": {"average_precision": 0.45, "robust_accuracy": 0.3, "intervals": {"average_precision": [0.41, 0.5]}},
    "options": {"eps_av": 5.0},
    "examples": 16,
}
SHIPPED = {
    "name": "talknet-lite-e2",
    "where": "shipped",
    "row": "E2",
    "training": {"lambda1": 0.1, "adversarial": "mim"},
}


def test_figures_are_the_worst_with_their_interval():
    found = cards.figures({"robust": ROBUST})
    assert found["clean"] == (97.0, None, None) and found["floor"] == (30.0, None, None)
    assert found["attacked"] == pytest.approx((45.0, 41.0, 50.0)) and found["held"] == (30.0, None, None)
    assert cards.written(found["attacked"]) == "45 % (41 to 50)" and cards.written(found["clean"]) == "97 %"


@pytest.mark.parametrize(
    ("card", "group"),
    [
        ({"where": "shipped", "training": {}}, "undefended"),
        ({"where": "shipped", "training": {"adversarial": "bim"}}, "adversarial"),
        ({"where": "shipped", "training": {"lambda2": 0.1}}, "avil"),
        (SHIPPED, "both"),
        ({"where": "published", "source_sha256": "0"}, "published"),
        ({"where": "/somewhere/lr-asd-ava.model", "source_sha256": "0"}, "published"),
        ({"where": "given"}, "own"),
        ({"where": "/somewhere/mine.safetensors"}, "own"),
    ],
)
def test_detectors_are_grouped_by_what_defends_them(card, group):
    assert cards.group(card) == group


def test_an_entry_says_what_the_card_says():
    card = SHIPPED | {"robust": ROBUST, "bytes": 3_100_000, "licence": "CC0", "sha256": "ab" * 32, "size": "lite"}
    html = cards.entry(card | {"audit": {"verdict": "holds under every check"}})
    for words in (
        "E2: CE + L1, trained on MIM examples",
        "both defences",
        "45 % (41 to 50)",
        "3.1 MB",
        "CC0",
        "ab" * 32,
    ):
        assert words in html
    assert 'data-attack="talknet-lite-e2"' in html and "holds under every check" in html
    html = cards.entry({"name": "lr-asd-ava", "where": "published", "bytes": 3_426_337, "source_sha256": "0" * 64})
    assert 'data-fetch="lr-asd-ava"' in html and "3.4 MB" in html and "data-attack=" not in html


def test_where_a_detector_decides_is_said_in_plain_words():
    share = {"value": 0.934, "low": 0.89, "high": 0.97}
    speaking = {"threshold": -0.883, "sha256": "ab", "found": share, "false_alarms": {"still": {"value": 0.15}}}
    card = SHIPPED | {"sha256": "ab", "operating_points": {"speaking": speaking}}
    html = cards.entry(card)
    assert "point: speaking (used here)" in html and "log-odds above -0.88 count as speaking" in html
    assert "finds 93 % (89 to 97) of speaking frames" in html and "fooled by resting lips 15 %" in html
    for other in (card | {"sha256": "cd"}, card | {"operating_points": {"speaking": 3}}, SHIPPED | {"threshold": 0.5}):
        html = cards.entry(other)
        assert f"above {other.get('threshold', 0):g} count" in html and "has no operating points" in html


AUDIT = {
    "verdict": "not robust at eps_av 5",
    "quick": True,
    "examples": 12,
    "clean": {"value": 0.94, "low": 0.88, "high": 0.98},
    "worst": {"value": 0.06, "low": 0.0, "high": 0.18},
    "constant": 0.5,
    "flags": {
        "more_steps": {"number": 2.3, "limit": 1.0, "passed": False},
        "random": {"passed": True},
        "unheard_of": {"passed": False},
    },
    "sha256": "ab",
    "results": "docs/results/audit-a",
}


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({}, "not robust at eps_av 5: a first look, 12 examples and short attacks; ", "the same input"),
        ({}, "6 % (0 to 18) of frames right under the worst of all attacks, 94 % (88 to 98) unattacked", "None"),
        ({}, "<dd>more steps do not go on helping</dd>", "unheard_of"),
        ({}, "<dt>audit: not so</dt>", "audit: perhaps not so"),
        (
            {"flags": {"more_steps": {"passed": False, "sure": False}}},
            "<dt>audit: perhaps not so</dt>",
            "audit: not so",
        ),
        ({}, 'href="audits/audit-a"', "docs/results"),
        ({"quick": False, "examples": 99}, "a first look, 99 examples; ", "short"),
        ({"quick": False, "examples": 100}, "<dd>not robust at eps_av 5</dd>", "first look"),
        ({"sha256": "cd"}, "talknet-lite-e2", "not robust"),
        ({"results": "../../secret"}, "not robust", "href"),
        ({"results": ".."}, "not robust", "href"),
    ],
)
def test_an_audit_is_told_with_what_it_weighs(changes, said, unsaid):
    html = cards.entry(SHIPPED | {"sha256": "ab", "audit": AUDIT | changes})
    assert said in html and unsaid not in html


@pytest.mark.parametrize(
    "card",
    [
        {},
        {
            "audit": {
                "verdict": None,
                "examples": "12",
                "worst": 3,
                "clean": {},
                "flags": {"more_steps": 1},
                "results": 7,
            }
        },
        {"robust": None, "heldout": None, "training": None, "threshold": None},
        {"robust": {"clean": None, "bim": {"average_precision": "high"}}, "heldout": {"sources": {"grid": None}}},
        {"robust": {"clean": {"average_precision": True}}, "audit": ["odd"], "crop": None},
        {
            "robust": {
                "clean": {"average_precision": 0.9, "intervals": {"average_precision": 3}},
                "bim": {"intervals": 1},
            }
        },
    ],
)
def test_a_card_that_says_little_or_nonsense_is_shown_all_the_same(card):
    html = cards.entry({"name": "odd", "where": "given"} | card)
    assert "odd" in html and "None" not in html


def test_what_a_card_says_is_escaped():
    evil = '"><img src=x onerror=alert(1)>'
    html = cards.entry({"name": evil, "where": "given", "title": evil, "summary": evil, "licence": evil, "crop": evil})
    assert "<img" not in html


def test_a_sidecar_adds_to_the_card_of_its_own_weights_alone(tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    digest = cards._digest(tmp_path / "mine.safetensors", 0)
    card = {"name": "mine", "where": "shipped"}
    beside = tmp_path / "mine.json"
    for told, expected in ((digest, "said"), ("another's", None)):
        beside.write_text(json.dumps({"sha256": told, "summary": "said"}), encoding="utf-8")
        found = cards.with_sidecar(card, tmp_path)
        assert found.get("summary") == expected and found["sha256"] == digest
    beside.write_text("[1]", encoding="utf-8")
    assert cards.with_sidecar(card, tmp_path) == card
    assert cards.with_sidecar(card | {"where": "given"}, tmp_path) == card | {"where": "given"}


def test_an_archive_holds_every_file_under_its_name(tmp_path):
    (tmp_path / "a.csv").write_text("1,2", encoding="utf-8")
    (tmp_path / "b.mp4").write_bytes(b"film")
    path = pack(tmp_path / "all.zip", {"a.csv": tmp_path / "a.csv", "one/b.mp4": tmp_path / "b.mp4"})
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["a.csv", "one/b.mp4"] and archive.read("one/b.mp4") == b"film"


def test_cards_of_different_clips_are_sorted_by_what_is_left_above_the_floor():
    def card(attacked, floor):
        clean = {"average_precision": 0.97, "prevalence": floor}
        robust = {"clean": clean, "bim": {"average_precision": attacked}, "examples": 24}
        return cards.entry({"name": "one", "where": "given", "robust": robust})

    assert 'data-attacked="5.00"' in card(0.75, 0.70) and 'data-attacked="20.00"' in card(0.5, 0.3)
    assert "floor 30 %, 24 clips" in card(0.5, 0.3)
    assert 'data-attacked="-999"' in cards.entry({"name": "one", "where": "given"})


@pytest.mark.parametrize(
    ("few", "many", "frames", "clear"), [(50, 51, 199, False), (50, 90, 199, True), (0, 0, 9, False), (0, 9, 9, True)]
)
def test_no_model_is_called_best_within_the_noise(few, many, frames, clear):
    assert clearly_fewer(few, many, frames) == clear
    runs = {
        name: SimpleNamespace(clip=SimpleNamespace(frames=frames), metrics={"adversarial": {"flipped": count}})
        for name, count in (("a", many), ("b", few), ("c", many))
    }
    said = headline(SimpleNamespace(runs=runs, transfer_from=None))
    assert ("holds best" in said) == clear and (not clear or ">b</em> holds best" in said)


def test_the_floor_is_not_told_without_what_it_is_the_floor_of():
    column = dict.fromkeys((metric.name for metric in METRICS), 0.5) | {"frames": 9, "flipped": 1}
    assert "its floor" in tables.numbers(Metrics({"clean": column}), "")
    assert "its floor" not in tables.numbers(Metrics({"clean": column | {"average_precision": None}}), "")
