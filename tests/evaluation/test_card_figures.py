"""Cards take their robust figures and verdicts from finished results of their own weights, and from nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from pushpull.detectors import CheckpointError
from pushpull.detectors.sidecar import add_to_card, read_sidecar
from pushpull.evaluation.audit_cards import audit_from, read_audit
from pushpull.evaluation.card_figures import fill, main, read_table, robust_from

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
TABLE, AUDIT = RESULTS / "table1" / "results.json", RESULTS / "audit-d3"
CHECKPOINTS = ROOT / "checkpoints"
LONG = {"steps": 100, "restarts": 5, "queries": 5000, "draws": 50}
NAMES = ("talknet-lite-a", "talknet-lite-d3", "spectalknet-lite")


@pytest.fixture
def checkpoints(tmp_path):
    """Two checkpoints that stand in the table and one that does not, their cards with nothing of any results."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.safetensors").symlink_to(CHECKPOINTS / f"{name}.safetensors")
        shutil.copy(CHECKPOINTS / f"{name}.json", folder)
        add_to_card(folder / f"{name}.safetensors", robust={"examples": 16}, audit=None)
    return folder


def card(folder, name):
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def test_a_card_gets_the_figures_of_its_own_weights(checkpoints, capsys):
    assert main([str(TABLE), "--checkpoints", str(checkpoints), "--check"]) == 1
    assert card(checkpoints, "talknet-lite-a")["robust"] == {"examples": 16}, "--check changes nothing"
    assert main([str(TABLE.parent), "--checkpoints", str(checkpoints)]) == 0
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    told = card(checkpoints, "talknet-lite-d3")
    row = next(
        r
        for r in table["rows"]
        if (r["model"], r["set"], r["attack"], r["objective"]) == ("talknet-lite-d3", "all", "pgd", "training_aware")
    )
    robust = told["robust"]
    assert robust["pgd"]["frame_accuracy"] == row["adversarial"]["frame_accuracy"]["value"]
    assert robust["pgd"]["intervals"]["ecr_a"] == [row["ecr_a"]["low"], row["ecr_a"]["high"]]
    assert robust["worst"]["frame_accuracy"] <= min(robust[a]["frame_accuracy"] for a in ("bim", "mim", "pgd"))
    assert robust["clean"]["prevalence"] == row["floor"] and robust["clean"]["ecr_v"] == 0
    assert robust["options"]["eps_av"] == 5 and robust["examples"] == len(table["examples"]) >= 100
    assert robust["command"] == table["command"] and robust["examples_set"] in table["set"].values()
    assert told["heldout"] == card(CHECKPOINTS, "talknet-lite-d3")["heldout"], "the rest of a card stays"
    assert card(checkpoints, "spectalknet-lite")["robust"] == {"examples": 16}
    assert read_sidecar(checkpoints / "talknet-lite-d3.safetensors") == told
    found = fill([TABLE, AUDIT], checkpoints, check=True)
    done = {"robust": "as it should be"}
    assert found == {NAMES[0]: done, NAMES[1]: done | {"audit": "differs"}, NAMES[2]: {}}
    assert str(checkpoints.parent) not in json.dumps(robust), "no machine's path"


