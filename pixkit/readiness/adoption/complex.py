"""Complex numbers that need pixels: pairs of real ones, rotated and added, as in rotary positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.moves import MOVED, SAME
from pixkit.readiness.adoption.pointwise import pointwise
from pixkit.readiness.adoption.separable import Mixed

MADE = frozenset(("view_as_complex", "complex"))
"""Operations that make complex numbers from real ones."""
NEGATED = frozenset(("neg", "conj", "_conj", "conj_physical", "_conj_physical"))
"""Operations that negate imaginary parts."""
COMPLEX = MADE | NEGATED | {"view_as_real", "real", "imag", "add", "sub", "mul"}
"""Operations on complex numbers other than moves."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """A complex logical tensor: addresses of its real and its imaginary parts."""

    real: Tensor
    imaginary: Tensor


Part = Tensor | Known | float | None
"""A real or imaginary part; None for zeros."""


def of_pairs(
    builder: Builder, name: str, arguments: dict[str, Any], each: Callable[[dict[str, Any]], Any]
) -> Tensor | Pairs:
    """Apply an operation to complex numbers.

    Args:
        builder: the graph to add it to.
        name: ATen's name of the operation.
        arguments: by ATen's names: `Pairs`, addresses, `Known`, numbers.
        each: applies the operation to real numbers, for operations that only move them.

    Raises:
        Mixed: if it is not a product, sum, conjugate, or a conversion from or to real numbers.
    """
    if name in MOVED | SAME:
        return Pairs(*(each({key: _part(value, place) for key, value in arguments.items()}) for place in (0, 1)))
    values = list(arguments.values())
    if name in MADE:
        pair = values[0].unbind(-1) if name == "view_as_complex" else values[:2]
        return Pairs(*torch.broadcast_tensors(*(_addresses(builder, part) for part in pair)))
    first = _parts(values[0])
    if name == "view_as_real":
        return torch.stack([_addresses(builder, part) for part in first], -1)
    if name in ("real", "imag"):
        return _addresses(builder, first[name == "imag"])
    if name in NEGATED:
        straight = _minus(builder, first[0]) if name == "neg" else first[0]
        return Pairs(*(_addresses(builder, part) for part in (straight, _minus(builder, first[1]))))
    if name in ("add", "sub", "mul") and arguments.get("alpha", 1) == 1:
        return _combined(builder, name, first, _parts(values[1]))
    raise Mixed("which does not just multiply, add or conjugate complex numbers")


def _combined(builder: Builder, name: str, one: tuple[Part, Part], two: tuple[Part, Part]) -> Pairs:
    if name == "mul":
        straight = _sum(builder, "sub", _times(builder, one[0], two[0]), _times(builder, one[1], two[1]))
        across = _sum(builder, "add", _times(builder, one[0], two[1]), _times(builder, one[1], two[0]))
    else:
        straight, across = (_sum(builder, name, *parts) for parts in zip(one, two, strict=True))
    return Pairs(*torch.broadcast_tensors(_addresses(builder, straight), _addresses(builder, across)))


def _part(value: Any, place: int) -> Any:
    if isinstance(value, Pairs):
        return (value.real, value.imaginary)[place]
    if isinstance(value, Known) and value.value.is_complex():
        return _parts(value)[place]
    return [_part(each, place) for each in value] if isinstance(value, list | tuple) else value


def _parts(value: Any) -> tuple[Part, Part]:
    if isinstance(value, Pairs):
        return value.real, value.imaginary
    if isinstance(value, Known) and value.value.is_complex():
        return Known(value.value.real.clone(), value.fixed), Known(value.value.imag.clone(), value.fixed)
    return (value.real, value.imag) if isinstance(value, complex) else (value, None)


def _minus(builder: Builder, part: Part) -> Part:
    return _times(builder, part, -1.0)


def _times(builder: Builder, one: Part, two: Part) -> Part:
    if one is None or two is None:
        return None
    return pointwise(builder, "mul", (one, two) if isinstance(one, Tensor) else (two, one), {})


def _sum(builder: Builder, name: str, one: Part, two: Part) -> Part:
    if two is None:
        return one
    if one is None:
        return two if name == "add" else _minus(builder, two)
    return pointwise(builder, name, (one, two), {})


def _addresses(builder: Builder, part: Part) -> Tensor:
    if isinstance(part, Known):
        return builder.space.constant(part)
    return part if isinstance(part, Tensor) else builder.space.literal(float(part or 0.0), builder.dtype)
