"""The table of operations: each row under all of its names, by every executor; what rows do not cover; the header."""

import functools
import math
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from nets import net_of
from teacher import COLOUR, GREY, backbone, check
from torch import fx, nn

from pixkit.execution.choose import choose
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.layout import ELEMENTWISE
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.readiness.law import find_leak
from pixkit.readiness.operations import aliases, call_of, kind_of
from pixkit.readiness.table import ROWS
from pixkit.readiness.trace import Trace

ROOT = Path(__file__).resolve().parents[2]
TWO = [lambda f, h, g: f(h, g)]
BOTH = [*TWO, lambda f, h, g: f(h, 1.5)]
FIRST = [lambda f, h, g: f(2.5, g)]
CALLS = {
    "aten.leaky_relu": [lambda f, h, g: f(h, 0.2)],
    "aten.rrelu": [lambda f, h, g: f(h, 0.1, 0.3)],
    "aten.threshold": [lambda f, h, g: f(h, 0.3, -0.5)],
    "aten.softshrink": [lambda f, h, g: f(h, 0.2)],
    "aten.hardshrink": [lambda f, h, g: f(h, 0.2)],
    "aten.hardtanh": [lambda f, h, g: f(h, -0.4, 0.7)],
    "aten.clamp": [
        lambda f, h, g: f(h, -0.4, 0.7),
        lambda f, h, g: f(h, min=0.1),
        lambda f, h, g: f(h, max=0.1),
        lambda f, h, g: f(h, 0.5, 0.1),
    ],
    "aten.clamp_min": [lambda f, h, g: f(h, 0.1)],
    "aten.clamp_max": [lambda f, h, g: f(h, 0.1)],
    "aten.add": BOTH,
    "aten.sub": BOTH,
    "aten.rsub": BOTH,
    "aten.mul": BOTH,
    "aten.div": BOTH,
    "aten.pow": [*BOTH, *(functools.partial(lambda f, h, g, power: f(h, power), power=p) for p in (2, 0.5, -0.5, -1))],
    **dict.fromkeys(("aten.floor_divide", "aten.remainder", "aten.fmod"), BOTH),
    **dict.fromkeys((f"aten.{name}" for name in ("maximum", "minimum", "max", "min", "fmax", "fmin", "hypot")), TWO),
    **dict.fromkeys((f"aten.{name}" for name in ("atan2", "nextafter", "heaviside", "ldexp")), TWO),
    **dict.fromkeys(("aten.logaddexp", "aten.logaddexp2", "aten.igamma", "aten.igammac"), TWO),
    "aten.copysign": BOTH,
    **dict.fromkeys(("aten.xlogy", "aten.xlog1py", "aten.zeta"), BOTH),
    "aten.logit": [lambda f, h, g: f(h), lambda f, h, g: f(h, 0.2), lambda f, h, g: f(h, eps=0.3)],
    "aten.nan_to_num": [lambda f, h, g: f(h), lambda f, h, g: f(h / 0.0, 0.3, posinf=2.0, neginf=-1.0)],
    "aten.mvlgamma": [lambda f, h, g: f(h, 2)],
    "aten.polygamma": [lambda f, h, g: f(*((h, 1) if f.__name__ == "method" else (1, h)))],
    **{row.name: [lambda f, h, g: f(h, 3)] for row in ROWS if "polynomial" in row.name},
    "aten.glu": [lambda f, h, g: f(h, 1), lambda f, h, g: f(h, dim=-3)],
    "nn.Softmin": [lambda f, h, g: f(h, 1), lambda f, h, g: f(h, dim=-3)],
    "aten.lerp": [lambda f, h, g: f(h, g, 0.3), lambda f, h, g: f(h, g, torch.sigmoid(g))],
    "aten.addcmul": [lambda f, h, g: f(h, g, g, value=0.3)],
    "aten.addcdiv": [lambda f, h, g: f(h, g, g, value=0.3)],
    "nn.Dropout": [lambda f, h, g: f(h, 0.5, False), lambda f, h, g: f(h, p=0.3, training=False)],
    "aten.cat": [lambda f, h, g: f([h, g], 1), lambda f, h, g: f((h, g), dim=1)],
    "aten.chunk": [lambda f, h, g: f(h, 2, 1)[1], lambda f, h, g: f(h, 3, dim=1)[-1]],
    "aten.split": [lambda f, h, g: f(h, 6, 1)[1], lambda f, h, g: f(h, [6, 12], dim=1)[1]],
    "aten.softmax": [lambda f, h, g: f(h, 1), lambda f, h, g: f(h, dim=1)],
    "aten.log_softmax": [lambda f, h, g: f(h, 1)],
}
"""How the functions of a row are called, with h and another value g; on h alone where nothing is said."""
MODULES = {
    nn.LeakyReLU: [(0.2,)],
    nn.RReLU: [(0.1, 0.3)],
    nn.PReLU: [(), (18, 0.3)],
    nn.ELU: [(0.7,)],
    nn.CELU: [(), (0.7,)],
    nn.GELU: [(), ("tanh",)],
    nn.Softplus: [(), (2.0, 0.5)],
    nn.Softshrink: [(0.2,)],
    nn.Hardshrink: [(0.2,)],
    nn.Hardtanh: [(), (-0.4, 0.7)],
    nn.Threshold: [(0.3, -0.5)],
    nn.Softmax: [(1,)],
    nn.LogSoftmax: [(1,)],
    nn.Softmin: [(-3,)],
    nn.GLU: [(1,)],
}


