"""How soon the demo's page can be used, and what it costs to load: in Chromium, as Lighthouse counts it.

Usage:
    python benchmarks/page_load.py                       first and second visit, 5 of each, a window of 1280 x 900
    python benchmarks/page_load.py --phone --runs 3      a touch screen of 390 x 844 points, as Lighthouse slows it:
                                                         4 x slower CPU, 1.6 Mbit/s, 150 ms
    python benchmarks/page_load.py --url https://lab.example/anna     a server that runs already

Everything is read from the browser's own performance interfaces. A first visit has an empty cache, a second one has
what the first left there. Printed are the median and the range over the visits.

* first, largest contentful paint: until anything, and until the largest thing of the first sight is drawn
* form usable: until the models and the samples are there and "Run the attack" takes clicks
* interactive: the end of the last task of more than 50 ms before 5 s without one and with at most two requests open
* blocking: how much longer than 50 ms such tasks took, together, from the first paint until then
* layout shift: the worst session of at most 5 s with gaps of at most 1 s, 0.1 is good; nobody touches the page, so all
  of it counts
* requests and bytes over the network, until 5 s after the last of all this, or for 30 s: on a machine whose processors
  others use too, the picture that plays at first may take more than 50 ms now and then, and the page never rests
"""

import argparse
import statistics
import tempfile
from pathlib import Path

QUIET = 5000.0  # ms without long tasks after which a page counts as interactive
LONG = 50.0  # ms
MOST = 120_000  # ms that are waited for anything
WATCHED = 30_000.0  # ms after which a page that never comes to rest is left
# Lighthouse's own throttling for phones: CPU, round trip in ms, bytes per second down and up.
PHONE = {"rate": 4, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
PHONE_WINDOW = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
}
OBSERVE = """
window.pushpullSeen = { paint: [], largest: [], shifts: [], tasks: [] };
const see = (type, keep) =>
  new PerformanceObserver((list) => list.getEntries().forEach(keep)).observe({ type, buffered: true });
see("paint", (e) => pushpullSeen.paint.push([e.name, e.startTime]));
see("largest-contentful-paint", (e) => pushpullSeen.largest.push([e.startTime, e.element?.tagName ?? ""]));
see("layout-shift", (e) => pushpullSeen.shifts.push([e.startTime, e.value]));
see("longtask", (e) => pushpullSeen.tasks.push([e.startTime, e.duration]));
"""
USABLE = """() => document.querySelector("#pp-gallery [data-card]") && document.querySelector("#pp-model input")?.value
  && document.querySelector("#pp-run:not([disabled])") && performance.now()"""
ROWS = {
    "first_paint": ("first contentful paint", "s", 1e3),
    "largest_paint": ("largest contentful paint", "s", 1e3),
    "usable": ("form usable", "s", 1e3),
    "interactive": ("interactive", "s", 1e3),
    "blocking": ("blocking", "ms", 1.0),
    "shift": ("layout shift", "", 1.0),
    "requests": ("requests", "", 1.0),
    "bytes": ("over the network", "kB", 1e3),
}


def worst_session(shifts: list[tuple[float, float]]) -> float:
    """Cumulative layout shift: the largest sum over shifts that follow each other by 1 s, within 5 s."""
    worst = total = 0.0
    first = last = -1e9
    for time, value in sorted(shifts):
        if time - last > 1000 or time - first > 5000:
            first, total = time, 0.0
        last, total = time, total + value
        worst = max(worst, total)
    return worst


def interactive_at(paint: float, tasks: list[tuple[float, float]], requests: list[tuple[float, float]]) -> float:
    """The end of the last long task (or the first paint) that 5 s follow without one and with at most two requests."""

    def quiet(since: float) -> bool:
        until = since + QUIET
        if any(begin < until and begin + length > since for begin, length in tasks):
            return False
        edges = [since, *(begin for begin, _ in requests if since <= begin < until)]
        return all(sum(begin <= edge < end for begin, end in requests) <= 2 for edge in edges)

    ends = sorted({paint, *(begin + length for begin, length in tasks if begin + length > paint)})
    ends = sorted({*ends, *(end for _, end in requests if end > paint)})
    since = next((end for end in ends if quiet(end)), ends[-1])
    # Requests alone make nothing wait: what counts is the last task before the quiet.
    return max([paint, *(begin + length for begin, length in tasks if begin + length <= since)])


