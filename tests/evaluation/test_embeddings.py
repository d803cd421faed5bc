"""Embedding figures: the four quantities are those of the losses, intervals are over clips, and the command goes on."""

import hashlib
import json

import numpy as np
import pytest
import torch
from evaluation_support import Toy, toy_examples

from pushpull.evaluation import command
from pushpull.evaluation.command import main
from pushpull.evaluation.embeddings import Space, class_centres, embedding_rows, measure
from pushpull.evaluation.statistics import Clusters
from pushpull.evaluation.subjects import Subject
from pushpull.training.avil import interaction_losses


def space(count=6, frames=5, dimensions=4, seed=0):
    """Random embeddings in which speaking frames lie apart, and an attack that does nothing."""
    rng = np.random.default_rng(seed)
    labels = [rng.integers(0, 2, frames) for _ in range(count)]
    labels[0][:2] = 0, 1
    clean = {
        m: [rng.normal(0, 1, (frames, dimensions)) + 2 * y[:, None] * np.linspace(-1, 2, dimensions) for y in labels]
        for m in "av"
    }
    return Space(labels, clean, {m: list(found) for m, found in clean.items()})


def test_clean_numbers_are_those_that_the_losses_are_made_of():
    found = space()
    values = {k: v for k, (v, _) in measure(found, Clusters(list("aabbcd")))["clean"].items()}
    together = {m: torch.from_numpy(np.concatenate(found.clean[m])) for m in "av"}
    losses = interaction_losses(together["a"], together["v"], torch.from_numpy(np.concatenate(found.labels)))
    assert values["inter_a"] + values["inter_v"] == pytest.approx(losses["L1"].item())
    assert -2 * (values["intra_a"] + values["intra_v"]) == pytest.approx(losses["L2"].item())
    assert -2 * values["centres_av"] == pytest.approx(losses["L3"].item())
    assert 2 * values["distance_av"] == pytest.approx(losses["L4"].item())


def test_a_replicate_is_what_the_drawn_clips_give_by_themselves():
    found, clusters = space(), Clusters([f"clip{i}" for i in range(6)], replicates=20)
    drawn = np.repeat(np.arange(6), clusters.weights[3])
    again = Space([found.labels[i] for i in drawn], *({m: [found.clean[m][i] for i in drawn] for m in "av"},) * 2)
    whole = measure(found, clusters)["clean"]
    alone = measure(again, Clusters([str(i) for i in range(6)], replicates=1))["clean"]
    for name in ("inter_a", "intra_v", "centres_av", "relative_av", "norm_v"):
        assert whole[name][1][3] == pytest.approx(alone[name][0]), name


def test_an_attack_of_nothing_moves_nothing_and_a_large_one_leads_astray():
    still = measure(space(), Clusters(list("abcdef")))
    assert still["adversarial"]["moved_a"][0] == 0
    assert all(still["clean"][k][0] == v for k, (v, _) in still["adversarial"].items() if k in still["clean"])
    swapped, astray = space(), {}
    for m, frames in swapped.clean.items():
        speaking, other = class_centres(frames, swapped.labels)
        sides = [np.where(y == 1, -1, 1)[:, None] for y in swapped.labels]
        astray[m] = [e + side * (speaking - other) for e, side in zip(frames, sides, strict=True)]
    moved = measure(Space(swapped.labels, swapped.clean, astray), Clusters(list("abcdef")))
    assert moved["adversarial"]["moved_v"][0] > 0.5
    assert moved["adversarial"]["wrong_v"][0] > 0.5 > moved["clean"]["wrong_v"][0]
    assert moved["adversarial"]["inter_v"][0] == pytest.approx(moved["clean"]["inter_v"][0])  # still apart, but swapped
    shrunk = space()
    shrunk = Space(shrunk.labels, shrunk.clean, {m: [e / 10 for e in x] for m, x in shrunk.clean.items()})
    values = measure(shrunk, Clusters(list("abcdef")))
    assert values["adversarial"]["distance_av"][0] == pytest.approx(values["clean"]["distance_av"][0] / 10)
    assert values["adversarial"]["relative_av"][0] == pytest.approx(values["clean"]["relative_av"][0])


