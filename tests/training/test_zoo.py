"""The zoo: comparable rows, robust figures in their cards, and going on where it stopped."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from training_support import talkset

from pushpull.config import from_dict
from pushpull.data import sources
from pushpull.data.augment import Augmentation
from pushpull.data.sources import Corpus, Part
from pushpull.detectors import TalkNet, TalkNetConfig, save_checkpoint
from pushpull.files import sha256
from pushpull.plots import zoo_figure
from pushpull.training import zoo
from pushpull.training.networks import weights_sha256
from pushpull.training.options import TrainOptions
from pushpull.training.recipes import SCRATCH
from pushpull.training.robust import RobustOptions, robust_examples, robust_figures
from pushpull.training.rows import ROWS
from pushpull.training.zoo import BASE, MORE, ZooOptions, build, checkpoint, main, recipe, table, trained

TINY = ZooOptions(
    data="footage",
    base_frames=1000,
    base_warmup=0,
    row_frames=1000,
    substitute_frames=1000,
    adversarial_frames=10,
    attack_steps=1,
    own=0.0,
    device="cpu",
    threads=1,
)
TINY_SCRATCH = dataclasses.replace(TINY, rows="A", begin=SCRATCH)
ROBUST = RobustOptions(clips=3, frames=10, steps=1, restarts=1)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    numbers = {"train": range(0, 3), "validation": range(3, 3), "test": range(5, 8)}
    return {split: talkset(folder, which, frames=40) for split, which in numbers.items()}


@pytest.fixture
def footage(splits, monkeypatch):
    monkeypatch.setattr(sources, "prepare", lambda *_, **__: (splits, {}))
    return splits


@pytest.mark.parametrize("row", ROWS)
def test_rows_differ_in_loss_and_adversarial_data_alone(row, tmp_path):
    options, a = recipe(TINY, row, tmp_path), recipe(TINY, "A", tmp_path)
    own = {"row", "name", "variant", "lambda1", "lambda2", "lambda3", "lambda4"}
    own |= {"adversarial", "adversarial_data", "injection"}
    if row in ("nc", "spec"):
        own |= {"start", "frames", "warmup_frames", "learning_rate"}
        assert options.start == ""
    differ = {
        field.name
        for field in dataclasses.fields(a)
        if getattr(a, field.name) != getattr(options, field.name) and field.name not in own
    }
    assert differ == set()
    # M attacks the network in training, batch by batch.
    source = str(checkpoint(TINY, "A", tmp_path)) if ROWS[row].get("adversarial") and row != "M" else ""
    assert options.injection.source == source


def test_rows_begin_where_the_base_ended_for_good(tmp_path):
    options = dataclasses.replace(TINY, more_frames=2000, more_rate=2e-4, harder=Augmentation(grain=0.5))
    base, more, a, nc = (recipe(options, row, tmp_path) for row in (BASE, MORE, "A", "nc"))
    assert recipe(TINY, "A", tmp_path).start == more.start == str(checkpoint(options, BASE, tmp_path))
    assert a.start == str(checkpoint(options, MORE, tmp_path)) and a.augment == more.augment == options.harder
    assert base.augment == nc.augment == Augmentation() and more.seed != base.seed, "other batches"
    assert (more.frames, more.warmup_frames, more.learning_rate) == (2000, 0, 2e-4)


SCRATCH_ZOO = dataclasses.replace(TINY, begin=SCRATCH, rows="A,E3,M,nc", base_rate=2e-3, row_frames=3000, seed=4)


@pytest.mark.parametrize("row", [row for row in ROWS if row not in ("nc", "spec")])
def test_rows_from_scratch_have_their_loss_for_the_whole_training(row, tmp_path):
    options = dataclasses.replace(
        SCRATCH_ZOO, base_warmup=1000, adversarial_every=2, attack_rise=0.5, harder=Augmentation(grain=0.5)
    )
    made, a = recipe(options, row, tmp_path), recipe(options, "A", tmp_path)
    assert (made.start, made.injection.source) == ("", "") and made.steps == a.steps
    assert (made.frames, made.warmup_frames, made.learning_rate, made.seed) == (3000, 1000, 2e-3, 4)
    assert (
        made.augment == options.harder
        and made.batches == a.batches
        and made.lambdas == TrainOptions.of_row(row).lambdas
    )
    made_anew = {"set": 2 if made.adversarial else 0, "batch": 0}
    assert made.injection.every == made_anew[made.adversarial_data]
    assert (made.injection.restarts, made.injection.rise) == ((1, 0.5) if row == "M" else (3, 0.0))


def test_rows_from_scratch_need_no_base_and_no_row_that_they_do_not_fool(tmp_path, monkeypatch):
    said = []

    def only_say(options, **more):
        return build(dataclasses.replace(SCRATCH_ZOO, **options), tmp_path, robust=ROBUST, say=said.append, **more)

    monkeypatch.setattr(zoo, "train", lambda *_, **__: None)
    monkeypatch.setattr(zoo, "robust_of", lambda _: dataclasses.asdict(ROBUST))
    only_say({"rows": "E3,M", "adversarial_every": 1})
    assert said == ["training E3", "training M"]
    only_say({"rows": "E3"})
    assert said[2:] == ["training A", "training E3"], "made once, they fool row A"
    with pytest.raises(ValueError, match="no base"):
        dataclasses.replace(SCRATCH_ZOO, base="mine")
    with pytest.raises(ValueError, match="begin is 'base' or 'scratch'"):
        dataclasses.replace(SCRATCH_ZOO, begin="nothing")
    with pytest.raises(ValueError, match="nothing but the warm-up"):
        dataclasses.replace(SCRATCH_ZOO, base_warmup=SCRATCH_ZOO.row_frames)


def test_every_seed_is_a_zoo_of_its_own(tmp_path, monkeypatch, capsys):
    built = []
    monkeypatch.setattr(
        zoo, "build", lambda options, out, **_: built.append((options.seed, out)) or [out / "A/a.safetensors"]
    )
    monkeypatch.setattr(zoo, "table", lambda paths: f"table of {paths[0].parent}\n")
    assert main(["--data", "x", "--rows", "A", "--seeds", "0,2,0", "--out", str(tmp_path)]) == 0
    assert built == [(0, tmp_path / "seed-0"), (2, tmp_path / "seed-2")]
    told = capsys.readouterr().out
    assert f"seed 2\n\ntable of {tmp_path / 'seed-2/A'}" in told
    assert main(["--data", "x", "--rows", "A", "--seed", "5", "--out", str(tmp_path)]) == 0
    assert built[2:] == [(5, tmp_path)] and not capsys.readouterr().out.startswith("seed")
    with pytest.raises(ValueError, match="seeds are numbers"):
        ZooOptions(seeds="0,one")
    assert recipe(ZooOptions(seed=3), "A", tmp_path).seed == 3


@pytest.mark.parametrize(
    ("row", "given"),
    [("A", {}), ("D3", {"lambda1": 0.1, "lambda4": 0.1}), ("B3", {"adversarial": "pgd"})],
)
def test_a_single_run_can_have_the_options_of_a_row_from_scratch(tmp_path, row, given):
    """So that other lengths and lambdas can be put beside the zoo's."""
    folder = Path(__file__).parents[2] / "checkpoints"
    values = {"data": "x", "row_frames": 400_000, "precision": "bfloat16", "threads": 1}
    options = from_dict(ZooOptions, json.loads((folder / "zoo-scratch.json").read_text()) | values)
    zoo_row = recipe(options, row, tmp_path)
    more = {"data": "x", "row": row, "name": zoo_row.name, "precision": "bfloat16", "threads": 1}
    alone = from_dict(TrainOptions, json.loads((folder / "one-row.json").read_text()) | given | more)
    if not given.get("adversarial"):  # rows without adversarial data have no use for how it is made
        alone = dataclasses.replace(alone, injection=zoo_row.injection)
    assert alone == zoo_row


