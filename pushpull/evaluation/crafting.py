"""Attack every example under one condition, in batches of clips of one length, and record what came of it."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pushpull.attacks import ATTACKS, BIM, Attack, AttackResult, Step, paper_budget
from pushpull.attacks.ensemble import Ensemble, summed
from pushpull.attacks.features import class_centres, features
from pushpull.attacks.objectives import OBJECTIVES
from pushpull.clip import Clip
from pushpull.detectors import Outputs
from pushpull.evaluation.examples import Example, set_hash
from pushpull.evaluation.fingerprint import fingerprint, of_library
from pushpull.evaluation.records import Record, RecordStore
from pushpull.evaluation.subjects import Subject
from pushpull.metrics import ecr, psnr, snr_db, ssim

BATCH = 8  # clips attacked together
FIRST_OBJECTIVE = "inference_aware"  # every detector has what it needs
FLOAT32 = "float32"
PRECISIONS: dict[str, torch.dtype | None] = {FLOAT32: None, "bfloat16": torch.bfloat16}  # autocast's dtype


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What is done to every example.

    Args:
        source: name of the detector that is attacked.
        targets: names of those that score what came of it.
        attack: with its parameters.
        objective: a name of ``pushpull.attacks.objectives``; "training_aware" is "inference_aware" for detectors
            without the heads it needs, and so is "features" for those without embeddings.
        modality: "both", "audio" or "video": what may change.
        eps_av: budget; 1e-4 of full scale of the sound and 0.1 grey levels of the picture for each unit.
        seed: of random starts; example i draws from seed + i.
        begin: name of a detector that is attacked first, in the same way with cross entropy; what that finds is where
            the source's attack starts. "" starts at the example.
        ensemble: names of further detectors that are attacked together with the source: the objective is the sum over
            all of them.
        float64: attack once more in float64 where the gradient was exactly zero.
        precision: a key of ``PRECISIONS``: in what the attack finds its gradients. Decisions are scored in float32
            either way; iterates that were not kept, which "never wrong" counts as well, in the attack's precision.

    Raises:
        ValueError: an objective or a precision that is not known, what is no attack, or a seed below 0.
    """

    source: str
    targets: tuple[str, ...] = ()
    attack: Attack = BIM()  # noqa: RUF009 (frozen)
    objective: str = "training_aware"
    modality: str = "both"
    eps_av: float = 5.0
    seed: int = 0
    begin: str = ""
    ensemble: tuple[str, ...] = ()
    float64: bool = False
    precision: str = FLOAT32

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {' or '.join(PRECISIONS)}, got {self.precision!r}")
        if not isinstance(self.attack, Attack):
            raise ValueError(f"attack must be one with its parameters, such as BIM(steps=10), got {self.attack!r}")
        if self.objective not in OBJECTIVES:
            raise ValueError(
                f"unknown objective {self.objective!r}; known are {', '.join(OBJECTIVES)}; one of your own is "
                "made known by register_objective"
            )
        for name in ("eps_av", "seed"):
            if isinstance(value := getattr(self, name), np.generic):
                object.__setattr__(self, name, value.item())  # as records can hold it
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be >= 0 and a whole number, got {self.seed!r}")

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The targets; the source itself where none is named."""
        return self.targets or (self.source,)

    @property
    def attacked(self) -> str:
        """What is attacked, for people."""
        return " + ".join((self.source, *self.ensemble))

    @property
    def attack_name(self) -> str:
        """Of ``ATTACKS``; that of its class where nobody registered it."""
        kind = type(self.attack)
        return next((name for name, known in ATTACKS.items() if known is kind), kind.__qualname__)

    @property
    def parameters(self) -> dict:
        """The attack's, by their names."""
        return asdict(self.attack)

    def to_dict(self) -> dict:
        values = {name: getattr(self, name) for name in ("source", "objective", "modality", "eps_av", "seed")}
        attack = {"name": self.attack_name} | self.parameters
        # What is not used is not told: records from before there was such a choice stay good.
        values |= {"begin": self.begin} if self.begin else {}
        values |= {"ensemble": list(self.ensemble)} if self.ensemble else {}
        values |= {"float64": True} if self.float64 else {}
        values |= {"precision": self.precision} if self.precision != FLOAT32 else {}
        return values | {"targets": list(self.scored_by), "attack": attack}


