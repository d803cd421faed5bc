"""Train an active speaker detector: one loop, read top to bottom.

python -m pushpull.train --data FOLDER --out runs/lite                       train; the same command goes on
python -m pushpull.train --data FOLDER --evaluate checkpoints/X.safetensors  held-out figures, kind by kind
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from pushpull.data.augment import Augmentation, augment_audio, augment_video
from pushpull.data.batches import Batching, make_batch, prefetch
from pushpull.data.heldout import evaluate_kinds, report_table
from pushpull.data.kinds import Kinds
from pushpull.data.talkset import TalkSetOptions, prepare
from pushpull.models import TalkNet, TalkNetConfig, load_model, resolve_device, save_checkpoint
from pushpull.options import from_dict, parse_options
from pushpull.trainlog import TrainLog, draw_curves, load_state, save_state


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Everything a run depends on; stored with its checkpoint. Counts of frames are video frames, 25 a second.

    Args:
        data: folder of talking-face footage, see pushpull.data.talkset.
        name: of the checkpoint.
        variant: "talknet", "nctalknet" or "spectalknet".
        size: "lite", or "full": exactly the official network.
        frames: how long to train. Steps are ``frames // batches.frames``.
        warmup_frames: how many of them are spent on one-second windows of ``in_sync`` and ``still`` alone with the
            visual loss at ``warmup_visual_weight``. Without it the model learns voice activity and ignores the face
            for hundreds of thousands of frames.
        audio_weight, visual_weight: CE_all = CE_av + audio_weight CE_a + visual_weight CE_v (paper, Eq. 4: 0.4 each).
        learning_rate: of Adam; official TalkNet: 1e-4. The lite network, trained briefly, wants ten times that.
        ramp: steps over which the rate rises linearly from 0.
        schedule: "cosine" falls to 1 % of the rate at the end; "exponential" multiplies by ``decay`` every epoch.
        decay: official TalkNet: 0.95.
        seed: of weights, data order, augmentation and dropout.
        validation_clips: how many held-out clips are looked at after each epoch (all of the test split at the end).
        device: "auto" takes CUDA, then MPS, then the CPU.
        precision: "auto" is bfloat16 autocast on CUDA and float32 elsewhere; or "float32", "bfloat16".
        threads: CPU threads, 0 for torch's choice. Resuming is exact to the bit with the same number.
        workers: threads that prepare batches ahead.
        save_seconds: how much work a kill can cost.
        credit: whose data this is and under which licence; goes into the card.
    """

    data: str = ""
    name: str = "talknet-lite"
    variant: str = "talknet"
    size: str = "lite"
    frames: int = 600_000
    warmup_frames: int = 100_000
    warmup_visual_weight: float = 1.0
    audio_weight: float = 0.4
    visual_weight: float = 0.4
    learning_rate: float = 1e-3
    ramp: int = 20
    schedule: str = "cosine"
    decay: float = 0.95
    seed: int = 0
    validation_clips: int = 16
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    workers: int = 1
    save_seconds: float = 60.0
    credit: str = ""
    footage: TalkSetOptions = field(default_factory=TalkSetOptions)
    kinds: Kinds = field(default_factory=Kinds)
    batches: Batching = field(default_factory=Batching)
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self):
        if self.schedule not in ("cosine", "exponential"):
            raise ValueError(f"schedule is cosine or exponential, got {self.schedule!r}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision is auto, float32 or bfloat16, got {self.precision!r}")
        if self.steps < 1:
            raise ValueError(f"{self.frames} frames are less than one batch of {self.batches.frames}")

    @property
    def steps(self) -> int:
        return self.frames // self.batches.frames

    @property
    def warmup_steps(self) -> int:
        return self.warmup_frames // self.batches.frames


WARMUP_KINDS = Kinds(in_sync=0.5, swapped=0, shifted=0, still=0.5, frozen=0, silence=0, noise=0)
WARMUP_SECONDS = 1.0


