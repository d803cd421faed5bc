"""Train the models that ship: every row of the paper's Table 1, and its two substitutes, comparable to each other.

    python -m pushpull.training.zoo --data talkset:grid_s1,talkheads:heads --out runs/zoo
    python -m pushpull.training.zoo --data ... --out runs/zoo --rows A,D3,E2 --install checkpoints

A *base* is trained with CE_all from random weights, and *more* goes on from its weights with a fresh cosine (a warm
restart: Loshchilov and Hutter 2017), other batches and harder augmentation. Every TalkNet row starts with that, row A
included, and takes the same number of steps on the same batches in the same order: rows differ in loss and adversarial
data alone. The adversarial data of rows B and E fool row A. The substitutes nc and spec start with random weights of
their own, since a substitute that shares its victim's would be none. Stopped at any moment, the same command goes on.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from pushpull.config import parse_options
from pushpull.data.augment import Augmentation
from pushpull.data.batches import Batching
from pushpull.data.mix import ExampleMix
from pushpull.data.talkset import cores
from pushpull.files import check_file, check_folder
from pushpull.plots import save, zoo_figure
from pushpull.training.adversarial import Injection
from pushpull.training.figures import as_told, attack_and_tell, read_clips
from pushpull.training.options import TrainOptions
from pushpull.training.robust import RobustOptions
from pushpull.training.rows import ROWS, checkpoint_name
from pushpull.training.stopping import end_politely
from pushpull.training.trainer import train

BASE, MORE = "base", "more"
SUBSTITUTES = ("nc", "spec")


@dataclass(frozen=True, kw_only=True)
class ZooOptions:
    """How long and on what the zoo is trained; whatever is not here is the default of pushpull.train.

    Args:
        data: sources, as for pushpull.train.
        rows: comma-separated, of A, B1..B3, C1..C4, D1..D6, E1..E3, nc and spec.
        size: "lite" or "full".
        base: a checkpoint (name or path) that takes the base's place: a model of your own, or of an earlier zoo.
        base_frames: video frames that the base is trained on otherwise.
        base_rate: learning rate of that, and of the substitutes.
        more_frames: that it is then trained on further; 0 for none.
        more_rate: learning rate of that.
        harder: augmentation of that, and of the rows.
        base_warmup: how many of the base's frames are the warm-up's; also of a substitute's.
        row_frames: that each row is trained on, from the base.
        substitute_frames: that nc and spec are trained on.
        row_rate: learning rate of the rows, a tenth to a third of the base's.
        own: share of the talking heads' finished examples (turns, chewing, ...).
        adversarial_frames, attack_steps: size of the adversarial sets of rows B and E, and gradient steps.
        batch_frames: video frames in a batch: one step of any of the runs.
        sound_early, sound_late: frames by which sound in sync comes early or late in all but the base, see
            pushpull.train's batches.
        seed: of everything.
        weights: how the rows' checkpoints store them, see pushpull.train.
        precision, device, threads, workers: as for pushpull.train.
        credit: whose data this is and under which licence; goes into the cards.
    """

    data: str = ""
    rows: str = ",".join(ROWS)
    size: str = "lite"
    base: str = ""
    base_frames: int = 1_500_000
    base_rate: float = 1e-3
    more_frames: int = 0
    more_rate: float = 6e-4
    base_warmup: int = 80_000
    row_frames: int = 60_000
    substitute_frames: int = 250_000
    row_rate: float = 3e-4
    own: float = 0.15
    adversarial_frames: int = 8_000
    attack_steps: int = 7
    batch_frames: int = 1000
    sound_early: int = 0
    sound_late: int = 0
    seed: int = 0
    weights: str = "float16"
    precision: str = "auto"
    device: str = "auto"
    threads: int = 0
    workers: int = 1
    credit: str = ""
    harder: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self):
        if unknown := [row for row in self._asked if row not in ROWS]:
            raise ValueError(f"rows are of {', '.join(ROWS)}, got {', '.join(unknown)}")

    @property
    def wanted(self) -> tuple[str, ...]:
        """The rows, each once, in the paper's order."""
        return tuple(row for row in ROWS if row in self._asked)

    @property
    def _asked(self):
        return [row.strip() for row in self.rows.split(",") if row.strip()]


