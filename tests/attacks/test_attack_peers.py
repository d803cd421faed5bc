"""The same attacks by torchattacks and foolbox, joint budgets included, through a change of variables.

Peers take one input with one budget. With z in [0, 1]^D and delta_m = (2 z_m - 1) eps_m the product of two l-infinity
balls is the unit box around z = 1/2: radius 1/2 there is the whole joint budget, and a signed step alpha in z is a step
of 2 alpha eps_m in every modality.
"""

from pathlib import Path

import pytest
import torch
from torch import nn

from pushpull.attacks import APGD, BIM, FGSM, MIM, Budget, paper_budget
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


CROWD = 64


class Folded(Network):
    """Curved enough that iterates turn back, so that steps are halved at other points in each clip."""

    def __init__(self):
        super().__init__()
        self.middle, self.head = nn.Linear(32, 32), nn.Linear(32, 2)

    def forward(self, inputs):
        a = torch.sin(800 * self.audio(inputs["audio"]))
        v = torch.tanh(self.video(inputs["video"].flatten(1) / 255) * 40)
        return 3 * self.head(torch.sin(4 * self.middle(torch.cat([a, v], -1))))[:, None]


@pytest.fixture(scope="module")
def crowd():
    generator = torch.Generator().manual_seed(7)
    network = Folded().eval()  # float32: pyautoattack knows no other
    inputs = {
        "audio": torch.rand(CROWD, 40, generator=generator) - 0.5,
        "video": 20 + 200 * torch.rand(CROWD, FRAMES, 6, 6, generator=generator),
    }
    with torch.no_grad():
        labels = network(inputs).argmax(-1)
    return network, inputs, labels, UnitBox(network, inputs, BUDGETS).eval()


def run_apgd(problem, steps, **options):
    network, inputs, labels, _ = problem
    options |= {"budgets": BUDGETS, "objective": "inference_aware", "max_rows": 4 * CROWD}
    return APGD(steps=steps, restarts=options.pop("restarts", 1)).run(network, inputs, labels, **options)


def losses(box, z, labels):
    with torch.no_grad():
        return nn.functional.cross_entropy(box(z), labels, reduction="none")


@pytest.mark.parametrize("steps, alike", [(5, 0.95), (50, 0.9)])
def test_apgd_from_the_same_start_finds_what_pyautoattack_finds(crowd, steps, alike):
    """Checkpoints are rounded otherwise there, so that few clips end elsewhere; neither is the stronger one."""
    autopgd = pytest.importorskip("pyautoattack.autopgd_base", reason="pyautoattack is not installed")
    _, _, labels, box = crowd
    start = torch.rand(CROWD, 1, 1, DIMENSIONS, generator=torch.Generator().manual_seed(3))
    peer = autopgd.APGDAttack(box, n_iter=steps, eps=0.5, device="cpu")
    peer.init_hyperparam(start)
    theirs = losses(box, peer.attack_single_run(centre(CROWD).float(), labels[:, 0], x_init=start)[0], labels[:, 0])
    ours = run_apgd(crowd, steps, initial=box.apply(start))
    print(f"mean loss {ours.loss.mean():.4f}, pyautoattack {theirs.mean():.4f}, clean {ours.clean_loss.mean():.4f}")
    assert ((ours.loss - theirs).abs() < 1e-3).float().mean() >= alike
    assert ours.loss.mean() >= theirs.mean() - 0.005 * (theirs - ours.clean_loss).mean()


