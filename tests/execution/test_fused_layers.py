"""Linear layers, and convolutions that read ReLUs, as training on a CPU computes them, beside torch's operations."""

import math

import pytest
import torch
import torch.nn.functional as F
from families import model_of
from teacher import many_threads

from pixkit.execution.native import fusing as on_cpu
from pixkit.execution.native import products, rectified, sharing
from pixkit.execution.native.compile import kernel
from pixkit.execution.native.fusing import FusedOnCPU
from pixkit.image import ImageSpec
from pixkit.layers import MaskedConv2d, Pointwise, activation, fuses, in_turn, norm, rectifies
from pixkit.layers.fusing import Filter, Fusing
from pixkit.readiness.trace import Trace
from pixkit.testing import named

pytestmark = pytest.mark.needs_compiler
PAIRS = "avx512_bf16" in rectified.processor()
needs_pairs = pytest.mark.skipif(not PAIRS, reason="the processor does not multiply pairs of bfloat16 numbers")


def made(*shapes, dtype=torch.float64):
    random = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=random, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


def results(out, leaves):
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape).to(out)
    return [out, *torch.autograd.grad(out, leaves, weights)]


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float64, 1e-13), (torch.float32, 1e-4)])
@pytest.mark.parametrize("biased", [True, False])
def test_linear_layers_are_torchs(dtype, apart, biased, monkeypatch):
    """Of several strips of rows and parts of sums, as wide as panels or not; by two threads with the bits of one."""
    monkeypatch.setattr(products, "LEAST", 0)
    monkeypatch.setattr(on_cpu, "outrun", lambda: True)
    for rows, inner, outs in ((131, 300, 37), (2, 32, 64)):
        shapes = [(rows, 3, inner), (outs, inner), *([(outs,)] if biased else [])]
        given, exact = made(*shapes, dtype=dtype), made(*shapes)
        with FusedOnCPU():
            ours = results(F.linear(*given), given)
            with many_threads(2), monkeypatch.context() as patched:
                patched.setattr(sharing, "LEAST", 0)
                assert all(map(torch.equal, ours, results(F.linear(*given), given)))
        assert "_Multiplied" in str(ours[0].grad_fn)
        for one, other in zip(ours, results(F.linear(*exact), exact), strict=True):
            assert one.shape == other.shape and (one.double() - other).detach().abs().max() < apart * other.abs().max()


def test_other_linear_layers_are_left_to_torch(monkeypatch):
    """Small or narrow ones, under autocast or of other types; and all where torch's are as fast, or in older runs."""
    x, weight, narrow, long = made((40, 32), (64, 32), (31, 32), (64, 33), dtype=torch.float32)
    monkeypatch.setattr(on_cpu, "outrun", lambda: True)
    with FusedOnCPU():
        assert "_Multiplied" not in str(F.linear(x, weight).grad_fn), "a small one"
        for least, taken in ((40 * 32 * 64 + 1, False), (40 * 32 * 64, True), (0, True)):
            monkeypatch.setattr(products, "LEAST", least)
            assert ("_Multiplied" in str(F.linear(x, weight).grad_fn)) == taken
        for others in ((x, narrow), (x[:, :31], weight[:, :31]), (x, weight[0])):
            assert "_Multiplied" not in str(F.linear(*others).grad_fn)
        for wrong, why in (
            ((x, long), "mat1 and mat2"),
            ((x, weight.double()), "dtype"),
            ((x, weight, weight[:, 0].double()), "dtype"),
            ((x, weight, narrow[:, 0]), "size of the tensor"),
            ((x[0, 0], weight[0]), "at least 1D"),
        ):
            with pytest.raises(RuntimeError, match=why):
                F.linear(*wrong)
        torch.testing.assert_close(F.linear(x, weight, torch.ones(1)), F.linear(x, weight) + 1)  # one for all maps
        assert F.linear(x.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16):
            assert F.linear(x, weight).dtype == torch.bfloat16
        with pytest.raises(RuntimeError, match="differentiated once"):
            torch.autograd.grad(F.linear(x, weight).square().sum(), x, create_graph=True)
    with FusedOnCPU(lean=2):
        assert "_Multiplied" not in str(F.linear(x, weight).grad_fn)
    monkeypatch.setattr(on_cpu, "outrun", lambda: False)
    with FusedOnCPU():
        assert "_Multiplied" not in str(F.linear(x, weight).grad_fn)


def chain(sizes, grid, dtype, batch=5):
    """An image, channels last, kernels and biases, and these as layers; values are bfloat16's."""
    shapes = [shape for outs, inner, *sides, _ in sizes for shape in ((outs, inner, *sides), (outs,))]
    leaves = [one.detach().bfloat16() for one in made((batch, sizes[0][1], *grid), *shapes)]
    x, *rest = leaves[0].to(dtype), *(one.to(torch.promote_types(dtype, torch.float32)) for one in leaves[1:])
    x = x.contiguous(memory_format=torch.channels_last)
    leaves = [one.requires_grad_() for one in (x, *rest)]
    edges = [size[-1] for size in sizes]
    return leaves, [Filter(*leaves[1 + 2 * n : 3 + 2 * n], edge) for n, edge in enumerate(edges)]