def visit(context, address: str, *, phone: bool) -> dict[str, float]:
    """One visit's figures: times in ms, bytes."""
    page = context.new_page()
    page.set_default_timeout(MOST)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    if phone:
        session.send("Emulation.setCPUThrottlingRate", {"rate": PHONE["rate"]})
        wire = {name: PHONE[name] for name in ("latency", "downloadThroughput", "uploadThroughput")}
        session.send("Network.emulateNetworkConditions", {"offline": False, **wire})
    received, cached = [], set()
    session.on("Network.requestServedFromCache", lambda event: cached.add(event["requestId"]))
    session.on(
        "Network.loadingFinished", lambda event: received.append((event["requestId"], event["encodedDataLength"]))
    )
    page.add_init_script(OBSERVE)
    page.goto(address, wait_until="commit")
    usable = page.wait_for_function(USABLE).json_value()
    while True:
        page.wait_for_timeout(QUIET)
        seen = page.evaluate("() => ({ ...pushpullSeen, now: performance.now() })")
        if seen["now"] - max([usable, *(begin + length for begin, length in seen["tasks"])]) > QUIET:
            break
        if seen["now"] - usable > WATCHED:
            break
    resources = page.evaluate("performance.getEntriesByType('resource').map((e) => [e.startTime, e.responseEnd])")
    page.close()
    paint = next(time for name, time in seen["paint"] if name == "first-contentful-paint")
    interactive = interactive_at(paint, seen["tasks"], resources)
    over = (length - LONG for begin, length in seen["tasks"] if paint <= begin < interactive)
    fetched = [size for request, size in received if request not in cached]
    return {
        "first_paint": paint,
        "largest_paint": seen["largest"][-1][0],
        "usable": usable,
        "interactive": interactive,
        "blocking": sum(over),
        "shift": worst_session(seen["shifts"]),
        "requests": len(fetched),
        "bytes": sum(fetched),
    }


def measure(address: str, runs: int, *, phone: bool) -> dict[str, list[dict]]:
    """The figures of ``runs`` first visits and of the second ones after them."""
    import shutil

    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    found = {"first visit": [], "second visit": []}
    window = PHONE_WINDOW if phone else {"viewport": {"width": 1280, "height": 900}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--mute-audio"])
        for _ in range(runs):
            context = browser.new_context(**window)  # with a cache of its own
            for name in found:
                found[name].append(visit(context, address, phone=phone))
            context.close()
        browser.close()
    return found


def table(found: dict[str, list[dict]]) -> str:
    """Markdown: a row for each figure, median and range."""
    lines = [f"| | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    for name, (title, unit, scale) in ROWS.items():
        cells = []
        for visits in found.values():
            values = [figures[name] / scale for figures in visits]
            digits = 0 if name in ("requests", "bytes", "blocking") else 3 if name == "shift" else 1
            low, middle, high = (
                f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values))
            )
            spread = f" ({low} to {high})" if low != high else ""
            cells.append(f"{middle}{' ' + unit if unit else ''}{spread}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="first visits, each with a second (5)")
    parser.add_argument("--phone", action="store_true", help="a phone's window, CPU and network, as Lighthouse's")
    parser.add_argument("--url", help="a server that runs already")
    options = parser.parse_args()
    if options.url:
        print(table(measure(options.url, options.runs, phone=options.phone)))
        return
    from demo_load import start  # it lies beside this file

    with tempfile.TemporaryDirectory() as folder:
        process, address, _ = start(Path(folder))
        try:
            print(table(measure(address, options.runs, phone=options.phone)))
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
