"""How long one BIM step takes, against a direct implementation of it and against the machine's matrix products.

Usage:
    python benchmarks/attack_step.py                    # every network, 75 frames, every core
    python benchmarks/attack_step.py --networks lr-asd light-asd
    python benchmarks/attack_step.py --threads 2 --repeats 9
    python benchmarks/attack_step.py --bfloat16         # and once more with gradients in half precision
    python benchmarks/attack_step.py --device cuda --json

A *reference* step is what one writes first: the same weights, both modalities, evaluation mode, the official Conv3d and
batch normalisations, ``loss.backward()`` with parameters that require gradients. *Ours* is a step of ``BIM.run`` on
the copy made for attacks, timed between two of its callbacks, bookkeeping included. "full" and "lite" are TalkNet's
sizes, attacked through all its heads; Light-ASD and LR-ASD, which have no audio-only head, through the one that
inference uses. Repetitions of everything are interleaved, so that whatever else the machine does hits all of them
alike; figures are medians, the best beside them.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pushpull  # noqa: E402, F401  isort: skip  (before torch: it says how long idle threads spin)

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from benchmarks.conv3d import Conv3dEncoder  # noqa: E402
from pushpull.attacks import BIM, paper_budget  # noqa: E402
from pushpull.attacks.objectives import get_objective  # noqa: E402
from pushpull.detectors import LRASD, LightASD, TalkNet, TalkNetConfig, attackable, resolve_device  # noqa: E402  # noqa: E402
from pushpull.detectors.talknet.network import GREY_MEAN, GREY_STD  # noqa: E402

EPS_AV = 5.0  # the paper's main budget
TALKNETS = ("full", "lite")
OTHERS = {"light-asd": LightASD, "lr-asd": LRASD}
MATRIX = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # side: 17 GFLOP on a CPU, about a tenth of a second
Tensors = dict[str, Tensor]


class ReferenceTalkNet(TalkNet):
    """The same weights, the stem as the official Conv3d, all frames at once."""

    def encode_video(self, video: Tensor) -> Tensor:
        frontend = self.visualFrontend
        x = frontend.frontend3D((video[:, None] / 255 - GREY_MEAN) / GREY_STD)
        x = nn.Sequential(*frontend.resnet.layers())(x.transpose(1, 2).flatten(0, 1)).mean(dim=(2, 3))
        return self.visualConv1D(self.visualTCN(x.unflatten(0, video.shape[:2]).transpose(1, 2))).transpose(1, 2)


@dataclass(frozen=True)
class Row:
    """One network: seconds are of a step, ``gflop`` is what a step needs (forward, and back to the inputs alone)."""

    network: str
    gflop: float
    reference_seconds: list[float]
    our_seconds: list[float]
    half_seconds: list[float]  # in bfloat16; none where it was not asked for

    @property
    def speedup(self) -> float:
        return statistics.median(self.reference_seconds) / statistics.median(self.our_seconds)

    @property
    def best_speedup(self) -> float:
        return min(self.reference_seconds) / min(self.our_seconds)


def clock(device: torch.device) -> float:
    """Seconds, once everything queued on ``device`` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def reference_step(model: nn.Module, inputs: Tensors, labels: Tensor, objective: str, device: torch.device) -> float:
    """Seconds of one textbook BIM step."""
    budgets = paper_budget(EPS_AV)
    started = clock(device)
    leaves = {name: values.detach().requires_grad_() for name, values in inputs.items()}
    model.zero_grad(set_to_none=True)
    get_objective(objective)(model(leaves), labels).sum().backward()
    for name, values in leaves.items():
        budget = budgets[name]
        moved = values.detach() + 0.25 * budget.eps * values.grad.sign()
        low, high = inputs[name] - budget.eps, inputs[name] + budget.eps
        moved.clamp(low, high).clamp(budget.lo, budget.hi)
    return clock(device) - started


def our_step(
    model: nn.Module,
    inputs: Tensors,
    labels: Tensor,
    objective: str,
    device: torch.device,
    autocast: torch.dtype | None = None,
) -> float:
    """Seconds between two evaluations of a BIM run: move, project, forward, backward, bookkeeping."""
    instants = []

    def on_step(step):
        instants.append(clock(device))
        return step.step < 1

    common = {"budgets": paper_budget(EPS_AV), "objective": objective}
    BIM(steps=10).run(model, inputs, labels, on_step=on_step, autocast=autocast, **common)
    return instants[1] - instants[0]


def matrix_rate(device: torch.device) -> float:
    """GFLOP/s of one float32 matrix product."""
    side = MATRIX.get(device.type, 2048)
    left, right = torch.rand(2, side, side, device=device)
    started = clock(device)
    left @ right
    return 2 * side**3 / 1e9 / (clock(device) - started)


def reference_and_fast(network: str) -> tuple[nn.Module, nn.Module]:
    """Two copies of one network with random weights, in evaluation mode: as first written, and made for attacks."""
    torch.manual_seed(0)
    if network in OTHERS:
        model = OTHERS[network]().eval()
        fast = model.fast()
        model.model.visualEncoder = Conv3dEncoder(model.model.visualEncoder)
        return model.eval(), fast
    model = TalkNet(TalkNetConfig(size=network)).eval()
    reference = ReferenceTalkNet(model.config).eval()
    reference.load_state_dict(model.state_dict())
    return reference, attackable(model)


Steps = tuple[float, Callable[[], float], Callable[[torch.dtype | None], float]]


