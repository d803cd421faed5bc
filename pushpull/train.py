"""Train an active speaker detector: one loop, read top to bottom.

python -m pushpull.train --data SOURCE --out runs/lite                       train; the same command goes on
python -m pushpull.train --data SOURCE --row E2 --out runs/e2                a row of the paper's Table 1
python -m pushpull.train --data SOURCE --evaluate checkpoints/X.safetensors  held-out figures, kind by kind
python -m pushpull.train --data SOURCE --evaluate X.safetensors --unseen     of people it was not trained on
torchrun --nproc_per_node=4 -m pushpull.train --accumulate 4 ...             on four GPUs
"""

import argparse
import json
import sys
import time
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pushpull.config import parse_options
from pushpull.data.augment import augment_audio, augment_video
from pushpull.data.batches import prefetch
from pushpull.data.heldout import report_table
from pushpull.data.talkset import cores
from pushpull.detectors import TalkNet, TalkNetConfig, load_model, resolve_device
from pushpull.training.adversarial import load_set
from pushpull.training.distillation import distillation_loss
from pushpull.training.figures import (
    attack_and_tell,
    finish,
    held_out_text,
    measurable,
    measure_unseen,
    read_clips,
    repeat_held_out,
    settled,
    validate,
)
from pushpull.training.inject import inject, remove_sets, set_path
from pushpull.training.log import Totals, TrainLog, accuracies, load_state, save_state
from pushpull.training.loss import draws, learning_rate, training_batch, training_loss
from pushpull.training.options import TrainOptions, identity
from pushpull.training.parallel import World
from pushpull.training.rows import complete
from pushpull.training.start import warm_start
from pushpull.training.stopping import Stopping, end_politely

MOST_USELESS = 10  # steps in a row without a usable gradient


