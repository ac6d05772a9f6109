"""Masks against what the paper says, worked out by hand, and against loops over sites."""

import itertools

import pytest
import torch

from pixkit.image import ImageSpec
from pixkit.layers import MaskedConv2d
from pixkit.orderings.masks import MASKS, Full, Horizontal, Point, TapShape, Vertical, kernel_mask, site_masks
from pixkit.orderings.scans import ORDERINGS
from pixkit.testing import named


def steps_of(name, size, channels=1, colours="sequential", **config):
    return named("ordering", name, **config).build(ImageSpec(channels, *size, 2), colours).group_steps


def raster_kernel(side, mask_type, channels=1, shape=None):
    return kernel_mask(steps_of("raster", (9, 9), channels), (side, side), mask_type, shape or Full())


def test_raster_3x3_by_hand():
    assert raster_kernel(3, "A")[0, 0].int().tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert raster_kernel(3, "B")[0, 0].int().tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]


def test_raster_7x7_by_hand():
    above, below = [[1] * 7] * 3, [[0] * 7] * 3
    assert raster_kernel(7, "A")[0, 0].int().tolist() == [*above, [1, 1, 1, 0, 0, 0, 0], *below]
    assert raster_kernel(7, "B")[0, 0].int().tolist() == [*above, [1, 1, 1, 1, 0, 0, 0], *below]


def test_centre_tap_between_colours():
    """Type A: R<-nothing, G<-R, B<-R,G. Type B: R<-R, G<-R,G, B<-R,G,B. Rows are outputs."""
    assert raster_kernel(3, "A", 3)[..., 1, 1].int().tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    assert raster_kernel(3, "B", 3)[..., 1, 1].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_taps_off_the_centre_do_not_ask_for_colours():
    for mask_type in ("A", "B"):
        mask = raster_kernel(3, mask_type, 3)
        assert mask[..., 0, :].all() and mask[..., 1, 0].all()
        assert not mask[..., 1, 2].any() and not mask[..., 2, :].any()


