"""Adversarial attacks on any number of modalities, each with its own budget.

``FGSM``, ``BIM``, ``MIM``, ``PGD`` and ``Noise`` are parameter sets of one loop; ``attack.run(model, inputs, labels,
budgets=...)`` knows nothing of the model but that it takes a dict of tensors.
"""

from pushpull.attacks.budget import MODALITIES, Box, Budget, as_stored, bounds, paper_budget
from pushpull.attacks.families import ATTACKS, BIM, FGSM, MIM, PGD, Attack, Noise, register_attack
from pushpull.attacks.loop import AttackResult, Cancelled, Step
from pushpull.attacks.looped import UniversalNoise, load_noise
from pushpull.attacks.universal import FitOptions, Universal, fit_universal

__all__ = [
    "ATTACKS",
    "BIM",
    "FGSM",
    "MIM",
    "MODALITIES",
    "PGD",
    "Attack",
    "AttackResult",
    "Box",
    "Budget",
    "Cancelled",
    "FitOptions",
    "Noise",
    "Step",
    "Universal",
    "UniversalNoise",
    "as_stored",
    "bounds",
    "fit_universal",
    "load_noise",
    "paper_budget",
    "register_attack",
]
