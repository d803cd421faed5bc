"""Several training seeds: each by itself, means with an interval over seeds, and nothing mixed that does not belong."""

import json

import numpy as np
import pytest
from evaluation_support import Toy, toy_examples

from pushpull.evaluation import command
from pushpull.evaluation.command import main
from pushpull.evaluation.seeds import Mean, as_markdown, compare_seeds, seeds_of
from pushpull.evaluation.subjects import Subject

FEW = ["--attacks.steps", "2", "--attacks.restarts", "1", "--quiet", "--data", "footage"]


def study(monkeypatch, out, seed, rows=("A", "D3"), eps="1.5", examples=4, name="table1", modality="both"):
    """A study of detectors of one seed; the larger the seed, the harder they are to move."""

    def load(names, device, point):
        made = [Toy(name) for name in rows]
        for toy, name in zip(made, rows, strict=True):
            toy.gain.data[0] /= 1 + seed * (name == "D3")
            toy.card |= {"row": name, "sha256": f"{seed}{name}" * 20, "training": {"seed": seed}}
        return [Subject.of(toy, point=point) for toy in made]

    monkeypatch.setattr(command, "load_subjects", load)
    monkeypatch.setattr(command, "held_out_examples", lambda *a, **k: {"talknet_demo": toy_examples(examples)})
    assert (
        main(
            [
                name,
                "--models",
                ",".join(rows),
                "--out",
                str(out),
                "--attacks.eps-av",
                eps,
                *FEW,
                "--attacks.modalities",
                modality,
            ]
        )
        == 0
    )
    return out


@pytest.fixture
def three(monkeypatch, tmp_path):
    return [study(monkeypatch, tmp_path / f"seed-{seed}", seed) for seed in (2, 0, 1)]


def test_every_seed_is_told_by_itself_and_rows_are_paired_within_it(three, tmp_path, capsys):
    assert main(["seeds", *map(str, three), "--out", str(tmp_path / "all")]) == 0
    found = json.loads((tmp_path / "all" / "results.json").read_text())
    assert [one["seed"] for one in found["studies"]] == [0, 1, 2]
    rows = {row["row"]: row for row in found["rows"]}
    each = {
        name: [json.loads((folder / "results.json").read_text())["rows"] for folder in sorted(three)] for name in rows
    }
    for name, row in rows.items():
        worst = [
            next(r for r in one if (r["row"], r["attack"], r["set"]) == (name, "worst case", "all"))
            for one in each[name]
        ]
        for measure, value in (
            ("adversarial.frame_accuracy", [w["adversarial"]["frame_accuracy"]["value"] for w in worst]),
            ("worst_case", [w["worst_case"]["value"] for w in worst]),
        ):
            assert [row[f"{measure} of seeds"][str(seed)]["value"] for seed in range(3)] == value
            assert row[measure]["value"] == pytest.approx(np.mean(value))
    gains = rows["D3"]["minus A"]["of seeds"]
    assert gains == sorted(gains) and gains[0] < gains[-1]
    assert found["references"] == ["A", "B3", "M"]
    assert "minus A" not in rows["A"] and "minus B3" not in rows["D3"]
    text = (tmp_path / "all" / "results.md").read_text()
    assert text in capsys.readouterr().out and text.count("evaluate table1") == 3 and "| D3 |" in text
    assert (tmp_path / "all" / "figure.png").stat().st_size > 5000
    with pytest.raises(SystemExit):
        main(["seeds", *map(str, three), "--out", str(three[0])])
    assert "already holds results of table1, not of seeds" in capsys.readouterr().err