def positive(h):
    return h * h + 0.1


DOMAINS = {
    **dict.fromkeys(("asin", "acos", "atanh", "erfinv"), lambda h: 0.9 * torch.tanh(h)),
    **dict.fromkeys(("logit", "ndtri"), torch.sigmoid),
    **dict.fromkeys(("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "pow", "entr", "lgamma", "digamma"), positive),
    **dict.fromkeys(("polygamma", "igamma", "igammac", "bessel_y0", "bessel_y1"), positive),
    **{row.short: positive for row in ROWS if "modified_bessel_k" in row.name},
    **dict.fromkeys(("acosh", "mvlgamma", "zeta"), lambda h: h * h + 1.1),
}
"""Where a row's operation is defined: how h gets there."""
SPECIAL = ("i0", "i0e", "i1", "i1e", "erfinv", "erfcx", "ndtri", "log_ndtr", "airy_ai", "lgamma", "digamma", "mvlgamma")
SPECIAL = (*SPECIAL, "polygamma", "igamma", "igammac", "zeta")
WITHOUT = [
    row.name
    for row in ROWS
    if row.kind == "channels" or row.short in SPECIAL or "polynomial" in row.name or "bessel" in row.name
]
"""Rows that no instruction does: over the maps of a site, and special functions."""


def called(alias):
    """The alias as a function."""
    if isinstance(alias, str):

        def method(h, *args, **kwargs):
            return getattr(h, alias)(*args, **kwargs)

        return method
    return alias


def ways(row):
    """Every way of a row: name; how it is called with its module or None, h and g; makers of modules; what it equals.

    The last is how the first of those was called that had the same arguments, None for that one itself.
    """
    for cls in row.modules:
        for number, args in enumerate(MODULES.get(cls, [()])):
            make = functools.partial(lambda spec, cls, args: cls(*args), cls=cls, args=args)
            first = lambda h, g, tools: tools[0](h)  # noqa: E731 - as the next one
            yield f"{row.name} {cls.__name__} {number}", first, [make], None
            yield f"{row.name} {cls.__name__} {number} by name", lambda h, g, tools: tools[0](input=h), [make], first
    seen = {}
    for alias in aliases(row):
        if isinstance(alias, type):
            continue
        place = "method" if isinstance(alias, str) else getattr(alias, "__module__", None) or "torch"
        for number, how in enumerate(CALLS.get(row.name, [lambda f, h, g: f(h)])):
            name = alias if isinstance(alias, str) else alias.__name__
            if alias is torch.special.softmax and number == 1:
                continue
            work = functools.partial(lambda h, g, tools, how, f: how(f, h, g), how=how, f=called(alias))
            yield f"{row.name} {place} {name} {number}", work, [], seen.get(number)
            seen.setdefault(number, work)


class Holder(nn.Module):
    """A way by itself."""

    def __init__(self, work, makers=()):
        super().__init__()
        self.work, self.tools = work, nn.ModuleList(make(GREY) for make in makers)

    def forward(self, h, g):
        return self.work(h, g, self.tools)

    def operations(self):
        """(kind, instruction with its operands and numbers) of each node that calls something."""
        modules = dict(self.named_modules())
        for node in fx.Tracer().trace(self).nodes:
            if node.op.startswith("call"):
                module = modules.get(str(node.target)) if node.op == "call_module" else None
                yield kind_of(node, module), call_of(node, module)


def spelled_out(holder):
    """What a way is to an executor, as text: fx calls values by the operation, and what is given h and g."""
    operands = lambda call: [one if str(one) in "hg" else type(one) for one in call.operands]  # noqa: E731 - used once
    return [
        (kind, call and (call.instruction, str(operands(call)), call.numbers)) for kind, call in holder.operations()
    ]


def values(row):
    """h and g for it."""
    h = torch.randn(2, 18, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return DOMAINS.get(row.short, lambda h: h)(h).clone(), torch.sigmoid(h) + 0.5


def net(several, spec):
    """Ways side by side, each with h, or a positive one, and g, between a masked layer and the projection."""

    def forward(h, tools):
        rest, g, found = iter(tools), torch.sigmoid(h) + 0.5, []
        for row, _, work, makers, _ in several:
            result = work(DOMAINS.get(row.short, lambda h: h)(h), g, [next(rest) for _ in makers])
            found.append(result if row.kind != "split" else result * 1.0)
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    every = [make for _, _, _, makers, _ in several for make in makers]
    with torch.no_grad():
        sample = forward(torch.randn(2, 18, 3, 4), [make(spec) for make in every])
    return net_of(backbone(forward, 18, sample.shape[1], every), spec)


WAYS = [(row, *way) for row in ROWS for way in ways(row)]
DIFFERENT = [way for way in WAYS if way[-1] is None]
"""Each with other arguments."""


def grouped(several, size=6):
    """A few ways at a time, for one network, which is traced and planned once."""
    parts = [several[start : start + size] for start in range(0, len(several), size)]
    return [pytest.param(part, id=f"{part[0][1]} to {part[-1][1]}") for part in parts]


def traced_net(several, spec):
    """A network of ways that are all known for what they are."""
    trace = Trace(net(several, spec))
    assert find_leak(trace) is None
    kinds = [op.kind for op in trace.operations.values() if "backbone.stem" not in op.label]
    for row, *_ in several:
        assert kinds.count(row.kind) >= sum(row.kind == other.kind for other, *_ in several), kinds
    return trace


@pytest.mark.needs_compiler
@pytest.mark.parametrize("several", grouped([way for way in DIFFERENT if way[0].name not in WITHOUT]))
def test_every_operation_with_every_kind_of_arguments(several):
    trace = traced_net(several, COLOUR if "PReLU" in str(several) else GREY)
    check(trace.network, torch.float64, executors=(NativeExecutor, EagerExecutor), plan=make_plan(trace))


@pytest.mark.needs_compiler
@pytest.mark.parametrize("name", WITHOUT)
def test_every_operation_without_an_instruction(name):
    several = [way for way in DIFFERENT if way[0].name == name]
    trace = traced_net(several, GREY)
    plan = make_plan(trace)
    with pytest.raises(Unsupported, match="no instruction for "):
        NativeExecutor(plan, 1)
    for row, _, work, makers, _ in several:
        assert (row.kind, None) in Holder(work, makers).eval().operations()
    check(trace.network, torch.float64, executors=(EagerExecutor, ReferenceExecutor), plan=plan)


def found(row, work, makers):
    """What a way is to an executor, and what it computes."""
    holder = Holder(work, makers).double().eval()
    with torch.no_grad():
        return spelled_out(holder), holder(*values(row))


NAMED = [row for row in ROWS if any(way[-1] is not None for way in ways(row))]
"""Rows of several names."""


@pytest.mark.parametrize("row", NAMED, ids=lambda row: row.name)
def test_under_every_other_name_it_is_the_same_operation_and_has_the_same_values(row):
    others = [(name, work, makers, first) for name, work, makers, first in ways(row) if first is not None]
    assert others
    told = functools.cache(lambda way, maker: found(row, way, [maker] if maker else []))
    for name, work, makers, first in others:
        one, other = told(first, *(makers or [None])), found(row, work, makers)
        assert other[0] == one[0] and row.kind in dict(one[0]), name
        torch.testing.assert_close(other[1], one[1], rtol=0, atol=0, equal_nan=True, msg=name)


JUMPS = (
    "floor",
    "ceil",
    "trunc",
    "round",
    "sign",
    "threshold",
    "hardshrink",
    "frac",
    "floor_divide",
    "remainder",
    "fmod",
    "heaviside",
)


@pytest.mark.needs_compiler
@pytest.mark.parametrize(
    "several",
    grouped([(row, *next(ways(row))) for row in ROWS if row.name not in WITHOUT and row.short not in JUMPS]),
)
def test_every_operation_in_colour_and_in_both_precisions(several):
    made = net(several, COLOUR)
    plan = make_plan(Trace(made))
    check(made, torch.float64, 5, plan=plan)
    check(made, torch.float32, 5, (NativeExecutor, EagerExecutor), plan)


def traced(function):
    """The last call of a function of two values, as torch.fx hands it over."""
    graph = fx.Tracer().trace(function)
    return list(graph.nodes)[-2]


@pytest.mark.parametrize(
    "function",
    [
        lambda h, g: torch.add(h, g, out=g),
        lambda h, g: torch.exp(h, out=g),
        lambda h, g: h.sum(),
        lambda h, g: F.prelu(h, weight=g),
        lambda h, g: F.elu_(h, 1.0, 2.0),
        lambda h, g: h.softmax(2),
        lambda h, g: torch.cat([h, g], 2),
        lambda h, g: h.split(2),
        lambda h, g: h.max(2),
        lambda h, g: torch.min(h, 2, True),
        lambda h, g: h > g,
        lambda h, g: h.float_power(g),
        lambda h, g: F.glu(h),
    ],
)
def test_a_call_that_no_row_knows_mixes_everything(function):
    assert kind_of(traced(function), None) == "all"


@pytest.mark.parametrize(
    "function",
    [
        lambda h, g: torch.div(h, g, rounding_mode="other"),
        lambda h, g: torch.nan_to_num(h, posinf=math.nan),
        lambda h, g: torch.lgamma(h),
        lambda h, g: torch.round(h, decimals=2),
        lambda h, g: torch.clamp(h, min=g),
        lambda h, g: torch.add(h, g, alpha=g),
        lambda h, g: F.gelu(h, approximate="other"),
        lambda h, g: F.dropout(h, 0.5, True),
        lambda h, g: F.rrelu(h, training=True),
    ],
)
def test_arguments_that_no_instruction_means_have_none(function):
    node = traced(function)
    assert kind_of(node, None) == "elementwise" and call_of(node, None) is None


@pytest.mark.needs_compiler
@pytest.mark.parametrize(
    ("work", "label"),
    [
        (lambda h, _: torch.lgamma(h * h + 0.1), r"lgamma \(lgamma\)"),
        (lambda h, _: torch.round(h * 30, decimals=1), r"round"),
        (lambda h, _: h.clamp(min=torch.sigmoid(h)), r"clamp \(clamp\)"),
        (
            lambda h, _: torch.cat((parts := h.chunk(3, 1))[::-1], 1) * torch.cat(parts[:1] * 3, 1),
            r"getitem \(getitem\)",
        ),
        (lambda h, _: torch.cat(h.chunk(3, 1), 1), r"cat \(cat\)"),
        (lambda h, _: h.softmax(1) * h, r"softmax \(softmax\)"),
    ],
)
def test_what_the_kernel_lacks_runs_eagerly(work, label):
    made = net_of(backbone(work, 18), GREY)
    plan = make_plan(Trace(made))
    with pytest.raises(Unsupported, match=f"no instruction for {label}"):
        NativeExecutor(plan, 1)
    chosen = choose("auto", plan, 2)
    assert chosen.name == "eager" and chosen.reasons[0].startswith("not native: no instruction for ")
    check(made, torch.float64, executors=(EagerExecutor, ReferenceExecutor), plan=plan)


SPELLED = {
    "x % 2": lambda h, _: h % 0.3,
    "2 % x": lambda h, _: 2 % (h * h + 0.5),
    "x // 2": lambda h, _: h // 0.3,
    "2 // x": lambda h, _: 2 // (h * h + 0.5),
    "div down": lambda h, _: torch.div(h, 0.3, rounding_mode="floor"),
    "div towards 0": lambda h, _: h.div(0.3, rounding_mode="trunc"),
    "in place": lambda h, _: h.mul(2).remainder_(0.3).sinh_(),
    "scaled": lambda h, _: torch.add(h, h.sin(), alpha=2).sub(h.cos(), alpha=0.5) - torch.rsub(h, h.exp(), alpha=3),
    "number first": lambda h, _: torch.xlogy(2.0, h * h + 0.1) + torch.special.xlog1py(2.0, h * h),
    "max of two": lambda h, _: torch.max(h, h.sin()) + h.min(h.cos()),
    "maps from the end": lambda h, _: torch.cat((h.chunk(2, -3)[1], h.chunk(2, -3)[0]), -3),
}


def test_the_table_and_the_header_have_the_same_instructions():
    """All ways are traced one after the other, at once."""
    arity = {name: count for count, names in enumerate(ELEMENTWISE.values(), 1) for name in names}
    assert list(ELEMENTWISE) == ["UNARY", "BINARY", "TERNARY"]
    spelled = [(functools.partial(lambda h, g, tools, f: f(h, tools), f=f), []) for f in SPELLED.values()]
    every = [*((work, makers) for _, _, work, makers, _ in WAYS), *spelled]

    def all_of_them(h, g, tools):
        rest = iter(tools)
        for work, makers in every:
            work(h, g, [next(rest) for _ in makers])

    calls = [call for _, call in Holder(all_of_them, [make for _, makers in every for make in makers]).operations()]
    used = [call for call in calls if call is not None and call.instruction not in ("VIEW", "COPY", "GLU")]
    assert all(arity[call.instruction] == len(call.operands) for call in used)
    assert {call.instruction for call in used} == set(arity)


def test_no_two_rows_share_a_name():
    names = [alias for row in ROWS for alias in {id(alias): alias for alias in aliases(row)}.values()]
    seen = {}
    for row in ROWS:
        for alias in aliases(row):
            assert seen.setdefault(alias, row) is row, (alias, row.name)
    assert len(names) >= len(seen) > 200


@pytest.mark.needs_compiler
@pytest.mark.parametrize("work", SPELLED.values(), ids=SPELLED)
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=["grey", "colour"])
def test_as_people_write_it(work, spec):
    made = net_of(backbone(work, 12), spec)
    trace = Trace(made)
    assert find_leak(trace) is None
    assert not [operation.label for operation in trace.operations.values() if operation.kind == "all"]
    check(made, torch.float64, plan=make_plan(trace))


@pytest.mark.needs_compiler
def test_a_new_operation_is_a_row_and_an_expression(tmp_path):
    """A copy of pixkit with one line more in each file proves, plans and runs an operation in compiled code."""
    for name in ("pixkit", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name)  # with what Python keeps of what it has compiled
    table = tmp_path / "pixkit/readiness/table.py"
    row = '    Row("aten.exp", unary("EXP")),\n'
    assert row in table.read_text()
    table.write_text(table.read_text().replace(row, row + '    Row("aten.wave", unary("WAVE")),\n'))
    header = tmp_path / "pixkit/execution/native/elementwise.h"
    line = "#define UNARY(ROW) "
    first, rest = header.read_text().split(line, 1)
    end, rest = rest.split("\n", 1)
    header.write_text(f"{first}{line}{end}\n    ROW(WAVE, (real)atan((double)x)) \\\n{rest}")
    flags = tmp_path / "pixkit/execution/native/prebuilt.py"  # a kernel that is run for twelve sites need not be fast
    flags.write_text(flags.read_text().replace('"-O3"', '"-O0"'))
    script = """
        import torch
        torch.Tensor.wave = lambda self: self.atan()
        torch.Tensor.wave_ = lambda self: self.atan_()
        import pixkit
        from nets import net_of
        from teacher import GREY, backbone, check
        assert pixkit.__file__.startswith({here!r}), pixkit.__file__
        check(net_of(backbone(lambda h, _: (3 * h).wave().wave_(), 18), GREY), torch.float64)
    """
    places = [tmp_path, tmp_path / "plugins", ROOT / "tests/readiness"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "PIXKIT_CACHE": str(tmp_path)}
    code = textwrap.dedent(script.format(here=str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_header_is_for_gpu_compilers_too(tmp_path):
    """They take C++; what marks a function as the GPU's is defined away here."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    native = ROOT / "pixkit/execution/native"
    for real in ("float", "double"):
        source = tmp_path / f"{real}.cc"
        source.write_text(
            f"#include <math.h>\n#include <stdint.h>\ntypedef {real} real;\n#define __CUDACC__\n#define __device__\n"
            f'#define __forceinline__ inline\n#include "{native / "elementwise.h"}"\n'
            "#define ONE(NAME, ...) static real NAME(real x, real a, real b) { return (__VA_ARGS__); }\n"
            "#define TWO(NAME, ...) static real NAME(real x, real z, real a, real b) { return (__VA_ARGS__); }\n"
            "#define THREE(NAME, ...) static real NAME(real x, real z, real w, real a) { return (__VA_ARGS__); }\n"
            "UNARY(ONE) BINARY(TWO) TERNARY(THREE)\n"
        )
        done = subprocess.run([compiler, "-fsyntax-only", str(source)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
