"""What a detector says of whole clips in sync, and of the same people made not to speak, kind by kind."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from pushpull.clip import Clip
from pushpull.data.mix import ExampleMix, NoStillLips, base_clip, make_example, other_clip
from pushpull.detectors import attack_copy, device_of
from pushpull.files import replacing

IN_SYNC = "in_sync"
SILENT_KINDS = tuple(name for name in ExampleMix().names if name != IN_SYNC)


@dataclass(frozen=True, eq=False)
class KindScores:
    """Scores of one detector on one set of clips.

    Args:
        bases: the base clip of each clip; pieces of one file share it.
        labels: (T,) bool of each clip: frames in which the visible person's voice is to be heard.
        scores: by kind of example, (T,) float32 log-odds of speaking of each clip; empty where the footage gives no
            such example.
    """

    bases: tuple[str, ...]
    labels: tuple[np.ndarray, ...]
    scores: dict[str, tuple[np.ndarray, ...]]

    def speaking(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores of all speaking frames as filmed, and the number of the clip that each is of."""
        found = [said[spoken] for said, spoken in zip(self.scores[IN_SYNC], self.labels, strict=True)]
        return _together(found)

    def silent(self, kinds: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The same of all frames of examples of some kinds, in which nobody visible speaks."""
        return _together([np.concatenate(parts) for parts in zip(*(self.scores[kind] for kind in kinds), strict=True)])

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those that do not speak and of which there are frames."""
        return tuple(kind for kind in self.scores if kind != IN_SYNC and any(len(part) for part in self.scores[kind]))

    def save(self, path: Path, facts: dict) -> None:
        """Write them, with what they depend on."""
        arrays = {"labels": np.concatenate(self.labels), "frames": [len(part) for part in self.labels]}
        for kind, parts in self.scores.items():
            arrays |= {f"scores {kind}": np.concatenate(parts), f"frames {kind}": [len(part) for part in parts]}
        told = json.dumps({"bases": self.bases, "kinds": list(self.scores), "facts": facts})
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.savez_compressed(file, told=told, **arrays)

    @classmethod
    def read(cls, path: Path, facts: dict) -> "KindScores | None":
        """Those of an earlier run; None where there are none, or they depend on something else."""
        if not path.is_file():
            return None
        with np.load(path) as stored:
            told = json.loads(str(stored["told"]))
            if told["facts"] != facts:
                return None

            def parts(name: str, suffix: str = "") -> tuple[np.ndarray, ...]:
                return tuple(np.split(stored[f"{name}{suffix}"], np.cumsum(stored[f"frames{suffix}"])[:-1]))

            scores = {kind: parts("scores", f" {kind}") for kind in told["kinds"]}
            return cls(tuple(told["bases"]), parts("labels"), scores)


def score_kinds(
    detector, pool: Sequence[Clip], *, seed: int = 0, progress: Callable = lambda numbers: numbers
) -> KindScores:
    """Score every clip of a pool as every kind of ``pushpull.data.mix``; the same examples for the same seed.

    Args:
        detector: of the protocol.
        pool: clips in sync, labels = speech activity, that the detector was not trained on.
        progress: wraps the range of clip numbers, as tqdm does.

    Raises:
        ValueError: fewer than two clips: a swapped voice needs another.
    """
    if len(pool) < 2:
        raise ValueError(f"there must be at least two clips, got {len(pool)}: a swapped voice is another's")
    network, device = attack_copy(detector), device_of(detector)
    bases, labels, scores = [], [], {kind: [] for kind in (IN_SYNC, *SILENT_KINDS)}
    for number in progress(range(len(pool))):
        made = {kind: _example(pool, number, kind, seed) for kind in scores}
        said = _scores(network, {kind: clip for kind, clip in made.items() if clip is not None}, device)
        for kind, column in scores.items():
            column.append(said.get(kind, np.zeros(0, np.float32)))
        bases.append(base_clip(pool, number))
        labels.append(made[IN_SYNC].labels == 1)
    return KindScores(tuple(bases), tuple(labels), {kind: tuple(parts) for kind, parts in scores.items()})


def _example(pool: Sequence[Clip], number: int, kind: str, seed: int) -> Clip | None:
    """One clip as one kind; None where the footage gives none."""
    rng, clip = np.random.default_rng([seed, number, crc32(kind.encode())]), pool[number]
    try:
        return make_example(kind, clip, lambda: other_clip(pool, number, rng), rng, start=0, frames=clip.frames)
    except NoStillLips:
        return None


@torch.no_grad()
def _scores(network, made: dict[str, Clip], device) -> dict[str, np.ndarray]:
    """(T,) of each example; pictures that several share are encoded once."""
    shared: dict[int, list[str]] = {}
    for kind, clip in made.items():
        shared.setdefault(clip.video.__array_interface__["data"][0], []).append(kind)
    found = {}
    for kinds in shared.values():
        inputs = {kind: made[kind].inputs(device) for kind in kinds}
        audio = torch.cat([inputs[kind]["audio"] for kind in kinds])
        margin = _of_one_picture(network, inputs[kinds[0]]["video"], audio)
        found |= {kind: values.float().cpu().numpy() for kind, values in zip(kinds, margin, strict=True)}
    return found


def _of_one_picture(network, video: Tensor, audio: Tensor) -> Tensor:
    """(B, T) log-odds of one face (1, T, 112, 112) with each of several sounds (B, 640 T)."""
    fix = getattr(network, "fix", None)
    if fix is None:
        return torch.cat([network({"audio": one[None], "video": video}).margin for one in audio])
    return fix({"video": video})({"audio": audio}).margin


def _together(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
