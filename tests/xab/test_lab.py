"""The experimenter's pages over HTTP: the way in, the form, a study's life, results, export."""

import codecs
import csv
import io
import json
import re
import subprocess
import sys
import zipfile

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from xab_support import Volunteer, fill, small_design

from xab import export
from xab.pages import form, lab, mount
from xab.plan import Design, paper_preset
from xab.settings import Settings

HTML = {"accept": "text/html"}


class Lab:
    """The pages with an experimenter who is logged in; stimuli are made by ``made``."""

    def __init__(self, tmp_path):
        self.settings = Settings(data=tmp_path / "data", assets=tmp_path / "assets", password="right")
        self.settings.assets.mkdir()
        (self.settings.assets / "talk.mp4").touch()
        self.app = FastAPI()
        self.asked: list[str] = []
        self.inner = mount(self.app, self.settings)
        self.inner.state.context.__dict__["start_worker"] = self.asked.append
        self.store = self.inner.state.context.store
        self.web = TestClient(self.app, follow_redirects=False)

    def log_in(self) -> "Lab":
        assert self.web.post("/xab/lab/login", data={"password": "right"}).status_code == 303
        return self

    def page(self, path: str = "") -> str:
        response = self.web.get(f"/xab/lab{path}", headers=HTML)
        assert response.status_code == 200, response.text
        return response.text

    @property
    def token(self) -> str:
        return re.search(r'name="form_token" value="([\w-]+)"', self.page()).group(1)

    def post(self, path: str, **fields):
        return self.web.post(f"/xab/lab{path}", data={"form_token": self.token, **fields})

    def ready(self, **changes) -> str:
        study = self.store.studies.create(small_design(**changes))
        fill(self.store, study)
        return study


@pytest.fixture
def lab_pages(tmp_path):
    pages = Lab(tmp_path)
    yield pages
    pages.store.close()


@pytest.fixture(autouse=True)
def one_checkpoint(monkeypatch):
    monkeypatch.setattr(lab, "model_names", lambda: ["talknet-lite"])


def typed(**changes) -> dict:
    """The form of the paper's study, as a browser posts it."""
    shown = {**form.typed(paper_preset()), **changes}
    return {name: value for name, value in shown.items() if value is not False and value != []}


def test_the_server_starts_without_torch():
    code = "import sys, xab.pages; assert not {'torch', 'gradio'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "path", ["", "/new", "/planner", "/planner/power.svg", "/x", "/x/results", "/x/links.csv", "/x/export/all.zip"]
)
def test_nothing_is_shown_to_strangers(lab_pages, path):
    web = lab_pages.web
    assert web.get(f"/xab/lab{path}", headers=HTML).next_request.url.path == "/xab/lab/login"
    for cookie in ("", "9999999999.00", "1.", "nonsense"):
        answer = web.get(f"/xab/lab{path}", headers={"cookie": f"xab_lab={cookie}"})
        assert answer.status_code == 403 and "log in" in answer.text


def test_a_form_from_elsewhere_is_refused(lab_pages):
    study = lab_pages.ready()
    assert lab_pages.web.post(f"/xab/lab/{study}/delete", data={"title": "A small study"}).status_code == 403
    lab_pages.log_in()
    for token in ("", "0" * 64, lab_pages.inner.state.context.gate.form_token("another cookie")):
        answer = lab_pages.web.post(f"/xab/lab/{study}/delete", data={"title": "A small study", "form_token": token})
        assert answer.status_code == 403
    as_json = lab_pages.web.post(f"/xab/lab/{study}/delete", json={"form_token": lab_pages.token})
    assert as_json.status_code == 400
    assert lab_pages.store.studies.get(study).state == "ready"


