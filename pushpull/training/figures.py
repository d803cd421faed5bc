"""What a trained model reaches, and the checkpoint and card that say so."""

import copy
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from pushpull.data.batches import make_batch
from pushpull.data.heldout import evaluate_types, report_table
from pushpull.data.sources import Corpus, read_sources, source_names
from pushpull.detectors.checkpoint import weights_file
from pushpull.detectors.load import file_of
from pushpull.detectors.sidecar import add_to_card, has_sidecar, read_sidecar
from pushpull.training.facts import origin_of, warn_of_crops
from pushpull.training.log import TrainLog, draw_curves
from pushpull.training.networks import (
    Network,
    architecture_of,
    as_stored,
    holds_weights,
    load_network,
    save_network,
)
from pushpull.training.offsets import offset_figures, offset_table
from pushpull.training.options import TrainOptions
from pushpull.training.prior import assume_prior
from pushpull.training.recalibrate import recalibrate
from pushpull.training.reference import reference_embeddings
from pushpull.training.robust import RobustOptions, robust_figures
from pushpull.training.rows import row_of

PRIOR_BATCHES = 24  # of 1,000 frames: the share of speaking ones comes out within .02


def read_clips(options: TrainOptions, progress: bool, croppers: int, *, tell: bool = True) -> dict[str, Corpus]:
    """Splits by name; says on stderr what gave no clip, if it is to ``tell``."""

    def left_out(path, why):
        if tell:
            print(f"left out {path.name}: {why}", file=sys.stderr)

    return read_sources(
        options.data,
        options.footage,
        ava=options.ava,
        workers=croppers,
        progress=partial(tqdm, unit="file", desc="faces") if progress else None,
        left_out=left_out,
    )


def settled(options: TrainOptions, model: Network, pool: Corpus) -> Network:
    """A copy whose normalisations fit its weights and whose scores assume ``options.prior``.

    It is ready to be measured or written; training goes on without it.
    """
    model = copy.deepcopy(model).eval()
    device = next(model.parameters()).device
    labels = []

    def inputs():
        # Batches that no step takes, not augmented: what the model will see.
        first = options.steps * options.accumulate
        for step in range(first, first + (options.recalibration or PRIOR_BATCHES)):
            batch = make_batch(pool, options.mix, options.batches, seed=options.seed, step=step)
            labels.append(batch.labels.flatten())
            yield {"audio": batch.audio.to(device), "video": batch.video.to(device).float()}

    if options.recalibration:
        recalibrate(model, inputs())
    elif options.prior:
        for _ in inputs():  # for their labels
            pass
    if options.prior:
        trained = float(torch.cat(labels).double().mean())
        if 0 < trained < 1:  # footage of one class alone says nothing of the other
            assume_prior(model, trained, options.prior)
    return model


def measurable(pool: Corpus) -> bool:
    """Whether held-out figures can be had: a swapped voice needs another clip, finished examples need none."""
    return len(pool) > 1 or bool(pool.finished)


def validate(options: TrainOptions, model: Network, validation: Corpus) -> dict[str, dict]:
    """Held-out figures between epochs, of the first ``options.validation_clips`` clips."""
    device = next(model.parameters()).device
    few = validation.first(options.validation_clips)
    return evaluate_types(model, few, seed=options.seed, device=device)


def held_out(model: Network, options: TrainOptions, pool: Corpus, progress: bool) -> dict | None:
    """Figures on a held-out split, source by source, and the command that repeats them; None where it has no clips."""
    sources = {name: part for name, part in pool.by_source().items() if measurable(part)}
    if not sources:
        return None
    data = source_names(options.data)
    return {
        "command": f"python -m pushpull.train --data {data} --evaluate {options.name}.safetensors",
        "clips": {name: len(part) + sum(map(len, part.finished)) for name, part in sources.items()},
        "set": pool.fingerprint,
        "seed": options.seed,
        "sources": {
            name: evaluate_types(
                model.eval(),
                part,
                seed=options.seed,
                device=next(model.parameters()).device,
                progress=partial(tqdm, unit="clip", desc=name) if progress else None,
            )
            for name, part in sources.items()
        },
    }


def held_out_text(figures: dict | None) -> str:
    """What :func:`held_out` or :func:`measure_unseen` found, as plain-text tables."""
    if figures is None:
        return "no held-out figures: fewer than two clips in the test split"
    tables = [f"{name}\n{report_table(found)}" for name, found in figures["sources"].items()]
    tables += [f"{name}: called speaking\n{offset_table(rows)}" for name, rows in figures.get("offsets", {}).items()]
    return "\n\n".join(tables)


def as_told(options: TrainOptions) -> TrainOptions:
    """The options as a card tells them: a file's path is this machine's own, its name is not."""
    return replace(
        options,
        data=source_names(options.data),
        start=Path(options.start).name,
        injection=replace(options.injection, source=Path(options.injection.source).name),
        distillation=replace(options.distillation, source=Path(options.distillation.source).name),
    )


