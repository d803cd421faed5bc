"""How fast talking heads are drawn: frames per second at 160 px, with two processes that draw on one core each.

    python benchmarks/render.py --size 160 --workers 2 --people 8 --frames 25

Prints the wall clock's rate of all processes together and the CPU time per frame and per person of each, which other
work on the machine disturbs less. Building a person (mesh, hair, ambient) is counted in the rate of the last column:
clips of 75 frames, as `make` writes them.
"""

import argparse
import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

CLIP = 75  # frames


def work(task: tuple[int, int, int, int, int]) -> tuple[float, float, float, float]:
    """(CPU s per frame, CPU s per person, wall s while drawing, peak MB) of one process."""
    first, people, frames, size, oversample = task
    import numpy as np

    from pushpull.data.talkheads.bake import load_basis
    from pushpull.data.talkheads.camera import Light, Pose, View
    from pushpull.data.talkheads.head import Head
    from pushpull.data.talkheads.identity import sample_identity
    from pushpull.data.talkheads.render import Renderer

    basis, drawing, building, wall = load_basis(), 0.0, 0.0, 0.0
    with Renderer(size, size, oversample=oversample) as renderer:
        renderer.backdrop(np.full((64, 64, 3), 110, np.uint8))
        for seed in range(first, first + people):
            begin = time.process_time()
            head = Head(basis, sample_identity(seed, basis.shapes))
            actor = renderer.actor(head)
            building += time.process_time() - begin
            begin, clock = time.process_time(), time.perf_counter()
            for k in range(frames):
                pose = Pose(units=head.weights({"jawOpen": 0.4 * (k % 5) / 5}), yaw=0.02 * k)
                renderer.draw([(actor, pose)], View(height=2.9), Light())
            drawing += time.process_time() - begin
            wall += time.perf_counter() - clock
            actor.release()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return drawing / (people * frames), building / people, wall, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=160, help="pixels")
    parser.add_argument("--oversample", type=int, default=1, help="drawn so many times larger and averaged down")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--people", type=int, default=8, help="for each process")
    parser.add_argument("--frames", type=int, default=25, help="for each person")
    given = parser.parse_args()
    os.environ["LP_NUM_THREADS"] = "0"  # draw in the calling thread; llvmpipe would start one per core in each
    tasks = [(100 * k, given.people, given.frames, given.size, given.oversample) for k in range(given.workers)]
    with ProcessPoolExecutor(given.workers) as pool:
        results = list(pool.map(work, tasks))
    frames = given.people * given.frames
    print(f"{given.size} px, oversample {given.oversample}, {given.workers} processes, {given.people} people each")
    for frame, person, wall, peak in results:
        print(
            f"  CPU {1e3 * frame:5.1f} ms/frame, {1e3 * person:4.0f} ms/person; wall {frames / wall:5.1f} frames/s; "
            f"in clips of {CLIP} frames {1 / (frame + person / CLIP):5.1f} frames per CPU second; peak {peak:.0f} MB"
        )
    print(f"together: {sum(frames / wall for _, _, wall, _ in results):.1f} frames/s on the wall's clock")


if __name__ == "__main__":
    main()
