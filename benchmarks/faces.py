"""How fast faces are found, and what looking at every fourth frame costs against looking at all of them.

python benchmarks/faces.py assets/*.mp4 FILE ...

For each file, by turns in one run: seconds of video a second of waiting (searching alone), every frame and as it is
done; mean intersection over union of the boxes; number of tracks; share of frames on which the detector decides alike.
Last, what 500 pictures of 512 x 512 add to the memory of this process and of its children.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pushpull  # noqa: E402, F401  isort: skip  (before torch: it says how long idle threads spin)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from pushpull.clip import Clip, fit_audio  # noqa: E402
from pushpull.detectors import load_model  # noqa: E402
from pushpull.faces import FaceDetector, Track, crop_tracks, find_tracks  # noqa: E402
from pushpull.faces.find import STRIDE  # noqa: E402
from pushpull.faces.tracking import overlaps  # noqa: E402
from pushpull.media import read_audio, read_frames  # noqa: E402


def matched(track: Track, others: list[Track]) -> Track | None:
    """The track that follows the same face."""

    def shared(other: Track) -> float:
        frames = range(max(track.start, other.start), min(track.stop, other.stop))
        return sum(overlap(track, other, frame) for frame in frames)

    return max(others, key=shared, default=None)


def overlap(track: Track, other: Track | None, frame: int) -> float:
    """Intersection over union in a frame; 0 where one of them is not there."""
    if other is None or not other.start <= frame < other.stop:
        return 0.0
    return float(overlaps(track.boxes[frame - track.start][None], other.boxes[frame - other.start][None])[0, 0])


def decisions(path: Path, tracks: list[Track], model) -> dict[int, np.ndarray]:
    """By track number: whether the detector says speaking, by frame of the file."""
    audio = read_audio(path)
    said = {}
    for number, video in enumerate(crop_tracks(read_frames(path), tracks)["talknet_demo"]):
        track = tracks[number]
        sound = fit_audio(audio[track.start * 640 :], len(video))
        with torch.no_grad():
            said[number] = (model(Clip(audio=sound.copy(), video=video).inputs()).margin[0] > 0).numpy()
    return said


def compare(path: Path, model) -> dict:
    """One file, both ways."""
    times, tracks = {}, {}
    for stride in (1, STRIDE):
        began = time.perf_counter()
        tracks[stride] = find_tracks(path, stride=stride)
        times[stride] = time.perf_counter() - began
    seconds = sum(1 for _ in read_frames(path, max_side=64)) / 25
    before, after = decisions(path, tracks[1], model), decisions(path, tracks[STRIDE], model)
    shared, same = [], []
    for number, track in enumerate(tracks[1]):
        other = matched(track, tracks[STRIDE])
        shared += [overlap(track, other, frame) for frame in range(track.start, track.stop)]
        if other is None:
            continue
        index = next(i for i, candidate in enumerate(tracks[STRIDE]) if candidate is other)
        both = range(max(track.start, other.start), min(track.stop, other.stop))
        same += [before[number][frame - track.start] == after[index][frame - other.start] for frame in both]
    return {
        "every": seconds / times[1],
        "now": seconds / times[STRIDE],
        "iou": float(np.mean(shared)),
        "tracks": (len(tracks[1]), len(tracks[STRIDE])),
        "same": float(np.mean(same)),
    }


def resident() -> int:
    """Bytes of this process and its children (Linux)."""
    page, total, mine = os.sysconf("SC_PAGE_SIZE"), 0, str(os.getpid())
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
                if folder.name == mine or parent == mine:
                    total += int((folder / "statm").read_text().split()[1]) * page
            except OSError:
                continue
    return total


def growth(pictures: int = 500) -> float:
    """MB that ``pictures`` add after as many to warm up."""
    picture = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    with FaceDetector() as detector:
        sizes = []
        for _ in range(2):
            for _ in range(pictures):
                detector(picture)
            sizes.append(resident())
    return (sizes[1] - sizes[0]) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="talknet-lite")
    options = parser.parse_args()
    model = load_model(options.model, "cpu")
    print(f"{'':28} {'every frame':>12} {f'every {STRIDE}th':>12}   mean IoU   tracks   same decision")
    for path in options.files:
        found = compare(path, model)
        first, second = found["tracks"]
        print(
            f"{path.name:28} {found['every']:10.2f} x {found['now']:10.2f} x   {found['iou']:8.3f}   {first:2} "
            f"{second:2}   {found['same']:13.1%}",
            flush=True,
        )
    if sys.platform == "linux":
        print(f"500 pictures of 512 x 512 after 500 others: {growth():+.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
