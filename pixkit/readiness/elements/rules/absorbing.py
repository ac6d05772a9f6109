"""Element-wise operations in which one argument can settle the result, so that the others are not needed.

A fixed zero settles a product, a fixed -inf a sum, a fixed condition which of two values is taken. This holds for all
finite values of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.elements.marks import Call, Marks, Rule
from pixkit.readiness.elements.rules.pointwise import elementwise, joined

aten = torch.ops.aten


def settled(call: Call, settling: Sequence[Tensor]) -> list[Marks]:
    """An element-wise operation, some elements of which are settled whatever the other arguments are.

    Args:
        call: the operation.
        settling: bool planes that broadcast to the result: where an argument settles it.
    """
    whole = joined(call.marks, call.results[0])
    for plane in settling:
        at = plane.expand(whole.shape)
        whole = Marks(whole.ready.masked_fill(at, 0), whole.fixed | at, whole.value)
    return [whole]


def _at(call: Call, argument: Any, number: float) -> list[Tensor]:
    """Where an argument, a tensor or a number, is known to equal a number, and may settle the result."""
    if not call.settles:
        return []
    if isinstance(argument, Marks):
        return [argument.where_fixed(number)] if argument.any_fixed else []
    return [torch.tensor(argument == number)] if argument == number else []


def by(number: float, *places: int) -> Rule:
    """The rule of an operation that is settled by a number in one of some arguments."""

    def rule(call: Call) -> list[Marks]:
        found = [plane for place in places for plane in _at(call, call.argument(place, ""), number)]
        return settled(call, found)

    return rule


def product(call: Call) -> list[Marks]:
    """A zero of either factor settles a product."""
    return settled(call, [plane for place in (0, 1) for plane in _at(call, call.args[place], 0)])


def total(call: Call) -> list[Marks]:
    """An infinite summand settles a sum or a difference, as long as the other is finite."""
    found = [
        plane for place in (0, 1) for number in (math.inf, -math.inf) for plane in _at(call, call.args[place], number)
    ]
    return settled(call, found) if call.results[0].is_floating_point() else elementwise(call)


def chosen(call: Call) -> list[Marks]:
    """`where`: a fixed condition says which of two values is read."""
    condition, one, other = call.args[:3]
    return [choice(condition, one, other, call.results[0])]


def masked(call: Call) -> list[Marks]:
    """`masked_fill`: the same with the fill value where the mask is set."""
    source, mask, value = call.args[:3]
    return [choice(mask, value, source, call.results[0])]


def choice(condition: Marks, one: Any, other: Any, result: Tensor) -> Marks:
    """One value where a condition is true, another where not; all three where it is unknown and they differ."""
    one, other = (each if isinstance(each, Marks) else _number(each, result) for each in (one, other))
    every = joined([condition, one, other], result)
    if one.any_fixed and other.any_fixed:
        alike = one.fixed & other.fixed & (one.value == other.value)
        every = Marks(every.ready.masked_fill(alike, 0), every.fixed | alike, result)
    if not condition.any_fixed:
        return every
    first, second = joined([one], result), joined([other], result)
    holds, known = condition.value.to(torch.bool), condition.fixed
    ready = torch.where(known, torch.where(holds, first.ready, second.ready), every.ready)
    return Marks(ready, torch.where(known, torch.where(holds, first.fixed, second.fixed), every.fixed), result)


def _number(number: Any, result: Tensor) -> Marks:
    value = torch.tensor(number, device=result.device)
    return Marks(torch.zeros_like(value, dtype=torch.int64), torch.ones_like(value, dtype=torch.bool), value)


def addcmul(call: Call) -> list[Marks]:
    """A sum with a product: where one factor is zero, the other is not needed."""
    base, one, other = call.marks[:3]
    result = call.results[0]
    zero = [plane for factor in (one, other) for plane in _at(call, factor, 0)]
    if not zero:
        return elementwise(call)
    away = torch.stack([plane.expand(result.shape) for plane in zero]).any(0)
    every, alone = joined([base, one, other], result), joined([base], result)
    return [Marks(torch.where(away, alone.ready, every.ready), torch.where(away, alone.fixed, every.fixed), result)]


def logical(settling: bool) -> Callable[[Call], list[Marks]]:
    """`and` is settled by a false argument, `or` by a true one."""

    def rule(call: Call) -> list[Marks]:
        planes = [mark.fixed & (mark.value.to(torch.bool) == settling) for mark in call.marks if mark.any_fixed]
        return settled(call, planes)

    return rule


def bitwise(settling: bool) -> Callable[[Call], list[Marks]]:
    """The same bitwise: settled by all bits 0 or all bits 1."""

    def rule(call: Call) -> list[Marks]:
        bits = call.results[0].dtype == torch.bool
        number = 0 if not settling else 1 if bits else -1
        return settled(call, [plane for place in (0, 1) for plane in _at(call, call.args[place], number)])

    return rule


RULES: dict[Any, Rule] = {
    aten.mul: product,
    aten.div: by(0, 0),
    aten.floor_divide: elementwise,
    aten.add: total,
    aten.sub: total,
    aten.rsub: total,
    aten.where: chosen,
    aten.masked_fill: masked,
    aten.addcmul: addcmul,
    aten.logical_and: logical(False),
    aten.logical_or: logical(True),
    aten.bitwise_and: bitwise(False),
    aten.bitwise_or: bitwise(True),
    aten.pow: by(0, 1),
}
