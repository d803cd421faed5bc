"""Whether the Live tab keeps up: a camera that plays a video, in Chromium, and how many frames a second are scored.

Usage:
    python benchmarks/live_camera.py                                 assets/2-speaking-shelves, the default detector
    python benchmarks/live_camera.py --detector lr-asd-ava --film FILM --seconds 40
    python benchmarks/live_camera.py --phone                         a processor four times slower in the browser
    python benchmarks/live_camera.py --url https://lab.example/anna  a server that runs already
    python benchmarks/live_camera.py --cost --detector lr-asd-ava    processor seconds of one window, without a browser

Browser and server share the machine. Printed are, as the page itself counts them, the frames scored a second, how many
seconds the newest score is behind the camera (median), and at the end of each quarter of the time how far it was then:
a server that falls further and further behind shows there.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 120_000  # ms for anything
SLOWER = 4  # of --phone


def camera(film: Path, folder: Path) -> list[str]:
    """Chromium's flags for a camera and a microphone that play ``film`` again and again."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", "-loglevel", "error", "-i", str(film)]
    picture, sound = folder / "film.y4m", folder / "film.wav"
    subprocess.run([*command, "-vf", "fps=25,scale=640:-2", "-pix_fmt", "yuv420p", str(picture)], check=True)
    subprocess.run([*command, "-ac", "1", "-ar", "48000", str(sound)], check=True)
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    return [*flags, f"--use-file-for-fake-video-capture={picture}", f"--use-file-for-fake-audio-capture={sound}"]


def film_it(address: str, flags: list[str], options: argparse.Namespace) -> list[dict]:
    """What the page said at the end of each quarter of the time."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    said = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--mute-audio", *flags])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        if options.phone:
            page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        page.goto(address)
        page.click("button[role=tab]:has-text('Live')")
        page.wait_for_selector(".pp-live-detector option", state="attached")
        if options.detector:
            page.select_option(".pp-live-detector select", options.detector)
        page.click(".pp-live-start")
        page.wait_for_function("Number(document.querySelector('pp-live').dataset.told) > 0")
        for _ in range(4):
            page.wait_for_timeout(250 * options.seconds)
            found = page.evaluate("({ ...document.querySelector('pp-live').dataset })")
            said.append(found | {"words": page.locator("pp-live .pp-num").inner_text()})
        browser.close()
    return said


def cost(name: str | None) -> str:
    """Processor seconds that a detector takes for one window of the Live tab, on one core, the least of ten."""
    import numpy as np
    import torch

    from pushpull.clip import SAMPLES_PER_FRAME, Clip
    from pushpull.demo.live import WINDOW
    from pushpull.demo.loaded import DetectorCache
    from pushpull.demo.presentation import score
    from pushpull.detectors import describe

    torch.set_num_threads(1)
    detectors, rng, took = DetectorCache(device="cpu"), np.random.default_rng(0), []
    network = detectors.get(name or detectors.default() or "")
    faces = rng.integers(0, 255, (WINDOW, 112, 112)).astype(np.uint8)
    sound = rng.uniform(-0.1, 0.1, WINDOW * SAMPLES_PER_FRAME).astype(np.float32)
    clip = Clip(sound, faces, crop=describe(network)["crop"])
    for _ in range(10):
        began = time.process_time()
        score(network, clip)
        took.append(time.process_time() - began)
    return f"{describe(network)['name']}: {min(took):.2f} s of one core for {WINDOW} frames"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detector", help="its name; the server's default one otherwise")
    parser.add_argument("--film", type=Path, default=ROOT / "assets" / "2-speaking-shelves.mp4", help="what is filmed")
    parser.add_argument("--seconds", type=int, default=24, help="how long, 56 at most (24)")
    parser.add_argument("--phone", action="store_true", help="a processor four times slower in the browser")
    parser.add_argument("--url", help="a server that runs already")
    parser.add_argument("--cost", action="store_true", help="processor seconds of one window instead")
    options = parser.parse_args()
    if options.cost:
        print(cost(options.detector))
        return
    from demo_load import start  # it lies beside this file

    with tempfile.TemporaryDirectory() as folder:
        flags, process, address = camera(options.film, Path(folder)), None, options.url
        if address is None:
            process, address, _ = start(Path(folder))
        try:
            said = film_it(address, flags, options)
        finally:
            if process is not None:
                process.terminate()
                process.wait(30)
    for quarter, found in enumerate(said, start=1):
        print(f"after {quarter * options.seconds / 4:.0f} s: {found['words']}")
    last = said[-1]
    print(f"{last['told']} frames scored, {last['rate']} a second, {last['delay']} s behind (median)")


if __name__ == "__main__":
    main()
