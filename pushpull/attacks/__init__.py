"""Adversarial attacks on any number of modalities, each with its own budget.

``FGSM``, ``BIM``, ``MIM``, ``PGD``, ``APGD``, ``Square`` and ``Noise`` are parameter sets of one loop;
``attack.run(model, inputs, labels, budgets=...)`` knows nothing of the model but that it takes a dict of tensors.
"""

# First: lists show attacks in the order in which they are registered.
from pushpull.attacks.families import BIM, FGSM, MIM, PGD, Noise  # isort: skip
from pushpull.attacks.apgd import APGD
from pushpull.attacks.base import ATTACKS, Attack, attack_titles, register_attack
from pushpull.attacks.budget import MODALITIES, Box, Budget, as_stored, bounds, paper_budget
from pushpull.attacks.ensemble import Ensemble, summed
from pushpull.attacks.features import class_centres, features
from pushpull.attacks.float64 import in_float64
from pushpull.attacks.looped import UniversalNoise, load_noise
from pushpull.attacks.objectives import OBJECTIVES, objective_titles, register_objective
from pushpull.attacks.result import AttackResult, Cancelled, Step
from pushpull.attacks.square import Square
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
    "Ensemble",
    "FitOptions",
    "Noise",
    "Square",
    "Step",
    "Universal",
    "UniversalNoise",
    "as_stored",
    "attack_titles",
    "bounds",
    "class_centres",
    "features",
    "fit_universal",
    "in_float64",
    "load_noise",
    "objective_titles",
    "paper_budget",
    "register_attack",
    "register_objective",
    "summed",
]
