"""How fast talking heads are made, end to end: voice, animation, drawing, camera, detector, crops, files.

    python benchmarks/talkheads.py --clips 12 --workers 2

Prints frames per second of the whole command after its workers have started, and where one worker's time goes.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from pushpull.data.talkheads.crops import cut_faces  # noqa: E402
from pushpull.data.talkheads.make import MakeOptions, Studio, make  # noqa: E402
from pushpull.data.talkheads.perform import perform  # noqa: E402
from pushpull.data.talkheads.scene import prepare, shoot  # noqa: E402
from pushpull.data.talkheads.script import ScriptOptions, draw_script  # noqa: E402


def stages(options: MakeOptions, clips: int) -> dict[str, float]:
    """Processor seconds per clip of every stage, in this process; the synthesisers' own processes are not in it."""
    spent = dict.fromkeys(("voice", "animation", "drawing and camera", "detector and crops"), 0.0)
    with Studio(options.frame_size, options.oversample) as studio:
        for number in range(clips):
            script = draw_script(options.seed, number, options.split(number), options.script, studio.describe)
            marks = [time.process_time()]
            played = perform(script)
            marks.append(time.process_time())
            film = prepare(script, played, studio.basis, studio.size)
            marks.append(time.process_time())
            frames = list(shoot(film, studio.renderer))
            marks.append(time.process_time())
            cut_faces(frames, film.boxes)
            marks.append(time.process_time())
            for name, seconds in zip(spent, np.diff(marks), strict=True):
                spent[name] += seconds / clips
    return spent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--oversample", type=int, default=MakeOptions.oversample)
    given = parser.parse_args()
    options = MakeOptions(
        clips=given.clips, size=given.size, oversample=given.oversample, script=ScriptOptions(seconds=3.0)
    )
    at = []
    with tempfile.TemporaryDirectory() as folder:
        make(options, Path(folder), workers=given.workers, progress=lambda there: at.append(time.monotonic()))
    # Workers start once; the first clip of each pays for it.
    started = at[given.workers - 1]
    frames = (len(at) - given.workers) * options.script.seconds * 25
    print(f"{given.workers} workers, {given.size} px, oversample {given.oversample}, {given.clips} clips of 3 s:")
    print(f"{frames / (at[-1] - started):.1f} frames/s end to end")
    for name, seconds in stages(options, min(4, given.clips)).items():
        print(f"{name:>20}: {1000 * seconds / (options.script.seconds * 25):6.1f} ms of processor time per frame")


if __name__ == "__main__":
    main()
