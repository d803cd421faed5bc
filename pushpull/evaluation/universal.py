"""How many frames a universal noise flips in clips that it has never seen, beside random noise of equal budget.

The noise begins at a random point of its loop in every clip. Beside it stand two controls: random signs, and signs of
noise with the same spectrum; what they flip as well is not the work of the fit. Intervals are over base clips.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby

import numpy as np
import torch

from pushpull.attacks.budget import as_stored
from pushpull.attacks.looped import UniversalNoise, apply, random_noise, scrambled_noise
from pushpull.clip import Clip
from pushpull.evaluation.examples import Example, set_hash
from pushpull.evaluation.statistics import Clusters
from pushpull.evaluation.subjects import Subject
from pushpull.metrics import psnr, snr_db

CONDITIONS = ("fitted", "scrambled", "random")
COLUMNS = ("adversarial", "stored")
# Part and whole, of Counts.
SHARES = {
    "flipped": ("flipped", "frames"),
    "silenced": ("silenced", "speaking"),
    "made_to_speak": ("raised", "silent"),
}
AGAINST_LABELS = {"clean_accuracy": ("right_before", "frames"), "accuracy": ("right", "frames")}


@dataclass(frozen=True, kw_only=True)
class UniversalOptions:
    """How a noise is tried.

    Args:
        draws: control noises of each sort; what they flip is taken together.
        batch: clips of one length that a detector gets at once.
        seed: of the points of the loop, the controls and the bootstrap.
    """

    draws: int = 3
    batch: int = 8
    seed: int = 0

    def __post_init__(self):
        if min(self.draws, self.batch) < 1 or self.seed < 0:
            raise ValueError(f"draws and batch are at least 1, seed at least 0, got {self}")


@dataclass(frozen=True)
class Counts:
    """Frames of one clip under one noise.

    Args:
        frames: all of them.
        flipped: decided otherwise than without the noise.
        speaking, silent: decided so without it.
        silenced, raised: of those, decided otherwise with it.
        right_before, right: decided as the label says, without and with it.
    """

    frames: int = 0
    flipped: int = 0
    speaking: int = 0
    silent: int = 0
    silenced: int = 0
    raised: int = 0
    right_before: int = 0
    right: int = 0

    @classmethod
    def of(cls, before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> "Counts":
        """From decisions (T,) bool and labels (T,)."""
        return cls(
            frames=len(before),
            flipped=int((before != after).sum()),
            speaking=int(before.sum()),
            silent=int((~before).sum()),
            silenced=int((before & ~after).sum()),
            raised=int((~before & after).sum()),
            right_before=int((before == (labels == 1)).sum()),
            right=int((after == (labels == 1)).sum()),
        )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)))


def universal_rows(
    subject: Subject,
    examples: Sequence[Example],
    noises: Sequence[UniversalNoise],
    options: UniversalOptions = UniversalOptions(),
    *,
    own_labels: bool = False,
    progress: Callable = lambda noises: noises,
) -> list[dict]:
    """Try noises on clips, a row for each noise, condition and column.

    Args:
        subject: a detector; white-box where a noise was fitted on it.
        examples: clips that the noises have not seen.
        noises: of any budgets and goals.
        own_labels: the examples' labels say nothing: they are of videos. Pieces of one video then are one base clip.
        progress: wraps the noises, as tqdm does.

    Returns:
        Rows ready for JSON: ``detector``, ``detector_sha256``, ``set`` (its sources), ``set_hash``, ``noise`` (SHA-256
        of its file), ``fitted_on``, ``goal``, ``eps_av``, ``modality``, ``white_box``, ``condition`` ("fitted",
        "scrambled", "random"), ``column`` ("adversarial", "stored"), ``clips``, ``frames``; shares in 0..1 as
        {"value", "low", "high", "clusters"}, the interval None for a single base clip, the whole None where there are
        no such frames: ``flipped`` (of all frames), ``silenced`` (of those called speaking), ``made_to_speak`` (of the
        others), ``clean_accuracy`` and ``accuracy`` (None with ``own_labels``); ``beyond_random``, flipped less that
        of the random noise, paired; ``snr_audio_db`` and ``psnr_db``, medians over clips, of the fitted noise.

    Raises:
        ValueError: no examples.
    """
    clips = [example.clip for example in examples]
    clusters = Clusters([e.source if own_labels else f"{e.source}/{e.base}" for e in examples], seed=options.seed)
    before = _decisions(subject, clips, None, 0, options)["adversarial"]
    place = {
        "detector": subject.name,
        "detector_sha256": subject.sha256,
        "set": ", ".join(dict.fromkeys(example.source for example in examples)),
        "set_hash": set_hash(examples),
        "clips": len(clips),
        "frames": sum(map(len, before)),
    }
    shares = SHARES if own_labels else SHARES | AGAINST_LABELS
    rows = []
    for noise in progress(noises):
        told = place | _about(noise, subject)
        counts = {}
        for condition in CONDITIONS:
            tried = [_try(subject, clips, before, each, options) for each in _drawn(noise, condition, options)]
            for column in COLUMNS:
                # Counts of several draws of a control add up, clip by clip.
                counts[condition, column] = [
                    sum(several, Counts()) for several in zip(*(each[column] for each in tried), strict=True)
                ]
        sizes = _sizes(clips, noise, options)
        for (condition, column), found in counts.items():
            row = told | {"condition": condition, "column": column, **dict.fromkeys(AGAINST_LABELS)}
            row |= {name: share(clusters, found, *parts) for name, parts in shares.items()}
            row["beyond_random"] = difference(clusters, found, counts["random", column])
            rows.append(row | (sizes if condition == "fitted" else dict.fromkeys(sizes)))
    return rows


def _about(noise: UniversalNoise, subject: Subject) -> dict:
    fitted_on = noise.facts.get("detector") or {}
    return {
        "noise": noise.sha256,
        "fitted_on": fitted_on.get("name"),
        "goal": (noise.facts.get("options") or {}).get("goal"),
        "eps_av": noise.eps_av,
        "modality": noise.modality,
        "white_box": fitted_on.get("sha256") == subject.sha256,
    }


def _drawn(noise: UniversalNoise, condition: str, options: UniversalOptions) -> list[UniversalNoise]:
    if condition == "fitted":
        return [noise]
    make = random_noise if condition == "random" else scrambled_noise
    return [make(noise, options.seed + number) for number in range(options.draws)]


def offset_of(index: int, noise: UniversalNoise, seed: int) -> int:
    """The sample of the loop at which clip number ``index`` begins: the same under every noise of one length."""
    length = len(noise.audio) if noise.audio is not None else 1
    return int(np.random.default_rng([seed, index]).integers(length))


def _batches(clips: Sequence[Clip], together: int):
    """Indices of clips of equal length, ``together`` at a time."""
    order = sorted(range(len(clips)), key=lambda index: clips[index].frames)
    for _, alike in groupby(order, key=lambda index: clips[index].frames):
        alike = list(alike)
        yield from (alike[first : first + together] for first in range(0, len(alike), together))


def _decisions(
    subject: Subject, clips: Sequence[Clip], noise: UniversalNoise | None, seed: int, options: UniversalOptions
) -> dict[str, list[np.ndarray]]:
    """{column: decisions (T,) bool of each clip} with a noise; without one, of the clips as they are."""
    columns = COLUMNS if noise is not None else COLUMNS[:1]
    found = {column: [None] * len(clips) for column in columns}
    for some in _batches(clips, options.batch):
        parts = [clips[index].inputs() for index in some]
        inputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        if noise is not None:
            inputs = apply(inputs, noise, [offset_of(index, noise, seed) for index in some])
        for column in columns:
            stored = column == "stored"
            given = {name: as_stored(name, x) for name, x in inputs.items()} if stored else inputs
            for index, margin in zip(some, subject.score(given).margin.numpy(), strict=True):
                found[column][index] = margin > 0
    return found


def _try(subject: Subject, clips: Sequence[Clip], before, noise, options) -> dict[str, list[Counts]]:
    """{column: counts of each clip} of one noise."""
    return {
        column: [Counts.of(x, y, clip.labels) for x, y, clip in zip(before, after, clips, strict=True)]
        for column, after in _decisions(subject, clips, noise, options.seed, options).items()
    }


def _sizes(clips: Sequence[Clip], noise: UniversalNoise, options: UniversalOptions) -> dict[str, float | None]:
    """How large the noise is beside the clips: medians over clips, None where it changes nothing."""
    found = {"snr_audio_db": [], "psnr_db": []}
    for index, clip in enumerate(clips):
        inputs = clip.inputs()
        moved = apply(inputs, noise, offset_of(index, noise, options.seed))
        found["snr_audio_db"].append(snr_db(inputs["audio"], moved["audio"]))
        found["psnr_db"].append(psnr(inputs["video"], moved["video"]))
    finite = {name: [value for value in values if np.isfinite(value)] for name, values in found.items()}
    return {name: float(np.median(values)) if values else None for name, values in finite.items()}


def share(clusters: Clusters, counts: Sequence[Counts], part: str, whole: str) -> dict | None:
    """A share of frames with its interval; None where there are no such frames."""
    value, replicates = _ratio(clusters, counts, part, whole)
    return None if np.isnan(value) else clusters.interval(replicates, value).to_dict()


def difference(clusters: Clusters, counts: Sequence[Counts], others: Sequence[Counts]) -> dict:
    """Share of frames flipped less that under another noise, paired over base clips, with its interval."""
    value, replicates = _ratio(clusters, counts, "flipped", "frames")
    other, others_replicates = _ratio(clusters, others, "flipped", "frames")
    return clusters.interval(replicates - others_replicates, value - other).to_dict()


def _ratio(clusters: Clusters, counts: Sequence[Counts], part: str, whole: str) -> tuple[float, np.ndarray]:
    return clusters.ratio(*(np.array([getattr(each, name) for each in counts]) for name in (part, whole)))
