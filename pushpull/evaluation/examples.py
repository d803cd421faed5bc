"""The examples that detectors are attacked on: who they show, what they sound like, what is right.

The paper takes 450 clips, 225 speaking and 225 not. Here a speaking example is a stretch of footage with its own voice,
where most of it is speech; a not-speaking one is the same person with another's voice, a voice out of step, resting
lips, or noise (``pushpull.data.mix``). Every example names the base clip that it was made from.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from pushpull.clip import Clip
from pushpull.data.mix import NoStillLips, base_clip, make_example, other_clip
from pushpull.data.sources import Corpus

SPEAKING = "in_sync"
NOT_SPEAKING = ("swapped", "shifted", "still", "noise")


@dataclass(frozen=True, eq=False)
class Example:
    """One labelled clip.

    Args:
        clip: with its labels.
        kind: "in_sync", "swapped", ... as in ``pushpull.data.mix``, or "film" for footage taken as it is.
        base: the base clip that it was made from: intervals are over these.
        source: where that came from.
        piece: the stretch of the base clip, where that has several.

    Raises:
        ValueError: the clip has no labels.
    """

    clip: Clip
    kind: str
    base: str
    source: str
    piece: str = ""

    def __post_init__(self):
        if self.clip.labels is None:
            raise ValueError(f"{self.clip.name} has no labels: say which frames speak (Clip.labels, 1 speaking, 0 not)")

    @property
    def name(self) -> str:
        return f"{self.source}/{self.piece or self.base}/{self.kind}"

    @property
    def digest(self) -> str:
        """Of sound, picture and labels."""
        clip = self.clip
        parts = (clip.audio, clip.video, clip.labels.astype(np.int64))
        return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class SetOptions:
    """Which examples are attacked.

    Args:
        examples: how many in all, half of them speaking; fewer where the footage has no more.
        frames: of each, 25 a second; shorter clips are left out.
        split: of the sources, "train", "validation" or "test".
        speech: least share of speaking frames in an example that speaks, 0..1.
        seed: of what is drawn.

    Raises:
        ValueError: fewer than two examples, or no frame.
    """

    examples: int = 450
    frames: int = 50
    split: str = "test"
    speech: float = 0.5
    seed: int = 0

    def __post_init__(self):
        if self.examples < 2 or self.frames < 1:
            raise ValueError(f"examples is at least 2 and frames at least 1, got {self.examples} and {self.frames}")
        if self.split not in ("train", "validation", "test"):
            raise ValueError(f"split is train, validation or test, got {self.split!r}")
        if not 0 <= self.speech <= 1:
            raise ValueError(f"speech is a share of frames, 0 to 1, got {self.speech}")


def make_examples(pool: Corpus, options: SetOptions) -> list[Example]:
    """Examples of every source, half of them speaking, in an order that mixes sources and kinds.

    A clip gives at most one speaking and one not-speaking example; clips that were cut from one file are one base clip.
    The examples of a shorter list are among those of a longer one with the same seed, in another order.

    Args:
        pool: clips in sync, labels = speech activity, that no compared model was trained on.

    Raises:
        ValueError: no clip is long enough, or there are only finished examples, of which no others are made.
    """
    found: list[Example] = []
    wanted = options.examples - options.examples // 2
    for speaking, count in ((True, wanted), (False, options.examples // 2)):
        drawn = [_of_source(name, part, options, speaking) for name, part in pool.by_source().items()]
        found += _in_turn(drawn, count)
    if not found:
        if not len(pool) and getattr(pool, "finished", ()):
            raise ValueError(
                "AVA's tracks are finished examples, of which no others are made: give footage or talking heads, or "
                "the tracks as they are to pushpull.evaluate in Python"
            )
        raise ValueError(
            f"no clip in sync of the {options.split} split has {options.frames} frames and another beside it: use more "
            "footage, or fewer frames"
        )
    order = np.random.default_rng([options.seed, 1]).permutation(len(found))
    return [found[i] for i in order]


def from_clips(clips: Sequence[Clip], source: str = "own") -> list[Example]:
    """Examples of labelled clips of one's own, taken as they are; clips of one name count as one base clip.

    Raises:
        ValueError: a clip has no labels, or there are no clips.
    """
    if not len(clips):
        raise ValueError("there are no clips to evaluate on")
    return [Example(clip, "film", clip.name, source) for clip in clips]


def set_hash(examples: Sequence[Example]) -> str:
    """Names a set of examples, whatever their order."""
    digests = sorted(f"{example.name} {example.digest}" for example in examples)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def _in_turn(drawn, count):
    """``count`` from several iterators, one of each in turn, until all are at their end."""
    found, iterators = [], [iter(part) for part in drawn]
    while iterators and len(found) < count:
        for iterator in list(iterators):
            example = next(iterator, None)
            if example is None:
                iterators.remove(iterator)
            elif len(found) < count:
                found.append(example)
    return found


def _of_source(name, part, options, speaking):
    """Examples of one source as they come, each from another clip."""
    if len(part) < 2:
        return
    order = np.random.default_rng([options.seed, crc32(name.encode())]).permutation(len(part))
    for turn, index in enumerate(order.tolist()):
        clip = part[index]
        if clip.frames < options.frames:
            continue
        kind = SPEAKING if speaking else NOT_SPEAKING[turn % len(NOT_SPEAKING)]
        rng = np.random.default_rng([options.seed, index, crc32(kind.encode())])

        def neighbour(part=part, index=index, rng=rng):
            return other_clip(part, index, rng)

        try:
            made = make_example(
                kind, clip, neighbour, rng, start=_most_speech(clip, options.frames), frames=options.frames
            )
        except NoStillLips:
            continue
        if speaking and not made.labels.mean() >= max(options.speech, 1 / options.frames):
            continue
        yield Example(made, kind, base_clip(part, index), name, piece=clip.name)


def _most_speech(clip, frames):
    """The first frame of the window with most speech, the middle one of several."""
    speech = np.convolve(clip.labels, np.ones(frames, dtype=int), mode="valid")
    best = np.flatnonzero(speech == speech.max())
    return int(best[len(best) // 2])
