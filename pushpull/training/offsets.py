"""How far sound and picture may be apart before a detector no longer takes a speaker for one."""

from collections.abc import Sequence

import numpy as np
import torch

from pushpull.clip import FPS, Clip
from pushpull.data.batches import move_sound
from pushpull.data.speech import detect_speech

OFFSETS = tuple(range(-8, 9))  # frames: 320 ms either way


@torch.no_grad()
def offset_figures(
    model, pool: Sequence[Clip], *, offsets: Sequence[int] = OFFSETS, device="cpu", progress=None
) -> list[dict]:
    """Every whole clip of ``pool`` with its sound moved against its picture, all frames its own.

    Real recordings are seldom quite together. A detector that is sure of them only within a frame of what its training
    footage had calls many strangers silent, however well it sees them.

    Args:
        model: a TalkNet in evaluation mode on ``device``.
        pool: clips of visible people who speak; those shorter than twice the largest offset are left out.
        offsets: whole frames; positive ones move the sound behind the picture.
        progress: wraps the range of clip numbers, as tqdm does.

    Returns:
        One dict for each offset: ``ms``; ``recall``, percent of the voiced frames called speaking; ``clips``, percent
        of the clips in which most voiced frames are; None without any voiced frame.
    """
    right = {offset: [] for offset in offsets}
    numbers = range(len(pool))
    for number in progress(numbers) if progress else numbers:
        clip = pool[number]
        if clip.frames < 2 * max(map(abs, offsets)):
            continue
        for offset in offsets:
            moved = move_sound(clip, offset)
            voiced = detect_speech(moved.audio)
            if voiced.any():
                right[offset].append(model(moved.inputs(device)).margin[0].cpu().numpy()[voiced] > 0)
    return [
        {
            "ms": round(1000 * offset / FPS),
            "recall": 100 * float(np.concatenate(found).mean()) if found else None,
            "clips": 100 * float(np.mean([clip.mean() > 0.5 for clip in found])) if found else None,
        }
        for offset, found in right.items()
    ]


def offset_table(figures: list[dict]) -> str:
    """A plain-text table of what :func:`offset_figures` returns."""
    lines = [f"{'sound later by':<15}{'of voiced frames':>17}{'of clips':>10}"]
    for row in figures:
        recall, clips = ("" if row[key] is None else f"{row[key]:.1f}" for key in ("recall", "clips"))
        lines.append(f"{row['ms']:>+11} ms {recall:>17}{clips:>10}")
    return "\n".join(lines)
