"""The orderings that pixkit brings, each against its definition."""

import hashlib
import itertools

import pytest
import torch
from pydantic import ValidationError

from pixkit.image import ImageSpec
from pixkit.testing import named


def steps_of(name, height, width, **config):
    return named("ordering", name, **config).build(ImageSpec(1, height, width, 2)).steps[0]


def path_of(steps):
    """Sites (row, column) in the order of their steps."""
    order, width = steps.flatten().argsort().tolist(), steps.shape[1]
    return [(site // width, site % width) for site in order]


def moves(steps):
    """(rows, columns) moved from each site to the next."""
    return [(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in itertools.pairwise(path_of(steps))]


def test_raster_reads_like_a_page():
    assert steps_of("raster", 2, 3).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_row_at_once_has_a_step_a_row():
    assert steps_of("row_at_once", 3, 2).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_diagonal_counts_row_plus_column():
    assert steps_of("diagonal", 2, 4).tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]


def test_checkerboard_has_two_colours_of_site():
    assert steps_of("checkerboard", 3, 3).tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert steps_of("checkerboard", 1, 1).tolist() == [[0]]


def test_at_once_has_one_step_or_one_for_each_colour():
    assert steps_of("at_once", 2, 3).tolist() == [[0, 0, 0], [0, 0, 0]]
    sequential = named("ordering", "at_once").build(ImageSpec(3, 2, 2, 2), "sequential").steps
    assert [colour.unique().tolist() for colour in sequential] == [[0], [1], [2]]


def test_snake_turns_at_the_end_of_each_row():
    assert steps_of("snake", 3, 3).tolist() == [[0, 1, 2], [5, 4, 3], [6, 7, 8]]


def test_spiral_runs_clockwise_inwards_or_outwards():
    inward = [[0, 1, 2, 3], [9, 10, 11, 4], [8, 7, 6, 5]]
    assert steps_of("spiral", 3, 4).tolist() == inward
    assert steps_of("spiral", 3, 4, direction="outward").tolist() == [[11 - s for s in row] for row in inward]


@pytest.mark.parametrize("name", ["snake", "spiral"])
def test_paths_never_jump(name):
    for height, width in itertools.product(range(1, 10), repeat=2):
        assert all(move in ((0, 1), (1, 0)) for move in moves(steps_of(name, height, width))), (height, width)


def test_hilbert_never_jumps_and_moves_diagonally_only_where_parity_leaves_no_other_way():
    """From the corner to the end of the longer side, an odd by even board has no path of neighbours (colour it)."""
    for height, width in itertools.product(range(1, 18), repeat=2):
        made = moves(steps_of("hilbert", height, width))
        assert set(made) <= {(0, 1), (1, 0), (1, 1)}, (height, width)
        allowed = max(height, width) % 2 == 1 and min(height, width) % 2 == 0
        assert made.count((1, 1)) <= allowed, (height, width)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1)], ids=str)
def test_curves_along_a_line_are_the_line(size):
    for name in ("snake", "spiral", "hilbert", "raster"):
        assert steps_of(name, *size).flatten().tolist() == list(range(max(size))), name


def classical(side, distance):
    """Row and column of the point at a distance along Hilbert's curve, by reading two bits at a time."""
    column = row = 0
    scale = 1
    while scale < side:
        right = 1 & (distance // 2)
        up = 1 & (distance ^ right)
        if not up:
            if right:
                column, row = scale - 1 - column, scale - 1 - row
            column, row = row, column
        column, row = column + scale * right, row + scale * up
        distance //= 4
        scale *= 2
    return row, column


def test_curves_that_runs_were_built_with_stay_as_they_are():
    """Of sizes for which there is no other definition: a network that was trained under one knows no other."""
    sizes = list(itertools.product(range(1, 12), repeat=2))
    for name, expected in (("hilbert", "07fc6962fd947c7c"), ("permutation", "349cc3669884d16e")):
        steps = b"".join(steps_of(name, *size).numpy().astype("<i8").tobytes() for size in sizes)
        assert hashlib.sha256(steps).hexdigest()[:16] == expected, name


@pytest.mark.parametrize("side", [1, 2, 4, 8, 16, 32])
def test_hilbert_is_the_classical_curve_on_powers_of_two(side):
    assert path_of(steps_of("hilbert", side, side)) == [classical(side, d) for d in range(side * side)]


def test_hilbert_keeps_a_quarter_of_the_image_together():
    """What the curve is for: a quadrant is finished before the next begins."""
    steps = steps_of("hilbert", 16, 16)
    for rows, columns in itertools.product((slice(0, 8), slice(8, 16)), repeat=2):
        quarter = steps[rows, columns].flatten().sort().values
        assert int(quarter[-1] - quarter[0]) == 63


def test_permutation_is_the_same_everywhere():
    assert steps_of("permutation", 3, 4).tolist() == [[0, 4, 1, 8], [7, 6, 10, 11], [5, 3, 9, 2]]
    assert steps_of("permutation", 3, 4, seed=7).tolist() == [[11, 2, 5, 4], [1, 8, 3, 7], [0, 9, 10, 6]]


def test_permutation_leaves_the_generators_of_torch_alone():
    before = torch.random.get_rng_state()
    first, again = steps_of("permutation", 6, 6, seed=1), steps_of("permutation", 6, 6, seed=1)
    assert torch.equal(first, again)
    assert torch.equal(before, torch.random.get_rng_state())


def test_permutations_are_uniform_enough():
    """Over seeds each step falls on each site of six equally often: chi-square with 25 degrees of freedom."""
    table = torch.zeros(6, 6, dtype=torch.float64)
    for seed in range(600):
        table[torch.arange(6), steps_of("permutation", 2, 3, seed=seed).flatten()] += 1
    assert float(((table - 100) ** 2 / 100).sum()) < 70


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1", True])
def test_permutation_seeds_are_bounded(seed):
    with pytest.raises(ValidationError):
        named("ordering", "permutation", seed=seed)


def test_the_largest_seed_works():
    assert steps_of("permutation", 2, 2, seed=2**63 - 1).flatten().sort().values.tolist() == [0, 1, 2, 3]
