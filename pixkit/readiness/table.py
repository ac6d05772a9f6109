"""The table of operations: one row says what an operation of torch is called, mixes, and comes to.

A new elementwise operation is a row here and, if no instruction does it yet, its expression in
`pixkit/execution/native/elementwise.h`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import torch.nn.functional as F
from torch import nn

Kind: TypeAlias = Literal["pixels", "static", "elementwise", "concat", "split", "channels", "mixing", "all"]
"""How readiness moves. `elementwise` keeps sites and colour groups apart, as do `concat` and `split` of maps;
`channels` mixes the maps of one site; a layer of kind `mixing` says it itself; `all` waits for all of all inputs.
`pixels` and `static`, which needs no pixel, are where it starts."""


class Call(NamedTuple):
    """An instruction with what it is given.

    Attributes:
        instruction: a name in elementwise.h, or VIEW for an operation that gives its first operand as it is, or COPY.
        operands: up to three: torch.fx nodes, numbers, or parameters with a value for each map, or one for all.
        numbers: the numbers a and b of elementwise.h.
    """

    instruction: str
    operands: tuple[Any, ...]
    numbers: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Row:
    """One operation.

    Attributes:
        name: what ATen calls it, `aten.NAME`. The functions of this name in torch, torch.nn.functional and
            torch.special and the method of this name are the operation, as are those that end in an underscore, which
            write in place. Where no function of that name will do: what the module is called.
        call: takes the operation's arguments by torch's names and gives the `Call`, or None for arguments that mean
            something no instruction does. A module's numbers are attributes of these names. What it does not take
            (`out`) makes the operation all-to-all.
        kind: what the operation may mix.
        modules: classes of modules that are this operation.
        also: other names of it in the same places.
        functions: what else it may be: Python's operators.
        only: whether the operation is of this kind with these arguments; else it is all-to-all.
    """

    name: str
    call: Callable[..., Call | None]
    kind: Kind = "elementwise"
    modules: tuple[type[nn.Module], ...] = ()
    also: tuple[str, ...] = ()
    functions: tuple[Callable[..., Any], ...] = ()
    only: Callable[[Mapping[str, Any]], bool] = lambda arguments: True

    @property
    def short(self) -> str:
        """The name without `aten.`."""
        return self.name.removeprefix("aten.")


def _plain(instruction: str) -> Callable[..., Call]:
    """A function of one operand, without numbers."""
    return lambda input, inplace=False: Call(instruction, (input,))


def _number(value: Any, default: float) -> Any:
    return default if value is None else value


def _power(input: Any, exponent: Any) -> Call:
    """Powers that torch, too, takes by another way than pow."""
    simple = {2: "SQUARE", 0.5: "SQRT", -0.5: "RSQRT", -1: "RECIPROCAL"}
    if isinstance(exponent, int | float) and exponent in simple:
        return Call(simple[exponent], (input,))
    return Call("POW", (input, exponent))


def _dropped(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Call | None:
    return None if training and p != 0 else Call("VIEW", (input,))


def _along_maps(arguments: Mapping[str, Any]) -> bool:
    return arguments["dim"] == 1


ROWS: tuple[Row, ...] = (
    # Activations.
    Row("aten.relu", _plain("RELU"), modules=(nn.ReLU,)),
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
    # The module alone: the function's weight is a vector, which would count as one row of sites.
    Row("nn.PReLU", lambda input, weight: Call("PRELU", (input, weight)), modules=(nn.PReLU,)),
    Row("aten.elu", lambda input, alpha=1.0, inplace=False: Call("ELU", (input,), (alpha,)), modules=(nn.ELU,)),
    Row("aten.celu", lambda input, alpha=1.0, inplace=False: Call("CELU", (input,), (alpha,)), modules=(nn.CELU,)),
    Row("aten.selu", _plain("SELU"), modules=(nn.SELU,)),
    Row(
        "aten.gelu",
        lambda input, approximate="none": Call({"none": "GELU", "tanh": "GELU_TANH"}[approximate], (input,)),
        modules=(nn.GELU,),
    ),
    Row("aten.silu", _plain("SILU"), modules=(nn.SiLU,)),
    Row("aten.mish", _plain("MISH"), modules=(nn.Mish,)),
    Row(
        "aten.softplus",
        lambda input, beta=1.0, threshold=20.0: Call("SOFTPLUS", (input,), (beta, threshold)),
        modules=(nn.Softplus,),
    ),
    Row("aten.log_sigmoid", _plain("LOG_SIGMOID"), modules=(nn.LogSigmoid,), also=("logsigmoid",)),
    Row("aten.softsign", _plain("SOFTSIGN"), modules=(nn.Softsign,)),
    Row("aten.tanhshrink", _plain("TANHSHRINK"), modules=(nn.Tanhshrink,)),
    Row("aten.softshrink", lambda input, lambd=0.5: Call("SOFTSHRINK", (input,), (lambd,)), modules=(nn.Softshrink,)),
    Row("aten.hardshrink", lambda input, lambd=0.5: Call("HARDSHRINK", (input,), (lambd,)), modules=(nn.Hardshrink,)),
    Row(
        "aten.hardtanh",
        lambda input, min_val=-1.0, max_val=1.0, inplace=False: Call("CLAMP", (input,), (min_val, max_val)),
        modules=(nn.Hardtanh,),
    ),
    Row("aten.hardsigmoid", _plain("HARDSIGMOID"), modules=(nn.Hardsigmoid,)),
    Row("aten.hardswish", _plain("HARDSWISH"), modules=(nn.Hardswish,)),
    Row(
        "aten.threshold",
        lambda input, threshold, value, inplace=False: Call("THRESHOLD", (input,), (threshold, value)),
        modules=(nn.Threshold,),
    ),
    Row("aten.sigmoid", _plain("SIGMOID"), modules=(nn.Sigmoid,), also=("expit",)),
    Row("aten.tanh", _plain("TANH"), modules=(nn.Tanh,)),
    # Functions of one value.
    Row("aten.exp", _plain("EXP")),
    Row("aten.expm1", _plain("EXPM1")),
    Row("aten.log", _plain("LOG")),
    Row("aten.log1p", _plain("LOG1P")),
    Row("aten.sqrt", _plain("SQRT")),
    Row("aten.rsqrt", _plain("RSQRT")),
    Row("aten.square", _plain("SQUARE")),
    Row("aten.reciprocal", _plain("RECIPROCAL")),
    Row("aten.abs", _plain("ABS"), also=("absolute",), functions=(operator.abs,)),
    Row("aten.neg", _plain("NEGATE"), also=("negative",), functions=(operator.neg,)),
    Row("aten.sign", _plain("SIGN")),
    Row("aten.sin", _plain("SIN")),
    Row("aten.cos", _plain("COS")),
    Row("aten.erf", _plain("ERF")),
    Row("aten.floor", _plain("FLOOR")),
    Row("aten.ceil", _plain("CEIL")),
    Row("aten.trunc", _plain("TRUNC"), also=("fix",)),
    Row("aten.round", lambda input, decimals=0: Call("ROUND", (input,)) if decimals == 0 else None),
    Row(
        "aten.clamp",
        lambda input, min=None, max=None: Call("CLAMP", (input,), (_number(min, -math.inf), _number(max, math.inf))),
        also=("clip",),
    ),
    Row("aten.clamp_min", lambda input, min: Call("CLAMP", (input,), (min, math.inf))),
    Row("aten.clamp_max", lambda input, max: Call("CLAMP", (input,), (-math.inf, max))),
    # Of two values, of which one may be a number, and of three.
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
        lambda input, other, rounding_mode=None: Call("DIV", (input, other)) if rounding_mode is None else None,
        also=("divide", "true_divide"),
        functions=(operator.truediv, operator.itruediv),
    ),
    Row("aten.pow", _power, functions=(operator.pow, operator.ipow)),
    Row("aten.maximum", lambda input, other: Call("MAXIMUM", (input, other))),
    Row("aten.minimum", lambda input, other: Call("MINIMUM", (input, other))),
    Row("aten.lerp", lambda input, end, weight: Call("LERP", (input, end, weight))),
    Row("aten.addcmul", lambda input, tensor1, tensor2, value=1: Call("ADDCMUL", (input, tensor1, tensor2), (value,))),
    Row("aten.addcdiv", lambda input, tensor1, tensor2, value=1: Call("ADDCDIV", (input, tensor1, tensor2), (value,))),
    # What leaves values as they are, in evaluation.
    Row("aten.alias", lambda input: Call("VIEW", (input,)), modules=(nn.Identity,), functions=(operator.pos,)),
    Row("aten.contiguous", lambda input, memory_format=None: Call("VIEW", (input,))),
    Row("aten.clone", lambda input, memory_format=None: Call("VIEW", (input,))),
    Row(
        "nn.Dropout",
        _dropped,
        modules=(nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
        functions=(F.dropout, F.dropout2d),
    ),
    # Along the maps.
    Row(
        "aten.cat",
        lambda tensors, dim=0: Call("COPY", tuple(tensors)),
        kind="concat",
        also=("concat", "concatenate"),
        only=_along_maps,
    ),
    Row("aten.chunk", lambda input, chunks, dim=0: Call("VIEW", (input,)), kind="split", only=_along_maps),
    Row(
        "aten.split",
        lambda tensor, split_size=None, dim=0, split_size_or_sections=None: Call("VIEW", (tensor,)),
        kind="split",
        only=_along_maps,
    ),
    Row(
        "aten.softmax",
        lambda input, dim=None, _stacklevel=3, dtype=None: None,
        kind="channels",
        modules=(nn.Softmax,),
        only=_along_maps,
    ),
    Row(
        "aten.log_softmax",
        lambda input, dim=None, _stacklevel=3, dtype=None: None,
        kind="channels",
        modules=(nn.LogSoftmax,),
        only=_along_maps,
    ),
)
