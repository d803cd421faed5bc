"""How each model of a zoo is trained: what all of them share, and what each has of its own."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from pushpull.data.augment import Augmentation
from pushpull.data.batches import Batching
from pushpull.data.mix import ExampleMix
from pushpull.data.talkset import TalkSetOptions
from pushpull.faces import TALKNET_DEMO
from pushpull.training.adversarial import Injection
from pushpull.training.networks import SIZE, TALKNET
from pushpull.training.options import TrainOptions
from pushpull.training.rows import ROWS, checkpoint_name, complete

BASE, MORE, SCRATCH = "base", "more", "scratch"
SUBSTITUTES = ("nc", "spec")


@dataclass(frozen=True, kw_only=True)
class ZooOptions:
    """How long and on what the zoo is trained; whatever is not here is the default of pushpull.train.

    Args:
        data: sources, as for pushpull.train.
        rows: comma-separated, of A, B1..B3, C1..C4, D1..D6, E1..E3, nc, spec, and M (attacks made on every batch).
        architecture: "talknet", "light-asd" or "lr-asd".
        size: of TalkNet, "lite" or "full".
        begin: "base": every row goes on from the base; "scratch": every row begins with random weights and has its loss
            for the whole training, of ``row_frames`` at ``base_rate``, and its adversarial data from the end of the
            warm-up (``base_warmup``) on. There is no base then.
        base: a checkpoint (name or path) that takes the base's place: a model of your own, or of an earlier zoo.
        base_frames: video frames that the base is trained on otherwise.
        base_rate: learning rate of that, and of the substitutes.
        more_frames: that it is then trained on further; 0 for none.
        more_rate: learning rate of that.
        harder: augmentation of that, and of the rows.
        base_warmup: how many of the base's frames are the warm-up's; also of a substitute's.
        row_frames: that each row is trained on.
        substitute_frames: that nc and spec are trained on.
        row_rate: learning rate of the rows, a tenth to a third of the base's.
        own: share of the talking heads' finished examples (turns, chewing, ...).
        adversarial_frames: video frames in the adversarial set of a row B or E.
        attack_steps: gradient steps of the attacks that make those sets, and of M's.
        attack_restarts: random starts of PGD in those sets; M has one.
        attack_rise: share of M's training over which its budget rises from 0, see pushpull.train's injection.rise.
        adversarial_every: epochs after which these sets are made anew, against the model in training; 0: they fool row
            A and are made once.
        batch_frames: video frames in a batch: one step of any of the runs.
        sound_early, sound_late: frames by which sound in sync comes early or late in all but the base, see
            pushpull.train's batches.
        crop: of footage, "talknet_demo" or "face_box", see pushpull.train's footage.
        temperature: see pushpull.train; 1 for weights that were trained to the end already.
        seed: of everything.
        seeds: comma-separated, a zoo for each, in OUT/seed-N; none for ``seed`` alone, in OUT.
        weights: how the rows' checkpoints store them, see pushpull.train.
        precision, device, threads, workers: as for pushpull.train.
        credit: whose data this is and under which licence; goes into the cards.
    """

    data: str = ""
    rows: str = ",".join(row for row in ROWS if row != "M")
    architecture: str = TALKNET
    size: str = "lite"
    begin: str = BASE
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
    attack_restarts: int = 3
    attack_rise: float = 0.0
    adversarial_every: int = 0
    batch_frames: int = 1000
    sound_early: int = 0
    sound_late: int = 0
    crop: str = TALKNET_DEMO
    temperature: float = 1.3
    seed: int = 0
    seeds: str = ""
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
        if self.begin not in (BASE, SCRATCH):
            raise ValueError(f"begin is '{BASE}' or '{SCRATCH}', got {self.begin!r}")
        if self.begin == SCRATCH and (self.base or self.more_frames):
            raise ValueError("rows that begin from scratch have no base: leave out base and more_frames")
        if self.begin == SCRATCH and self.base_warmup >= self.row_frames:
            raise ValueError(
                "rows from scratch would see nothing but the warm-up: give row_frames more than base_warmup "
                f"({self.base_warmup}), got {self.row_frames}"
            )
        if not all(seed.isdecimal() for seed in listed(self.seeds)):
            raise ValueError(f"seeds are numbers, comma-separated, got {self.seeds!r}")

    @property
    def wanted(self) -> tuple[str, ...]:
        """The rows, each once, in the paper's order."""
        return tuple(row for row in ROWS if row in self._asked)

    @property
    def _asked(self):
        return listed(self.rows)

    @property
    def stages(self) -> tuple[str, ...]:
        """What is trained before the rows of an architecture that go on from it."""
        if self.begin == SCRATCH:
            return ()
        return (() if self.base else (BASE,)) + ((MORE,) if self.more_frames else ())

    @property
    def each_seed(self) -> "list[ZooOptions]":
        """One zoo for each of the seeds."""
        return [replace(self, seed=int(seed), seeds="") for seed in dict.fromkeys(listed(self.seeds))] or [self]


