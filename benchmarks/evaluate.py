"""What an evaluation costs: clips attacked a second, and how long the paper's 450 clips take.

    python benchmarks/evaluate.py                       talknet-lite, BIM-10, clips of 3 seconds
    python benchmarks/evaluate.py --model lr-asd-ava    another detector
    python benchmarks/evaluate.py --batch 1             one clip at a time, for the ratio

What is timed is what ``python -m pushpull.evaluate`` does for one condition: the attack in batches, both scorings, and
all figures of every example. The clips are noise, which costs what footage costs.
"""

import argparse
import time

import numpy as np
import torch

from pushpull.attacks import BIM
from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.evaluation.crafting import BATCH, Condition, Evaluator
from pushpull.evaluation.examples import Example
from pushpull.evaluation.subjects import Subject

PAPER = 450  # clips, section 4.1


def clips(count: int, frames: int) -> list[Example]:
    """Noise with labels that alternate."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        video = rng.integers(0, 256, (frames, 112, 112), dtype=np.uint8)
        audio = rng.normal(0, 0.1, frames * SAMPLES_PER_FRAME).clip(-1, 1).astype(np.float32)
        labels = np.full(frames, number % 2, dtype=np.int64)
        found.append(
            Example(Clip(audio=audio, video=video, labels=labels, name=f"{number}"), "film", f"{number}", "noise")
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="talknet-lite", help="name or path (%(default)s)")
    parser.add_argument("--clips", type=int, default=16, help="how many are timed (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each (%(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="of BIM (%(default)s)")
    parser.add_argument("--batch", type=int, default=BATCH, help="clips attacked together (%(default)s)")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    subject = Subject.of(given.model, device=given.device)
    frames = round(25 * given.seconds)
    condition = Condition(source=subject.name, attack=BIM(steps=given.steps), objective="inference_aware")
    Evaluator([subject], clips(2, frames), batch=2).run(condition)  # the first calls choose kernels and take memory
    examples = clips(given.clips, frames)
    began = time.perf_counter()
    Evaluator([subject], examples, batch=given.batch).run(condition)
    seconds = time.perf_counter() - began
    rate = len(examples) / seconds
    device = torch.cuda.get_device_name(subject.device) if subject.device.type == "cuda" else "CPU"
    print(
        f"{subject.name}, BIM-{given.steps}, {given.seconds:g} s, batch {given.batch}, {device}, "
        f"{torch.get_num_threads()} threads: {rate:.2f} clips/s, {rate * frames:.0f} frames/s, "
        f"{PAPER} clips in {PAPER / rate / 60:.1f} min"
    )


if __name__ == "__main__":
    main()
