"""Fused operations, their kernels run on a CPU: what torch's operations compute, gradients included."""

import contextlib
import copy
import ctypes
import gc
import itertools
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from families import LONG, model_of
from fused import Launched, fused
from teacher import Left, many_threads

from pixkit.execution.cuda import fusing as fusing_module
from pixkit.execution.cuda import nvrtc
from pixkit.execution.cuda.fusing import FusedOperations, _Divisor, plain_activated, plain_gated
from pixkit.execution.cuda.fusing_kernels import REALS, SOURCE, departure, fused_operations
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.fusing import fused_operations as fused_on
from pixkit.execution.native import fusing as on_cpu
from pixkit.execution.native import sharing
from pixkit.execution.native.compile import NoCompiler
from pixkit.execution.native.fusing import FusedOnCPU
from pixkit.image import Batch, ImageSpec
from pixkit.layers import ConcatenatedELU, Fusing, WeightNormConv2d, fuses, fusing
from pixkit.readiness.trace import Trace
from pixkit.recipe import load_recipe
from pixkit.runs.load import construct
from pixkit.training.precision import Arithmetic, ChannelsLast

pytestmark = pytest.mark.needs_compiler
CPU = torch.device("cpu")
WAYS = pytest.mark.parametrize("ways", [fused, FusedOnCPU])
EDGES = ((0, 0, 0, 0), (1, 0, 1, 1), (1, 0, 1, 0), (2, -1, -1, 3))
MOVED = ((1, -1, 0, 0), (0, 0, 1, -1), (0, 1, 0, -1), (0, 0, 0, 1))
"""Edges that leave an image as many sites, though other ones, or as many rows."""
FORMS = (torch.contiguous_format, torch.channels_last)


def images(*sizes, form=torch.contiguous_format, dtype=torch.float64, seed=0):
    random = torch.Generator().manual_seed(seed)
    given = [torch.randn(2, maps, 5, 6, generator=random, dtype=torch.float64).to(dtype) for maps in sizes]
    return [one.contiguous(memory_format=form).requires_grad_() for one in given]


def gradients(out, inputs):
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return torch.autograd.grad((out * weight).sum(), inputs)


def test_what_is_launched_is_what_the_kernels_are_written_for():
    """As many lanes as a block may have, and so many blocks that each lane has what it does together once."""
    text, asked = SOURCE.read_text(encoding="utf-8"), []
    assert f"enum {{ MANY = {fusing_module.MANY} }};" in text and f"__launch_bounds__({fusing_module.LANES})" in text
    ops = FusedOperations(
        lambda dtype, name, given, blocks, images: asked.append((name, given[1].value, blocks, images))
    )
    for side, blocks in ((32, 1), (33, 2)):
        ops.gated(torch.zeros(3, 1, 32, side), torch.zeros(3, 2, 32, side))
        assert asked.pop() == ("gate", 32 * side, blocks, 3)
    ops.activated([torch.zeros(2, 1, 4, 5)], (1, 0, 1, 1))
    assert asked == [("activate", 5 * 7, 1, 2)]


@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("launch", [Launched(), on_cpu.launch])
def test_they_are_what_torch_computes(launch, dtype):
    """As a GPU's are compared before they are used."""
    assert departure(launch, dtype, CPU) is None


@WAYS
@pytest.mark.parametrize(("edges", "form"), [*itertools.product(EDGES, FORMS), *((edges, FORMS[0]) for edges in MOVED)])
def test_edges_and_layouts(ways, edges, form):
    parts = images(3, 4, form=form)
    ours, theirs = ways().activated(parts, edges), plain_activated(parts, edges)
    assert ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-14)
    for one, other in zip(gradients(ours, parts), gradients(theirs, parts), strict=True):
        assert torch.allclose(one, other, rtol=1e-13)
    assert ours.is_contiguous(memory_format=form)


@WAYS
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("maps", [(3, 1), (1, 3), (1, 1), (2, 1, 2)])
def test_a_single_map_lies_as_those_beside_it(ways, maps, form):
    """Of it alone, nobody could tell the layouts apart."""
    parts = images(*maps, form=form)
    ours, theirs = ways().activated(parts, EDGES[1]), plain_activated(parts, EDGES[1])
    assert torch.allclose(ours, theirs, rtol=1e-14)
    for one, other in zip(gradients(ours, parts), gradients(theirs, parts), strict=True):
        assert torch.allclose(one, other, rtol=1e-13)


