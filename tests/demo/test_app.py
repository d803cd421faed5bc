"""The whole app over HTTP and in Chromium: clips in, attacks run and stopped, results seen and taken away."""

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser_support import FRAMES, Served, Visitor, write_face

from pushpull import perturb
from pushpull.demo import actions
from pushpull.demo.actions import Actions
from pushpull.media import probe, read_stimulus

gradio_client = pytest.importorskip("gradio_client")
ROOT = Path(__file__).parents[2]
# Of what has the focus, which kind it is and the outline of it, or of its label.
FOCUSED = """() => {
  const here = document.activeElement;
  return [here.type, getComputedStyle(here.type === "radio" ? here.closest("label") : here).outlineStyle];
}"""
QUICK = {"model": "talknet-lite", "attack": "bim", "steps": 2}


@pytest.fixture(scope="module")
def served(tmp_path_factory, unhurried):
    served = Served(tmp_path_factory.mktemp("app"))
    yield served
    served.stop()


@pytest.fixture(scope="module")
def client(served):
    return gradio_client.Client(served.base, verbose=False)


def attack(client, path, **values):
    values = {"video": {"video": gradio_client.handle_file(str(path))}} | QUICK | values
    if isinstance(values["video"]["video"], dict):
        values["video"] = values["video"]["video"]
    return client.predict(api_name="/attack", **values)


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


# --- the API ---


def test_the_api_attacks_and_its_report_repeats_the_run(client, served, tmp_path):
    clip = write_face(tmp_path / "mine.mp4")
    answer = attack(client, clip)
    files = answer["files"]
    assert answer["spec"]["attack"]["name"] == "bim" and answer["metrics"]["columns"]["adversarial"]["frames"] == FRAMES
    report = json.loads(fetch(f"{served.base}/{files['report.json']}")[2])
    assert {key: report[key] for key in answer if key != "files"} == {k: v for k, v in answer.items() if k != "files"}
    assert report["source"]["path"] == "mine.mp4"
    for address in files.values():
        status, headers, body = fetch(f"{served.base}/{address}?download=1")
        assert status == 200 and body and "attachment" in headers["Content-Disposition"]
    exact = tmp_path / "adversarial_face.mp4"
    exact.write_bytes(fetch(f"{served.base}/{files['adversarial_face.mp4']}")[2])
    frames, audio = read_stimulus(exact)
    assert frames.shape == (FRAMES, 112, 112) and audio.shape == (FRAMES * 640,)
    # Same clip, same checkpoint, from the shell: the same perturbation to the last bit.
    given = tmp_path / "report.json"
    report["spec"]["model"] = str(served.folder / "checkpoints" / "talknet-lite.safetensors")
    given.write_text(json.dumps(report), encoding="utf-8")
    assert perturb.main([str(clip), "--from", str(given), "--out", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "report.json").read_text(encoding="utf-8"))
    assert again["digest"] == report["digest"]


