"""The prior that scores assume."""

import math

import pytest
import torch

from pushpull.detectors import TalkNet, TalkNetConfig
from pushpull.training.prior import assume_prior, log_odds


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TalkNet(TalkNetConfig.named("talknet", "lite")).eval()


INPUTS = {"audio": torch.linspace(-0.5, 0.5, 6400)[None], "video": torch.full((1, 10, 112, 112), 90.0)}


def margins(model):
    with torch.no_grad():
        outputs = model(INPUTS)
    return {name: getattr(outputs, name).diff(dim=-1) for name in ("logits_av", "logits_a", "logits_v")}


@pytest.mark.parametrize(
    ("trained", "assumed", "moved"), [(0.25, 0.5, math.log(3)), (0.5, 0.2, -math.log(4)), (0.3, 0.3, 0.0)]
)
def test_all_three_log_odds_move_by_the_difference_of_the_priors(network, trained, assumed, moved):
    before = margins(network)
    assume_prior(network, trained, assumed)
    for name, value in margins(network).items():
        assert torch.allclose(value - before[name], torch.full_like(value, moved), atol=1e-5), name


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0])
def test_a_prior_that_leaves_no_doubt_is_refused(network, share):
    weights = [value.clone() for value in network.parameters()]
    for trained, assumed in ((share, 0.5), (0.5, share)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            assume_prior(network, trained, assumed)
    assert all(torch.equal(old, new) for old, new in zip(weights, network.parameters(), strict=True))


def test_evidence_and_prior_add_up_to_the_posterior():
    # Frames of which a quarter speak and whose only evidence is a number, twice as often 1 where they do.
    evidence = math.log(2)
    posterior = 0.25 * 2 / (0.25 * 2 + 0.75)
    assert log_odds(posterior) == pytest.approx(log_odds(0.25) + evidence)
