"""Train the models that ship: every row of the paper's Table 1, and its two substitutes, comparable to each other.

    python -m pushpull.training.zoo --data talkset:grid_s1,talkheads:heads --out runs/zoo
    python -m pushpull.training.zoo --data ... --out runs/zoo --rows A,D3,E2 --install checkpoints

Beginning with a *base*: it is trained with CE_all from random weights, and *more* goes on from its weights with a fresh
cosine (a warm restart: Loshchilov and Hutter 2017), other batches and harder augmentation. Every row starts with that,
row A included, and takes the same number of steps on the same batches in the same order: rows differ in loss and
adversarial data alone. The adversarial data of rows B and E fool row A. The substitutes nc and spec start with random
weights of their own, since a substitute that shares its victim's would be none.

Beginning from *scratch*: every row has random weights at first, its own loss from the first step to the last, and equal
steps, batches and data within a seed. ``--seeds 0,1,2`` trains a zoo for each.

Stopped at any moment, the same command goes on.
"""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from pushpull.config import Parser, parse_options
from pushpull.data.talkset import cores
from pushpull.files import check_file, check_folder
from pushpull.plots import save, zoo_figure
from pushpull.training.figures import as_told, attack_and_tell, read_clips
from pushpull.training.options import BEGUN_WITH, TrainOptions, begun_with
from pushpull.training.recipes import BASE, MORE, SUBSTITUTES, ZooOptions, checkpoint, fools_a, recipe
from pushpull.training.robust import RobustOptions
from pushpull.training.stopping import end_politely
from pushpull.training.trainer import train


