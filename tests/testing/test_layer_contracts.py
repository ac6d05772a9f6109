"""Every mixing layer against its contract, and the contract against layers with one thing wrong."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from pixkit.image import ImageSpec
from pixkit.layers import (
    CausalAttention,
    Fronts,
    KeepBefore,
    MaskedConv2d,
    MaskedDownsample,
    MaskedUpsample,
    MixingLayer,
    Pointwise,
    Recurrence,
    Shift,
    ShiftedConv2d,
    ShiftedConvTranspose2d,
    tap_sources,
)
from pixkit.layers.state import initial_state
from pixkit.orderings.masks import MASKS
from pixkit.orderings.scans import ORDERINGS
from pixkit.testing import check_layer, named


def ordering_of(name, channels, height=4, width=5, colours="sequential"):
    return named("ordering", name).build(ImageSpec(channels, height, width, 4), colours)


def keeps_its_contract(layer, *inputs, **options):
    """And what it is saved with are its parameters: what follows from how it was made is made anew."""
    check_layer(layer, *inputs, **options)
    assert set(layer.state_dict()) == {name for name, _ in layer.named_parameters()}


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("channels", [1, 3])
def test_masked_convolutions(name, mask_type, channels):
    layer = MaskedConv2d(6, 3, 3, mask_type, ordering_of(name, channels))
    keeps_its_contract(layer, [(6, 4, 5)], groups=channels)


@pytest.mark.parametrize("shape", MASKS.values(), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("name", ["raster", "hilbert"])
def test_masked_convolutions_of_every_shape(name, shape):
    keeps_its_contract(MaskedConv2d(2, 4, 5, "A", ordering_of(name, 1), shape=shape(), bias=False), [(2, 4, 5)])


def test_pointwise_maps():
    keeps_its_contract(Pointwise(6, 9, ordering_of("raster", 3)), [(6, 4, 5)], groups=3)


@pytest.mark.parametrize("name", ["raster", "hilbert", "row_at_once"])
@pytest.mark.parametrize("channels", [1, 3])
def test_masked_layers_between_scales(name, channels):
    ordering = ordering_of(name, channels)
    keeps_its_contract(MaskedDownsample(3, 6, 3, ordering), [(3, 4, 5)], groups=channels)
    keeps_its_contract(MaskedUpsample(3, 6, 3, ordering), [(3, 2, 3)], groups=channels)


@pytest.mark.parametrize(("rows", "columns", "stride"), [
    ((-1, 0), (-1, 1), 1), ((-2, -1), (-1, 1), 1), ((0, 0), (-2, -1), 1), ((-1, 0), (-1, 0), 2), ((1, 2), (0, 0), 1),
])  # fmt: skip
def test_shifted_convolutions(rows, columns, stride):
    keeps_its_contract(ShiftedConv2d(3, 2, rows, columns, stride=stride), [(3, 5, 4)])


def test_shifted_transposed_convolutions():
    keeps_its_contract(ShiftedConvTranspose2d(3, 2, (0, 1), (-1, 1), (5, 4)), [(3, 3, 2)])


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, 1), (2, -1), (0, 0), (4, 0)])
@pytest.mark.parametrize("groups", [1, 3])
def test_shifts(down, right, groups):
    keeps_its_contract(Shift(down, right), [(6, 4, 5)], groups=groups)


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("mask_type", ["A", "B"])
@pytest.mark.parametrize("heads", [1, 2])
def test_attention(name, mask_type, heads):
    layer = CausalAttention(ordering_of(name, 1, 3, 3), heads=heads, mask_type=mask_type)
    keeps_its_contract(layer, [(4, 3, 3), (4, 3, 3), (2, 3, 3)], tight=False)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("step", [0, 5, 999])
def test_hiding_later_pixels(channels, step):
    keeps_its_contract(KeepBefore(ordering_of("snake", channels), step), [(6, 4, 5)], groups=channels)


class Above(MixingLayer):
    """Adds the site above, as a layer of somebody's own would, with the default `reads`."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x + self.scale * nn.functional.pad(x, (0, 0, 1, -1))

    def ready(self, *inputs):
        (source,) = inputs
        return torch.maximum(source, nn.functional.pad(source, (0, 0, 1, -1)))

    def init_state(self, batch, grids, device=None):
        return grids[0]

    def at(self, group, groups, sites, inputs, state):
        height, width = state
        above = torch.where(sites >= width, sites - width, height * width)
        own = inputs[0][:, :, group::groups]
        return own[:, sites] + self.scale * own[:, above]


