"""How many frames a universal noise flips in clips that it has never seen, beside random noise of equal budget.

The noise begins at a random point of its loop in every clip. Beside it stand two controls: random signs, and signs of
noise with the same spectrum; what they flip as well is not the work of the fit. Intervals are over base clips, which
are drawn anew with replacement: frames of a clip, and clips made of one recording, are not independent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby

import numpy as np
import torch

from pushpull.attacks.budget import as_stored
from pushpull.attacks.looped import UniversalNoise, apply, random_noise, scrambled_noise
from pushpull.clip import Clip
from pushpull.detectors import describe, device_of
from pushpull.evaluation.universal_clips import Samples
from pushpull.metrics import psnr, snr_db

CONDITIONS = ("fitted", "scrambled", "random")
COLUMNS = ("adversarial", "stored")
SHARES = {
    "flipped": ("flipped", "frames"),
    "silenced": ("silenced", "speaking"),
    "made_to_speak": ("raised", "silent"),
    "accuracy": ("right", "labelled"),
    "clean_accuracy": ("right_before", "labelled"),
}


@dataclass(frozen=True, kw_only=True)
class UniversalOptions:
    """How a noise is tried.

    Args:
        draws: control noises of each sort; what they flip is taken together.
        together: clips of one length that a detector gets at once.
        resamples: of the bootstrap.
        level: of its intervals.
        seed: of the points of the loop, the controls and the bootstrap.
    """

    draws: int = 3
    together: int = 8
    resamples: int = 2000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self):
        if min(self.draws, self.together, self.resamples) < 1 or not 0 < self.level < 1 or self.seed < 0:
            raise ValueError(f"draws, together and resamples are at least 1, level lies in 0..1, got {self}")


@dataclass(frozen=True)
class Counts:
    """Frames of one clip under one noise.

    Args:
        frames: all of them.
        flipped: decided otherwise than without the noise.
        speaking, silent: decided so without it.
        silenced, raised: of those, decided otherwise with it.
        labelled: those with a label.
        right_before, right: of those, decided as the label says, without and with it.
    """

    frames: int = 0
    flipped: int = 0
    speaking: int = 0
    silent: int = 0
    silenced: int = 0
    raised: int = 0
    labelled: int = 0
    right_before: int = 0
    right: int = 0

    @classmethod
    def of(cls, before: np.ndarray, after: np.ndarray, labels: np.ndarray | None) -> "Counts":
        """From decisions (T,) bool and labels (T,), or None."""
        known = labels is not None
        return cls(
            frames=len(before),
            flipped=int((before != after).sum()),
            speaking=int(before.sum()),
            silent=int((~before).sum()),
            silenced=int((before & ~after).sum()),
            raised=int((~before & after).sum()),
            labelled=len(before) if known else 0,
            right_before=int((before == (labels == 1)).sum()) if known else 0,
            right=int((after == (labels == 1)).sum()) if known else 0,
        )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)))


def universal_rows(
    detector,
    samples: Samples,
    noises: Sequence[UniversalNoise],
    options: UniversalOptions = UniversalOptions(),
    *,
    progress: Callable = lambda noises: noises,
) -> list[dict]:
    """Try noises on clips, a row for each noise, condition and column.

    Args:
        detector: of the protocol, on any device; white-box where the noise was fitted on it.
        samples: clips that the noises have not seen; what is right need not be known.
        noises: of any budgets and goals.
        progress: wraps the noises, as tqdm does.

    Returns:
        Rows ready for JSON: ``detector``, ``detector_sha256``, ``set``, ``set_fingerprint``, ``noise`` (SHA-256 of its
        file), ``fitted_on``, ``goal``, ``eps_av``, ``modality``, ``white_box``, ``condition`` ("fitted", "scrambled",
        "random"), ``column`` ("adversarial", "stored"), ``clips``, ``bases``, ``frames``; shares in 0..1 as {"value",
        "low", "high"}, None where there are no such frames, low and high None for a single base: ``flipped`` (of all
        frames), ``silenced`` (of those called speaking), ``made_to_speak`` (of the others), ``clean_accuracy`` and
        ``accuracy`` (against labels); ``beyond_random``, flipped less that of the random noise, paired;
        ``snr_audio_db`` and ``psnr_db``, medians over clips.
    """
    clips, bases = [sample.clip for sample in samples.clips], [sample.base for sample in samples.clips]
    before = _decisions(detector, clips, options)
    rows = []
    for noise in progress(noises):
        counts, sizes = {}, None
        for condition in CONDITIONS:
            drawn = _drawn(noise, condition, options)
            tried = [_try(detector, clips, before, each, options) for each in drawn]
            if condition == "fitted":
                sizes = _sizes(clips, noise, options)
            for column in COLUMNS:
                # Counts of several draws of a control add up, clip by clip.
                parts = [each[column] for each in tried]
                counts[condition, column] = [sum(several, Counts()) for several in zip(*parts, strict=True)]
        for (condition, column), found in counts.items():
            row = _identity(detector, samples, noise) | {"condition": condition, "column": column}
            row |= {"clips": len(bases), "bases": len(set(bases)), "frames": int(sum(len(x) for x in before))}
            row |= {name: share(found, bases, *parts, options) for name, parts in SHARES.items()}
            row["beyond_random"] = difference(found, counts["random", column], bases, options)
            rows.append(row | (sizes if condition == "fitted" else dict.fromkeys(sizes)))
    return rows


def _identity(detector, samples: Samples, noise: UniversalNoise) -> dict:
    card, facts = describe(detector), noise.facts
    fitted_on = facts.get("detector") or {}
    return {
        "detector": card["name"],
        "detector_sha256": card["sha256"],
        "set": samples.name,
        "set_fingerprint": samples.fingerprint,
        "noise": noise.sha256,
        "fitted_on": fitted_on.get("name"),
        "goal": (facts.get("options") or {}).get("goal"),
        "eps_av": noise.eps_av,
        "modality": noise.modality,
        "white_box": fitted_on.get("sha256") is not None and fitted_on.get("sha256") == card["sha256"],
    }


def _drawn(noise: UniversalNoise, condition: str, options: UniversalOptions) -> list[UniversalNoise]:
    if condition == "fitted":
        return [noise]
    make = random_noise if condition == "random" else scrambled_noise
    return [make(noise, options.seed + number) for number in range(options.draws)]


def offset_of(index: int, noise: UniversalNoise, options: UniversalOptions) -> int:
    """The sample of the loop at which clip number ``index`` begins: the same under every noise of one length."""
    length = len(noise.audio) if noise.audio is not None else 1
    return int(np.random.default_rng([options.seed, index]).integers(length))


def _batches(clips: Sequence[Clip], together: int):
    """Indices of clips of equal length, ``together`` at a time."""
    order = sorted(range(len(clips)), key=lambda index: clips[index].frames)
    for _, alike in groupby(order, key=lambda index: clips[index].frames):
        alike = list(alike)
        yield from (alike[first : first + together] for first in range(0, len(alike), together))


def _inputs(clips: Sequence[Clip], device) -> dict[str, torch.Tensor]:
    parts = [clip.inputs(device) for clip in clips]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def _decisions(detector, clips: Sequence[Clip], options: UniversalOptions) -> list[np.ndarray]:
    found = [None] * len(clips)
    for some in _batches(clips, options.together):
        _decide(detector, _inputs([clips[index] for index in some], device_of(detector)), some, found)
    return found


def _decide(detector, inputs, some: Sequence[int], found: list) -> None:
    for index, margin in zip(some, detector(inputs).margin.cpu().numpy(), strict=True):
        found[index] = margin > 0


@torch.no_grad()
def _try(
    detector, clips: Sequence[Clip], before: list[np.ndarray], noise: UniversalNoise, options: UniversalOptions
) -> dict[str, list[Counts]]:
    """{column: counts of each clip} of one noise."""
    device = device_of(detector)
    after = {column: [None] * len(clips) for column in COLUMNS}
    for some in _batches(clips, options.together):
        offsets = [offset_of(index, noise, options) for index in some]
        moved = apply(_inputs([clips[index] for index in some], device), noise, offsets)
        _decide(detector, moved, some, after["adversarial"])
        _decide(detector, {name: as_stored(name, x) for name, x in moved.items()}, some, after["stored"])
    return {
        column: [Counts.of(x, y, clip.labels) for x, y, clip in zip(before, after[column], clips, strict=True)]
        for column in COLUMNS
    }


def _sizes(clips: Sequence[Clip], noise: UniversalNoise, options: UniversalOptions) -> dict[str, float | None]:
    """How large the noise is beside the clips: medians over clips, None where it changes nothing."""
    found = {"snr_audio_db": [], "psnr_db": []}
    for index, clip in enumerate(clips):
        inputs = clip.inputs()
        moved = apply(inputs, noise, offset_of(index, noise, options))
        found["snr_audio_db"].append(snr_db(inputs["audio"], moved["audio"]))
        found["psnr_db"].append(psnr(inputs["video"], moved["video"]))
    finite = {name: [value for value in values if np.isfinite(value)] for name, values in found.items()}
    return {name: float(np.median(values)) if values else None for name, values in finite.items()}


def share(counts: Sequence[Counts], bases: Sequence[str], part: str, whole: str, options: UniversalOptions):
    """A share of frames with its interval, {"value", "low", "high"}; None where there are no such frames."""
    sums = _by_base([[getattr(each, part), getattr(each, whole)] for each in counts], bases)
    return _interval(sums, lambda total: _ratio(total[..., 0], total[..., 1]), options)


def difference(counts: Sequence[Counts], others: Sequence[Counts], bases: Sequence[str], options: UniversalOptions):
    """Share of frames flipped less that under another noise of the same clips, paired, as :func:`share`."""
    pairs = zip(counts, others, strict=True)
    sums = _by_base([[a.flipped, a.frames, b.flipped, b.frames] for a, b in pairs], bases)
    return _interval(sums, lambda t: _ratio(t[..., 0], t[..., 1]) - _ratio(t[..., 2], t[..., 3]), options)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _by_base(values: Sequence[Sequence[int]], bases: Sequence[str]) -> np.ndarray:
    """(bases, columns) sums over the clips of each base."""
    names, where = np.unique(np.asarray(bases), return_inverse=True)
    sums = np.zeros((len(names), len(values[0])))
    np.add.at(sums, where, np.asarray(values, dtype=float))
    return sums


def _interval(sums: np.ndarray, statistic: Callable, options: UniversalOptions) -> dict | None:
    value = float(statistic(sums.sum(axis=0)))
    if not np.isfinite(value):
        return None
    if len(sums) < 2:
        return {"value": value, "low": None, "high": None}
    rng = np.random.default_rng(options.seed)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=options.resamples)
    found = statistic(drawn @ sums)
    low, high = np.nanquantile(found, [(1 - options.level) / 2, (1 + options.level) / 2])
    return {"value": value, "low": float(low), "high": float(high)}
