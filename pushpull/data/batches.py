"""Batches of labelled examples: each a pure function of (seed, step), so that any run resumes exactly."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pushpull.clip import FPS, Clip
from pushpull.data.kinds import OWN, Kinds, make_example, shake


@dataclass(frozen=True)
class Batching:
    """What one batch holds.

    Args:
        frames: video frames in a batch, all clips together (TalkNet: about 2,500).
        shortest, longest: seconds; each batch draws one length between them for all of its clips.
        shaken: probability of camera drift and sensor noise on an example, whatever its kind: ``frozen`` faces
            always have them, so they must not be what gives those away.
    """

    frames: int = 1000
    shortest: float = 1.0
    longest: float = 3.0
    shaken: float = 0.3

    def __post_init__(self):
        if not 1 / FPS <= self.shortest <= self.longest:
            raise ValueError(f"batches need 0 < shortest <= longest, got {self.shortest} and {self.longest} s")
        if self.frames < self.shortest * FPS:
            raise ValueError(f"a batch of {self.frames} frames holds not even one clip of {self.shortest} s")


@dataclass(frozen=True)
class Batch:
    """One training step's data.

    Args:
        audio: (B, 640 T) float32 full scale.
        video: (B, T, 112, 112) uint8 grey levels.
        labels: (B, T) int64.
        other: (B, 640 T) float32, another clip's sound for each, for augmentation.
        kinds: B names.
    """

    audio: torch.Tensor
    video: torch.Tensor
    labels: torch.Tensor
    other: torch.Tensor
    kinds: tuple[str, ...]


def make_batch(pool: Sequence[Clip], kinds: Kinds, options: Batching, *, seed: int, step: int) -> Batch:
    """The batch of one step: clips drawn from ``pool`` (in sync, labels = speech activity), kinds by their shares.

    Examples of the kind ``own`` come from ``pool.finished`` (see :class:`pushpull.data.sources.Corpus`).

    Raises:
        ValueError: the pool has fewer than two clips (a swapped voice needs another), or ``own`` has a share and the
            pool no finished examples.
    """
    if len(pool) < 2:
        raise ValueError(f"training needs at least two clips, got {len(pool)}")
    rng = np.random.default_rng([seed, step])
    wanted = int(rng.integers(round(options.shortest * FPS), round(options.longest * FPS) + 1))
    # About one clip in a hundred may be shorter than the rest; the batch is cropped to the shortest it drew.
    size = max(1, options.frames // wanted)
    chosen = rng.choice(len(pool), size=size, replace=size > len(pool))
    clips = [pool[i] for i in chosen]
    frames = min(wanted, *(clip.frames for clip in clips)) if size > 1 else min(wanted, clips[0].frames)

    examples, others = [], []
    for index, clip, kind in zip(chosen, clips, kinds.draw(rng, size), strict=True):

        def neighbour(index=index):
            return pool[int((index + rng.integers(1, len(pool))) % len(pool))]

        start = int(rng.integers(clip.frames - frames + 1))
        if kind == OWN:
            example, kind = _finished(pool, rng, frames)
        else:
            example = make_example(kind, clip, neighbour, rng, start=start, frames=frames)
        shaken = kind != "frozen" and rng.random() < options.shaken
        examples.append((example, shake(example.video, rng) if shaken else example.video, kind))
        others.append(make_example("swapped", clip, neighbour, rng, start=start, frames=frames).audio)
    return Batch(
        audio=torch.from_numpy(np.stack([example.audio for example, _, _ in examples])),
        video=torch.from_numpy(np.stack([video for _, video, _ in examples])),
        labels=torch.from_numpy(np.stack([example.labels for example, _, _ in examples])),
        other=torch.from_numpy(np.stack(others)),
        kinds=tuple(kind for _, _, kind in examples),
    )


def _finished(pool, rng, frames):
    """A window of one of the pool's finished examples, and its kind."""
    finished = getattr(pool, "finished", ())
    if not finished:
        raise ValueError("the kind 'own' has a share, but the data holds no finished examples: give it a share of 0")
    sizes = np.array([len(part) for part in finished])
    part = finished[int(rng.choice(len(finished), p=sizes / sizes.sum()))]
    index = int(rng.integers(len(part)))
    clip = part[index]
    if clip.frames < frames:
        raise ValueError(
            f"the finished example {clip.name!r} has {clip.frames} frames and the batch wants {frames}: lower "
            "batches.longest, or make longer ones"
        )
    start = int(rng.integers(clip.frames - frames + 1))
    return clip.span(start, start + frames), part.kinds[index]


def prefetch(make: Callable[[int], Any], steps: range, *, workers: int, depth: int = 2) -> Iterator[Any]:
    """``make(step)`` for every step in order, up to ``depth`` per worker thread ahead of the consumer.

    Threads and not processes: decoding, warping and copying release the interpreter's lock, and nothing needs shared
    memory. An exception in ``make`` is raised here, at its step; leaving the loop stops the workers.
    """
    if workers == 0:
        yield from map(make, steps)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
    try:
        pending = deque()
        upcoming = iter(steps)
        for step in upcoming:
            pending.append(pool.submit(make, step))
            if len(pending) >= workers * depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
