"""Projections of a context that are computed site by site, where they are read, and not once for all sites.

A gated network has a 1x1 convolution of the context's maps in every layer. Computed for the whole image, their results
are the largest memory of a draw: written once, and read once from far away. Computed in the step that reads them, they
stay in registers, take the same arithmetic, and only the context's own maps are stored.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.execution.lowering.colours import at_once
from pixkit.execution.nodes import Run, run_node
from pixkit.execution.plan import Plan, pointwise
from pixkit.readiness.plain import plain
from pixkit.readiness.trace import Operation, Trace
from pixkit.readiness.watch import hooked


def with_projections(plan: Plan) -> Plan:
    """The same plan, in which projections are computed at the sites and in the steps of the operation that reads them.

    They must be 1x1 convolutions of maps of the context, and a single pointwise operation must read them.
    """
    found = dict(_projections(plan))
    if not found:
        return plan
    trace = copy.copy(plan.trace)
    trace.operations = {
        name: replace(operation, kind="channels") if name in found else operation
        for name, operation in trace.operations.items()
    }
    schedules = []
    for schedule in plan.schedules:
        read = [name for name in schedule.operation.inputs if found.get(name) == schedule.operation.name]
        schedules += [replace(schedule, operation=trace.operations[name]) for name in read]
        schedules.append(schedule)
    at_readers = [{name: table[reader] for name, reader in found.items()} for table in (plan.ready, plan.needed)]
    ready, needed = plan.ready | at_readers[0], plan.needed | at_readers[1]
    return replace(plan, trace=trace, schedules=schedules, ready=ready, needed=needed)


def runner(plan: Plan) -> Run:
    """Runs an operation; as one product what torch's convolutions take several times as long for.

    These are projections of vectors, and transposed convolutions that give each place of a block its own weights.
    """
    operations = plan.trace.operations.values()
    static = {operation.name: operation for operation in operations if operation.kind == "static"}
    vectors = {name for name, each in static.items() if _projects(each) and static[each.inputs[0]].grid == (1, 1)}
    blocks = {name for name, each in static.items() if _enlarges(each)}

    def run(trace: Trace, operation: Operation, values: dict[str, Any]) -> Any:
        module: Any = operation.module
        if operation.name in blocks:
            return _enlarged(module, values[operation.inputs[0]])
        given = values[operation.inputs[0]] if operation.name in vectors else None
        if given is None or given.shape[2:] != (1, 1):
            return run_node(trace, operation, values)
        return F.linear(given.flatten(1), module.weight.flatten(1), module.bias)[..., None, None]

    return run


def _enlarges(operation: Operation) -> bool:
    """Whether it is a transposed convolution whose blocks do not overlap."""
    module = operation.module
    if not isinstance(module, nn.ConvTranspose2d) or not plain(module, nn.ConvTranspose2d) or hooked(module):
        return False
    rest = module.padding, module.output_padding, module.dilation, module.groups
    called = len(operation.node.args) == 1 and not operation.node.kwargs
    return called and module.stride == module.kernel_size and rest == ((0, 0), (0, 0), (1, 1), 1)


def _enlarged(module: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """[B, M, h, w] to [B, M', H, W], the maps of a site adjacent in memory."""
    (images, maps, height, width), (_, out, down, across) = x.shape, module.weight.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, maps) @ module.weight.permute(0, 2, 3, 1).reshape(maps, -1)
    cells = rows.view(images, height, width, down, across, out)
    if module.bias is not None:
        cells = cells + module.bias
    return cells.transpose(2, 3).reshape(images, height * down, width * across, out).permute(0, 3, 1, 2)


def _projections(plan: Plan) -> Iterator[tuple[str, str]]:
    """Each projection and the operation that reads it."""
    operations, groups, joint = plan.trace.operations, plan.trace.groups, at_once(plan)
    readers: dict[str, list[Operation]] = {name: [] for name in operations}
    for operation in operations.values():
        for name in operation.inputs:
            readers[name].append(operation)
    varying = _of_context(operations)
    for name in varying:
        operation, read = operations[name], readers[name]
        if not _projects(operation) or len(read) != 1 or name == plan.trace.output:
            continue
        (source,), (reader,) = (operations[each] for each in operation.inputs), read
        alike = operation.grid == source.grid == reader.grid != (1, 1) and not source.maps % groups
        if alike and source.name in varying and pointwise(reader) and reader.name not in joint:
            yield name, reader.name


def _of_context(operations: dict[str, Operation]) -> set[str]:
    """Operations that need a context, but no pixel."""
    found: set[str] = set()
    for name, operation in operations.items():
        if operation.kind == "static" and (
            operation.node.op == "placeholder" or not found.isdisjoint(operation.inputs)
        ):
            found.add(name)
    return found


def _projects(operation: Operation) -> bool:
    """Whether it is a 1x1 convolution that reads every map at its own site."""
    module = operation.module
    if not isinstance(module, nn.Conv2d) or not plain(module, nn.Conv2d) or hooked(module):
        return False
    size = module.kernel_size, module.stride, module.padding, module.groups
    return size == ((1, 1), (1, 1), (0, 0), 1) and operation.maps > 0 and operation.parts is None
