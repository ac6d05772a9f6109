"""Each layer against what its docstring says, by loops over sites; that its methods agree, the kit looks at."""

import itertools

import pytest
import torch

from pixkit.image import ImageSpec
from pixkit.layers import (
    AppendMaps,
    CausalAttention,
    KeepBefore,
    MaskedDownsample,
    MaskedUpsample,
    Shift,
    ShiftedConv2d,
    ShiftedConvTranspose2d,
    Turn,
)
from pixkit.layers.append import positions
from pixkit.testing import named

GRID = (4, 5)


def ordering_of(name, channels=1, colours="sequential", grid=GRID, **config):
    return named("ordering", name, **config).build(ImageSpec(channels, *grid, 2), colours)


def features(maps, grid=GRID):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, maps, *grid, generator=generator, dtype=torch.float64)


def sites(grid):
    return itertools.product(*map(range, grid))


def linear(layer, x, grid, weight, taps, allowed=lambda *units: True):
    """bias + the sum over taps (site, source, weight's place), of what lies inside and is allowed, map by map."""
    out = layer.bias.detach()[:, None, None].expand(-1, *grid).clone()
    for (r, c), (i, j), place in taps:
        if 0 <= i < x.shape[2] and 0 <= j < x.shape[3] and 0 <= r < grid[0] and 0 <= c < grid[1]:
            for o, m in itertools.product(range(layer.out_maps), range(layer.in_maps)):
                if allowed((o, r, c), (m, i, j)):
                    out[o, r, c] += weight[o, m, *place] * x[0, m, i, j]
    return out[None]


ROWS_COLUMNS = [((-1, 0), (-1, 1)), ((-2, -1), (0, 0)), ((0, 1), (-2, -1)), ((1, 2), (1, 1))]