class Evaluator:
    """Some detectors and the examples that they are attacked on; what is known of a condition is not done again.

    Args:
        subjects: the detectors, each under its own name.
        examples: labelled clips; or, by crop, the same ones cut out as different detectors want them. A detector whose
            crop is not there gets the first.
        own_labels: what counts as right is what each detector says of the unattacked clip, instead of the labels.
        folder: where records go; None keeps them in memory.
        batch: clips attacked together.
        shard, shards: which part of the examples this process takes, of how many; see :mod:`pushpull.evaluate`.
        on_examples: called with the number of examples that were done, after every batch.
        cancelled: asked between two steps of an attack; True ends the work, and what is done stays.

    Raises:
        ValueError: no detector, no example, or two of one name.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        examples: Sequence[Example] | dict[str, Sequence[Example]],
        *,
        own_labels: bool = False,
        folder: Path | None = None,
        batch: int = BATCH,
        shard: int = 0,
        shards: int = 1,
        on_examples: Callable[[int], None] = lambda count: None,
        cancelled: Callable[[], bool] = lambda: False,
    ):
        names = [subject.name for subject in subjects]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"an evaluation needs detectors of different names, got {', '.join(names) or 'none'}")
        self.cuts = {k: list(v) for k, v in (examples if isinstance(examples, dict) else {"": examples}).items()}
        self.examples = next(iter(self.cuts.values()), [])
        known = [example.name for example in self.examples]
        if not known or len(set(known)) < len(known):
            raise ValueError("an evaluation needs examples, and each of them once")
        if any([example.name for example in cut] != known for cut in self.cuts.values()):
            raise ValueError("the crops hold different examples")
        self.subjects = {subject.name: subject for subject in subjects}
        self.own_labels, self.folder, self.batch = own_labels, folder, max(1, batch)
        self.shard, self.shards = shard, shards
        self.on_examples, self.cancelled = on_examples, cancelled
        self.hashes = {crop: set_hash(cut) for crop, cut in self.cuts.items()}
        self._clean: dict[tuple[str, str], list[Outputs]] = {}
        self._centres: dict[str, Callable] = {}

    def crop_of(self, name: str) -> str:
        """The crop of which a detector gets the examples: its own if it is there, else the first."""
        crop = self.subjects[name].crop
        return crop if crop in self.cuts else next(iter(self.cuts))

    def clean(self, name: str, crop: str | None = None) -> list[Outputs]:
        """What a detector says of every example, unattacked, in its own crop or another; a batch of one each."""
        crop = self.crop_of(name) if crop is None else crop
        if (name, crop) not in self._clean:
            score = self.subjects[name].score
            self._clean[name, crop] = [score(example.clip.inputs()) for example in self.cuts[crop]]
        return self._clean[name, crop]

    def labels(self, name: str, index: int, crop: str | None = None) -> np.ndarray:
        """(T,) int64, what counts as right of an example for a detector."""
        if self.own_labels:
            return (self.clean(name, crop)[index].margin[0].numpy() > 0).astype(np.int64)
        return self.examples[index].clip.labels

    def labelled(self, name: str, index: int) -> Clip:
        """An example as a detector gets it: in its crop, with what counts as right."""
        return replace(self.cuts[self.crop_of(name)][index].clip, labels=self.labels(name, index))

    def right(self, name: str) -> list[np.ndarray]:
        """(T,) bool of every example: frames that a detector decides as labelled, unattacked."""
        return [
            (said.margin[0].numpy() > 0) == (self.labels(name, index) == 1)
            for index, said in enumerate(self.clean(name))
        ]

    def run(self, condition: Condition) -> dict[str, list[Record]]:
        """{target: records in the order of the examples}; those that are on disk are read, the others made.

        With several processes, of this one's share alone; call again once all are done.

        Raises:
            KeyError: a detector that is not among the subjects.
            KeyboardInterrupt: cancelled; what is done stays on disk.
        """
        store = RecordStore(self.folder, self.key(condition), self.shard)
        found = store.load()
        for indices in self.batches({example.name for example in self.examples} - set(found)):
            store.add(self._records(condition, indices, *self.craft(condition, indices)))
            self.on_examples(len(indices))
        found = store.load()
        return {
            target: [found[e.name][place] for e in self.examples if e.name in found]
            for place, target in enumerate(condition.scored_by)
        }

    def missing(self, condition: Condition) -> int:
        """How many examples a condition still has to be run on."""
        found = RecordStore(self.folder, self.key(condition)).load()
        return sum(example.name not in found for example in self.examples)

    def key(self, condition: Condition) -> dict:
        """Everything that the records of a condition depend on."""
        names = dict.fromkeys(
            (condition.source, *condition.scored_by, *condition.ensemble, *filter(None, [condition.begin]))
        )
        thresholds = {name: self.subjects[name].point.threshold for name in names}
        # What is not used is not told: records from before there were operating points stay good.
        moved = {"thresholds": thresholds} if any(thresholds.values()) else {}
        # Of attacks and objectives of one's own, names say too little: their code may change.
        for name, thing in (("attack", type(condition.attack)), ("objective", OBJECTIVES.get(condition.objective))):
            if thing is not None and not of_library(thing):
                moved |= {f"{name}_code": fingerprint(thing)}
        return {
            "condition": condition.to_dict(),
            "checkpoints": {name: self.subjects[name].sha256 for name in names},
            **moved,
            "set": self.hashes[self.crop_of(condition.source)],
            "own_labels": self.own_labels,
        }

    def batches(self, missing: set[str]) -> Iterator[list[int]]:
        """Numbers of this process's share of the missing examples: neighbours of one length, ``batch`` at most.

        Cut from the whole list, so that neither the share nor the batches depend on what is done already.
        """
        whole: list[list[int]] = []
        for index, example in enumerate(self.examples):
            alike = whole and example.clip.frames == self.examples[whole[-1][0]].clip.frames
            if alike and len(whole[-1]) < self.batch:
                whole[-1].append(index)
            else:
                whole.append([index])
        for batch in whole[self.shard :: self.shards]:
            # A batch's random streams are numbered from its first example: what is in one follows without a gap.
            part: list[int] = []
            for index in [*batch, None]:
                if index is not None and self.examples[index].name in missing:
                    part.append(index)
                elif part:
                    yield part
                    part = []

    def craft(self, condition: Condition, indices: Sequence[int]) -> tuple[dict[str, torch.Tensor], AttackResult]:
        """Some examples, of one length, as the detector gets them, and what the attack made of them."""
        source, crop = self.subjects[condition.source], self.crop_of(condition.source)
        examples = [self.cuts[crop][i] for i in indices]
        inputs = {
            name: torch.cat([example.clip.inputs(source.device)[name] for example in examples])
            for name in ("audio", "video")
        }
        labels = torch.from_numpy(np.stack([self.labels(condition.source, i) for i in indices]))
        initial = None
        if condition.begin:
            initial = self._run(condition, condition.begin, indices, inputs, labels, FIRST_OBJECTIVE).adversarial
        return inputs, self._run(condition, condition.source, indices, inputs, labels, condition.objective, initial)

    def _run(self, condition, name, indices, inputs, labels, objective, initial=None) -> AttackResult:
        """One detector attacked on one batch as the condition says."""
        subject = self.subjects[name]
        model, aim = subject.fast, self._objective(name, objective)
        if condition.ensemble and name == condition.source:
            model = Ensemble([model, *(self.subjects[other].fast for other in condition.ensemble)])
            aim = summed(aim)

        def on_step(step: Step) -> None:
            if self.cancelled():
                raise KeyboardInterrupt

        with warnings.catch_warnings():
            # Every record tells it: ``zero_gradients``.
            warnings.filterwarnings("ignore", message="the gradient of clips")
            return condition.attack.run(
                model,
                {key: values.to(subject.device) for key, values in inputs.items()},
                labels.to(subject.device),
                budgets=paper_budget(condition.eps_av, condition.modality),
                objective=aim,
                seed=condition.seed + indices[0],
                on_step=on_step,
                max_rows=max(self.batch, len(indices)),
                initial=initial,
                autocast=PRECISIONS[condition.precision],
                float64_fallback=condition.float64,
            )

    def _objective(self, name: str, objective: str) -> str | Callable:
        """The objective by its name; "features" moves towards the other class of the examples' clean embeddings."""
        said = self.clean(name)
        used = self.subjects[name].objective(objective, said[0])
        if used != "features":
            return used
        if name not in self._centres:
            labels = [torch.from_numpy(self.labels(name, index))[None] for index in range(len(self.examples))]
            together, every = Outputs.cat(said, dim=1), torch.cat(labels, dim=1)  # one long clip: lengths differ
            both = 0 < every.sum() < every.numel()
            self._centres[name] = features(class_centres(together, every) if both else None)
        return self._centres[name]

    def _records(self, condition, indices, inputs, result: AttackResult) -> list[list[Record]]:
        zero, crop = _zero_gradients(result), self.crop_of(condition.source)
        said = {
            name: (self.subjects[name].score(result.adversarial), self.subjects[name].score(result.stored))
            for name in condition.scored_by
        }
        found = []
        for row, index in enumerate(indices):
            visible = _visibility(
                {name: values[row].cpu() for name, values in inputs.items()},
                {name: values[row].cpu() for name, values in result.adversarial.items()},
            )
            records = []
            for name, (adversarial, stored) in said.items():
                clean = self.clean(name, crop)[index]
                own = name == condition.source and not condition.ensemble
                records.append(
                    Record(
                        example=self.examples[index].name,
                        target=name,
                        labels=self.labels(name, index, crop),
                        clean=clean.margin[0].float().numpy(),
                        adversarial=adversarial.margin[row].float().numpy(),
                        stored=stored.margin[row].float().numpy(),
                        ever=result.flipped_ever[row].cpu().numpy() if own else None,
                        **_embeddings(clean.map(lambda v: v[0]), adversarial.map(lambda v, row=row: v[row])),
                        **visible,
                        loss=result.loss[row].item(),
                        clean_loss=result.clean_loss[row].item(),
                        zero_gradients=zero,
                    )
                )
            found.append(records)
        return found


