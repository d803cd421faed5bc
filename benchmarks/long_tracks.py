"""Score long face tracks whole and in windows, and compare the two with intervals.

    python benchmarks/long_tracks.py --model checkpoints/talknet-lite.safetensors --data talkset:grid_s1

Clips are made into segments (in sync, another voice, own voice early or late) and joined to tracks of some length. The
same segments are in tracks of every length, so that only what surrounds a frame differs. Windows are those of
``pushpull.detectors.windowed``. Intervals (95 %) are of a bootstrap over the segments, those of
differences are paired.
"""

import argparse
import sys
from zlib import crc32

import numpy as np
import torch
from tqdm import tqdm

from pushpull.clip import FPS, Clip
from pushpull.data.mix import make_example, other_clip
from pushpull.data.sources import read_sources
from pushpull.data.talkset import TalkSetOptions
from pushpull.detectors import load_detector
from pushpull.detectors.windowed import Windowed
from pushpull.metrics import average_precision

KINDS = ("in_sync", "swapped", "shifted")


def segments(pools: list, count: int, seconds: float, shares: list[float], seed: int) -> list[Clip]:
    """``count`` labelled examples, each a stretch of a clip made into one of KINDS; those of one clip stay in sequence.

    Args:
        pools: of clips in sync, see :func:`pushpull.data.mix.make_example`; clips are taken in a drawn sequence.
        seconds: of a stretch at most; longer clips give several, and a rest under half of that is left out.
        shares: how often each of KINDS is drawn; they sum to 1.
    """
    rng = np.random.default_rng([seed, crc32(b"long tracks")])
    places = [(pool, index) for pool in pools for index in range(len(pool))]
    longest, made = round(seconds * FPS), []
    for place in rng.permutation(len(places)):
        pool, index = places[place]
        clip = pool[index]

        def neighbour(pool=pool, index=index):
            return other_clip(pool, index, rng)

        for start in range(0, clip.frames, longest):
            frames = min(longest, clip.frames - start)
            if 2 * frames >= longest and len(made) < count:
                kind = str(rng.choice(KINDS, p=shares))
                made.append(make_example(kind, clip, neighbour, rng, start=start, frames=frames))
    return made


def joined(parts: list[Clip]) -> Clip:
    """One track of several segments, one after the other."""
    return Clip(
        audio=np.concatenate([part.audio for part in parts]),
        video=np.concatenate([part.video for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )


def tracks_of(parts: list[Clip], seconds: float) -> list[Clip]:
    """The segments in as many tracks of about ``seconds`` as they fill, each of as many segments as any other."""
    each = max(1, round(seconds * FPS * len(parts) / sum(part.frames for part in parts)))
    return [joined(parts[start : start + each]) for start in range(0, len(parts), each)]


@torch.no_grad()
def score(detector, clip: Clip, window: float) -> np.ndarray:
    """(T,) log-odds of a track: whole, or in windows of so many seconds (0: whole)."""
    scored_by = Windowed(detector, window) if window else detector
    return scored_by(clip.inputs()).margin[0].float().numpy()


def figures(scores: list[np.ndarray], labels: list[np.ndarray]) -> tuple[float, float]:
    """Average precision and the share of frames on the right side of 0, in percent."""
    s, y = np.concatenate(scores), np.concatenate(labels)
    return 100 * average_precision(s, y), 100 * float(((s > 0) == (y == 1)).mean())


def compare(scores: dict[str, list[np.ndarray]], labels: list[np.ndarray], resamples: int, seed: int) -> str:
    """A table: each way of scoring with its difference to the first, and 95 % intervals of both."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(labels), size=(resamples, len(labels)))
    lines = [f"{'scored':<22}{'AP':>6}{'95 %':>14}{'- first':>9}{'95 %':>15}{'right':>7}{'- first':>9}{'95 %':>15}"]
    sampled, first = {}, None
    for name, each in scores.items():
        ap, right = figures(each, labels)
        sampled[name] = np.array([figures([each[i] for i in draw], [labels[i] for i in draw]) for draw in draws])
        low, high = np.percentile(sampled[name][:, 0], (2.5, 97.5))
        line = f"{name:<22}{ap:6.1f}{f'{low:.1f}..{high:.1f}':>14}"
        if first is None:
            first, begun = name, (ap, right)
            lines.append(f"{line}{'':>24}{right:7.1f}")
            continue
        apart = np.percentile(sampled[name] - sampled[first], (2.5, 97.5), axis=0)
        aps, rights = (f"{low:+.1f}..{high:+.1f}" for low, high in apart.T)
        lines.append(f"{line}{ap - begun[0]:+9.1f}{aps:>15}{right:7.1f}{right - begun[1]:+9.1f}{rights:>15}")
    return "\n".join(lines)


def measure(detector, parts: list[Clip], lengths: list[float], windows: list[float]) -> dict[str, list[np.ndarray]]:
    """Log-odds of every segment by how it was scored: whole in tracks of each length, in windows in the longest."""
    stops = np.cumsum([part.frames for part in parts])[:-1]
    longest = max(lengths)
    ways = [(longest, 0.0)] + [(length, 0.0) for length in lengths if length != longest]
    ways += [(longest, window) for window in windows]
    scores = {}
    for length, window in ways:
        name = f"{length:g} s, " + (f"windows of {window:g} s" if window else "whole")
        tracks = tqdm(tracks_of(parts, length), desc=name, leave=False)
        track_scores = [score(detector, track, window) for track in tracks]
        scores[name] = np.split(np.concatenate(track_scores), stops)
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a detector's name or file")
    parser.add_argument("--data", required=True, help="a source, as training takes it; of another domain, best")
    parser.add_argument("--split", default="", help="train, validation or test; default all clips there are")
    parser.add_argument("--segments", type=int, default=120, help="clips that tracks are joined of (%(default)s)")
    parser.add_argument("--segment_seconds", type=float, default=3, help="longer clips are cut (%(default)s)")
    parser.add_argument("--lengths", type=float, nargs="+", default=[3, 20, 60, 180], help="seconds (%(default)s)")
    parser.add_argument("--windows", type=float, nargs="+", default=[2, 3, 5, 10], help="seconds (%(default)s)")
    parser.add_argument("--shares", type=float, nargs=3, default=[0.5, 0.25, 0.25], help=f"of {', '.join(KINDS)}")
    parser.add_argument("--resamples", type=int, default=200, help="of the bootstrap (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of segments and bootstrap (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for torch's choice")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    splits = read_sources(given.data, TalkSetOptions())
    pools = [pool for split, pool in splits.items() if len(pool) > 1 and given.split in ("", split)]
    parts = segments(pools, given.segments, given.segment_seconds, given.shares, given.seed)
    if len(parts) < given.segments:
        print(f"only {len(parts)} clips for {given.segments} segments", file=sys.stderr)
    detector = load_detector(given.model, "cpu", "own")
    scores = measure(detector, parts, given.lengths, given.windows)
    labels = [part.labels for part in parts]
    seconds = sum(part.seconds for part in parts)
    speaking = 100 * np.concatenate(labels).mean()
    print(f"{given.model} on {given.data}: {len(parts)} segments, {seconds:.0f} s, {speaking:.1f} % speaking")
    print(compare(scores, labels, given.resamples, given.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
