"""How fast batches are made: video frames per second of a worker's processor time, which other work hardly disturbs.

    python benchmarks/batches.py --data talkset:grid_s1,talkheads:heads
    python benchmarks/batches.py --data ava:AVA --config docs/talknet-ava.json
    python benchmarks/batches.py --data made --config docs/talknet-ava.json

A device that trains on N frames a second waits for no batch where the ``--workers`` of the training, each with a core
of its own, make more than N. ``made`` is 16 tracks in AVA's layout, faces of 224 x 224 pixels that are blurred noise.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pushpull  # noqa: E402, F401  isort: skip  (before torch: it says how long idle threads spin)

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from scipy.io import wavfile  # noqa: E402

from pushpull.clip import FPS, SAMPLE_RATE  # noqa: E402
from pushpull.config import from_dict  # noqa: E402
from pushpull.data.ava.layout import COLUMNS, LABELS, Layout, Track, write_loader  # noqa: E402
from pushpull.training.figures import read_clips  # noqa: E402
from pushpull.training.loss import training_batch  # noqa: E402
from pushpull.training.options import TrainOptions  # noqa: E402

TRACKS, SECONDS, SIDE = 16, 6, 224


def make_tree(root: Path) -> None:
    """Tracks of AVA's layout, half of each speaking."""
    layout, rng, frames = Layout(root), np.random.default_rng(0), SECONDS * FPS
    tracks, rows = [], []
    for number in range(TRACKS):
        track = Track(f"film{number:07d}_0900_0906:1", float(FPS), "01" * (frames // 2))
        tracks.append((track, number))
        pictures = layout.pictures("train", track.video) / track.entity
        sounds = layout.sounds("train", track.video)
        pictures.mkdir(parents=True)
        sounds.mkdir(parents=True)
        noise = rng.integers(-3000, 3000, SECONDS * SAMPLE_RATE).astype(np.int16)
        wavfile.write(sounds / f"{track.entity}.wav", SAMPLE_RATE, noise)
        for t in range(frames):
            seconds = f"{900 + t / FPS:.2f}"
            face = cv2.GaussianBlur(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8), (0, 0), 1.5)
            cv2.imwrite(str(pictures / f"{seconds}.jpg"), face)
            rows.append((track.video, seconds, 0.2, 0.2, 0.5, 0.6, LABELS[t % 2], track.entity))
    layout.loader("train").parent.mkdir(parents=True)
    write_loader(layout.loader("train"), tracks)
    with layout.original("train").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help='sources, as for pushpull.train, or "made"')
    parser.add_argument("--config", type=Path, help="of pushpull.train")
    parser.add_argument("--batches", type=int, default=20, help="(20)")
    given = parser.parse_args()
    values = json.loads(given.config.read_text()) if given.config else {}
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        if given.data == "made":
            make_tree(Path(folder))
        data = f"ava:{folder}" if given.data == "made" else given.data
        options = from_dict(TrainOptions, values | {"data": data, "warmup_frames": 0})
        pool = read_clips(options, progress=True, croppers=1)["train"]
        training_batch(options, pool, 0)
        frames, began = 0, time.process_time()
        for index in range(1, given.batches + 1):
            frames += training_batch(options, pool, index).labels.numel()
        seconds = time.process_time() - began
    print(f"{frames / seconds:.0f} frames per second of a worker, {frames / given.batches:.0f} frames a batch")


if __name__ == "__main__":
    main()
