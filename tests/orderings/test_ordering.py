"""Orderings: partitions into steps, the eight symmetries, colours, and what is refused."""

import itertools
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.orderings.base import Colours, Ordering
from pixkit.orderings.scans import ORDERINGS
from pixkit.testing import component, named

FLIPS = list(itertools.product([False, True], repeat=3))
SIZES = [(1, 1), (1, 6), (6, 1), (2, 3), (4, 4), (5, 3), (7, 10)]


def build(name, height, width, channels=1, colours="sequential", **config):
    return named("ordering", name, **config).build(ImageSpec(channels, height, width, 2), colours)


def turned(name, height, width, flips, **config):
    transpose, horizontal, vertical = flips
    return build(name, height, width, transpose=transpose, flip_horizontal=horizontal, flip_vertical=vertical, **config)


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("colours", get_args(Colours))
def test_every_subpixel_has_one_step_and_every_step_a_subpixel(name, size, colours):
    ordering = build(name, *size, channels=3, colours=colours)
    assert ordering.steps.dtype == torch.int64
    assert tuple(ordering.steps.shape) == (3, *size)
    assert ordering.steps.unique().tolist() == list(range(ordering.count))


@pytest.mark.parametrize("name", ORDERINGS)
@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12), flips=st.sampled_from(FLIPS))
def test_partition_holds_for_any_size_and_symmetry(name, height, width, flips):
    ordering = turned(name, height, width, flips)
    assert ordering.steps.unique().tolist() == list(range(ordering.count))
    at = [torch.stack(ordering.sites_at(step), 1).tolist() for step in range(ordering.count)]
    sites = [tuple(site) for sites in at for site in sites]
    assert sorted(sites) == list(itertools.product(range(height), range(width)))


@pytest.mark.parametrize("flips", FLIPS, ids=str)
def test_a_symmetry_is_transpose_then_the_flips(flips):
    transpose, horizontal, vertical = flips
    for row, column in itertools.product(range(3), range(5)):
        r = 2 - row if vertical else row
        c = 4 - column if horizontal else column
        plain = c * 3 + r if transpose else r * 5 + c
        assert int(turned("raster", 3, 5, flips).steps[0, row, column]) == plain


def test_the_symmetries_are_the_dihedral_group_of_eight():
    """On a square the eight step tensors differ and are closed under quarter turns and mirroring."""
    all_steps = [turned("raster", 4, 4, flips).steps[0] for flips in FLIPS]
    orbit = {tuple(steps.flatten().tolist()) for steps in all_steps}
    assert len(orbit) == 8
    for steps in all_steps:
        assert tuple(steps.rot90().flatten().tolist()) in orbit
        assert tuple(steps.flip(0).flatten().tolist()) in orbit
        assert tuple(steps.T.flatten().tolist()) in orbit


@pytest.mark.parametrize("name", ORDERINGS)
def test_every_ordering_takes_every_symmetry(name):
    for flips in FLIPS:
        transpose, horizontal, vertical = flips
        upright = build(name, 5, 3) if transpose else build(name, 3, 5)
        expected = upright.steps[0].T if transpose else upright.steps[0]
        expected = expected.flip(1) if horizontal else expected
        expected = expected.flip(0) if vertical else expected
        assert torch.equal(turned(name, 3, 5, flips).steps[0], expected)


def test_sequential_colours_are_drawn_one_after_the_other():
    ordering = build("diagonal", 2, 3, channels=3)
    assert ordering.steps.tolist() == [
        [[0, 3, 6], [3, 6, 9]],
        [[1, 4, 7], [4, 7, 10]],
        [[2, 5, 8], [5, 8, 11]],
    ]
    assert ordering.groups == 3
    assert torch.equal(ordering.group_steps, ordering.steps)
    assert ordering.count == 12


def test_joint_colours_are_drawn_together():
    ordering = build("raster", 2, 2, channels=3, colours="joint")
    assert ordering.group_steps.tolist() == [[[0, 1], [2, 3]]]
    assert ordering.steps.tolist() == [[[0, 1], [2, 3]]] * 3
    assert (ordering.groups, ordering.count) == (1, 4)


def test_sites_at_names_the_sites_of_a_step():
    rows, columns = build("diagonal", 3, 3).sites_at(2)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 2), (1, 1), (2, 0)]
    rows, columns = build("raster", 2, 2, channels=3).sites_at(4)
    assert (rows.tolist(), columns.tolist()) == ([0], [1]), "step 4 is green of the second site"


@pytest.mark.parametrize(("name", "colours", "scale", "expected"), [
    ("raster", "joint", 1, [[[0, 1, 2], [3, 4, 5], [6, 7, 8]]]), ("raster", "joint", 2, [[[0, 2], [6, 8]]]),
    ("raster", "joint", 3, [[[0]]]), ("spiral", "joint", 2, [[[0, 2], [5, 4]]]),
    ("raster", "sequential", 2, [[[0, 4], [12, 16]], [[1, 5], [13, 17]]]),
])  # fmt: skip
def test_a_coarser_grid_has_the_earliest_step_of_each_block(name, colours, scale, expected):
    assert build(name, 3, 3, channels=2, colours=colours).coarse_steps(scale).tolist() == expected


def test_blocks_of_a_coarser_grid_may_be_cut_at_the_ends():
    assert build("raster", 4, 7).coarse_steps(3).tolist() == [[[0, 3, 6], [21, 24, 27]]]


def test_an_ordering_says_what_it_is():
    assert repr(build("raster", 2, 3, channels=3)) == "<Raster of 3x2x3, K = 2: 18 steps, sequential colours>"


class Gap(Ordering):
    """Steps 0 and 2."""

    def site_steps(self, height, width):
        return 2 * (torch.arange(height * width) % 2).view(height, width)


class FromOne(Ordering):
    """Starts at 1."""

    def site_steps(self, height, width):
        return 1 + torch.arange(height * width).view(height, width)


class Negative(Ordering):
    """Has a step before the first."""

    def site_steps(self, height, width):
        return torch.arange(height * width).view(height, width) - 1


class Floats(Ordering):
    """Of the wrong type."""

    def site_steps(self, height, width):
        return torch.arange(height * width).view(height, width).double()


class Sideways(Ordering):
    """Of the wrong shape."""

    def site_steps(self, height, width):
        return torch.arange(height * width).view(width, height)


class Lists(Ordering):
    """No tensor."""

    def site_steps(self, height, width):
        return [[0] * width] * height


@pytest.mark.parametrize("cls", [Gap, FromOne, Negative, Floats, Sideways, Lists], ids=lambda cls: cls.__name__)
def test_bad_steps_are_refused_by_name(cls):
    with pytest.raises(RecipeError, match=cls.__name__) as error:
        component("ordering", cls).build(ImageSpec(1, 2, 3, 2))
    assert "0..n-1 without gaps" in str(error.value)


def test_an_ordering_without_steps_says_so():
    with pytest.raises(TypeError, match=r"abstract class Ordering .*site_steps"):
        component("ordering", Ordering).build(ImageSpec(1, 2, 3, 2))
