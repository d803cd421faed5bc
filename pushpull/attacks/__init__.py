"""Adversarial attacks on any number of modalities, each with its own budget.

``FGSM``, ``BIM``, ``MIM``, ``PGD``, ``APGD`` and ``Noise`` are parameter sets of one loop; ``attack.run(model, inputs,
labels, budgets=...)`` knows nothing of the model but that it takes a dict of tensors.
"""

from pushpull.attacks.apgd import APGD
from pushpull.attacks.base import ATTACKS, Attack, attack_titles, register_attack
from pushpull.attacks.budget import MODALITIES, Box, Budget, as_stored, bounds, paper_budget
from pushpull.attacks.families import BIM, FGSM, MIM, PGD, Noise
from pushpull.attacks.features import class_centres, features
from pushpull.attacks.looped import UniversalNoise, load_noise
from pushpull.attacks.objectives import OBJECTIVES, objective_titles, register_objective
from pushpull.attacks.result import AttackResult, Cancelled, Step
from pushpull.attacks.universal import FitOptions, Universal, fit_universal

__all__ = [
    "APGD",
    "ATTACKS",
    "BIM",
    "FGSM",
    "MIM",
    "MODALITIES",
    "OBJECTIVES",
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
    "attack_titles",
    "bounds",
    "class_centres",
    "features",
    "fit_universal",
    "load_noise",
    "objective_titles",
    "paper_budget",
    "register_attack",
    "register_objective",
]
