"""The same attacks by torchattacks and foolbox, joint budgets included, through a change of variables.

Peers take one input with one budget. With z in [0, 1]^D and delta_m = (2 z_m - 1) eps_m the product of two l-infinity
balls is the unit box around z = 1/2: radius 1/2 there is the whole joint budget, and a signed step alpha in z is a step
of 2 alpha eps_m in every modality.
"""

from pathlib import Path

import pytest
import torch
from torch import nn

from pushpull.attacks import APGD, BIM, FGSM, MIM, PGD, Budget, paper_budget
from pushpull.detectors import attackable, load_model
from pushpull.faces import read_clips

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


CROWD, APGD_STEPS, APGD_RESTARTS = 64, 40, 3


def of_torchattacks(box, labels):
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    peer = torchattacks.APGD(box, eps=0.5, steps=APGD_STEPS, n_restarts=APGD_RESTARTS)
    return peer.perturb(centre(len(labels)).float(), labels, best_loss=True)[1]


def of_pyautoattack(box, labels):
    autopgd = pytest.importorskip("pyautoattack.autopgd_base", reason="pyautoattack is not installed")
    peer = autopgd.APGDAttack(box, n_iter=APGD_STEPS, eps=0.5, n_restarts=APGD_RESTARTS, device="cpu")
    return peer.perturb(centre(len(labels)).float(), labels, best_loss=True)


@pytest.mark.parametrize("peer", [of_torchattacks, of_pyautoattack])
def test_apgd_is_as_strong_as_theirs(peer):
    """Starts are random, so it is the mean over many clips that is compared, and the share that is lost to each."""
    generator = torch.Generator().manual_seed(7)
    network = Network().eval()
    inputs = {
        "audio": torch.rand(CROWD, 40, generator=generator) - 0.5,
        "video": 20 + 200 * torch.rand(CROWD, FRAMES, 6, 6, generator=generator),
    }
    with torch.no_grad():
        labels = network(inputs).argmax(-1)
    box = UnitBox(network, inputs, BUDGETS).eval()
    theirs = peer(box, labels[:, 0])
    ours = APGD(steps=APGD_STEPS, restarts=APGD_RESTARTS).run(
        network, inputs, labels, budgets=BUDGETS, objective="inference_aware", max_rows=CROWD * APGD_RESTARTS
    )
    with torch.no_grad():
        said = {"ours": network(ours.adversarial)[:, 0], "theirs": box(theirs)}
    loss = {name: nn.functional.cross_entropy(logits, labels[:, 0]).item() for name, logits in said.items()}
    lost = {name: (logits.argmax(-1) != labels[:, 0]).float().mean().item() for name, logits in said.items()}
    print(f"loss {loss['ours']:.4f} and {loss['theirs']:.4f}, share lost {lost['ours']:.3f} and {lost['theirs']:.3f}")
    gain = loss["theirs"] - ours.clean_loss.mean().item()
    assert gain > 0.1 and loss["ours"] >= loss["theirs"] - 0.01 * gain
    assert lost["ours"] >= lost["theirs"] - 0.005


ASSETS = Path(__file__).parents[2] / "assets"
CLIPS = ["1-speaking-indoors", "3-speaking-garden", "5-listening"]
SPAN, VISUAL = 15, 10  # frames; steps


class Frames(nn.Module):
    """A detector as a function of z, pictures (1, T, 112, 112) in [0, 1]: what its frames say, (1, 2, T)."""

    def __init__(self, model, inputs, eps):
        super().__init__()
        self.model, self.inputs, self.eps = model, inputs, eps

    def apply(self, z):
        return self.inputs["video"] + (2 * z - 1) * self.eps

    def forward(self, z):
        return self.model({"audio": self.inputs["audio"], "video": self.apply(z)}).logits_av.transpose(1, 2)


class OneDecision(nn.Module):
    """Two logits whose cross entropy is the mean of that over the frames, for peers that know one label a picture."""

    def __init__(self, frames, labels):
        super().__init__()
        self.frames, self.labels = frames, labels

    def forward(self, z):
        loss = nn.functional.cross_entropy(self.frames(z), self.labels)
        return torch.stack([torch.zeros_like(loss), loss + torch.log(-torch.expm1(-loss))])[None]


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_visual_attacks_on_a_checkpoint_are_no_weaker_than_theirs(name):
    """The same checkpoint, clip, budget and steps; in points of frames that are lost, and in the loss."""
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed")
    model = attackable(load_model("lite", "cpu"))
    inputs = read_clips(ASSETS / f"{name}.mp4")[0].span(20, 20 + SPAN).inputs()
    with torch.no_grad():
        labels = (model(inputs).margin > 0).long()
    eps = paper_budget(10)["video"].eps
    # So far from both ends of the grey levels that the box of z is the whole budget.
    inputs["video"] = inputs["video"].clamp(eps, 255 - eps)
    frames, start = Frames(model, inputs, eps).eval(), torch.full_like(inputs["video"], 0.5)
    decision, zero = OneDecision(frames, labels).eval(), torch.zeros(1, dtype=torch.int64)

    def of_foolbox(attack):
        return attack(foolbox.PyTorchModel(decision, bounds=(0, 1)), start, zero, epsilons=0.5)[1]

    plain = {"rel_stepsize": None, "abs_stepsize": STEP_SIZE / 2, "steps": VISUAL}
    theirs = {
        "torchattacks BIM": torchattacks.PGD(frames, 0.5, STEP_SIZE / 2, VISUAL, random_start=False)(start, labels),
        "foolbox BIM": of_foolbox(foolbox.attacks.LinfBasicIterativeAttack(**plain, random_start=False)),
        "foolbox PGD": of_foolbox(foolbox.attacks.LinfPGD(**plain)),
        "torchattacks APGD": torchattacks.APGD(decision, eps=0.5, steps=VISUAL).perturb(start, zero, best_loss=True)[1],
    }
    theirs = {name: frames.apply(z) for name, z in theirs.items()}
    options = {"budgets": paper_budget(10, "video"), "objective": "inference_aware"}
    attacks = {
        "BIM": BIM(steps=VISUAL, step_size=STEP_SIZE),
        "PGD": PGD(steps=VISUAL, step_size=STEP_SIZE, restarts=1),
        "APGD": APGD(steps=VISUAL),
    }
    ours = {name: attack.run(model, inputs, labels, **options).adversarial["video"] for name, attack in attacks.items()}

    def score(video):
        with torch.no_grad():
            logits = model({"audio": inputs["audio"], "video": video}).logits_av
        lost = 100 * (logits.argmax(-1) != labels).float().mean().item()
        return nn.functional.cross_entropy(logits.transpose(1, 2), labels).item(), lost

    scores = {name: score(video) for name, video in (theirs | ours).items()}
    print(name, {name: f"loss {loss:.3f}, lost {lost:.1f} %" for name, (loss, lost) in scores.items()})
    for kind in attacks:
        for peer in (name for name in theirs if name.endswith(f" {kind}")):
            assert scores[kind][0] >= scores[peer][0] - 0.02 * abs(scores[peer][0]), (kind, peer)
            assert max(scores[name][1] for name in attacks) >= scores[peer][1] - 0.5, (kind, peer)
