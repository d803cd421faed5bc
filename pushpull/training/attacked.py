"""Adversarial training on attacks made of every batch as it comes, against the network as it then is.

A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks",
ICLR 2018.
"""

import copy

import numpy as np

from pushpull.attacks import paper_budget
from pushpull.detectors import attack_copy
from pushpull.training.adversarial import own_objective
from pushpull.training.examples import Examples
from pushpull.training.networks import Network
from pushpull.training.options import TrainOptions
from pushpull.training.recalibrate import recalibrate


def attacked(examples: Examples, network: Network, options: TrainOptions, index: int) -> Examples:
    """A batch's examples, each made adversarial within the budget.

    The attack sees the network in evaluation mode, without dropout, normalised by the statistics of this very batch:
    its running averages lag behind the weights.

    Args:
        index: number of the batch; it seeds the random starts, and decides the budget where that rises.
    """
    victim = copy.deepcopy(network)
    recalibrate(victim, [examples.inputs])
    injection = options.injection
    eps_av = injection.budget_at(index // options.accumulate, options.warmup_steps, options.steps)
    found = injection.attack(options.adversarial).run(
        attack_copy(victim),
        examples.inputs,
        examples.labels,
        budgets=paper_budget(eps_av),
        objective=own_objective(network, options.visual_weight),
        seed=int(np.random.SeedSequence([options.seed, index, 3]).generate_state(1)[0]),
        autocast=options.autocast(examples.labels.device),
    )
    return examples.replaced_by(found.adversarial["audio"], found.adversarial["video"])
