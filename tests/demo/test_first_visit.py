"""The first sight of the page, links that lead to it, and whoever has to wait, in Chromium."""

import json

import pytest
from axe import serious
from browser_support import Served, Visitor

from pushpull.demo.context import ASSETS, DemoContext
from pushpull.demo.example import SHIPPED, Example, write_example
from pushpull.demo.loaded import DetectorCache
from pushpull.demo.storage import ResultStore

TABS = {"Compare": "#pp-compare-run", "Models": ".pp-model-card", "Results": "#pp-result h2", "Live": ".pp-live-start"}
WITHIN = """() => [...document.querySelectorAll(".pp-verdict")].every(
  (said) => said.getBoundingClientRect().right <= said.closest("figure").getBoundingClientRect().right + 1
)"""
SHIFTS = """() => new Promise((done) => {
  const sum = (list) => done(list.getEntries().reduce((total, entry) => total + entry.value, 0));
  new PerformanceObserver(sum).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(0), 2000);
})"""


@pytest.fixture(scope="module")
def served(tmp_path_factory, unhurried):
    served = Served(tmp_path_factory.mktemp("app"), example=True)
    served.wait_for_example()
    yield served
    served.stop()


@pytest.fixture
def visitor(browser, served):
    visitor = Visitor(browser, served.base)
    yield visitor
    visitor.page.close()
    assert visitor.errors == []
    assert visitor.hosts == {served.base.split("//")[1]}


# --- the example ---


def test_the_shipped_example_is_of_the_shipped_detector_and_sample(tmp_path):
    context = DemoContext(detectors=DetectorCache(), store=ResultStore(root=tmp_path), clips=ASSETS)
    example = Example(context)
    assert example.ready, "the default detector or the first sample has changed: run python -m pushpull.demo.example"
    assert example.sample == 0 and sum(path.stat().st_size for path in SHIPPED.iterdir()) < 2e6
    view = json.loads((SHIPPED / "view.json").read_text(encoding="utf-8"))
    files = {name for screen in view["screens"] for name in screen["files"].values()}
    assert files and all(example.find(name) for name in files)
    assert example.find("../1-speaking-indoors.mp4") is None and example.find("absent.mp4") is None


def test_an_example_of_another_detector_is_not_shown(served, tmp_path):
    context = served.context
    write_example(context, tmp_path)
    assert Example(context, tmp_path).ready
    made = json.loads((tmp_path / "example.json").read_text(encoding="utf-8"))
    (tmp_path / "example.json").write_text(json.dumps(made | {"checkpoint": "0" * 64}), encoding="utf-8")
    example = Example(context, tmp_path)
    assert not example.ready and example.html() == "" and example.find("view.json") is None


def test_a_first_visit_sees_an_attack_and_repeats_it_live(visitor):
    page = visitor.page
    page.wait_for_selector(".pp-example .pp-timeline svg")
    assert page.locator(".pp-example .pp-sentence").inner_text().startswith("The detector said speaking in")
    page.wait_for_function("document.querySelector('pp-player video').currentTime > 0.1")  # it plays by itself
    assert page.locator("pp-player video").evaluate_all("videos => videos.every(v => v.muted)")
    # What was there stayed in place: it was 1 while the page was only as wide as what had been built of it.
    assert page.evaluate(SHIFTS) < 0.2
    for width in (820, 1100, 1280):  # a tablet's beside others
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(WITHIN)
    page.fill("#pp-eps input[type=number]", "2")
    page.click("#pp-repeat")
    page.wait_for_selector("#pp-files a")
    assert page.input_value("#pp-eps input[type=number]") == "5"
    assert page.locator(".pp-example").count() == 0 and not page.locator("#pp-repeat").is_visible()
    # Nothing stands left of the downloads, and no picture's top is cut off.
    assert page.locator("#pp-files li").first.evaluate("item => getComputedStyle(item).listStyleType") == "none"
    assert (
        page.locator("#pp-gallery img").first.evaluate("image => getComputedStyle(image).objectPosition") == "50% 10%"
    )


# --- links ---


