"""Long work in a thread of its own: what it leaves behind."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pushpull.demo.background import BackgroundTask

PIECES, KEPT = 3000, 20  # of 64 kB, of which every so manieth is kept


def resident() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what was freed, and is told to give it back")
def test_memory_that_the_work_freed_is_given_back():
    before = resident()
    with BackgroundTask(lambda report: [np.ones(8192) for _ in range(PIECES)][::KEPT]) as task:
        kept = task.result()
    assert len(kept) == PIECES / KEPT and resident() - before < 60
