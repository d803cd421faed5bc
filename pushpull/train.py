"""Train an active speaker detector: one loop, read top to bottom.

python -m pushpull.train --data SOURCE --out runs/lite                       train; the same command goes on
python -m pushpull.train --data SOURCE --evaluate checkpoints/X.safetensors  held-out figures, kind by kind
"""

import argparse
import copy
import json
import signal
import sys
import time
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from pushpull.data.augment import augment_audio, augment_video
from pushpull.data.batches import Batching, make_batch, prefetch
from pushpull.data.heldout import evaluate_kinds, report_table
from pushpull.data.sources import read_sources, source_names
from pushpull.data.talkset import cores
from pushpull.models import TalkNet, TalkNetConfig, load_model, resolve_device, save_checkpoint
from pushpull.options import from_dict, parse_options
from pushpull.recalibrate import recalibrate
from pushpull.stopping import Stopping
from pushpull.trainlog import TrainLog, draw_curves, load_state, save_state
from pushpull.trainoptions import WARMUP_KINDS, WARMUP_SECONDS, TrainOptions, identity


def train(options: TrainOptions, out: str | Path, *, progress: bool = True, croppers: int = 1) -> Path:
    """Train, or go on where a run with the same options stopped in ``out``, and write the checkpoint.

    ``out`` gets state.pt (everything needed to go on), log.jsonl, curves.png, NAME.safetensors and NAME.json.

    Args:
        progress: show bars, and the held-out figures after each epoch.
        croppers: processes that crop footage which is not in the cache, see :func:`pushpull.data.talkset.prepare`.

    Returns:
        The path of the weights.

    Raises:
        ValueError: ``out`` holds a run with other options (the message names them), or there are too few clips.
        FloatingPointError: the loss is no longer a number; what was saved before is kept.
        KeyboardInterrupt: stopped by hand; the step was finished and the state saved.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    bfloat16 = options.precision == "bfloat16" or (options.precision == "auto" and device.type == "cuda")

    # Data. Whatever batch a step gets depends on seed and step alone, so there is no position to save.
    splits = read_footage(options, progress, croppers)
    pool, validation = splits["train"], splits["validation"]
    if len(pool) < 2:
        raise ValueError(
            f"training needs at least two clips, {options.data} has {len(pool)} in its training split: use more "
            "footage, or hold out less (footage.validation, footage.test, footage.split_by)"
        )
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
    whole = True  # weights and running statistics are those of `step`
    with Stopping() as stop, closing(batches), bar:
        try:
            while step < options.steps:
                # The end of an epoch; also of one at whose end an earlier run was stopped.
                if step and step % epoch_steps == 0 and [entry["step"] for entry in history[-1:]] != [step]:
                    if options.validation_clips and len(validation) > 1:
                        found = validate(options, settled(options, model, pool), validation)
                        history.append({"step": step, "frames": step * options.batches.frames, "validation": found})
                        log.write({"step": step, "validation": found})
                        bar.write(f"step {step}, {seconds / 60:.1f} min, validation\n{report_table(found)}")
                    began = time.monotonic()

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
                whole = False
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                    outputs = model({"audio": audio, "video": video})
                loss, parts = training_loss(options, outputs, labels, step)
                if not torch.isfinite(loss):
                    raise FloatingPointError(
                        f"the loss is {loss.item()} at step {step}: begin anew in another --out with a lower "
                        f"--learning_rate than {options.learning_rate:g}"
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                step += 1
                whole = True

                seconds += time.monotonic() - began
                began = time.monotonic()
                with torch.no_grad():
                    right = (outputs.margin > 0) == (labels == 1)
                accuracy = right.float().mean().item()
                rows = {kind: [row == kind for row in batch.kinds] for kind in set(batch.kinds)}
                log.write(
                    {"step": step, "frames": step * options.batches.frames, "loss": loss.item(), **parts}
                    | {"accuracy": accuracy, "by_kind": {k: right[x].float().mean().item() for k, x in rows.items()}}
                    | {"rate": rate, "seconds": round(seconds, 2), "waited": round(waited, 3)}
                )
                bar.set_postfix({k: f"{v:.3f}" for k, v in parts.items()} | {"acc": f"{accuracy:.3f}"})
                bar.update(options.batches.frames)
                if time.monotonic() - saved > options.save_seconds:
                    save()
                    saved = time.monotonic()
                if stop.wanted:
                    raise KeyboardInterrupt
        finally:
            # Ctrl-C costs nothing, an error in the middle of a step what was done since the last save.
            if whole and step:
                save()

    return finish(options, out, model, splits, history, seconds, log, progress)


def settled(options: TrainOptions, model: TalkNet, pool) -> TalkNet:
    """A copy whose normalisations fit its weights, ready to be measured or written; training goes on without it."""
    model = copy.deepcopy(model).eval()
    if options.recalibration:
        device = next(model.parameters()).device
        # Batches that no step takes, not augmented: what the model will see.
        steps = range(options.steps, options.steps + options.recalibration)
        made = (make_batch(pool, options.kinds, options.batches, seed=options.seed, step=step) for step in steps)
        recalibrate(model, ({"audio": x.audio.to(device), "video": x.video.to(device).float()} for x in made))
    return model


def validate(options: TrainOptions, model: TalkNet, validation) -> dict[str, dict]:
    device = next(model.parameters()).device
    return evaluate_kinds(model, validation.first(options.validation_clips), seed=options.seed, device=device)


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
    # A plain float: numpy's own would make the optimizer's state something that only an unsafe load reads.
    return options.learning_rate * ramp * float(0.01 + 0.99 * (1 + np.cos(np.pi * step / options.steps)) / 2)


def read_footage(options: TrainOptions, progress: bool, croppers: int):
    """Splits by name; says on stderr what gave no clip."""
    return read_sources(
        options.data,
        options.footage,
        workers=croppers,
        progress=(lambda files: tqdm(files, unit="file", desc="faces")) if progress else None,
        left_out=lambda path, why: print(f"left out {path.name}: {why}", file=sys.stderr),
    )


def finish(options, out, model, splits, history, seconds, log, progress) -> Path:
    """Write the checkpoint, measure what was written on the test split, and put that into its card."""
    card = {
        "name": options.name,
        "row": "A",
        "training": asdict(options) | {"data": source_names(options.data)},
        "clips": {split: {"clips": len(x), "frames": x.frames, "set": x.fingerprint} for split, x in splits.items()},
        "seconds": round(seconds),
        "credit": options.credit,
        "validation": history,
    }
    path = save_checkpoint(out / options.name, settled(options, model, splits["train"]), card, half=True)
    # The stored weights are rounded to half precision: the figures are theirs.
    stored = load_model(path, options.device)
    figures = held_out(stored, options, splits["test"], progress)
    path = save_checkpoint(out / options.name, stored, card | {"heldout": figures}, half=True)
    log.write({"step": options.steps, "test": figures["kinds"] if figures else None})
    draw_curves(out / "log.jsonl", out / "curves.png", options.name)
    return path


def held_out(model, options: TrainOptions, pool, progress: bool) -> dict | None:
    """Figures on a held-out split, and the command that repeats them; None where it has fewer than two clips."""
    if len(pool) < 2:
        return None
    show = (lambda numbers: tqdm(numbers, unit="clip", desc="held out")) if progress else None
    data = source_names(options.data)
    return {
        "command": f"python -m pushpull.train --data {data} --evaluate {options.name}.safetensors",
        "clips": len(pool),
        "set": pool.fingerprint,
        "seed": options.seed,
        "kinds": evaluate_kinds(
            model.eval(), pool, seed=options.seed, device=next(model.parameters()).device, progress=show
        ),
    }


def repeat_held_out(checkpoint: str, options: TrainOptions, progress: bool, croppers: int) -> dict:
    """The held-out figures of a checkpoint, on the footage in ``options.data`` split as its card says."""
    model = load_model(checkpoint, options.device)
    if "training" not in model.card:
        raise ValueError(f"{checkpoint} was not trained by this command: its card says nothing of how to split footage")
    # Where this is another machine, folder, device and threads differ.
    local = {"data": options.data, "device": options.device, "threads": options.threads}
    trained = from_dict(TrainOptions, model.card["training"] | local)
    if trained.threads:
        torch.set_num_threads(trained.threads)
    figures = held_out(model, trained, read_footage(trained, progress, croppers)["test"], progress)
    if figures is None:
        raise ValueError(f"{options.data} has fewer than two clips in its test split: nothing to measure on")
    before = model.card.get("heldout")
    if before and before["set"] != figures["set"]:
        print("these are not the clips that the checkpoint's card gives figures for", file=sys.stderr)
    return figures


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pushpull.train",
        usage="%(prog)s --data SOURCE [--out FOLDER] [options]\n       %(prog)s --data SOURCE --evaluate CHECKPOINT",
        description="Train an active speaker detector on talking-face footage or talking heads, or go on with it.",
        epilog="In square brackets: what an option is when it is not given.",
        allow_abbrev=False,
        formatter_class=partial(argparse.HelpFormatter, max_help_position=34),
    )
    parser.add_argument("--out", type=Path, default=Path("runs/train"), help="folder of the run [%(default)s]")
    parser.add_argument("--quiet", action="store_true", help="no progress bars; --evaluate prints JSON")
    parser.add_argument("--evaluate", metavar="CHECKPOINT", help="measure a checkpoint on the held-out test split")
    options, given = parse_options(TrainOptions, arguments, parser)
    # Until training puts it off to the end of a step, a polite kill is as good as Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        if given.evaluate:
            figures = repeat_held_out(given.evaluate, options, not given.quiet, cores())
            print(json.dumps(figures, indent=2) if given.quiet else report_table(figures["kinds"]))
            return 0
        path = train(options, given.out, progress=not given.quiet, croppers=cores())
    except KeyboardInterrupt:
        print("stopped" + ("" if given.evaluate else "; the same command goes on where it stopped"), file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        parser.error(str(error))
    figures = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["heldout"]
    print(f"wrote {path}")
    print(report_table(figures["kinds"]) if figures else "no held-out figures: fewer than two clips in the test split")
    return 0


if __name__ == "__main__":
    sys.exit(main())
