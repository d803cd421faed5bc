"""Batches: a pure function of seed and step, prepared ahead in order."""

import multiprocessing
import os
import time

import numpy as np
import pytest
import torch
from training_support import talker

from pushpull.data.batches import Batching, make_batch, prefetch
from pushpull.data.mix import ExampleMix

POOL = [talker(number) for number in range(6)]
MIX = ExampleMix()
SMALL = Batching(frames=60, shortest=0.4, longest=0.8)


def batch(step=0, *, seed=0, pool=POOL, mix=MIX, options=SMALL):
    return make_batch(pool, mix, options, seed=seed, step=step)


def same(one, two):
    tensors = ("audio", "video", "labels", "other")
    return one.types == two.types and all(torch.equal(getattr(one, x), getattr(two, x)) for x in tensors)


def test_a_batch_depends_on_seed_and_step_alone():
    forwards, backwards = [batch(step) for step in range(4)], [batch(step) for step in (3, 2, 1, 0)][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not same(batch(0), batch(1)) and not same(batch(0), batch(0, seed=1))


def test_a_batch_holds_what_it_says():
    lengths = set()
    for step in range(12):
        made = batch(step)
        clips, frames = made.labels.shape
        lengths.add(frames)
        assert 10 <= frames <= 20 and clips == min(60 // frames, 60)
        assert made.video.shape == (clips, frames, 112, 112) and made.video.dtype == torch.uint8
        assert made.audio.shape == made.other.shape == (clips, 640 * frames) and made.audio.dtype == torch.float32
        assert made.labels.dtype == torch.int64 and len(made.types) == clips
        quiet = [kind != "in_sync" for kind in made.types]
        assert made.labels[quiet].sum() == 0
    assert len(lengths) > 4


def test_examples_are_played_at_other_speeds():
    in_sync = ExampleMix(**dict.fromkeys(ExampleMix().names, 0.0) | {"in_sync": 1})
    options = Batching(frames=200, shortest=0.8, longest=0.8, shaken=0, retimed=0.5)
    repeated = []
    for step in range(6):
        made = batch(step, mix=in_sync, options=options)
        repeated += [(clip[1:] == clip[:-1]).flatten(1).all(1).any().item() for clip in made.video]
        for clip, sound, labels in zip(made.video, made.audio, made.labels, strict=True):
            assert len(clip) == len(labels) == 20 and len(sound) == 20 * 640
    assert 0.1 < np.mean(repeated) < 0.4, "slower ones show frames twice"
    with pytest.raises(ValueError, match="slowest"):
        Batching(slowest=1.3, fastest=1.2)


def test_sound_and_picture_of_examples_in_sync_may_be_a_little_apart():
    options = Batching(frames=200, shortest=0.8, longest=2.0, shaken=0, retimed=0, sound_early=1, sound_late=3)
    found = set()
    for step in range(12):
        made = batch(
            step,
            mix=ExampleMix(**dict.fromkeys(ExampleMix().names, 0.0) | {"in_sync": 2, "silence": 1}),
            options=options,
        )
        assert made.labels.shape[1] <= 47, "50 frames of a clip, less what they may be apart"
        for kind, video, sound, labels in zip(made.types, made.video, made.audio, made.labels, strict=True):
            seen = video[:, 0, 1].long()
            assert (seen.diff() == 1).all(), "no frame twice, none left out"
            if kind != "in_sync":
                continue
            own = torch.from_numpy(POOL[int(video[0, 0, 0])].audio).view(-1, 640)
            heard = int((own == sound[:640]).all(dim=1).nonzero())
            assert torch.equal(sound.view(-1, 640), own[heard : heard + len(seen)])
            assert torch.equal(labels, torch.from_numpy(POOL[0].labels[heard : heard + len(seen)])), "as the sound"
            found.add(int(seen[0]) - heard)
    assert found == set(range(-1, 4))
    rng = np.random.default_rng(0)
    assert options.later("shifted", rng) == 1, "shifted from the middle of what is in sync"
    assert options.later("swapped", rng) == Batching().later("shifted", rng) == Batching().later("in_sync", rng) == 0
    for wrong in ({"sound_early": -1}, {"sound_early": 4, "sound_late": 5}):
        with pytest.raises(ValueError, match="batches.sound_early"):
            Batching(**wrong)


def test_the_other_sound_is_another_clips():
    in_sync = ExampleMix(**dict.fromkeys(ExampleMix().names, 0.0) | {"in_sync": 1})
    for step in range(5):
        made = batch(step, mix=in_sync, options=Batching(frames=60, shortest=0.4, longest=0.8, shaken=0, retimed=0))
        for video, other in zip(made.video, made.other, strict=True):
            own = POOL[int(video[0, 0, 0])].audio
            stretch = other[:640].numpy()
            assert stretch.std() > 0
            starts = [a for a in range(0, len(own), 640) if np.array_equal(own[a : a + 640], stretch)]
            assert not starts


def test_a_short_clip_shortens_the_batch_and_a_small_pool_repeats():
    pool = [talker(0, 50), talker(1, 12)]
    made = batch(pool=pool, options=Batching(frames=100, shortest=0.8, longest=0.8))
    assert made.labels.shape == (5, 12)


@pytest.mark.parametrize("pool", [[], POOL[:1]])
def test_one_clip_is_too_few(pool):
    with pytest.raises(ValueError, match="at least two clips"):
        batch(pool=pool)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"shortest": 2.0, "longest": 1.0}, "shortest <= longest"),
        ({"shortest": 0.0}, "shortest <= longest"),
        ({"frames": 10}, "not even one clip"),
    ],
)
def test_senseless_batches_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Batching(**options)


