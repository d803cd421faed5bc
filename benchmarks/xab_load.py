"""How quickly the XAB test answers many volunteers at once, alone and while an attack runs in the same process.

Usage:
    python benchmarks/xab_load.py                       50 volunteers, SQLite in a temporary folder
    python benchmarks/xab_load.py --volunteers 20 --trials 12
    python benchmarks/xab_load.py --database postgresql://USER:PASSWORD@HOST/NAME

Robots do over HTTP what a volunteer's page does: consent, steps, self-check, fetch the three clips in ranges, report
that they were played, wait as long as they last, answer, and repeat whatever is not acknowledged. What is timed is the
answer: from the request to the acknowledgment, by when the judgment is on disk.
"""

import argparse
import hashlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from xab import selfcheck  # noqa: E402
from xab.files import stimuli_folder  # noqa: E402
from xab.plan import FRAME_SECONDS, Design, pair_specs  # noqa: E402
from xab.settings import Settings  # noqa: E402
from xab.store import Pair, Stimulus, Store  # noqa: E402

FRAMES = 5
PATIENCE = 180.0  # seconds that a robot keeps repeating one request


class Gone(Exception):
    """The server did not come back."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(port: int, attack: bool) -> None:
    """What the child process runs: the test and, if asked for, an attack without end in a thread, as the demo's are."""
    import uvicorn
    from fastapi import FastAPI

    from pushpull.demo.background import BackgroundTask
    from xab.pages import mount

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    mount(app)
    if attack:
        BackgroundTask(_attack_for_ever).__enter__()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def _attack_for_ever(report) -> None:
    import torch

    from pushpull.attacks import BIM, paper_budget
    from pushpull.clip import Clip
    from pushpull.detectors import TalkNet, TalkNetConfig, attackable

    rng = np.random.default_rng(0)
    frames = 75
    clip = Clip(
        audio=rng.normal(0, 0.05, frames * 640).astype(np.float32),
        video=rng.integers(0, 256, (frames, 112, 112)).astype(np.float32),
        labels=np.ones(frames, dtype=np.int64),
    )
    torch.manual_seed(0)
    model = attackable(TalkNet(TalkNetConfig(size="lite")).eval())
    while True:
        BIM(steps=10).run(model, clip.inputs(), clip.targets(), budgets=paper_budget(5.0), on_step=report)


@contextmanager
def server(settings: Settings, port: int, *, attack: bool = False):
    """The application in a process of its own; yields the process once it answers."""
    code = f"from benchmarks.xab_load import serve; serve({port}, {attack})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=settings.environment())
    try:
        limit = time.monotonic() + 120
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > limit:
                    raise Gone("the server did not start") from None
                time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def add_study(store: Store, data: Path, trials: int) -> str:
    """A study of ``trials`` main pairs that all show the same four short files."""
    from pushpull.media.stimulus import write_stimulus

    design = Design(
        title="Load",
        attacks=("bim",),
        speech=trials,
        non_speech=0,
        training=0,
        catch=0,
        seconds=FRAMES * FRAME_SECONDS,
    )
    study = store.studies.create(design)
    folder = stimuli_folder(data, study)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    files = []
    for twin in ("genuine", "adversarial"):
        video = rng.integers(0, 256, (FRAMES, 112, 112)).astype(np.uint8)
        audio = rng.integers(-2000, 2000, FRAMES * 640).astype(np.int16)
        for encoding, variant in (("reference", 1), ("choice", 0)):
            path = write_stimulus(folder / f"{secrets.token_hex(8)}.mp4", video, audio, variant=variant)
            content = path.read_bytes()
            files.append(
                Stimulus(
                    twin=twin,
                    encoding=encoding,
                    path=f"{study}/{path.name}",
                    bytes=len(content),
                    file_sha256=hashlib.sha256(content).hexdigest(),
                    video_sha256=hashlib.sha256(video.tobytes()).hexdigest(),
                    audio_sha256=hashlib.sha256(audio.astype("<i2").tobytes()).hexdigest(),
                )
            )
    selfcheck.clip_path(data)
    specs = pair_specs(design)
    store.studies.claim(study, "load", len(specs))
    for spec in specs:
        store.studies.add_pair(study, "load", Pair(**vars(spec), clip="noise", frames=FRAMES, stimuli=tuple(files)))
    store.studies.finish(study, "load")
    return study