def test_guessing_the_password_is_slowed_down(lab_pages):
    answers = [lab_pages.web.post("/xab/lab/login", data={"password": str(n)}).status_code for n in range(12)]
    assert answers == [403] * 10 + [429] * 2
    # Not even the right one is heard now, or guessing would go on unslowed.
    late = lab_pages.web.post("/xab/lab/login", data={"password": "right"})
    assert late.status_code == 429 and 0 < int(late.headers["retry-after"]) <= 61


def test_guessing_locks_nobody_else_out(lab_pages):
    mine = lab_pages.log_in().web
    at_mine, elsewhere = (
        TestClient(lab_pages.app, follow_redirects=False),
        TestClient(lab_pages.app, follow_redirects=False, client=("192.0.2.7", 1)),
    )
    mine.cookies.delete("xab_lab")
    forged = {"cookie": f"xab_lab_browser={mine.cookies['xab_lab_browser'][:-1]}"}
    guesses = [at_mine.post("/xab/lab/login", data={"password": "x"}, headers=forged).status_code for _ in range(12)]
    assert guesses == [403] * 10 + [429] * 2
    for web in (mine, elsewhere):
        assert web.post("/xab/lab/login", data={"password": "right"}).status_code == 303
    guesses = [mine.post("/xab/lab/login", data={"password": "x"}).status_code for _ in range(11)]
    assert guesses == [403] * 10 + [429], "a known browser's guesses are slowed down as well"


def test_what_tells_browsers_apart_admits_to_nothing(lab_pages):
    web, gate = lab_pages.log_in().web, lab_pages.inner.state.context.gate
    browser = web.cookies["xab_lab_browser"]
    assert gate.knows_browser(browser) and not gate.knows(browser) and not gate.knows_browser(gate.cookie())
    assert web.get("/xab/lab", headers={"cookie": f"xab_lab={browser}"}).status_code == 403


def test_a_cookie_that_was_logged_out_opens_nothing_and_others_still_do(lab_pages):
    gate, web = lab_pages.inner.state.context.gate, lab_pages.log_in().web
    mine, other = web.cookies["xab_lab"], gate.cookie()
    assert lab_pages.post("/logout").next_request.url.path == "/xab/lab/login"
    web.cookies.clear()
    assert not gate.knows(mine) and gate.knows(other)
    for cookie, status in ((mine, 403), (other, 200)):
        assert web.get("/xab/lab", headers={"cookie": f"xab_lab={cookie}"}).status_code == status


def test_one_click_makes_the_papers_study(lab_pages):
    answer = lab_pages.log_in().post("/new", preset="paper")
    (study,) = lab_pages.store.studies.all()
    assert answer.next_request.url.path == f"/xab/lab/{study.id}" and lab_pages.asked == [study.id]
    assert (study.design, study.state) == (paper_preset(), "making")
    assert study.design.pairs == 12 and study.design.volunteers == 5
    assert lab_pages.post(f"/{study.id}/make").status_code == 409


def test_the_form_gives_back_what_it_shows(lab_pages):
    lab_pages.log_in()
    changed = typed(title="Other", eps_av="20", modalities=["audio", "video"], clips=["talk.mp4"], show_result="yes")
    assert lab_pages.post("/new", then="draft", **changed).status_code == 303
    (study,) = lab_pages.store.studies.all()
    assert study.state == "draft" and lab_pages.asked == []
    wanted = paper_preset(
        title="Other", eps_av=20.0, modalities=("audio", "video"), clips=("talk.mp4",), show_result=True
    )
    assert study.design == wanted
    assert lab_pages.post(f"/{study.id}/edit", then="draft", **typed()).status_code == 303
    assert lab_pages.store.studies.get(study.id).design == paper_preset()


