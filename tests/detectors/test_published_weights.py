"""The four published files say here what they say in their authors' code."""

import pytest
import torch
from asd_support import NAMES, largest, made_30, reference, weights_file

from pushpull.attacks import BIM, paper_budget
from pushpull.detectors import PUBLISHED, card_of, list_detectors, load_detector, save_detector
from pushpull.files import sha256


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_authors_network(name):
    detector = load_detector(weights_file(name), "cpu", "own")
    with torch.no_grad():
        for network in (detector, detector.fast()):
            assert (network(made_30()).margin[0] - reference(name)).abs().max() <= 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_has_the_card_of_its_publication(name, tmp_path):
    path = weights_file(name)
    copied = tmp_path / "renamed.model"
    copied.symlink_to(path)
    card = card_of(load_detector(copied, "cpu"))
    assert (card.name, card.architecture) == (name, name.rpartition("-")[0])
    assert card.crop == ("face_box" if name.endswith("ava") else "talknet_demo")
    assert card.sha256 == card.source_sha256 == sha256(path) == PUBLISHED[name].sha256
    assert path.stat().st_size == PUBLISHED[name].size and "MIT" in card.licence


def test_is_found_by_name_and_converted_without_loss(monkeypatch, tmp_path):
    path = weights_file("lr-asd-ava")
    monkeypatch.setenv("PUSHPULL_DETECTORS", str(path.parent))
    detector = load_detector("lr-asd-ava", "cpu", "own")
    again = load_detector(save_detector(tmp_path / "mine", detector), "cpu", "own")
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in detector.state_dict().items())
    assert again.card["name"] == "mine" and again.card["trained_on"] == detector.card["trained_on"]
    with torch.no_grad():
        assert largest(detector(made_30()), again(made_30())) == 0


def test_is_listed_with_the_facts_of_its_publication(monkeypatch):
    path = weights_file("lr-asd-ava")
    monkeypatch.setenv("PUSHPULL_DETECTORS", str(path.parent))
    card = next(card for card in list_detectors() if card["name"] == "lr-asd-ava")
    assert card["where"] == str(path) and card["crop"] == "face_box"


@pytest.mark.parametrize("name", ["light-asd-ava", "lr-asd-ava"])
def test_is_moved_by_an_attack(name):
    """Three steps of our loop on the attack copy raise the loss that inference uses."""
    detector = load_detector(weights_file(name), "cpu").fast()
    inputs = {key: value[:, : (640 * 10 if key == "audio" else 10)] for key, value in made_30().items()}
    with torch.no_grad():
        clean = detector(inputs).margin
    labels = (clean > 0).long()
    result = BIM(steps=3).run(detector, inputs, labels, budgets=paper_budget(5.0), objective="inference_aware")
    with torch.no_grad():
        moved = detector(result.adversarial).margin
    assert ((moved - clean) * (1 - 2 * labels)).mean() > 0.1