def test_a_seeds_rows_may_lie_in_several_folders(three, monkeypatch, tmp_path):
    later = [study(monkeypatch, tmp_path / f"later-{seed}", seed, rows=("C1",)) for seed in (0, 1)]
    again = study(monkeypatch, tmp_path / "again", 2, rows=("A", "C1"))
    found = compare_seeds([*later, *three, again])
    assert seeds_of(found) == [0, 1, 2] and len(found["studies"]) == 6
    rows = {row["row"]: row for row in found["rows"]}
    assert list(rows) == ["A", "C1", "D3"], "in the paper's order"
    assert rows["C1"]["minus A"]["of seeds"] == [0, 0, 0] and rows["C1"]["seeds"] == [0, 1, 2]
    assert as_markdown({"command": ""} | found).count(": worst case") == 3, (
        "a column for each seed, not for each folder"
    )
    document = json.loads((again / "results.json").read_text())
    document["models"][0]["sha256"] = "another"
    (again / "results.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="row A of seed 2 is another detector in"):
        compare_seeds([*three, again])


def test_several_budgets_stand_beside_each_other(monkeypatch, tmp_path):
    folders = [study(monkeypatch, tmp_path / str(seed), seed, eps="0.5,1.5", name="detectors") for seed in (0, 1, 2)]
    assert main(["seeds", *map(str, folders), "--out", str(tmp_path / "all")]) == 0
    found = json.loads((tmp_path / "all" / "results.json").read_text())
    assert found["budgets"] == [0.5, 1.5]
    assert [(row["eps_av"], row["row"]) for row in found["rows"]] == [(0.5, "A"), (0.5, "D3"), (1.5, "A"), (1.5, "D3")]
    for row in found["rows"]:
        for seed, folder in enumerate(folders):
            worst = next(
                one["adversarial"]["frame_accuracy"]["value"]
                for one in json.loads((folder / "results.json").read_text())["rows"]
                if (one["row"], one["eps_av"], one["set"], one["attack"])
                == (row["row"], row["eps_av"], "all", "worst case")
            )
            assert row["adversarial.frame_accuracy of seeds"][str(seed)]["value"] == worst
    weak, strong = (
        next(row["minus A"]["value"] for row in found["rows"] if row["row"] == "D3" and row["eps_av"] == eps)
        for eps in (0.5, 1.5)
    )
    assert strong > weak >= 0, "a difference belongs to its budget"
    text = (tmp_path / "all" / "results.md").read_text()
    assert text.count("## eps_av") == 2 and text.count("| D3 |") == 2 + 3
    assert (tmp_path / "all" / "figure.png").stat().st_size > 5000


def test_an_interval_of_a_mean_is_students():
    found = Mean.of([0.1, 0.2, 0.3])
    assert (found.low, found.high) == pytest.approx((0.2 - 4.303 * 0.1 / 3**0.5, 0.2 + 4.303 * 0.1 / 3**0.5), abs=1e-4)
    assert Mean.of([0.4]).to_dict() == {"value": 0.4, "low": None, "high": None, "seeds": 1}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 0}, "two seeds or more; got 0"),
        ({"seed": 1, "eps": "1"}, "how strongly"),
        ({"seed": 1, "examples": 6}, "differ in set"),
        ({"seed": 1, "point": "strict_sync"}, "where frames are decided"),
        ({"seed": None}, "a folder for each seed"),
        ({"seed": 1, "eps": "1,2", "name": "fig3c"}, "no results"),
        ({"seed": 1, "name": "fig3a"}, "no worst cases"),
        (
            {"seed": 1, "name": "detectors", "modality": "audio,both"},
            "changes to audio, both: choose one with --attacks.modalities",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(other, message, monkeypatch, tmp_path):
    first = study(monkeypatch, tmp_path / "first", 0)
    if other.get("name") == "fig3c":
        second = tmp_path / "nothing"
    elif other["seed"] is None:
        second = study(monkeypatch, tmp_path / "second", 1)
        document = json.loads((second / "results.json").read_text())
        document["models"][0]["seed"] = None
        (second / "results.json").write_text(json.dumps(document))
    elif point := other.pop("point", None):
        second = study(monkeypatch, tmp_path / "second", **other)
        document = json.loads((second / "results.json").read_text())
        document["models"] = [model | {"point": point, "threshold": 1.0} for model in document["models"]]
        (second / "results.json").write_text(json.dumps(document))
    else:
        second = study(monkeypatch, tmp_path / "second", **other)
    with pytest.raises(ValueError, match=message):
        compare_seeds([first, second])


def test_results_from_before_an_option_are_those_of_its_default(three):
    path = three[0] / "results.json"
    document = json.loads(path.read_text())
    for name in ("precision", "long_steps"):
        del document["options"]["attacks"][name]
    for model in document["models"]:
        del model["point"]
    path.write_text(json.dumps(document))
    assert len(compare_seeds(three)["studies"]) == 3
