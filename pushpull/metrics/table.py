"""Each metric once, and the table of them for the versions of a clip.

``METRICS`` holds names, units, directions, words and functions: tables, reports, pages and docs read them there. A
number that is not defined is ``None`` in :class:`Metrics`, which says why in ``notes``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pushpull.attacks.objectives import logits_of
from pushpull.metrics.functions import (
    SAMPLE_STEPS,
    average_precision,
    ecr,
    frame_accuracy,
    prevalence,
    psnr,
    robust_accuracy,
    snr_db,
    ssim,
    success_rate,
    target_rate,
)

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Pair:
    """One version of the clips beside the clean one: what metrics are computed from.

    Args:
        before, after: the detector's outputs for both; ``logits_av`` (B, T, 2).
        clean, version: the clips themselves, {"audio": (B, N), "video": (B, T, 112, 112)}.
        labels: (B, T) int64, what is right.
        mask: (B, T) bool, the frames that count.
        aimed: (B, T) bool, the frames that the attack was after.
        targets: (B, T) int64, what a targeted attack wants; None for an untargeted one.
        flipped_ever: (B, T) bool, the frames that some iterate of the attack won; None where that is not known.
    """

    before: object
    after: object
    clean: Tensors
    version: Tensors
    labels: Tensor
    mask: Tensor
    aimed: Tensor
    targets: Tensor | None
    flipped_ever: Tensor | None

    def logits(self, outputs) -> Tensor:
        return logits_of(outputs).float()

    def scores(self) -> Tensor:
        logits = self.logits(self.after)[self.mask]
        return logits[:, 1] - logits[:, 0]

    def decided(self, outputs, where: Tensor) -> Tensor:
        return self.logits(outputs).argmax(-1)[where]

    def open(self) -> Tensor:
        """(B, T) bool, the frames that the attack was after; with an aim, those that were not at it before."""
        if self.targets is None:
            return self.aimed
        # Elsewhere the attacker has nothing to gain: such frames are neither a success nor a defence that fell.
        return self.aimed & (self.logits(self.before).argmax(-1) != self.targets)

    def change(self, name: str) -> Tensor:
        return (self.version[name] - self.clean[name]).abs().double()

    def ecr(self, modality: str) -> float | None:
        """Of z where the detector has it, else of e."""
        for name in (f"z_{modality}", f"e_{modality}"):
            z, moved = (getattr(outputs, name, None) for outputs in (self.before, self.after))
            if z is not None:
                return ecr(z[self.mask], moved[self.mask])
        return None


@dataclass(frozen=True)
class Metric:
    """One metric.

    Args:
        name: in code, JSON and CSV.
        title: for people.
        unit: of the number.
        better: "higher" or "lower", from the defender's side; "" where neither is.
        meaning: what it is, in a few words.
        write: the number for people.
        compute: from a :class:`Pair`; None or nan where it is not defined.
        undefined: why it may not be.
        brief: whether the shell's short table shows it.
    """

    name: str
    title: str
    unit: str
    better: str
    meaning: str
    write: Callable[[float], str]
    compute: Callable[[Pair], float | None]
    undefined: str = "no frames"
    brief: bool = True


def _success(found: Pair) -> float:
    if found.targets is not None:
        open_frames = found.open()
        return target_rate(found.decided(found.after, open_frames), found.targets[open_frames])
    before, now = (found.decided(outputs, found.aimed) for outputs in (found.before, found.after))
    return success_rate(before, now, found.labels[found.aimed])


def _robust(found: Pair) -> float | None:
    return None if found.flipped_ever is None else robust_accuracy(found.flipped_ever, found.open())


def _ssim(found: Pair) -> float:
    # Structural similarity is slow, and 1 by definition where nothing changed.
    return ssim(found.clean["video"], found.version["video"]) if found.change("video").any() else 1.0


PERCENT = "{:.1%}".format
DECIBEL = "{:.1f} dB".format
SHORT = "{:.3g}".format
STORED_STEP = "16-bit steps (1/32768 of full scale)"
GREY = "grey levels (of 255)"
NO_EMBEDDING = "this detector gives no embeddings of it, or they are zero"

METRICS: tuple[Metric, ...] = (
    Metric(
        "flipped", "Frames flipped", "frames", "lower", "decided otherwise than in the clean clip", "{:d}".format,
        lambda c: int((c.decided(c.before, c.mask) != c.decided(c.after, c.mask)).sum()),
    ),
    Metric(
        "success_rate", "Attack success rate", "share of frames aimed at, 0..1", "lower",
        "of the frames right before, those wrong now; with an aim, of those not at it before, those at it now",
        PERCENT, _success, "no frame was right before the attack; with an aim, every frame was at it before",
    ),
    Metric(
        "frame_accuracy", "Frame accuracy", "share of frames, 0..1", "higher", "frames decided as the reference says",
        PERCENT, lambda c: frame_accuracy(c.decided(c.after, c.mask), c.labels[c.mask]),
    ),
    Metric(
        "robust_accuracy", "Robust frame accuracy", "share of frames aimed at, 0..1", "higher",
        "frames right at every step of the attack; with an aim, of those not at it before, those never at it",
        PERCENT, _robust,
        "the attack's iterates are known in the adversarial column only; with an aim, every frame may be at it before",
    ),
    Metric(
        "average_precision", "AVA average precision", "0..1", "higher",
        "ranking of frames by score, as the AVA benchmark does", PERCENT,
        lambda c: average_precision(c.scores(), c.labels[c.mask]),
        "no frame is labelled as speaking, or a score is not a number",
    ),
    Metric(
        "prevalence", "its floor, the prevalence", "0..1, the average precision of scores that say nothing", "",
        "share of speaking frames: what knowing nothing gets", PERCENT, lambda c: prevalence(c.labels[c.mask]),
    ),
    Metric(
        "ecr_a", "ECR of sound", "ratio", "lower", "embedding change ratio: how far it moved, relative to its length",
        PERCENT, lambda c: c.ecr("a"), NO_EMBEDDING,
    ),
    Metric(
        "ecr_v", "ECR of picture", "ratio", "lower", "the same for the picture", PERCENT, lambda c: c.ecr("v"),
        NO_EMBEDDING,
    ),
    Metric(
        "max_video", "Largest change of a pixel", GREY, "", "in grey levels of 255", SHORT,
        lambda c: c.change("video").max().item(), brief=False,
    ),
    Metric(
        "mean_video", "Mean change of a pixel", GREY, "", "in grey levels, absolute", SHORT,
        lambda c: c.change("video").mean().item(), brief=False,
    ),
    Metric(
        "max_audio", "Largest change of a sample", STORED_STEP, "", "in steps of 1/32768 of full scale", SHORT,
        lambda c: c.change("audio").max().item() * SAMPLE_STEPS, brief=False,
    ),
    Metric(
        "mean_audio", "Mean change of a sample", STORED_STEP, "", "in steps, absolute", SHORT,
        lambda c: c.change("audio").mean().item() * SAMPLE_STEPS, brief=False,
    ),
    Metric(
        "snr_audio_db", "SNR of sound", "dB", "", "power of the sound over power of the noise", DECIBEL,
        lambda c: snr_db(c.clean["audio"], c.version["audio"]), "the sound is not changed, or is digital silence",
    ),
    Metric(
        "snr_video_db", "SNR of picture", "dB", "", "power of the picture over power of the noise", DECIBEL,
        lambda c: snr_db(c.clean["video"], c.version["video"]), "the picture is not changed, or is black",
    ),
    Metric(
        "psnr_db", "PSNR of picture", "dB re 255 grey levels", "", "above about 45 dB nobody sees a difference",
        DECIBEL,
        lambda c: psnr(c.clean["video"], c.version["video"]), "the picture is not changed",
    ),
    Metric(
        "ssim", "SSIM of picture", "-1..1", "", "structural similarity; 1 is identical", "{:.5f}".format, _ssim,
    ),
    Metric(
        "frames", "Frames", "frames at 25 per second", "", "how many count", "{:d}".format,
        lambda c: int(c.mask.sum()), brief=False,
    ),
)  # fmt: skip

# What is told as the floor of a metric, and left out where that is not defined.
FLOORS = {"prevalence": "average_precision"}

# The versions of a clip, everywhere under these names: as it was, as the attack found it, as a file holds it.
COLUMNS = {"clean": "clean", "adversarial": "adversarial", "stored": "stored in a file"}


@dataclass(frozen=True)
class Metrics:
    """The metrics of an attack, a column for each version of the clips (see ``COLUMNS``).

    Args:
        columns: {"clean": {metric: number or None}, ...}.
        notes: {"column.metric": why it is None}.
    """

    columns: dict[str, dict[str, float | None]]
    notes: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, column: str) -> dict[str, float | None]:
        return self.columns[column]

    def __str__(self) -> str:
        return "\n".join(self.table())

    def defined(self, name: str) -> bool:
        """Whether any column has a number for a metric."""
        return any(column[name] is not None for column in self.columns.values())

    def table(self) -> list[str]:
        """Lines of text: a head, then a metric each, leaving out what is defined in no column, and its floor."""
        lines = [f"{'':30}" + "".join(f"{name:>14}" for name in self.columns)]
        for metric in METRICS:
            values = [column[metric.name] for column in self.columns.values()]
            if metric.brief and self.defined(metric.name) and self.defined(FLOORS.get(metric.name, metric.name)):
                written = ("-" if value is None else metric.write(value) for value in values)
                lines.append(f"{metric.title:30}" + "".join(f"{text:>14}" for text in written))
        return lines

    def to_dict(self) -> dict:
        """Numbers, strings and None, with the units: ready for JSON."""
        columns = {name: dict(column) for name, column in self.columns.items()}
        return {"columns": columns, "notes": dict(self.notes), "units": {m.name: m.unit for m in METRICS}}

    @classmethod
    def from_dict(cls, values: dict) -> "Metrics":
        """The inverse of ``to_dict``.

        Raises:
            ValueError: a metric that there is not.
        """
        known = {metric.name for metric in METRICS}
        for column in values["columns"].values():
            if unknown := sorted(set(column) - known):
                raise ValueError(f"unknown metric {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return cls({name: dict(column) for name, column in values["columns"].items()}, dict(values["notes"]))

    def rows(self) -> list[dict]:
        """One row per metric with a value per column and a note: ready for a table or CSV."""
        rows = []
        for metric in METRICS:
            row = {"metric": metric.name} | {name: column[metric.name] for name, column in self.columns.items()}
            notes = [
                f"{name}: {self.notes[f'{name}.{metric.name}']}"
                for name in row
                if f"{name}.{metric.name}" in self.notes
            ]
            rows.append(row | {"note": "; ".join(notes)})
        return rows


@torch.no_grad()
def compare(model: Callable, clean: Tensors, versions: dict[str, Tensors], labels: Tensor, **options) -> Metrics:
    """Score versions of the same clips with ``model`` and compare them; see ``tabulate``.

    Args:
        model: takes a dict of tensors, returns ``Outputs``.
        clean: {"audio": (B, N), "video": (B, T, 112, 112)} before the attack.
        versions: what to compare with it, e.g. {"adversarial": result.adversarial, "stored": result.stored}.
        labels: (B, T) int64, what is right.
        options: as ``tabulate``.
    """
    inputs = {"clean": clean, **versions}
    return tabulate({name: model(version) for name, version in inputs.items()}, inputs, labels, **options)


def tabulate(
    outputs: dict,
    inputs: dict[str, Tensors],
    labels: Tensor,
    *,
    mask: Tensor | None = None,
    aimed: Tensor | None = None,
    targets: Tensor | None = None,
    flipped_ever: Tensor | None = None,
) -> Metrics:
    """All metrics from what the model said about each version of the clips.

    Args:
        outputs: {"clean": Outputs, "adversarial": ..., ...}; where embeddings are missing, their ECR is None.
        inputs: {"clean": {"audio", "video"}, ...}, same keys.
        labels: (B, T) int64, what is right.
        mask: (B, T) bool, the frames that count; None means all.
        aimed: (B, T) bool, the frames that the attack was after; None means those of ``mask``. Success rate and
            robust accuracy are over these; with ``targets``, over those of them that were not at the target before.
        targets: (B, T) int64, what a targeted attack wants; None for an untargeted one.
        flipped_ever: (B, T) bool, from the attack; belongs to the version "adversarial".
    """
    mask = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask
    aimed = mask if aimed is None else aimed
    columns, notes = {}, {}
    for name in outputs:
        found = Pair(
            before=outputs["clean"],
            after=outputs[name],
            clean=inputs["clean"],
            version=inputs[name],
            labels=labels,
            mask=mask,
            aimed=aimed,
            targets=targets,
            flipped_ever=flipped_ever if name == "adversarial" else None,
        )
        column = {}
        for metric in METRICS:
            value = metric.compute(found)
            if value is None or not math.isfinite(value):
                value, notes[f"{name}.{metric.name}"] = None, metric.undefined
            column[metric.name] = value
        columns[name] = column
    return Metrics(columns, notes)
