"""Lowering: each operation of a plan as instructions of kernel.c, with tables and weights as tensors."""

from __future__ import annotations

import operator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import fx, nn

from pixkit.execution.lowering.instruction import LANES, Lowered, Unsupported, unsupported
from pixkit.execution.lowering.layers import LAYERS
from pixkit.execution.plan import Plan
from pixkit.layers import ConcatenatedELU, Maxout
from pixkit.readiness.trace import Operation

__all__ = ["LANES", "Lowered", "Unsupported", "lower", "static_inputs"]

UNARY: dict[Any, str] = {
    **dict.fromkeys((nn.ReLU, F.relu, torch.relu, "relu"), "RELU"),
    **dict.fromkeys((nn.Sigmoid, torch.sigmoid, F.sigmoid, "sigmoid"), "SIGMOID"),
    **dict.fromkeys((nn.Tanh, torch.tanh, F.tanh, "tanh"), "TANH"),
    **dict.fromkeys((operator.neg, torch.neg, "neg"), "NEGATE"),
    **dict.fromkeys((nn.ELU, F.elu), "ELU"),
    ConcatenatedELU: "CELU",
    Maxout: "MAXOUT",
}
BINARY: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add"), "ADD"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub"), "SUB"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul"), "MUL"),
    torch.maximum: "MAXIMUM",
}
PASS = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    F.dropout,
    F.dropout2d,
    "contiguous",
    "split",
    "chunk",
    torch.split,
    torch.chunk,
)


def lower(operation: Operation, operations: dict[str, Operation], groups: int) -> list[Lowered]:
    """The kernel operations that do what `operation` does, or one view.

    Raises:
        Unsupported: naming the operation.
    """
    module, target = operation.module, operation.node.target
    key: Any = type(module) if module is not None else target
    sources = [operations[name] for name in operation.inputs]
    if not operation.groups_apart and groups > 1 and not isinstance(module, nn.Conv2d):
        raise unsupported(operation)
    if key in PASS and sources[0].kind != "pixels":
        return [Lowered("VIEW", operation.inputs, count=sum(operation.parts or (operation.maps,)) // groups)]
    for kind, handler in LAYERS:
        if isinstance(module, kind):
            return handler(module, operation, sources[0], groups)
    if operation.kind == "concat":
        return _concat(operation, sources, groups)
    if target is operator.getitem:
        return [_part(operation, sources[0], groups)]
    if key in UNARY:
        return [Lowered(UNARY[key], operation.inputs, alpha=_alpha(operation))]
    return [_binary(operation, sources, key)]


def static_inputs(plan: Plan) -> set[str]:
    """Names of the static operations whose values instructions read, and of the output if it is one."""
    operations = plan.trace.operations.values()
    read = {name for operation in operations if operation.kind != "static" for name in operation.inputs}
    read.add(plan.trace.output)
    return {operation.name for operation in operations if operation.kind == "static" and operation.maps} & read


def _concat(operation: Operation, sources: list[Operation], groups: int) -> list[Lowered]:
    named = {source.name: source for source in sources}
    parts = [named[node.name] for node in cast("list[fx.Node]", operation.node.args[0])]
    to, copies = 0, []
    for part in parts:
        count = part.maps // groups
        copies.append(Lowered("COPY", (part.name,), to=to, count=count))
        to += count
    return copies


def _part(operation: Operation, source: Operation, groups: int) -> Lowered:
    index = operation.node.args[1]
    if source.parts is None or not isinstance(index, int):
        raise unsupported(operation)
    sizes = source.parts[: index % len(source.parts)]
    return Lowered("VIEW", operation.inputs, first=sum(sizes) // groups, count=operation.maps // groups)


def _binary(operation: Operation, sources: list[Operation], key: Any) -> Lowered:
    arguments = operation.node.args
    if key not in BINARY or len(arguments) != 2 or operation.node.kwargs:
        raise unsupported(operation)
    kind = BINARY[key]
    names = [getattr(argument, "name", None) for argument in arguments]
    if None not in names:
        varying = [source for source in sources if source.kind != "static" or source.maps != 1]
        if any(source.maps != operation.maps for source in varying):
            raise unsupported(operation)
        return Lowered(kind, (str(names[0]), str(names[1])))
    number = next((argument for argument in arguments if isinstance(argument, int | float)), None)
    if number is None or (kind == "SUB" and names[0] is None):
        raise unsupported(operation)
    scale, shift = {"ADD": (1.0, number), "SUB": (1.0, -number), "MUL": (number, 0.0)}[kind]
    weight = torch.full((operation.maps,), float(scale), dtype=torch.float64)
    return Lowered("AFFINE", operation.inputs, weight=weight, bias=torch.full_like(weight, float(shift)))


def _alpha(operation: Operation) -> float:
    if isinstance(operation.module, nn.ELU):
        return float(operation.module.alpha)
    alpha = operation.node.kwargs.get("alpha", operation.node.args[1] if len(operation.node.args) > 1 else 1.0)
    return float(alpha) if isinstance(alpha, int | float) else 1.0
