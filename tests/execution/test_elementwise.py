"""Each elementwise instruction of the compiled kernel against torch in float64, over all of the numbers there are."""

import hashlib
import math

import pytest
import torch
import torch.nn.functional as F

from pixkit.execution.native.alone import evaluate
from pixkit.execution.native.layout import ELEMENTWISE

pytestmark = pytest.mark.needs_compiler


TINY = 1e-35
"""What is smaller counts as 0: exp is cut off at -87 where it is a part of something."""


def one(x):
    return torch.ones_like(x)


def at_most_one(x):
    return x.abs().clamp(max=1)


UNARY = {
    "RELU": (F.relu, (), 0, None),
    "ELU": (F.elu, (0.75,), 1, one),
    "SIGMOID": (torch.sigmoid, (), 2, None),
    "TANH": (torch.tanh, (), 1.5, one),
    "NEGATE": (torch.neg, (), 0, None),
    "LEAKY_RELU": (F.leaky_relu, (0.0625,), 0.5, None),
    "SELU": (F.selu, (), 2, None),
    "CELU": (F.celu, (0.75,), 2, None),
    "GELU": (F.gelu, (), 1.5, torch.abs),
    "GELU_TANH": (lambda x: F.gelu(x, approximate="tanh"), (), 3, torch.abs),
    "SILU": (F.silu, (), 2.5, None),
    "MISH": (F.mish, (), 4, None),
    "SOFTPLUS": (F.softplus, (2.0, 12.0), 3, None),
    "LOG_SIGMOID": (F.logsigmoid, (), 2.5, None),
    "SOFTSIGN": (F.softsign, (), 1.5, None),
    "TANHSHRINK": (F.tanhshrink, (), 2.5, at_most_one),
    "SOFTSHRINK": (F.softshrink, (0.25,), 0.5, None),
    "HARDSHRINK": (F.hardshrink, (0.25,), 0, None),
    "HARDSIGMOID": (F.hardsigmoid, (), 1.5, None),
    "HARDSWISH": (F.hardswish, (), 2, None),
    "THRESHOLD": (F.threshold, (0.25, -2.0), 0, None),
    "CLAMP": (torch.clamp, (-1.0, 2.0), 0, None),
    "EXP": (torch.exp, (), 1.5, None),
    "EXPM1": (torch.expm1, (), 1.5, None),
    "LOG": (torch.log, (), 1.5, None),
    "LOG1P": (torch.log1p, (), 2, None),
    "SQRT": (torch.sqrt, (), 1, None),
    "RSQRT": (torch.rsqrt, (), 1.5, None),
    "SQUARE": (torch.square, (), 0.5, None),
    "RECIPROCAL": (torch.reciprocal, (), 0.5, None),
    "ABS": (torch.abs, (), 0, None),
    "SIGN": (torch.sign, (), 0, None),
    "SIN": (torch.sin, (), 1, None),
    "COS": (torch.cos, (), 1, None),
    "ERF": (torch.erf, (), 1.5, None),
    "FLOOR": (torch.floor, (), 0, None),
    "CEIL": (torch.ceil, (), 0, None),
    "TRUNC": (torch.trunc, (), 0, None),
    "ROUND": (torch.round, (), 0, None),
    "TAN": (torch.tan, (), 1, None),
    "ASIN": (torch.asin, (), 1, None),
    "ACOS": (torch.acos, (), 1, None),
    "ATAN": (torch.atan, (), 1, None),
    "SINH": (torch.sinh, (), 1, None),
    "COSH": (torch.cosh, (), 1, None),
    "ASINH": (torch.asinh, (), 1, None),
    "ACOSH": (torch.acosh, (), 1, None),
    "ATANH": (torch.atanh, (), 1, None),
    "SINC": (torch.sinc, (), 1, None),
    "EXP2": (torch.exp2, (), 1, None),
    "LOG2": (torch.log2, (), 1, None),
    "LOG10": (torch.log10, (), 1, None),
    "LOGIT": (torch.logit, (0.0625,), 1, None),
    "ERFC": (torch.erfc, (), 1, None),
    "NDTR": (lambda x: torch.erfc(-x * 0.5**0.5) / 2, (), 1, None),  # ndtr itself gives 0 below -8.3 (pytorch #192295)
    "ENTR": (torch.special.entr, (), 1, None),
    "FRAC": (torch.frac, (), 0, None),
}
"""The same of torch; numbers; how many float32 ulp the instruction may be off, of its value or of a scale if larger.

ELU and TANH are what samples have always been drawn with: they are exact to an ulp of 1, not of a small value. Where
the scale is |x|, the value is a difference that torch, too, takes in the precision at hand.
"""
BINARY = {
    "ADD": (torch.add, (0.5,), 1, lambda x, z: x.abs() + z.abs()),
    "SUB": (torch.sub, (0.5,), 1, lambda x, z: x.abs() + z.abs()),
    "MUL": (torch.mul, (), 0.5, None),
    "MAXIMUM": (torch.maximum, (), 0, None),
    "MINIMUM": (torch.minimum, (), 0, None),
    "DIV": (torch.div, (), 0.5, None),
    "POW": (torch.pow, (), 1, None),
    "PRELU": (lambda x, z: torch.where(x > 0, x, z * x), (), 0.5, None),
    "TRUNC_DIVIDE": (lambda x, z: torch.div(x, z, rounding_mode="trunc"), (), 0, None),
    "FLOOR_DIVIDE": (torch.floor_divide, (), 0, None),
    "REMAINDER": (torch.remainder, (), 0.5, None),
    "FMOD": (torch.fmod, (), 0, None),
    "FMAX": (torch.fmax, (), 0, None),
    "FMIN": (torch.fmin, (), 0, None),
    "HYPOT": (torch.hypot, (), 1, None),
    "ATAN2": (torch.atan2, (), 1, None),
    "COPYSIGN": (torch.copysign, (), 0, None),
    "NEXTAFTER": (torch.nextafter, (), 1, None),
    "HEAVISIDE": (torch.heaviside, (), 0, None),
    "LDEXP": (torch.ldexp, (), 1, None),
    "XLOGY": (torch.xlogy, (), 1, None),
    "XLOG1PY": (torch.special.xlog1py, (), 1, None),
    "LOGADDEXP": (torch.logaddexp, (), 1, lambda x, z: torch.maximum(x.abs(), z.abs())),
    "LOGADDEXP2": (torch.logaddexp2, (), 1, lambda x, z: torch.maximum(x.abs(), z.abs())),
    "NAN_TO_NUM": (lambda x, z, a, b: torch.where(x.isnan(), z, x.nan_to_num(0.0, a, b)), (3.0, -5.0), 0, None),
}
TERNARY = {
    "LERP": (torch.lerp, (), 4, lambda x, z, w: (x.abs() + z.abs()) * (1 + w.abs())),
    "ADDCMUL": (lambda *xs, a: torch.addcmul(*xs, value=a), (0.5,), 2, lambda x, z, w: x.abs() + (z * w).abs()),
    "ADDCDIV": (lambda *xs, a: torch.addcdiv(*xs, value=a), (0.5,), 2, lambda x, z, w: x.abs() + (z / w).abs()),
}


