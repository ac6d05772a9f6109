"""Operations that use pixel values as indices into the maps of a site, or choose by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.functions import Operand, computed, dtypes, typed
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.moves import TABLES
from pixkit.readiness.adoption.separable import Mixed

Chooser = Callable[[Builder, fx.Node, dict[str, Any]], Any]
"""Called with the builder, the exported operation, and its arguments by ATen's names; returns addresses."""


def chooses(name: str, arguments: dict[str, Any]) -> bool:
    """Whether the operation's indices are computed from pixels."""
    tables = [arguments[each] for each in TABLES.get(name, ())]
    flat = [each for table in tables for each in (table if isinstance(table, list | tuple) else [table])]
    return name not in TABLES or any(isinstance(each, Tensor) for each in flat)


def looked_up(table: Tensor, place: Tensor) -> Tensor:
    """Rows of a table [N, ...], which need not be int64."""
    return table[place.long()]


def put(x: Tensor, mask: Tensor, value: Tensor | float) -> Tensor:
    """Replace values where a mask is set."""
    return torch.where(mask, value, x)


def _value_by_value(builder: Builder, node: fx.Node, given: dict[str, Any]) -> Tensor:
    args = tuple(given.values())[: len(node.args)]
    return typed(builder, node, args, {key: given[key] for key in node.kwargs})


def _embedded(builder: Builder, node: fx.Node, given: dict[str, Any]) -> Tensor:
    return _from_table(builder, given["weight"], given["indices"])


def _indexed(builder: Builder, node: fx.Node, given: dict[str, Any]) -> Tensor:
    if len(given["indices"]) != 1 or torch.bool in _types(node):
        raise Mixed("which uses pixel values as indices of several sites")
    return _from_table(builder, given["self"], given["indices"][0])


def _types(node: fx.Node) -> list[torch.dtype]:
    """The types of the index tensors."""
    return [each.meta["val"].dtype for each in pytree.tree_leaves(node.args[1]) if isinstance(each, fx.Node)]


def _from_table(builder: Builder, table: Any, place: Any) -> Tensor:
    if not isinstance(table, Known) or not isinstance(place, Tensor):
        raise Mixed("which uses pixel values as indices of values that need pixels")
    found: Tensor = computed(builder, looked_up, [table.value.detach().clone(), Operand(place, 0, torch.int64)])
    return found


def _one_hot(builder: Builder, node: fx.Node, given: dict[str, Any]) -> Tensor:
    operand = Operand(given["self"], 0, torch.int64)
    found: Tensor = computed(builder, torch.nn.functional.one_hot, [operand, given["num_classes"]])
    return found


def _along_axis(builder: Builder, node: fx.Node, given: dict[str, Any]) -> Tensor:
    """Indices along one axis, separately for each line."""
    function: Any = node.target
    axis, index = given["dim"], given["index"]
    if isinstance(given.get("reduce"), str) or not isinstance(axis, int):
        raise Mixed("which combines values that it puts in one place")
    changed = given | {"dim": -1}
    own = dtypes(node)[0]
    for name, kind in (("self", own), ("index", torch.int64), ("src", own)):
        if isinstance(given.get(name), Tensor | Known):
            value = given[name]
            addresses = builder.space.constant(value) if isinstance(value, Known) else value
            for each in range(addresses.ndim):
                if each != axis % addresses.ndim:
                    addresses = addresses.narrow(each, 0, index.shape[each])
            changed[name] = Operand(addresses.movedim(axis, -1), 1, kind)
    names = [argument.name for argument in function._schema.arguments if not argument.kwarg_only]
    found: Tensor = computed(builder, function, [changed[name] for name in names])
    out = found.movedim(-1, axis)
    if out.shape != node.meta["val"].shape:
        raise Mixed("which puts values in only a part of its input")
    return out


def _put(builder: Builder, node: fx.Node, given: dict[str, Any]) -> Tensor:
    x, indices, values = given["self"], given["indices"], given["values"]
    kinds = _types(node)
    mask = indices[0] if len(indices) == 1 else None
    alone = isinstance(values, Known) and values.value.numel() == 1
    if mask is None or not alone or given.get("accumulate") or mask.shape != x.shape or kinds != [torch.bool]:
        raise Mixed("which puts values where pixels decide; torch.where chooses value by value")
    kind = dtypes(node)[0]
    arguments = [Operand(x, 0, kind), Operand(mask, 0, torch.bool), values.value.item()]
    found: Tensor = computed(builder, put, arguments)
    return found


CHOSEN: dict[str, Chooser] = {
    "where": _value_by_value,
    "masked_fill": _value_by_value,
    "embedding": _embedded,
    "one_hot": _one_hot,
    "index": _indexed,
    "index_put": _put,
    "gather": _along_axis,
    "scatter": _along_axis,
    "scatter_add": _along_axis,
}
"""By ATen's names."""