@pytest.mark.parametrize(
    "field,value,words",
    [
        ("eps_av", "much", "Must be a number"),
        ("eps_av", "nan", "Must lie in"),
        ("eps_av", "1001", "Must lie in [0, 1000]"),
        ("steps", "1.5", "Must be a whole number"),
        ("title", " ", "Must have 1 to 200"),
        ("title", "a\x00b", "no text"),
        ("consent", "", "Must have 1 to 20000"),
        ("clips", ["../../etc/passwd"], "there is no ../../etc/passwd".capitalize()),
        ("models", ["other"], "There is no other"),
        ("attacks", [], "Must be among"),
        ("margin", "0.5", "Must lie in [0.51, 0.99]"),
    ],
)
def test_errors_stand_at_their_field_and_nothing_is_lost(lab_pages, field, value, words):
    lab_pages.log_in()
    answer = lab_pages.post("/new", **typed(**{"seed": "77", field: value}))
    assert answer.status_code == 422 and lab_pages.store.studies.all() == []
    message = re.search(rf'id="error-{field}">([^<]*)<', answer.text).group(1)
    assert words in message
    assert 'value="77"' in answer.text
    assert len(re.findall(r'class="error" id="error-\w+">', answer.text)) == 1
    live = lab_pages.post("/summary", **typed(**{field: value})).json()
    assert set(live["errors"]) == {field}


def test_a_study_that_is_too_long_is_refused_as_a_whole(lab_pages):
    answer = lab_pages.log_in().post("/new", **typed(speech="50", non_speech="50"))
    assert answer.status_code == 422 and "1 to 120 main pairs, this one 300" in answer.text


def test_the_summary_says_what_cannot_be_stored():
    notes = form.summary(paper_preset(modalities=("both", "video"), on_grid=True))["notes"]
    assert any("identical twins" in note for note in notes) and any("Only the sound" in note for note in notes)
    budget = form.summary(paper_preset())["budgets"]["test"]
    assert budget["audio_steps"] == pytest.approx(5e-4 * 32768) and budget["video_levels"] == 0.5


def test_the_papers_preset_changes_picture_and_sound():
    box = form.summary(paper_preset())
    assert box["notes"] == []
    (rounded,) = [way for way in box["stored"] if way["chosen"]]
    assert rounded["picture"] == "Changes by up to 1 grey level of 256, 0.5 more than the budget."
    assert rounded["sound"] == "Changes by up to 16 steps of 65,536, within the budget."


@pytest.mark.parametrize(
    "changes, on_grid, picture, sound",
    [
        ({"eps_av": 5}, True, "0.5 grey levels of 256, is less than one grey level", "up to 16 steps"),
        ({"eps_av": 4}, False, "0.4 grey levels of 256, is less than half a grey level", "up to 13 steps"),
        ({"eps_av": 15}, False, "up to 2 grey levels of 256, 0.5 more than the budget", "up to 49"),
        ({"eps_av": 15}, True, "up to 1 grey level of 256, within the budget", "up to 49"),
        ({"eps_av": 5, "modalities": ("audio",)}, False, "Not attacked.", "up to 16"),
        ({"eps_av": 0.2}, True, "Nothing changes", "Nothing changes"),
    ],
)
def test_each_choice_says_what_it_does(changes, on_grid, picture, sound):
    said = form.stored(paper_preset(**changes), on_grid)
    assert picture in said["picture"] and sound in said["sound"]


@pytest.mark.parametrize("value, on_grid", [("yes", True), ("no", False)])
def test_the_grid_is_a_choice_on_the_form(lab_pages, value, on_grid):
    lab_pages.log_in()
    assert lab_pages.post("/new", then="draft", **typed(on_grid=value)).status_code == 303
    (study,) = lab_pages.store.studies.all()
    assert study.design.on_grid is on_grid
    page = lab_pages.page(f"/{study.id}/edit")
    assert re.search(rf'name="on_grid" value="{value}"[^>]* checked', page)


NASTY = "<script>alert(1)</script>\"'&'); DROP TABLE studies;--"


