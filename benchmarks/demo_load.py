"""How many visitors one machine serves: several attack at once, others look at the page meanwhile.

Usage:
    python benchmarks/demo_load.py                            4 visitors, PGD of 10 steps on a sample
    python benchmarks/demo_load.py --visitors 8 --steps 5 --onlookers 20
    python benchmarks/demo_load.py --url https://lab.example/anna   a server that runs already (no memory then)

Each visitor uploads the clip and runs one attack over the documented endpoint, so reading the clip is part of each
turn; on the page it is read before. Attacks run one at a time: what is measured is each visitor's wait for the turn,
the turn itself, how long the page takes for onlookers meanwhile, and the server's memory.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
POLL = 0.1  # seconds between looks at a job
START = 180.0  # seconds that the server may take to start


@dataclass
class Turn:
    """One visitor's attack, in seconds from when it was asked for."""

    waited: float = 0.0
    took: float = 0.0
    error: str = ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder: Path) -> tuple[subprocess.Popen, str, float]:
    """The app in a process of its own, its address, and the seconds until it answered."""
    port = free_port()
    environment = {**os.environ, "PUSHPULL_XAB_DATA": str(folder / "xab"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "app.py", "--port", str(port)]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    while time.monotonic() - began < START and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/healthz", timeout=5).close()
            return process, address, time.monotonic() - began
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("the app did not start: python app.py says why")


def visit(address: str, clip: Path, values: dict, turn: Turn) -> None:
    """Ask for one attack and note when it started and ended."""
    from gradio_client import Client, handle_file
    from gradio_client.utils import Status

    client = Client(address, verbose=False)
    asked = time.monotonic()
    job = client.submit(video=handle_file(str(clip)), api_name="/attack", **values)
    started = None
    while not job.done():
        if started is None and job.status().code in (Status.PROCESSING, Status.ITERATING):
            started = time.monotonic()
        time.sleep(POLL)
    ended = time.monotonic()
    turn.waited, turn.took = (started or ended) - asked, ended - (started or ended)
    if (error := job.exception()) is not None:
        turn.error = str(error)


def look(address: str, pause: float, ends: threading.Event, seconds: list[float]) -> None:
    """Somebody who opens the page again and again."""
    while not ends.wait(pause):
        began = time.monotonic()
        with urllib.request.urlopen(address, timeout=120) as reply:
            reply.read()
        seconds.append(time.monotonic() - began)


def memory(process: subprocess.Popen | None) -> tuple[float, float] | None:
    """Megabytes of the server's process now and at most, on Linux; None elsewhere."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text()
    except (AttributeError, OSError):
        return None
    return tuple(int(re.search(rf"{name}:\s+(\d+)", text)[1]) / 1024 for name in ("VmRSS", "VmHWM"))


def measure(address: str, process, options) -> list[Turn]:
    """All visitors at once, with onlookers beside them; prints what it finds."""
    values = {"attack": options.attack, "steps": options.steps, "model": options.model, "restarts": options.restarts}
    turns, seconds, ends = [Turn() for _ in range(options.visitors)], [], threading.Event()
    onlookers = [
        threading.Thread(target=look, args=(address, 1.0, ends, seconds), daemon=True) for _ in range(options.onlookers)
    ]
    visitors = [
        threading.Thread(target=visit, args=(address, options.clip, values, turn), daemon=True) for turn in turns
    ]
    before, began = memory(process), time.monotonic()
    for thread in (*onlookers, *visitors):
        thread.start()
    for thread in visitors:
        thread.join()
    wall = time.monotonic() - began
    ends.set()
    for number, turn in enumerate(sorted(turns, key=lambda turn: turn.waited), start=1):
        said = f", refused: {turn.error}" if turn.error else ""
        print(f"visitor {number}: waited {turn.waited:5.1f} s, turn {turn.took:5.1f} s{said}")
    done = sum(not turn.error for turn in turns)
    print(f"{done} attacks in {wall:.0f} s: {3600 * done / wall:.0f} an hour")
    if seconds:
        middle, most = 1000 * statistics.median(seconds), 1000 * max(seconds)
        print(f"{options.onlookers} onlookers, {len(seconds)} pages: median {middle:.0f} ms, longest {most:.0f} ms")
    if before:
        now, most = memory(process)
        print(f"memory: {before[0]:.0f} MB before, {now:.0f} MB after, {most:.0f} MB at most")
    return turns


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python benchmarks/demo_load.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--visitors", type=int, default=4)
    parser.add_argument("--onlookers", type=int, default=4, help="who open the page once a second meanwhile (4)")
    parser.add_argument("--attack", default="pgd")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--restarts", type=int, default=2)
    parser.add_argument("--model", default="talknet-lite")
    parser.add_argument("--clip", type=Path, default=ROOT / "assets" / "1-speaking-indoors.mp4")
    parser.add_argument("--url", help="a server that runs already")
    options = parser.parse_args(arguments)
    print(f"{options.visitors} visitors, {options.attack}, {options.steps} steps, {os.cpu_count()} cores")
    if options.url:
        return int(any(turn.error for turn in measure(options.url, None, options)))
    with tempfile.TemporaryDirectory() as folder:
        process, address, seconds = start(Path(folder))
        print(f"started in {seconds:.1f} s")
        try:
            return int(any(turn.error for turn in measure(address, process, options)))
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    sys.exit(main())