def finish(
    options: TrainOptions,
    out: Path,
    model: Network,
    splits: dict[str, Corpus],
    run: dict,
    log: TrainLog,
    progress: bool,
) -> Path:
    """Write the checkpoint, measure what was written on the test split, and put that into its card; its path.

    Args:
        run: what the card says of the run itself, besides its options.
    """
    card = {
        "name": options.name,
        "row": options.row or row_of(asdict(options)),
        "training": asdict(as_told(options)),
        "clips": {split: {"clips": len(x), "frames": x.frames, "set": x.fingerprint} for split, x in splits.items()},
        "credit": options.credit,
        **run,
    }
    model = settled(options, model, splits["train"])
    path, figures = write_measured(out / options.name, model, card, options, splits, progress, again=True)
    log.write({"step": options.steps, "test": figures["sources"] if figures else None})
    draw_curves(out / "log.jsonl", out / "curves.png", options.name)
    return path


def write_measured(
    path: Path, model: Network, card: dict, options: TrainOptions, splits, progress: bool, *, again: bool = False
) -> tuple[Path, dict | None]:
    """Write a settled model with its held-out figures and reference embeddings, once all is there; path and figures.

    Args:
        path: with or without the suffix.
        again: where the file has these very weights already, it stays, and so does what its card was told since.
    """
    path = weights_file(path)
    # The stored weights are rounded: the figures are theirs.
    stored = as_stored(model, weights=options.weights)
    figures = held_out(stored, replace(options, name=path.stem), splits["test"], progress)
    card = card | {"heldout": figures}
    if again and holds_weights(path, stored, weights=options.weights) and has_sidecar(path):
        add_to_card(path, **card)
        return path, figures
    stored.reference_embeddings = reference_embeddings(stored, splits["test"], seed=options.seed)
    return save_network(path, stored, card, weights=options.weights), figures


def attack_and_tell(
    path: Path, options: TrainOptions, pool: Corpus, robust: RobustOptions = RobustOptions(), progress: bool = True
) -> None:
    """Attack a checkpoint on its held-out clips, ``pool``, and put what came of it into the card beside it."""
    model = load_network(path, options.device)
    robust = robust.suited_to(architecture_of(model))
    figures = robust_figures(model, pool, robust, progress=partial(tqdm, disable=not progress))
    add_to_card(path, robust=figures)


def measure_unseen(checkpoint: str, options: TrainOptions, progress: bool, croppers: int) -> dict:
    """Figures of any checkpoint on all of the footage in ``options.data``, of which it was trained on nothing.

    Of talking heads and AVA, which bring splits of their own, they are of the test split. ``offsets`` is how the model
    takes speakers whose sound comes early or late, see :mod:`pushpull.training.offsets`. Footage that is cut otherwise
    than what the checkpoint was trained on is told of on stderr.

    Raises:
        ValueError: there are too few clips.
    """
    model = load_network(checkpoint, options.device)
    warn_of_crops(options, origin_of(model))
    options = replace(options, name=Path(checkpoint).stem, footage=replace(options.footage, validation=0.0, test=1.0))
    if options.threads:
        torch.set_num_threads(options.threads)
    pool = read_clips(options, progress, croppers)["test"]
    figures = held_out(model, options, pool, progress)
    if figures is None:
        raise ValueError(f"{options.data} gave fewer than two clips: nothing to measure on")
    offsets = {
        name: offset_figures(
            model.eval(),
            part,
            device=next(model.parameters()).device,
            progress=partial(tqdm, unit="clip", desc=f"{name}, sound moved") if progress else None,
        )
        for name, part in pool.by_source().items()
        if len(part)
    }
    return figures | {"command": f"{figures['command']} --unseen", "offsets": offsets}


def check_card(checkpoint: str) -> None:
    """Refuse a checkpoint that :func:`tell_unseen` could not tell: asked before figures are measured, which takes long.

    Raises:
        CheckpointError: there is no such file, or no card beside it.
    """
    read_sidecar(file_of(checkpoint))


def tell_unseen(checkpoint: str, figures: dict) -> None:
    """Put what :func:`measure_unseen` found into the card beside a checkpoint, as "unseen".

    Raises:
        CheckpointError: as :func:`check_card`.
    """
    add_to_card(file_of(checkpoint), unseen=figures)


def repeat_held_out(checkpoint: str, options: TrainOptions, progress: bool, croppers: int) -> dict:
    """The held-out figures of a checkpoint, on the clips of ``options.data`` split as its card says.

    Raises:
        ValueError: the checkpoint was not made by training here, or there are too few clips.
    """
    model = load_network(checkpoint, options.device)
    if "training" not in model.card:
        raise ValueError(
            f"{checkpoint} was not trained by this command: its card says nothing of how to split footage; "
            "add --unseen to measure on all of it"
        )
    # Where this is another machine, folder, device and threads differ; an average tells of another's training.
    local = {"name": model.card["name"], "data": options.data, "device": options.device, "threads": options.threads}
    trained = TrainOptions.of_card(model.card["training"], **local)
    if trained.threads:
        torch.set_num_threads(trained.threads)
    figures = held_out(model, trained, read_clips(trained, progress, croppers)["test"], progress)
    if figures is None:
        raise ValueError(f"{options.data} has fewer than two clips in its test split: nothing to measure on")
    before = model.card.get("heldout")
    if before and before["set"] != figures["set"]:
        print("these are not the clips that the checkpoint's card gives figures for", file=sys.stderr)
    return figures
