"""Which executor runs a plan, and what is said of those that do not."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from nets import NETS, net_of
from teacher import COLOUR, GREY, backbone
from torch import nn

from pixkit.execution.choose import EXECUTORS, choose
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.layers import KeepBefore, Shift
from pixkit.layers.base import MixingLayer, PointwiseLayer
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.samplers import sampler_for


class Wave(PointwiseLayer):
    """A pointwise layer that no table knows."""

    def forward(self, x):
        return torch.sin(3 * x) + x


class Above(MixingLayer):
    """A mixing layer of a plugin: what the site above holds, twice."""

    def forward(self, x):
        return 2 * F.pad(x, (0, 0, 1, 0))[:, :, :-1]

    def ready(self, source):
        return F.pad(source, (0, 0, 1, 0))[:, :-1]

    def at(self, group, groups, sites, inputs, state):
        width = 4
        above = torch.where(sites >= width, sites - width, inputs[0].shape[1] - 1)
        return 2 * inputs[0][:, above, group::groups]


class Ordinary(nn.Module):
    """An ordinary convolution and a norm over sites, of features of the first row alone, read by the rows below."""

    def __init__(self, spec):
        super().__init__()
        self.hide = KeepBefore(spec.ordering, spec.image.width * spec.ordering.groups)
        self.free = nn.Sequential(nn.Conv2d(18, 18, 3, padding=1), nn.GroupNorm(2, 18))
        self.down = Shift(1, 0)

    def forward(self, x):
        return x + self.down(self.free(self.hide(x)))


class Swapped(Ordinary):
    """Columns of the first row exchanged, by operations that the kernel has along the maps."""

    def __init__(self, spec):
        super().__init__(spec)
        self.free = None

    def forward(self, x):
        return x + self.down(torch.cat(self.hide(x).split((1, 3), 3)[::-1], 3))


class Mingled(Ordinary):
    """Colours of the first row exchanged."""

    def __init__(self, spec):
        super().__init__(spec)
        self.free = None

    def forward(self, x):
        return x + self.down(torch.cat(self.hide(x).split((1, 17), 1)[::-1], 1))


class Odd(nn.Module):
    """Parts that do not divide among the colours, of a value that needs no pixel."""

    def __init__(self, spec):
        super().__init__()
        self.value = nn.Parameter(torch.randn(1, 18, 1, 1))

    def forward(self, x):
        return x * self.value.softmax(1) + torch.cat(self.value.split((5, 13), 1)[::-1], 1)


LACKING = {
    "a pointwise layer": (lambda h, tools: tools[0](h), [lambda _: Wave()], r"tools\.0 \(Wave\)"),
    "a mixing layer": (lambda h, tools: h + tools[0](h), [lambda _: Above()], r"tools\.0 \(Above\)"),
    "operations on whole images": (lambda h, tools: tools[0](h), [Ordinary], r"tools\.0\.free\.1 \(GroupNorm\)"),
}


def images(executor, noise):
    with torch.no_grad():
        executor.walk(noise.uniforms(1, executor.plan.trace.network.spec).flatten(3), 1.0, None)
    return executor.pixels


@pytest.mark.needs_compiler
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
@pytest.mark.parametrize("ordering", ["raster", "row_at_once", "hilbert"])
@pytest.mark.parametrize("name", ["a pointwise layer", "a mixing layer", "operations on whole images"])
def test_what_the_kernel_lacks_runs_eagerly_and_the_reason_names_it(name, ordering, spec):
    if ordering == "hilbert" and name != "a pointwise layer":
        pytest.skip("reads the row above, which this ordering draws later")
    work, makers, label = LACKING[name]
    plan = make_plan(Trace(net_of(backbone(work, 18, None, makers), spec, ordering, gain=0.8)))
    chosen, noise = choose("auto", plan, 4), Noise(5, range(4))
    assert chosen.name == "eager" and type(chosen.executor) is EXECUTORS["eager"]
    (reason,) = chosen.reasons
    assert reason.startswith("not native: no instruction for backbone.tools.0")
    with pytest.raises(Unsupported, match=label):
        choose("native", plan, 4)
    levels = images(chosen.executor, noise)
    assert len(levels.unique()) > 1
    assert torch.equal(levels, images(ReferenceExecutor(plan, 4), noise))


@pytest.mark.needs_compiler
@pytest.mark.parametrize(("cls", "spec"), [(Swapped, GREY), (Swapped, COLOUR), (Mingled, COLOUR)])
def test_what_the_kernel_does_along_maps_or_of_each_colour_it_does_not_do_otherwise(cls, spec):
    plan = make_plan(Trace(net_of(backbone(lambda h, tools: tools[0](h), 18, None, [cls]), spec, gain=0.8)))
    with pytest.raises(Unsupported, match=r"no instruction for (split|getitem|cat)"):
        choose("native", plan, 4)
    noise = Noise(5, range(4))
    assert torch.equal(*(images(EXECUTORS[name](plan, 4, None), noise) for name in ("reference", "eager")))


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_a_view_that_is_changed_in_place_leaves_what_others_read(spec):
    """Dropout gives the stem's memory itself, which the layer above reads at later steps."""

    def work(h, tools):
        above = tools[0](h)
        return above + F.dropout(h, 0.5, False).relu_()

    plan = make_plan(Trace(net_of(backbone(work, 18, None, [lambda _: Above()]), spec, gain=0.8)))
    noise = Noise(5, range(4))
    found = [images(EXECUTORS[name](plan, 4, None), noise) for name in ("reference", "eager")]
    assert torch.equal(*found)


