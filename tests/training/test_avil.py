"""The four interaction losses: hand-worked values, gradients, and batches that lack a class."""

import math

import pytest
import torch

from pushpull.training.avil import NAMES, embedding_norms, interaction_losses

# Two speaking frames and one silent one, in the plane, so that every number can be worked out by hand.
E_A = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
E_V = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
LABELS = torch.tensor([1, 1, 0])
HALF = math.sqrt(0.5)
# Centres: audio (.5, .5) and (-1, 0), video (2, 0) and (0, 3).
WORKED = {
    "L1": -HALF + 0.0,
    "L2": -((HALF + HALF) / 2 + 1.0) - (1.0 + 1.0),
    "L3": -(HALF + 0.0),
    "L4": (1.0 + math.sqrt(5)) / 2 + math.sqrt(10),
}


def test_hand_worked_values():
    found = interaction_losses(E_A, E_V, LABELS)
    assert list(found) == list(NAMES)
    assert {name: value.item() for name, value in found.items()} == pytest.approx(WORKED, abs=1e-6)


def test_frames_of_all_clips_share_their_centres():
    e_a, e_v, labels = torch.randn(3, 4, 8), torch.randn(3, 4, 8), torch.randint(0, 2, (3, 4))
    one, two = interaction_losses(e_a, e_v, labels), interaction_losses(*(x.flatten(0, 1) for x in (e_a, e_v, labels)))
    assert all(torch.equal(one[name], two[name]) for name in NAMES)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        # One class alone: L1 has nothing to compare, the others are that class's terms.
        ([1, 1, 1], {"L1": 0.0}),
        ([0, 0, 0], {"L1": 0.0}),
    ],
)
def test_a_missing_class_is_skipped(labels, expected):
    e_a, e_v = E_A.clone().requires_grad_(), E_V.clone().requires_grad_()
    found = interaction_losses(e_a, e_v, torch.tensor(labels))
    assert found["L1"].item() == expected["L1"]
    distances = (E_A - E_V).norm(dim=1)
    assert found["L4"].item() == pytest.approx(distances.mean().item(), abs=1e-6)
    sum(found.values()).backward()
    assert torch.isfinite(e_a.grad).all() and torch.isfinite(e_v.grad).all()


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    e_a, e_v = (torch.randn(7, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    for name in NAMES:
        assert torch.autograd.gradcheck(lambda a, v, name=name: interaction_losses(a, v, labels)[name], (e_a, e_v))


@pytest.mark.parametrize("e", [torch.zeros(3, 2), torch.full((3, 2), 1e-20)], ids=["zero", "tiny"])
def test_embeddings_of_no_length_give_no_nan(e):
    e_a, e_v = e.clone().requires_grad_(), e.clone().requires_grad_()
    found = interaction_losses(e_a, e_v, LABELS)
    sum(found.values()).backward()
    assert all(torch.isfinite(value) for value in found.values())
    assert torch.isfinite(e_a.grad).all() and torch.isfinite(e_v.grad).all()


def test_minimising_does_what_the_paper_says():
    """L1 parts the classes' centres, L2 gathers each, L3 aligns the modalities' centres, L4 joins the pairs."""
    for name in NAMES:
        torch.manual_seed(1)
        e_a, e_v = (torch.randn(20, 6, requires_grad=True) for _ in range(2))
        labels = torch.arange(20) % 2
        before = interaction_losses(e_a, e_v, labels)[name].item()
        optimizer = torch.optim.Adam([e_a, e_v], lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            interaction_losses(e_a, e_v, labels)[name].backward()
            optimizer.step()
        after = interaction_losses(e_a, e_v, labels)[name].item()
        least = {"L1": -2, "L2": -4, "L3": -2, "L4": 0}[name]
        assert after - least < 0.1 * (before - least), name


def test_half_precision_is_summed_in_single():
    found = interaction_losses(E_A.bfloat16(), E_V.bfloat16(), LABELS)
    assert {name: value.dtype for name, value in found.items()} == dict.fromkeys(NAMES, torch.float32)


def test_norms_are_means_over_frames():
    found = {name: value.item() for name, value in embedding_norms(E_A, E_V).items()}
    assert found == pytest.approx({"norm_a": 1.0, "norm_v": 7 / 3})


@pytest.mark.parametrize(
    ("e_a", "e_v", "labels"), [(E_A, E_V[:2], LABELS), (E_A, E_V, LABELS[:2]), (E_A, E_V, LABELS[None])]
)
def test_shapes_that_do_not_fit_are_refused(e_a, e_v, labels):
    with pytest.raises(ValueError, match="alike"):
        interaction_losses(e_a, e_v, labels)