def test_one_class_alone_is_refused():
    silent = space()
    with pytest.raises(ValueError, match="one class"):
        measure(Space([0 * y for y in silent.labels], silent.clean, silent.adversarial), Clusters(list("abcdef")))


def test_rows_have_paired_differences_to_the_first():
    rows = embedding_rows({"A": space(), "twin": space(), "other": space(seed=1)}, Clusters(list("abcdef")))
    twin = rows[1]["minus A"]["clean"]["inter_a"]
    assert twin["value"] == twin["low"] == twin["high"] == 0 and twin["p_holm"] == 1
    assert rows[2]["minus A"]["adversarial"]["intra_v"]["value"] != 0 and "minus A" not in rows[0]


@pytest.fixture
def toys(monkeypatch):
    def load(names, device, point):
        made = {"A": Toy("A"), "D3": Toy("D3", scale=2.0), "none": Toy("none", heads=False)}
        return [Subject.of(made[name]) for name in names]

    monkeypatch.setattr(command, "load_subjects", load)
    monkeypatch.setattr(command, "held_out_examples", lambda *a, **k: {"talknet_demo": toy_examples(4)})


def arguments(out, models):
    return ["embeddings", "--models", models, "--data", "footage", "--out", str(out), "--attacks.steps", "2", "--quiet"]


def test_the_command_writes_its_files_and_goes_on(toys, tmp_path, monkeypatch):
    assert main(arguments(tmp_path, "A,D3,none")) == 0
    text = (tmp_path / "results.json").read_text()
    found = json.loads(text)
    assert [row["model"] for row in found["rows"]] == ["A", "D3"] and found["left_out"] == ["none"]
    assert found["attack"]["eps_av"] == 5 and found["rows"][0]["adversarial"]["wrong_v"]["value"] > 0
    towards = found["rows"][0]["nearer to speaking"]
    assert towards["toy"]["clean"]["v"]["value"] == 0.5  # half of the toys speak, and the clean picture shows which
    told = (tmp_path / "results.md").read_text()
    assert "Left out, because they give no embeddings e_a and e_v: none." in told and "| D3 minus A |" in told
    assert "adversarial.wrong_a_low" in (tmp_path / "results.csv").read_text().splitlines()[0]
    assert (tmp_path / "figure.png").stat().st_size > 20_000
    digest = hashlib.sha256(toy_examples(4)[2].name.encode()).hexdigest()[:16]
    gone = sorted((tmp_path / "records").glob(f"embeddings-*/{digest}.npz"))[0]
    gone.unlink()
    real, again = command.Evaluator.craft, []
    monkeypatch.setattr(
        command.Evaluator, "craft", lambda self, c, indices: again.append(indices) or real(self, c, indices)
    )
    assert main(arguments(tmp_path, "A,D3,none")) == 0
    assert again == [[2]] and (tmp_path / "results.json").read_text() == text


def test_examples_in_another_order_keep_their_own_embeddings(toys, tmp_path, monkeypatch):
    """Each source may be named first: the set and its hash are the same."""
    moved = []
    for order in (1, -1):
        monkeypatch.setattr(
            command, "held_out_examples", lambda *a, order=order, **k: {"talknet_demo": toy_examples(5)[::order]}
        )
        assert main(arguments(tmp_path, "A")) == 0
        row = json.loads((tmp_path / "results.json").read_text())["rows"][0]
        moved.append([row["adversarial"][f"moved_{m}"]["value"] for m in "av"])
        monkeypatch.setattr(command.Evaluator, "craft", lambda *_: pytest.fail("attacked again"))
    assert moved[0] == pytest.approx(moved[1], rel=1e-9)


def test_detectors_without_embeddings_alone_are_refused(toys, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(arguments(tmp_path, "none"))
    assert "gives embeddings e_a and e_v" in capsys.readouterr().err
