"""Whether a long track is better scored whole or in windows: normalisations and attention were trained on 1 to 3 s.

python benchmarks/long_tracks.py CHECKPOINT --data SOURCE

Give a source of another domain than the checkpoint was trained on (talking heads for one of GRID, and back). All its
clips are joined to tracks of the lengths asked for; stretch by stretch a track has its own sound, another clip's, or
its own 200 to 800 ms early or late. The same tracks are scored whole and in windows of several lengths that overlap by
half (log-odds averaged with the weight of a triangle). Intervals are over tracks, 1,000 bootstrap samples of the
difference.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pushpull  # noqa: E402, F401  isort: skip  (before torch: it says how long idle threads spin)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from pushpull.clip import FPS, SAMPLES_PER_FRAME, Clip  # noqa: E402
from pushpull.data.mix import make_example, other_clip  # noqa: E402
from pushpull.data.sources import read_sources  # noqa: E402
from pushpull.data.talkset import TalkSetOptions  # noqa: E402
from pushpull.detectors import load_detector  # noqa: E402
from pushpull.metrics import average_precision, frame_accuracy  # noqa: E402

KINDS = ("in_sync", "in_sync", "swapped", "shifted")


def make_tracks(pool, frames: int, count: int, seed: int) -> list[Clip]:
    """``count`` tracks of ``frames``, joined from the pool's clips in an order of their own."""
    tracks = []
    for number in range(count):
        rng = np.random.default_rng([seed, number, frames])
        video, audio, labels, length = [], [], [], 0
        while length < frames:
            index = int(rng.integers(len(pool)))
            clip, kind = pool[index], KINDS[rng.integers(len(KINDS))]
            neighbour = partial(other_clip, pool, index, rng)
            part = make_example(kind, clip, neighbour, rng, start=0, frames=clip.frames)
            video.append(part.video)
            audio.append(part.audio)
            labels.append(part.labels)
            length += part.frames
        tracks.append(
            Clip(
                audio=np.concatenate(audio)[: frames * SAMPLES_PER_FRAME],
                video=np.concatenate(video)[:frames].astype(np.float32),
                labels=np.concatenate(labels)[:frames],
            )
        )
    return tracks


@torch.no_grad()
def scores(detector, clip: Clip, window: float | None) -> np.ndarray:
    """(T,) log-odds of speaking; ``window`` seconds at a time, or whole."""
    if window is None:
        return detector(clip.inputs()).margin[0].numpy()
    size = round(window * FPS)
    total, weight = np.zeros(clip.frames), np.zeros(clip.frames)
    begins = sorted({*range(0, max(1, clip.frames - size), max(1, size // 2)), max(0, clip.frames - size)})
    for begin in begins:
        part = clip.span(begin, min(begin + size, clip.frames))
        triangle = np.minimum(np.arange(1, part.frames + 1), np.arange(part.frames, 0, -1)).astype(float)
        total[begin : begin + part.frames] += triangle * detector(part.inputs()).margin[0].numpy()
        weight[begin : begin + part.frames] += triangle
    return total / weight


def figures(said: list[np.ndarray], labels: list[np.ndarray]) -> tuple[float, float]:
    """AVA-AP and accuracy at log-odds 0 over all frames, in percent."""
    said, labels = np.concatenate(said), np.concatenate(labels)
    return 100 * average_precision(said, labels), 100 * frame_accuracy(said > 0, labels == 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--data", required=True, help="as of pushpull.train; all its splits are used")
    parser.add_argument("--seconds", type=float, nargs="+", default=[3, 20, 60, 180])
    parser.add_argument("--windows", type=float, nargs="+", default=[2, 3, 5, 10])
    parser.add_argument("--tracks", type=int, default=12, help="of each length, fewer of long ones")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    detector = load_detector(options.checkpoint, "cpu")
    splits = read_sources(options.data, TalkSetOptions())
    pool = splits["train"] if len(splits["train"]) else splits["test"]
    print(f"{len(pool)} clips; AP and accuracy in %, difference to whole with its 95 % interval over tracks")
    for seconds in options.seconds:
        count = max(4, min(options.tracks, round(options.tracks * 60 / seconds)))
        tracks = make_tracks(pool, round(seconds * FPS), count, options.seed)
        labels = [track.labels for track in tracks]
        whole = [scores(detector, track, None) for track in tracks]
        ap, right = figures(whole, labels)
        floor = 100 * float(np.mean(np.concatenate(labels)))
        print(f"{seconds:g} s, {count} tracks, floor {floor:.1f}: whole {ap:.1f} AP, {right:.1f} right", flush=True)
        for window in (w for w in options.windows if w < seconds):
            cut = [scores(detector, track, window) for track in tracks]
            rng, apart = np.random.default_rng(1), []
            for _ in range(1000):
                drawn = rng.integers(count, size=count)
                pick = lambda values, drawn=drawn: [values[i] for i in drawn]  # noqa: E731
                apart.append(np.subtract(figures(pick(cut), pick(labels)), figures(pick(whole), pick(labels))))
            low, high = np.percentile(apart, [2.5, 97.5], axis=0)
            ap2, right2 = figures(cut, labels)
            print(
                f"    windows of {window:g} s: {ap2:.1f} AP ({ap2 - ap:+.1f} [{low[0]:+.1f}, {high[0]:+.1f}]), "
                f"{right2:.1f} right ({right2 - right:+.1f} [{low[1]:+.1f}, {high[1]:+.1f}])",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
