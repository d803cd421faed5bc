"""Everything a training run depends on, and which of it must stay the same for the run to go on."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import ClassVar

import torch

from pushpull.clip import FPS
from pushpull.config import from_dict
from pushpull.data.augment import Augmentation
from pushpull.data.ava import AvaOptions
from pushpull.data.batches import Batching
from pushpull.data.mix import ExampleMix
from pushpull.data.talkset import TalkSetOptions
from pushpull.detectors.checkpoint import NAME
from pushpull.detectors.stored import STORED
from pushpull.training.adversarial import ADVERSARIAL, ADVERSARIAL_DATA, Injection
from pushpull.training.distillation import Distillation
from pushpull.training.networks import check_architecture, weights_sha256
from pushpull.training.rows import complete, row_settings

WARMUP_MIX = ExampleMix(in_sync=0.5, swapped=0, shifted=0, still=0.5, frozen=0, silence=0, noise=0)
WARMUP_SECONDS = 1.0
BEGUN_WITH = "begun_with"  # in a run's identity


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What a run depends on; stored with its checkpoint.

    Counts of frames are video frames, 25 a second.

    Args:
        data: folder of talking-face footage, or KIND:FOLDER[*WEIGHT][,...] with KIND talkset, talkheads or ava;
            talkheads:300 makes 300 talking heads in the user's cache first. WEIGHT (1) says how often a clip of this
            source is drawn, relative to one of another.
        row: of the paper's Table 1 (A, B1..B3, C1..C4, D1..D6, E1..E3), its substitutes nc and spec, or M (attacks made
            on every batch); sets the variant, the lambdas and the adversarial data, and the name where none is given.
            None for settings of your own.
        name: of the checkpoint.
        architecture: "talknet", "light-asd" or "lr-asd".
        variant: of TalkNet: "talknet", "nctalknet" or "spectalknet".
        size: of TalkNet: "lite", or "full": exactly the official network.
        frames: how long to train. Steps are ``frames // (batches.frames accumulate)``.
        warmup_frames: how many of them are spent on one-second windows of ``in_sync`` and ``still`` alone with the
            visual loss at ``warmup_visual_weight``. Without it the model learns voice activity and ignores the face
            for hundreds of thousands of frames.
        warmup_visual_weight: of CE_v during the warm-up, in place of ``visual_weight``.
        audio_weight, visual_weight: CE_all = CE_av + audio_weight CE_a + visual_weight CE_v (paper, Eq. 4: 0.4 each).
            Light-ASD and LR-ASD have no CE_a, and 0.5 for CE_v unless it is given.
        temperature: what the audio-visual logits of Light-ASD and LR-ASD are divided by at the first step; it falls to
            1 in a straight line (the published recipe: 1.3).
        lambda1, lambda2, lambda3, lambda4: weights of the paper's interaction losses (Eq. 11; the paper: 0.1 each).
        adversarial: "bim", "mim" or "pgd": adversarial examples made with it join the training set, see injection;
            "" for none.
        adversarial_data: "set": a set made ahead, of which some join every batch (the paper); "batch": every batch is
            attacked as it comes, against the model as it then is, and trained on in place of what it was (Madry et al.
            2018). Both begin after the warm-up.
        start: a checkpoint (name or path, also a published .model file) whose weights the run begins with, instead of
            random ones; tensors that a variant of TalkNet does not have in common with it stay random.
        learning_rate: of Adam; official TalkNet: 1e-4. The lite network, trained briefly, wants ten times that.
        ramp: steps over which the rate rises linearly from 0.
        schedule: "cosine" falls to 1 % of the rate at the end; "exponential" multiplies by ``decay`` every epoch.
        decay: official TalkNet: 0.95.
        seed: of weights, data order, augmentation and dropout.
        accumulate: batches whose gradients are averaged for one step. Under torchrun they are shared out, so this is a
            multiple of the number of processes; two processes give what one gives with the same number.
        validation_clips: how many held-out clips are looked at after each epoch, 0 or at least 2 (all of the test
            split at the end).
        recalibration: batches over which batch normalisation's running statistics are estimated anew before the model
            is measured or written, see pushpull.training.recalibrate; 0 keeps the running averages of training.
        prior: share of speaking frames that the scores of the written model assume, whatever it was in training, see
            pushpull.training.prior; 0 leaves that of the training data in them, as the official code does.
        weights: how the checkpoint stores them: "float16", or "int8" for half of that size.
        device: "auto" takes CUDA, then MPS, then the CPU.
        precision: "auto" is bfloat16 autocast on CUDA and float32 elsewhere; or "float32", "bfloat16". Attacks of
            adversarial training run in it, too.
        threads: CPU threads, 0 for torch's choice. Resuming is exact to the bit with the same number.
        workers: processes that prepare batches ahead.
        save_seconds: how much work a kill can cost.
        credit: whose data this is and under which licence; goes into the card.
    """

    data: str = ""
    row: str = ""
    name: str = "talknet-lite"
    architecture: str = "talknet"
    variant: str = "talknet"
    size: str = "lite"
    frames: int = 600_000
    warmup_frames: int = 100_000
    warmup_visual_weight: float = 1.0
    audio_weight: float = 0.4
    visual_weight: float = 0.4
    temperature: float = 1.3
    lambda1: float = 0.0
    lambda2: float = 0.0
    lambda3: float = 0.0
    lambda4: float = 0.0
    adversarial: str = ""
    adversarial_data: str = "set"
    start: str = ""
    learning_rate: float = 1e-3
    ramp: int = 20
    schedule: str = "cosine"
    decay: float = 0.95
    seed: int = 0
    accumulate: int = 1
    validation_clips: int = 16
    recalibration: int = 24
    prior: float = 0.5
    weights: str = "float16"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    workers: int = 1
    save_seconds: float = 60.0
    credit: str = ""
    RENAMED: ClassVar[dict[str, str]] = {"kinds": "mix", "hints": "distillation"}  # options of older cards and states
    footage: TalkSetOptions = field(default_factory=TalkSetOptions)
    ava: AvaOptions = field(default_factory=AvaOptions)
    mix: ExampleMix = field(default_factory=ExampleMix)
    batches: Batching = field(default_factory=Batching)
    augment: Augmentation = field(default_factory=Augmentation)
    injection: Injection = field(default_factory=Injection)
    distillation: Distillation = field(default_factory=Distillation)

    def __post_init__(self):
        self._check_choices()
        self._check_row()
        self._check_numbers()
        check_architecture(self.architecture, self.variant, self.size)

    def _check_choices(self):
        choices = {
            "schedule": ("cosine", "exponential"),
            "precision": ("auto", "float32", "bfloat16"),
            "weights": STORED,
            "adversarial": ("", *ADVERSARIAL),
            "adversarial_data": ADVERSARIAL_DATA,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                shown = ", ".join(filter(None, allowed)) + (" or nothing" if "" in allowed else "")
                raise ValueError(f"{name} is one of {shown}, got {getattr(self, name)!r}")
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name is of letters, digits, '.', '_' and '-', got {self.name!r}")

    def _check_row(self):
        if not self.row:
            return
        fixed = row_settings(self.row)
        if wrong := {key: getattr(self, key) for key, value in fixed.items() if getattr(self, key) != value}:
            meant = ", ".join(f"{key} {fixed[key]!r}" for key in wrong)
            raise ValueError(f"row {self.row} means {meant}, got {wrong}; leave out row for your own")

    def _check_numbers(self):
        if bad := {f.name: value for f in fields(self) if not _finite(value := getattr(self, f.name))}:
            raise ValueError(f"options are finite numbers, got {bad}")
        if not (self.learning_rate > 0 and self.decay > 0):
            raise ValueError(f"learning_rate and decay are above 0, got {self.learning_rate} and {self.decay}")
        if min(self.ramp, self.threads, self.workers) < 0:
            raise ValueError(
                f"ramp, threads and workers count from 0, got {self.ramp}, {self.threads} and {self.workers}"
            )
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if min(self.lambdas) < 0:
            raise ValueError(f"the lambdas must not be negative, got {self.lambdas}")
        if self.injection.rise and self.adversarial_data != "batch":
            raise ValueError(
                "injection.rise is of attacks on every batch: give adversarial_data 'batch', or leave it at 0"
            )
        if self.accumulate < 1:
            raise ValueError(f"accumulate counts batches and is at least 1, got {self.accumulate}")
        if self.recalibration < 0:
            raise ValueError(f"recalibration counts batches, got {self.recalibration}")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature divides logits and is above 0, got {self.temperature}")
        if not 0 <= self.prior < 1:
            raise ValueError(
                f"prior is a share of speaking frames below 1, or 0 for that in training, got {self.prior}"
            )
        if self.validation_clips < 0 or self.validation_clips == 1:
            raise ValueError(f"validation_clips is 0 or at least 2, got {self.validation_clips}: voices are swapped")
        self._check_length()

    def _check_length(self):
        if self.warmup_steps and self.batches.frames < WARMUP_SECONDS * FPS:
            raise ValueError(
                f"a batch of {self.batches.frames} frames holds none of the warm-up's clips of {WARMUP_SECONDS:g} s: "
                f"give batches.frames at least {WARMUP_SECONDS * FPS:g}, or warmup_frames 0"
            )
        if self.steps < 1:
            raise ValueError(f"{self.frames} frames are less than one step of {self.step_frames}")
        if self.adversarial and self.warmup_steps >= self.steps:
            raise ValueError(
                f"adversarial data begins after the warm-up, which takes all of the {self.frames} frames: give "
                f"warmup_frames less than that, or more frames than {self.warmup_frames}"
            )

    @classmethod
    def of_row(cls, row: str, **values) -> "TrainOptions":
        """The options of a row of Table 1; ``values`` are the rest."""
        return cls(**complete({"row": row} | values))

    @classmethod
    def of_card(cls, training: dict, **local) -> "TrainOptions":
        """The options in a card's ``training``, of this version or an older one, with ``local`` ones in their place.

        Raises:
            ValueError: it holds options that this version does not know.
        """
        return from_dict(cls, modern(training) | local)

    def autocast(self, device: torch.device) -> torch.dtype | None:
        """In which the network runs on ``device``, in steps and in attacks of adversarial training; None: float32."""
        half = self.precision == "bfloat16" or (self.precision == "auto" and device.type == "cuda")
        return torch.bfloat16 if half else None

    @property
    def step_frames(self) -> int:
        """Video frames in one step."""
        return self.batches.frames * self.accumulate

    @property
    def steps(self) -> int:
        return self.frames // self.step_frames

    @property
    def warmup_steps(self) -> int:
        return self.warmup_frames // self.step_frames

    @property
    def lambdas(self) -> tuple[float, ...]:
        """Weights of L1 to L4."""
        return self.lambda1, self.lambda2, self.lambda3, self.lambda4


def _finite(value) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def modern(training: dict) -> dict:
    """Options as an older version stored them, in a card or a run's state, by today's names.

    Here and nowhere else: checkpoints that shipped before the names changed are evaluated and gone on with as others.
    """
    return {TrainOptions.RENAMED.get(name, name): value for name, value in training.items()}


def identity(options: TrainOptions, pool) -> dict:
    """What must be the same for a run to go on: the options that decide its steps, the very clips and weights."""
    # The clips' fingerprint says which tracks of AVA they are.
    free = {"data", "ava", "row", "name", "device", "threads", "workers", "save_seconds", "credit"}
    free |= {"recalibration", "prior", "weights"}  # what is done to the trained weights
    kept = {k: v for k, v in asdict(options).items() if k not in free}
    return kept | {"clips": pool.fingerprint, BEGUN_WITH: begun_with(options)}


def begun_with(options: TrainOptions) -> dict[str, str]:
    """SHA-256 of the weights of every checkpoint that a run takes something from: a path says nothing of the content.

    Raises:
        CheckpointError: there is no such checkpoint, or it is damaged.
    """
    injected = options.adversarial and options.adversarial_data == "set"
    named = {
        "start": options.start,
        "distillation": options.distillation.source,
        "injection": options.injection.source if injected else "",
    }
    return {name: weights_sha256(checkpoint) for name, checkpoint in named.items() if checkpoint}
