"""Masked convolutions against dense ones, against loops over sites, and by their gradients."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.layers import MaskedConv2d, Pointwise, initialise
from pixkit.orderings.masks import MASKS, Full, Vertical, kernel_mask, site_masks
from pixkit.orderings.scans import ORDERINGS
from pixkit.testing import named


def ordering_of(name, channels, height, width, colours="sequential", **config):
    return named("ordering", name, **config).build(ImageSpec(channels, height, width, 4), colours)


def layer_of(ordering, *args, seed=0, **kwargs):
    """A float64 layer; arguments are (in_maps, out_maps, kernel_size, mask_type)."""
    torch.manual_seed(seed)
    return MaskedConv2d(*args, ordering, **kwargs).double()


def images(maps, height, width, batch=2, seed=1):
    return torch.randn(batch, maps, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def used_taps(ordering, side, mask_type, shape):
    """First and last row and column of the kernel that some site may use; the centre if there is none."""
    used = site_masks(ordering.group_steps, (side, side), mask_type, shape).flatten(0, 3).any(0)
    spans = [used.any(axis).nonzero().flatten().tolist() or [side // 2] for axis in (1, 0)]
    return tuple(slice(found[0], found[-1] + 1) for found in spans)


def whole_kernel(layer, crop):
    """The stored, cropped weight in its place in the whole kernel, [out, in, k, k]."""
    size = (layer.out_maps, layer.in_maps, layer.kernel_size, layer.kernel_size)
    weight = layer.weight.new_zeros(size)
    weight[..., crop[0], crop[1]] = layer.weight.detach()
    return weight


def slow(layer, ordering, mask_type, shape, x):
    """The definition: at every site, the sum over allowed taps inside the image."""
    side, groups = layer.kernel_size, ordering.groups
    mask = site_masks(ordering.group_steps, (side, side), mask_type, shape)
    weight = whole_kernel(layer, used_taps(ordering, side, mask_type, shape))
    out = layer.bias.detach()[:, None, None].expand(layer.out_maps, *x.shape[2:]).repeat(len(x), 1, 1, 1)
    outs, ins = torch.arange(layer.out_maps) % groups, torch.arange(layer.in_maps) % groups
    for r, c, y, z in itertools.product(*map(range, x.shape[2:]), range(side), range(side)):
        row, column = r + y - side // 2, c + z - side // 2
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            allowed = mask[:, :, r, c, y, z][outs][:, ins]
            out[:, :, r, c] += x[:, :, row, column] @ (weight[:, :, y, z] * allowed).T
    return out


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("shape", MASKS.values(), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(("channels", "colours"), [(1, "sequential"), (3, "sequential"), (3, "joint")])
def test_equals_the_loop_over_sites(name, mask_type, shape, channels, colours):
    ordering = ordering_of(name, channels, 3, 4, colours)
    layer = layer_of(ordering, 3, 6, 3, mask_type, shape=shape())
    x = images(3, 3, 4)
    assert torch.allclose(layer(x), slow(layer, ordering, mask_type, shape(), x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["raster", "row_at_once", "diagonal"])
@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("side", [1, 3, 5, 7])
def test_shared_path_equals_dense_convolution_with_the_masked_kernel(name, mask_type, side):
    """Cropping changes nothing: the whole k x k kernel, zero where masked, same padding."""
    ordering = ordering_of(name, 3, 8, 9)
    layer = layer_of(ordering, 3, 6, side, mask_type)
    assert not layer.per_site
    x = images(3, 8, 9)
    colours = torch.arange(6) % 3
    mask = kernel_mask(ordering.group_steps, (side, side), mask_type, Full())[colours][:, colours[:3]]
    kernel = whole_kernel(layer, used_taps(ordering, side, mask_type, Full())) * mask
    dense = F.conv2d(x, kernel, layer.bias, padding=side // 2)
    assert torch.allclose(layer(x), dense, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["raster", "row_at_once", "diagonal"])
@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("channels", [1, 3])
def test_per_site_path_equals_the_shared_path_where_both_apply(monkeypatch, name, mask_type, channels):
    ordering = ordering_of(name, channels, 5, 6)
    shared = layer_of(ordering, 6, 3, 5, mask_type)
    monkeypatch.setattr("pixkit.layers.masked.kernel_mask", lambda *rule: None)
    per_site = layer_of(ordering, 6, 3, 5, mask_type)
    assert (shared.per_site, per_site.per_site) == (False, True)
    per_site.load_state_dict(shared.state_dict())
    x = images(6, 5, 6)
    assert torch.allclose(shared(x), per_site(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["raster", "hilbert", "permutation"])
def test_masked_taps_have_no_gradient_and_others_have_one(name):
    ordering = ordering_of(name, 3, 4, 5)
    layer = layer_of(ordering, 6, 6, 3, "A")
    layer(images(6, 4, 5)).square().sum().backward()
    ever = site_masks(ordering.group_steps, (3, 3), "A", Full()).any(3).any(2)
    rows, columns = used_taps(ordering, 3, "A", Full())
    groups = torch.arange(6) % 3
    allowed = ever[groups][:, groups][..., rows, columns]
    assert (layer.weight.grad[~allowed] == 0).all()
    assert (layer.weight.grad[allowed] != 0).all()
    assert not allowed.all(), "the test has something to look at"


@pytest.mark.parametrize("name", ["raster", "hilbert"])
def test_the_weight_is_never_changed_by_its_mask(name):
    layer = layer_of(ordering_of(name, 3, 4, 5), 3, 3, 3, "A")
    with torch.no_grad():
        layer.weight.fill_(7.0)
    layer(images(3, 4, 5)).sum().backward()
    assert (layer.weight == 7.0).all()
    assert set(layer.state_dict()) == {"weight", "bias"}, "masks are made again, not stored"


@pytest.mark.parametrize(("name", "mask_type", "side", "stored"), [
    ("raster", "A", 7, (4, 7)), ("raster", "B", 3, (2, 3)), ("raster", "B", 1, (1, 1)),
    ("row_at_once", "A", 3, (1, 3)), ("row_at_once", "B", 3, (2, 3)),
    ("diagonal", "A", 3, (2, 2)), ("diagonal", "B", 3, (3, 3)), ("hilbert", "A", 3, (3, 3)),
])  # fmt: skip
def test_kernels_are_cropped_to_the_taps_in_use(name, mask_type, side, stored):
    layer = layer_of(ordering_of(name, 1, 8, 8), 2, 2, side, mask_type)
    assert tuple(layer.weight.shape) == (2, 2, *stored)
    assert tuple(layer(images(2, 8, 8)).shape) == (2, 2, 8, 8)


def test_vertical_shape_keeps_the_rows_above_alone():
    layer = layer_of(ordering_of("raster", 1, 8, 8), 1, 1, 5, "B", shape=Vertical())
    assert tuple(layer.weight.shape) == (1, 1, 2, 5)
    x = images(1, 8, 8)
    moved = x.clone()
    moved[:, :, 4, :] += 1
    assert torch.equal(layer(x)[:, :, :5], layer(moved)[:, :, :5]), "row r sees rows < r"
    assert not torch.equal(layer(x)[:, :, 5], layer(moved)[:, :, 5])


@pytest.mark.parametrize(("name", "channels", "maps", "mask_type", "side", "inputs"), [
    ("raster", 1, 4, "A", 3, 4 * 4),
    ("raster", 1, 4, "B", 3, 4 * 5),
    ("raster", 1, 2, "A", 7, 2 * 24),
    ("raster", 3, 6, "A", 3, 6 * 4 + 2 * (0 + 1 + 2) / 3),
    ("raster", 3, 6, "B", 3, 6 * 4 + 2 * (1 + 2 + 3) / 3),
    ("raster", 3, 6, "B", 1, 2 * (1 + 2 + 3) / 3),
    ("row_at_once", 1, 4, "B", 3, 4 * 6),
])  # fmt: skip
def test_fan_in_counted_by_hand(name, channels, maps, mask_type, side, inputs):
    """Taps above and left of the centre times the maps, and the centre's by colour."""
    layer = layer_of(ordering_of(name, channels, 9, 9), maps, maps, side, mask_type)
    assert layer.fan_in == pytest.approx(inputs)


