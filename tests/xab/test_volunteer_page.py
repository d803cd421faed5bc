"""The volunteer's page for everybody: keyboard alone, small screens, less motion, dark, high resolution."""

import pytest
from xab_web import Visitor, app, browser  # noqa: F401

LONG = "AVeryLongTitleWithoutASpace" * 6


def focused(page) -> str:
    return page.evaluate("document.activeElement.innerText || document.activeElement.id")


def test_the_whole_test_by_keyboard_alone(app, browser):  # noqa: F811
    study = app.study(non_speech=0)
    (token,) = app.links(study)
    with Visitor(browser, app, token) as visitor:
        page, press = visitor.page, visitor.page.keyboard.press

        def tab_to(text):
            for _ in range(12):
                press("Tab")
                if text in focused(page):
                    return
            raise AssertionError(f"{text} is not reached by Tab; focus is on {focused(page)!r}")

        visitor.see("Before you start")
        assert focused(page) == "Before you start"
        tab_to("agree")
        press("Space")
        tab_to("Agree and continue")
        press("Enter")
        visitor.see("What you do")
        tab_to("Continue")
        press("Enter")
        visitor.see("Your browser is fine")
        assert focused(page) == "Continue"
        press("Enter")
        visitor.see("Set your volume")
        tab_to("Play the sound")
        press("Enter")
        page.locator(".count[aria-disabled=false]").first.wait_for()
        for number in "1234":
            tab_to(number)
            press("Enter")
            if focused(page) == "Continue":
                break
        press("Enter")
        visitor.await_trial(1, 1, "Practice")
        press("?")
        page.get_by_role("dialog", name="Help").wait_for()
        press("x")  # keys rest while a dialog is open
        assert page.locator(".clip[data-now=waiting]").count() == 3
        press("Escape")
        for trial in ("practice", "test"):
            if trial == "test":
                visitor.await_trial(1, 1)
            press("1")  # too early: nothing happens
            for key in ("x", "A", "b"):
                press(key)
                page.locator(f".clip[data-role={key.upper()}][data-now=played]").wait_for()
            press("2")
            if trial == "practice":
                page.get_by_role("button", name="Start the test").wait_for()
                assert focused(page) == "Start the test"
                press("Enter")
        visitor.see("Thank you")
    assert app.choices(study) == {1: ["B", "B"]}


