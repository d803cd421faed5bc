"""Embeddings of held-out frames that a checkpoint carries: where its classes lie, for pictures of an attack."""

import numpy as np
import torch
from torch import Tensor

from pushpull.clip import Clip
from pushpull.data.sources import Corpus
from pushpull.training.networks import Network
from pushpull.training.robust import RobustOptions, robust_examples

SPACES = ("e_a", "e_v", "z_a", "z_v")
EACH = 80  # frames of each class: enough for a plane and its centres, 160 kB in half precision
CLIPS = 24
FRAMES = 50  # of a clip


@torch.no_grad()
def reference_embeddings(model: Network, pool: Corpus, *, seed: int = 0) -> dict[str, Tensor]:
    """Embeddings of up to EACH speaking and as many other frames of held-out examples.

    Half of the examples are in sync, the rest swapped voices, still lips and noise; of AVA they are its tracks.

    Args:
        model: in evaluation mode.
        pool: clips that the model was not trained on.

    Returns:
        {"e_a", "e_v", "z_a", "z_v": (N, 128) float32, "labels": (N,) int64, 1 speaking} on the CPU, those that the
        model has; nothing where the pool has no examples of both classes.
    """
    device, found, spaces = next(model.parameters()).device, [], ()
    for example in _examples(pool, seed):
        outputs = model(example.inputs(device))
        spaces = [name for name in SPACES if getattr(outputs, name) is not None]
        found.append([*(getattr(outputs, name)[0].float().cpu() for name in spaces), torch.from_numpy(example.labels)])
    if not found:
        return {}
    *embeddings, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(labels.numpy() == value) for value in (0, 1)]
    if min(map(len, classes)) == 0:
        return {}
    chosen = np.concatenate([rng.permutation(frames)[:EACH] for frames in classes])
    return dict(zip((*spaces, "labels"), (values[chosen] for values in (*embeddings, labels)), strict=True))


def _examples(pool: Corpus, seed: int) -> list[Clip]:
    lengths = [clip.frames for clip in (pool[index] for index in range(min(len(pool), CLIPS)))]
    try:
        return robust_examples(pool, RobustOptions(clips=CLIPS, frames=min([FRAMES, *lengths]), seed=seed))
    except ValueError:  # nothing to swap voices with
        tracks = (part[index] for part in pool.finished for index in range(min(len(part), CLIPS)))
        return [track.span(0, min(track.frames, FRAMES)) for track in tracks]