def test_fan_in_per_site_is_the_mean_over_sites():
    """Checkerboard 2x2, type A 3x3: two sites see nothing, two see two neighbours each."""
    layer = layer_of(ordering_of("checkerboard", 1, 2, 2), 5, 5, 3, "A")
    assert layer.per_site
    assert layer.fan_in == pytest.approx(5 * (0 + 2 + 2 + 0) / 4)


def test_default_initialisation_follows_the_fan_in():
    torch.manual_seed(0)
    layer = MaskedConv2d(64, 64, 3, "B", ordering_of("raster", 1, 8, 8))
    bound = (64 * 5) ** -0.5
    for values in (layer.weight, layer.bias):
        assert float(values.detach().abs().max()) <= bound
        assert float(values.detach().abs().max()) > 0.9 * bound
    assert float(layer.weight.detach().var()) == pytest.approx(bound**2 / 3, rel=0.05)


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1), (2, 2)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_kernels_larger_than_the_image(name, size, channels):
    ordering = ordering_of(name, channels, *size)
    layer = layer_of(ordering, 3, 3, 7, "A")
    x = images(3, *size)
    assert torch.allclose(layer(x), slow(layer, ordering, "A", Full(), x), rtol=0, atol=1e-12)


def test_first_site_of_type_a_sees_nothing():
    layer = layer_of(ordering_of("raster", 1, 1, 1), 2, 3, 3, "A")
    x = images(2, 1, 1)
    assert torch.equal(layer(x), layer.bias.detach().view(1, 3, 1, 1).expand(2, 3, 1, 1))


