"""Every mixing layer: `forward`, `at`, `ready` and `reads` say the same thing of it."""

import itertools

import pytest
import torch
from torch import nn

from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.layers import (
    AppendMaps,
    CausalAttention,
    KeepBefore,
    MaskedConv2d,
    MaskedDownsample,
    MaskedUpsample,
    MixingLayer,
    Shift,
    ShiftedConv2d,
    ShiftedConvTranspose2d,
)
from pixkit.testing import named

SPEC = ImageSpec(3, 5, 6, 2)
GRID, HALF = (5, 6), (3, 3)


def ordering(name="hilbert", colours="sequential"):
    return named("ordering", name).build(SPEC, colours)


LAYERS = {
    "masked": (lambda: MaskedConv2d(6, 9, 3, "B", ordering()), [GRID], 3),
    "masked, shared": (lambda: MaskedConv2d(6, 9, 5, "A", ordering("raster")), [GRID], 3),
    "down": (lambda: MaskedDownsample(6, 9, 3, ordering()), [GRID], 3),
    "down, even": (lambda: MaskedDownsample(6, 6, 2, ordering("spiral")), [GRID], 3),
    "up": (lambda: MaskedUpsample(6, 9, 3, ordering()), [HALF], 3),
    "shifted": (lambda: ShiftedConv2d(6, 9, (-1, 0), (-1, 1)), [GRID], 1),
    "shifted twice": (lambda: ShiftedConv2d(6, 9, (-2, -1), (-2, -1), bias=False), [GRID], 1),
    "shifted ahead": (lambda: ShiftedConv2d(6, 9, (1, 2), (0, 0)), [GRID], 1),
    "strided": (lambda: ShiftedConv2d(6, 9, (-1, 0), (-1, 1), stride=2), [GRID], 1),
    "transposed": (lambda: ShiftedConvTranspose2d(6, 9, (0, 1), (-1, 1), GRID), [HALF], 1),
    "transposed, colours": (lambda: ShiftedConvTranspose2d(6, 9, (0, 1), (0, 1), GRID), [HALF], 3),
    "shift": (lambda: Shift(1, -2), [GRID], 3),
    "keep": (lambda: KeepBefore(ordering(), 20), [GRID], 3),
    "append": (lambda: AppendMaps(torch.arange(90.0).view(3, *GRID)), [GRID], 3),
    "attention A": (lambda: CausalAttention(ordering(colours="joint"), heads=2), [GRID] * 3, 1),
    "attention B": (lambda: CausalAttention(ordering(colours="joint"), mask_type="B"), [GRID] * 3, 1),
}


def made(name):
    make, grids, groups = LAYERS[name]
    torch.manual_seed(0)
    layer = make().double().eval()
    return layer, [torch.randn(2, 6, *grid, dtype=torch.float64) for grid in grids], groups


def memory(x):
    return torch.cat([x.flatten(2), x.new_zeros(*x.shape[:2], 1)], 2).transpose(1, 2)


@pytest.mark.parametrize("name", LAYERS)
def test_at_gives_what_forward_gives(name):
    layer, inputs, groups = made(name)
    expected = layer(*inputs)
    state = layer.init_state(2, [tuple(x.shape[2:]) for x in inputs], torch.device("cpu"))
    flat = expected.flatten(2).transpose(1, 2)
    for group in range(groups):
        for sites in (torch.arange(flat.shape[1]), torch.tensor([flat.shape[1] - 1, 0, 4])):
            found = layer.at(group, groups, sites, [memory(x) for x in inputs], state)
            assert torch.allclose(found, flat[:, sites, group::groups], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_weights_alone_are_saved(name):
    """Masks and tables follow from what a layer is made of: saved, they would keep a checkpoint from other versions."""
    layer, *_ = made(name)
    assert set(layer.state_dict()) == {key for key, _ in layer.named_parameters()}


def moved(layer, inputs, groups, index, unit):
    """bool [G, h', w']: what changes if one unit of one input is changed."""
    group, row, column = unit
    changed = [x.clone() for x in inputs]
    changed[index][:, group::groups, row, column] += 1.5
    difference = layer(*changed) != layer(*inputs)
    return difference.unflatten(1, (-1, groups)).any(1).any(0)


@pytest.mark.parametrize("name", LAYERS)
def test_ready_and_reads_are_what_a_change_moves(name):
    layer, inputs, groups = made(name)
    grids = [tuple(x.shape[2:]) for x in inputs]
    assert grids
    shape = layer(*inputs).shape[2:]
    for index, grid in enumerate(grids):
        table = torch.zeros(groups, *shape, groups, *grid, dtype=torch.bool)
        for unit in itertools.product(range(groups), *map(range, grid)):
            ready = [torch.zeros(groups, *size, dtype=torch.int64) for size in grids]
            ready[index][unit] = 7
            table[(..., *unit)] = moved(layer, inputs, groups, index, unit)
            found = layer.ready(*ready) == 7
            assert _agrees(name, index, found, table[(..., *unit)])
        for unit in itertools.product(range(groups), *map(range, shape)):
            units = torch.zeros(groups, *shape, dtype=torch.bool)
            units[unit] = True
            read = layer.reads(units, grids)[index]
            assert _agrees(name, index, read, table[unit])
            assert torch.equal(MixingLayer.reads(layer, units, grids)[index], read), "by halving, the same"


def _agrees(name, index, found, seen):
    """Of queries and keys an attention may say more than is seen: a softmax over one key is 1 whatever they are."""
    if name.startswith("attention") and index < 2:
        return bool((found | ~seen).all())
    return torch.equal(found, seen)


def test_attention_is_refused_under_sequential_colours():
    with pytest.raises(RecipeError, match="single colours"):
        CausalAttention(ordering())


def test_a_site_without_a_key_gives_zeros():
    layer, inputs, _ = made("attention A")
    first = (ordering(colours="joint").steps[0] == 0).nonzero()[0]
    assert (layer(*inputs)[:, :, first[0], first[1]] == 0).all()
    assert torch.isfinite(layer(*inputs)).all()


def test_a_shifted_convolution_is_a_shifted_image_convolved():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    layer = ShiftedConv2d(3, 4, (-2, -1), (-1, 1)).double()
    plain = nn.functional.conv2d(nn.functional.pad(Shift(1, 0)(x), (1, 1, 1, 0)), layer.weight, layer.bias)
    assert torch.allclose(layer(x), plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(5, 7), (6, 6), (1, 3)])
def test_down_and_up_keep_sizes_that_are_no_multiple_of_two(size):
    x = torch.randn(1, 2, *size)
    down = ShiftedConv2d(2, 2, (-1, 0), (-1, 1), stride=2)(x)
    assert tuple(down.shape[2:]) == (-(-size[0] // 2), -(-size[1] // 2))
    assert tuple(ShiftedConvTranspose2d(2, 2, (0, 1), (-1, 1), size)(down).shape[2:]) == size
