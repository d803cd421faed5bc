"""The short test that anybody may try at /xab: six trials, no link, and nothing stored but a count if they agree."""

from .clips import DESIGN, Clips, design_for
from .sessions import Tryouts

__all__ = ["DESIGN", "Clips", "Tryouts", "design_for"]