def bad_file(folder, kind):
    path = folder / {"text": "text.mp4", "empty": "empty.mp4", "cut off": "cut.mp4"}[kind]
    whole = write_face(folder / "whole.mp4").read_bytes()
    path.write_bytes({"text": b"not a video at all", "empty": b"", "cut off": whole[: len(whole) // 2]}[kind])
    return path


def plain_video(folder, *, sound=True):
    import imageio_ffmpeg

    path = folder / ("faceless.mp4" if sound else "mute.mp4")
    arguments = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=1"]
    arguments += ["-f", "lavfi", "-i", "sine=frequency=300:duration=1"] if sound else []
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", "-loglevel", "error", *arguments, str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda folder: bad_file(folder, "text"), "not a video that can be read"),
        (lambda folder: bad_file(folder, "empty"), "empty"),
        (lambda folder: bad_file(folder, "cut off"), "truncated|cut off|damaged"),
        (lambda folder: plain_video(folder), "no face was found"),
        (lambda folder: write_face(folder / "short.mp4", frames=7), "too short: 7 frames"),
        (lambda folder: plain_video(folder, sound=False), "has no sound"),
    ],
    ids=["text", "empty", "cut off", "faceless", "short", "mute"],
)
def test_a_bad_file_is_refused_with_a_reason(client, tmp_path, make, message):
    with pytest.raises(Exception, match=message):
        attack(client, make(tmp_path))


@pytest.mark.parametrize(
    "values, message",
    [
        ({"face": 9}, "there is no face 9"),
        ({"target": "span", "span_start": 3.0, "span_stop": 4.0}, "holds no frame"),
        ({"model": "../secret"}, "not in the list"),
        ({"eps_av": 4000}, "greater than maximum"),
    ],
)
def test_values_out_of_range_are_refused_with_a_reason(client, served, values, message):
    with pytest.raises(Exception, match=message):
        attack(client, served.folder / "clips" / "hopper.mp4", **values)


def test_the_attack_is_the_only_public_endpoint(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/attack"]


def test_a_server_file_is_no_upload(served):
    """Naming a path instead of uploading must not have the server read it; gradio's client would upload it."""
    file = {"path": str(served.folder / "clips" / "hopper.mp4"), "meta": {"_type": "gradio.FileData"}}
    values = [file, "talknet-lite", "bim", "both", 5, "untargeted", 0, 1, False, 2, 1, "training_aware", 0, False]
    values += [None, "nothing", "actual", 1]
    call = f"{served.base}/gradio_api/call/attack"
    request = urllib.request.Request(call, json.dumps({"data": values}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        event = json.loads(reply.read())["event_id"]
    status, _, body = fetch(f"{call}/{event}")
    assert b"event: error" in body and b"digest" not in body


@pytest.mark.parametrize("name", ["view.json", "..%2Fview.json", "%2e%2e%2f%2e%2e%2fetc%2fpasswd"])
def test_results_that_are_gone_say_so(served, name):
    status, _, body = fetch(f"{served.base}/results/{'0' * 32}/{name}")
    assert status == 404 and b"root:" not in body


def test_neither_checkpoints_nor_source_are_served(served):
    for path in (served.folder / "checkpoints" / "talknet-lite.safetensors", ROOT / "app.py"):
        assert fetch(f"{served.base}/gradio_api/file={path}")[0] in (403, 404)


# --- the browser ---


@pytest.fixture
def visitor(browser, served):
    visitor = Visitor(browser, served.base)
    yield visitor
    visitor.page.close()
    assert visitor.errors == []
    assert visitor.hosts == {served.base.split("//")[1]}  # nothing is asked of anybody else


def test_a_visitor_attacks_a_sample_and_takes_the_results(visitor):
    page = visitor.page
    assert visitor.choose_sample() == 1
    visitor.set_steps(2)
    page.click("#pp-run")
    page.wait_for_selector("#pp-files a")
    assert page.locator(".pp-sentence").inner_text().startswith("The model said speaking in")
    assert page.locator("pp-player video").count() == 3
    # The first frame is drawn anew although the clean clip's stood there.
    assert page.locator("pp-player .pp-verdict").all_inner_texts() != []
    assert all("speaking" in said for said in page.locator("pp-player .pp-verdict").all_inner_texts())
    page.wait_for_function("[...document.querySelectorAll('pp-player video')].every(v => v.readyState >= 2)")
    assert page.locator("#pp-progress .pp-curve path.loss").count() == 2
    assert page.locator("pp-player .pp-clusters svg").count() == 2
    assert "Robust frame accuracy" in page.locator("#pp-numbers").inner_text()
    with page.expect_download() as started:
        page.click("#pp-files a >> text=Report (JSON)")
    report = json.loads(Path(started.value.path()).read_text(encoding="utf-8"))
    assert report["source"]["path"] == "hopper.mp4" and report["spec"]["attack"]["steps"] == 2
    page.click("pp-player >> text=face, bit-exact")
    page.wait_for_function("[...document.querySelectorAll('pp-player video')].every(v => v.videoWidth === 112)")
    for width in (820, 390):
        page.set_viewport_size({"width": width, "height": 844})
        hidden = page.eval_on_selector("#pp-numbers .pp-scroll", "box => box.scrollWidth - box.clientWidth")
        assert hidden <= 0, f"of the numbers {hidden} pixels are out of sight where a screen is {width} wide"
    page.wait_for_function("document.querySelector('pp-player .pp-timeline svg').clientWidth < 390")
    assert not visitor.scrolls_sideways()


def test_a_visitor_adds_the_one_noise(visitor):
    page = visitor.page
    visitor.choose_sample()
    visitor.choose("#pp-attack", "One noise for every clip")
    page.wait_for_selector("#pp-noises .pp-noise-card svg")
    page.wait_for_function("document.querySelector('#pp-eps input[type=number]').value === '10'")  # the noise's own
    page.click("#pp-run")
    page.wait_for_selector("#pp-files a >> text=The noise")
    assert "The noise knows nothing of this clip" in page.locator(".pp-sentence").inner_text()
    assert page.locator("pp-player video").count() == 3
    visitor.choose("#pp-attack", "PGD")
    page.wait_for_selector("#pp-noises", state="hidden")


def test_a_visitor_takes_the_file_that_survives(visitor):
    page = visitor.page
    visitor.choose_sample()
    page.click("#pp-surviving button")
    visitor.choose("#pp-survive", "CRF 18")
    page.wait_for_selector("#pp-surviving >> text=every step writes a file")
    visitor.set_steps(1)
    page.click("#pp-run")
    page.wait_for_selector("#pp-files a")
    assert "Written as H.264 CRF 18" in page.locator(".pp-sentence").inner_text()
    assert "File without the attack" in page.locator("#pp-numbers").inner_text()
    assert page.locator("pp-player polyline.pp-line-file").count() >= 1
    page.wait_for_function("[...document.querySelectorAll('pp-player video')].every(v => v.readyState >= 2)")
    with page.expect_download() as started:
        page.click("#pp-files a >> text=The file that survives")
    assert (started.value.suggested_filename, probe(started.value.path()).video is not None) == (
        "hopper-bim-eps20-survive.mp4",
        True,
    )


@pytest.mark.slow
def test_a_visitor_stops_cancels_and_runs_again_while_others_look_around(visitor, browser, served):
    page = visitor.page
    visitor.begin_a_long_attack()
    other = Visitor(browser, served.base)
    assert other.choose_sample() == 1  # answered although an attack runs
    other.page.click("#pp-run")
    other.page.wait_for_selector("#pp-progress >> text=You are number 1 in the queue")
    other.page.click("#pp-cancel")
    other.page.wait_for_selector("#pp-progress >> text=Cancelled")
    other.page.close()
    page.click("#pp-cancel")
    page.wait_for_selector("#pp-progress >> text=Cancelled")
    assert page.locator(".pp-sentence").count() == 0
    page.click("#pp-run")
    page.wait_for_selector("#pp-progress .pp-curve")
    page.click("#pp-stop")
    page.wait_for_selector("#pp-progress >> text=Stopped early")
    assert "stopped it early" in page.locator(".pp-sentence").inner_text()


def test_a_budget_box_may_be_emptied_and_says_again_what_it_said(visitor):
    page, box = visitor.page, "#pp-eps input[type=number]"
    wrong = []
    page.on("response", lambda reply: wrong.append(reply.url) if reply.status >= 400 else None)
    for before, typed, budget, after in (("10", "", "± 1", "10"), ("10", "41", "± 4", "40")):
        page.fill(box, before)
        page.wait_for_selector("#pp-budget b:text-is('± 1')")
        page.fill(box, typed)
        page.wait_for_timeout(500)
        page.wait_for_selector(f"#pp-budget b:text-is('{budget}')")
        page.press(box, "Tab")
        page.wait_for_selector(f"#pp-budget b:text-is('{budget}')")
        assert page.input_value(box) == after
    assert wrong == []


def test_a_keyboard_leaves_no_list_open_and_sees_where_it_is(visitor):
    page = visitor.page
    page.focus("#pp-modality input")
    page.wait_for_selector("[role=listbox]")
    page.keyboard.press("Tab")
    page.wait_for_selector("[role=listbox]", state="detached")
    assert page.input_value("#pp-modality input") == "sound and picture"
    outlines = []
    for _ in range(5):  # the box, its reset, the slider, the aim
        outlines.append(page.evaluate(FOCUSED))
        page.keyboard.press("Tab")
    assert ["range", "solid"] in outlines and ["radio", "solid"] in outlines
    visitor.choose("#pp-modality", "sound only")
    page.wait_for_selector("[role=listbox]", state="detached")
    assert page.input_value("#pp-modality input") == "sound only"


def test_a_run_started_while_another_model_is_asked_is_kept(visitor, served, monkeypatch):
    page, detectors = visitor.page, served.context.detectors
    twin = served.folder / "checkpoints/talknet-twin.safetensors"
    shutil.copy(served.folder / "checkpoints/talknet-lite.safetensors", twin)
    page.reload()
    visitor.choose_sample()
    visitor.set_steps(1)
    answers = detectors.get
    monkeypatch.setattr(detectors, "get", lambda name: (time.sleep(1.5), answers(name))[1])
    page.click("#pp-model input")
    page.click("[role=option]:has-text('talknet-twin')")
    page.click("#pp-run")
    page.wait_for_selector("#pp-files a")
    assert page.locator(".pp-sentence").count() == 1
    twin.unlink()


def test_another_clip_ends_the_attack_at_once(visitor, served, monkeypatch):
    page = visitor.page
    visitor.begin_a_long_attack()
    reads = Actions._take_in
    monkeypatch.setattr(Actions, "_take_in", lambda *given: (time.sleep(2), reads(*given))[1])
    page.click("#pp-gallery [data-card='0']")
    page.wait_for_selector("#pp-status >> text=Reading")
    page.wait_for_function("!document.querySelector('#pp-progress .pp-curve')")
    page.wait_for_timeout(1000)
    assert page.locator("#pp-progress .pp-curve").count() == 0, "its reports do not come in while the clip is read"
    page.wait_for_selector("pp-player .pp-timeline svg")


def test_another_clip_may_be_chosen_while_one_is_read_and_one_taken_away_stays_away(visitor, monkeypatch, tmp_path):
    def endless(*_, report, **__):
        while True:
            report((None, "still looking"))
            time.sleep(0.05)

    monkeypatch.setattr(actions, "take_in", endless)
    page, film = visitor.page, write_face(tmp_path / "slow.mp4")
    page.set_input_files("#pp-video input[type=file]", film)
    page.wait_for_selector("#pp-status >> text=still looking")
    assert page.locator("#pp-run").is_disabled() and "Reading the clip" in page.locator("#pp-run").inner_text()
    visitor.choose_sample()
    assert "slow" not in page.locator("#pp-status").inner_text()
    page.set_input_files("#pp-video input[type=file]", film)
    page.wait_for_selector("#pp-status >> text=still looking")
    page.click("#pp-video button[aria-label=Clear]")
    page.wait_for_selector("#pp-player >> text=Choose a clip")
    page.wait_for_function("document.querySelector('#pp-status').innerText.trim() === ''")
    page.wait_for_timeout(500)
    assert page.locator("#pp-status").inner_text().strip() == ""
    assert page.locator("#pp-run").is_enabled()
    visitor.choose_sample()


def test_a_bad_upload_says_why_and_the_page_stays_usable(visitor, tmp_path):
    page = visitor.page
    page.set_input_files("#pp-video input[type=file]", bad_file(tmp_path, "text"))
    page.wait_for_selector("#pp-status [role=alert]")
    assert "not a video that can be read" in page.locator("#pp-status").inner_text()
    page.click("#pp-run")
    page.wait_for_selector("#pp-progress >> text=Choose a clip first")
    assert visitor.choose_sample() == 1


def test_a_phone_needs_no_sideways_scrolling(browser, served):
    visitor = Visitor(browser, served.base, width=390)
    assert not visitor.scrolls_sideways()
    visitor.choose_sample()
    assert not visitor.scrolls_sideways()
    visitor.page.close()


def test_without_models_and_samples_the_page_says_what_to_do(browser, tmp_path):
    empty = Served(tmp_path, model=False, samples=False)
    visitor = Visitor(browser, empty.base)
    assert "No sample clips are installed" in visitor.page.locator("#pp-gallery").inner_text()
    assert "pushpull.train" in visitor.page.locator("#pp-form").inner_text()
    visitor.page.set_input_files("#pp-video input[type=file]", write_face(tmp_path / "mine.mp4"))
    visitor.page.wait_for_selector("#pp-faces [data-card]")
    visitor.page.click("#pp-run")
    visitor.page.wait_for_selector("#pp-progress >> text=There is no model yet")
    visitor.page.close()
    empty.stop()


def test_behind_a_proxy_every_address_stays_below_its_path(browser, tmp_path):
    prefix = "/people/anna"
    served = Served(tmp_path, prefix=prefix)
    visitor = Visitor(browser, f"{served.base}/")
    page, asked = visitor.page, []
    page.on("request", lambda request: asked.append(urlsplit(request.url)))
    page.on("response", lambda response: asked.append(response.status) if response.status >= 400 else None)
    page.reload()
    assert visitor.choose_sample() == 1
    visitor.set_steps(1)
    page.click("#pp-run")
    page.wait_for_selector("#pp-files a")
    page.wait_for_function("[...document.querySelectorAll('pp-player video')].every(v => v.readyState >= 2)")
    with page.expect_download() as started:
        page.click("#pp-files a >> text=Report (JSON)")
    assert json.loads(Path(started.value.path()).read_text(encoding="utf-8"))["spec"]["attack"]["steps"] == 1
    assert len(asked) > 20 and [one for one in asked if isinstance(one, int)] == []
    assert {one.path for one in asked if one.scheme == "http" and not one.path.startswith(f"{prefix}/")} == set()
    page.close()
    served.stop()
