"""Shifts at their limits, and what shifted convolutions begin with; the contract kit compares them site by site."""

import pytest
import torch

from pixkit.layers import Shift
from pixkit.layers.shifted import ShiftedConv2d, ShiftedConvTranspose2d


@pytest.mark.parametrize(("down", "right"), [(5, 0), (-5, 1), (0, 9), (2, -9)])
def test_a_shift_by_more_than_the_image_leaves_zeros(down, right):
    assert not Shift(down, right)(torch.ones(1, 2, 3, 4)).any()


@pytest.mark.parametrize(("layer", "read"), [
    (ShiftedConv2d(24, 40, (-2, -1), (-1, 1)), 24 * 6),
    (ShiftedConv2d(24, 40, (-2, -1), (-1, 1), stride=2), 24 * 6),
    (ShiftedConvTranspose2d(24, 40, (-1, 0), (0, 3), (4, 4)), 24 * 8 / 4),
    (ShiftedConvTranspose2d(24, 40, (-1, 1), (-1, 1), (4, 4), stride=1), 24 * 9),
], ids=["plain", "halving", "doubling", "transposed"])  # fmt: skip
def test_weights_begin_within_the_bound_of_as_many_inputs_as_an_output_reads(layer, read):
    """As torch's own do; of a transposed convolution that many in the mean."""
    bound = read**-0.5
    for parameter, least in ((layer.weight.detach(), 0.9), (layer.bias.detach(), 0.5)):
        assert least * bound < float(parameter.abs().max()) <= bound * (1 + 1e-6) and parameter.min() < 0
