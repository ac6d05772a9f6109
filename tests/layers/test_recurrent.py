"""The recurrences against the paper's equations, pixel by pixel; the contract kit compares them site by site."""

import itertools

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pixkit.errors import RecipeError
from pixkit.execution.cuda.fusing import FusedOperations
from pixkit.execution.native import sharing
from pixkit.execution.native.fusing import FusedOnCPU
from pixkit.image import ImageSpec
from pixkit.layers import DiagonalLSTM, RowLSTM
from pixkit.layers.fusing import fuses
from pixkit.layers.recurrent import Recurrence, keep_loops
from pixkit.layers.scan import Scan
from pixkit.orderings.scans import Raster
from pixkit.testing import check_layer, randomise


class Launches(TorchDispatchMode):
    """Counts operations that are more than views."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not (func.is_view or func is torch.ops.aten.detach.default)
        return func(*args, **(kwargs or {}))


SIZES = [(3, 5), (4, 2), (1, 4), (4, 1), (1, 1)]
LAYERS = {
    "row 3": lambda maps, ordering: RowLSTM(maps, ordering, 3),
    "row 5": lambda maps, ordering: RowLSTM(maps, ordering, 5),
    "left": DiagonalLSTM,
    "right": lambda maps, ordering: DiagonalLSTM(maps, ordering, mirrored=True),
}
TAPS = {
    "row 3": [(-1, -1), (-1, 0), (-1, 1)],
    "row 5": [(-1, dx) for dx in range(-2, 3)],
    "left": [(-1, 0), (0, -1)],
    "right": [(-1, 0), (0, 1)],
}
CARRY = {"row 3": (-1, 0), "row 5": (-1, 0), "left": (0, -1), "right": (0, 1)}


def raster(height, width, channels=1):
    return Raster(Raster.Config(), ImageSpec(channels, height, width, 4), "sequential")


def by_pixels(layer, name, x):
    """Equation 3, one pixel after the other in an order that every direction may take."""
    batch, maps, height, width = x.shape
    units = maps // 4
    hidden, cell, out = {}, {}, x.new_zeros(batch, units, height, width)
    columns = range(width - 1, -1, -1) if name == "right" else range(width)
    for r, c in itertools.product(range(height), columns):
        gates = x[:, :, r, c].clone()
        for tap, (dy, dx) in enumerate(TAPS[name]):
            before = hidden.get((r + dy, c + dx), layer.hidden.expand(batch, units))
            gates += before @ layer.weight[:, :, tap].T
        o, f, i = (torch.sigmoid(gates[:, k * units : (k + 1) * units]) for k in range(3))
        g = torch.tanh(gates[:, 3 * units :])
        carried = cell.get((r + CARRY[name][0], c + CARRY[name][1]), layer.cell.expand(batch, units))
        cell[r, c] = f * carried + i * g
        hidden[r, c] = o * torch.tanh(cell[r, c])
        out[:, :, r, c] = hidden[r, c]
    return out


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equation_3_at_every_pixel(name, size):
    layer = LAYERS[name](5, raster(*size)).double()
    randomise(layer, seed=3)
    x = torch.randn(2, 20, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(layer(x), by_pixels(layer, name, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_every_front_has_sites_and_every_site_a_front_after_those_it_reads(name, size):
    fronts = LAYERS[name](2, raster(*size)).fronts
    assert len(fronts.sites) == len(fronts.pads) == (size[0] if "row" in name else sum(size) - 1)
    assert all(len(front) for front in fronts.sites)
    assert torch.equal(torch.cat(list(fronts.sites)).sort().values, torch.arange(size[0] * size[1]))
    when = {site: number for number, front in enumerate(fronts.sites) for site in front.tolist()}
    read = [(site, tap) for site, taps in enumerate(fronts.taps.tolist()) for tap in taps if tap in when]
    assert all(when[tap] == when[site] - 1 for site, tap in read)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_contract(name, channels, size):
    """Under readiness that is random, and under the raster's, where a mirrored row is due in one step."""
    ordering = raster(*size, channels)
    layer = LAYERS[name](2 * channels, ordering)
    for readiness in (None, [ordering.group_steps]):
        check_layer(layer, [(8 * channels, *size)], groups=channels, readiness=readiness)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_the_equations(name):
    layer = LAYERS[name](2, raster(3, 4)).double()
    randomise(layer, seed=1)
    x = torch.randn(2, 8, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaves = [x, layer.weight, layer.hidden, layer.cell]
    fast = torch.autograd.grad((layer(x) * weights).sum(), leaves)
    slow = torch.autograd.grad((by_pixels(layer, name, x) * weights).sum(), leaves)
    assert len(fast) == 4
    for one, other in zip(fast, slow, strict=True):
        assert other.abs().max() > 1e-3
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def made(name, size=(3, 4), maps=2):
    layer = LAYERS[name](maps, raster(*size)).double()
    randomise(layer, seed=1)
    x = torch.randn(2, 4 * maps, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return layer, x.requires_grad_()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_scan_gives_what_the_loop_gives(name, size):
    layer, x = made(name, size, 3)
    assert torch.allclose(layer._scanned(x, Scan.apply), layer(x), rtol=0, atol=1e-13)


@pytest.mark.needs_compiler
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_code_for_a_cpu_gives_what_the_scan_gives(name, threads, monkeypatch):
    """Outputs and gradients, whichever layout the images have, which the result has, too."""
    monkeypatch.setattr(sharing, "LEAST", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for size, form in ((SIZES[0], torch.contiguous_format), (SIZES[1], torch.channels_last)):
        layer, x = made(name, size, 3)
        x = x.detach().contiguous(memory_format=form).requires_grad_()
        leaves = [x, layer.weight, layer.hidden, layer.cell]
        with FusedOnCPU():
            found = layer(x)
        assert "ScanOnCPUBackward" in reached(found.grad_fn) and found.is_contiguous(memory_format=form)
        expected, weights = layer._scanned(x, Scan.apply), torch.rand_like(found)
        with FusedOnCPU(lean=0):
            assert torch.equal(layer(x), expected)
        assert torch.allclose(found, expected, rtol=0, atol=1e-13)
        ours, theirs = (torch.autograd.grad((out * weights).sum(), leaves) for out in (found, expected))
        for one, other in zip(ours, theirs, strict=True):
            assert one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=1e-13)


def test_on_a_cpu_and_where_it_is_asked_for_recurrences_are_loops(monkeypatch):
    layer, x = made("row 3")
    monkeypatch.setattr(Recurrence, "_scanned", lambda self, x, scan: "scanned")
    assert tuple(layer(x).shape) == (2, 2, 3, 4)
    layer, x = layer.to("meta"), x.detach().to("meta")
    assert layer(x) == "scanned"
    keep_loops(layer)
    assert tuple(layer(x).shape) == (2, 2, 3, 4)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [(3, 3), (1, 1)], ids=str)
def test_the_scans_own_gradients_are_those_of_finite_differences(name, size):
    layer, x = made(name, size)
    leaves = (x, layer.weight, layer.hidden, layer.cell)
    assert torch.autograd.gradcheck(lambda x, *_: layer._scanned(x, Scan.apply), leaves, fast_mode=True)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("ways", [FusedOperations, pytest.param(FusedOnCPU, marks=pytest.mark.needs_compiler)])
def test_the_scan_in_bfloat16_keeps_its_states_in_float32_as_the_loop_does(name, ways):
    layer, x = made(name, (5, 5), 8)
    layer, x = layer.float(), x.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        with FusedOnCPU() if ways is FusedOnCPU else FusedOperations(lambda *launched: None):
            scanned = layer(x)
        outs = scanned, layer(x)
    exact = layer(x.float())
    errors = [float((out - exact).detach().abs().max()) for out in outs]
    assert outs[0].dtype == torch.float32 and errors[0] <= 2 * errors[1]
    leaves = [x, layer.weight, layer.hidden, layer.cell]
    expected = torch.autograd.grad(exact.sum(), leaves)
    for one, other in zip(torch.autograd.grad(outs[0].sum(), leaves), expected, strict=True):
        assert one.dtype == other.dtype and (one - other).abs().max() < 0.03 * other.abs().max()


@pytest.mark.parametrize(("name", "fronts"), [("row 3", 8), ("left", 15)])
def test_a_scan_takes_8_launches_a_front_and_6_for_its_gradients(name, fronts):
    """And a few that are done once; the loop takes 9 to 11, and 21 to 26."""
    layer, x = made(name, (8, 8))
    with Launches() as forward:
        out = layer._scanned(x, Scan.apply).sum()
    with Launches() as backward:
        out.backward()
    assert forward.count <= 8 * fronts + 10 and backward.count <= 6 * fronts + 32


def test_torch_compiles_the_loop_whole():
    """On whatever device, since it would break a graph at the scan."""
    layer, x = made("left", (2, 3))
    layer, x = layer.to("meta"), x.detach().to("meta")
    assert torch.compile(layer, fullgraph=True, backend="eager")(x).shape == layer(x).shape == (2, 2, 2, 3)


def test_it_is_a_loop_on_a_cpu_and_elsewhere_where_a_run_keeps_to_loops():
    """But where training fuses on a CPU, of which a run's lock says so."""
    layer, x = made("left", (2, 3))
    assert not scanned(layer, x) and fuses(layer)
    keep_loops(layer)
    with FusedOperations(lambda *launched: None):
        assert scanned(layer, x)
    layer, x = made("left", (2, 3))
    layer, x = layer.to("meta"), x.detach().to("meta").requires_grad_()
    assert scanned(layer, x) and not fuses(layer)
    keep_loops(nn.ModuleList([nn.Identity(), layer]))
    with FusedOperations(lambda *launched: None):
        assert not scanned(layer, x)


def scanned(layer, x):
    return "ScanBackward" in reached(layer(x).grad_fn)


def reached(node, depth=6):
    """Names of what a result was made by."""
    if node is None or not depth:
        return []
    return [type(node).__name__, *(name for one, _ in node.next_functions for name in reached(one, depth - 1))]


@pytest.mark.parametrize("name", LAYERS)
def test_units_must_divide_among_the_colours(name):
    with pytest.raises(RecipeError, match="divide evenly"):
        LAYERS[name](4, raster(2, 2, channels=3))