def train(
    options: TrainOptions,
    out: str | Path,
    *,
    progress: bool = True,
    croppers: int = 1,
    tensorboard: bool = False,
    attack: bool = False,
) -> Path:
    """Train, or go on where a run with the same options stopped in ``out``, and write the checkpoint.

    ``out`` gets state.pt (everything needed to go on), log.jsonl, curves.png, NAME.safetensors and NAME.json. Under
    torchrun every process calls this; the first writes.

    Args:
        progress: show bars, and the held-out figures after each epoch.
        croppers: processes that crop footage which is not in the cache, see :func:`pushpull.data.talkset.prepare`.
        tensorboard: also write ``out``/tensorboard.
        attack: attack the finished checkpoint on held-out clips, see :mod:`pushpull.training.robust`, for its card.

    Returns:
        The path of the weights.

    Raises:
        ValueError: ``out`` holds a run with other options (the message names them), or there are too few clips.
        FloatingPointError: the loss is no longer a number, or its gradient was none for eleven steps in a row; what
            was saved before is kept.
        KeyboardInterrupt: stopped by hand; the step was finished and the state saved.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    with World(resolve_device(options.device)) as world:
        if options.accumulate % world.size:
            raise ValueError(
                f"{world.size} processes share the batches of a step: give --accumulate a multiple of {world.size}"
            )
        return run(options, out, world, progress and world.leads, croppers, tensorboard, attack)


def run(
    options: TrainOptions, out: Path, world: World, progress: bool, croppers: int, tensorboard: bool, attack: bool
) -> Path:
    """One process's part of :func:`train`."""
    device, accumulate = world.device, options.accumulate
    bfloat16 = options.precision == "bfloat16" or (options.precision == "auto" and device.type == "cuda")

    # Data. Whatever batch a step gets depends on seed and step alone, so there is no position to save.
    with world.leader_first():
        splits = read_clips(options, progress, croppers)
    pool, validation = splits["train"], splits["validation"]
    if not measurable(pool):
        raise ValueError(
            f"training needs at least two clips, {options.data} has {len(pool)} in its training split: use more "
            "footage, or hold out less (footage.validation, footage.test, footage.split_by)"
        )
    epoch_steps = max(1, pool.frames // options.step_frames)

    # Model and optimizer, then what an earlier run left.
    torch.manual_seed(options.seed)
    network = TalkNet(TalkNetConfig.named(options.variant, options.size)).to(device)
    if options.start:
        warm_start(network, load_model(options.start, device))
    teacher = load_model(options.hints.source, device) if options.hints.source else None
    # On a GPU as one kernel: a step there is over before many small ones have been asked for.
    fused = device.type == "cuda"
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=fused)
    step, seconds, history = 0, 0.0, []
    if (out / "state.pt").exists():
        state = load_state(out / "state.pt", identity(options, pool), device)
        network.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        optimizer.param_groups[0]["fused"] = fused  # it may come from another device
        step, seconds, history = state["step"], state["seconds"], state["history"]
    model = world.wrap(network)
    world.wait()  # nobody writes a state that another has yet to read
    log = TrainLog(out / "log.jsonl", step, tensorboard=tensorboard) if world.leads else None

    def save():
        if world.leads:
            state = {"model": network.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"identity": identity(options, pool), "step": step, "seconds": seconds, "history": history}
            save_state(out / "state.pt", state)

    bar = tqdm(total=options.steps * options.step_frames, unit="frame", unit_scale=True, disable=not progress)
    bar.update(step * options.step_frames)
    mine = [
        step * accumulate + number
        for step in range(step, options.steps)
        for number in range(world.rank, accumulate, world.size)
    ]
    make = partial(training_batch, options, pool)
    batches = prefetch(make, mine, workers=options.workers, pin=device.type == "cuda")
    injected = None  # (step at which it was made, adversarial examples)
    began = saved = time.monotonic()
    useless = 0  # steps in a row whose gradient was no number
    whole = True  # weights and running statistics are those of `step`
    with Stopping() as stop, closing(batches), bar:
        try:
            while step < options.steps:
                # The end of an epoch; also of one at whose end an earlier run was stopped.
                if step and step % epoch_steps == 0 and [entry["step"] for entry in history[-1:]] != [step]:
                    if world.leads and options.validation_clips and measurable(validation):
                        found = validate(options, settled(options, network, pool), validation)
                        history.append({"step": step, "frames": step * options.step_frames, "validation": found})
                        log.write({"step": step, "validation": found})
                        bar.write(f"step {step}, {seconds / 60:.1f} min, validation\n{report_table(found)}")
                    world.wait()
                    began = time.monotonic()

                # Adversarial examples, at the end of the warm-up and as often as wanted.
                made_at = None
                if options.adversarial:
                    made_at = options.injection.made_at(step, options.warmup_steps, epoch_steps)
                if made_at is not None and (injected is None or injected[0] != made_at):
                    path = set_path(out, made_at)
                    if world.leads and not path.exists():
                        inject(options, network, pool, out, made_at, stop, bar=progress)
                    world.wait()
                    injected = made_at, load_set(path)
                    save()  # no state needs an older set from here on
                    if world.leads:
                        remove_sets(out, keep=path)
                    began = time.monotonic()

                # One step, of one batch or several.
                rate = learning_rate(options, step, epoch_steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.zero_grad(set_to_none=True)
                model.train()
                waited, numbers, right, kinds = 0.0, Totals(), [], []
                share = range(world.rank, accumulate, world.size)
                for number in share:
                    waiting = time.monotonic()
                    batch = next(batches)
                    waited += time.monotonic() - waiting
                    # Dropout and augmentation draw from generators seeded by the batch's number.
                    index = step * accumulate + number
                    generator = draws(options.seed, index)
                    tensors = (batch.audio, batch.other, batch.labels, batch.video)
                    audio, other, labels, video = (x.to(device, non_blocking=True) for x in tensors)
                    audio = augment_audio(audio, other, options.augment, generator)
                    video = augment_video(video, options.augment, generator)
                    inputs = {"audio": audio, "video": video}
                    if injected is not None:
                        count = max(1, round(options.injection.share * len(labels)))
                        extra = injected[1].draw(
                            count, labels.shape[1], np.random.default_rng([options.seed, index, 2])
                        )
                        extra = (x.to(device, non_blocking=True) for x in extra)
                        audio, video, labels = map(torch.cat, zip((audio, video, labels), extra, strict=True))
                    whole = False
                    # Gradients travel between processes once a step.
                    last = number == share[-1]
                    with nullcontext() if last or world.size == 1 else model.no_sync():
                        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                            outputs = model({"audio": audio, "video": video})
                            drawn = options.hints.weight_at(step, options.steps)
                            hint = distillation_loss(teacher, inputs, outputs) if drawn else None
                        loss, parts = training_loss(options, outputs, labels, step)
                        if hint is not None:
                            loss, parts = loss + drawn * hint, parts | {"hint": hint.detach()}
                        (loss / len(share)).backward()
                    numbers.add({"loss": loss.detach(), **parts})
                    right.append(((outputs.margin > 0) == (labels == 1)).detach())
                    kinds += [*batch.kinds, *["adversarial"] * (len(labels) - len(batch.kinds))]
                gradients = [x.grad for x in network.parameters() if x.grad is not None]
                found = numbers.mean(world, gradient=torch.nn.utils.get_total_norm(gradients))
                # A gradient that is no number now and then costs its step; a loss that is none costs the run.
                useless = 0 if np.isfinite(found["gradient"]) else useless + 1
                if not np.isfinite(found["loss"]) or useless > MOST_USELESS:
                    raise FloatingPointError(
                        f"the loss is {found['loss']}, its gradient {found['gradient']} at step {step}: begin anew in "
                        f"another --out with a lower --learning-rate than {options.learning_rate:g}"
                    )
                if useless:
                    found["gradient"] = None
                else:
                    optimizer.step()
                step += 1
                whole = True

                seconds += time.monotonic() - began
                began = time.monotonic()
                if world.leads:
                    accuracy = accuracies(right, kinds)
                    log.write(
                        {"step": step, "frames": step * options.step_frames, **found, **accuracy}
                        | {"rate": rate, "seconds": round(seconds, 2), "waited": round(waited, 3)}
                    )
                    shown = {k: f"{v:.3f}" for k, v in found.items() if k not in ("loss", "gradient")}
                    bar.set_postfix(shown | {"acc": f"{accuracy['accuracy']:.3f}"}, refresh=False)
                bar.update(options.step_frames)
                if time.monotonic() - saved > options.save_seconds:
                    save()
                    saved = time.monotonic()
                if world.any(stop.wanted):
                    raise KeyboardInterrupt
        finally:
            # Ctrl-C costs nothing, an error in the middle of a step what was done since the last save.
            if whole and step:
                save()

    path = out / f"{options.name}.safetensors"
    if world.leads:
        path = finish(options, out, network, splits, history, seconds, log, progress)
        remove_sets(out)
        if attack:
            attack_and_tell(path, options, splits["test"], progress=progress)
    world.wait()
    return path


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
    parser.add_argument("--tensorboard", action="store_true", help="also write scalars for TensorBoard")
    parser.add_argument("--attack", action="store_true", help="then attack it on held-out clips, for its card")
    parser.add_argument("--evaluate", metavar="CHECKPOINT", help="measure a checkpoint on the held-out test split")
    parser.add_argument(
        "--unseen", action="store_true", help="with --evaluate: it was trained on none of this footage; measure on all"
    )
    options, given = parse_options(TrainOptions, arguments, parser, complete=complete)
    if given.unseen and not given.evaluate:
        parser.error("--unseen goes with --evaluate CHECKPOINT")
    end_politely()
    try:
        if given.evaluate:
            figures = (measure_unseen if given.unseen else repeat_held_out)(
                given.evaluate, options, not given.quiet, cores()
            )
            print(json.dumps(figures, indent=2) if given.quiet else held_out_text(figures))
            return 0
        path = train(
            options,
            given.out,
            progress=not given.quiet,
            croppers=cores(),
            tensorboard=given.tensorboard,
            attack=given.attack,
        )
    except KeyboardInterrupt:
        print("stopped" + ("" if given.evaluate else "; the same command goes on where it stopped"), file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        parser.error(str(error))
    if not path.exists():  # another machine's process wrote it
        return 0
    print(f"wrote {path}")
    print(held_out_text(json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["heldout"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
