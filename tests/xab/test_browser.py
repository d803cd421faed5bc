"""The XAB test in Chromium: volunteers from link to thank you, pixels and samples, and what a page can learn."""

import base64
import csv
import io
import json
import re

import pytest
from xab_web import FRAMES, Person, Visitor, app, browser, sha  # noqa: F401

from xab.blinding import blind, blinded_length

SECRETS = ("genuine", "adversarial", "catch", "match", "bim", "sha256")


def test_two_complete_one_reloads_one_doubles_one_withdraws(app, browser):  # noqa: F811
    study = app.study(catch=1, show_result=True)
    experimenter = browser.new_page()
    experimenter.goto(f"{app.base}/lab/{study}")
    experimenter.get_by_label("Password").fill("test")
    experimenter.get_by_role("button", name="Log in").click()
    experimenter.goto(f"{app.base}/lab/{study}")
    experimenter.get_by_label("New links").fill("3")
    experimenter.get_by_role("button", name="Make links").click()
    experimenter.get_by_role("link", name="Links as CSV").wait_for()
    links = experimenter.request.get(f"{app.base}/lab/{study}/links.csv").text()
    first, second, third = re.findall(r"xab\?t=([\w-]+)", links)

    with Visitor(browser, app, first) as one:
        one.begin()
        one.await_trial(1, 1, "Practice").play().answer("A")
        one.page.get_by_text("is the same as X. You can play the clips again").wait_for()
        one.click("Start the test")
        one.await_trial(1, of=3).play("X")
        one.page.reload()
        # The server knows what was played before the reload.
        one.await_trial(1, of=3).page.locator(".clip[data-role=X][data-now=played]").wait_for()
        one.play("AB").answer("B").await_trial(2, of=3).play("BAX").answer("A")
        one.page.go_back()
        one.page.go_forward()
        one.await_trial(3, of=3).play("XABX").answer("B")
        one.see("Thank you")
        shown = one.page.locator(".score .big").inner_text()

    with Visitor(browser, app, second) as two:
        two.begin()
        two.await_trial(1, 1, "Practice").play()
        two.page.locator(".answer[data-side=B]").dblclick()
        two.click("Start the test")
        two.await_trial(1, of=3).play()
        tab = two.second_tab()
        two.see("The test is open in another tab", tab)
        two.click("Continue here", tab)
        two.see("The test is open in another tab")
        tab.locator(".answer[data-side=A][aria-disabled=false]").dblclick()
        two.await_trial(2, of=3, page=tab)
        tab.close()
        two.see("The other tab was closed")
        two.click("Continue here")
        two.await_trial(2, of=3).play().answer("B").await_trial(3, of=3).play().answer("B")
        two.see("Thank you")

    with Visitor(browser, app, third) as three:
        three.begin().practise()
        three.await_trial(1, of=3).play().answer("A").await_trial(2, of=3)
        three.click("Withdraw")
        three.click("No, keep my answers")
        assert len(app.choices(study)[3]) == 2
        three.click("Withdraw")
        three.click("Withdraw and delete")
        three.see("You have withdrawn")
        assert not three.page.locator("#count").is_visible(), "there is no trial any more"
        three.page.reload()
        three.see("This link is not valid")

    assert app.choices(study) == {1: ["A", "B", "A", "B"], 2: ["B", "A", "B", "B"]}
    assert app.store.studies.get(study).withdrawn == 1
    rows = [row for row in app.store.results.judgments(study) if row["volunteer"] == 1]
    main = [row for row in rows if row["phase"] == "main"]
    assert shown == f"{sum(row['choice'] == row['match'] for row in main)} / 2"
    for row in rows:
        viewport = json.loads(row["viewport"])
        assert (viewport["width"], viewport["clip_width"], viewport["pixel_ratio"]) == (1280, 560, 1)
        assert 0 <= row["response_ms"] < 1000 * (row["answered_at"] - row["opened_at"]) + 1
    assert all(check["passed"] for check in app.store.results.checks(study))

    # What the experimenter takes away says the same as what the volunteers clicked.
    table = experimenter.request.get(f"{app.base}/lab/{study}/export/judgments.csv").text()
    written = list(csv.DictReader(io.StringIO(table.lstrip("\ufeff"))))
    assert [(row["volunteer"], row["choice"]) for row in written] == [("1", c) for c in "ABAB"] + [
        ("2", c) for c in "BABB"
    ]
    assert all((row["correct"] == "true") == (row["choice"] == row["match"]) for row in written)
    assert all(int(row[f"plays_{role}"]) >= 1 for row in written for role in "xab")
    experimenter.context.close()


