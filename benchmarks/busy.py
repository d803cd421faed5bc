"""What a busy neighbour costs, with OpenMP's threads as they come, asleep at once, and as pushpull sets them.

Usage:
    python benchmarks/busy.py
    python benchmarks/busy.py --rounds 9 --spins 300,1000,5000

*Training* is a step of the lite network on 16 s of faces: loss, gradients, Adam. *Attack* is a step of BIM on 3 s.
*Page* is the demo's first page, asked for while the server attacks without pause in a thread of low priority, as a
visitor's run does. *Busy* is beside one process that keeps a core busy. Every setting has processes of its own, which
take turns, round by round, idle and busy, so that whatever else the machine does hits all of them; figures are medians,
the best in brackets: on a machine that is not idle those come nearest to what was meant. Ratios
are to the first setting on the idle machine: libgomp's own, which is what torch comes with.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pushpull.threads import CHOICES, SPINS  # noqa: E402  (before torch)

TASKS = ("training", "attack", "page")
FRAMES = 50  # of each training clip
CLIPS = 8
GETS = 5  # pages asked for in a turn
# libgomp's own number of spins, where nothing else is said.
BEFORE = {"GOMP_SPINCOUNT": "300000"}


def settings(spins: list[int]) -> dict[str, dict[str, str]]:
    """Name of each setting to its environment."""
    return {
        "as libgomp comes": BEFORE,
        "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
        **{f"GOMP_SPINCOUNT={count}": {"GOMP_SPINCOUNT": str(count)} for count in spins},
        "one thread fewer": BEFORE | {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) - 1))},
    }


def random_inputs(clips: int, frames: int):
    """Noise of the shape that the network takes."""
    import torch

    return {
        "audio": 0.1 * torch.randn(clips, 640 * frames).clamp(-3, 3),
        "video": 255 * torch.rand(clips, frames, 112, 112),
    }


def training() -> Callable[[], float]:
    """A function that takes one step and says for how many seconds."""
    import torch

    from pushpull.detectors import TalkNet, TalkNetConfig
    from pushpull.training.loss import training_loss
    from pushpull.training.options import TrainOptions

    torch.manual_seed(0)
    model, options = TalkNet(TalkNetConfig(size="lite")).train(), TrainOptions()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    inputs, labels = random_inputs(CLIPS, FRAMES), torch.ones(CLIPS, FRAMES, dtype=torch.int64)

    def step() -> float:
        began = time.perf_counter()
        loss, _ = training_loss(options, model(inputs), labels, 0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return time.perf_counter() - began

    return step


def attack() -> Callable[[], float]:
    """A function that takes steps of an attack and says for how many seconds each."""
    import torch

    from pushpull.attacks import BIM, paper_budget
    from pushpull.detectors import TalkNet, TalkNetConfig, attackable

    torch.manual_seed(0)
    model = attackable(TalkNet(TalkNetConfig(size="lite")).eval())
    inputs, labels = random_inputs(1, 75), torch.ones(1, 75, dtype=torch.int64)

    def steps() -> float:
        instants = []

        def on_step(step):
            instants.append(time.perf_counter())
            return step.step < 3

        BIM(steps=10).run(model, inputs, labels, budgets=paper_budget(5.0), on_step=on_step)
        return (instants[-1] - instants[0]) / (len(instants) - 1)

    return steps


def page() -> Callable[[], float]:
    """A function that has the demo's page sent beside a running attack, and says for how many seconds each time."""
    import uvicorn

    from app import build_app
    from pushpull.demo.background import step_back

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(build_app(), host="127.0.0.1", port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    going, steps = threading.Event(), attack()

    def visitor():
        step_back()
        while going.wait():
            steps()

    threading.Thread(target=visitor, daemon=True).start()

    def gets() -> float:
        going.set()
        seconds = []
        for _ in range(GETS):
            time.sleep(0.1)
            began = time.perf_counter()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=120) as answer:
                answer.read()
            seconds.append(time.perf_counter() - began)
        going.clear()
        time.sleep(0.3)  # the attack ends its steps
        return statistics.median(seconds)

    return gets


def serve(task: str) -> None:
    """What a child does: one turn for every line that it reads."""
    turn = {"training": training, "attack": attack, "page": page}[task]()
    turn()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(turn(), flush=True)


class Child:
    """A process with one task and one setting."""

    def __init__(self, task: str, setting: dict[str, str]):
        environment = {name: value for name, value in os.environ.items() if name not in CHOICES} | setting
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--task", task],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit(f"the process for {task} with {setting} did not start")

    def turn(self) -> float:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()


def measure(tasks: list[str], environments: dict, rounds: int) -> dict[tuple[str, str, bool], list[float]]:
    """Seconds of every turn, by task, setting and whether a neighbour was busy."""
    found: dict[tuple[str, str, bool], list[float]] = {}
    with ExitStack() as stack:
        children = {
            (task, name): stack.enter_context(Child(task, environment))
            for name, environment in environments.items()
            for task in tasks
        }
        for number in range(rounds):
            for busy in (False, True):
                neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
                try:
                    for (task, name), child in children.items():
                        found.setdefault((task, name, busy), []).append(child.turn())
                finally:
                    if neighbour is not None:
                        neighbour.kill()
                        neighbour.wait()
            print(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of everything, idle and busy (5)")
    parser.add_argument("--spins", default=str(SPINS), help=f"numbers of spins to try, with commas ({SPINS})")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        serve(given.task)
        return
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    environments = settings([int(count) for count in given.spins.split(",")])
    load = os.getloadavg()[0]
    found = measure(given.tasks, environments, given.rounds)
    print(f"{os.cpu_count()} cores, load {load:.1f} before; medians of {given.rounds}, best in brackets\n")
    for task in given.tasks:
        first = found[task, "as libgomp comes", False]
        print(f"{task:24}  idle, ms         ratio (best)   busy, ms         ratio (best)")
        for name in environments:
            parts = []
            for busy in (False, True):
                seconds = found[task, name, busy]
                middle, best = statistics.median(seconds), min(seconds)
                ratios = f"{middle / statistics.median(first):5.2f} ({best / min(first):.2f})"
                parts.append(f"{1e3 * middle:7.0f} ({1e3 * best:5.0f})  {ratios:12}")
            print(f"{name:24}", "  ".join(parts))
        print()


if __name__ == "__main__":
    main()
