"""The table of operations: each row gives an operation's name in torch, what it mixes, and its instruction.

A new elementwise operation is a row here and, if no instruction computes it yet, its expression in
`pixkit/execution/native/elementwise.h`.

It contains every operation that ATen marks as pointwise (tests/execution/test_pointwise.py goes through them), except
those that do not map real numbers to real numbers, since executors store values in the network's own precision. These
are left out, so they are assumed to mix everything: comparisons, tests and logic, which return bool, and where and
masked_fill, which read it; operations on integers or complex numbers; frexp, whose second result is an integer;
float_power, which always returns float64; and random draws.
"""

from __future__ import annotations

import math
import operator

import torch.nn.functional as F
from torch import nn

from pixkit.readiness.row import (
    Call,
    Row,
    along_maps,
    binary,
    default,
    divided,
    dropped,
    finite,
    logit,
    of_two_values,
    power,
    softmax,
    unary,
)

_MODIFIED = (("", "i0"), ("", "i1"), ("", "k0"), ("", "k1"), ("scaled_", "k0"), ("scaled_", "k1"))
_POLYNOMIALS = (
    *(f"{shifted}chebyshev_polynomial_{name}" for shifted in ("", "shifted_") for name in "tuvw"),
    *("hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p"),
)

ROWS: tuple[Row, ...] = (
    # Activations.
    Row("aten.relu", unary("RELU"), modules=(nn.ReLU,)),
    Row("aten.relu6", lambda input, inplace=False: Call("CLAMP", (input,), (0, 6)), modules=(nn.ReLU6,)),
    Row(
        "aten.leaky_relu",
        lambda input, negative_slope=0.01, inplace=False: Call("LEAKY_RELU", (input,), (negative_slope,)),
        modules=(nn.LeakyReLU,),
    ),
    Row(
        "aten.rrelu",
        lambda input, lower=1 / 8, upper=1 / 3, training=False, inplace=False: (
            None if training else Call("LEAKY_RELU", (input,), ((lower + upper) / 2,))
        ),
        modules=(nn.RReLU,),
    ),
    # Only the module: the function's weight is a vector, which would count as one row of sites.
    Row("nn.PReLU", lambda input, weight: Call("PRELU", (input, weight)), modules=(nn.PReLU,)),
    Row("aten.elu", lambda input, alpha=1.0, inplace=False: Call("ELU", (input,), (alpha,)), modules=(nn.ELU,)),
    Row("aten.celu", lambda input, alpha=1.0, inplace=False: Call("CELU", (input,), (alpha,)), modules=(nn.CELU,)),
    Row("aten.selu", unary("SELU"), modules=(nn.SELU,)),
    Row(
        "aten.gelu",
        lambda input, approximate="none": Call({"none": "GELU", "tanh": "GELU_TANH"}[approximate], (input,)),
        modules=(nn.GELU,),
    ),
    Row("aten.silu", unary("SILU"), modules=(nn.SiLU,)),
    Row("aten.mish", unary("MISH"), modules=(nn.Mish,)),
    Row(
        "aten.softplus",
        lambda input, beta=1.0, threshold=20.0: Call("SOFTPLUS", (input,), (beta, threshold)),
        modules=(nn.Softplus,),
    ),
    Row("aten.log_sigmoid", unary("LOG_SIGMOID"), modules=(nn.LogSigmoid,), also=("logsigmoid",)),
    Row("aten.softsign", unary("SOFTSIGN"), modules=(nn.Softsign,)),
    Row("aten.tanhshrink", unary("TANHSHRINK"), modules=(nn.Tanhshrink,)),
    Row("aten.softshrink", lambda input, lambd=0.5: Call("SOFTSHRINK", (input,), (lambd,)), modules=(nn.Softshrink,)),
    Row("aten.hardshrink", lambda input, lambd=0.5: Call("HARDSHRINK", (input,), (lambd,)), modules=(nn.Hardshrink,)),
    Row(
        "aten.hardtanh",
        lambda input, min_val=-1.0, max_val=1.0, inplace=False: Call("CLAMP", (input,), (min_val, max_val)),
        modules=(nn.Hardtanh,),
    ),
    Row("aten.hardsigmoid", unary("HARDSIGMOID"), modules=(nn.Hardsigmoid,)),
    Row("aten.hardswish", unary("HARDSWISH"), modules=(nn.Hardswish,)),
    Row(
        "aten.threshold",
        lambda input, threshold, value, inplace=False: Call("THRESHOLD", (input,), (threshold, value)),
        modules=(nn.Threshold,),
    ),
    Row("aten.sigmoid", unary("SIGMOID"), modules=(nn.Sigmoid,), also=("expit",)),
    Row("aten.tanh", unary("TANH"), modules=(nn.Tanh,)),
    # Functions of one value.
    Row("aten.exp", unary("EXP")),
    Row("aten.expm1", unary("EXPM1")),
    Row("aten.log", unary("LOG")),
    Row("aten.log1p", unary("LOG1P")),
    Row("aten.sqrt", unary("SQRT")),
    Row("aten.rsqrt", unary("RSQRT")),
    Row("aten.square", unary("SQUARE")),
    Row("aten.reciprocal", unary("RECIPROCAL")),
    Row("aten.abs", unary("ABS"), also=("absolute",), functions=(operator.abs,)),
    Row("aten.neg", unary("NEGATE"), also=("negative",), functions=(operator.neg,)),
    Row("aten.sign", unary("SIGN"), also=("sgn",)),
    Row("aten.sin", unary("SIN")),
    Row("aten.cos", unary("COS")),
    Row("aten.tan", unary("TAN")),
    Row("aten.asin", unary("ASIN"), also=("arcsin",)),
    Row("aten.acos", unary("ACOS"), also=("arccos",)),
    Row("aten.atan", unary("ATAN"), also=("arctan",)),
    Row("aten.sinh", unary("SINH")),
    Row("aten.cosh", unary("COSH")),
    Row("aten.asinh", unary("ASINH"), also=("arcsinh",)),
    Row("aten.acosh", unary("ACOSH"), also=("arccosh",)),
    Row("aten.atanh", unary("ATANH"), also=("arctanh",)),
    Row("aten.deg2rad", lambda input: Call("MUL", (input, math.pi / 180))),
    Row("aten.rad2deg", lambda input: Call("MUL", (input, 180 / math.pi))),
    Row("aten.sinc", unary("SINC")),
    Row("aten.exp2", unary("EXP2")),
    Row("aten.log2", unary("LOG2")),
    Row("aten.log10", unary("LOG10")),
    Row("aten.logit", logit),
    Row("aten.erf", unary("ERF")),
    Row("aten.erfc", unary("ERFC")),
    Row("aten.ndtr", unary("NDTR")),
    Row("aten.entr", unary("ENTR")),
    Row("aten.frac", unary("FRAC")),
    Row("aten.nan_to_num", finite),
    Row("aten.floor", unary("FLOOR")),
    Row("aten.ceil", unary("CEIL")),
    Row("aten.trunc", unary("TRUNC"), also=("fix",)),
    Row("aten.round", lambda input, decimals=0: Call("ROUND", (input,)) if decimals == 0 else None),
    Row(
        "aten.clamp",
        lambda input, min=None, max=None: Call("CLAMP", (input,), (default(min, -math.inf), default(max, math.inf))),
        also=("clip",),
    ),
    Row("aten.clamp_min", lambda input, min: Call("CLAMP", (input,), (min, math.inf))),
    Row("aten.clamp_max", lambda input, max: Call("CLAMP", (input,), (-math.inf, max))),
    # Functions of two values, one of which may be a number, and of three.
    Row(
        "aten.add",
        lambda input, other, alpha=1: Call("ADD", (input, other), (alpha,)),
        functions=(operator.add, operator.iadd),
    ),
    Row(
        "aten.sub",
        lambda input, other, alpha=1: Call("SUB", (input, other), (alpha,)),
        also=("subtract",),
        functions=(operator.sub, operator.isub),
    ),
    Row("aten.rsub", lambda input, other, alpha=1: Call("SUB", (other, input), (alpha,))),
    Row(
        "aten.mul",
        lambda input, other: Call("MUL", (input, other)),
        also=("multiply",),
        functions=(operator.mul, operator.imul),
    ),
    Row(
        "aten.div",
        divided,
        also=("divide", "true_divide"),
        functions=(operator.truediv, operator.itruediv),
    ),
    Row("aten.pow", power, functions=(operator.pow, operator.ipow)),
    Row("aten.floor_divide", binary("FLOOR_DIVIDE"), functions=(operator.floordiv, operator.ifloordiv)),
    Row("aten.remainder", binary("REMAINDER"), functions=(operator.mod, operator.imod)),
    Row("aten.fmod", binary("FMOD")),
    Row("aten.maximum", binary("MAXIMUM")),
    Row("aten.minimum", binary("MINIMUM")),
    Row("aten.max", binary("MAXIMUM"), only=of_two_values),
    Row("aten.min", binary("MINIMUM"), only=of_two_values),
    Row("aten.fmax", binary("FMAX")),
    Row("aten.fmin", binary("FMIN")),
    Row("aten.hypot", binary("HYPOT")),
    Row("aten.atan2", binary("ATAN2"), also=("arctan2",)),
    Row("aten.copysign", binary("COPYSIGN")),
    Row("aten.nextafter", binary("NEXTAFTER")),
    Row("aten.heaviside", lambda input, values: Call("HEAVISIDE", (input, values))),
    Row("aten.ldexp", binary("LDEXP")),
    Row("aten.xlogy", binary("XLOGY")),
    Row("aten.xlog1py", binary("XLOG1PY")),
    Row("aten.logaddexp", binary("LOGADDEXP")),
    Row("aten.logaddexp2", binary("LOGADDEXP2")),
    Row("aten.lerp", lambda input, end, weight: Call("LERP", (input, end, weight))),
    Row("aten.addcmul", lambda input, tensor1, tensor2, value=1: Call("ADDCMUL", (input, tensor1, tensor2), (value,))),
    Row("aten.addcdiv", lambda input, tensor1, tensor2, value=1: Call("ADDCDIV", (input, tensor1, tensor2), (value,))),
    # Special functions that the C library lacks, or that are not thread-safe: planned, and run by torch.
    *(Row(f"aten.{name}", lambda input: None) for name in ("i0", "i0e", "i1", "i1e", "erfinv", "erfcx", "ndtri")),
    *(Row(f"aten.{name}", lambda input: None) for name in ("log_ndtr", "airy_ai", "spherical_bessel_j0")),
    *(Row(f"aten.bessel_{name}", lambda input: None) for name in ("j0", "j1", "y0", "y1")),
    *(Row(f"aten.{scaled}modified_bessel_{name}", lambda input: None) for scaled, name in _MODIFIED),
    Row("aten.lgamma", lambda input: None, also=("gammaln",)),
    Row("aten.digamma", lambda input: None, also=("psi",)),
    Row("aten.mvlgamma", lambda input, p: None, also=("multigammaln",)),
    # Tensor.polygamma takes them in the opposite order; neither is read.
    Row("aten.polygamma", lambda n, input: None),
    Row("aten.igamma", lambda input, other: None, also=("gammainc",)),
    Row("aten.igammac", lambda input, other: None, also=("gammaincc",)),
    Row("aten.zeta", lambda input, other: None),
    *(Row(f"aten.{name}", lambda input, n: None) for name in _POLYNOMIALS),
    # Operations that leave values unchanged in evaluation mode.
    Row(
        "aten.alias",
        lambda input: Call("VIEW", (input,)),
        modules=(nn.Identity,),
        also=("positive",),
        functions=(operator.pos,),
    ),
    Row("aten.contiguous", lambda input, memory_format=None: Call("VIEW", (input,))),
    Row("aten.clone", lambda input, memory_format=None: Call("VIEW", (input,))),
    Row(
        "nn.Dropout",
        dropped,
        modules=(nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
        functions=(F.dropout, F.dropout2d),
    ),
    # Along the maps.
    Row(
        "aten.cat",
        lambda tensors, dim=0: Call("COPY", tuple(tensors)),
        kind="concat",
        also=("concat", "concatenate"),
        only=along_maps,
    ),
    Row("aten.chunk", lambda input, chunks, dim=0: Call("VIEW", (input,)), kind="split", only=along_maps),
    Row(
        "aten.split",
        lambda tensor, split_size=None, dim=0, split_size_or_sections=None: Call("VIEW", (tensor,)),
        kind="split",
        only=along_maps,
    ),
    Row("aten.glu", lambda input, dim=-1: Call("GLU", (input,)), modules=(nn.GLU,), only=along_maps),
    Row("aten.softmax", softmax, kind="channels", modules=(nn.Softmax,), only=along_maps),
    Row("aten.log_softmax", softmax, kind="channels", modules=(nn.LogSoftmax,), only=along_maps),
    Row("nn.Softmin", softmax, kind="channels", modules=(nn.Softmin,), functions=(F.softmin,), only=along_maps),
    Row("nn.Softmax2d", lambda input: None, kind="channels", modules=(nn.Softmax2d,)),
)