def _zero_gradients(result: AttackResult) -> float | None:
    """Of the first evaluation, over all clips of the batch."""
    shares = list(result.trace[0].zero_grad_share.values()) if result.trace else []
    return max(shares) if shares else None


def _visibility(clean, adversarial) -> dict:
    """How large the perturbation of one example is."""

    def number(value):
        return value if math.isfinite(value) else None

    moved = bool((clean["video"] != adversarial["video"]).any())
    return {
        "snr_audio_db": number(snr_db(clean["audio"], adversarial["audio"])),
        "snr_video_db": number(snr_db(clean["video"], adversarial["video"])),
        "psnr_db": number(psnr(clean["video"], adversarial["video"])),
        "ssim": ssim(clean["video"], adversarial["video"]) if moved else None,
    }


def _embeddings(clean: Outputs, adversarial: Outputs) -> dict:
    """Change and length of the embeddings of one example, (T, D) each."""
    found = {}
    for modality in ("a", "v"):
        before = next((v for name, v in clean.embeddings.items() if name.endswith(f"_{modality}")), None)
        after = next((v for name, v in adversarial.embeddings.items() if name.endswith(f"_{modality}")), None)
        change = None if before is None else ecr(before, after)
        found[f"ecr_{modality}"] = None if change is None or math.isnan(change) else change
        found[f"norm_{modality}"] = None if before is None else before.norm(dim=-1).mean().item()
        found[f"norm_{modality}_adversarial"] = None if after is None else after.norm(dim=-1).mean().item()
    return found