class Stays(Above):
    """Has a table, on the CPU wherever the images are drawn."""

    def init_state(self, batch, grids, device=None):
        height, width = grids[0]
        sites = torch.arange(height * width)
        return torch.where(sites >= width, sites - width, height * width)

    def at(self, group, groups, sites, inputs, state):
        own = inputs[0][:, :, group::groups]
        return own[:, sites] + self.scale * own[:, state[sites]]


@dataclass(frozen=True)
class Kept:
    table: torch.Tensor
    more: list


class Former(Stays):
    """The same, as it was written for pixkit 0.1."""

    def init_state(self, batch, grids):
        return Kept(super().init_state(batch, grids), [{"of": torch.zeros(batch)}, "and", 3])

    def at(self, group, groups, sites, inputs, state):
        return super().at(group, groups, sites, inputs, state.table)


class Hasty(Above):
    def ready(self, *inputs):
        return inputs[0]

    def reads(self, units, grids):
        return Above().reads(units, grids)


class Late(Above):
    """Of inputs that need no pixel."""

    def ready(self, *inputs):
        return super().ready(*inputs) + (not inputs[0].any())

    def reads(self, units, grids):
        return Above().reads(units, grids)


class Lazy(Above):
    def ready(self, *inputs):
        return super().ready(*inputs) + 1

    def reads(self, units, grids):
        return Above().reads(units, grids)


class Wraps(Above):
    def at(self, group, groups, sites, inputs, state):
        own = inputs[0][:, :, group::groups]
        return own[:, sites] + self.scale * own[:, (sites - state[1]) % (state[0] * state[1])]