GRAB = """async ({url, frames}) => {
  const {grabFrames, decodeSamples} = await import("/xab/static/grab.js");
  const blob = await (await fetch(url)).blob();
  const grabbed = await grabFrames(blob, [...Array(frames).keys()]);
  const samples = await decodeSamples(blob);
  const text = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return {
    video: grabbed.map((frame) => btoa(text(frame.grey))),
    coloured: grabbed.reduce((sum, frame) => sum + frame.coloured, 0),
    audio: btoa(text(new Uint8Array(samples.buffer))),
  };
}"""


def decoded(page, url: str) -> tuple[str, str]:
    """Checksums of all frames and samples of a clip as Chromium's canvas and WebAudio give them."""
    found = page.evaluate(GRAB, {"url": url, "frames": FRAMES})
    assert found["coloured"] == 0
    video = b"".join(base64.b64decode(frame) for frame in found["video"])
    return sha(video), sha(base64.b64decode(found["audio"]))


def answering(body: bytes):
    return lambda route: route.fulfill(body=body, content_type="video/mp4")


def test_every_stimulus_reaches_canvas_and_speaker_byte_for_byte(app, browser):  # noqa: F811
    study = app.study(catch=1)
    page = browser.new_page()
    page.goto(app.base)
    root = app.settings.data / "stimuli"
    for pair in app.store.studies.pairs(study):
        ceiling = max(stimulus.bytes for stimulus in pair.stimuli)
        for stimulus in pair.stimuli:
            data = (root / stimulus.path).read_bytes()
            blinded = blind(data, length=blinded_length(ceiling), key=stimulus.path.encode())
            url = f"{app.base}/media/{stimulus.path[6:30]}"
            page.route(url, answering(blinded))
            assert decoded(page, url) == (stimulus.video_sha256, stimulus.audio_sha256), stimulus
    page.context.close()


def test_what_is_served_in_a_trial_decodes_to_what_the_plan_says(app, browser):  # noqa: F811
    study = app.study()
    token = app.at_trial(study)
    page = browser.new_page()
    page.goto(app.base)
    state = app.store.sessions.state(token)
    served = {role: decoded(page, f"{app.base}/media/{name}") for role, name in state["media"].items()}
    page.context.close()
    stored = {stimulus.video_sha256: stimulus.twin for stimulus in app.store.studies.pairs(study)[0].stimuli}
    media = app.store.sessions.media(state["media"]["X"])
    assert media.role == "X"
    twin = {role: stored[video] for role, (video, _) in served.items()}
    assert twin["A"] != twin["B"]
    assert served["X"] == served["A" if twin["A"] == twin["X"] else "B"]
    app_choice = "A" if twin["A"] == twin["X"] else "B"
    assert Person(app.store, token).answer(app_choice)["correct"] is True


