"""A training run as a script of its own, for tests that need processes."""

import os
from pathlib import Path

SCRIPT = """
import sys
import time
sys.path.insert(0, {tests!r})
from pathlib import Path
import torch
from pushpull.data import sources
from pushpull.training.trainer import train
from rows_support import tiny
from training_support import talker, talkset
if __name__ == "__main__":
    folder = Path({folder!r})
    splits = {{
        "train": talkset(folder / "train", range(0, 3), frames=30),
        "validation": talkset(folder / "train", range(0), frames=30),
        "test": talkset(folder / "test", range(5, 7), frames=30),
    }}
    sources.prepare = lambda *_, **__: (splits, {{}})
    train(tiny(**{options!r}), Path(sys.argv[1]), progress=False)
"""


ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


def write_script(folder, options):
    """A script that trains on made-up talkers, with ``options`` of the smallest run changed; its argument is out."""
    for name in ("train", "test"):
        (folder / name).mkdir()
    script = folder / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), options=options))
    return script
