"""One attack on one clip, from what was asked for to the files it leaves."""

from pushpull.runs.run import Run, attack
from pushpull.runs.spec import RunSpec, Target

__all__ = ["Run", "RunSpec", "Target", "attack"]