def prepare(network: str, frames: int, device: torch.device) -> Steps:
    """GFLOP of a step, and a reference step and one of ours (in the precision it is given), each giving its seconds."""
    generator = torch.Generator().manual_seed(0)
    reference, fast = (model.to(device) for model in reference_and_fast(network))
    objective = "training_aware" if network in TALKNETS else "inference_aware"
    inputs = {
        "audio": 0.1 * torch.randn(1, 640 * frames, generator=generator).clamp(-3, 3),
        "video": 255 * torch.rand(1, frames, 112, 112, generator=generator),
    }
    inputs = {name: values.to(device) for name, values in inputs.items()}
    labels = torch.ones(1, frames, dtype=torch.int64, device=device)
    # Compared without the 10-bit products that a GPU's convolutions may take; timed with what is usual.
    exact = torch.backends.cudnn.flags(allow_tf32=False)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), exact:
        expected = reference(inputs).margin
    # Back to the inputs costs what forward costs; gradients of weights would cost as much again.
    gflop = 2 * counter.get_total_flops() / 1e9
    with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        difference = (fast(inputs).margin - expected).abs().max().item()
    if difference > 1e-3:
        raise SystemExit(f"the two {network} models disagree by {difference:.2g}: there is nothing to compare")
    return (
        gflop,
        lambda: reference_step(reference, inputs, labels, objective, device),
        lambda autocast: our_step(fast, inputs, labels, objective, device, autocast),
    )


def measure(
    networks: list[str], frames: int, repeats: int, device: torch.device, half: bool = False
) -> tuple[list[Row], list[float]]:
    """A row for each network, and the matrix rates in GFLOP/s taken in between."""
    steps = {network: prepare(network, frames, device) for network in networks}
    rows = {network: Row(network, gflop, [], [], []) for network, (gflop, _, _) in steps.items()}
    rates = []
    for repeat in range(repeats + 1):
        counted = repeat > 0  # the first warms up
        rate = matrix_rate(device)
        rates += [rate] * counted
        for network, (_, reference, ours) in steps.items():
            reference_seconds, our_seconds = reference(), ours(None)
            rows[network].reference_seconds.extend([reference_seconds] * counted)
            rows[network].our_seconds.extend([our_seconds] * counted)
            if half:
                half_seconds = ours(torch.bfloat16)
                rows[network].half_seconds.extend([half_seconds] * counted)
        if sys.stderr.isatty():
            print(f"\r{repeat} of {repeats}", end="\n" if repeat == repeats else "", file=sys.stderr, flush=True)
    return list(rows.values()), rates


def report(rows: list[Row], rates: list[float], frames: int) -> None:
    rate = max(rates)
    print(f"matrix product (float32): {rate:.0f} GFLOP/s best, {statistics.median(rates):.0f} median\n")
    print(f"one BIM step, {frames} frames, audio and video     median (best) of {len(rates)}")
    print("network     GFLOP   reference, s       ours, s          ratio           ours, GFLOP/s   of the matrix rate")
    for row in rows:
        reference, ours = statistics.median(row.reference_seconds), statistics.median(row.our_seconds)
        speed, best = row.gflop / ours, row.gflop / min(row.our_seconds)
        print(
            f"{row.network:10} {row.gflop:6.1f}   {reference:6.3f} ({min(row.reference_seconds):6.3f})  {ours:6.3f} "
            f"({min(row.our_seconds):6.3f})  {row.speedup:5.2f} ({row.best_speedup:5.2f})   {speed:6.0f} ({best:6.0f})"
            f"   {speed / statistics.median(rates):6.0%} ({best / rate:.0%})"
        )
    for row in rows:
        if row.half_seconds:
            half, best = statistics.median(row.half_seconds), min(row.half_seconds)
            ratio, best_ratio = statistics.median(row.our_seconds) / half, min(row.our_seconds) / best
            print(f"{row.network} in bfloat16: {half:.3f} ({best:.3f}) s, {ratio:.2f} ({best_ratio:.2f}) times as fast")
    by_size = {row.network: row for row in rows}
    if {"full", "lite"} <= set(by_size):
        full, lite = by_size["full"].our_seconds, by_size["lite"].our_seconds
        median = statistics.median(full) / statistics.median(lite)
        print(f"\na lite step is {median:.1f} ({min(full) / min(lite):.1f}) times cheaper than a full one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    everything = [*TALKNETS, *OTHERS]
    parser.add_argument("--networks", nargs="+", choices=everything, default=everything)
    parser.add_argument("--frames", type=int, default=75, help="video frames of the clip, 25 per second (75)")
    parser.add_argument("--repeats", type=int, default=7, help="steps of each kind, after one to warm up (7)")
    parser.add_argument("--threads", type=int, help="CPU threads (as torch chooses)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--bfloat16", action="store_true", help="our step once more with gradients in bfloat16")
    parser.add_argument("--json", action="store_true", help="every single timing, as JSON")
    options = parser.parse_args()
    if options.frames < 1 or options.repeats < 1 or (options.threads is not None and options.threads < 1):
        parser.error("frames, repeats and threads must be at least 1")
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        device = resolve_device(options.device)
    except ValueError as error:
        parser.error(str(error))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    rows, rates = measure(options.networks, options.frames, options.repeats, device, options.bfloat16)
    if options.json:
        machine = {"device": f"{device} ({name})", "threads": torch.get_num_threads(), "torch": torch.__version__}
        found = [asdict(row) | {"speedup": row.speedup, "best_speedup": row.best_speedup} for row in rows]
        print(json.dumps(machine | {"frames": options.frames, "matrix_gflops": rates, "rows": found}, indent=2))
        return
    print(f"{device} ({name}), {torch.get_num_threads()} threads, torch {torch.__version__}")
    report(rows, rates, options.frames)


if __name__ == "__main__":
    main()
