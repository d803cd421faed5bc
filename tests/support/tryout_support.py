"""Clips of the test to try without a detector, and the process that made them."""

import os
import shutil
from pathlib import Path

import pytest
from xab_web import FRAMES, twins

from xab.plan import pair_specs
from xab.settings import Settings
from xab.stimuli import store_twins
from xab.store import Pair
from xab.tryout.clips import design_for, folder_for, unfinished, write_pairs

MEASURES = {
    "stored_audio_max_steps": 16,
    "stored_video_max_levels": 1,
    "stored_video_changed_share": 0.355,
    "frames_flipped": 0.75,
}


class Ended:
    """A process that is done."""

    pid = os.getpid()

    def __init__(self, status: int = 0):
        self._status = status

    def poll(self) -> int:
        return self._status


@pytest.fixture(scope="session")
def tryout_clips(tmp_path_factory) -> Path:
    """The folder of the pairs, ten frames each; made once, as encoding them takes the most of a test's time."""
    settings = Settings(data=tmp_path_factory.mktemp("tryout"))
    design = design_for(settings.assets)
    folder = folder_for(settings.data, design)
    writing = unfinished(folder, os.getpid())
    writing.mkdir(parents=True)
    pairs = []
    for spec in pair_specs(design):
        stimuli, _ = store_twins(twins(spec.position), writing)
        pairs.append(Pair(**vars(spec), clip="made", frames=FRAMES, measures=MEASURES, stimuli=stimuli))
    write_pairs(folder, pairs)
    return folder


def fill_tryout(settings: Settings, made: Path) -> Ended:
    """Give the test to try its pairs, as its process would."""
    shutil.copytree(made, folder_for(settings.data, design_for(settings.assets)))
    return Ended()