def build(
    options: ZooOptions,
    out: Path,
    *,
    robust: RobustOptions | None = RobustOptions(),
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Train and attack every row that is not done yet.

    Args:
        robust: how finished rows are attacked for their first cards; None: not at all.

    Returns:
        The weights of the rows asked for.

    Raises:
        KeyboardInterrupt: stopped by hand; the same call goes on.
    """
    needed = [] if set(options.wanted) <= set(SUBSTITUTES) else [*options.stages]
    if any(fools_a(options, row) for row in options.wanted):
        needed.append("A")
    robust = robust and robust.suited_to(options.architecture)
    for row in dict.fromkeys([*needed, *options.wanted]):
        path, training = checkpoint(options, row, out), recipe(options, row, out)
        if not trained(path, training):
            say(f"training {row}")
            train(training, path.parent, progress=progress, croppers=cores())
        if robust and row not in (BASE, MORE) and robust_of(path) != asdict(robust):
            say(f"attacking {row}")
            attack_and_tell(path, training, read_clips(training, progress, cores())["test"], robust, progress)
    return [checkpoint(options, row, out) for row in options.wanted]


def trained(path: Path, training: TrainOptions) -> bool:
    """Whether ``path`` is a finished checkpoint of this very recipe."""
    try:
        card = card_of(path)
        before = TrainOptions.of_card(card["training"])
    except (OSError, ValueError, KeyError):
        return False
    # Where and with how many threads it was trained decides nothing that a recipe says.
    local = {"device": "auto", "threads": 0, "workers": 1, "credit": ""}
    if card.get("heldout") is None or replace(before, **local) != replace(as_told(training), **local):
        return False
    # A recipe names the files that a row begins with or fools; others under the same names are another recipe.
    return card.get(BEGUN_WITH, {}) == begun_with(training)


def robust_of(path: Path) -> dict | None:
    """The options of the robust figures in a checkpoint's card."""
    return card_of(path).get("robust", {}).get("options")


def card_of(path: Path) -> dict:
    """The card beside a checkpoint's weights."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def table(paths: Sequence[Path]) -> str:
    """The rows' figures as Markdown, in percent: AVA-AP on held-out clips of each source, then what attacks leave.

    *right* is the share of frames that the model takes rightly, unattacked and, under an attack, at every iterate. What
    attacks leave is there where every row was attacked. "-" is what the held-out clips do not tell: resting lips where
    nobody pauses, and all four of AVA, whose tracks are finished examples.
    """
    cards = [card_of(path) for path in paths]
    attacked = all("robust" in card for card in cards)
    held_out = [(card["heldout"] or {"sources": {}})["sources"] for card in cards]
    sources = list(held_out[0])
    types = ("in_sync", "swapped", "shifted", "still")
    head = ["row", *(f"{source}: {name.replace('_', ' ')}" for source in sources for name in types)]
    if attacked:
        head += ["attacked set: AP", "PGD", "right", "BIM", "MIM", "PGD", "ECR a", "ECR v"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for card, found in zip(cards, held_out, strict=True):
        clean = [found[source].get(name, {}).get("ap") for source in sources for name in types]
        cells = [card["row"], *("-" if value is None else f"{value:.1f}" for value in clean)]
        lines.append("| " + " | ".join(cells + (_after_attacks(card["robust"]) if attacked else [])) + " |")
    return "\n".join(lines) + "\n"


def _after_attacks(found: dict) -> list[str]:
    """The cells of a card's robust figures."""
    after = [found[name]["average_precision"] for name in ("clean", "pgd")]
    after += [found["clean"]["frame_accuracy"], *(found[name]["robust_accuracy"] for name in ("bim", "mim", "pgd"))]
    return [f"{100 * value:.1f}" for value in after] + [f"{found['pgd'][name]:.2f}" for name in ("ecr_a", "ecr_v")]


PICTURES = (".png", ".svg", ".pdf")  # what a figure can be


def main(arguments=None) -> int:
    parser = Parser(
        prog="python -m pushpull.training.zoo",
        description="Train and attack every row of the paper's Table 1, resumably.",
        epilog="In square brackets: what an option is when it is not given.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="folder of the runs [%(default)s]")
    parser.add_argument("--install", type=Path, help="copy weights and cards of finished rows here, of the first seed")
    parser.add_argument(
        "--figure", type=Path, help="draw what these rows reach and what attacks leave: .png, .svg, .pdf"
    )
    parser.add_argument(
        "--train-only", action="store_true", help="attack nothing: python -m pushpull.evaluate table1 does it better"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options, given = parse_options(ZooOptions, arguments, parser)
    end_politely()
    try:
        for folder in (given.out, *([given.install] if given.install else [])):
            check_folder(folder)
        if given.figure:
            check_file(given.figure, PICTURES)
            if given.train_only:
                raise ValueError("--figure shows what attacks leave: leave out --train-only")
        robust = None if given.train_only else RobustOptions()
        say = partial(print, flush=True)
        finished = build_seeds(options, given.out, robust=robust, progress=not given.quiet, say=say)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        parser.error(str(error))
    first = next(iter(finished.values()))
    if given.install:
        install(first, given.install)
    if given.figure:
        save(zoo_figure([card_of(path) for path in first]), given.figure)
    for seed, paths in finished.items():
        print((f"seed {seed}\n\n" if len(finished) > 1 else "") + table(paths), end="")
    return 0


def build_seeds(
    options: ZooOptions, out: Path, *, robust: RobustOptions | None, progress: bool, say: Callable[[str], None]
) -> dict[int, list[Path]]:
    """A zoo for each of the seeds, one after the other: {seed: the weights of its rows}. Otherwise as :func:`build`."""
    found = {}
    for one in options.each_seed:
        if options.seeds:
            say(f"seed {one.seed}")
        folder = out / f"seed-{one.seed}" if options.seeds else out
        found[one.seed] = build(one, folder, robust=robust, progress=progress, say=say)
    return found


def install(paths: Sequence[Path], folder: Path) -> None:
    """Copy weights and cards."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        for file in (path, path.with_suffix(".json")):
            shutil.copyfile(file, folder / file.name)


if __name__ == "__main__":
    sys.exit(main())
