"""Outputs, cards and the registry."""

import pytest
import torch

from pushpull.detectors import (
    Card,
    LightASD,
    Outputs,
    TalkNet,
    TalkNetConfig,
    card_of,
    get_architecture,
    list_architectures,
    register_detector,
)
from pushpull.detectors import Outputs as TalkNetOutputs
from pushpull.detectors.registry import architecture_of


def some(frames=3, scale=1.0):
    return Outputs(scale * torch.tensor([[[0.0, 1.0]] * frames]), e_v=torch.ones(1, frames, 4))


def test_outputs_can_stand_in_for_talknets():
    assert Outputs._fields == TalkNetOutputs._fields
    values = [torch.randn(2, 3, 2) for _ in Outputs._fields]
    ours, theirs = Outputs(*values), TalkNetOutputs(*values)
    assert torch.equal(ours.margin, theirs.margin) and torch.equal(ours.probability, theirs.probability)


def test_outputs_pass_over_what_is_missing():
    doubled = some().map(lambda value: 2 * value)
    assert doubled.margin.tolist() == [[2, 2, 2]] and doubled.e_a is None
    assert some().to(torch.float64).e_v.dtype == torch.float64 and some().cpu().z_a is None
    leaf = Outputs(torch.zeros(1, 1, 2, requires_grad=True))
    assert not leaf.detach().logits_av.requires_grad


def test_outputs_are_put_together():
    clips, frames = Outputs.cat([some(), some(scale=2)]), Outputs.cat([some(2), some(3)], dim=1)
    assert clips.margin.tolist() == [[1] * 3, [2] * 3] and clips.e_v.shape == (2, 3, 4) and clips.z_v is None
    assert frames.margin.shape == (1, 5)
    with pytest.raises(ValueError, match="e_v is missing in 1 of 2"):
        Outputs.cat([some(), some()._replace(e_v=None)])
    with pytest.raises(ValueError, match="nothing"):
        Outputs.cat([])


def test_a_card_there_and_back():
    card = Card(name="a", architecture="lr-asd", threshold=-0.5, licence="MIT")
    assert Card.from_dict(card.to_dict() | {"anything": 1}) == card
    assert "source" not in card.to_dict()
    assert card_of(object()) == card_of(TalkNet(TalkNetConfig(size="lite"))) == Card()


@pytest.mark.parametrize("wrong", [{"crop": "chin"}, {"threshold": float("inf")}, {"threshold": "0"}])
def test_a_card_states_possible_facts(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Card(**wrong)


def test_the_registry():
    assert list_architectures() == ["light-asd", "lr-asd", "talknet"]
    assert get_architecture("light-asd") is LightASD and architecture_of(LightASD()) == "light-asd"
    with pytest.raises(ValueError, match="'asd'; there are: light-asd, lr-asd, talknet"):
        get_architecture("asd")
    with pytest.raises(ValueError, match="registered already"):
        register_detector("lr-asd")(LightASD)
    with pytest.raises(TypeError, match="recognises and from_state"):
        register_detector("new")(object)
    assert "new" not in list_architectures()