def test_a_page_learns_nothing_from_names_sizes_or_order(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as visitor:
        seen, texts = [], []

        def note(response):
            if "/media/" in response.url:
                sizes = {name: value for name, value in response.headers.items() if name != "date"}
                seen.append((response.url.rsplit("/", 1)[1], sizes))
            elif "/api/" in response.url:
                texts.append(response.text())

        visitor.page.on("response", note)
        visitor.page.reload()
        names = []
        for number in (1, 2):
            visitor.await_trial(number)
            state = next(json.loads(text) for text in reversed(texts) if '"media"' in text)
            names.append(list(state["media"].values()))
            visitor.play().answer("A")
        visitor.see("Thank you")
        page = visitor.page.content()
    # One request for each clip, always the same three, in responses that differ in nothing but their bytes.
    assert [sorted(name for name, _ in seen[at : at + 3]) for at in (0, 3)] == [sorted(group) for group in names]
    assert len(seen) == 6
    for at in (0, 3):
        assert len({json.dumps(headers, sort_keys=True) for _, headers in seen[at : at + 3]}) == 1
    for word in SECRETS:
        assert word not in "".join(texts).lower() + page.lower()


@pytest.mark.parametrize("allowed", [True, False])
def test_own_result_is_shown_only_where_the_study_allows(app, browser, allowed):  # noqa: F811
    study = app.study(show_result=allowed)
    token = app.at_trial(study)
    Person(app.store, token).finish()
    with Visitor(browser, app, token) as visitor:
        visitor.see("Thank you")
        assert visitor.page.locator(".score").count() == int(allowed)


@pytest.mark.slow
def test_a_preview_says_so_and_counts_nothing(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.store.links.preview_link(study)) as visitor:
        visitor.begin()
        for number in (1, 2):
            visitor.await_trial(number).play().answer("B")
            assert visitor.page.get_by_text("Answers given here never count.").is_visible()
        visitor.see("Thank you")
    assert app.choices(study) == {}
    assert app.store.studies.get(study).state == "ready"


def test_an_open_link_gives_everyone_a_link_and_knows_who_comes_back(app, browser):  # noqa: F811
    study = app.study()
    shared = app.store.links.set_open_link(study, True)
    with Visitor(browser, app, shared) as visitor:
        visitor.click("Begin")
        visitor.see("Before you start")
        own = visitor.page.url
        assert shared not in own
        visitor.page.goto(app.link(shared))
        visitor.see("Before you start")
        assert visitor.page.url == own
    with Visitor(browser, app, shared) as other:
        other.click("Begin")
        other.see("Before you start")
        assert other.page.url != own
    assert len(app.store.links.people(study)) == 2


def test_a_link_that_nobody_gave_out_is_explained(app, browser):  # noqa: F811
    for token in ("", "x", "0123456789abcdef", "<img src=x onerror=alert(1)>", "' OR 1=1 --"):
        with Visitor(browser, app, token) as visitor:
            visitor.see("This link is not valid")
            assert not visitor.page.get_by_role("button", name="Withdraw").is_visible()


def test_titles_and_consents_are_text(app, browser):  # noqa: F811
    markup = "<img src=x onerror=\"document.title='run'\"> & <b>bold</b>"
    study = app.study(title=markup, consent=f"{markup}\n\nSecond paragraph.")
    with Visitor(browser, app, app.links(study)[0]) as visitor:
        visitor.see("Before you start")
        assert visitor.page.locator("#study").inner_text() == markup
        assert visitor.page.locator(".letter p").all_inner_texts() == [markup, "Second paragraph."]
        assert visitor.page.locator("main img, main .letter b").count() == 0


def test_all_of_the_consent_is_seen_without_a_scroll_area_of_its_own(app, browser):  # noqa: F811
    study = app.study(consent="\n\n".join(f"Paragraph {number}. " + "Words of it. " * 20 for number in range(12)))
    with Visitor(browser, app, app.links(study)[0]) as visitor:
        visitor.see("Before you start")
        for width, height in ((1280, 800), (390, 844)):
            visitor.page.set_viewport_size({"width": width, "height": height})
            assert visitor.page.locator(".letter").evaluate("box => box.scrollHeight <= box.clientHeight")


def test_consent_is_stored_with_its_version_and_agent(app, browser):  # noqa: F811
    study = app.study()
    with Visitor(browser, app, app.links(study)[0]) as visitor:
        visitor.see("Before you start")
        visitor.click("Agree and continue")
        visitor.page.get_by_text("Tick the box first if you agree.").wait_for()
        assert app.store.links.people(study)[0]["consent_id"] is None
        visitor.agree()
        visitor.see("What you do")
    (person,) = app.store.links.people(study)
    assert person["consent_version"] == 1 and "Chrome" in person["user_agent"]