def test_markup_and_sql_in_every_field_stay_text(lab_pages):
    lab_pages.log_in()
    lab_pages.post("/new", then="draft", **typed(title=NASTY, consent=NASTY))
    (study,) = lab_pages.store.studies.all()
    fill(lab_pages.store, study.id)
    (number, token), *_ = lab_pages.store.links.add_links(study.id, 1)
    lab_pages.store.sessions.consent(token, 1, NASTY)
    for path in (
        "",
        "/new",
        f"/{study.id}",
        f"/{study.id}/results",
        f"/{study.id}/stimuli",
        f"/planner?margin={NASTY}",
    ):
        text = lab_pages.page(path)
        assert "<script>alert" not in text
        # What the policy forbids anyway: script or style within the page.
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|<style", text)
    assert lab_pages.store.studies.get(study.id).title == NASTY
    names = [f"/{NASTY}", f"/{study.id}/figures/{NASTY}.svg", f"/{study.id}/export/..%2f..%2fsecret"]
    assert {lab_pages.web.get(f"/xab/lab{name}").status_code for name in names} <= {404, 405}


def test_a_policy_stands_on_every_page(lab_pages):
    lab_pages.log_in()
    for path in ("", "/planner", "/planner/power.svg", "/nothing"):
        headers = lab_pages.web.get(f"/xab/lab{path}").headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store" and headers["x-frame-options"] == "DENY"


def test_a_studys_life(lab_pages):
    lab_pages.log_in()
    study = lab_pages.ready()
    lab_pages.post(f"/{study}/preview")
    preview = lab_pages.post(f"/{study}/preview").next_request.url
    assert preview.path == "/xab" and preview.params["t"]
    assert lab_pages.store.sessions.state(preview.params["t"])["preview"] is True
    assert lab_pages.post(f"/{study}/links", count="2").status_code == 303
    table = lab_pages.web.get(f"/xab/lab/{study}/links.csv").content
    assert table.startswith(codecs.BOM_UTF8), "Excel takes tables without the mark for another encoding"
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"))))
    assert [row["volunteer"] for row in rows] == ["1", "2"], "previews take no numbers"
    assert all(row["link"].startswith("http://testserver/xab?t=") for row in rows)
    lab_pages.post(f"/{study}/open", on="yes")
    assert lab_pages.store.studies.get(study).open_token in lab_pages.page(f"/{study}")
    lab_pages.post(f"/{study}/open", on="no")
    assert lab_pages.store.studies.get(study).open_token is None
    lab_pages.post(f"/{study}/freeze")
    assert lab_pages.store.studies.get(study).frozen_digest in lab_pages.page(f"/{study}")
    assert lab_pages.post(f"/{study}/edit", **typed()).status_code == 409
    before = lab_pages.web.get(f"/xab/lab/{study}/fingerprint").json()
    number = rows[0]["volunteer"]
    Volunteer(lab_pages.store, rows[0]["link"].partition("=")[2]).begin()
    assert lab_pages.web.get(f"/xab/lab/{study}/fingerprint").json() != before
    lab_pages.post(f"/{study}/remove", volunteer=number)
    assert [person["number"] for person in lab_pages.store.links.people(study)] == [int(rows[1]["volunteer"])]
    lab_pages.post(f"/{study}/archive")
    assert "Links no longer work" in lab_pages.page(f"/{study}")
    assert lab_pages.post(f"/{study}/delete", title="something").status_code == 400
    lab_pages.post(f"/{study}/delete", title="A small study")
    assert lab_pages.store.studies.all() == []


def test_making_can_be_watched_cancelled_and_taken_up(lab_pages):
    lab_pages.log_in()
    store = lab_pages.store
    study = store.studies.create(small_design())
    lab_pages.post(f"/{study}/make")
    store.studies.claim(study, "worker", 6)
    store.studies.progress(study, "worker", "pair 1 of 6: <bim>")
    assert "pair 1 of 6: &lt;bim&gt;" in lab_pages.page(f"/{study}")
    seen = lab_pages.web.get(f"/xab/lab/{study}/progress").json()
    assert seen == {"state": "making", "made": 0, "of": 6, "note": "pair 1 of 6: <bim>"}
    lab_pages.post(f"/{study}/cancel")
    assert "cancelled after 0 of 6 pairs" in lab_pages.page(f"/{study}")
    lab_pages.post(f"/{study}/make")
    assert lab_pages.asked == [study, study]


