"""Operations on lists of tensors, applied to each tensor separately."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tag

from pixkit.readiness.elements.marks import Call, Marks, mixed
from pixkit.readiness.elements.rules.pointwise import elementwise


def each(call: Call) -> list[Marks]:
    """A result needs its counterparts in the lists: the same elements, or all of them in a reduction."""
    base = getattr(torch.ops.aten, call.func.overloadpacket.__name__.removeprefix("_foreach_"), None)
    alike = base is not None and any(Tag.pointwise in getattr(base, name).tags for name in base.overloads())
    rule = elementwise if alike and base not in (torch.ops.aten.max, torch.ops.aten.min) else mixed
    return [rule(_nth(call, place))[0] for place in range(len(call.results))]


def _nth(call: Call, place: int) -> Call:
    args = tuple(_part(value, place) for value in call.args)
    kwargs = {name: _part(value, place) for name, value in call.kwargs.items()}
    return replace(call, args=args, kwargs=kwargs, results=(call.results[place],))


def _part(value: Any, place: int) -> Any:
    listed = isinstance(value, list | tuple) and len(value) > place and isinstance(value[place], Marks)
    return value[place] if listed else value


def is_foreach(func: Any) -> bool:
    """Whether an operation takes lists and does the same to each of their tensors."""
    return func.overloadpacket.__name__.startswith("_foreach_")
