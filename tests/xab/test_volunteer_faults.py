"""What goes wrong between a volunteer and the server, and that an answer is stored once whatever does."""

import pytest
from xab_web import Visitor, app, browser  # noqa: F401


@pytest.fixture
def visitor(app, browser):  # noqa: F811
    """At the first of two trials, all clips played."""
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as one:
        one.study = study
        one.await_trial(1).play()
        yield one


def test_offline_an_answer_waits_and_says_so(app, visitor):  # noqa: F811
    visitor.context.set_offline(True)
    visitor.answer("B")
    visitor.page.get_by_text("Your answer is stored on this device").wait_for()
    assert app.choices(visitor.study) == {}
    visitor.context.set_offline(False)
    visitor.await_trial(2)
    visitor.page.locator("#line").wait_for(state="hidden")
    assert app.choices(visitor.study) == {1: ["B"]}


def test_a_server_that_restarts_finds_the_answer_waiting(app, visitor):  # noqa: F811
    app.stop()
    visitor.answer("A")
    visitor.page.get_by_text("The server does not answer right now.").wait_for()
    app.start()
    visitor.click("Try now")
    visitor.await_trial(2).play().answer("B")
    visitor.see("Thank you")
    assert app.choices(visitor.study) == {1: ["A", "B"]}


def test_a_lost_reply_doubles_nothing(app, visitor):  # noqa: F811
    sent = []

    def lose_first(route):
        sent.append(route.request.post_data_json["nonce"])
        if len(sent) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    visitor.page.route("**/api/answer", lose_first)
    visitor.answer("A").await_trial(2)
    assert len(sent) == 2 and len(set(sent)) == 1
    assert app.choices(visitor.study) == {1: ["A"]}


def test_a_page_that_dies_before_the_reply_sends_its_answer_when_it_comes_back(app, visitor):  # noqa: F811
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    visitor.page.route("**/api/answer", lambda route: route.abort())
    visitor.answer("B")
    visitor.page.get_by_text("Your answer is stored on this device").wait_for()
    visitor.page.unroute("**/api/answer")
    visitor.page.reload()
    visitor.await_trial(2)
    assert app.choices(visitor.study) == {1: ["B"]}
    assert visitor.page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('xab-answer'))") == []


@pytest.mark.parametrize("status", [pytest.param(500, marks=pytest.mark.slow), 503])
def test_a_busy_server_is_asked_again(app, visitor, status):  # noqa: F811
    asked = []

    def busy(route):
        asked.append(1)
        if len(asked) < 3:
            route.fulfill(status=status, body="<html>busy</html>")
        else:
            route.continue_()

    visitor.page.route("**/api/answer", busy)
    visitor.answer("A").await_trial(2)
    assert len(asked) == 3
    assert app.choices(visitor.study) == {1: ["A"]}


def test_an_answer_given_elsewhere_is_kept_and_told(app, visitor):  # noqa: F811
    # Another device: no channel between the two tells this page.
    while len((state := app.store.sessions.state(visitor.token))["played"]) < 3:
        visitor.page.wait_for_timeout(50)  # the page is telling the server what was played
    app.store.sessions.answer(visitor.token, handle=state["handle"], choice="B", nonce="another-device")
    visitor.answer("A").await_trial(2)
    assert "your first answer counts" in visitor.page.locator("#note").inner_text()
    assert app.choices(visitor.study) == {1: ["B"]}


def test_a_study_that_closes_in_the_middle_says_so(app, visitor):  # noqa: F811
    app.store.studies.archive(visitor.study)
    visitor.answer("A")
    visitor.see("This study is closed")
    assert app.choices(visitor.study) == {}


def test_clips_that_do_not_come_are_asked_for_again(app, browser):  # noqa: F811
    study = app.study(training=0)
    token = app.at_trial(study)
    asked = []

    def fail_first(route):
        asked.append(route.request.url)
        if len(asked) <= 3:
            route.abort()
        else:
            route.continue_()

    context = browser.new_context()
    context.route("**/media/*", fail_first)
    page = context.new_page()
    page.goto(app.link(token))
    page.locator(".trial[data-ready]").wait_for()
    assert len(asked) == 6 and len(set(asked)) == 3
    context.close()


SLOW_LINE = """async (seconds) => {
  const {Api} = await import("/xab/static/api.js");
  // The page's patience by a clock that the line moves, so that nobody has to wait.
  const [timed, stopped, timers] = [window.setTimeout, window.clearTimeout, new Map()];
  let [now, asked] = [0, 0];
  window.setTimeout = (work, wait) => {
    if (wait < 20000) return timed(work, wait);
    timers.set(-1 - timers.size, { work, due: now + wait });
    return -timers.size;
  };
  window.clearTimeout = (id) => (timers.has(id) ? timers.set(id, { due: Infinity }) : stopped(id));
  window.fetch = async (_url, { signal }) => {
    const pause = asked++ ? 1000 : 1000 * seconds;
    let parts = 5;
    const pull = (line) => {
      now += pause;
      for (const { due, work } of timers.values()) if (due <= now) work();
      if (signal.aborted) return line.error(signal.reason);
      line.enqueue(new Uint8Array(10));
      if (--parts === 0) line.close();
    };
    return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }));
  };
  const blob = await new Api("token", () => {}).blob("media/name");
  return [blob.size, asked];
}"""


