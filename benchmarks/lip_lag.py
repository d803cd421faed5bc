"""Where a detector finds the lips of clips in sync, before or after their sound: pictures are moved against it.

    python benchmarks/lip_lag.py --data talkheads:heads,talkset:grid_s1 --models talknet-lite --clips 24

Prints, for every source and detector, the mean log-odds of the frames in which the voice is heard, by how much later
the picture was shown than it was filmed, and in how many clips they are highest there.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from pushpull.clip import FPS, SAMPLES_PER_FRAME, Clip  # noqa: E402
from pushpull.data.sources import read_sources  # noqa: E402
from pushpull.data.talkset import TalkSetOptions  # noqa: E402
from pushpull.detectors import card_of, load_detector  # noqa: E402

LEAST = 20  # frames that speak, for a clip to count


def by_lag(detector, clips: Iterable[Clip], most: int) -> np.ndarray:
    """(clips, 2 most + 1) mean log-odds of speaking frames; column ``most`` is the clip as it is, the first ones show
    each picture before its time."""
    rows = []
    for clip in clips:
        inputs, row = clip.inputs(), []
        speaks = torch.from_numpy(clip.labels) == 1
        if speaks.sum() < LEAST:
            continue
        for lag in range(-most, most + 1):
            first, last = max(0, lag), min(clip.frames, clip.frames + lag)
            moved = {
                "audio": inputs["audio"][:, first * SAMPLES_PER_FRAME : last * SAMPLES_PER_FRAME],
                "video": inputs["video"][:, first - lag : last - lag],
            }
            with torch.no_grad():
                row.append(detector(moved).margin[0][speaks[first:last]].mean().item())
        rows.append(row)
    return np.array(rows).reshape(-1, 2 * most + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="sources, as for pushpull.train; held-out clips are taken")
    parser.add_argument("--models", default="talknet-lite", help="detectors, comma-separated")
    parser.add_argument("--clips", type=int, default=24, help="of every source")
    parser.add_argument("--most", type=int, default=4, help="frames of 40 ms that pictures are moved by")
    given = parser.parse_args()
    lags = range(-given.most, given.most + 1)
    for name in given.models.split(","):
        detector = load_detector(name, "cpu")
        pool = read_sources(given.data, TalkSetOptions(crop=card_of(detector).crop), progress=None)["test"]
        for source, corpus in pool.by_source().items():
            found = by_lag(detector, (corpus[i] for i in range(min(given.clips, len(corpus)))), given.most)
            if not len(found):
                print(f"{source}: no held-out clip in sync in which somebody speaks")
                continue
            highest = np.bincount(found.argmax(axis=1), minlength=len(lags))
            print(f"{name} ({card_of(detector).sha256[:16]}) on {len(found)} clips of {source}")
            print("  picture late by, ms " + " ".join(f"{1000 * lag // FPS:6d}" for lag in lags))
            print("  mean log-odds       " + " ".join(f"{value:6.2f}" for value in found.mean(axis=0)))
            print("  highest, clips      " + " ".join(f"{count:6d}" for count in highest))


if __name__ == "__main__":
    main()