@pytest.mark.parametrize(("shape", "mask_type", "kernel"), [
    (Full, "A", [[1, 1, 1], [1, 0, 0], [0, 0, 0]]),
    (Vertical, "A", [[1, 1, 1], [0, 0, 0], [0, 0, 0]]),
    (Vertical, "B", [[1, 1, 1], [0, 0, 0], [0, 0, 0]]),
    (Horizontal, "A", [[0, 0, 0], [1, 0, 0], [0, 0, 0]]),
    (Horizontal, "B", [[0, 0, 0], [1, 1, 0], [0, 0, 0]]),
    (Point, "A", [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    (Point, "B", [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
])  # fmt: skip
def test_tap_shapes_by_hand(shape, mask_type, kernel):
    assert raster_kernel(3, mask_type, shape=shape())[0, 0].int().tolist() == kernel


def test_the_tap_shapes_are_registered():
    assert {"full": Full, "vertical": Vertical, "horizontal": Horizontal, "point": Point}.items() <= MASKS.items()
    for name, cls in MASKS.items():
        chosen = named("mask", name)
        assert type(chosen.build()) is cls
        assert chosen.build().config is chosen.config and isinstance(cls().config, cls.Config)


def test_a_tap_shape_must_say_which_taps_it_has():
    with pytest.raises(TypeError, match=r"abstract class TapShape .*has"):
        raster_kernel(3, "A", shape=TapShape())


@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_joint_colours_share_one_mask(mask_type):
    mask = kernel_mask(steps_of("raster", (5, 5), 3, "joint"), (3, 3), mask_type, Full())
    assert mask.shape == (1, 1, 3, 3)
    assert mask[0, 0].int().tolist() == [[1, 1, 1], [1, int(mask_type == "B"), 0], [0, 0, 0]]


ONE_KERNEL = ("raster", "row_at_once", "diagonal", "at_once")
PER_SITE = ("snake", "spiral", "hilbert", "checkerboard", "permutation")


@pytest.mark.parametrize("name", [*ONE_KERNEL, *PER_SITE])
@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_which_orderings_give_one_kernel(name, mask_type):
    mask = kernel_mask(steps_of(name, (8, 8), 3), (3, 3), mask_type, Full())
    assert (mask is not None) == (name in ONE_KERNEL)


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_there_is_one_kernel_where_a_tap_is_earlier_at_all_sites_or_at_none(name, mask_type):
    """Of every ordering there is, by loops over sites: the one mask, or that there is none."""
    steps = steps_of(name, (5, 5), 3)
    expected, one = torch.zeros(3, 3, 3, 3, dtype=torch.bool), True
    for o, i, y, x in itertools.product(range(3), repeat=4):
        places = itertools.product(range(max(1 - y, 0), min(6 - y, 5)), range(max(1 - x, 0), min(6 - x, 5)))
        pairs = [(int(steps[i, r + y - 1, c + x - 1]), int(steps[o, r, c])) for r, c in places]
        found = {source < target if mask_type == "A" else source <= target for source, target in pairs}
        one &= len(found) == 1
        expected[o, i, y, x] = True in found
    mask = kernel_mask(steps, (3, 3), mask_type, Full())
    assert torch.equal(mask, expected) if one else mask is None


def test_one_kernel_depends_on_the_taps_asked_for():
    """The snake's rows alternate, so only kernels without horizontal taps serve all sites."""
    steps = steps_of("snake", (6, 6))
    assert kernel_mask(steps, (3, 3), "A", Vertical()).int()[0, 0].tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert kernel_mask(steps, (3, 3), "A", Horizontal()) is None
    assert kernel_mask(steps, (1, 1), "B", Full()).flatten().tolist() == [True]


def test_row_and_diagonal_kernels_by_hand():
    row = kernel_mask(steps_of("row_at_once", (5, 5)), (3, 3), "B", Full())
    assert row[0, 0].int().tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    row = kernel_mask(steps_of("row_at_once", (5, 5)), (3, 3), "A", Full())
    assert row[0, 0].int().tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]
    diagonal = kernel_mask(steps_of("diagonal", (5, 5)), (3, 3), "B", Full())
    assert diagonal[0, 0].int().tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]
    diagonal = kernel_mask(steps_of("diagonal", (5, 5)), (3, 3), "A", Full())
    assert diagonal[0, 0].int().tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_flipped_rasters_flip_the_kernel():
    for transpose, horizontal, vertical in itertools.product([False, True], repeat=3):
        steps = steps_of("raster", (5, 5), transpose=transpose, flip_horizontal=horizontal, flip_vertical=vertical)
        expected = raster_kernel(3, "A")[0, 0]
        expected = expected.T if transpose else expected
        expected = expected.flip([0] * vertical + [1] * horizontal)
        assert torch.equal(kernel_mask(steps, (3, 3), "A", Full())[0, 0], expected)


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("shape", MASKS.values(), ids=lambda cls: cls.__name__)
def test_site_masks_against_loops(name, mask_type, shape):
    """Every tap of every site by the rule itself, on an image smaller than the kernel in one direction."""
    steps, kernel = steps_of(name, (2, 5), 3), (5, 3)
    mask = site_masks(steps, kernel, mask_type, shape())
    assert mask.shape == (3, 3, 2, 5, 5, 3)
    for o, i, r, c, y, x in itertools.product(*map(range, mask.shape)):
        row, column = r + y - 2, c + x - 1
        inside = 0 <= row < 2 and 0 <= column < 5
        source, target = (int(steps[i, row, column]), int(steps[o, r, c])) if inside else (0, 0)
        earlier = source < target if mask_type == "A" else source <= target
        assert bool(mask[o, i, r, c, y, x]) == (inside and earlier and shape().has(y - 2, x - 1))


def test_feature_maps_take_turns_among_colours():
    """Map m is of colour m % 3: 12 maps are 4+4+4, and 6 in, 6 out give green from red at rows 1, 4, columns 0, 3."""
    ordering = named("ordering", "raster").build(ImageSpec(3, 5, 5, 4))
    layer = MaskedConv2d(6, 6, 3, "B", ordering)
    centre = layer.mask[:, :, 1, 1]
    assert centre.int().tolist() == [
        [1, 0, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 1, 1, 1, 1],
        [1, 0, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 1, 1, 1, 1],
    ]
    strict = MaskedConv2d(6, 6, 3, "A", ordering).mask[:, :, 1, 1]
    green_from_red = (centre.bool() & strict.bool())[[1, 4]]
    assert green_from_red.int().tolist() == [[1, 0, 0, 1, 0, 0]] * 2
    twelve = MaskedConv2d(12, 12, 3, "A", ordering).mask[:, :, 1, 1]
    seen = twelve.sum(1)
    assert [int((seen == count).sum()) for count in (0, 4, 8)] == [4, 4, 4]