def test_parts_of_values_without_pixels_that_do_not_divide_among_colours():
    plan = make_plan(Trace(net_of(backbone(lambda h, tools: tools[0](h), 18, None, [Odd]), COLOUR)))
    noise = Noise(5, range(4))
    assert torch.equal(*(images(EXECUTORS[name](plan, 4, None), noise) for name in ("reference", "eager")))


@pytest.mark.needs_compiler
def test_the_quickest_needs_no_reason():
    chosen = choose("auto", make_plan(Trace(net_of(NETS["Plain"], GREY))), 2)
    assert chosen.name == "native" and chosen.reasons == () and str(chosen) == "native"


COMPILED = {"native", "bfloat16"}
BY_COMPILER = [pytest.param(name, marks=pytest.mark.needs_compiler) for name in sorted(COMPILED)]


@pytest.mark.parametrize("name", [*sorted(set(EXECUTORS) - {"graphs", "persistent"} - COMPILED), *BY_COMPILER])
def test_one_that_is_asked_for_is_taken(name):
    chosen = choose(name, make_plan(Trace(net_of(NETS["Plain"], GREY))), 2)
    assert chosen.name == name and type(chosen.executor) is EXECUTORS[name] and not chosen.reasons


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """A compiler that fails, and notes each time that it is asked."""
    script = tmp_path / "compiler"
    script.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/log\necho 'kernel.c:1: error: out of memory' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path))
    return lambda: len((tmp_path / "log").read_text().splitlines()) if (tmp_path / "log").exists() else 0


def test_no_compiler_is_a_reason_too_with_what_it_costs(failing):
    plan = make_plan(Trace(net_of(NETS["Plain"], GREY)))
    said = "^images are drawn without compiled code, 4 to 200 times slower: .*out of memory$"
    with pytest.warns(RuntimeWarning, match=said):
        chosen = choose("auto", plan, 2)
    assert chosen.name == "eager"
    (reason,) = chosen.reasons
    assert reason.startswith("not native, hence 4 to 200 times slower: ")
    assert reason.endswith("the C compiler could not build the kernel; found: kernel.c:1: error: out of memory")


def test_a_compiler_that_fails_is_asked_once_and_python_says_so_once(failing):
    net = net_of(NETS["Plain"], GREY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        found = [sampler_for("cached").draw(net, Noise(0, range(6)), batch_size=2) for _ in range(2)]
    assert failing() == 1
    assert len([warning for warning in caught if "compiled code" in str(warning.message)]) == 1
    assert torch.equal(found[0].images, found[1].images)
    assert all("not native, hence 4 to 200 times slower: " in drawn.summary for drawn in found)
    assert all("error: out of memory" in drawn.summary for drawn in found)


def test_the_compiler_is_not_asked_for_what_it_cannot_help(failing):
    work, makers, _ = LACKING["a mixing layer"]
    plan = make_plan(Trace(net_of(backbone(work, 18, None, makers), GREY)))
    (reason,) = choose("auto", plan, 2).reasons
    assert "no instruction for" in reason and failing() == 0


def test_half_precision_is_a_reason_too():
    net = net_of(NETS["Plain"], GREY)
    plan = make_plan(Trace(net))
    net.bfloat16()
    assert "bfloat16" in choose("auto", plan, 1).reasons[0]
