"""Each instruction of the kernel, and of the eager executor, against torch: all sites of some images, true pixels."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from nets import NETS, ImageSpec, net_of
from teacher import COLOUR, GREY, backbone, check_both
from torch import nn

from pixkit.execution.choose import choose
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native import compile as compiling
from pixkit.execution.native.compile import NoCompiler
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.layers import (
    AppendMaps,
    ColourLayerNorm,
    ConcatenatedELU,
    KeepBefore,
    MaskedConv2d,
    Maxout,
    Shift,
    SiteLayerNorm,
    SiteRMSNorm,
)
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace


def stir(module):
    """Running statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
    module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return module


OPERATIONS = {
    "relu": lambda h, _: F.relu(h),
    "elu": lambda h, _: F.elu(h),
    "elu with alpha": lambda h, _: F.elu(h, 0.7),
    "elu with alpha by name": lambda h, _: F.elu(h, alpha=1.6),
    "sigmoid": lambda h, _: torch.sigmoid(h),
    "tanh": lambda h, _: torch.tanh(h),
    "tanh of small numbers": lambda h, _: torch.tanh(h * 0.01) * 10,
    "tanh and sigmoid of large numbers": lambda h, _: torch.tanh(h * 200) + torch.sigmoid(h * 300),
    "elu of large numbers": lambda h, _: F.elu(h * 300) * 0.01,
    "minus": lambda h, _: -h,
    "add": lambda h, _: h + F.relu(h),
    "subtract": lambda h, _: h - torch.tanh(h),
    "multiply": lambda h, _: h * torch.sigmoid(h),
    "maximum": lambda h, _: torch.maximum(h, -h),
    "numbers": lambda h, _: (0.5 + h * 2 - 0.25) * -1.5 + 1,
    "number first": lambda h, _: 3 * h + (1.0 + h),
    "chunk": lambda h, _: torch.cat([h.chunk(2, 1)[1], h.chunk(2, 1)[-2]], 1),
    "chunk, one part used": lambda h, _: h.chunk(2, 1)[1] + 1,
    "split": lambda h, _: torch.cat([torch.split(h, [6, 12], 1)[1], torch.split(h, 6, 1)[0]], 1),
    "gate": lambda h, _: torch.tanh(h.chunk(2, 1)[0]) * torch.sigmoid(h.chunk(2, 1)[1]),
    "part of a part": lambda h, _: F.dropout(h.chunk(2, 1)[1], 0.5, False).split([3, 6], 1)[1] * 2,
    "three operands, of all images or one for all": lambda h, _: torch.lerp(h, -h, torch.tanh(h)).lerp(h * h, 0.3),
    "the same twice": lambda h, _: h + h,
    "concatenate with itself": lambda h, _: torch.cat([h, h], 1),
}
WIDER = {"chunk, one part used": 9, "gate": 9, "part of a part": 6, "concatenate with itself": 36}


@pytest.mark.needs_compiler
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_functions(name, spec):
    check_both(net_of(backbone(OPERATIONS[name], 18, WIDER.get(name)), spec))


MODULES = {
    "ELU": (lambda spec: nn.ELU(0.6), 18),
    "ReLU": (lambda spec: nn.ReLU(), 18),
    "Dropout": (lambda spec: nn.Dropout(0.5), 18),
    "Identity": (lambda spec: nn.Identity(), 18),
    "ConcatenatedELU": (lambda spec: ConcatenatedELU(), 36),
    "Maxout": (lambda spec: Maxout(), 9),
    "BatchNorm2d": (lambda spec: stir(nn.BatchNorm2d(18)), 18),
    "BatchNorm2d, plain": (lambda spec: stir(nn.BatchNorm2d(18, affine=False)), 18),
    "ColourLayerNorm": (lambda spec: ColourLayerNorm(18, spec.ordering.groups, eps=1e-3), 18),
    "Shift": (lambda spec: Shift(1, 2), 18),
    "Shift down and to the left": (lambda spec: Shift(1, -2), 18),
    "KeepBefore": (lambda spec: KeepBefore(spec.ordering, 5), 18),
    "KeepBefore, the first colour of the first site": (lambda spec: KeepBefore(spec.ordering, 1), 18),
    "AppendMaps": (lambda spec: AppendMaps(torch.linspace(-1, 1, 72).view(6, 3, 4)), 24),
    "MaskedConv2d": (lambda spec: MaskedConv2d(18, 21, 5, "B", spec.ordering), 21),
    "MaskedConv2d without bias": (lambda spec: MaskedConv2d(18, 18, 3, "B", spec.ordering, bias=False), 18),
}


@pytest.mark.needs_compiler
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
@pytest.mark.parametrize("name", MODULES)
def test_modules(name, spec):
    make, out = MODULES[name]
    check_both(net_of(backbone(lambda h, tools: tools[0](h), 18, out, [make]), spec))


@pytest.mark.needs_compiler
@pytest.mark.parametrize("half", [0, 1])
def test_the_larger_of_no_number_and_a_number_is_none(half):
    net = net_of(backbone(lambda h, tools: tools[0](h), 18, 9, [lambda _: Maxout()]), GREY)
    with torch.no_grad():
        net.backbone.stem.bias[9 * half + 4] = torch.nan
    executor = NativeExecutor(make_plan(Trace(net)), 2)
    executor.advance(0)
    assert executor.params(torch.tensor([0])).isnan().all()