def test_rows_of_another_architecture_go_on_from_its_published_weights(tmp_path):
    values = json.loads((Path(__file__).parents[2] / "checkpoints/zoo-lr-asd.json").read_text())
    options = from_dict(ZooOptions, values | {"data": "x"})
    assert options.wanted == ("A", "C4", "D3", "M") and [one.seed for one in options.each_seed] == [0, 1, 2]
    made = {row: recipe(options, row, tmp_path) for row in options.wanted}
    assert {each.architecture for each in made.values()} == {"lr-asd"}
    assert {each.start for each in made.values()} == {"lr-asd-ava"} and len({each.steps for each in made.values()}) == 1
    assert {(each.visual_weight, each.temperature, each.footage.crop) for each in made.values()} == {
        (0.5, 1.0, "face_box")
    }
    assert (made["C4"].lambdas, made["D3"].lambdas) == ((0, 0, 0, 0.1), (0.1, 0, 0, 0.1))
    assert (made["M"].adversarial, made["M"].adversarial_data, made["A"].adversarial) == ("pgd", "batch", "")
    assert checkpoint(options, "D3", tmp_path) == tmp_path / "D3/lr-asd-d3.safetensors"
    assert options.stages == () and not any(zoo.fools_a(options, row) for row in options.wanted)


