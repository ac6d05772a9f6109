"""Elementwise operations in numpy: bit by bit those of functions.h and elementwise.h, in float32.

Uses only + - x /, comparisons, roundings and shifts, which IEEE 754 defines to the last bit; operations that need a
mathematical library are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[Any]
F = np.float32
ONE, TWO = F(1), F(2)


def power_of_two(n: npt.NDArray[np.int32]) -> Floats:
    """2^n for n in -126..127."""
    return ((n + np.int32(127)) << np.int32(23)).view(F)


def _reduced(x: Floats) -> tuple[Floats, Floats]:
    """2^n and exp(r) - 1 where exp(x) = 2^n exp(r), for bounded x."""
    x = np.minimum(np.maximum(x, F(-87)), F(88))
    n = np.rint(x * F(1.44269504))
    r = x - n * F(0.693359375)
    r += n * F(2.12194440e-4)
    p = r * F(1.9875691500e-4)
    for number in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1):
        p += F(number)
        p *= r
    p += F(5.0000001201e-1)
    p *= r
    p *= r
    p += r
    return power_of_two(np.fmax(n, F(-126)).astype(np.int32)), p  # NaN has no int32 value


def exp(x: Floats) -> Floats:
    """`exp_float`."""
    scale, p = _reduced(x)
    p += ONE
    p *= scale
    return p


def expm1(x: Floats) -> Floats:
    """`expm1_float`."""
    scale, p = _reduced(x)
    return p * scale + (scale - ONE)


def log1p_unit(x: Floats) -> Floats:
    """`log1p_unit_float`."""
    p = np.full_like(x, F(-3.243980929e-3))
    for number in (1.985126361e-2, -5.695915967e-2, 1.060361713e-1, -1.530556977e-1, 1.967593133e-1):
        p = p * x + F(number)
    for number in (-2.495413274e-1, 3.332996368e-1, -4.999990165e-1):
        p = p * x + F(number)
    return p * x * x + x


def erf(x: Floats) -> Floats:
    """`erf_float`."""
    t, s = np.abs(x), x * x
    t = np.where(t > F(4), F(4), t)
    p = np.full_like(x, F(-5.976893590e-4))
    for number in (4.990980029e-3, -2.676556632e-2, 1.128180251e-1, -3.761249483e-1, 1.283791512e-1):
        p = p * s + F(number)
    q = np.full_like(x, F(-1.971826277e-4))
    for number in (3.055615583e-3, -2.227711678e-2, 1.040374190e-1, 6.370596886e-1, 1.127749562, 1.774872508e-4):
        q = q * t + F(number)
    far = ONE - exp(-q)
    return np.where((np.abs(x) < F(0.93)) | np.isnan(x), p * x + x, np.where(x < 0, -far, far))


def tanh(x: Floats) -> Floats:
    """`tanh_`."""
    e = exp(TWO * x)
    e += ONE
    return ONE - np.divide(TWO, e, out=e)


def sigmoid(x: Floats) -> Floats:
    """`sigmoid_`."""
    e = exp(-x)
    e += ONE
    return np.divide(ONE, e, out=e)


def gated(x: Floats, s: Floats) -> Floats:
    """`gated_` for bounded x."""
    x = np.where(x < F(-100), F(-100), x)
    return x / (ONE + exp(-x * s))


def mish(x: Floats) -> Floats:
    """`mish_` for bounded x."""
    x = np.where(x < F(-100), F(-100), x)
    e = exp(np.where(x < F(30), x, F(30)))
    n = e * (e + TWO)
    return x * (n / (n + TWO))


def softplus(x: Floats) -> Floats:
    """`softplus_`."""
    return np.where(x < 0, F(0), x) + log1p_unit(exp(-np.abs(x)))


def clamp(x: Floats, low: np.float32, high: np.float32) -> Floats:
    """`clamp_`."""
    x = np.where(x < low, low, x)
    return np.where(x > high, high, x)


Unary: TypeAlias = Callable[[Floats, np.float32, np.float32], Floats]
UNARY: dict[str, Unary] = {
    "RELU": lambda x, a, b: np.where(x <= 0, F(0), x),
    "ELU": lambda x, a, b: np.where(x > 0, x, a * (exp(x) - ONE)),
    "SIGMOID": lambda x, a, b: sigmoid(x),
    "TANH": lambda x, a, b: tanh(x),
    "NEGATE": lambda x, a, b: -x,
    "LEAKY_RELU": lambda x, a, b: np.where(x > 0, x, a * x),
    "SELU": lambda x, a, b: np.where(x > 0, F(1.0507009873554805) * x, F(1.7580993408473766) * expm1(x)),
    "CELU": lambda x, a, b: np.where(x > 0, x, a * expm1(x / a)),
    "GELU": lambda x, a, b: F(0.5) * x * (ONE + erf(F(0.7071067811865476) * x)),
    "GELU_TANH": lambda x, a, b: gated(x, F(1.5957691216057308) * (ONE + F(0.044715) * x * x)),
    "SILU": lambda x, a, b: gated(x, np.ones_like(x)),
    "MISH": lambda x, a, b: mish(x),
    "SOFTPLUS": lambda x, a, b: np.where(a * x > b, x, softplus(a * x) / a),
    "LOG_SIGMOID": lambda x, a, b: -softplus(-x),
    "SOFTSIGN": lambda x, a, b: x / (ONE + np.abs(x)),
    "HARDSIGMOID": lambda x, a, b: clamp(x + F(3), F(0), F(6)) / F(6),
    "HARDSWISH": lambda x, a, b: x * clamp(x + F(3), F(0), F(6)) / F(6),
    "CLAMP": clamp,
    "ABS": lambda x, a, b: np.abs(x),
    "SQUARE": lambda x, a, b: x * x,
}
Binary: TypeAlias = Callable[[Floats, Floats, np.float32], Floats]
BINARY: dict[str, Binary] = {
    "ADD": lambda x, z, a: x + a * z,
    "SUB": lambda x, z, a: x - a * z,
    "MUL": lambda x, z, a: x * z,
    "MAXIMUM": lambda x, z, a: np.where((x > z) | np.isnan(x), x, z),
    "MINIMUM": lambda x, z, a: np.where((x < z) | np.isnan(x), x, z),
    "DIV": lambda x, z, a: x / z,
}
TERNARY: dict[str, Callable[[Floats, Floats, Floats, np.float32], Floats]] = {
    "ADDCMUL": lambda x, z, w, a: x + a * z * w,
}
ELEMENTS = frozenset([*UNARY, *BINARY, *TERNARY])
"""The available kinds of elementwise instructions."""


def operands(kind: str) -> int:
    """The number of operands of an instruction."""
    return 1 if kind in UNARY else 2 if kind in BINARY else 3


def elementwise(kind: str, operands: Sequence[Floats], a: float, b: float) -> Floats:
    """The result of an instruction for its operands."""
    if kind in UNARY:
        return UNARY[kind](operands[0], F(a), F(b))
    if kind in BINARY:
        return BINARY[kind](operands[0], operands[1], F(a))
    return TERNARY[kind](operands[0], operands[1], operands[2], F(a))