BLOCK = [(4, 8, 1, 1, (0, 0, 0, 0)), (4, 4, 2, 3, (1, 0, 1, 1)), (8, 4, 1, 1, (0, 0, 0, 0))]
WIDE = [(56, 34, 3, 2, (0, 2, 1, 0)), (2, 56, 1, 1, (0, 0, 0, 0))]  # of panels that are filled by half, or not, or more


@needs_pairs
@pytest.mark.parametrize(
    ("sizes", "grid", "added", "biased"),
    [(BLOCK, (16, 9), True, True), (WIDE, (4, 13), False, True), (BLOCK, (3, 5), False, False)],
)
def test_convolutions_of_relus_are_torchs(sizes, grid, added, biased, monkeypatch):
    """Up to what rounding to bfloat16 changes; of one strip of sites or two, and of panels that are full or not; by two
    threads with the bits of one.
    """
    leaves, layers = chain(sizes, grid, torch.bfloat16)
    exact, plain = chain(sizes, grid, torch.float64)
    if not biased:
        layers, plain = ([one._replace(bias=None) for one in each] for each in (layers, plain))
        leaves, exact = ([each[0], *each[1::2]] for each in (leaves, exact))
    empty = torch.empty  # of memory as it may be found: what is read before it is written gives NaN
    monkeypatch.setattr(torch, "empty", lambda *size, **keys: empty(*size, **keys).fill_(math.nan))
    with FusedOnCPU() as ops, torch.autocast("cpu", torch.bfloat16):
        ours = results(ops.rectified(leaves[0], layers, added=added), leaves)
        with many_threads(2), monkeypatch.context() as patched:
            patched.setattr(sharing, "LEAST", 0)
            assert all(map(torch.equal, ours, results(ops.rectified(leaves[0], layers, added=added), leaves)))
    assert "_Rectified" in str(ours[0].grad_fn)
    assert ours[0].is_contiguous(memory_format=torch.channels_last)
    theirs = results(Fusing.rectified(FusedOnCPU(), exact[0], plain, added=added), exact)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape and (one.double() - other).detach().abs().max() < 2e-2 * other.abs().max()


@needs_pairs
def test_blocks_in_one_operation_and_taps_left_out_have_the_same_digits():
    leaves, layers = chain(BLOCK, (7, 17), torch.bfloat16)  # of two strips
    with torch.no_grad():
        layers[1].kernel[:, :, 1, 2] = 0
    fewer = [layers[0], layers[1]._replace(taps=31), layers[2]]
    with FusedOnCPU() as ops, torch.autocast("cpu", torch.bfloat16):
        first = ops.rectified(leaves[0], layers, added=True)
        ours = results(ops.residual(leaves[0], [fewer, fewer]), leaves)
        theirs = results(ops.rectified(first, layers, added=True), leaves)
    assert str(ours[0].grad_fn).count("_Rectified") and ours[0].grad_fn.next_functions[0][0].name().endswith("Grad")
    assert not ours[4][:, :, 1, 2].any() and theirs[4][:, :, 1, 2].any()
    with torch.no_grad():
        theirs[4][:, :, 1, 2] = 0
    assert all(map(torch.equal, ours, theirs))


@needs_pairs
def test_weights_become_bfloat16_as_torchs_do():
    """To the nearest, and of two the even one; what is no number stays none."""
    near = torch.tensor([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1 + 2**-8 + 2**-20, 2**-126, 3.3e38, math.nan])
    weight, x = torch.stack([near, -near], 1), torch.tensor([1.0, 0.0]).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        layers = [Filter(weight[:, :, None, None], None, (0, 0, 0, 0))]
        out = FusedOnCPU().rectified(x.view(1, 2, 1, 1).contiguous(memory_format=torch.channels_last), layers)
    assert torch.equal(out.flatten().nan_to_num(7.0), near.bfloat16().nan_to_num(7.0))


