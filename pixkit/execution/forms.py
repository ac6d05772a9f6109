"""Traced operations as functions of only the values that they read, where they are simple enough."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, fx

from pixkit.execution.native.layout import ELEMENTWISE
from pixkit.readiness.operations import call_of
from pixkit.readiness.trace import Operation

SHAPELESS = frozenset(name for names in ELEMENTWISE.values() for name in names)
"""Instructions of elementwise.h whose operations do not depend on the shape."""
OF_TWO: dict[str, Callable[..., Tensor]] = {"ADD": torch.add, "SUB": torch.sub, "MUL": torch.mul}
"""Functions with an `out` argument."""


def part_of(operation: Operation) -> int | None:
    """The index of the part that an operation takes of its input, if it does nothing else."""
    node = operation.node
    if getattr(node.target, "__name__", "") != "getitem" or not isinstance(node.args[1], int):
        return None
    return node.args[1]


def of_two(operation: Operation) -> Callable[..., Tensor] | None:
    """The function, with `out`, of an operation that is just a sum, difference or product of two."""
    call = call_of(operation.node, operation.module)
    function = None if call is None or operation.in_place else OF_TWO.get(call.instruction)
    if call is None or function is None or call.numbers not in ((), (1,)):
        return None
    return function if [getattr(each, "name", None) for each in call.operands] == list(operation.inputs) else None


def alike(operation: Operation) -> Callable[..., Any] | None:
    """The traced operation as a function of its inputs, in order, if it works element by element on any shape."""
    node, call = operation.node, call_of(operation.node, operation.module)
    if call is None or call.instruction not in SHAPELESS or len(operation.inputs) != len(node.all_input_nodes):
        return None
    given = [arg for arg in node.args if isinstance(arg, fx.Node)]
    if [arg.name for arg in given] != list(operation.inputs) or any(
        isinstance(v, fx.Node) for v in node.kwargs.values()
    ):
        return None
    target: Any = operation.module if operation.module is not None else node.target
    if node.op == "call_method":
        target = getattr(Tensor, str(node.target))
    if len(given) == len(node.args):
        return cast(Callable[..., Any], functools.partial(target, **node.kwargs) if node.kwargs else target)
    places = [given.index(arg) if isinstance(arg, fx.Node) else None for arg in node.args]
    pairs = list(zip(places, node.args, strict=True))
    return lambda *read: target(*(other if place is None else read[place] for place, other in pairs), **node.kwargs)