@pytest.mark.parametrize(("rows", "columns"), ROWS_COLUMNS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_shifted_convolution(rows, columns, stride):
    layer, x = ShiftedConv2d(2, 3, rows, columns, stride=stride).double(), features(2)
    grid = tuple(-(-side // stride) for side in GRID)
    spans = [range(span[0], span[1] + 1) for span in (rows, columns)]
    taps = [
        ((r, c), (r * stride + dy, c * stride + dx), (dy - rows[0], dx - columns[0]))
        for (r, c), dy, dx in itertools.product(sites(grid), *spans)
    ]
    assert torch.allclose(layer(x), linear(layer, x, grid, layer.weight.detach(), taps), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [((0, 1), (-1, 1)), ((0, 1), (0, 1)), ((-1, 0), (0, 2))])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_transposed_convolution(rows, columns, stride):
    size = (7, 6) if stride == 2 else GRID
    source = tuple(-(-side // stride) for side in size)
    layer, x = ShiftedConvTranspose2d(2, 3, rows, columns, size, stride=stride).double(), features(2, source)
    spans = [range(span[0], span[1] + 1) for span in (rows, columns)]
    taps = [
        ((i * stride + dy, j * stride + dx), (i, j), (dy - rows[0], dx - columns[0]))
        for (i, j), dy, dx in itertools.product(sites(source), *spans)
    ]
    weight = layer.weight.detach().transpose(0, 1)
    assert torch.allclose(layer(x), linear(layer, x, size, weight, taps), rtol=0, atol=1e-12)


def earliest(ordering, scale):
    """By group and cell of a grid so many times coarser, the earliest step of its block."""
    found = {}
    for g, (r, c) in itertools.product(range(ordering.groups), sites(ordering.group_steps.shape[1:])):
        cell = (g, r // scale, c // scale)
        found[cell] = min(found.get(cell, ordering.count), int(ordering.group_steps[g, r, c]))
    return found


@pytest.mark.parametrize("name", ["raster", "hilbert", "row_at_once"])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_coarse_cell_has_the_earliest_step_of_its_block(name, scale):
    ordering = ordering_of(name, 2)
    steps = ordering.coarse_steps(scale)
    assert {(g, *site): int(steps[g, *site]) for g in range(2) for site in sites(steps.shape[1:])} == earliest(
        ordering, scale
    )


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("name", ["raster", "row_at_once", "spiral"])
@pytest.mark.parametrize(("cls", "scale"), [(MaskedDownsample, 1), (MaskedUpsample, 1), (MaskedDownsample, 2)])
def test_masked_layers_between_scales(cls, scale, name, kernel):
    """Of the taps of a strided or a transposed convolution, those from cells that are not later."""
    ordering, down = ordering_of(name, 2), cls is MaskedDownsample
    layer = cls(2, 4, kernel, ordering, scale=scale).double()
    fine, coarse = (tuple(ordering.coarse_steps(times).shape[1:]) for times in (scale, 2 * scale))
    steps = [earliest(ordering, times) for times in (scale, 2 * scale)]
    source, target = (fine, coarse) if down else (coarse, fine)
    read, written = steps if down else steps[::-1]
    offsets, first = range(-(kernel // 2), kernel - kernel // 2), -(kernel // 2)
    ends = itertools.product(sites(coarse), offsets, offsets)
    pairs = [((i, j), (2 * i + dy, 2 * j + dx), ((dy - first) * kernel + dx - first,)) for (i, j), dy, dx in ends]
    taps = pairs if down else [(site, cell, place) for cell, site, place in pairs]

    def allowed(out, into):
        return read[into[0] % 2, *into[1:]] <= written[out[0] % 2, *out[1:]]

    x = features(2, source)
    expected = linear(layer, x, target, layer.weight.detach(), taps, allowed)
    assert torch.allclose(layer(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("name", ["hilbert", "row_at_once"])
def test_attention_is_a_mean_over_earlier_sites_and_for_type_b_those_of_the_same_step(name, mask_type):
    """All keys being alike, each site weighs the same; values say which they are."""
    ordering, count = ordering_of(name, colours="joint"), GRID[0] * GRID[1]
    steps = ordering.steps.flatten().tolist()
    value = torch.eye(count).view(1, count, *GRID)
    seen = CausalAttention(ordering, mask_type=mask_type)(torch.zeros(1, 2, *GRID), torch.zeros(1, 2, *GRID), value)
    keys = [[step < own or (mask_type == "B" and step == own) for own in steps] for step in steps]
    weights = torch.tensor(keys).float()
    assert torch.allclose(seen[0].flatten(1), weights / weights.sum(0).clamp(min=1))


def test_attention_weighs_values_by_the_softmax_of_scaled_products_in_each_head():
    ordering = ordering_of("raster", colours="joint", grid=(1, 3))
    query, key, value = (features(4, (1, 3)) + number for number in range(3))
    out = CausalAttention(ordering, heads=2, mask_type="B")(query, key, value)
    for head, site in itertools.product((slice(0, 2), slice(2, 4)), range(3)):
        products = torch.stack([query[0, head, 0, site] @ key[0, head, 0, other] for other in range(site + 1)])
        weights = (products / 2**0.5).softmax(0)
        assert torch.allclose(out[0, head, 0, site], value[0, head, 0, : site + 1] @ weights)


@pytest.mark.parametrize("step", [0, 1, 7, 60])
def test_what_is_drawn_at_the_step_or_later_is_zeroed(step):
    ordering, x = ordering_of("spiral", 3), features(6)
    kept = KeepBefore(ordering, step)(x.float())
    expected = torch.zeros_like(kept)
    for m, (r, c) in itertools.product(range(6), sites(GRID)):
        if ordering.group_steps[m % 3, r, c] < step:
            expected[0, m, r, c] = x[0, m, r, c]
    assert torch.equal(kept, expected)


@pytest.mark.parametrize(("down", "right"), [(1, -2), (0, 3), (-3, 0), (2, 1)])
def test_a_shift_moves_down_and_right(down, right):
    x = features(2)
    expected = torch.zeros_like(x)
    for r, c in sites(GRID):
        i, j = r - down, c - right
        if 0 <= i < GRID[0] and 0 <= j < GRID[1]:
            expected[:, :, r, c] = x[:, :, i, j]
    assert torch.equal(Shift(down, right)(x), expected)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_a_turn_transposes_and_flips(flags, first):
    """Axis by axis: vertically exchanges rows, horizontally columns, of the image before or after the transposition."""
    x = torch.arange(6).view(2, 3)
    transpose, vertical, horizontal = flags
    expected = x.T if transpose and not first else x
    expected = expected[range(len(expected))[:: -1 if vertical else 1]]
    expected = expected[:, range(expected.shape[1])[:: -1 if horizontal else 1]]
    expected = expected.T if transpose and first else expected
    assert torch.equal(Turn(*flags, first_flip=first)(x), expected)


def test_positions_run_from_minus_a_half():
    rows, columns = positions((4, 2))
    assert rows.tolist() == [[-0.5] * 2, [-0.25] * 2, [0.0] * 2, [0.25] * 2]
    assert columns.tolist() == [[-0.5, 0.0]] * 4
    layer = AppendMaps(torch.stack([rows, columns]))
    x = features(2, (4, 2)).float()
    assert torch.equal(layer(x)[0], torch.cat([x[0], rows[None], columns[None]]))