def test_another_checkpoint_can_take_the_place_of_the_base(tmp_path):
    options = dataclasses.replace(TINY, base="mine.safetensors", more_frames=2000)
    assert recipe(options, MORE, tmp_path).start == "mine.safetensors"
    assert recipe(options, "A", tmp_path).start == str(checkpoint(options, MORE, tmp_path))
    assert recipe(dataclasses.replace(options, more_frames=0), "D3", tmp_path).start == "mine.safetensors"
    assert recipe(options, "nc", tmp_path).start == "", "a substitute shares nobody's weights"


def test_a_full_size_recipe_has_batches_rates_and_precision_of_its_own(tmp_path):
    options = ZooOptions(size="full", base_rate=5e-4, batch_frames=500, precision="bfloat16")
    base, a = recipe(options, BASE, tmp_path), recipe(options, "A", tmp_path)
    assert (base.size, base.learning_rate, base.batches.frames, base.precision) == ("full", 5e-4, 500, "bfloat16")
    assert (a.learning_rate, a.batches.frames, a.precision) == (options.row_rate, 500, "bfloat16")


def test_sound_is_moved_in_all_but_the_base_and_weights_of_rows_are_stored_as_asked(tmp_path):
    options = ZooOptions(sound_early=1, sound_late=4, weights="int8", workers=6, more_frames=2000)
    moved = {row: recipe(options, row, tmp_path) for row in (BASE, MORE, "A", "nc")}
    assert {row: (x.batches.sound_early, x.batches.sound_late) for row, x in moved.items()} == {
        BASE: (0, 0),
        MORE: (1, 4),
        "A": (1, 4),
        "nc": (1, 4),
    }
    assert [x.weights for x in moved.values()] == ["float16", "float16", "int8", "int8"]
    assert {x.workers for x in moved.values()} == {6}


def test_unknown_rows_are_refused(capsys):
    with pytest.raises(ValueError, match="got F1"):
        ZooOptions(rows="A,F1")
    with pytest.raises(SystemExit):
        main(["--rows", "A", "--row-frames", "many"])


