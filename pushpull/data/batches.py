"""Batches of labelled examples: each a pure function of (seed, step), so that any run resumes exactly."""

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from pushpull.clip import FPS, SAMPLES_PER_FRAME, Clip
from pushpull.data.mix import OWN, SHIFT_MS, ExampleMix, make_example, other_clip, shake
from pushpull.data.tempo import retime

MOST_APART = int(SHIFT_MS[0] * FPS / 1000) - 1  # frames from the middle, for sound in sync: shifted sound is beyond


@dataclass(frozen=True)
class Batching:
    """What one batch holds.

    Args:
        frames: video frames in a batch, all clips together (TalkNet: about 2,500).
        shortest, longest: seconds; each batch draws one length between them for all of its clips.
        shaken: probability of camera drift and sensor noise on an example, whatever its kind: ``frozen`` faces
            always have them, so they must not be what gives those away.
        retimed: probability that an example is played faster or slower, sound and picture together, whatever its kind.
        slowest, fastest: the speed is drawn between them.
        sound_early, sound_late: the sound of examples in sync comes up to this many frames (of 40 ms) before or after
            where it was recorded: cameras, microphones and converters are seldom quite together. Shifted sound, a
            negative, is at least 5 frames away from the middle of that. Finished examples, AVA's among them, stay as
            they are.
    """

    frames: int = 1000
    shortest: float = 1.0
    longest: float = 3.0
    shaken: float = 0.3
    retimed: float = 0.5
    slowest: float = 0.8
    fastest: float = 1.25
    sound_early: int = 0
    sound_late: int = 0

    def __post_init__(self):
        if not 0 < self.slowest <= self.fastest:
            raise ValueError(f"batches need 0 < slowest <= fastest, got {self.slowest} and {self.fastest}")
        if not 1 / FPS <= self.shortest <= self.longest:
            raise ValueError(f"batches need 0 < shortest <= longest, got {self.shortest} and {self.longest} s")
        if min(self.sound_early, self.sound_late) < 0 or self.sound_early + self.sound_late > 2 * MOST_APART:
            raise ValueError(
                f"batches.sound_early and sound_late count frames, at most {2 * MOST_APART} together: shifted sound is "
                f"further away; got {self.sound_early} and {self.sound_late}"
            )
        if self.frames < self.shortest * FPS:
            raise ValueError(f"a batch of {self.frames} frames holds not even one clip of {self.shortest} s")

    def played(self, frames: int, rng: np.random.Generator) -> int:
        """How many frames of a clip are played within ``frames``."""
        speed, retimed = rng.uniform(self.slowest, self.fastest), rng.random() < self.retimed
        return max(1, round(speed * frames)) if retimed else frames

    @property
    def apart(self) -> int:
        """How many frames sound and picture of an example in sync may be apart."""
        return max(self.sound_early, self.sound_late)

    def later(self, kind: str, rng: np.random.Generator) -> int:
        """By how many frames the sound of an example comes late; early, where negative."""
        if kind == "in_sync" and self.apart:
            return int(rng.integers(-self.sound_early, self.sound_late + 1))
        return (self.sound_late - self.sound_early) // 2 if kind == "shifted" else 0


@dataclass(frozen=True)
class Batch:
    """One training step's data.

    Args:
        audio: (B, 640 T) float32 full scale.
        video: (B, T, 112, 112) uint8 grey levels.
        labels: (B, T) int64.
        other: (B, 640 T) float32, another clip's sound for each, for augmentation.
        types: B names.
    """

    audio: torch.Tensor
    video: torch.Tensor
    labels: torch.Tensor
    other: torch.Tensor
    types: tuple[str, ...]

    def pin_memory(self) -> "Batch":
        """The same in page-locked memory, from which a GPU copies while the processor goes on."""
        tensors = {name: getattr(self, name).pin_memory() for name in ("audio", "video", "labels", "other")}
        return replace(self, **tensors)