def train(options: TrainOptions, out: str | Path, *, progress: bool = True) -> Path:
    """Train, or go on where a run with the same options stopped in ``out``, and write the checkpoint.

    ``out`` gets state.pt (everything needed to go on), log.jsonl, curves.png, NAME.safetensors and NAME.json.

    Returns:
        The path of the weights.

    Raises:
        ValueError: ``out`` holds a run with other options; the message names them.
        KeyboardInterrupt: stopped by hand, after the state was saved.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    bfloat16 = options.precision == "bfloat16" or (options.precision == "auto" and device.type == "cuda")

    # Data. Whatever batch a step gets depends on seed and step alone, so there is no position to save.
    splits = read_footage(options, progress)
    pool, validation = splits["train"], splits["validation"]
    epoch_steps = max(1, pool.frames // options.batches.frames)

    # Model and optimizer, then what an earlier run left.
    torch.manual_seed(options.seed)
    model = TalkNet(TalkNetConfig.named(options.variant, options.size)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate)
    step, seconds, history = 0, 0.0, []
    if (out / "state.pt").exists():
        state = load_state(out / "state.pt", identity(options, pool), device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds, history = state["step"], state["seconds"], state["history"]
    log = TrainLog(out / "log.jsonl", step)

    def save():
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "identity": identity(options, pool)}
        save_state(out / "state.pt", state | {"step": step, "seconds": seconds, "history": history})

    bar = tqdm(total=options.steps * options.batches.frames, unit="frame", unit_scale=True, disable=not progress)
    bar.update(step * options.batches.frames)
    make = lambda index: training_batch(options, pool, index)  # noqa: E731
    batches = prefetch(make, range(step, options.steps), workers=options.workers)
    began = saved = time.monotonic()
    try:
        while step < options.steps:
            waiting = time.monotonic()
            batch = next(batches)
            waited = time.monotonic() - waiting

            # One step. Dropout and augmentation draw from generators seeded by the step.
            random = np.random.SeedSequence([options.seed, step, 1]).generate_state(2)
            torch.manual_seed(int(random[0]))
            generator = torch.Generator().manual_seed(int(random[1]))
            rate = learning_rate(options, step, epoch_steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            model.train()
            audio, other, labels = (x.to(device) for x in (batch.audio, batch.other, batch.labels))
            audio = augment_audio(audio, other, options.augment, generator)
            video = augment_video(batch.video.to(device), options.augment, generator)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                outputs = model({"audio": audio, "video": video})
            loss, parts = training_loss(options, outputs, labels, step)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss.item()} at step {step}; lower the learning rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

            step += 1
            seconds += time.monotonic() - began
            began = time.monotonic()
            with torch.no_grad():
                right = (outputs.margin > 0) == (labels == 1)
            by_kind = {k: right[[kind == k for kind in batch.kinds]].float().mean().item() for k in set(batch.kinds)}
            log.write(
                {"step": step, "frames": step * options.batches.frames, "loss": loss.item(), **parts}
                | {"accuracy": right.float().mean().item(), "by_kind": by_kind, "rate": rate}
                | {"seconds": round(seconds, 2), "waited": round(waited, 3)}
            )
            bar.set_postfix({k: f"{v:.3f}" for k, v in parts.items()} | {"acc": f"{right.float().mean().item():.3f}"})
            bar.update(options.batches.frames)

            if step % epoch_steps == 0 and step < options.steps and options.validation_clips and len(validation) > 1:
                found = evaluate_kinds(
                    model.eval(), validation.first(options.validation_clips), seed=options.seed, device=device
                )
                history.append({"step": step, "frames": step * options.batches.frames, "validation": found})
                log.write({"step": step, "validation": found})
                bar.write(f"step {step}, {seconds / 60:.1f} min, validation\n{report_table(found)}")
                began = time.monotonic()
            if time.monotonic() - saved > options.save_seconds:
                save()
                saved = time.monotonic()
    finally:
        # An error or Ctrl-C costs nothing: everything up to the last whole step is kept.
        batches.close()
        bar.close()
        if step:
            save()

    return finish(options, out, model, splits, history, seconds, log, progress)


def training_batch(options: TrainOptions, pool, step: int):
    """Batch number ``step``: of the curriculum first, then of every kind."""
    if step < options.warmup_steps:
        short = Batching(
            frames=options.batches.frames,
            shortest=WARMUP_SECONDS,
            longest=WARMUP_SECONDS,
            shaken=options.batches.shaken,
        )
        return make_batch(pool, WARMUP_KINDS, short, seed=options.seed, step=step)
    return make_batch(pool, options.kinds, options.batches, seed=options.seed, step=step)


def training_loss(options: TrainOptions, outputs, labels: torch.Tensor, step: int):
    """CE_all (paper, Eq. 4) of one batch, and its parts as numbers for people."""
    visual_weight = options.warmup_visual_weight if step < options.warmup_steps else options.visual_weight
    heads = {"av": outputs.logits_av, "a": outputs.logits_a, "v": outputs.logits_v}
    losses = {name: F.cross_entropy(logits.float().flatten(0, 1), labels.flatten()) for name, logits in heads.items()}
    loss = losses["av"] + options.audio_weight * losses["a"] + visual_weight * losses["v"]
    return loss, {name: value.item() for name, value in losses.items()}


def learning_rate(options: TrainOptions, step: int, epoch_steps: int) -> float:
    ramp = min(1.0, (step + 1) / max(1, options.ramp))
    if options.schedule == "exponential":
        return options.learning_rate * ramp * options.decay ** (step // epoch_steps)
    return options.learning_rate * ramp * (0.01 + 0.99 * (1 + np.cos(np.pi * step / options.steps)) / 2)


def identity(options: TrainOptions, pool) -> dict:
    """What must be the same for a run to go on: the options that decide its result, and the very clips."""
    free = {"data", "name", "device", "threads", "workers", "save_seconds", "credit"}
    return {k: v for k, v in asdict(options).items() if k not in free} | {"clips": pool.fingerprint}


def read_footage(options: TrainOptions, progress: bool):
    if not options.data:
        raise ValueError("say what to train on: --data FOLDER")
    show = (lambda files: tqdm(files, unit="file", desc="faces")) if progress else None
    splits, left_out = prepare(options.data, options.footage, progress=show)
    for path, why in left_out.items():
        print(f"left out {path.name}: {why}", file=sys.stderr)
    return splits


def finish(options, out, model, splits, history, seconds, log, progress) -> Path:
    """Write the checkpoint, measure what was written on the test split, and put that into its card."""
    card = {
        "name": options.name,
        "row": "A",
        "training": asdict(options) | {"data": Path(options.data).name},
        "clips": {split: {"clips": len(x), "frames": x.frames, "set": x.fingerprint} for split, x in splits.items()},
        "seconds": round(seconds),
        "credit": options.credit,
        "validation": history,
    }
    path = save_checkpoint(out / options.name, model, card, half=True)
    # The stored weights are rounded to half precision: the figures are theirs.
    stored = load_model(path, options.device)
    figures = held_out(stored, options, splits["test"], progress)
    path = save_checkpoint(out / options.name, stored, card | {"heldout": figures}, half=True)
    log.write({"step": options.steps, "test": figures["kinds"] if figures else None})
    draw_curves(out / "log.jsonl", out / "curves.png", options.name)
    return path


def held_out(model, options: TrainOptions, pool, progress: bool) -> dict | None:
    """Figures on a held-out split, and the command that repeats them."""
    if len(pool) < 2:
        return None
    show = (lambda numbers: tqdm(numbers, unit="clip", desc="held out")) if progress else None
    return {
        "command": f"python -m pushpull.train --data {Path(options.data).name} --evaluate {options.name}.safetensors",
        "clips": len(pool),
        "set": pool.fingerprint,
        "seed": options.seed,
        "kinds": evaluate_kinds(
            model.eval(), pool, seed=options.seed, device=next(model.parameters()).device, progress=show
        ),
    }


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pushpull.train", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/train"), help="folder of the run; default %(default)s")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_argument("--evaluate", metavar="CHECKPOINT", help="measure a checkpoint on the held-out test split")
    options, given = parse_options(TrainOptions, arguments, parser)
    # A polite kill is as good as Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        if given.evaluate:
            model = load_model(given.evaluate, options.device)
            # Its own card says how its footage was split; where this is another machine only the folder differs.
            trained = from_dict(TrainOptions, model.card["training"] | {"data": options.data, "device": options.device})
            figures = held_out(model, trained, read_footage(trained, not given.quiet)["test"], not given.quiet)
            print(report_table(figures["kinds"]))
            print(json.dumps(figures), file=sys.stderr) if given.quiet else None
        else:
            path = train(options, given.out, progress=not given.quiet)
            print(f"wrote {path}")
            print(report_table(json.loads(path.with_suffix(".json").read_text())["heldout"]["kinds"]))
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from {given.out / 'state.pt'}", file=sys.stderr)
        return 130
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
