"""Everything a training run depends on, and which of it must stay the same for the run to go on."""

from dataclasses import asdict, dataclass, field

from pushpull.clip import FPS
from pushpull.data.augment import Augmentation
from pushpull.data.batches import Batching
from pushpull.data.kinds import Kinds
from pushpull.data.talkset import TalkSetOptions
from pushpull.models import TalkNetConfig

WARMUP_KINDS = Kinds(in_sync=0.5, swapped=0, shifted=0, still=0.5, frozen=0, silence=0, noise=0)
WARMUP_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What a run depends on; stored with its checkpoint.

    Counts of frames are video frames, 25 a second.

    Args:
        data: folder of talking-face footage, or KIND:FOLDER[,KIND:FOLDER ...] with KIND talkset or talkheads.
        name: of the checkpoint.
        variant: "talknet", "nctalknet" or "spectalknet".
        size: "lite", or "full": exactly the official network.
        frames: how long to train. Steps are ``frames // batches.frames``.
        warmup_frames: how many of them are spent on one-second windows of ``in_sync`` and ``still`` alone with the
            visual loss at ``warmup_visual_weight``. Without it the model learns voice activity and ignores the face
            for hundreds of thousands of frames.
        warmup_visual_weight: of CE_v during the warm-up, in place of ``visual_weight``.
        audio_weight, visual_weight: CE_all = CE_av + audio_weight CE_a + visual_weight CE_v (paper, Eq. 4: 0.4 each).
        learning_rate: of Adam; official TalkNet: 1e-4. The lite network, trained briefly, wants ten times that.
        ramp: steps over which the rate rises linearly from 0.
        schedule: "cosine" falls to 1 % of the rate at the end; "exponential" multiplies by ``decay`` every epoch.
        decay: official TalkNet: 0.95.
        seed: of weights, data order, augmentation and dropout.
        validation_clips: how many held-out clips are looked at after each epoch, 0 or at least 2 (all of the test
            split at the end).
        recalibration: batches over which batch normalisation's running statistics are estimated anew before the model
            is measured or written, see pushpull.recalibrate; 0 keeps the running averages of training.
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
    recalibration: int = 24
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
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.recalibration < 0:
            raise ValueError(f"recalibration counts batches, got {self.recalibration}")
        if self.validation_clips < 0 or self.validation_clips == 1:
            raise ValueError(f"validation_clips is 0 or at least 2, got {self.validation_clips}: voices are swapped")
        TalkNetConfig.named(self.variant, self.size)  # unknown names raise now and not once the footage is cropped
        if self.warmup_steps and self.batches.frames < WARMUP_SECONDS * FPS:
            raise ValueError(
                f"a batch of {self.batches.frames} frames holds none of the warm-up's clips of {WARMUP_SECONDS:g} s: "
                f"give batches.frames at least {WARMUP_SECONDS * FPS:g}, or warmup_frames 0"
            )
        if self.steps < 1:
            raise ValueError(f"{self.frames} frames are less than one batch of {self.batches.frames}")

    @property
    def steps(self) -> int:
        return self.frames // self.batches.frames

    @property
    def warmup_steps(self) -> int:
        return self.warmup_frames // self.batches.frames


def identity(options: TrainOptions, pool) -> dict:
    """What must be the same for a run to go on: the options that decide its steps, and the very clips."""
    free = {"data", "name", "device", "threads", "workers", "save_seconds", "credit", "recalibration"}
    return {k: v for k, v in asdict(options).items() if k not in free} | {"clips": pool.fingerprint}