@pytest.mark.needs_compiler
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
@pytest.mark.parametrize(("down", "right"), [(-1, 0), (-1, 1), (-2, -1), (0, -1)])
def test_shifts_up_and_to_the_left(down, right, spec):
    """What is below, and to the right, is drawn first."""
    network = backbone(lambda h, tools: tools[0](h), 18, None, [lambda _: Shift(down, right)])
    check_both(net_of(network, spec, flip_vertical=True, flip_horizontal=True))


@pytest.mark.needs_compiler
@pytest.mark.parametrize("count", [1, 5])
def test_what_some_colours_of_a_site_keep_is_computed_of_all_of_them(count):
    """What nobody else read would not be computed, and whoever read it by mistake would find the zeros he should."""
    makers = [lambda spec: KeepBefore(spec.ordering, count)]
    check_both(net_of(backbone(lambda h, tools: h + tools[0](h), 18, None, makers), COLOUR))


@pytest.mark.needs_compiler
def test_an_ordinary_1x1_map():
    makers = [lambda _: nn.Conv2d(7, 5, 1), lambda _: nn.Conv2d(5, 5, 1, bias=False)]
    check_both(net_of(backbone(lambda h, tools: tools[1](tools[0](h)), 7, 5, makers), GREY))


@pytest.mark.needs_compiler
@pytest.mark.parametrize(
    "make",
    [
        lambda _: SiteLayerNorm(19, eps=1e-3),
        lambda _: SiteLayerNorm(19, weight=False, bias=False),
        lambda _: SiteRMSNorm(19, eps=0.1, weight=False),
        lambda _: SiteRMSNorm(19, bias=True),
    ],
)
def test_norms_over_all_maps(make):
    """Of rows side by side, and of those left over."""
    check_both(net_of(backbone(lambda h, tools: tools[0](h + 0.5), 19, None, [make]), GREY), 11)


@pytest.mark.needs_compiler
def test_rows_of_whole_vectors_that_lie_side_by_side_or_not():
    """Which an operation of several operands takes as one long row only if all of them do."""

    def work(h, _):
        part, whole = h.chunk(2, 1)[1], torch.tanh(h.chunk(2, 1)[0])
        first, second, third = (
            torch.lerp(*rows) for rows in ((part, whole, -whole), (whole, part, -whole), (whole, -whole, part))
        )
        return first + second * third - torch.lerp(whole, -whole, 0.3) + whole * part - part * whole

    check_both(net_of(backbone(work, 32, 16), GREY), 4)


@pytest.mark.needs_compiler
def test_batch_sizes():
    net = net_of(NETS["MaskedGated"], COLOUR)
    plan = make_plan(Trace(net))
    for batch in range(1, 14):
        check_both(net, batch, plan)


@pytest.mark.needs_compiler
@pytest.mark.parametrize("maps", [1, 2, 7, 15, 16, 17, 31, 33, 48, 49, 64, 80, 97])
def test_numbers_of_maps(maps):
    check_both(net_of(backbone(lambda h, _: F.elu(h), maps), GREY), 7)


@pytest.mark.needs_compiler
@pytest.mark.parametrize("name", ["Gated", "ShiftedUnet", "MaskedUnet", "Conditioned", "Attending"])
def test_networks(name):
    for spec in (GREY, COLOUR, ImageSpec(1, 1, 1, 2), ImageSpec(1, 1, 5, 2)):
        if spec.sites > 1:
            check_both(net_of(NETS[name], spec), 5)


def test_half_precision_is_left_to_others():
    net = net_of(NETS["Plain"], GREY)
    plan = make_plan(Trace(net))
    net.bfloat16()
    with pytest.raises(Unsupported, match="bfloat16"):
        NativeExecutor(plan, 1)


@pytest.fixture(params=["no compiler", "compiler that makes nothing", "source that fails"])
def broken(request, monkeypatch, tmp_path):
    """No kernel can be had."""
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path))
    if request.param == "source that fails":
        (tmp_path / "kernel.c").write_text("int broken(", encoding="utf-8")
        monkeypatch.setattr(compiling, "SOURCE", tmp_path / "kernel.c")
    else:
        monkeypatch.setenv("CC", "/nonexistent" if request.param == "no compiler" else "true")


def test_without_a_kernel_sampling_is_right_all_the_same(broken):
    net = net_of(NETS["Plain"], GREY)
    plan = make_plan(Trace(net))
    with pytest.raises(NoCompiler):
        NativeExecutor(plan, 2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "images are drawn without compiled code", RuntimeWarning)
        executor, reference = choose("auto", plan, 2).executor, ReferenceExecutor(plan, 2)
    uniforms = Noise(0, range(2)).uniforms(1, GREY).flatten(3)
    with torch.no_grad():
        executor.walk(uniforms, 1.0, None)
        reference.walk(uniforms, 1.0, None)
    assert torch.equal(executor.pixels, reference.pixels)