class WrapsUnseen(Wraps):
    """Starts at zero, so that nothing of it shows before weights are drawn."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.scale)


class Misreads(Above):
    def reads(self, units, grids):
        return [units]


class Overstates(Above):
    """Reads its neighbour, it says."""

    def ready(self, *inputs):
        return torch.maximum(super().ready(*inputs), nn.functional.pad(inputs[0], (1, -1)))


class WrongShape(Above):
    def at(self, *arguments):
        return super().at(*arguments)[..., :1]


class WrongColour(Above):
    def at(self, group, groups, sites, inputs, state):
        return super().at(0, groups, sites, inputs, state)


class Cumulated(Above):
    """Adds up all rows above: row by row, from what it has remembered of the row before."""

    def forward(self, x):
        return x.cumsum(2)

    def ready(self, *inputs):
        return inputs[0].cummax(1).values

    def reads(self, units, grids):
        return [units.flip(1).cummax(1).values.flip(1)]

    def ranks(self, units):
        (read,) = self.reads(units, [])
        return torch.where(read, torch.arange(units.shape[1])[:, None], -1)

    def init_state(self, batch, grids, device=None):
        return grids[0], torch.zeros(batch, grids[0][0] * grids[0][1] + 1, 4, dtype=self.scale.dtype, device=device)

    def at(self, group, groups, sites, inputs, state):
        (height, width), kept = state
        above = torch.where(sites >= width, sites - width, height * width)
        kept[:, sites, group::groups] = (kept[:, above] + inputs[0][:, sites])[..., group::groups]
        return kept[:, sites, group::groups]


class Adding(Cumulated):
    """Gives something else when it is called again."""

    def at(self, group, groups, sites, inputs, state):
        (height, width), kept = state
        above = torch.where(sites >= width, sites - width, height * width)
        kept[:, sites, group::groups] += (kept[:, above] + inputs[0][:, sites])[..., group::groups]
        return kept[:, sites, group::groups]


class Flat(Cumulated):
    """Asks for a column in one call."""

    def ranks(self, units):
        return super().ranks(units).clamp(max=0)


class Partial(Cumulated):
    """Forgets the rows above."""

    def ranks(self, units):
        return torch.where(units, torch.arange(units.shape[1])[:, None], -1)


class Short(Cumulated):
    """Leaves the last row out."""

    def ranks(self, units):
        ranks = super().ranks(units)
        ranks[:, -1] = -1
        return ranks


class Rectified(Above):
    """Of the site above what is positive, in the first map of each group alone."""

    def forward(self, x):
        first = torch.arange(x.shape[1])[:, None, None] < x.shape[1] // 2
        return self.scale * nn.functional.pad(x, (0, 0, 1, -1)).relu() * first

    def ready(self, *inputs):
        return nn.functional.pad(inputs[0], (0, 0, 1, -1))

    def at(self, group, groups, sites, inputs, state):
        height, width = state
        above = torch.where(sites >= width, sites - width, height * width)
        own = inputs[0][:, :, group::groups][:, above].relu()
        return self.scale * own * (torch.arange(own.shape[2]) < own.shape[2] // 2)


def test_what_moves_some_maps_of_some_images_has_an_effect():
    check_layer(Rectified(), [(4, 3, 4)], groups=2)


def test_readiness_may_be_given():
    check_layer(Hasty(), [(4, 3, 4)], groups=2, readiness=[torch.zeros(2, 3, 4, dtype=torch.int64)])
    rows = torch.arange(3)[:, None].expand(2, 3, 4)
    with pytest.raises(AssertionError, match=r"unit \(g, h, w\) = \(0, 1, 0\) is ready before"):
        check_layer(Hasty(), [(4, 3, 4)], groups=2, readiness=[rows.flip(1).contiguous()])
    check_layer(Above(), [(4, 3, 4)], groups=2, readiness=[rows.flip(1).contiguous()])


def test_a_layer_of_ones_own():
    for groups in (1, 2):
        check_layer(Above(), [(2, 3, 4)], groups=groups)
        check_layer(Cumulated(), [(4, 3, 4)], groups=groups)


@pytest.mark.parametrize(("cls", "text"), [
    (Hasty, "ready before everything"), (Lazy, "ready later than"), (Late, "at 0, some output is ready later"),
    (Wraps, "differs from `forward`"),
    (WrapsUnseen, "differs from `forward`"),
    (Misreads, "that `reads` does not name"),
    (Stays, "made 1 tensors on another"),
    (Overstates, "that have no effect"), (WrongShape, "`at` gives"), (WrongColour, "colour group 1: `at` differs"),
    (Adding, "called again"), (Flat, "`at` differs"), (Partial, "`at` differs"), (Short, "leaves out requested units"),
])  # fmt: skip
def test_what_is_wrong_is_noticed(cls, text):
    with pytest.raises(AssertionError, match=text):
        check_layer(cls(), [(4, 3, 4)], groups=2)


def test_a_layer_that_cannot_be_replayed_is_called_once_for_each_unit():
    check_layer(type("Once", (Adding,), {"replayable": False})(), [(4, 3, 4)], groups=2)


def test_a_layer_of_the_former_interface_is_asked_without_a_device_and_its_tensors_are_moved():
    with pytest.warns(DeprecationWarning, match="init_state takes no device"):
        check_layer(Former(), [(4, 3, 4)], groups=2)
    with pytest.warns(DeprecationWarning, match="Former"):
        kept = initial_state(Former(), 2, [(3, 4)], torch.device("meta"))
    assert kept.table.device.type == kept.more[0]["of"].device.type == "meta"
    assert kept.more[1:] == ["and", 3]


def test_a_layer_of_the_former_interface_may_ask_the_class_that_it_derives_from():
    class Doubled(ShiftedConv2d):
        def init_state(self, batch, grids):
            table, weight = super().init_state(batch, grids)
            return table, 2 * weight

        def forward(self, x):
            return 2 * super().forward(x) - self.bias[:, None, None]

    with pytest.warns(DeprecationWarning, match="Doubled"):
        check_layer(Doubled(2, 3, (-1, 0), (-1, 1)), [(2, 3, 4)])


class ColumnLSTM(Recurrence):
    """Each site of a column reads its neighbour on the left: a recurrence of public names only."""

    axis = 1

    def __init__(self, maps, ordering):
        grid = height, width = ordering.spec.height, ordering.spec.width
        sites = torch.arange(height * width).view(height, width).T.contiguous().unbind(0)
        pads = [(height, 0), *[(0, 0)] * (width - 1)]
        super().__init__(maps, ordering, Fronts(grid, sites, pads, tap_sources(grid, grid, (0, 0), (-1, -1))), 0)

    def split(self, x):
        return x.unbind(3)

    def join(self, parts):
        return torch.stack(parts, 3)

    def drive(self, part, read):
        return part + torch.einsum("oi,bin->bon", self.weight[..., 0], read)


def test_a_recurrence_of_a_plugin_keeps_the_contract():
    check_layer(ColumnLSTM(2, ordering_of("raster", 1, 2, 3)), [(8, 2, 3)])
