"""Run operations of a traced network one by one, as torch does."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from torch import Tensor, fx

from pixkit.readiness.trace import Operation, Trace

Run: TypeAlias = Callable[[Trace, Operation, dict[str, Any]], Any]
"""Called as run(trace, operation, values), with the results of the operation's inputs by name."""


def run_static(trace: Trace, context: Tensor | None, run: Run | None = None) -> dict[str, Any]:
    """The results of all operations that need no pixel, by name, each run by `run`, or by `run_node`."""
    results: dict[str, Any] = {}
    for operation in trace.operations.values():
        if operation.kind == "static":
            given = operation.node.op == "placeholder"
            results[operation.name] = context if given else (run or run_node)(trace, operation, results)
    return results


def run_node(trace: Trace, operation: Operation, values: dict[str, Any]) -> Any:
    """Run one operation on given inputs."""
    node = operation.node
    args = fx.map_arg(node.args, lambda source: values[source.name])
    kwargs = fx.map_arg(node.kwargs, lambda source: values[source.name])
    if node.op == "get_attr":
        return functools.reduce(getattr, str(node.target).split("."), trace.graph)
    if node.op == "call_module":
        return operation.module(*args, **kwargs)  # type: ignore[misc]
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]


def each_part(function: Any, value: Any) -> Any:
    """Apply `function` to a value, or to each part of a split."""
    return tuple(function(part) for part in value) if isinstance(value, tuple | list) else function(value)


def parts_of(value: Any) -> Sequence[Any]:
    """The parts of a split, or the value as its only part."""
    return value if isinstance(value, tuple | list) else (value,)


def image_of(value: Any, copied: bool) -> Any:
    """A site's [B, M] as [B, M, 1, 1], or each of several parts so; copied where the operation writes into it."""
    if isinstance(value, tuple | list):
        return tuple(image_of(part, copied) for part in value)
    return (value.clone() if copied else value)[..., None, None]
