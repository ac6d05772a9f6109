"""Locally masked convolutions: equal to cropped masked ones, one weight for all orderings, taps computed once."""

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.layers import LocalConv2d, MaskedConv2d, geometry
from pixkit.layers.site_kernels import OneMask, masked_kernel
from pixkit.orderings.masks import Full, site_masks
from pixkit.orderings.scans import ORDERINGS
from pixkit.testing import check_layer, named


def ordering_of(name, channels, height, width, colours="sequential", **config):
    return named("ordering", name, **config).build(ImageSpec(channels, height, width, 4), colours)


def images(maps, height, width, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, maps, height, width, generator=generator, dtype=torch.float64)


def slow(layer, ordering, mask_type, x):
    """The definition: at every site, the sum over allowed taps inside the image."""
    side, gap = layer.kernel_size, layer.dilation
    reach, groups = gap * (side // 2), ordering.groups
    mask = site_masks(ordering.group_steps, (2 * reach + 1,) * 2, mask_type, Full())[..., ::gap, ::gap]
    out = layer.bias.detach()[:, None, None].expand(layer.out_maps, *x.shape[2:]).repeat(len(x), 1, 1, 1)
    outs, ins = torch.arange(layer.out_maps) % groups, torch.arange(layer.in_maps) % groups
    for r, c, y, z in itertools.product(*map(range, x.shape[2:]), range(side), range(side)):
        row, column = r + gap * y - reach, c + gap * z - reach
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            allowed = mask[:, :, r, c, y, z][outs][:, ins]
            out[:, :, r, c] += x[:, :, row, column] @ (layer.weight.detach()[:, :, y, z] * allowed).T
    return out


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize(("side", "dilation"), [(3, 1), (3, 2), (5, 1), (1, 1)])
@pytest.mark.parametrize("colours", ["sequential", "joint"])
def test_equals_the_loop_over_sites(name, mask_type, side, dilation, colours):
    ordering = ordering_of(name, 3, 4, 5, colours)
    layer = LocalConv2d(3, 6, side, mask_type, ordering, dilation=dilation).double()
    x = images(3, 4, 5)
    assert torch.allclose(layer(x), slow(layer, ordering, mask_type, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "dilation"), [("snake", 1), ("hilbert", 2), ("raster", 2), ("spiral", 1)])
@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_contract(name, dilation, mask_type):
    ordering = ordering_of(name, 2, 4, 5)
    check_layer(LocalConv2d(2, 4, 3, mask_type, ordering, dilation=dilation), [(2, 4, 5)], groups=2)


def test_one_weight_serves_all_orderings():
    """Shape and meaning are the same: a kernel of which the taps are told apart by what they read."""
    x = images(1, 5, 6)
    shapes = set()
    for name in ("raster", "snake", "hilbert", "spiral", "permutation"):
        ordering = ordering_of(name, 1, 5, 6)
        layer = LocalConv2d(1, 1, 3, "A", ordering).double()
        shapes.add(tuple(layer.weight.shape))
        with torch.no_grad():
            layer.weight.copy_(torch.arange(9.0).view(1, 1, 3, 3))
            layer.bias.zero_()
        steps, padded = ordering.steps[0], F.pad(x[0, 0], (1, 1, 1, 1))
        expected = torch.zeros(5, 6, dtype=torch.float64)
        for r, c, y, z in itertools.product(range(5), range(6), range(3), range(3)):
            i, j = r + y - 1, c + z - 1
            if 0 <= i < 5 and 0 <= j < 6 and steps[i, j] < steps[r, c]:
                expected[r, c] += (3 * y + z) * padded[r + y, c + z]
        assert torch.allclose(layer(x)[0, 0], expected)
    assert shapes == {(1, 1, 3, 3)}


@pytest.mark.parametrize(("name", "mask_type"), [("raster", "A"), ("raster", "B"), ("row_at_once", "A")])
def test_one_scan_is_one_convolution(name, mask_type):
    assert isinstance(LocalConv2d(3, 3, 3, mask_type, ordering_of(name, 3, 8, 9)).apply_kernel, OneMask)


@pytest.mark.parametrize(("name", "mask_type", "patterns"), [
    ("snake", "B", 2), ("snake", "A", 2), ("hilbert", "B", 29),
])  # fmt: skip
def test_sites_that_use_the_same_taps_share_a_product(name, mask_type, patterns):
    """Every site is in one pattern, which reads all that is allowed there, once, and nothing else but zeros."""
    ordering = ordering_of(name, 1, 8, 9)
    found = LocalConv2d(1, 1, 3, mask_type, ordering).apply_kernel
    assert found.count == patterns
    assert torch.equal(torch.cat([one.sites for one in found.patterns]).sort().values, torch.arange(72))
    steps = ordering.steps.flatten()
    rows, columns = torch.arange(72) // 9, torch.arange(72) % 9
    for one in found.patterns:
        for site, read in zip(one.sites.tolist(), one.sources.tolist(), strict=True):
            near = (rows - rows[site]).abs().le(1) & (columns - columns[site]).abs().le(1)
            earlier = steps <= steps[site] if mask_type == "B" else steps < steps[site]
            assert sorted(set(read) - {72}) == (near & earlier).nonzero().flatten().tolist()
            assert len(set(read) - {72}) == sum(source != 72 for source in read)


def test_of_many_patterns_one_product_serves_all_sites(monkeypatch):
    ordering, x = ordering_of("permutation", 3, 5, 6), images(3, 5, 6)
    layer = LocalConv2d(3, 6, 3, "B", ordering).double()
    monkeypatch.setattr("pixkit.layers.site_kernels.MOST", 5)
    few = LocalConv2d(3, 6, 3, "B", ordering).double()
    few.load_state_dict(layer.state_dict())
    assert layer.apply_kernel.count > 5 and few.apply_kernel.count == 1
    assert torch.allclose(few(x), layer(x), rtol=0, atol=1e-12)
    monkeypatch.setattr("pixkit.layers.site_kernels.MOST", layer.apply_kernel.count)
    assert LocalConv2d(3, 6, 3, "B", ordering).apply_kernel.count == layer.apply_kernel.count, "not yet too many"
    monkeypatch.setattr("pixkit.layers.site_kernels.MOST", layer.apply_kernel.count - 1)
    assert LocalConv2d(3, 6, 3, "B", ordering).apply_kernel.count == 1


def test_the_masked_convolution_is_the_same_function_with_a_cropped_weight():
    ordering = ordering_of("snake", 3, 5, 6)
    local = LocalConv2d(3, 6, 3, "B", ordering).double()
    cropped = MaskedConv2d(3, 6, 3, "B", ordering).double()
    assert cropped.weight.shape[2:] == (2, 3)
    with torch.no_grad():
        cropped.weight.copy_(local.weight[:, :, :2])
        cropped.bias.copy_(local.bias)
    x = images(3, 5, 6)
    assert torch.allclose(local(x), cropped(x), rtol=0, atol=1e-12)


def test_entries_that_are_allowed_nowhere_have_no_gradient():
    layer = LocalConv2d(3, 3, 3, "A", ordering_of("snake", 3, 4, 5)).double()
    before = layer.weight.detach().clone()
    layer(images(3, 4, 5)).square().sum().backward()
    assert (layer.weight.grad[:, :, 2] == 0).all()
    assert (layer.weight.grad[:, :, 0] != 0).all()
    assert torch.equal(layer.weight, before)


def test_nothing_allowed_is_the_bias_alone():
    layer = LocalConv2d(2, 4, 3, "A", ordering_of("at_once", 1, 3, 4)).double()
    assert torch.equal(layer(images(2, 3, 4)), layer.bias[None, :, None, None].expand(2, 4, 3, 4))
    none = masked_kernel(torch.zeros(1, 1, 3, 4, 3, 3, dtype=torch.bool), (2, 4), (-1, -1))
    assert not none(images(2, 3, 4), layer.weight, None).any()


@pytest.mark.parametrize(("maps", "side", "text"), [((4, 3), 3, "divide"), ((3, 4), 3, "divide"), ((3, 3), 4, "odd")])
def test_what_cannot_be_is_refused(maps, side, text):
    with pytest.raises(RecipeError, match=text):
        LocalConv2d(*maps, side, "B", ordering_of("raster", 3, 4, 5))


@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize(("name", "channels"), [("raster", 1), ("raster", 3), ("row_at_once", 3), ("at_once", 1)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_one_mask_is_one_class_whichever_layer_has_it(name, channels, mask_type, dilation):
    """Both ways to pad are the same function, of cropped and of whole weights."""
    ordering = ordering_of(name, channels, 5, 6)
    local = LocalConv2d(channels, 6, 3, mask_type, ordering, dilation=dilation).double()
    kernel = local.apply_kernel
    assert isinstance(kernel, OneMask) and isinstance(MaskedConv2d(3, 6, 3, "B", ordering).apply_kernel, OneMask)
    allowed = torch.zeros(ordering.groups, ordering.groups, 3, 3, dtype=torch.bool)
    allowed[..., kernel.crop[0], kernel.crop[1]] = kernel.mask[: ordering.groups, : ordering.groups].bool()
    sides = OneMask(allowed, (channels, 6), (-1, -1), dilation).double()
    x = images(channels, 5, 6)
    assert (sides.around, kernel.around) == (False, True)
    assert torch.allclose(sides(x, local.weight, local.bias), local(x), rtol=0, atol=1e-12)
    cropped = OneMask(
        allowed[..., kernel.crop[0], kernel.crop[1]],
        (channels, 6),
        tuple(part.start - 1 for part in kernel.crop),
        dilation,
    ).double()
    part = local.weight[..., kernel.crop[0], kernel.crop[1]]
    assert torch.equal(cropped(x, part, local.bias), sides(x, local.weight, local.bias))


def test_convolutions_of_kernels_that_lie_aside_have_one_home():
    """What pads an image so that a kernel lies where it should is `pixkit.layers.geometry.convolve` alone."""
    folder = Path(geometry.__file__).parent
    found = [path.name for path in sorted(folder.glob("*.py")) if "F.conv2d(" in path.read_text(encoding="utf-8")]
    assert found == ["geometry.py"]
