"""The same attacks by torchattacks and foolbox, joint budgets included, through a change of variables.

Peers take one input with one budget. With z in [0, 1]^D and delta_m = (2 z_m - 1) eps_m the product of two l-infinity
balls is the unit box around z = 1/2: radius 1/2 there is the whole joint budget, and a signed step alpha in z is a step
of 2 alpha eps_m in every modality.
"""

import pytest
import torch
from torch import nn

from pushpull.attacks import BIM, FGSM, MIM, Budget

FRAMES, STEPS, STEP_SIZE = 5, 10, 0.15  # the step relative to eps; 10 of them leave the box and come back
SHAPES = {"audio": (40,), "video": (FRAMES, 6, 6)}
BUDGETS = {"audio": Budget(5e-4, -1, 1), "video": Budget(0.5, 0, 255)}
DIMENSIONS = sum(torch.Size(shape).numel() for shape in SHAPES.values())


class Network(nn.Module):
    """A curved two-input classifier in float64: per-frame logits (B, T, 2), gradients of both signs and many sizes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.audio = nn.Linear(40, 16)
        self.video = nn.Linear(FRAMES * 36, 16)
        self.head = nn.Linear(32, 2)

    def forward(self, inputs):
        a = torch.sin(400 * self.audio(inputs["audio"]))
        v = torch.tanh(self.video(inputs["video"].flatten(1) / 255) * 20)
        return self.head(torch.cat([a, v], -1))[:, None]


class UnitBox(nn.Module):
    """The network as a function of z: images (B, 1, 1, D) in [0, 1], logits (B, 2)."""

    def __init__(self, network, inputs, budgets):
        super().__init__()
        self.network, self.inputs, self.budgets = network, inputs, budgets

    def apply(self, z):
        z, moved, first = z.flatten(1), {}, 0
        for name, x in self.inputs.items():
            last = first + x[0].numel()
            moved[name] = x + (2 * z[:, first:last].reshape(x.shape) - 1) * self.budgets[name].eps
            first = last
        return moved

    def forward(self, z):
        return self.network(self.apply(z))[:, 0]


@pytest.fixture(scope="module")
def problem():
    generator = torch.Generator().manual_seed(4)
    network = Network().double().eval()
    inputs = {
        "audio": torch.rand(8, 40, generator=generator, dtype=torch.float64) - 0.5,
        "video": 20 + 200 * torch.rand(8, FRAMES, 6, 6, generator=generator, dtype=torch.float64),
    }
    with torch.no_grad():
        labels = network(inputs).argmax(-1)
    return network, inputs, labels


def largest_difference(ours, theirs, budgets):
    """In units of eps, over both modalities."""
    return max(
        ((ours[name] - theirs[name]).abs().max() / budgets[name].eps).item() for name in ours if budgets[name].eps
    )


def centre(size):
    return torch.full((size, 1, 1, DIMENSIONS), 0.5, dtype=torch.float64)


def run(attack, problem, budgets=BUDGETS):
    network, inputs, labels = problem
    return attack.run(network, inputs, labels, budgets=budgets, objective="inference_aware").adversarial


def test_bim_equals_torchattacks(problem):
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    network, inputs, labels = problem
    box = UnitBox(network, inputs, BUDGETS).eval()
    peer = torchattacks.PGD(box, eps=0.5, alpha=STEP_SIZE / 2, steps=STEPS, random_start=False)
    theirs = box.apply(peer(centre(8), labels[:, 0]))
    ours = run(BIM(steps=STEPS, step_size=STEP_SIZE, keep="last"), problem)
    difference = largest_difference(ours, theirs, BUDGETS)
    print(f"largest difference to torchattacks {difference:.3g} eps")
    assert difference <= 1e-6
    assert largest_difference(ours, inputs, BUDGETS) > 0.9


def test_bim_equals_foolbox(problem):
    foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed")
    network, inputs, labels = problem
    box = UnitBox(network, inputs, BUDGETS).eval()
    peer = foolbox.attacks.LinfBasicIterativeAttack(
        rel_stepsize=None, abs_stepsize=STEP_SIZE / 2, steps=STEPS, random_start=False
    )
    _, clipped, _ = peer(foolbox.PyTorchModel(box, bounds=(0, 1)), centre(8), labels[:, 0], epsilons=0.5)
    difference = largest_difference(
        run(BIM(steps=STEPS, step_size=STEP_SIZE, keep="last"), problem), box.apply(clipped), BUDGETS
    )
    print(f"largest difference to foolbox {difference:.3g} eps")
    assert difference <= 1e-6


def test_fgsm_equals_torchattacks(problem):
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    network, inputs, labels = problem
    box = UnitBox(network, inputs, BUDGETS).eval()
    theirs = box.apply(torchattacks.FGSM(box, eps=0.5)(centre(8), labels[:, 0]))
    assert largest_difference(run(FGSM(keep="last"), problem), theirs, BUDGETS) <= 1e-6


@pytest.mark.parametrize("name", SHAPES)
def test_mim_equals_torchattacks_on_one_modality(problem, name):
    """On one modality only: theirs normalises the joint gradient, ours each modality's own."""
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    network, inputs, labels = problem
    budgets = {key: budget if key == name else Budget(0, budget.lo, budget.hi) for key, budget in BUDGETS.items()}
    box = UnitBox(network, inputs, budgets).eval()
    peer = torchattacks.MIFGSM(box, eps=0.5, alpha=STEP_SIZE / 2, steps=STEPS, decay=1.0)
    # Their mean runs over all of z, where the frozen modality has gradient 0: a constant factor, so signs agree.
    theirs = box.apply(peer(centre(8), labels[:, 0]))
    ours = run(MIM(steps=STEPS, step_size=STEP_SIZE, keep="last"), problem, budgets)
    assert largest_difference(ours, theirs, budgets) <= 1e-6