def test_pointwise_is_a_plain_1x1_convolution_under_joint_colours():
    layer = Pointwise(6, 4, ordering_of("hilbert", 3, 4, 4, "joint")).double()
    x = images(6, 4, 4)
    assert torch.allclose(layer(x), F.conv2d(x, layer.weight, layer.bias), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["raster", "hilbert"])
def test_pointwise_reads_no_later_colour(name):
    layer = Pointwise(6, 6, ordering_of(name, 3, 4, 4)).double()
    x = images(6, 4, 4)
    for colour in range(3):
        moved = x.clone()
        moved[:, colour::3] += 1
        changed = (layer(moved) != layer(x)).transpose(0, 1).flatten(1).any(1)
        assert changed.tolist() == [m % 3 >= colour for m in range(6)]


@pytest.mark.parametrize("name", ["raster", "hilbert"])
def test_without_bias(name):
    layer = layer_of(ordering_of(name, 1, 3, 3), 2, 2, 3, "A", bias=False)
    assert layer.bias is None
    assert (layer(torch.zeros(1, 2, 3, 3, dtype=torch.float64)) == 0).all()
    initialise(layer, "small_normal")


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 3), (3, 4), (0, 3), (3, 0)])
def test_maps_that_do_not_divide_among_colours_are_refused(inputs, outputs):
    with pytest.raises(RecipeError, match="divide evenly"):
        MaskedConv2d(inputs, outputs, 3, "A", ordering_of("raster", 3, 4, 4))


@pytest.mark.parametrize("name", ["raster", "hilbert"])
def test_no_images_in_no_images_out(name):
    layer = layer_of(ordering_of(name, 1, 3, 4), 2, 2, 3, "B")
    assert tuple(layer(images(2, 3, 4, batch=0)).shape) == (0, 2, 3, 4)


@pytest.mark.parametrize("name", ["raster", "hilbert"])
def test_masks_follow_the_type_of_the_layer(name):
    layer = layer_of(ordering_of(name, 1, 3, 4), 2, 2, 3, "B")
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        assert layer.to(dtype)(images(2, 3, 4).to(dtype)).dtype == dtype


@pytest.mark.parametrize("name", ["raster", "hilbert"])
def test_gradients_against_finite_differences(name):
    layer = layer_of(ordering_of(name, 3, 2, 3), 3, 3, 3, "B")
    x = images(3, 2, 3, batch=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, weight: torch.func.functional_call(layer, {"weight": weight}, x),
                                    (x, layer.weight))  # fmt: skip


def test_repr_says_what_the_layer_is():
    text = repr(layer_of(ordering_of("raster", 1, 8, 8), 1, 4, 7, "A"))
    assert "1, 4, 7 cropped to 4x7, type A, shared" in text
    assert "per site" in repr(layer_of(ordering_of("hilbert", 1, 8, 8), 1, 4, 7, "A"))


def test_an_even_kernel_has_no_centre_and_is_refused():
    with pytest.raises(RecipeError, match="centre"):
        MaskedConv2d(1, 2, 4, "B", named("ordering", "raster").build(ImageSpec(1, 4, 4, 2), "joint"))