@WAYS
def test_a_single_site_that_is_left_lies_as_the_image_that_it_is_cut_from(ways):
    parts, edges = images(3, 2, form=torch.channels_last), (-2, -2, -3, -2)
    ours, theirs = ways().activated(parts, edges), plain_activated(parts, edges)
    assert ours.shape == (2, 10, 1, 1) and torch.allclose(ours, theirs, rtol=1e-14)
    for one, other in zip(gradients(ours, parts), gradients(theirs, parts), strict=True):
        assert torch.allclose(one, other, rtol=1e-13)


@WAYS
@pytest.mark.parametrize("form", FORMS)
def test_dropout_leaves_and_scales_what_its_mask_says(ways, form):
    ops, (x,) = ways(), images(6, form=form)
    for edges in ((1, 0, 0, 1), (2, -1, -1, 3), (-2, 1, -2, 0)):
        torch.manual_seed(3)
        ours = ops.activated([x], edges, 0.25)
        torch.manual_seed(3)
        kept = ops.keep(torch.empty(2, 12, 5, 6, dtype=torch.bool).contiguous(memory_format=form), 0.75)
        theirs = plain_activated([x], edges, kept, 1 / 0.75)
        assert torch.allclose(ours, theirs, rtol=1e-14) and 0.6 < kept.double().mean() < 0.9
        assert torch.allclose(*(gradients(out, [x])[0] for out in (ours, theirs)), rtol=1e-13)