def test_space_pauses_and_goes_on(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as visitor:
        visitor.await_trial(1)
        paused = "() => [...document.querySelectorAll('video')].every((video) => video.paused)"
        visitor.page.keyboard.press("x")
        visitor.page.keyboard.press("Space")
        assert visitor.page.evaluate(paused)
        visitor.page.keyboard.press("Space")
        visitor.page.locator(".clip[data-role=X][data-now=played]").wait_for()
        assert visitor.page.evaluate(paused)


def test_only_one_clip_plays_at_a_time(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as visitor:
        visitor.await_trial(1)
        for key in "xabxb":
            visitor.page.keyboard.press(key)
            playing = visitor.page.evaluate(
                "[...document.querySelectorAll('video')].filter((v) => !v.paused).map((v) => v.ariaLabel)"
            )
            assert playing in ([f"Clip {key.upper()}"], [])
            assert visitor.page.locator("video.shown").count() == 1


def test_keys_can_be_switched_off(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as visitor:
        visitor.await_trial(1)
        visitor.page.keyboard.press("?")
        visitor.page.get_by_label("Use these keys").uncheck()
        visitor.click("Close")
        visitor.page.keyboard.press("x")
        assert visitor.page.locator("video.shown").count() == 0
        visitor.page.reload()
        visitor.await_trial(1).page.keyboard.press("x")
        assert visitor.page.locator("video.shown").count() == 0


@pytest.mark.parametrize(
    ("width", "ratio"),
    [
        (390, 3),
        pytest.param(320, 2, marks=pytest.mark.slow),
        pytest.param(1280, 1, marks=pytest.mark.slow),
        pytest.param(1280, 1.25, marks=pytest.mark.slow),
    ],
)
def test_no_page_scrolls_sideways_and_pixels_stay_whole(app, browser, width, ratio):  # noqa: F811
    study = app.study(title=LONG, show_result=True, non_speech=0)
    (token,) = app.links(study)
    size = {"width": width, "height": 844 if width < 800 else 800}
    with Visitor(browser, app, token, viewport=size, device_scale_factor=ratio) as visitor:
        page = visitor.page

        def fits():
            assert page.evaluate("document.documentElement.scrollWidth") <= width

        visitor.see("Before you start")
        fits()
        visitor.agree().see("What you do")
        fits()
        visitor.read().see("Your browser is fine")
        fits()
        visitor.pass_check().see("Set your volume")
        page.get_by_text("I hear nothing").click()
        fits()
        visitor.hear().await_trial(1, 1, "Practice")
        fits()
        side = page.locator(".stage").evaluate("(stage) => stage.clientWidth") * ratio / 112
        assert abs(side - round(side)) < 0.02 and side >= 2
        assert page.locator("video").first.evaluate("(v) => getComputedStyle(v).imageRendering") == "pixelated"
        small = "(all) => all.filter((b) => b.offsetParent && b.offsetHeight < 40).map((b) => b.innerText)"
        assert page.locator("button").evaluate_all(small) == []
        if width == 390:
            # Everything that a trial needs is on one screen.
            assert page.locator(".answer").last.evaluate("(b) => b.getBoundingClientRect().bottom") <= 844
        visitor.play().answer("A")
        page.get_by_role("button", name="Start the test").wait_for()
        fits()
        visitor.click("Withdraw")
        fits()


def test_pixels_stay_whole_when_the_page_is_zoomed_in_a_trial(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as visitor:
        visitor.await_trial(1)
        devtools = visitor.context.new_cdp_session(visitor.page)
        for ratio in (1.1, 1.25, 1.5):
            # The box of the clip is as large as before, in the page's pixels.
            size = {"width": round(1400 / ratio), "height": 800}
            devtools.send("Emulation.setDeviceMetricsOverride", {**size, "deviceScaleFactor": ratio, "mobile": False})
            visitor.page.wait_for_function(
                """(ratio) => { const width = document.querySelector(".stage").getBoundingClientRect().width;
                                const scale = width * devicePixelRatio / 112;
                                return Math.abs(devicePixelRatio - ratio) < 0.01
                                       && Math.abs(scale - Math.round(scale)) < 0.01; }""",
                arg=ratio,
            )


def test_a_clip_keeps_its_speed(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as visitor:
        visitor.await_trial(1)
        rates = visitor.page.evaluate(
            """async () => { const videos = [...document.querySelectorAll("video")];
                             for (const video of videos) video.playbackRate = 2;  // as add-ons do
                             await new Promise((done) => setTimeout(done, 200));
                             return videos.map((video) => video.playbackRate); }"""
        )
        assert rates == [1, 1, 1]
        menu = """() => document.querySelector("video").dispatchEvent(
                      new MouseEvent("contextmenu", { bubbles: true, cancelable: true }))"""
        assert visitor.page.evaluate(menu) is False, "the browser's menu offers speeds and loops"


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_motion_is_reduced_where_asked(app, browser, motion):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study), reduced_motion=motion) as visitor:
        visitor.await_trial(1).page.keyboard.press("1")
        todo = visitor.page.locator(".todo.nudge")
        todo.wait_for()
        moving = todo.evaluate("(node) => getComputedStyle(node).animationName") != "none"
        fading = visitor.page.locator(".clip").first.evaluate(
            "(b) => parseFloat(getComputedStyle(b).transitionDuration)"
        )
        assert (moving, fading > 0) == ((False, False) if motion == "reduce" else (True, True))


CONTRAST = """() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const under = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
  };
  const worst = [];
  for (const node of document.querySelectorAll("h1, p, b, span, button, kbd, li")) {
    if (!node.offsetParent || !node.innerText || node.closest(".cover, :disabled")) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(under(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) worst.push(`${node.innerText.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return worst;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(app, browser, scheme):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.links(study)[0], color_scheme=scheme, reduced_motion="reduce") as visitor:
        visitor.see("Before you start")
        assert visitor.page.evaluate(CONTRAST) == []
        visitor.agree().see("What you do")
        assert visitor.page.evaluate(CONTRAST) == []
        visitor.read().see("Your browser is fine")
        assert visitor.page.evaluate(CONTRAST) == []
        visitor.pass_check().hear().await_trial(1)
        assert visitor.page.evaluate(CONTRAST) == []


def test_what_happens_is_announced(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as visitor:
        said = visitor.page.locator("#say[role=status]")
        visitor.await_trial(1).play("X")
        said.get_by_text("Still to play: A and B.").wait_for(state="attached")
        assert visitor.page.get_by_role("button", name="Clip X: played").count() == 1
        visitor.play("AB")
        said.get_by_text("All played. You can answer now.").wait_for(state="attached")
        visitor.answer("A")
        said.get_by_text("Your answer is stored. Trial 2 of 2").wait_for(state="attached")
        assert focused(visitor.page) == "Which one is the same as X?"


@pytest.mark.parametrize(
    "number, trials, phase, words",
    [
        (10, 38, "test", "Play each clip"),
        (11, 38, "test", "10 of 38 are done. Rest"),
        (12, 38, "test", "Play each clip"),
        (31, 38, "test", "30 of 38 are done. Rest"),
        (11, 14, "test", "Play each clip"),  # nearly through
        (11, 38, "training", "Practice"),
    ],
)
def test_a_rest_is_offered_after_every_ten_trials_of_a_long_test(app, browser, number, trials, phase, words):  # noqa: F811
    page = browser.new_page()
    page.goto(app.link(None))
    said = page.evaluate(
        "async ([path, state]) => (await import(path)).advice(state)",
        [f"{app.base}/static/trial.js", {"number": number, "trials": trials, "phase": phase}],
    )
    page.close()
    assert said.startswith(words)


def test_nothing_jumps_on_a_phone_when_the_clips_have_come(app, browser):  # noqa: F811
    token = app.at_trial(app.study(training=0))
    with Visitor(browser, app, token, viewport={"width": 390, "height": 844}, device_scale_factor=2) as visitor:
        held = []
        visitor.page.route("**/media/*", lambda route: held.append(route))
        visitor.page.reload()
        visitor.page.get_by_text("Loading the three clips").wait_for()
        places = "[...document.querySelectorAll('.stage, .clip, .answer')].map((e) => e.getBoundingClientRect().top)"
        before = visitor.page.evaluate(places)
        for route in held:
            route.continue_()
        visitor.page.unroute("**/media/*")
        visitor.await_trial(1, 2)
        assert visitor.page.evaluate(places) == before
