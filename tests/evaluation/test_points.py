"""Operating points are counted, not fitted, and told of the footage that they were chosen on and of other footage."""

import csv
import json

import numpy as np
import pytest
from evaluation_support import Toy

from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.data.sources import Corpus, Part
from pushpull.detectors import at_point
from pushpull.evaluation import points_command, points_rows
from pushpull.evaluation.command import main
from pushpull.evaluation.kind_scores import IN_SYNC, SILENT_KINDS, KindScores, score_kinds
from pushpull.evaluation.points import Rule, choose, clusters_of, measure
from pushpull.evaluation.points_ranking import ranking

FRAMES = 24


class Pool(list):
    """Clips in sync with a pause at the end; whoever is seen is bright while speaking."""

    fingerprint = "a set"

    @property
    def frames(self):
        return sum(clip.frames for clip in self)


def pool(count=4):
    clips = Pool()
    for number in range(count):
        rng = np.random.default_rng(number)
        labels = (np.arange(FRAMES) < FRAMES // 2).astype(np.int64)
        video = np.full((FRAMES, 112, 112), 127, np.uint8)
        video[labels == 1] = 130 + number
        audio = 1e-3 * rng.standard_normal(FRAMES * SAMPLES_PER_FRAME) * np.repeat(labels, SAMPLES_PER_FRAME)
        clips.append(Clip(audio=audio.astype(np.float32), video=video, labels=labels, name=f"face{number}"))
    return clips


def scores_of(silent, speaking=(3.0, 2.0, 1.0, -1.0)):
    """One clip for each of the scores: they are base clips."""
    parts = tuple(np.array([score], np.float32) for score in speaking)
    said = {kind: tuple(np.array([score], np.float32) for score in values) for kind, values in silent.items()}
    return KindScores(tuple("abcd"[: len(speaking)]), (np.ones(1, bool),) * len(speaking), {IN_SYNC: parts} | said)


@pytest.mark.parametrize(
    "rate, threshold, found, alarms",
    [(0.0, 2.5, 0.25, 0.0), (0.125, 0.5, 0.75, 0.25), (0.25, 0.25, 0.75, 0.5), (0.5, -2.0, 1.0, 0.75)],
)
def test_a_point_is_where_the_stated_share_of_frames_are_false_alarms(rate, threshold, found, alarms):
    """Of eight frames of two kinds, as many as the rate allows score above the threshold, and no more."""
    scores = scores_of({"still": (2.5, 0.5, 0.25, -2.0), "frozen": (-1.5, -3.0, -4.0, -5.0), "swapped": (9.0,) * 4})
    clusters = clusters_of(scores)
    chosen = choose(scores, Rule("speaking", ("still", "frozen"), rate), clusters)
    told = measure(scores, chosen.value, clusters)
    assert (chosen.value, told.found.value, told.alarms["still"].value) == (threshold, found, alarms)
    assert told.alarms["swapped"].value == 1 and chosen.low <= chosen.value <= chosen.high
    assert chosen.low < chosen.high, "four base clips say little of a threshold"


def test_a_kind_that_the_footage_does_not_give_is_left_out_and_none_at_all_is_refused():
    scores = scores_of({"still": (), "frozen": (1.0, 0.0, -1.0, -2.0)})
    rule = Rule("speaking", ("still", "frozen"), 0.25)
    assert scores.kinds == ("frozen",) and choose(scores, rule, clusters_of(scores)).value == 0.0
    with pytest.raises(ValueError, match="no frame of noise"):
        choose(scores, Rule("strict_sync", ("noise",)), clusters_of(scores))


def test_every_clip_is_scored_as_every_kind_and_read_again_only_for_the_same(tmp_path):
    toy, clips = Toy(heads=False), pool()
    found = score_kinds(toy, clips)
    assert set(found.scores) == {IN_SYNC, *SILENT_KINDS} and set(found.kinds) == set(SILENT_KINDS)
    said, owners = found.speaking()
    assert len(said) == 4 * FRAMES // 2 and (said > 0).all() and set(owners) == {0, 1, 2, 3}
    assert (np.concatenate(found.scores["still"]) < 0).all(), "resting lips are dark"
    again = score_kinds(at_point(toy), clips)
    for kind in found.kinds:
        assert np.array_equal(found.silent([kind])[0], again.silent([kind])[0]), "the same for the same seed"
    found.save(tmp_path / "records" / "toy.npz", {"seed": 0})
    read = KindScores.read(tmp_path / "records" / "toy.npz", {"seed": 0})
    assert read.bases == found.bases and read.kinds == found.kinds
    assert np.array_equal(read.silent(["swapped"])[0], found.silent(["swapped"])[0])
    assert KindScores.read(tmp_path / "records" / "toy.npz", {"seed": 1}) is None
    with pytest.raises(ValueError, match="at least two clips"):
        score_kinds(toy, pool(1))


def test_pieces_of_a_file_are_one_base_clip():
    clips = pool()
    clips.base = lambda number: "ab"[number // 2]
    assert score_kinds(Toy(heads=False), clips).bases == ("a", "a", "b", "b")


@pytest.fixture
def toys(monkeypatch, tmp_path):
    """Two detectors, footage that can be cut as either wants, and heads that cannot."""
    cards = {"mine": "talknet_demo", "boxed": "face_box"}
    made = {name: Toy(name, card={"crop": crop, "sha256": name[0] * 64}) for name, crop in cards.items()}
    monkeypatch.setattr(points_command, "open_detector", lambda name, device, point: at_point(made[name], point))
    monkeypatch.setattr(points_command, "without_rows", list)
    crops = {"strangers": None, "talkheads:heads": "talknet_demo"}

    def crops_of(text, footage):
        return {name: crop or footage.crop for name, crop in crops.items() if name in text}

    def read_sources(text, footage, **_):
        assert footage.test == (1.0 if "strangers" in text else 0.1), "all of it, and a test split"
        return {"test": Corpus([Part(name, pool()) for name in crops if name in text])}

    monkeypatch.setattr(points_command, "crops_of", crops_of)
    monkeypatch.setattr(points_command, "read_sources", read_sources)
    return {name: tmp_path / f"{name}.json" for name in cards}


def test_the_command_tells_what_points_give_where_they_were_chosen_and_elsewhere(toys, tmp_path, monkeypatch, capsys):
    for name, path in toys.items():
        path.write_text(json.dumps({"sha256": name[0] * 64, "title": "kept"}), encoding="utf-8")
    monkeypatch.setattr(points_command, "file_to_write", toys.get)
    data = ["--data", "talkset:strangers", "--elsewhere", "talkheads:heads", "--device", "cpu", "--quiet"]
    arguments = ["points", "--models", "mine,boxed", *data, "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = {(row["model"], row["role"], row["point"]): row for row in found["rows"]}
    points = ("own", "speaking", "strict_sync")
    assert set(rows) == {
        *(("mine", role, point) for role in ("development", "elsewhere") for point in points),
        *(("boxed", "development", point) for point in points),
    }, "heads that lie in another crop are no footage for a detector of boxes"
    for (_, role, point), row in rows.items():
        assert (row["threshold"] == 0) if point == "own" else (row["rate"] == 0.05)
        if "rate" in row and role == "development":
            assert row["alarms_together"]["value"] <= 0.05
        assert set(row["false_alarms"]) == set(SILENT_KINDS) and row["found"]["clusters"] == 4
    assert found["command"].startswith("python -m pushpull.evaluate points --models mine,boxed")
    shown = (tmp_path / "out" / "results.md").read_text()
    assert "development set" in shown and "| mine |" in capsys.readouterr().out
    assert {row["data"] for row in found["ranking"]} == {"strangers", "talkheads:heads"}
    assert "minus mine, at 5 %" in shown.replace("minus mine, paired", "") and "| boxed | still |" in shown
    with open(tmp_path / "out" / "results.csv", newline="") as file:
        assert {row["over"] for row in csv.DictReader(file)} == {"", *("+".join(r["over"]) for r in found["rules"])}
    assert "operating_points" not in json.loads(toys["mine"].read_text()), "nobody asked for it"

    monkeypatch.setattr(points_command, "score_kinds", lambda *_, **__: pytest.fail("scored again"))
    with pytest.raises(SystemExit):
        main([*arguments, "--seed", "1"])
    assert "results with other seed (0 -> 1); give another folder" in capsys.readouterr().err.replace("\n", " ")
    assert main([*arguments, "--write"]) == 0
    card = json.loads(toys["mine"].read_text())
    assert card["title"] == "kept"
    for name in ("speaking", "strict_sync"):
        said, row = card["operating_points"][name], rows["mine", "development", name]
        assert (said["threshold"], said["rate"], said["over"]) == (row["threshold"], row["rate"], row["over"])
        assert (
            said["found"]["value"] == pytest.approx(row["found"]["value"], abs=1e-4)
            and said["set"] == "a set"
            and said["sha256"] == "m" * 64
        )
        assert said["command"].endswith("--write")


def test_a_detector_that_comes_from_no_file_of_weights_is_told_by_its_weights(toys, tmp_path, monkeypatch):
    made = Toy("script", heads=False)
    monkeypatch.setattr(points_command, "open_detector", lambda name, device, point: at_point(made, point))
    arguments = ["points", "--models", "mine.py", "--data", "talkset:strangers", "--out", str(tmp_path), "--quiet"]
    arguments += ["--overwrite"]
    hashes, thresholds = [], []
    for gain in (1.0, 2.0):
        made.gain.data[1] = gain
        assert main(arguments) == 0
        found = json.loads((tmp_path / "results.json").read_text())
        hashes.append(found["models"][0]["sha256"])
        thresholds.append(found["models"][0]["operating_points"]["speaking"]["threshold"])
        assert f"| script | talknet_demo | `{hashes[-1][:16]}` |" in (tmp_path / "results.md").read_text()
    assert hashes[0] != hashes[1] and thresholds[0] != thresholds[1], "other weights are scored anew"


@pytest.mark.parametrize(
    "more, message",
    [([], "say what to choose the points on"), (["--data", "talkheads:heads", "--models", "boxed"], "can be cut as")],
)
def test_what_cannot_be_done_is_said(more, message, toys, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["points", "--out", str(tmp_path / "out"), "--device", "cpu", "--quiet", *more])
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_detectors_are_ranked_by_what_they_find_at_a_rate_and_compared_on_the_same_clips():
    silent = {"still": (2.5, 0.0, -2.0, -3.0), "noise": (4.0, 4.0, 4.0, 4.0)}
    weak, strong = scores_of(silent), scores_of(silent, speaking=(5.0, 5.0, 5.0, -5.0))
    other = KindScores(("e", *weak.bases[1:]), weak.labels, strong.scores)
    rows = {(row["model"], row["kind"]): row for row in ranking({"weak": weak, "strong": strong, "other": other})}
    assert {name for name, _ in rows} == {"weak", "strong", "other"} and {kind for _, kind in rows} == set(silent)
    found = {key: row["recall_at_5"]["value"] for key, row in rows.items()}
    assert found["weak", "still"] == 0.25 and found["strong", "still"] == 0.75 and found["weak", "noise"] == 0
    change = rows["strong", "still"]["minus weak_at_5"]
    assert change["value"] == 0.5 and change["p"] <= change["p_holm"]
    assert not any("minus" in name for key, row in rows.items() if key[0] != "strong" for name in row)


def test_a_difference_on_every_clip_is_sure_however_many_are_compared():
    names = tuple(f"clip{number}" for number in range(20))
    labels = (np.ones(1, bool),) * 20

    def scores(speaking):
        parts = {kind: (np.zeros(1, np.float32),) * 20 for kind in SILENT_KINDS}
        return KindScores(names, labels, {IN_SYNC: (np.full(1, speaking, np.float32),) * 20} | parts)

    rows = ranking({"none": scores(-1.0)} | {f"all{number}": scores(1.0) for number in range(6)})
    changes = [row["minus none_at_5"] for row in rows if row["model"] != "none"]
    assert len(changes) == 6 * len(SILENT_KINDS) and all(c["value"] == 1 and c["p_holm"] < 0.05 for c in changes)


def test_a_rule_counts_kinds_that_there_are():
    kinds = [kind for rule in points_rows.RULES for kind in rule.kinds]
    assert sorted(kinds) == sorted(SILENT_KINDS), "every kind fools one of the points, and one only"