def make_batch(pool: Sequence[Clip], mix: ExampleMix, options: Batching, *, seed: int, step: int) -> Batch:
    """The batch of one step: clips drawn from ``pool`` (in sync, labels = speech activity), as what ``mix`` says.

    All its clips are equally long. Examples of the type ``own`` come from ``pool.finished`` (see
    :class:`pushpull.data.sources.Corpus`); where a corpus holds nothing else, as AVA does, all of them do, and a batch
    is of clips about as long as one that was drawn at random.

    Raises:
        ValueError: the pool has fewer than two clips (a swapped voice needs another), or ``own`` has a share and the
            pool no finished examples.
    """
    rng = np.random.default_rng([seed, step])
    if len(pool) == 0 and getattr(pool, "finished", ()):
        return _finished_batch(pool, options, rng)
    if len(pool) < 2:
        raise ValueError(f"training needs at least two clips, got {len(pool)}")
    wanted = int(rng.integers(round(options.shortest * FPS), round(options.longest * FPS) + 1))
    # About one clip in a hundred may be shorter than the rest; the batch is cropped to the shortest it drew.
    size = max(1, options.frames // wanted)
    shares = getattr(pool, "shares", None)
    chosen = rng.choice(len(pool), size=size, replace=size > len(pool), p=shares)
    clips = [pool[int(i)] for i in chosen]
    frames = max(1, min(wanted, min(clip.frames for clip in clips) - options.apart))

    examples, others = [], []
    for index, clip, kind in zip(chosen, clips, mix.draw(rng, size), strict=True):

        def neighbour(index=int(index)):
            return other_clip(pool, index, rng)

        played = options.played(frames, rng)
        if kind == OWN:
            example, kind = _finished(pool, rng, frames, played)
        else:
            later = options.later(kind, rng)
            played = min(played + abs(later), clip.frames)
            start = int(rng.integers(clip.frames - played + 1))
            example = move_sound(make_example(kind, clip, neighbour, rng, start=start, frames=played), later)
        example = retime(example, frames)
        shaken = kind != "frozen" and rng.random() < options.shaken
        examples.append((example, shake(example.video, rng) if shaken else example.video, kind))
        others.append(make_example("swapped", clip, neighbour, rng, start=0, frames=frames).audio)
    return _stacked(examples, others)


def move_sound(clip: Clip, later: int) -> Clip:
    """``clip`` with its sound ``later`` frames behind its picture (before it, where negative), as much shorter.

    Labels stay with the sound. All frames are the clip's own: none is repeated at an end, which would tell the kind.
    """
    frames, heard, seen = clip.frames - abs(later), max(-later, 0), max(later, 0)
    if frames < 1:
        return clip
    return replace(clip.span(heard, heard + frames), video=clip.video[seen : seen + frames])


def _finished(pool, rng, frames, played):
    """A window of one of the pool's finished examples, ``played`` frames or as many as it has, and its kind."""
    finished = getattr(pool, "finished", ())
    if not finished:
        raise ValueError("the kind 'own' has a share, but the data holds no finished examples: give it a share of 0")
    part = finished[int(rng.choice(len(finished), p=pool.finished_shares))]
    # AVA's tracks are of every length. A few draws find one that is long enough, or there are hardly any.
    for _ in range(50):
        index = int(rng.integers(len(part)))
        length = int(part.lengths[index])
        if length >= frames:
            played = min(played, length)
            start = int(rng.integers(length - played + 1))
            return _window(part, index, start, start + played), part.types[index]
    raise ValueError(
        f"the finished example {part[index].name!r} has {length} frames and the batch wants {frames}: lower "
        "batches.longest, or make longer ones"
    )


def _finished_batch(pool, options, rng):
    """Finished examples of about one length, at most a quarter longer than the batch they are cropped to."""
    part = pool.finished[int(rng.choice(len(pool.finished), p=pool.finished_shares))]
    lengths = np.minimum(part.lengths, round(options.longest * FPS))
    frames = int(lengths[rng.integers(len(part))])
    alike = np.flatnonzero((part.lengths >= frames) & (lengths <= 1.25 * frames))
    size = max(1, options.frames // frames)
    chosen = rng.choice(alike, size=size, replace=size > len(alike))
    examples, others = [], []
    for index, other in zip(map(int, chosen), map(int, rng.choice(alike, size=size)), strict=True):
        played = min(options.played(frames, rng), int(part.lengths[index]))
        start = int(rng.integers(part.lengths[index] - played + 1))
        window = retime(_window(part, index, start, start + played), frames)
        shaken = rng.random() < options.shaken
        examples.append((window, shake(window.video, rng) if shaken else window.video, part.types[index]))
        others.append(_sound(part, other)[: frames * SAMPLES_PER_FRAME])
    return _stacked(examples, others)


def _window(part, index, start, stop):
    """Frames of one clip; of a pool of pictures in files, only those are read."""
    return part.read(index, start, stop) if hasattr(part, "read") else part[index].span(start, stop)


def _sound(part, index):
    return part.sound(index) if hasattr(part, "sound") else part[index].audio


def _stacked(examples, others):
    """A batch of (example, its picture, its kind) and the other sounds."""
    return Batch(
        audio=torch.from_numpy(np.stack([example.audio for example, _, _ in examples])),
        video=torch.from_numpy(np.stack([video for _, video, _ in examples])),
        labels=torch.from_numpy(np.stack([example.labels for example, _, _ in examples])),
        other=torch.from_numpy(np.stack(others)),
        types=tuple(kind for _, _, kind in examples),
    )


def prefetch(
    make: Callable[[int], Any], steps: Sequence[int], *, workers: int, depth: int = 2, pin: bool = False
) -> Iterator[Any]:
    """``make(step)`` for every step in order, up to ``depth`` per worker process ahead of the consumer.

    Processes and not threads: numpy holds the interpreter's lock, and a training step that runs beside it waits for it.
    An exception in ``make`` is raised here, at its step; leaving the loop stops the workers.

    Args:
        pin: what is made goes into page-locked memory, in this process: a forked one must not touch CUDA.
    """
    if workers == 0:
        for made in map(make, steps):
            yield made.pin_memory() if pin else made
        return
    loader = DataLoader(
        _Made(make),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=depth,
        pin_memory=pin,
        worker_init_fn=_leave_signals_to_the_parent,
        # A copy of the process with what it has read: nothing has to be sent, or read again.
        multiprocessing_context="fork" if "fork" in get_all_start_methods() else None,
    )
    # OpenCV's threads would not live on in the copy, which would wait for them for ever; with one it starts none.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        batches = iter(loader)
    finally:
        cv2.setNumThreads(threads)
    made = None
    try:
        for made in batches:
            if isinstance(made, _Failure):
                raise made.error
            yield made
    finally:
        # An exception's traceback would keep the workers alive, and they ignore the signal that ends them at exit.
        del made, batches, loader


@dataclass(frozen=True)
class _Failure:
    """What ``make`` raised, on its way to the consumer as it is: the loader's own way wraps it in a traceback."""

    error: Exception


class _Made(Dataset):
    def __init__(self, make):
        self.make = make

    def __getitem__(self, step):
        try:
            return self.make(step)
        except Exception as error:  # noqa: BLE001
            return _Failure(error)


def _leave_signals_to_the_parent(worker):
    # Ctrl-C and job managers signal the whole group; the parent finishes its step, for which it needs its batch.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
