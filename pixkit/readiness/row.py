"""Building blocks of the table of operations: rows, instruction calls, and functions that create these."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from torch import fx, nn

Kind: TypeAlias = Literal["pixels", "static", "elementwise", "concat", "split", "channels", "mixing", "all"]
"""How readiness moves. `elementwise` keeps sites and colour groups apart, as do `concat` and `split` of maps;
`channels` mixes the maps of one site; a layer of kind `mixing` defines it itself; `all` waits for all of all inputs.
`pixels` and `static`, which needs no pixel, are the sources."""


class Expression(str):
    """An instruction that `pixkit.layers.Elementwise` brings: its expression in C, which stands for a name."""

    __slots__ = ()


class Call(NamedTuple):
    """An instruction with its operands.

    Attributes:
        instruction: a name in elementwise.h, or COPY, GLU or VIEW, which returns its first operand unchanged; or an
            `Expression`.
        operands: up to three: torch.fx nodes, numbers, or parameters with one value per map or one for all.
        numbers: the numbers a and b of elementwise.h.
    """

    instruction: str
    operands: tuple[Any, ...]
    numbers: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Row:
    """One operation.

    Attributes:
        name: ATen's name, `aten.NAME`, without any `special_` prefix. The operation comprises the functions of this
            name in torch, torch.nn.functional and torch.special, the method of this name, and their in-place versions,
            which end in an underscore. If no function of that name fits, the module's name.
        call: takes the operation's arguments under torch's names and returns the `Call`, or None for arguments that no
            instruction supports: the operation is then planned as usual and run by torch. For a module, its attributes
            of these names are used. An argument that it does not take (`out`) makes the operation all-to-all.
        kind: what the operation may mix.
        modules: module classes that are this operation.
        also: other names for it in the same namespaces.
        functions: further functions: Python's operators.
        only: whether the operation is of this kind with these arguments; otherwise it is all-to-all.
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


def unary(instruction: str) -> Callable[..., Call]:
    """A function of one operand, without numbers."""
    return lambda input, inplace=False: Call(instruction, (input,))


def default(value: Any, otherwise: float) -> Any:
    """An argument that may be None."""
    return otherwise if value is None else value


def power(input: Any, exponent: Any) -> Call:
    """Powers; torch also computes some of them without pow."""
    simple = {2: "SQUARE", 0.5: "SQRT", -0.5: "RSQRT", -1: "RECIPROCAL"}
    if isinstance(exponent, int | float) and exponent in simple:
        return Call(simple[exponent], (input,))
    return Call("POW", (input, exponent))


def divided(input: Any, other: Any, rounding_mode: str | None = None) -> Call:
    """A division, rounded or not."""
    return Call({None: "DIV", "floor": "FLOOR_DIVIDE", "trunc": "TRUNC_DIVIDE"}[rounding_mode], (input, other))


def logit(input: Any, eps: float | None = None) -> Call:
    """Clamped to eps..1 - eps; unclamped if eps is missing or negative."""
    return Call("LOGIT", (input,), (-math.inf if eps is None or eps < 0 else eps,))


def finite(
    input: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Call | None:
    """A missing number is NaN and stands for the largest or smallest number of the precision in use."""
    given = [number for number in (posinf, neginf) if number is not None]
    if any(math.isnan(number) for number in given):
        return None
    return Call("NAN_TO_NUM", (input, default(nan, 0)), (default(posinf, math.nan), default(neginf, math.nan)))


def binary(instruction: str) -> Callable[..., Call]:
    """A function of two operands, without numbers."""
    return lambda input, other: Call(instruction, (input, other))


def dropped(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Call | None:
    """Dropout, the identity in evaluation mode."""
    return None if training and p != 0 else Call("VIEW", (input,))


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Call | None:
    """No instruction computes it."""
    return None


def along_maps(arguments: Mapping[str, Any]) -> bool:
    """Whether it runs along the maps; anything but an image of four axes is all-to-all whatever its row says."""
    return arguments["dim"] in (1, -3)


def of_two_values(arguments: Mapping[str, Any]) -> bool:
    """Whether it is the max or min of two values; other overloads reduce along an axis."""
    return isinstance(arguments["other"], fx.Node)
