"""How far sound and picture may be apart: measured by a model that knows exactly."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_support import talker

from pushpull.data.batches import move_sound
from pushpull.training.offsets import OFFSETS, offset_figures, offset_table

POOL = [talker(0, 60), talker(1, 60), talker(2, 12)]


class Strict:
    """Says *speaking* where the sound is at most two frames late, and never early."""

    def __call__(self, inputs):
        seen = inputs["video"][0, :, 0, 1].long()
        own = torch.from_numpy(POOL[int(inputs["video"][0, 0, 0, 0])].audio).view(-1, 640)
        heard = int((own == inputs["audio"][0, :640]).all(dim=1).nonzero())
        late = int(seen[0]) - heard  # the picture is that far ahead of the sound
        return SimpleNamespace(margin=torch.full((1, len(seen)), 1.0 if 0 <= late <= 2 else -1.0))


@pytest.mark.parametrize("later", [0, 1, 3, -2])
def test_moved_sound_comes_after_what_was_seen_with_it(later):
    clip = talker(0)
    moved = move_sound(clip, later)
    frames = clip.frames - abs(later)
    assert moved.frames == frames and len(moved.audio) == 640 * frames and len(moved.labels) == frames
    seen = moved.video[:, 0, 1].astype(int)
    heard = np.arange(max(-later, 0), max(-later, 0) + frames)
    assert (seen - heard == later).all() and (moved.labels == clip.labels[heard]).all()
    assert np.array_equal(moved.audio, clip.audio[640 * heard[0] :][: 640 * frames])


def test_recall_is_told_for_every_offset():
    rows = offset_figures(Strict(), POOL)
    assert [row["ms"] for row in rows] == [40 * offset for offset in OFFSETS]
    assert {row["ms"]: row["recall"] for row in rows if row["recall"]} == {0: 100, 40: 100, 80: 100}
    assert {row["ms"] for row in rows if row["clips"]} == {0, 40, 80}
    lines = offset_table(rows).splitlines()
    assert len(lines) == len(OFFSETS) + 1 and lines[OFFSETS.index(1) + 1].split() == ["+40", "ms", "100.0", "100.0"]


def test_clips_too_short_for_the_offsets_tell_nothing():
    (row,) = offset_figures(Strict(), POOL[2:], offsets=[8])
    assert row == {"ms": 320, "recall": None, "clips": None}
    assert offset_table([row]).splitlines()[1].split() == ["+320", "ms"]