def recipe(options: ZooOptions, row: str, out: Path) -> TrainOptions:
    """How one row, or the base, or more of it, is trained; ``out`` is where the others are."""
    common = {
        "data": options.data,
        "size": options.size,
        "seed": options.seed,
        "validation_clips": 0,
        "mix": replace(ExampleMix(), own=options.own),
        "batches": Batching(
            frames=options.batch_frames,
            sound_early=0 if row == BASE else options.sound_early,
            sound_late=0 if row == BASE else options.sound_late,
        ),
        "weights": "float16" if row in (BASE, MORE) else options.weights,
        "precision": options.precision,
        "device": options.device,
        "threads": options.threads,
        "workers": options.workers,
        "credit": options.credit,
    }
    if row == BASE or row in SUBSTITUTES:
        frames = options.base_frames if row == BASE else options.substitute_frames
        values = common | {"frames": frames, "warmup_frames": options.base_warmup, "learning_rate": options.base_rate}
        if row == BASE:
            return TrainOptions(name=f"talknet-{options.size}-base", prior=0, **values)
        return TrainOptions.of_row(row, **values)
    if row == MORE:
        return TrainOptions(
            name=f"talknet-{options.size}-more",
            frames=options.more_frames,
            warmup_frames=0,
            learning_rate=options.more_rate,
            start=foundation(options, out),
            prior=0,  # of what is only begun with
            augment=options.harder,
            **common | {"seed": options.seed + 1},
        )
    injection = Injection()
    if ROWS[row].get("adversarial"):
        fooled = str(checkpoint(options, "A", out))
        injection = Injection(frames=options.adversarial_frames, attack_steps=options.attack_steps, source=fooled)
    return TrainOptions.of_row(
        row,
        frames=options.row_frames,
        warmup_frames=0,
        learning_rate=options.row_rate,
        start=str(checkpoint(options, MORE, out)) if options.more_frames else foundation(options, out),
        injection=injection,
        augment=options.harder,
        **common,
    )


def foundation(options: ZooOptions, out: Path) -> str:
    """The checkpoint that everything but the substitutes goes back to."""
    return options.base or str(checkpoint(options, BASE, out))


def checkpoint(options: ZooOptions, row: str, out: Path) -> Path:
    """Where a row's weights are, or will be."""
    name = f"talknet-{options.size}-{row}" if row in (BASE, MORE) else checkpoint_name(row, options.size)
    return out / row / f"{name}.safetensors"


def build(
    options: ZooOptions,
    out: Path,
    *,
    robust: RobustOptions = RobustOptions(),
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Train and attack every row that is not done yet.

    Returns:
        The weights of the rows asked for.

    Raises:
        KeyboardInterrupt: stopped by hand; the same call goes on.
    """
    stages = ([] if options.base else [BASE]) + ([MORE] if options.more_frames else [])
    needed = [] if set(options.wanted) <= set(SUBSTITUTES) else stages
    if any(ROWS[row].get("adversarial") for row in options.wanted):
        needed.append("A")
    for row in dict.fromkeys([*needed, *options.wanted]):
        path, training = checkpoint(options, row, out), recipe(options, row, out)
        if not trained(path, training):
            say(f"training {row}")
            train(training, path.parent, progress=progress, croppers=cores())
        if row not in (BASE, MORE) and robust_of(path) != asdict(robust):
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
    return card.get("heldout") is not None and replace(before, **local) == replace(as_told(training), **local)


def robust_of(path: Path) -> dict | None:
    """The options of the robust figures in a checkpoint's card."""
    return card_of(path).get("robust", {}).get("options")


def card_of(path: Path) -> dict:
    """The card beside a checkpoint's weights."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def table(paths: Sequence[Path]) -> str:
    """The rows' figures as Markdown, in percent: AVA-AP on held-out clips of each source, then what attacks leave.

    *right* is the share of frames that the model takes rightly, unattacked and, under an attack, at every iterate.
    """
    cards = [card_of(path) for path in paths]
    sources = list(cards[0]["heldout"]["sources"])
    types = ("in_sync", "swapped", "shifted", "still")
    head = ["row", *(f"{source}: {name.replace('_', ' ')}" for source in sources for name in types)]
    head += ["attacked set: AP", "PGD", "right", "BIM", "MIM", "PGD", "ECR a", "ECR v"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for card in cards:
        clean = [card["heldout"]["sources"][source][name]["ap"] for source in sources for name in types]
        found = card["robust"]
        after = [found[name]["average_precision"] for name in ("clean", "pgd")]
        after += [found["clean"]["frame_accuracy"], *(found[name]["robust_accuracy"] for name in ("bim", "mim", "pgd"))]
        shares = [f"{value:.1f}" for value in clean] + [f"{100 * value:.1f}" for value in after]
        ratios = [f"{found['pgd'][name]:.2f}" for name in ("ecr_a", "ecr_v")]
        lines.append("| " + " | ".join([card["row"], *shares, *ratios]) + " |")
    return "\n".join(lines) + "\n"


PICTURES = (".png", ".svg", ".pdf")  # what a figure can be


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pushpull.training.zoo",
        description="Train and attack every row of the paper's Table 1, resumably.",
        epilog="In square brackets: what an option is when it is not given.",
        allow_abbrev=False,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="folder of the runs [%(default)s]")
    parser.add_argument("--install", type=Path, help="copy weights and cards of finished rows here")
    parser.add_argument("--figure", type=Path, help="draw what the rows reach and what the attacks leave of it, as PNG")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options, given = parse_options(ZooOptions, arguments, parser)
    end_politely()
    try:
        for folder in (given.out, *([given.install] if given.install else [])):
            check_folder(folder)
        if given.figure:
            check_file(given.figure, PICTURES)
        paths = build(options, given.out, progress=not given.quiet, say=partial(print, flush=True))
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        parser.error(str(error))
    if given.install:
        given.install.mkdir(parents=True, exist_ok=True)
        for path in paths:
            for file in (path, path.with_suffix(".json")):
                shutil.copyfile(file, given.install / file.name)
    if given.figure:
        save(zoo_figure([card_of(path) for path in paths]), given.figure)
    print(table(paths), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