def gone(before):
    """Whether all processes but those of ``before`` end soon."""
    deadline = time.monotonic() + 20
    while set(multiprocessing.active_children()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    return not set(multiprocessing.active_children()) - before


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetch_keeps_the_order(workers):
    def make(step):
        time.sleep(0.01 * (step % 3))  # later ones are ready sooner
        return step

    assert list(prefetch(make, range(3, 20), workers=workers)) == list(range(3, 20))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetch_raises_at_the_step_that_failed(workers):
    def make(step):
        if step == 4:
            raise RuntimeError("no such face")
        return step

    before = set(multiprocessing.active_children())
    batches, seen = prefetch(make, range(10), workers=workers), []
    with pytest.raises(RuntimeError, match="no such face") as raised:
        for made in batches:
            seen.append(made)
    assert seen == [0, 1, 2, 3]
    # Whoever keeps the exception, as interactive sessions do, keeps no worker: Python would wait for it at its end.
    assert raised.value and gone(before)


def test_prefetch_is_a_bounded_way_ahead_and_stops_when_left():
    made = multiprocessing.get_context("fork").Value("i", 0)

    def make(step):
        with made.get_lock():
            made.value += 1
        return step

    before = set(multiprocessing.active_children())
    batches = prefetch(make, range(1000), workers=2, depth=2)
    assert next(batches) == 0
    time.sleep(0.3)
    assert made.value <= 5
    batches.close()
    assert gone(before)


def test_batches_made_in_another_process_are_the_same():
    made = list(prefetch(batch, range(3), workers=1))
    assert all(same(one, batch(step)) for step, one in enumerate(made))


class Lockable:
    """Writes down which processes made it and locked its memory."""

    def __init__(self):
        self.made_in, self.locked_in = os.getpid(), []

    def pin_memory(self):
        self.locked_in.append(os.getpid())
        return self


@pytest.mark.filterwarnings("ignore:.*pin_memory")
@pytest.mark.parametrize("workers", [0, 1])
def test_memory_is_locked_by_this_process_and_not_by_one_forked_from_it(workers):
    (made,) = prefetch(lambda step: Lockable(), range(1), workers=workers, pin=True)
    assert (made.made_in == os.getpid()) == (workers == 0)
    # Loaders without a GPU lock nothing.
    assert made.locked_in == ([os.getpid()] if workers == 0 or torch.accelerator.is_available() else [])
