"""Shifts at their limits; the contract kit compares them site by site."""

import pytest
import torch

from pixkit.layers import Shift


@pytest.mark.parametrize(("down", "right"), [(5, 0), (-5, 1), (0, 9), (2, -9)])
def test_a_shift_by_more_than_the_image_leaves_zeros(down, right):
    assert not Shift(down, right)(torch.ones(1, 2, 3, 4)).any()
