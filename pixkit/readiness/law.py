"""The law of readiness: proof, receptive field, and what to blame where the law breaks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pixkit.errors import CausalityError, message
from pixkit.layers import KeepBefore
from pixkit.readiness.advice import advice, replaceable
from pixkit.readiness.operations import why_all
from pixkit.readiness.trace import Operation, Trace, Untraceable

Unit = tuple[str, int, int, int]
"""A unit of a traced network: operation, colour group, row, column."""


@dataclass(frozen=True)
class Leak:
    """A violation of the law: the unit that predicts too early, the path back to the pixel, the operation to blame."""

    path: tuple[Unit, ...]
    blamed: Operation
    deadline: int
    readiness: int

    def describe(self, trace: Trace) -> list[str]:
        """The path from the pixel to the prediction, one unit per line."""
        rows = []
        for name, group, row, column in reversed(self.path):
            operation = trace.operations[name]
            mark = "  <-- blamed" if operation is self.blamed else ""
            rows.append(f"    {operation.label}: colour group {group}, row {row}, column {column}{mark}")
        return rows


def find_leak(trace: Trace) -> Leak | None:
    """Return the earliest prediction that is not ready by the step of its sub-pixel, or None if all are."""
    ready = trace.ready()
    steps = trace.network.ordering.group_steps
    late = ready[trace.output] > steps
    if not late.any():
        return None
    order = torch.where(late, steps, steps.max() + 1).argmin()
    group, row, column = (int(i) for i in np.unravel_index(int(order), steps.shape))
    path = _path_back(trace, ready, (trace.output, group, row, column))
    return Leak(
        tuple(path),
        _blame(trace, ready, path),
        int(steps[group, row, column]),
        int(ready[trace.output][group, row, column]),
    )


def require_law(trace: Trace) -> None:
    """Raise CausalityError, with the path and the layer to blame, unless readiness proves the network causal."""
    leak = find_leak(trace)
    if leak is not None:
        raise law_error(trace, leak)


def law_error(trace: Trace, leak: Leak, *, seen: bool = False) -> CausalityError:
    """Build the error for a broken law; `seen` if the network certainly leaks.

    Otherwise the prediction may be late only because an operation is assumed to mix everything. Then the reason why the
    network could not be followed further comes first.
    """
    _, group, row, column = leak.path[0]
    mixing = _mixing_everything(trace, leak)
    causal = "not causal" if seen or mixing is None else "not proved causal"
    why = "" if mixing is None else f"; {mixing.label} {why_all(mixing.node, mixing.module)}, {TAKEN}"
    first = "" if trace.foreign is None or causal == "not causal" else f"{_told(trace.foreign)}; "
    return CausalityError(
        f"{causal}: {first}the output of {leak.blamed.label} is ready too late{why}",
        where=type(trace.network.backbone).__name__,
        found=f"the prediction of colour group {group} at row {row}, column {column} is made at step {leak.deadline} "
        f"and ready at {leak.readiness}, by this path",
        lines=[*leak.describe(trace), *_foreign(trace)],
        expected=f"readiness of at most {leak.deadline}",
        hint=advice(leak.blamed, pixels=_reads_pixels(trace, leak), groups=trace.groups, hidden=_hidden(trace, leak)),
    )


def _foreign(trace: Trace) -> list[str]:
    """Why a network with layers from outside pixkit could not be followed site by site."""
    return [] if trace.foreign is None else [f"  not followed further: {message(trace.foreign)}"]


def _told(foreign: Untraceable) -> str:
    return ": ".join(filter(None, [foreign.message, foreign.found]))


def _reads_pixels(trace: Trace, leak: Leak) -> bool:
    """Whether the blamed operation reads the pixel of its own site, not yet hidden by any layer on the leak's path."""
    names = [unit[0] for unit in leak.path]
    return names[names.index(leak.blamed.name) + 1] in _raw(trace)


def _hidden(trace: Trace, leak: Leak) -> Operation | None:
    """The KeepBefore that the leak passed through, if any."""
    operations = (trace.operations[unit[0]] for unit in leak.path)
    return next((operation for operation in operations if isinstance(operation.module, KeepBefore)), None)


TAKEN = "so it is assumed to mix everything"


def _mixing_everything(trace: Trace, leak: Leak) -> Operation | None:
    """The blamed operation, if it is assumed to mix everything; else the last such operation on the path, if any."""
    path = [trace.operations[unit[0]] for unit in leak.path]
    return next((operation for operation in (leak.blamed, *path) if operation.kind == "all"), None)


