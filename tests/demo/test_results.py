"""The Results tab: every folder of results is shown, a damaged one left out, and nothing is trusted as HTML."""

import json

import pytest
from evaluation_support import Toy, toy_examples
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pushpull.demo.results import Result, read_results
from pushpull.demo.results_tab import labelled
from pushpull.demo.serving import serve_files
from pushpull.evaluation.audit import AuditOptions, audit
from pushpull.evaluation.audit_page import write_audit
from pushpull.evaluation.crafting import Evaluator
from pushpull.evaluation.output import as_markdown, document
from pushpull.evaluation.studies import STUDIES, StudyOptions, study_rows
from pushpull.evaluation.subjects import Subject
from pushpull.evaluation.written import write_tables
from pushpull.files import shipped_folder


def study(folder, name, **changes):
    subjects = [Subject.of(Toy("A")), Subject.of(Toy("D3", scale=2.0))]
    evaluator = Evaluator(subjects, toy_examples(4))
    options = StudyOptions(steps=1, restarts=1, eps_av="5")
    rows = study_rows(STUDIES[name], evaluator, STUDIES[name].conditions(subjects, options))
    told = {"command": f"python -m pushpull.evaluate {name} --data <clips>", "options": {}, "environment": {}}
    found = document(STUDIES[name], evaluator, rows, told) | changes
    write_tables(folder / name, found, as_markdown(found))


def test_studies_and_audits_are_shown_in_the_order_of_the_readme(tmp_path):
    study(tmp_path, "table1")
    study(tmp_path, "fig4")
    few = AuditOptions.quick(steps=1, ladder="1,2", budgets="1,20", queries=2, draws=1)
    write_audit(tmp_path / "audit-a", audit(Toy("A"), toy_examples(4), few), "python -m pushpull.audit A")
    (tmp_path / "README.md").write_text("[one](table1/results.md) [two](audit-a/audit.html) [three](fig4/results.md)")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text('{"format": "pushpull-eval')
    (tmp_path / "table1" / "limits.md").write_text("Nobody knows <more>.")
    found = read_results(tmp_path)
    assert [result.name for result in found] == ["table1", "audit-a", "fig4"]
    first, second, _ = (result.html for result in found)
    assert "Nobody knows &lt;more&gt;." in first and "--data &lt;clips&gt;" in first
    assert "worst case" in first and "93.15" in first and 'download="table1-results.csv"' in first
    assert "not robust at eps_av 5" in found[1].title and "gradients are not zero" in second


def test_a_study_without_labels_says_whose_decisions_count(tmp_path):
    study(tmp_path, "fig3c", own_labels=True)
    assert "own decision" in read_results(tmp_path)[0].html


def test_what_is_told_as_text_is_shown_as_text(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    told = {
        "format": "pushpull-clean/1",
        "title": "Clean figures",
        "command": "python -m pushpull.evaluate clean",
        "rows": [],
    }
    (folder / "results.json").write_text(json.dumps(told))
    (folder / "results.md").write_text("# Clean figures\n\n```\ncommand\n```\n\n| kind |\n|---|\n| swapped |\n")
    (result,) = read_results(tmp_path)
    assert result.markdown.startswith("| kind |") and "pushpull.evaluate clean" in result.html


def test_no_folder_gives_nothing_and_the_one_that_ships_something(tmp_path):
    assert read_results(tmp_path / "nowhere") == []
    names = [result.name for result in read_results(shipped_folder("docs") / "results")]
    assert "table1" in names
    for name in names:
        path = shipped_folder("docs") / "results" / name
        told = json.loads((path / ("audit.json" if (path / "audit.json").exists() else "results.json")).read_text())
        assert told["command"].startswith("python -m pushpull.") and "/work" not in json.dumps(told)


@pytest.mark.parametrize(
    ("name", "status"), [("audit-a", 200), ("table1", 404), ("nothing", 404), ("..", 404), ("%2e%2e", 404), ("*", 404)]
)
def test_reports_of_audits_are_served_and_nothing_beside_them(name, status):
    app = FastAPI()
    serve_files(app, store=None, example=None)
    reply = TestClient(app).get(f"/audits/{name}")
    assert reply.status_code == status
    if status == 200:
        assert "Audit of talknet-lite-a" in reply.text
        assert "default-src 'none'" in reply.headers["content-security-policy"], "a report runs no script"


def test_every_result_can_be_chosen_also_of_several_with_one_title():
    one, two, three = (Result(name, title, html=name) for name, title in (("a", "A"), ("b", "B"), ("c", "A")))
    assert labelled([one, two, three]) == {"A (a)": one, "B": two, "A (c)": three}


def test_seeds_are_told_from_what_ships_and_stand_after_it():
    told = {"seed-1-audit-b3": "Audit of b3", "audit-b3": "Audit of b3", "clean-other": "Clean", "table1": "Table 1"}
    told |= {"seed-1-eps-5": "Table 1", "seed-0-m-scratch": "Table 1", "clean-a": "Heads", "clean-b": "Heads"}
    found = labelled([Result(name, title, "") for name, title in told.items()])
    assert list(found) == [
        "Table 1",
        "Heads (clean-a)",
        "Heads (clean-b)",
        "Audit of b3",
        "Audit of b3 (seed 1 from scratch)",
        "Table 1 (seed 1 from scratch, eps_av 5)",
        "Table 1 (seed 0 from scratch)",
        "Clean",
    ]
    assert found["Audit of b3"].name == "audit-b3"
