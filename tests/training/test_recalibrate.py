"""Running statistics estimated anew."""

import pytest
import torch
from torch import nn

from pushpull.training.recalibrate import recalibrate


class Net(nn.Module):
    """A normalisation of one feature, with dropout before it."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(1, momentum=0.01)

    def forward(self, inputs):
        return self.norm(self.drop(inputs["x"]))


BATCHES = [torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [11.0]])]


def test_statistics_become_the_plain_average_over_the_batches():
    net = Net()
    recalibrate(net, ({"x": x} for x in BATCHES))
    assert net.norm.running_mean.item() == pytest.approx((2 + 8) / 2)
    assert net.norm.running_var.item() == pytest.approx((2 + 18) / 2)  # unbiased, as torch keeps them


def test_all_else_is_left_as_it_was():
    net = Net()
    net.drop.eval()
    weights = {name: value.clone() for name, value in net.named_parameters()}
    recalibrate(net, ({"x": x} for x in BATCHES))
    assert net.norm.momentum == 0.01 and net.training and net.norm.training and not net.drop.training
    assert all((value == weights[name]).all() for name, value in net.named_parameters())
    assert all(value.grad is None for value in net.parameters())


def test_without_a_batch_nothing_is_lost():
    net = Net()
    net.norm.running_mean.fill_(7)
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate(net, [])
    assert net.norm.running_mean.item() == 7


def test_an_error_on_the_way_restores_modes_and_momenta():
    net = Net()

    def broken():
        yield {"x": BATCHES[0]}
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        recalibrate(net, broken())
    assert net.norm.momentum == 0.01 and net.norm.training