def receptive_field(trace: Trace, group: int, row: int, column: int) -> Tensor:
    """The sub-pixels that the prediction of colour group `group` at (row, column) can depend on, bool [C, H, W]."""
    used = {name: torch.zeros(trace.groups, *op.grid, dtype=torch.bool) for name, op in trace.operations.items()}
    used[trace.output][group, row, column] = True
    pixels = torch.zeros(trace.network.spec.shape, dtype=torch.bool)
    for operation in reversed(trace.operations.values()):
        units = used[operation.name]
        if operation.kind == "static" or not units.any():
            continue
        if operation.kind == "pixels":
            pixels |= units.repeat(len(pixels) // len(units), 1, 1)
            continue
        for name, read in zip(operation.inputs, reads(trace, operation, units), strict=True):
            used[name] |= read
    return pixels


def permitted(trace: Trace, group: int, row: int, column: int) -> Tensor:
    """The sub-pixels that the ordering draws before colour group `group` at (row, column), bool [C, H, W]."""
    ordering = trace.network.ordering
    return ordering.steps < ordering.group_steps[group, row, column]


def reads(trace: Trace, operation: Operation, units: Tensor) -> list[Tensor]:
    """The units of each input that the given units of an operation read, bool [G, h, w] each."""
    sources = [trace.operations[name] for name in operation.inputs]
    if operation.kind == "mixing":
        return operation.module.reads(units, [source.grid for source in sources])  # type: ignore[union-attr,operator]
    if operation.kind == "all":
        return [units.any().expand(trace.groups, *source.grid) for source in sources]
    spread = units if operation.groups_apart else units.any(0).expand_as(units)
    return [spread if source.grid == operation.grid else spread.flatten(1).any(1)[:, None, None] for source in sources]


def _path_back(trace: Trace, ready: dict[str, Tensor], start: Unit) -> list[Unit]:
    """The path from a unit back to the pixel that determines its readiness."""
    path = [start]
    while (operation := trace.operations[path[-1][0]]).kind != "pixels":
        name, group, row, column = path[-1]
        late = ready[name][group, row, column]
        unit = torch.zeros(trace.groups, *operation.grid, dtype=torch.bool)
        unit[group, row, column] = True
        for source, read in zip(operation.inputs, reads(trace, operation, unit), strict=True):
            reason = read & (ready[source].expand_as(read) == late)
            if reason.any():
                first = reason.nonzero()[0].tolist()
                path.append((source, first[0], first[1], first[2]))
                break
        else:  # a layer whose `reads` covers less than its `ready`
            source = max(operation.inputs, key=lambda name: int(ready[name].max()))
            first = (ready[source] == ready[source].max()).nonzero()[0].tolist()
            path.append((source, first[0], first[1], first[2]))
    return path


def _blame(trace: Trace, ready: dict[str, Tensor], path: list[Unit]) -> Operation:
    """The last operation on the path to the prediction that made a late value from values that were in time.

    A unit is in time if it is ready by the step of its own site. Where a late branch joins one that is in time, the
    nearest mixing layer on the late branch is blamed; if there is none, the join itself. If everything is late from the
    pixel on, the first mixing layer is blamed.
    """
    # A value that still carries the pixel of its own site is in time one step later: only its readers must hide it.
    raw = _raw(trace)
    operations = [trace.operations[unit[0]] for unit in path]
    mixing = [position for position, operation in enumerate(operations[:-1]) if _mixes(operation)]
    # The path leads back from the prediction, so the first layer found is the last that the pixel passed.
    for position in mixing:
        if _in_time(trace, ready, path[position + 1], raw):
            return _named(operations, position)
    # No layer made it late: it was late from the pixel on and joined a sound branch, as in a skip around a mask.
    for position, (_, group, row, column) in enumerate(path[:-1]):
        others = [name for name in operations[position].inputs if name != path[position + 1][0]]
        if any(_in_time(trace, ready, (name, group, row, column), raw) for name in others):
            return next((operations[later] for later in mixing if later > position), operations[position])
    return operations[mixing[-1]] if mixing else operations[-2]


def _mixes(operation: Operation) -> bool:
    """Whether it mixes sites or colour groups."""
    return operation.kind in ("mixing", "all", "channels") or not operation.groups_apart


def _named(operations: list[Operation], position: int) -> Operation:
    """Among consecutive all-to-all operations, the module is the most telling (attention, not its reshapes)."""
    row = [*itertools.takewhile(lambda operation: operation.kind == "all", reversed(operations[: position + 1]))]
    telling = [operation for operation in row if operation.module is not None]
    telling += [operation for operation in row if replaceable(operation)]
    return next(iter(telling), operations[position])


def _raw(trace: Trace) -> set[str]:
    """Operations that carry the pixel of their own site, not yet made strictly earlier by any layer."""
    raw: set[str] = set()
    for operation in trace.operations.values():
        carried = [name in raw for name in operation.inputs if trace.operations[name].kind != "static"]
        enough = all(carried) if operation.kind == "elementwise" else any(carried)
        own_site = operation.kind not in ("mixing", "all", "static") or isinstance(operation.module, KeepBefore)
        if operation.kind == "pixels" or (own_site and enough):
            raw.add(operation.name)
    return raw


def _in_time(trace: Trace, ready: dict[str, Tensor], unit: Unit, raw: set[str]) -> bool:
    name, group, row, column = unit
    operation, ordering = trace.operations[name], trace.network.ordering
    scale = -(-ordering.spec.height // operation.grid[0])
    steps = ordering.coarse_steps(scale)
    if operation.kind == "static" or tuple(steps.shape[1:]) != operation.grid:
        return False
    return bool(ready[name][group, row, column] <= steps[group, row, column] + int(name in raw))