def everything(seed=0):
    """Numbers of every size and sign, and those that are none, as float32."""
    generator = torch.Generator().manual_seed(seed)
    sizes = 10 ** torch.linspace(-37, 37, 4000, dtype=torch.float64)
    plain = [torch.randn(20000, generator=generator, dtype=torch.float64) * size for size in (0.3, 4, 40)]
    special = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1, -1, 3, -3, 0.25, -0.25, 2, 88.5, -88.5, 89.5])
    line = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    return torch.cat([line, *plain, sizes, -sizes, special.double()]).float()


def compare(instruction, function, operands, numbers, ulps, scale, dtype):
    given = [operand.to(dtype) for operand in operands]
    keys = {"alpha": numbers[0]} if instruction in ("ADD", "SUB") else {}
    keys = {"a": numbers[0]} if instruction.startswith("ADDC") else keys
    rest = () if keys else numbers
    found, theirs = evaluate(instruction, given, numbers), function(*given, *rest, **keys)
    exact = [operand.double() for operand in operands]
    # A quotient may be rounded to the next whole number, which depends on the precision at hand.
    expected = theirs.double() if instruction.endswith("_DIVIDE") else function(*exact, *rest, **keys)
    counts = torch.isfinite(expected) & (expected.abs() < 3e38) & torch.isfinite(theirs)
    size = expected.abs() if scale is None else torch.maximum(expected.abs(), scale(*exact))
    precision = ulps * 2.0**-23 if dtype == torch.float32 else 1e-12
    off = (found.double() - expected).abs() - precision * size - TINY
    worst = torch.where(counts, off, -1).argmax()
    assert torch.isfinite(found[counts]).all()
    assert off[counts].max() <= 0, (instruction, [x[worst].item() for x in exact], found[worst], expected[worst])
    missing = torch.stack([operand.isnan() for operand in given]).any(0)
    assert torch.equal(found.isnan()[missing], theirs.isnan()[missing]), "NaN in, NaN out, where torch does it"
    assert not (found.isnan() & counts).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("instruction", ELEMENTWISE["UNARY"])