def test_apgd_is_as_strong_as_that_of_torchattacks(crowd):
    """Their starts are random, so means over many clips are compared, and the share of clips that is lost."""
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    _, _, labels, box = crowd
    peer = torchattacks.APGD(box, eps=0.5, steps=40, n_restarts=3)
    z = peer.perturb(centre(CROWD).float(), labels[:, 0], best_loss=True)[1]
    theirs, ours = losses(box, z, labels[:, 0]), run_apgd(crowd, 40, restarts=3)
    print(f"mean loss {ours.loss.mean():.4f}, torchattacks {theirs.mean():.4f}, clean {ours.clean_loss.mean():.4f}")
    assert ours.loss.mean() >= theirs.mean() - 0.005 * (theirs - ours.clean_loss).mean()
    assert ours.flipped_ever.float().mean() >= (theirs > torch.log(torch.tensor(2.0))).float().mean() - 0.005


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
def test_visual_attacks_on_a_checkpoint_are_no_weaker_than_theirs():
    """The same checkpoint, clips, budget and steps; in points of frames that are lost, and in the loss."""
    scores = [attack_both(name) for name in CLIPS]
    means = {
        who: [sum(values) / len(CLIPS) for values in zip(*(s[who] for s in scores), strict=True)] for who in scores[0]
    }
    print({who: f"loss {loss:.3f}, lost {lost:.1f} %" for who, (loss, lost) in means.items()})
    for peer in means:
        if " " in peer:
            kind = peer.split()[1]
            assert means[kind][0] >= means[peer][0] - 0.02 * abs(means[peer][0]), peer
            assert means[kind][1] >= means[peer][1] - 0.5, peer


def attack_both(name):
    """Mean cross entropy and percentage of frames lost, of their attacks ("peer KIND") and of ours ("KIND")."""
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed")
    model = attackable(load_model("lite", "cpu"))
    inputs = read_clips(ASSETS / f"{name}.mp4")[0].span(20, 20 + SPAN).inputs()
    with torch.no_grad():
        labels = (model(inputs).margin > 0).long()
    eps = paper_budget(20)["video"].eps
    # So far from both ends of the grey levels that the box of z is the whole budget.
    inputs["video"] = inputs["video"].clamp(eps, 255 - eps)
    frames, start = Frames(model, inputs, eps).eval(), torch.full_like(inputs["video"], 0.5)
    decision, zero = OneDecision(frames, labels).eval(), torch.zeros(1, dtype=torch.int64)

    plain = {"rel_stepsize": None, "abs_stepsize": STEP_SIZE / 2, "steps": VISUAL, "random_start": False}
    basic = foolbox.attacks.LinfBasicIterativeAttack(**plain)
    theirs = {
        "torchattacks BIM": torchattacks.PGD(frames, 0.5, STEP_SIZE / 2, VISUAL, random_start=False)(start, labels),
        "foolbox BIM": basic(foolbox.PyTorchModel(decision, bounds=(0, 1)), start, zero, epsilons=0.5)[1],
    }
    options = {"budgets": paper_budget(20, "video"), "objective": "inference_aware"}
    found = {"BIM": BIM(steps=VISUAL, step_size=STEP_SIZE).run(model, inputs, labels, **options)}
    if autopgd := _pyautoattack():
        peer = autopgd.APGDAttack(decision, n_iter=VISUAL, eps=0.5, device="cpu")
        peer.init_hyperparam(start)
        away = torch.rand(start.shape, generator=torch.Generator().manual_seed(1))
        theirs["pyautoattack APGD"] = peer.attack_single_run(start, zero, x_init=away)[0]
        initial = {"video": frames.apply(away)}
        found["APGD"] = APGD(steps=VISUAL).run(model, inputs, labels, initial=initial, **options)
    theirs = {name: frames.apply(z) for name, z in theirs.items()}
    ours = {name: result.adversarial["video"] for name, result in found.items()}

    def score(video):
        with torch.no_grad():
            logits = model({"audio": inputs["audio"], "video": video}).logits_av
        lost = 100 * (logits.argmax(-1) != labels).float().mean().item()
        return nn.functional.cross_entropy(logits.transpose(1, 2), labels).item(), lost

    scores = {name: score(video) for name, video in (theirs | ours).items()}
    print(name, {who: f"loss {loss:.3f}, lost {lost:.1f} %" for who, (loss, lost) in scores.items()})
    return scores


def _pyautoattack():
    try:
        from pyautoattack import autopgd_base
    except ImportError:
        return None
    return autopgd_base