@pytest.mark.slow
def test_a_row_is_trained_once_attacked_once_and_told(footage, tmp_path, monkeypatch, capsys):
    options, said = dataclasses.replace(TINY, rows="E1"), []
    (path,) = build(options, tmp_path, robust=ROBUST, progress=False, say=said.append)
    assert said == ["training base", "training A", "attacking A", "training E1", "attacking E1"]
    assert path == checkpoint(options, "E1", tmp_path) and trained(path, recipe(options, "E1", tmp_path))
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["row"] == "E1" and card["training"]["start"] == "talknet-lite-base.safetensors"
    assert card["robust"]["set"] == footage["test"].fingerprint and card["robust"]["examples"] == 3
    assert card["sha256"] == sha256(path)

    build(options, tmp_path, robust=ROBUST, progress=False, say=said.append)
    assert len(said) == 5, "nothing is done twice"
    build(
        options,
        tmp_path,
        robust=RobustOptions(**vars(ROBUST) | {"steps": 2}),
        progress=False,
        say=said.append,
    )
    assert said[5:] == ["attacking A", "attacking E1"]
    head, _, line = table([path]).splitlines()
    assert line.startswith("| E1 |") and head.count("|") == line.count("|") and "footage: swapped" in head
    for other in (
        {"row_frames": 2000},
        {"attack_steps": 2},
        {"attack_restarts": 2},
        {"adversarial_frames": 20},
        {"data": "elsewhere"},
    ):
        assert not trained(path, recipe(dataclasses.replace(options, **other), "E1", tmp_path)), other
    assert not trained(checkpoint(options, BASE, tmp_path / "nowhere"), recipe(options, BASE, tmp_path))

    monkeypatch.setattr(zoo, "build", lambda *_, **__: [path])
    assert main(["--data", "footage", "--rows", "E1", "--out", str(tmp_path), "--install", str(tmp_path / "in")]) == 0
    assert {file.name for file in (tmp_path / "in").iterdir()} == {
        "talknet-lite-e1.safetensors",
        "talknet-lite-e1.json",
    }
    assert "| E1 |" in capsys.readouterr().out


def test_rows_can_be_trained_and_left_unattacked(footage, tmp_path, monkeypatch, capsys):
    said = []
    few = dataclasses.replace(TINY_SCRATCH, row_frames=100, batch_frames=100)
    paths = build(few, tmp_path, robust=None, progress=False, say=said.append)
    assert said == ["training A"] and "robust" not in json.loads(paths[0].with_suffix(".json").read_text())
    assert "footage: swapped" in table(paths) and "PGD" not in table(paths)

    how = {}
    monkeypatch.setattr(zoo, "build", lambda *_, **given: how.update(given) or paths)
    flags = ["--data", "footage", "--rows", "A", "--out", str(tmp_path), "--train-only"]
    assert main(flags) == 0 and how["robust"] is None
    with pytest.raises(SystemExit):
        main([*flags, "--figure", str(tmp_path / "zoo.png")])
    assert "leave out --train-only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("heldout", "line"),
    [
        (
            {"sources": {"grid": {name: {"ap": 90.0} for name in ("in_sync", "swapped", "shifted")}}},
            "90.0 | 90.0 | 90.0 | -",
        ),
        ({"sources": {"ava:AVA": {"own ava": {"ap": 80.0}, "all": {"ap": 80.0}}}}, "- | - | - | -"),
        ({"sources": {"grid": {name: {"ap": None} for name in ("in_sync", "still")}}}, "- | - | - | -"),
        (None, ""),
    ],
    ids=["nobody pauses", "finished examples", "nobody speaks", "no held-out clips"],
)
def test_the_table_leaves_open_what_held_out_clips_do_not_tell(heldout, line, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"row": "A", "heldout": heldout}))
    assert table([tmp_path / "a.safetensors"]).splitlines()[-1] == (f"| A | {line} |" if line else "| A |")


def test_another_base_under_the_same_name_is_another_zoo(footage, tmp_path):
    def base(seed):
        torch.manual_seed(seed)
        return save_checkpoint(tmp_path / "base", TalkNet(TalkNetConfig.named("talknet", "lite")), {})

    options = dataclasses.replace(TINY, rows="A", base=str(base(0)), row_frames=100, batch_frames=100)
    (path,) = build(options, tmp_path / "zoo", robust=None, progress=False)
    assert trained(path, recipe(options, "A", tmp_path / "zoo"))
    base(1)
    assert not trained(path, recipe(options, "A", tmp_path / "zoo"))


