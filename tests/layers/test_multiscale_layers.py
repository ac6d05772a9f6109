"""Decimation and mosaics: what they read, and that nothing is averaged."""

import itertools

import pytest
import torch

from pixkit.layers import Decimate, Lattice, Mosaic
from pixkit.testing import check_layer

GRIDS = [(1, 1), (2, 2), (4, 3), (5, 6), (1, 7)]


def lattices(stride):
    half = stride // 2
    return [Lattice(row, column, stride) for row in (0, half) for column in (0, half)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("groups", [1, 3])
def test_decimation_keeps_its_contract(grid, groups):
    for stride, count in itertools.product((2, 4), (1, 3)):
        check_layer(Decimate(lattices(stride)[:count]), [(6, *grid)], groups=groups)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("groups", [1, 3])
def test_a_mosaic_keeps_its_contract(grid, groups):
    parts = [Lattice(0, 0, 4), *lattices(4)[1:], *lattices(2)[1:]]
    blocks = [(-(-grid[0] // part.stride), -(-grid[1] // part.stride)) for part in parts]
    check_layer(Mosaic(parts, grid), [(6, *block) for block in blocks], groups=groups)


def test_decimation_keeps_sites_as_they_are_and_in_order():
    x = torch.arange(2 * 5 * 6).view(1, 2, 5, 6)
    assert torch.equal(Decimate([Lattice(0, 0, 2)])(x), x[:, :, ::2, ::2])
    stacked = Decimate([Lattice(0, 0, 2), Lattice(1, 1, 2)])(x)
    assert torch.equal(stacked[:, :2], x[:, :, ::2, ::2])
    assert torch.equal(stacked[:, 2:, :2], x[:, :, 1::2, 1::2])
    assert not stacked[:, 2:, 2].any(), "the last row of blocks has no second row"


def test_a_mosaic_of_all_decimations_is_the_image():
    x = torch.randn(3, 2, 5, 6)
    parts = lattices(2)
    assert torch.equal(Mosaic(parts, (5, 6))(*(Decimate([part])(x) for part in parts)), x)