def listed(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def recipe(options: ZooOptions, row: str, out: Path) -> TrainOptions:
    """How one row, or the base, or more of it, is trained; ``out`` is where the others are."""
    common = _common(options, row)
    whole = {"warmup_frames": options.base_warmup, "learning_rate": options.base_rate}
    if row == BASE:
        return TrainOptions(**_named(options, BASE), frames=options.base_frames, prior=0, **common | whole)
    if row in SUBSTITUTES:
        return TrainOptions.of_row(row, frames=options.substitute_frames, **common | whole)
    if row == MORE:
        return TrainOptions(
            **_named(options, MORE),
            frames=options.more_frames,
            warmup_frames=0,
            learning_rate=options.more_rate,
            start=foundation(options, out),
            prior=0,  # of what is only begun with
            augment=options.harder,
            **common | {"seed": options.seed + 1},
        )
    trained = {"augment": options.harder, "injection": _injection(options, row, out)}
    if options.begin == SCRATCH:
        return TrainOptions.of_row(row, frames=options.row_frames, **common | whole | trained)
    return TrainOptions.of_row(
        row,
        frames=options.row_frames,
        warmup_frames=0,
        learning_rate=options.row_rate,
        start=str(checkpoint(options, MORE, out)) if options.more_frames else foundation(options, out),
        **common | trained,
    )


def _common(options: ZooOptions, row: str) -> dict:
    """What all runs of a zoo share."""
    moved = row != BASE
    architecture = TALKNET if row in SUBSTITUTES else options.architecture
    same = ("data", "seed", "precision", "device", "threads", "workers", "credit", "temperature")
    return {name: getattr(options, name) for name in same} | {
        "architecture": architecture,
        "size": options.size if architecture == TALKNET else SIZE,
        "footage": TalkSetOptions(crop=options.crop),
        "validation_clips": 0,
        "mix": replace(ExampleMix(), own=options.own),
        "batches": Batching(
            frames=options.batch_frames,
            sound_early=options.sound_early if moved else 0,
            sound_late=options.sound_late if moved else 0,
        ),
        "weights": "float16" if row in (BASE, MORE) else options.weights,
    }


def _named(options: ZooOptions, stage: str) -> dict:
    """Name and loss of a stage before the rows: CE_all, as the architecture's own recipe has it."""
    own = complete({"architecture": options.architecture, "name": stage_name(options, stage)})
    return {name: value for name, value in own.items() if name != "architecture"}


def _injection(options: ZooOptions, row: str, out: Path) -> Injection:
    """The adversarial data of a row that has any."""
    attacks = {"attack_steps": options.attack_steps}
    if not ROWS[row].get("adversarial"):
        return Injection()
    if ROWS[row].get("adversarial_data") == "batch":
        return Injection(restarts=1, rise=options.attack_rise, **attacks)  # one random start, as Madry et al.
    return Injection(
        source=str(checkpoint(options, "A", out)) if fools_a(options, row) else "",
        frames=options.adversarial_frames,
        every=options.adversarial_every,
        restarts=options.attack_restarts,
        **attacks,
    )


def fools_a(options: ZooOptions, row: str) -> bool:
    """Whether a row's adversarial data is made to fool row A, which has to be there then."""
    made_ahead = ROWS[row].get("adversarial") and ROWS[row].get("adversarial_data", "set") == "set"
    return bool(made_ahead) and not options.adversarial_every


def foundation(options: ZooOptions, out: Path) -> str:
    """The checkpoint that everything but the substitutes goes back to."""
    return options.base or str(checkpoint(options, BASE, out))


def checkpoint(options: ZooOptions, row: str, out: Path) -> Path:
    """Where a row's weights are, or will be."""
    stage = row in (BASE, MORE)
    name = stage_name(options, row) if stage else checkpoint_name(row, options.size, options.architecture)
    return out / row / f"{name}.safetensors"


def stage_name(options: ZooOptions, stage: str) -> str:
    """talknet-lite-base, lr-asd-more, ..."""
    size = f"-{options.size}" if options.architecture == TALKNET else ""
    return f"{options.architecture}{size}-{stage}"