@dataclass
class Robot:
    """One volunteer. ``acknowledged`` holds (trial's handle, choice) of every answer that the server confirmed."""

    port: int
    token: str
    seed: int
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    repeats: int = 0
    _connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        rng = np.random.default_rng(self.seed)
        state = self.post("state")
        if state["step"] == "consent":
            state = self.post("consent", version=state["version"], agree=True)
        if state["step"] == "instructions":
            state = self.post("step", step="instructions")
        if state["step"] == "check":
            self.get("/xab/selfcheck.mp4")
            state = self.post("check", report={**selfcheck.expected(), "error": ""})["state"]
        if state["step"] == "sound":
            state = self.post("step", step="sound")
        page, seq = secrets.token_urlsafe(9), 0
        while state["step"] == "trials":
            started = time.monotonic()
            events = []
            for role in "XAB":
                self.get(f"/xab/media/{state['media'][role]}", Range="bytes=0-")
                events.append({"seq": seq, "kind": "ended", "role": role, "page_ms": seq, "handle": state["handle"]})
                seq += 1
            time.sleep(max(0.0, 3 * FRAMES * FRAME_SECONDS + rng.uniform(0, 0.5) - (time.monotonic() - started)))
            choice = "AB"[int(rng.integers(2))]
            answer = {"handle": state["handle"], "choice": choice, "nonce": secrets.token_urlsafe(9)}
            repeats, sent = self.repeats, time.monotonic()
            self.post("answer", page=page, events=events, **answer)
            if self.repeats == repeats:
                self.seconds.append(time.monotonic() - sent)
            self.acknowledged.append((state["handle"], choice))
            state = self.post("state")
        if state["step"] != "done":
            raise RuntimeError(f"the volunteer ended at {state['step']}")

    def post(self, name: str, **values) -> dict:
        body = json.dumps({"t": self.token, **values})
        return json.loads(self._ask("POST", f"/xab/api/{name}", body, {"Content-Type": "application/json"}))

    def get(self, path: str, **headers) -> bytes:
        return self._ask("GET", path, None, headers)

    def _ask(self, method: str, path: str, body: str | None, headers: dict) -> bytes:
        """Repeats what got no answer, or 503, as the page does."""
        limit = time.monotonic() + PATIENCE
        while True:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException):
                self._connection = None
            else:
                if response.status < 300:
                    return content
                if response.status != 503:
                    raise RuntimeError(f"{method} {path}: {response.status} {content[:300]!r}")
            if time.monotonic() > limit:
                raise Gone(f"{method} {path} was not answered for {PATIENCE:g} s")
            self.repeats += 1
            time.sleep(0.2)


def run_robots(robots: list[Robot], *, meanwhile=None) -> None:
    """All at once; ``meanwhile`` runs beside them. The first failure of any is raised."""
    failures = []

    def go(robot: Robot) -> None:
        try:
            robot.run()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=go, args=(robot,)) for robot in robots]
    for thread in threads:
        thread.start()
    if meanwhile:
        meanwhile()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def measure(settings: Settings, *, volunteers: int, trials: int, attack: bool) -> dict:
    store = Store(settings.url)
    study = add_study(store, settings.data, trials)
    tokens = [token for _, token in store.links.add_links(study, volunteers)]
    port = free_port()
    with server(settings, port, attack=attack):
        time.sleep(10 if attack else 0)  # the model is loading; then it attacks without pause
        robots = [Robot(port=port, token=token, seed=seed) for seed, token in enumerate(tokens)]
        started = time.monotonic()
        run_robots(robots)
        wall = time.monotonic() - started
    stored = len(store.results.judgments(study))
    store.close()
    times = np.array([second for robot in robots for second in robot.seconds])
    return {
        "answers": stored,
        "answers_per_second": stored / wall,
        **{f"p{share}_ms": float(np.percentile(times, share)) * 1000 for share in (50, 95, 99)},
        "max_ms": float(times.max()) * 1000,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python benchmarks/xab_load.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--volunteers", type=int, default=50)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--database", metavar="URL", help="PostgreSQL instead of SQLite")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder), database_url=options.database, password="load")
        settings.prepare()
        print(f"{options.volunteers} volunteers at once, {options.trials} trials each, {os.cpu_count()} cores")
        results = {}
        for name, attack in (("alone", False), ("beside an attack", True)):
            found = measure(settings, volunteers=options.volunteers, trials=options.trials, attack=attack)
            results[name] = found
            print(
                f"{name:17} {found['answers']} answers, {found['answers_per_second']:.0f} per s; time to the "
                f"acknowledgment: median {found['p50_ms']:.0f}, p95 {found['p95_ms']:.0f}, p99 {found['p99_ms']:.0f}, "
                f"longest {found['max_ms']:.0f} ms",
                flush=True,
            )
        ratio = results["beside an attack"]["p95_ms"] / results["alone"]["p95_ms"]
        print(f"p95 beside an attack / alone: {ratio:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