def answered(pages: Lab, study: str, volunteers: int = 2) -> str:
    for _, token in pages.store.links.add_links(study, volunteers):
        Volunteer(pages.store, token).begin().finish("A")
    return study


def test_results_figures_and_files_agree_with_the_store(lab_pages):
    lab_pages.log_in()
    empty = lab_pages.ready()
    assert "No answers yet." in lab_pages.page(f"/{empty}/results")
    study = answered(lab_pages, lab_pages.ready())
    judgments = lab_pages.store.results.judgments(study)
    main = [row for row in judgments if row["phase"] == "main"]
    right = sum(row["choice"] == row["match"] for row in main)
    assert len(main) == 8
    text = lab_pages.page(f"/{study}/results")
    assert f"2 volunteers gave the right answer in {right} of 8 trials" in text
    assert "0 of 0" not in text.partition("Other choices of whom to count")[2], "who does not exist has no numbers"
    for name in ("overall", "attack", "pair", "volunteer", "position"):
        svg = lab_pages.web.get(f"/xab/lab/{study}/figures/{name}.svg?theme=dark")
        assert svg.headers["content-type"] == "image/svg+xml" and "<svg" in svg.text
    png = lab_pages.web.get(f"/xab/lab/{study}/figures/overall.png")
    assert png.content.startswith(b"\x89PNG")

    pack = zipfile.ZipFile(io.BytesIO(lab_pages.web.get(f"/xab/lab/{study}/export/all.zip").content))
    files = {name.rpartition("/")[2]: pack.read(name).decode("utf-8-sig") for name in pack.namelist()}
    assert set(files) == set(export.FILES)
    marked = {name.rpartition("/")[2] for name in pack.namelist() if pack.read(name).startswith(codecs.BOM_UTF8)}
    assert marked == set(export.TABLES), "Excel takes tables without the mark for another encoding"
    rows = list(csv.DictReader(io.StringIO(files["judgments.csv"])))
    assert [row["choice"] for row in rows] == [row["choice"] for row in judgments]
    assert sum(row["correct"] == "true" for row in rows if row["phase"] == "main") == right
    assert {(row["plays_x"], row["plays_a"], row["plays_b"]) for row in rows} == {("1", "1", "1")}
    whole = json.loads(files["study.json"], parse_constant=pytest.fail)
    assert whole["analysis"]["overall"]["correct"] == right
    assert Design.from_dict(whole["design"]) == lab_pages.store.studies.get(study).design
    for person in lab_pages.store.links.people(study):
        assert not any(person["token"] in text for text in files.values())
    for name, columns in export.TABLES.items():
        assert list(csv.reader(io.StringIO(files[name])))[0] == list(columns)
        assert all(f"| {column} |" in files["codebook.md"] for column in columns)


@pytest.mark.parametrize(
    "value,text", [(None, ""), (True, "true"), (-1.5, "-1.5"), ("=1+1", "'=1+1"), ("@x", "'@x"), ("Moz", "Moz")]
)
def test_cells_are_no_formulas(value, text):
    assert export.cell(value) == text


def test_the_planner_answers_the_documented_questions(lab_pages):
    lab_pages.log_in()
    assert re.search(r"<b>14</b> volunteers", lab_pages.page("/planner?margin=0.6"))
    wrong = lab_pages.page("/planner?trials=1.5&power=2")
    assert wrong.count('class="error"') == 2 and 'value="1.5"' in wrong
    assert "More than 400" in lab_pages.page("/planner?true_share=0.7")
