"""Lowering: each operation of a plan as instructions, with tables and weights as tensors."""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx, nn

from pixkit.execution.lowering.instruction import LANES, Kept, Lowered, Unsupported, grouped, unsupported
from pixkit.execution.lowering.layers import LAYERS
from pixkit.execution.lowering.tables import ACROSS
from pixkit.execution.plan import Plan
from pixkit.readiness.operations import Call, call_of
from pixkit.readiness.plain import plain
from pixkit.readiness.trace import Operation

__all__ = ["LANES", "Kept", "Lowered", "Unsupported", "lower", "static_inputs"]


def lower(
    operation: Operation, operations: dict[str, Operation], groups: int, at_once: Collection[str] = ()
) -> list[Lowered]:
    """The instructions that compute `operation`, or one view.

    Args:
        operation: the operation.
        operations: all operations of the network, by name.
        groups: the number of colour groups.
        at_once: operations computed in all colour groups at once (`colours.at_once`).

    Raises:
        Unsupported: naming the operation.
    """
    module = operation.module
    sources = [operations[name] for name in operation.inputs]
    own, *read = (1 if name in at_once else groups for name in (operation.name, *operation.inputs))
    for kind, across in ACROSS:
        if plain(module, kind):
            return across(module, operation, sources, own, read)
    mixed = not operation.groups_apart and own > 1 and not isinstance(module, nn.Conv2d)
    if mixed or any(other != own for other in read) or (operation.kind == "all" and not plain(module, nn.Conv2d)):
        raise unsupported(operation)
    for kind, handler in LAYERS:
        if plain(module, kind):
            return handler(module, operation, sources, own)
    return _function(operation, operations, own)


def _function(operation: Operation, operations: dict[str, Operation], groups: int) -> list[Lowered]:
    """A torch function, or a module that the table of operations knows."""
    module, sources = operation.module, [operations[name] for name in operation.inputs]
    if operation.kind == "mixing":
        raise unsupported(operation)
    if operation.node.target is operator.getitem:
        return [_part(operation, sources[0], groups)]
    call = call_of(operation.node, module)
    if call is None or not all(isinstance(operand, fx.Node | int | float | Tensor) for operand in call.operands):
        raise unsupported(operation)
    if call.instruction == "VIEW":
        return [Lowered("VIEW", operation.inputs, count=sum(operation.parts or (operation.maps,)) // groups)]
    if call.instruction == "COPY":
        return _joined(call, operations, groups)
    if call.instruction == "GLU":
        return [Lowered("GLU", operation.inputs)]
    return [_elements(operation, call, sources, groups)]


def static_inputs(plan: Plan) -> set[str]:
    """Names of the static operations whose values instructions read, and of the output if it is static."""
    operations = plan.trace.operations.values()
    read = {name for operation in operations if operation.kind != "static" for name in operation.inputs}
    read.add(plan.trace.output)
    return {operation.name for operation in operations if operation.kind == "static" and operation.maps} & read


def _joined(call: Call, operations: dict[str, Operation], groups: int) -> list[Lowered]:
    to, copies = 0, []
    for part in call.operands:
        count = operations[part.name].maps // groups
        copies.append(Lowered("COPY", (part.name,), to=to, count=count))
        to += count
    return copies


def _part(operation: Operation, source: Operation, groups: int) -> Lowered:
    index = operation.node.args[1]
    if source.parts is None or not isinstance(index, int):
        raise unsupported(operation)
    sizes = source.parts[: index % len(source.parts)]
    return Lowered("VIEW", operation.inputs, first=sum(sizes) // groups, count=operation.maps // groups)


def _elements(operation: Operation, call: Call, sources: list[Operation], groups: int) -> Lowered:
    """An instruction of elementwise.h. A number among its operands is read as a constant value."""
    varying = [source for source in sources if source.kind != "static" or source.maps != 1]
    if any(source.maps != operation.maps or source.parts is not None for source in varying):
        raise unsupported(operation)
    inputs = tuple(_operand(operand, groups) for operand in call.operands)
    alpha, beta = (*map(float, call.numbers), 0.0, 0.0)[:2]
    return Lowered(call.instruction, inputs, alpha=alpha, beta=beta)


def _operand(operand: Any, groups: int) -> str | Tensor:
    """An operation's name, or values of maps."""
    if isinstance(operand, fx.Node):
        return operand.name
    if isinstance(operand, Tensor):
        return grouped(operand, groups) if operand.numel() > 1 else operand.detach()
    return torch.tensor(float(operand), dtype=torch.float64)
