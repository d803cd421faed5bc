"""One attack on one clip, from what was asked for to the files it leaves."""

from pushpull.runs.compare import Comparison, compare
from pushpull.runs.run import Run, attack
from pushpull.runs.spec import RunSpec, Target

__all__ = ["Comparison", "Run", "RunSpec", "Target", "attack", "compare"]
