"""Torch's recurrences over a sequence of sites."""

import pytest
import torch
from torch import nn

from pixkit.layers.sequence import GATES, SequenceRecurrence
from pixkit.testing import check_layer


@pytest.mark.parametrize("cell", GATES)
def test_a_recurrence_says_what_it_reads(cell):
    weight, start = torch.randn(2 * GATES[cell], 2), (torch.rand(2), torch.rand(2))
    layer = SequenceRecurrence(cell, weight, torch.zeros(len(weight)), start)
    check_layer(layer, [(len(weight), 1, 4)], tight=False)
    check_layer(layer, [(len(weight), 2, 3)], groups=2, tight=False)
    rows = torch.randn(2, len(weight), 2, 3)
    assert torch.allclose(layer(rows), torch.cat([layer(rows[:, :, row : row + 1]) for row in range(2)], 2), atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "make"),
    [
        ("gru", nn.GRU),
        ("lstm", nn.LSTM),
        ("tanh", nn.RNN),
        ("relu", lambda *sizes, **keys: nn.RNN(*sizes, nonlinearity="relu", **keys)),
    ],
)
def test_a_recurrence_is_torchs(cell, make):
    theirs = make(3, 2, batch_first=True).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    start = torch.randn(2, 2, generator=generator, dtype=torch.float64)
    own = SequenceRecurrence(cell, theirs.weight_hh_l0.detach(), theirs.bias_hh_l0.detach(), (start[0], start[1]))
    gates = nn.functional.linear(x, theirs.weight_ih_l0, theirs.bias_ih_l0).transpose(1, 2)[:, :, None]
    states = tuple(one.expand(1, 2, 2).contiguous() for one in start)
    expected, _ = theirs(x, states if cell == "lstm" else states[0])
    assert torch.allclose(own(gates)[:, :, 0].transpose(1, 2), expected, rtol=0, atol=1e-12)