def test_a_card_gets_the_verdict_of_an_audit_of_its_own_weights(checkpoints):
    assert main([str(AUDIT), "--checkpoints", str(checkpoints), "--check"]) == 1
    assert card(checkpoints, "talknet-lite-d3")["audit"] is None, "--check changes nothing"
    assert fill([TABLE, AUDIT / "audit.json"], checkpoints)["talknet-lite-d3"] == {
        "robust": "written",
        "audit": "written",
    }
    found, told = json.loads((AUDIT / "audit.json").read_text(encoding="utf-8")), card(checkpoints, "talknet-lite-d3")
    audit, worst = told["audit"], found["attacks"]["worst of all"]["adversarial"]["frame_accuracy"]
    assert (audit["verdict"], audit["eps_av"]) == (found["verdict"], found["options"]["eps_av"])
    assert audit["quick"] and audit["examples"] == found["examples"]
    assert audit["worst"] == pytest.approx({name: worst[name] for name in ("value", "low", "high")}, abs=1e-4)
    assert audit["flags"].keys() == {flag["name"] for flag in found["flags"]}
    assert all(audit["flags"][flag["name"]]["passed"] == flag["passed"] for flag in found["flags"])
    assert (audit["sha256"], audit["command"]) == (told["sha256"], found["command"])
    assert told["robust"]["results"], "both parts of one card are written"
    assert card(checkpoints, "talknet-lite-a")["audit"] is None
    assert audit_from(found | {"options": found["options"] | LONG})["quick"] is False


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sha256": "0" * 64}, "is not the talknet-lite-d3 that was attacked"),
        ({"sha256": "0" * 64, "model": "mine"}, "none of the checkpoints"),
        ({"format": "pushpull-evaluation/1"}, "holds no audit"),
        ({"command": "pushpull.audit('talknet-lite-d3', clips, eps_av=5)"}, "clips that it does not name"),
        ({"attacks": {}}, "lacks 'worst of all'"),
        ({"flags": None}, "audit the detector again"),
    ],
)
def test_audits_that_a_card_must_not_quote_are_refused(change, why, checkpoints, tmp_path, capsys):
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(json.loads((AUDIT / "audit.json").read_text(encoding="utf-8")) | change), "utf-8")
    with pytest.raises(SystemExit):
        main([str(TABLE), str(tmp_path), "--checkpoints", str(checkpoints)])
    assert why in " ".join(capsys.readouterr().err.split())
    assert {card(checkpoints, name)["robust"]["examples"] for name in NAMES} == {16}, "no card was changed"


def test_two_results_must_not_tell_the_same_of_one_checkpoint(checkpoints):
    with pytest.raises(ValueError, match="second that tells of talknet-lite-d3, part 'audit'"):
        fill([AUDIT, AUDIT / "audit.json"], checkpoints)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda table: table["examples"].__delitem__(slice(99, None)), "99 examples"),
        (lambda table: table.update(study="fig3a"), "no Table 1"),
        (lambda table: table.update(format="pushpull-audit/1"), "no Table 1"),
        (lambda table: table.update(own_labels=True), "clips with labels"),
        (lambda table: table["models"][0].update(sha256="0" * 64), "is not the talknet-lite-a that was attacked"),
        (lambda table: table.update(models=[]), "none of the checkpoints"),
        (lambda table: table.update(rows=[r for r in table["rows"] if r["attack"] != "mim"]), "no row of mim"),
    ],
)
def test_results_that_a_card_must_not_quote_are_refused(change, why, checkpoints, tmp_path, capsys):
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    change(table)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(SystemExit):
        main([str(path), "--checkpoints", str(checkpoints)])
    assert why in " ".join(capsys.readouterr().err.split())
    assert {card(checkpoints, name)["robust"]["examples"] for name in NAMES} == {16}, "no card was changed"


@pytest.mark.parametrize(("text", "why"), [(None, "finish"), ("{", "no JSON"), ("[]", "no Table 1")])
def test_what_is_no_result_is_said(text, why, tmp_path):
    if text is not None:
        (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=why):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("beside", "why"),
    [(None, "cannot be read"), ("{", "no JSON"), ("[]", "not the card"), ('{"sha256": "1"}', "not the card")],
)
def test_a_card_of_other_weights_is_left_alone(beside, why, tmp_path):
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"weights")
    if beside is not None:
        weights.with_suffix(".json").write_text(beside, encoding="utf-8")
    with pytest.raises(CheckpointError, match=why):
        add_to_card(weights, robust={})


def test_shipped_cards_say_what_the_results_that_they_name_say():
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in CHECKPOINTS.glob("*.json")]
    for part, made in (
        ("robust", lambda place, told: robust_from(read_table(ROOT / place), told["sha256"], place)),
        ("audit", lambda place, told: audit_from(read_audit(ROOT / place), place)),
    ):
        quoting = [told for told in cards if (told.get(part) or {}).get("results")]
        assert quoting
        for told in quoting:
            assert told[part] == made(told[part]["results"], told), f"{told['name']}: {part}"
            assert told[part].get("sha256", told["sha256"]) == told["sha256"]


def test_every_shipped_audit_stands_in_its_card():
    found = {path.parent for path in RESULTS.glob("audit-*/audit.json")}
    quoted = [card(CHECKPOINTS, path.stem).get("audit") for path in CHECKPOINTS.glob("*.json")]
    assert {ROOT / audit["results"] for audit in quoted if audit} == found