def test_a_link_brings_a_sample_with_its_settings_and_is_copied_again(browser, served):
    asked = "?sample=hopper&detector=talknet-lite&attack=bim&eps_av=2.5&target=hide&steps=3"
    visitor = Visitor(browser, served.base + asked)
    page = visitor.page
    page.wait_for_selector("#pp-faces [data-card]")
    assert page.input_value("#pp-eps input[type=number]") == "2.5"
    assert page.locator("#pp-target input:checked").evaluate("radio => radio.value") == "hide"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#pp-copy")
    page.wait_for_selector("#pp-link >> text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == served.base + "/" + asked
    page.close()


def test_what_a_link_says_wrongly_is_named(browser, served):
    visitor = Visitor(browser, served.base + "?sample=gone&attack=magic&eps_av=99&steps=4")
    said = visitor.page.locator("#pp-linked [role=alert]")
    said.wait_for()
    for words in ("There is no sample clip “gone”", "There is no attack “magic”", "from 0 to 40, not “99”"):
        assert words in said.inner_text()
    visitor.page.click("#pp-advanced button")
    assert visitor.page.input_value("#pp-steps input[type=range]") == "4"
    visitor.page.click("#pp-copy")
    visitor.page.wait_for_selector("text=A link leads to one of the sample clips")
    visitor.page.close()


# --- waiting ---


def test_a_second_visitor_sees_place_and_wait_and_then_their_turn(visitor, browser, served):
    visitor.choose_sample()
    visitor.set_steps(100)
    other = Visitor(browser, served.base)
    other.choose_sample()
    other.set_steps(1)
    visitor.page.click("#pp-run")
    visitor.page.wait_for_selector("#pp-progress .pp-curve")
    other.page.click("#pp-run")
    other.page.wait_for_selector("#pp-progress >> text=You are number 1 in the queue: one attack goes first")
    counted = served.health()["queue"]
    assert (counted["attacks_waiting"], counted["attacks_running"]) == (1, 1)
    # A quick machine may be at its end by now, and writes its files: there is nothing to stop then.
    visitor.page.evaluate("document.querySelector('#pp-stop')?.click()")
    other.page.wait_for_selector("#pp-files a")
    assert "in the queue" not in other.page.locator("#pp-progress").inner_text()
    assert other.errors == []
    other.page.close()


def test_a_full_queue_says_so(visitor, served):
    visitor.choose_sample()
    queue = served.app.state.page._queue
    size, queue.max_size = queue.max_size, 0
    try:
        visitor.page.click("#pp-run")
        visitor.page.wait_for_selector("#pp-progress >> text=Too many people are waiting")
    finally:
        queue.max_size = size
    assert visitor.page.locator("#pp-run").is_enabled()


def test_a_value_out_of_its_range_is_not_called_a_full_queue(visitor):
    visitor.choose_sample()
    visitor.page.click("#pp-advanced button")
    visitor.page.fill("#pp-advanced input[max='2147483647']", "-3")
    visitor.page.click("#pp-run")
    visitor.page.wait_for_selector("#pp-progress >> text=a value of the form")
    assert "less than minimum value 0" in visitor.page.locator(".toast-body").inner_text()
    assert visitor.page.locator("#pp-run").is_enabled()


# --- for everybody ---


def test_the_attack_works_by_keyboard_alone(visitor):
    page = visitor.page

    def tab_to(wanted, most=60):
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({json.dumps(wanted)})"):
                return
        raise AssertionError(f"Tab does not lead to {wanted}")

    page.wait_for_selector("#pp-gallery [data-card]")
    tab_to("#pp-gallery [data-card='0']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pp-faces [data-card]")
    # The cards were drawn anew, and whoever chose one is still there.
    assert page.evaluate("document.activeElement.matches(\"#pp-gallery [data-card='0']\")")
    tab_to("#pp-faces [data-card='0']")
    tab_to("#pp-run")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pp-files a")
    tab_to("pp-player .pp-play")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('pp-player .pp-play').getAttribute('aria-label') === 'Pause'")
    tab_to("#pp-files a")


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_serious(browser, served, scheme):
    visitor = Visitor(browser, f"{served.base}?__theme={scheme}")
    page = visitor.page

    page.wait_for_selector(".pp-example .pp-timeline svg")
    assert serious(page) == []
    visitor.choose_sample()
    visitor.choose("#pp-attack", "One noise for every clip")
    page.wait_for_selector("#pp-noises .pp-noise-card svg")
    page.click("#pp-surviving button")
    visitor.choose("#pp-survive", "CRF 18")
    page.wait_for_selector("#pp-surviving >> text=every step writes a file")
    visitor.choose("#pp-survive-by", "stand-ins")
    visitor.set_steps(2)
    assert serious(page) == []
    page.click("#pp-run")
    page.wait_for_selector("#pp-progress [role=status]")
    assert serious(page) == []
    page.wait_for_selector("#pp-files a")
    assert serious(page) == []
    for title, there in TABS.items():
        page.click(f"button[role=tab]:has-text('{title}')")
        page.wait_for_selector(f"{there} >> visible=true")
        assert serious(page) == [], title
    page.close()