@pytest.mark.parametrize("seconds, asked", [(8, 1), (25, 2)])
def test_a_clip_that_comes_slowly_is_waited_for_and_one_that_stops_is_asked_for_again(app, browser, seconds, asked):  # noqa: F811
    """``seconds`` between two of five parts; the page bears a silence of 20."""
    page = browser.new_page()
    page.goto(app.base)
    assert page.evaluate(SLOW_LINE, seconds) == [50, asked]
    page.context.close()


def test_a_clip_skipped_through_counts_as_not_played(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as visitor:
        visitor.await_trial(1)
        # Hold the clip back: play() starts, and the volunteer drags to the end at once.
        visitor.page.evaluate(
            """() => { document.querySelector(".clip[data-role=X]").click();
                       const bar = document.querySelector("input[type=range]");
                       bar.value = 0.4;
                       bar.dispatchEvent(new Event("input"));
                       bar.dispatchEvent(new Event("change")); }"""
        )
        visitor.page.get_by_text("A part of X was skipped: play it through once.").wait_for()
        visitor.play("AB")
        visitor.page.locator(".answer[data-side=A]").click(force=True)
        assert app.choices(study) == {}
        visitor.play("X").answer("A").await_trial(2)
        names = {event["kind"] for event in app.store.results.events(study)}
        assert {"ready", "play", "seek", "end_skipped", "ended", "answer"} <= names


def test_sound_that_the_browser_holds_back_is_explained(app, browser):  # noqa: F811
    study = app.study(training=0)
    with Visitor(browser, app, app.at_trial(study)) as visitor:
        visitor.await_trial(1)
        visitor.page.evaluate(
            """() => { const real = HTMLMediaElement.prototype.play;
                       HTMLMediaElement.prototype.play = function () {
                         HTMLMediaElement.prototype.play = real;
                         return Promise.reject(new DOMException("no gesture", "NotAllowedError")); }; }"""
        )
        visitor.page.keyboard.press("x")
        visitor.page.locator(".todo", has_text="Press X once more").wait_for()
        visitor.play("XAB").answer("A").await_trial(2)


NOISY_CANVAS = """const real = CanvasRenderingContext2D.prototype.getImageData;
CanvasRenderingContext2D.prototype.getImageData = function (...rest) {
  const image = real.apply(this, rest);
  for (let i = 0; i < image.data.length; i += 400) image.data[i] ^= 1;
  return image;
};"""


@pytest.mark.parametrize("required", [True, False])
def test_a_browser_that_changes_pixels_is_told_what_to_do(app, browser, required):  # noqa: F811
    study = app.study(require_check=required)
    (token,) = app.links(study)
    app.store.sessions.consent(token, 1)
    app.store.sessions.advance(token, "instructions")
    context = browser.new_context()
    context.add_init_script(NOISY_CANVAS)
    page = context.new_page()
    page.goto(app.link(token))
    page.locator("main").get_by_text("pixels differ by at most 1 of 255 levels").wait_for()
    page.get_by_text("A protection against tracking may add noise").wait_for()
    go_on = page.get_by_role("button", name="Continue", exact=True)
    assert go_on.count() == (0 if required else 1)
    if required:
        page.get_by_role("heading", name="This browser will not do").wait_for()
        assert page.get_by_role("button", name="Check again").is_visible()
    else:
        go_on.click()
        page.get_by_role("heading", name="Set your volume").wait_for()
    (check,) = app.store.results.checks(study)
    assert not check["passed"] and check["report"]["largest_difference"] == 1
    context.close()


def test_a_browser_without_the_codecs_is_sent_to_another(app, browser):  # noqa: F811
    study = app.study()
    (token,) = app.links(study)
    app.store.sessions.consent(token, 1)
    app.store.sessions.advance(token, "instructions")
    context = browser.new_context()
    context.route("**/selfcheck.mp4", lambda route: route.fulfill(body=b"no codec" * 99, content_type="video/mp4"))
    page = context.new_page()
    page.goto(app.link(token))
    page.locator("main").get_by_text("This browser cannot decode the clips").wait_for()
    page.get_by_text("On an iPhone or iPad every browser uses Apple's decoder").wait_for()
    context.unroute("**/selfcheck.mp4")
    page.get_by_role("button", name="Check again").click()
    page.get_by_role("heading", name="Your browser is fine").wait_for()
    assert [check["passed"] for check in app.store.results.checks(study)] == [False, True]
    context.close()
