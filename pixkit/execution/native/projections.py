"""Projections of a context that are computed site by site, where they are read, and not once for all sites.

A gated network has a 1x1 convolution of the context's maps in every layer. Computed for the whole image, their results
are the largest memory of a draw: written once, and read once from far away. Computed in the step that reads them, they
stay in registers, take the same arithmetic, and only the context's own maps are stored. So a picture as a condition
costs at least the arithmetic of these projections, which for few maps may be a tenth of the network's own.

Where all images have one context, it is the other way round: an executor keeps the plan as it is, and the results of
one image serve all (`shares` in executor.py).
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.execution.lowering.colours import at_once
from pixkit.execution.nodes import Run, run_node
from pixkit.execution.plan import Plan
from pixkit.layers import TapLayer
from pixkit.readiness.plain import plain
from pixkit.readiness.trace import Operation, Trace
from pixkit.readiness.watch import hooked


def with_projections(plan: Plan) -> Plan:
    """The same plan, in which projections are computed at the sites and in the steps of the operation that reads them.

    They must be 1x1 convolutions of maps of the context, and a single operation must read them, element by element.
    Linear layers are moved next to the sums that they enter with a projection: the kernel computes these together.
    """
    found = dict(_projections(plan))
    if not found:
        return plan
    trace = copy.copy(plan.trace)
    trace.operations = {
        name: replace(operation, kind="channels") if name in found else operation
        for name, operation in trace.operations.items()
    }
    late = _delayed(plan, found)
    names = _sorted(trace.operations, found, late, _hastened(plan, found, late))
    trace.operations = {name: trace.operations[name] for name in names}
    place = {name: number for number, name in enumerate(names)}
    schedules = []
    for schedule in plan.schedules:
        here = [name for name in schedule.operation.inputs if (found | late).get(name) == schedule.operation.name]
        schedules += [replace(schedule, operation=trace.operations[name]) for name in here]
        if schedule.operation.name not in late:
            schedules.append(schedule)
    schedules.sort(key=lambda each: place[each.operation.name])  # in a step, in the order in which chains are made
    moved = (found | late).items()
    at_readers = [{name: table[reader] for name, reader in moved} for table in (plan.ready, plan.needed)]
    ready, needed = plan.ready | at_readers[0], plan.needed | at_readers[1]
    return replace(plan, trace=trace, schedules=schedules, ready=ready, needed=needed)


def _delayed(plan: Plan, found: dict[str, str]) -> dict[str, str]:
    """Linear layers that can wait for the only operation that reads them, by which they are added to something else
    and then to a projection: the kernel computes these together.
    """
    operations = plan.trace.operations
    readers = Counter(name for operation in operations.values() for name in operation.inputs)
    late: dict[str, str] = {}
    for reader in found.values():
        for name in operations[reader].inputs:
            layers = [each for each in operations[name].inputs if isinstance(operations[each].module, TapLayer)]
            own = operations[name].kind == "elementwise" and readers[name] == len(layers) == 1
            if own and readers[layers[0]] == 1:
                late[layers[0]] = name
    return late


def _hastened(plan: Plan, found: dict[str, str], late: dict[str, str]) -> dict[str, str]:
    """Sums of a linear layer and a projection that can follow the layer at once, for the same reason, by layer."""
    operations = plan.trace.operations
    early: dict[str, str] = {}
    for projection, reader in found.items():
        names = [name for name in operations[reader].inputs if name != projection]
        if len(names) == 1 and isinstance(operations[names[0]].module, TapLayer) and names[0] not in late:
            early |= {names[0]: reader} if (names[0], reader) in plan.together else {}
    return early


def _sorted(names: Iterable[str], found: dict[str, str], late: dict[str, str], early: dict[str, str]) -> list[str]:
    """The names: those of late operations before those for which they wait, those of early ones after their layers."""
    before = {reader: name for name, reader in late.items()}
    projected = {reader: name for name, reader in found.items()}
    moved = {*late, *early.values(), *(projected[reader] for reader in early.values())}
    after = {name: (projected[reader], reader) for name, reader in early.items()}
    return [
        each
        for name in names
        if name not in moved
        for each in (*filter(None, [before.get(name)]), name, *after.get(name, ()))
    ]


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
        if not _projects(operation) or len(read) != 1:
            continue
        (source,), (reader,) = (operations[each] for each in operation.inputs), read
        alike = operation.grid == source.grid == reader.grid != (1, 1) and not source.maps % groups
        own = reader.kind == "elementwise" and reader.maps == operation.maps  # reads the same map of the same site
        if alike and own and source.name in varying and reader.name not in joint:
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
    return size == ((1, 1), (1, 1), (0, 0), 1)
