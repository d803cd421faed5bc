"""When adversarial examples are due: of what they are made, whom they fool, and where they lie meanwhile."""

import math
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from pushpull.clip import FPS
from pushpull.data.batches import make_batch
from pushpull.data.sources import Corpus
from pushpull.detectors import attack_copy
from pushpull.training.adversarial import make_set, own_objective
from pushpull.training.figures import settled
from pushpull.training.networks import Network, load_network
from pushpull.training.options import TrainOptions
from pushpull.training.stopping import Stopping

FIRST_BATCH = 2**31  # of batches that no step takes, and no recalibration


def set_path(out: Path, step: int) -> Path:
    """Where the set made at the beginning of ``step`` lies."""
    return out / f"adversarial-{step}.pt"


def remove_sets(out: Path, *, keep: Path | None = None) -> None:
    """Remove the sets of a run that it will not read again."""
    for path in out.glob("adversarial-*.pt"):
        if path != keep:
            path.unlink(missing_ok=True)


def inject(options: TrainOptions, network: Network, pool: Corpus, out: Path, step: int, stop: Stopping, *, bar: bool):
    """Make the adversarial examples that join the training set from ``step`` on, and write them to ``out``.

    The same options, clips and weights give the same bytes.

    Raises:
        KeyboardInterrupt: ``stop`` was asked for; nothing is written.
    """
    injection, device = options.injection, next(network.parameters()).device
    first = step == options.warmup_steps
    source = load_network(injection.source, device) if injection.source and first else settled(options, network, pool)
    batches = options.batches
    # One clip is taken where not even one fits into a batch, as in training.
    whole = replace(batches, shortest=batches.longest, frames=max(batches.frames, math.ceil(batches.longest * FPS)))
    count = -(-injection.frames // whole.frames)
    numbers = range(FIRST_BATCH + step * count, FIRST_BATCH + (step + 1) * count)
    show = tqdm(total=count * whole.frames, unit="frame", desc=options.adversarial, leave=False, disable=not bar)

    def done(frames):
        show.update(frames)
        if stop.wanted:
            raise KeyboardInterrupt

    with show:
        examples = make_set(
            attack_copy(source),
            (make_batch(pool, options.mix, whole, seed=options.seed, step=number) for number in numbers),
            injection.attack(options.adversarial),
            eps_av=injection.eps_av,
            augment=options.augment,
            objective=own_objective(source, options.visual_weight),
            seed=(options.seed, step),
            device=device,
            autocast=options.autocast(device),
            on_batch=done,
        )
    examples.save(set_path(out, step))