@WAYS
def test_gradients_are_those_of_finite_differences(ways):
    ops = ways()
    x, wide = (one.detach()[:1, :, :2, :2].contiguous().requires_grad_() for one in images(2, 4))
    assert torch.autograd.gradcheck(lambda x: ops.activated([x, x], (1, 0, 1, 1)), [x])
    assert torch.autograd.gradcheck(ops.gated, [x, wide]) and torch.autograd.gradcheck(ops.gate, [wide])
    weight, gain = torch.randn(3, 2, 2, 2, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    assert torch.autograd.gradcheck(ops.normalised, [weight.requires_grad_(), gain.requires_grad_()])


@WAYS
@pytest.mark.parametrize("which", ["activated", "gated", "gate"])
def test_second_derivatives_are_refused(ways, which):
    x, wide = images(2, 4)
    ops = ways()
    if which == "gate" and ways is fused:
        pytest.skip("a GPU computes it by torch's operations")
    out = {"activated": lambda: ops.activated([x]), "gated": lambda: ops.gated(x, wide), "gate": lambda: ops.gate(wide)}
    for loss in (out[which]().square().sum(), out[which]().sum()):  # of which the second's own gradient needs none
        with pytest.raises(RuntimeError, match="differentiated once: drop create_graph=True"):
            torch.autograd.grad(loss, wide if which == "gate" else x, create_graph=True)


def test_an_interrupted_operation_leaves_the_threads_what_they_work_on(monkeypatch):
    left = Left()
    monkeypatch.setattr(sharing, "_pool", lambda process, number: left)
    monkeypatch.setattr(sharing, "LEAST", 1)
    x = torch.randn(4, 2, 3, 3)
    watched = weakref.ref(x)
    with many_threads(2), contextlib.suppress(KeyboardInterrupt):
        FusedOnCPU().activated([x])
    del x
    gc.collect()
    assert isinstance(watched(), torch.Tensor)
    assert len(left.jobs) == 2
    for job in left.jobs:
        job()
    del job
    left.jobs.clear()
    assert watched() is None


@pytest.mark.parametrize("form", FORMS)
def test_the_gate_of_a_gated_pixelcnn(form):
    """In float64 what torch's operations give, in half precision as near as its rounding; without a site, too."""
    (wide,), ops = images(6, form=form), FusedOnCPU()
    for dtype, apart in ((torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 2e-2)):
        given = wide.detach().to(dtype).requires_grad_()
        ours, theirs = ops.gate(given), Fusing.gate(ops, wide)
        assert ours.dtype == dtype and ours.is_contiguous(memory_format=form)
        pairs = [(ours, theirs), (*gradients(ours, given), *gradients(theirs, wide))]
        assert all(float((one.double() - other).detach().abs().max()) < apart for one, other in pairs)
    assert ops.gate(wide[:0]).shape == (0, 3, 5, 6)


def test_what_dropout_leaves_on_a_cpu_is_philoxs_and_of_torchs_generator():
    """The first words of Philox 4x32-10 of key and count 0, as published with Random123; and as many as it should."""
    torch.manual_seed(0)
    ops, many = FusedOnCPU(), torch.empty(100_001, dtype=torch.bool)
    one = ops.keep(many.clone(), 0.3)
    assert abs(float(one.double().mean()) - 0.3) < 0.006  # 4 deviations
    assert not torch.equal(one, ops.keep(many.clone(), 0.3)) and ops.keep(many.clone(), 1.0).all()
    torch.manual_seed(0)
    assert torch.equal(one, ops.keep(many.clone(), 0.3))
    words = {0: 0x6627E8D5, 64: 0xE169C58D, 128: 0xBC57AC4C, 192: 0x9B00DBD8}
    library = on_cpu.kernel("float")
    for place, word in words.items():
        for below, kept in ((word, 0), (word + 1, 1)):
            bits = torch.full((256,), 7, dtype=torch.uint8)
            library.keep(
                ctypes.c_void_p(bits.data_ptr()), ctypes.c_int64(256), ctypes.c_uint64(0), ctypes.c_uint32(below)
            )
            assert bits[place] == kept


def philox(counts, key):
    """Philox 4x32-10 (Salmon et al., 2011): four words for each count."""
    a, b, c, d = counts & 0xFFFFFFFF, counts >> np.uint64(32), np.zeros_like(counts), np.zeros_like(counts)
    for number in range(10):
        k, l = ((key + number * step) & 0xFFFFFFFF for key, step in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True))
        p, q = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        low = np.uint64(0xFFFFFFFF)
        a, b, c, d = q >> np.uint64(32) ^ b ^ np.uint64(k), q & low, p >> np.uint64(32) ^ d ^ np.uint64(l), p & low
    return np.stack([a, b, c, d])


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000])
def test_each_word_of_philox_decides_one_element(count):
    """In blocks of 64 counts, whose first words come first."""
    key, below = (0x12345678, 0x9ABCDEF0), 0x60000000
    bits = torch.full((count + 9,), 7, dtype=torch.uint8)
    on_cpu.kernel("float").keep(
        ctypes.c_void_p(bits.data_ptr()),
        ctypes.c_int64(count),
        ctypes.c_uint64(key[1] << 32 | key[0]),
        ctypes.c_uint32(below),
    )
    blocks = philox(np.arange(-(-count // 256) * 64, dtype=np.uint64), key).reshape(4, -1, 64)
    words = blocks.transpose(1, 0, 2).reshape(-1)[:count]
    assert bits.tolist() == [*(words < below).astype(int).tolist(), *[7] * 9]


@pytest.mark.parametrize("maps", [1, 3, 63, 64])
@pytest.mark.parametrize("form", FORMS)
def test_gates_of_few_maps_and_many_sites_and_the_other_way_round(maps, form):
    """Short rows are put side by side, some at a time, and the last of them are fewer."""
    random = torch.Generator().manual_seed(maps)
    x, wide = (
        torch.randn(2, size, 9, 29, generator=random, dtype=torch.float64)
        .contiguous(memory_format=form)
        .requires_grad_()
        for size in (maps, 2 * maps)
    )
    ops = FusedOnCPU()
    for ours, theirs, given in (
        (ops.gate(wide), Fusing.gate(ops, wide), [wide]),
        (ops.gated(x, wide), plain_gated(x, wide), [x, wide]),
    ):
        assert torch.allclose(ours, theirs, rtol=1e-13)
        for one, other in zip(gradients(ours, given), gradients(theirs, given), strict=True):
            assert torch.allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_threads_share_the_images_and_the_bits_are_the_same(form, monkeypatch):
    (x, wide), found = images(3, 6, form=form), []
    for threads, least in ((1, 0), (2, 0), (2, 10**9)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        monkeypatch.setattr(sharing, "LEAST", least)
        ops = FusedOnCPU()
        torch.manual_seed(0)
        with ops:
            outs = [ops.activated([x], EDGES[1]), ops.gated(x, wide), ops.gate(wide), F.dropout(x)]
        found.append([*outs, *torch.autograd.grad(sum(out.square().sum() for out in outs), [x, wide])])
    plainly, both, small = found
    assert all(map(torch.equal, plainly, both)) and all(map(torch.equal, plainly, small))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threads", [1, 2])
def test_rms_norms_of_torchs_modules_are_taken_over(dtype, threads, monkeypatch):
    """Over more rows than the weight's gradient is added up of at a time, and maps that vectors do not divide."""
    monkeypatch.setattr(sharing, "LEAST", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(37, 3, 2, generator=random).to(dtype).transpose(0, 2).requires_grad_()
    for keys in ({"eps": 0.1}, {}, {"elementwise_affine": False}):
        norm = torch.nn.RMSNorm(37, **keys, dtype=dtype)
        for parameter in norm.parameters():
            torch.nn.init.normal_(parameter)
        given = x.repeat(1, 25, 1)
        with FusedOnCPU():
            found = norm(given)
        taken = norm.weight is not None and dtype != torch.bfloat16
        assert ("_NormalisedBackward" in str(found.grad_fn)) == taken
        leaves = [x, *norm.parameters()]
        ours, theirs = (gradients(out, leaves) for out in (found, norm(given)))
        apart = 1e-12 if dtype == torch.float64 else 1e-4
        for one, other in zip((found, *ours), (norm(given), *theirs), strict=True):
            assert torch.allclose(one, other, rtol=apart, atol=apart)


def test_rms_norms_that_are_not_of_the_last_maps_are_torchs():
    """Of several axes, or with a weight of another size, of which torch says so."""
    x, rms = torch.randn(3, 2, 6), torch.nn.functional.rms_norm
    with FusedOnCPU():
        assert torch.allclose(rms(x, [2, 6], torch.ones(2, 6)), rms(x.flatten(1), [12]).view_as(x))
        for sizes, weight in (([6], torch.ones(5)), ([5], torch.ones(5)), ([5], torch.ones(6)), ([], torch.ones(6))):
            with pytest.raises(RuntimeError, match="normalized_shape"):
                rms(x, sizes, weight)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dropout_of_torchs_modules_is_taken_over(dtype):
    x = torch.randn(30, 40, 5).to(dtype).transpose(0, 1).requires_grad_()
    torch.manual_seed(1)
    with FusedOnCPU() as ops:
        out = torch.nn.functional.dropout(x, 0.5)
        torch.manual_seed(1)
        kept = ops.keep(torch.empty(x.shape, dtype=torch.bool), 0.5)
        assert torch.equal(out, (x.double() * kept / 0.5).to(dtype))
        assert torch.equal(torch.autograd.grad(out.sum(), x)[0], (kept.double() / 0.5).to(dtype))
        dropout = torch.nn.Dropout(0.5)
        assert not torch.equal(dropout(x), x) and torch.equal(dropout.eval()(x), x)
        whole = x.detach().clone()
        assert torch.equal(torch.nn.functional.dropout(whole, 1.0), torch.zeros_like(x))
        assert torch.nn.functional.dropout(whole, 0.5, inplace=True) is whole
        before = torch.get_rng_state()
        assert torch.equal(torch.nn.functional.dropout(whole, 0.0), whole)
        assert torch.equal(torch.get_rng_state(), before), "nothing is drawn"


def test_runs_from_before_recurrences_dropout_and_norms_were_fused_leave_them_to_torch():
    x, norm = torch.randn(4, 6, requires_grad=True), torch.nn.RMSNorm(6)
    expected = norm(x).grad_fn
    torch.manual_seed(1)
    kept = torch.nn.functional.dropout(x, 0.5)
    torch.manual_seed(1)
    with Arithmetic(fused=True, lean=0).forward(CPU):
        assert torch.equal(torch.nn.functional.dropout(x, 0.5), kept)
        assert type(norm(x).grad_fn) is type(expected) and not fusing(x)._lean
    with Arithmetic(fused=True).forward(CPU):
        assert fusing(x)._lean and type(norm(x).grad_fn) is not type(expected)


@pytest.mark.parametrize("work", [torch.nn.Dropout(0.5), torch.nn.RMSNorm(6)])
def test_second_derivatives_of_what_is_taken_over_are_refused(work):
    x = torch.randn(2, 6, requires_grad=True)
    with FusedOnCPU(), pytest.raises(RuntimeError, match="differentiated once"):
        torch.autograd.grad(work(x).square().sum(), x, create_graph=True)


def test_what_a_compiler_makes_wrong_is_not_used(monkeypatch):
    monkeypatch.setattr(on_cpu, "_fault", lambda *libraries: "3 maps: 0.1 apart, relative to the largest")
    with pytest.raises(NoCompiler, match="apart, relative to the largest"):
        fused_on(CPU)
    monkeypatch.undo()
    assert isinstance(fused_on(CPU), FusedOnCPU)


@pytest.mark.parametrize("workers", [1, 7, 64])
def test_however_many_workers_there_are(workers):
    x, wide = images(3, 6)
    ops, many = fused(workers=workers), fused()
    assert torch.equal(ops.activated([x], EDGES[1]), many.activated([x], EDGES[1]))
    assert torch.equal(ops.gated(x, wide), many.gated(x, wide))


def test_what_lies_otherwise_in_memory_or_cannot_be_told_is_computed_all_the_same():
    launched = Launched()
    ops = FusedOperations(launched)
    x, wide = images(3, 6)
    turned, cut = x.transpose(2, 3), wide.repeat(1, 1, 1, 2)[..., ::2].transpose(2, 3)
    assert torch.allclose(ops.gated(turned, cut), plain_gated(turned, cut), rtol=1e-14)
    assert torch.allclose(ops.activated([turned]), plain_activated([turned]), rtol=1e-14)
    launched.names.clear()
    assert torch.equal(ops.gated(x.float(), wide), plain_gated(x.float(), wide)) and launched.names == []
    assert ops.activated([x[:0]]).shape == (0, 6, 5, 6) and launched.names == []
    assert ops.activated([x[:, :0], x]).shape == (2, 6, 5, 6) and launched.names == ["activate"], (
        "of the maps there are"
    )


@pytest.mark.parametrize(("largest", "names"), [(4 * 91, ["activate"]), (4 * 90, [])])
def test_images_of_which_a_counter_could_not_count_the_elements_are_computed_plainly(largest, names, monkeypatch):
    """Of 90 elements each, of which four times as many are counted; however many images there are."""
    launched, (x,) = Launched(), images(3)
    monkeypatch.setattr(fusing_module, "LARGEST", largest)
    found = FusedOperations(launched).activated([x])
    assert launched.names == names and torch.allclose(found, plain_activated([x]), rtol=1e-14)


def test_what_is_of_several_dtypes_or_of_one_that_no_kernel_has_is_computed_plainly():
    launched, (x, y) = Launched(), images(3, 2)
    ops = FusedOperations(launched)
    for parts in ([x, y.float()], [x.float(), y], [x.half(), y.half()]):
        assert torch.equal(ops.activated(parts), plain_activated(parts))
    assert launched.names == []


def test_quotients():
    """Whatever the divisor, as fusing.cu takes them."""
    numbers = [0, 1, 2, 3, 1000, 2**20 - 1, 2**29 - 1]
    for by in [*range(1, 300), 1023, 1024, 1025, 33 * 34, 2**20 + 7]:
        divisor = _Divisor.of(by)
        assert divisor.magic < 2**32
        for n in {number for near in numbers for number in (near, near // by * by, max(near // by * by - 1, 0))}:
            assert (((n * divisor.magic) >> 32) + n) >> divisor.shift == n // by


def test_they_are_used_where_they_are_entered():
    x = torch.zeros(1)
    assert fusing(x) is None
    with fused() as ops, ChannelsLast():
        assert fusing(x) is ops
    assert fusing(x) is None


SIZES = ["model.backbone.filters=6", "model.backbone.resnets=1", "model.backbone.hierarchies=2"]


def step(model, ops, dropout=0.0):
    """Loss and gradients."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    x = torch.randint(5, (2, 3, 7, 7), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    batch = Batch(x, torch.tensor([1, 2]), torch.arange(2))
    if ops is None:
        loss = model.phases()[0].loss(batch, 1)["loss"]
    else:
        with ops:
            loss = model.phases()[0].loss(batch, 1)["loss"]
    return loss, torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)


@pytest.mark.parametrize("more", [[], ["model.backbone.short_cuts=false"], ["model.context={type: label, size: 3}"]])
def test_pixelcnnpp_has_the_same_gradients(more):
    loaded = load_recipe("cifar10-pixelcnnpp", [*SIZES, *more])
    model = construct(loaded.recipe, ImageSpec(3, 7, 7, 5), 3, CPU).double().train()
    torch.manual_seed(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else None
    assert fuses(model)
    launched = Launched()
    (ours, found), (theirs, expected) = step(model, FusedOperations(launched)), step(model, None)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-12)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)
    resnets = sum(type(module).__name__ == "GatedResnet" for module in model.modules())
    assert launched.names.count("gate") == launched.names.count("gate_back") == resnets == 10
    assert launched.names.count("activate") == launched.names.count("activate_back") > 2 * resnets


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("cifar10-pixelcnnpp", ["filters=6", "resnets=1", "hierarchies=2"]),
        ("cifar10-pixelsnail", ["width=6", "blocks=1", "residuals=1", "key_width=2", "value_width=3"]),
        ("cifar10-gated", ["width=6", "layers=3"]),
    ],
)
def test_on_a_cpu_networks_have_the_same_gradients(name, sizes, monkeypatch):
    sizes = [f"model.backbone.{size}" for size in (*sizes, "dropout=0")]
    loaded = load_recipe(name, [*sizes, "model.context={type: label, size: 3}"])
    model = construct(loaded.recipe, ImageSpec(3, 7, 7, 5), 3, CPU).double().train()
    torch.manual_seed(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    asked, run = [], on_cpu.launch
    monkeypatch.setattr(on_cpu, "launch", lambda dtype, name, *rest: (asked.append(name), run(dtype, name, *rest)))
    assert fuses(model)
    (ours, found), (theirs, expected) = step(model, FusedOnCPU()), step(model, None)
    assert asked and {name.removesuffix("_back") for name in asked} == {one for one in asked if "back" not in one}
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-12)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


def test_in_bf16_a_network_is_fused_too():
    model = model_of("cifar10-pixelcnnpp", side=7, overrides=SIZES).train()
    launched = Launched()
    ops = FusedOperations(launched)
    with torch.autocast("cpu", torch.bfloat16):
        loss, found = step(model, ops, dropout=0.5)
    assert launched.names.count("gate") > 4 and torch.isfinite(loss)
    assert all(torch.isfinite(one).all() for one in found if one is not None)


def test_what_is_proved_and_drawn_is_the_plain_way():
    """A trace within holds the same operations as one without."""
    network = model_of("cifar10-pixelcnnpp", side=4, overrides=SIZES).network
    with fused():
        within = Trace(copy.deepcopy(network))
    plain = Trace(network)
    assert [one.label for one in within.operations.values()] == [one.label for one in plain.operations.values()]


def test_a_fault_of_the_kernels_is_found_before_they_are_used(tmp_path):
    changed = tmp_path / "fusing.cu"
    text = SOURCE.read_text()
    for old, new in (("from.column -= s.left", "from.column -= s.top"), ("open * (1 - open)", "open")):
        assert old in text
        changed = tmp_path / f"{len(new)}" / "fusing.cu"
        changed.parent.mkdir()
        changed.write_text(text.replace(old, new))
        assert "apart, relative to the largest" in departure(Launched(source=changed), torch.float64, CPU)


def test_without_a_gpu_there_are_none():
    with pytest.raises(NoKernel, match="only CUDA devices"):
        fused_operations(CPU)


@pytest.mark.long
@pytest.mark.parametrize("arch", [80, 90, 100] if LONG else [80])
def test_the_kernels_compile(arch):
    try:
        library = nvrtc.nvrtc()
    except NoKernel:
        pytest.skip("there is no NVRTC: pip install nvidia-cuda-nvrtc")
    for real in REALS.values():
        assert nvrtc.build(library, real, arch, SOURCE).startswith(b"\x7fELF")


def test_weights_are_normalised_as_by_the_layer():
    layer = WeightNormConv2d(3, 5, (-1, 0), (-1, 1)).double()
    plain = layer.kernel()
    with fused():
        ours = layer.kernel()
    assert torch.allclose(ours, plain, rtol=1e-14)
    assert ConcatenatedELU()(torch.ones(1, 2)).shape == (1, 4)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_they_are_what_torch_computes_and_are_recorded_as_graphs():
    """`fused_operations` compares them in every dtype; a recorded step has the bits of a launched one."""
    device = torch.device("cuda", 0)
    ops, (x, wide) = fused_operations(device), images(40, 80, dtype=torch.float32)
    inputs = [one.detach().to(device).requires_grad_() for one in (x, wide)]

    def run():
        outs = [ops.activated(inputs[:1], (1, 0, 1, 1)), ops.gated(*inputs)]
        return [*outs, *torch.autograd.grad(sum(out.square().sum() for out in outs), inputs)]

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        launched = run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        recorded = run()
    graph.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(one, other) for one, other in zip(launched, recorded, strict=True))
    assert torch.allclose(recorded[0], plain_activated(inputs[:1], (1, 0, 1, 1)), rtol=1e-5, atol=1e-6)