@needs_pairs
def test_numbers_that_are_none_are_not_lost_in_a_relu():
    leaves, layers = chain(BLOCK, (4, 4), torch.bfloat16)
    with torch.no_grad():
        leaves[0][1, 2] = torch.tensor([float("nan")]).view(torch.int32).bitwise_or(-(2**31)).view(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = FusedOnCPU().rectified(leaves[0], layers)
    assert out[1].isnan().any() and out[0].isfinite().all()
    assert torch.autograd.grad(out.float().sum(), leaves[1])[0].isnan().any()


@needs_pairs
def test_which_convolutions_of_relus_are_left_to_torch(monkeypatch):
    """In single precision, of images map by map, of odd maps, of another size; and all of older runs."""
    leaves, layers = chain(BLOCK, (4, 4), torch.bfloat16)
    given, odd = leaves[0], chain([(3, 8, 1, 1, (0, 0, 0, 0))], (4, 4), torch.bfloat16)[1]
    library, small = kernel("float"), [Filter(layers[0][0], None, (0, 0, 0, 0)), Filter(*layers[1][:2], (0, 0, 0, 0))]
    assert rectified.pairs(library) and rectified.suits(given, layers)
    others = [(given.float(), layers), (given.contiguous(), layers), (given, odd), (given, small), (given[:0], layers)]
    point, moved = layers[0], layers[1]._replace(edges=(1, 0, 3, -1))
    thin = given[:, :3].contiguous(memory_format=torch.channels_last)
    others += [(given, [one]) for one in (layers[1], point._replace(kernel=point.kernel.bfloat16()))]
    others += [(given, [point, moved]), (given, [point._replace(bias=point.bias.bfloat16())])]
    others += [(thin, [point._replace(kernel=point.kernel[:, :3])])]
    assert not any(rectified.suits(*each) for each in others)
    assert rectified.suits(given, layers, added=True) and rectified.suits(given, [point])
    assert not rectified.suits(given, [point], added=True), "of other maps than it is to be added to"
    for largest, taken in ((4 * 4 * 8, True), (4 * 4 * 8 - 1, False)):
        with monkeypatch.context() as patched:
            patched.setattr(rectified, "LARGEST", largest)
            assert rectified.suits(given, layers) == taken
    with torch.autocast("cpu", torch.bfloat16):
        assert "_Rectified" in str(FusedOnCPU().rectified(given, layers).grad_fn)
        assert "_Rectified" not in str(FusedOnCPU(lean=2).rectified(given, layers).grad_fn)
        loss = FusedOnCPU().rectified(given, layers).float().square().sum()
    with pytest.raises(RuntimeError, match="differentiated once"):
        torch.autograd.grad(loss, given, create_graph=True)


@needs_pairs
def test_a_wrong_convolution_is_noticed(monkeypatch):
    asked = on_cpu.rectified
    monkeypatch.setattr(on_cpu, "rectified", lambda *given: asked(*given) * 2)
    assert "rectified" in on_cpu._fault.__wrapped__()


class Asked(FusedOnCPU):
    """Lists how many convolutions are asked for together."""

    def __init__(self):
        super().__init__()
        self.counts = []

    def rectified(self, x, layers, *, added=False):
        self.counts.append((len(layers), added))
        return super().rectified(x, layers, added=added)


def test_in_turn_layers_compute_the_same_fused_or_not():
    """Whatever is between ReLUs and convolutions; a norm or dropout parts them."""
    order = named("ordering", "raster").build(ImageSpec(1, 5, 4, 2))
    relu, point, mask = activation("relu"), Pointwise(4, 4, order).double(), MaskedConv2d(4, 4, 3, "B", order).double()
    (x,) = made((2, 4, 5, 4))
    for layers, counts in (
        ([relu, point, torch.nn.Identity(), relu, mask, torch.nn.Dropout(0.0), relu, point], [(3, True)]),
        ([relu, point, norm("layer", 4, 1).double(), relu, mask], [(1, False), (1, False)]),
        ([relu, point, relu], [(1, False)]),
        ([point, activation("elu"), mask], []),
    ):
        stack = torch.nn.Sequential(*layers)
        for added in (True, False):
            plain = results(in_turn(stack, x, added=added), [x, point.weight])
            with Asked() as ops:
                ours = results(in_turn(stack, x, added=added), [x, point.weight])
            assert ops.counts == [(count, one and added) for count, one in counts] and rectifies(stack) == bool(counts)
            assert all(torch.allclose(one, other, rtol=1e-13) for one, other in zip(ours, plain, strict=True))


def test_pixelcnn_fuses_its_blocks_and_is_traced_as_before():
    sizes = ["model.backbone.width=8", "model.backbone.layers=2", "model.backbone.output_width=8"]
    model = model_of("mnist-pixelcnn", side=6, overrides=sizes).train()
    x = torch.randint(2, (3, 1, 6, 6), generator=torch.Generator().manual_seed(0))
    found = []
    for ops in (None, Asked()):
        with torch.autocast("cpu", torch.bfloat16):
            if ops is None:
                loss = -model.network.log_prob(x).mean()
            else:
                with ops:
                    loss = -model.network.log_prob(x).mean()
                    assert len(Trace(model.network).operations) > 20
                assert ops.counts == [(3, True), (3, True), (2, False)] and fuses(model)
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for one, other in zip(*found, strict=True):
        assert (one - other).detach().abs().max() <= 5e-2 * other.abs().max() + 1e-3
