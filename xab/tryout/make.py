"""Makes the clips of the test to try. It takes torch; the server runs it as ``python -m xab tryout``."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..plan import pair_specs
from ..selfcheck import clip_path
from ..stimuli import assign, collect_spans, load_detector, make_pair
from .clips import design_for, folder_for, read_pairs, unfinished, write_pairs


def make_clips(data: Path, assets: Path, *, again: bool = False, load: Callable = load_detector) -> Path:
    """Make the clips if they are not there, and return their folder.

    Args:
        data: the folder of the test's data.
        assets: clips to make them from.
        again: make them even if they are there.
        load: detector by name and device, see :func:`pushpull.detectors.load_detector`.

    Raises:
        DesignError: the folder of clips has no stretch of a speaking, or of a silent, face.
    """
    design = design_for(assets)
    folder = folder_for(data, design)
    if read_pairs(folder) is not None and not again:
        return folder
    clip_path(data)
    writing = unfinished(folder, os.getpid())
    writing.mkdir(parents=True)
    try:
        detectors = {name: load(name, "cpu") for name in design.models}
        specs = pair_specs(design)
        chosen = assign(specs, collect_spans(assets, design, detectors, lambda note: None), design.seed)
        pairs = [make_pair(spec, chosen[spec.position], detectors[spec.model], design, writing) for spec in specs]
        write_pairs(folder, pairs)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    return folder
