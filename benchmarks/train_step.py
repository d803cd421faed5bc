"""How fast training goes, against a step alone, and how long it waits for its data.

Usage:
    python benchmarks/train_step.py --data talkset:grid_s1,talkheads:heads
    python benchmarks/train_step.py --data ... --size full --steps 6 --device cuda
    python benchmarks/train_step.py --data ... --architecture lr-asd --crop face_box --frames 400 --precision bfloat16

*Training* is ``pushpull.train`` itself: batches made by its worker, augmentation, loss, Adam, log. *Alone* is the same
network, loss and Adam on one batch that lies ready on the device, of the same number of frames. Of Light-ASD and LR-ASD
*conv3d* is that step alone with the convolutions as first written. Blocks of all take turns in one run, so that
whatever else the machine does hits them alike; figures are medians of the steps.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pushpull  # noqa: E402, F401  isort: skip  (before torch: it says how long idle threads spin)

import torch  # noqa: E402

from benchmarks.conv3d import Conv3dEncoder  # noqa: E402
from pushpull.detectors import resolve_device  # noqa: E402
from pushpull.training.figures import read_clips  # noqa: E402
from pushpull.training.loss import training_batch, training_loss  # noqa: E402
from pushpull.training.networks import ARCHITECTURES, TALKNET, build  # noqa: E402
from pushpull.training.options import TrainOptions  # noqa: E402
from pushpull.training.trainer import train  # noqa: E402

# Steps at the start of each block that are not counted: the workers begin with empty queues, and on a GPU the first
# batch of every length waits for its convolutions to be planned.
SETTLING = {"cpu": 3, "cuda": 250, "mps": 50}


def alone_seconds(options: TrainOptions, pool, steps: int, conv3d: bool = False) -> list[float]:
    """Seconds of each step on a batch that is there; ``conv3d`` takes Light-ASD or LR-ASD as first written."""
    device = resolve_device(options.device)
    bfloat16 = options.precision == "bfloat16" or (device.type == "cuda" and options.precision == "auto")
    batch = training_batch(options, pool, 0)
    inputs = {"audio": batch.audio.to(device), "video": batch.video.to(device).float()}
    labels = batch.labels.to(device)
    model = build(options.architecture, options.variant, options.size)
    if conv3d:
        model.model.visualEncoder = Conv3dEncoder(model.model.visualEncoder)
    model = model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate, fused=device.type == "cuda")
    seconds = []
    for _ in range(steps + SETTLING["cpu"]):
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            outputs = model(inputs)
        loss, _ = training_loss(options, outputs, labels, 0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append((time.perf_counter() - began) * options.batches.frames / labels.numel())
    return seconds[SETTLING["cpu"] :]


def loop_seconds(options: TrainOptions, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of each step of the real loop, and how many of them it waited for its batch."""
    settling = SETTLING[resolve_device(options.device).type]
    with tempfile.TemporaryDirectory() as folder:
        frames = (steps + settling) * options.step_frames
        train(replace(options, frames=frames), folder, progress=False)
        entries = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    steps = [entry for entry in entries if "loss" in entry]
    ends = [entry["seconds"] for entry in steps]
    taken = [after - before for before, after in zip(ends, ends[1:], strict=False)]
    return taken[settling - 1 :], [entry["waited"] for entry in steps[settling:]]


def main() -> None:
    defaults = TrainOptions()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="sources, as for pushpull.train")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default=TALKNET)
    parser.add_argument("--size", choices=["lite", "full"], default="lite", help="of TalkNet (lite)")
    parser.add_argument(
        "--crop", default=defaults.footage.crop, help="of footage, talknet_demo or face_box (%(default)s)"
    )
    parser.add_argument("--frames", type=int, default=1000, help="video frames of a batch (1000)")
    parser.add_argument("--steps", type=int, default=12, help="of each kind in a block (12)")
    parser.add_argument("--blocks", type=int, default=2, help="turns that each kind gets (2)")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches (1)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (as torch chooses)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16, as for pushpull.train (auto)")
    given = parser.parse_args()
    options = replace(
        defaults,
        data=given.data,
        architecture=given.architecture,
        size=given.size,
        warmup_frames=0,
        validation_clips=0,
        recalibration=0,
        device=given.device,
        precision=given.precision,
        threads=given.threads,
        workers=given.workers,
        batches=replace(defaults.batches, frames=given.frames),
        # What follows the last step is not what is measured.
        footage=replace(defaults.footage, test=0.001, crop=given.crop),
    )
    if given.threads:
        torch.set_num_threads(given.threads)
    pool = read_clips(options, progress=False, croppers=1)["train"]
    alone, written, looped, waited = [], [], [], []
    for _ in range(given.blocks):
        alone += alone_seconds(options, pool, given.steps)
        if given.architecture != TALKNET:
            written += alone_seconds(options, pool, given.steps, conv3d=True)
        taken, idle = loop_seconds(options, given.steps)
        looped, waited = looped + taken, waited + idle
    frames = given.frames
    one, other = statistics.median(alone), statistics.median(looped)
    where = f"{resolve_device(given.device)}, {given.precision} precision, {torch.get_num_threads()} threads"
    name = given.size if given.architecture == TALKNET else given.architecture
    print(f"{name}, {frames} frames a batch, {where}")
    print(f"step alone    {one:7.3f} s  {frames / one:7.0f} frames/s")
    if written:
        conv3d = statistics.median(written)
        print(f"conv3d        {conv3d:7.3f} s  {frames / conv3d:7.0f} frames/s   {conv3d / one:.2f} of the step alone")
    print(f"training step {other:7.3f} s  {frames / other:7.0f} frames/s   {other / one:.2f} of the step alone")
    print(f"waiting for batches {sum(waited) / sum(looped):.1%} of the time")


if __name__ == "__main__":
    main()