def test_of_one_value(instruction, dtype):
    function, numbers, ulps, scale = UNARY[instruction]
    compare(instruction, function, [everything()], numbers, ulps, scale, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("lists", [("BINARY", BINARY), ("TERNARY", TERNARY)], ids=lambda lists: lists[0])
def test_of_several(lists, dtype):
    assert set(ELEMENTWISE[lists[0]]) == set(lists[1])
    for instruction in lists[1]:
        function, numbers, ulps, scale = lists[1][instruction]
        count = {"BINARY": 2, "TERNARY": 3}[lists[0]]
        first = everything()
        generator = torch.Generator().manual_seed(1)
        operands = [first, *(first[torch.randperm(len(first), generator=generator)] for _ in range(count - 1))]
        if instruction == "POW":
            operands = [operands[0].abs(), operands[1].clamp(-20, 20)]
        if instruction == "LERP":
            operands[2] = torch.rand(len(first), generator=generator) * 1.5
        compare(instruction, function, operands, numbers, ulps, scale, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("instruction", [*UNARY, *(name for name in BINARY if name not in ("ADD", "SUB"))])
def test_at_the_edges_as_torch(instruction, dtype):
    """At zeros of both signs, infinities, NaN, and where a function ends."""
    function, numbers, *_ = {**UNARY, **BINARY}[instruction]
    edges = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1, -1, 2, -2, 0.5, -0.5, 3, -3.5, 1e30, -1e30])
    edges = edges.to(dtype)
    operands = [edges] if instruction in UNARY else [edges.repeat_interleave(len(edges)), edges.repeat(len(edges))]
    found, theirs = evaluate(instruction, operands, numbers), function(*operands, *numbers)
    if instruction in LIMITS:
        found, theirs = found[edges.isfinite()], theirs[edges.isfinite()]
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-6, equal_nan=True)
    zeros = (theirs == 0) & (found == 0)
    if instruction in SIGNED:
        assert torch.equal(found[zeros].signbit(), theirs[zeros].signbit())


LIMITS = ("GELU", "GELU_TANH", "SILU", "MISH")
"""Instructions of which torch itself gives now a limit at an infinity and now NaN, depending on its vectors."""
SIGNED = ("TAN", "ASIN", "ATAN", "SINH", "ASINH", "ATANH", "ATAN2", "COPYSIGN", "TRUNC_DIVIDE", "FLOOR_DIVIDE")
"""Instructions whose zeros have torch's sign: what divides by them depends on it."""


@pytest.mark.parametrize("instruction", ["LOG", "LOG1P"])
def test_logarithms_of_the_least_numbers(instruction):
    """Below the normal range of float32 as well."""
    x = torch.tensor([2**-149, 1e-44, 1e-40, 2**-126 - 2**-149, 2**-126, 2**-125], dtype=torch.float32)
    expected = getattr(torch, instruction.lower())(x.double())
    assert torch.allclose(evaluate(instruction, [x]).double(), expected, rtol=2e-7, atol=0)


@pytest.mark.parametrize("instruction", ["GELU", "SILU", "SOFTPLUS", "MISH", "TANH", "ERF", "LOG1P"])
def test_the_same_at_every_place_of_a_vector(instruction):
    """Whole vectors and what is left over give the same bits."""
    x = everything()[:1000]
    whole = evaluate(instruction, [x], (1.0, 20.0))
    for start, length in ((0, 1), (3, 7), (10, 16), (11, 37), (100, 63)):
        part = evaluate(instruction, [x[start : start + length]], (1.0, 20.0))
        assert torch.equal(part.view(torch.int32), whole[start : start + length].view(torch.int32))
    apart = evaluate(instruction, [x[::3]], (1.0, 20.0))
    assert torch.equal(apart.view(torch.int32), whole[::3].view(torch.int32)), "wherever they lie"


BITS = {"ELU": "0e01ee525e03c726", "SIGMOID": "303c30dc3213d20f", "TANH": "db1f2ed37955b1ad"}


@pytest.mark.parametrize("instruction", BITS)
def test_the_bits_with_which_samples_have_always_been_drawn(instruction):
    """Others are as right, but a seed would give other images."""
    found = evaluate(instruction, [torch.arange(-1024, 1025) / 128], (0.75,) if instruction == "ELU" else ())
    assert hashlib.sha256(found.numpy().tobytes()).hexdigest()[:16] == BITS[instruction]


def test_elu_keeps_what_is_near_0_in_double_precision():
    x = -(10.0 ** -torch.arange(1, 15, dtype=torch.float64))
    assert torch.allclose(evaluate("ELU", [x], (0.75,)), 0.75 * torch.expm1(x), rtol=1e-14, atol=0)