@pytest.mark.slow
def test_another_row_a_than_the_one_that_it_fools_is_another_row(footage, tmp_path):
    weights = TalkNet(TalkNetConfig.named("talknet", "lite"))
    base = save_checkpoint(tmp_path / "base", weights, {})
    options = dataclasses.replace(TINY, rows="B1", base=str(base), row_frames=100, batch_frames=100)
    (path,) = build(options, tmp_path / "zoo", robust=None, progress=False)
    assert trained(path, recipe(options, "B1", tmp_path / "zoo"))
    fooled = checkpoint(options, "A", tmp_path / "zoo")
    told = json.loads(path.with_suffix(".json").read_text())["begun_with"]
    assert told == {"start": weights_sha256(base), "injection": weights_sha256(fooled)}
    save_checkpoint(fooled, weights, {})
    assert not trained(path, recipe(options, "B1", tmp_path / "zoo"))


class TestRobustFigures:
    def corpus(self, splits):
        return Corpus([Part("one", splits["test"]), Part("two", splits["train"])])

    def model(self):
        torch.manual_seed(0)
        return TalkNet(TalkNetConfig.named("talknet", "lite")).eval()

    def test_examples_come_from_every_source_half_in_sync(self, splits):
        found = robust_examples(self.corpus(splits), RobustOptions(clips=6, frames=10))
        assert len(found) == 6 and {clip.frames for clip in found} == {10}
        assert sum("in_sync" in clip.name for clip in found) == 3

    def test_no_clip_long_enough_is_said(self, splits):
        with pytest.raises(ValueError, match="100 frames"):
            robust_examples(self.corpus(splits), RobustOptions(frames=100))

    def test_attacks_hurt_within_the_budget_and_repeat(self, splits):
        model, pool = self.model(), self.corpus(splits)
        options = RobustOptions(clips=4, frames=10, eps_av=50, steps=2, restarts=2)
        found = robust_figures(model, pool, options)
        assert found == robust_figures(model, pool, options)
        clean = found["clean"]
        for name in ("bim", "mim", "pgd"):
            assert found[name]["prevalence"] == clean["prevalence"]
            assert found[name]["frame_accuracy"] <= clean["frame_accuracy"] + 1e-9
            assert found[name]["robust_accuracy"] <= found[name]["frame_accuracy"] + 1e-9
            assert found[name]["ecr_v"] > 0 and found[name]["psnr_db"] > 30
        assert clean["ecr_a"] == 0 and not np.isnan(clean["average_precision"])

    def test_a_budget_of_nothing_changes_nothing(self, splits):
        found = robust_figures(self.model(), self.corpus(splits), RobustOptions(clips=2, frames=10, eps_av=0, steps=1))
        assert all(found[name]["frame_accuracy"] == found["clean"]["frame_accuracy"] for name in ("bim", "mim", "pgd"))


def test_the_figure_shows_every_row_and_its_fall():
    def card(row, fall):
        clean = {"average_precision": 0.95, "prevalence": 0.4, "frame_accuracy": 0.9, "robust_accuracy": None}
        attacked = {"average_precision": 0.95 - fall, "robust_accuracy": 0.9 - fall}
        attacks = dict.fromkeys(("bim", "mim", "pgd"), clean | attacked)
        bounds = {"robust_accuracy": [0.1, 0.3], "average_precision": [0.4, 0.5]}
        worst = {"average_precision": 0.45, "robust_accuracy": 0.2, "intervals": bounds}
        return {"row": row, "robust": attacks | {"clean": clean, "worst": worst, "options": {"eps_av": 5.0}}}

    precision, robust = zoo_figure([card("A", 0.5), card("D3", 0.1)]).axes
    assert [text.get_text() for text in precision.get_yticklabels()] == ["A", "D3"]
    lines = {line.get_label(): line for line in precision.lines}
    assert list(lines["PGD"].get_xdata()) == pytest.approx([45, 85]) and lines["not attacked"].get_xdata()[0] == 95
    shown = {line.get_label(): line for line in robust.lines}
    assert list(shown["BIM"].get_xdata()) == pytest.approx([40, 80]) and shown["not attacked"].get_xdata()[0] == 90
    assert list(shown["worst of all"].get_xdata()) == [20, 20]
    with pytest.raises(ValueError, match="at least one"):
        zoo_figure([])
