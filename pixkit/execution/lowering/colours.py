"""Find the operations that are computed in all colours at once, where there are several colour groups.

Most operations are computed colour group by colour group, with each group's maps adjacent in memory. Operations that
mix colours, as foreign networks do along their own sequence, have maps of one kind: all of them are ready at the same
step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixkit.execution.plan import Plan
from pixkit.layers.contraction import SiteLinear
from pixkit.layers.rearrange import Rearrange
from pixkit.layers.sequence import SequenceRecurrence
from pixkit.layers.site_attention import SiteAttention
from pixkit.layers.window import Window
from pixkit.readiness.plain import plain
from pixkit.readiness.trace import Operation

MIXING = (SiteAttention, SiteLinear, SequenceRecurrence, Window)
"""Layers in which every map reads all maps, whatever their colour groups."""


def at_once(plan: Plan) -> frozenset[str]:
    """Operations that mix colours, or whose maps the groups cannot share, and operations computed from these.

    Values that need no pixel are included if all of their readers are.
    """
    operations, groups, found = plan.trace.operations, plan.trace.groups, set[str]()
    if groups == 1:
        return frozenset()
    for name, operation in operations.items():
        if operation.kind in ("pixels", "static") or name == plan.trace.output:
            continue
        if not (_alike(plan.ready[name]) and _alike(plan.needed[name])):
            continue
        module = operation.module
        if isinstance(module, Rearrange) and plain(module, Rearrange):  # reads and writes either kind
            joined = module.together or operation.grid != plan.trace.operations[plan.trace.output].grid
        else:
            joined = _mixes(operation) or not found.isdisjoint(operation.inputs)
        if joined or operation.maps % groups:
            found.add(name)
    readers: dict[str, list[str]] = {name: [] for name in operations}
    for name, operation in operations.items():
        for source in operation.inputs:
            readers[source].append(name)
    static = {name for name, operation in operations.items() if operation.kind == "static"}
    return frozenset(found | {name for name in static if readers[name] and found.issuperset(readers[name])})


def _alike(units: Tensor) -> bool:
    """Whether all colour groups have the same units."""
    return torch.equal(units, units[:1].expand_as(units))


def _mixes(operation: Operation) -> bool:
    if isinstance(operation.module, nn.Conv2d):  # reads every group's maps in place
        return False
    return not operation.groups_apart or any(plain(operation.module, kind) for kind in MIXING)
