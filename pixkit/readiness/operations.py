"""The mixing of traced operations, and their instructions.

The operations are the rows of one table (`pixkit.readiness.table`), pixkit's own layers, which describe themselves, and
two modules of torch. The table is closed: an operation that is not in it, or that is called in a way that its row does
not know, is assumed to mix everything, which is safe.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from pixkit.layers.base import MixingLayer, PointwiseLayer
from pixkit.layers.elementwise import Elementwise
from pixkit.readiness.plain import follows, plain, tampered
from pixkit.readiness.row import Call, Expression, Kind, Row
from pixkit.readiness.table import ROWS
from pixkit.readiness.watch import hooked

__all__ = ["Call", "Expression", "Kind", "Row", "call_of", "kind_of", "row_of", "why_all"]


def kind_of(node: fx.Node, module: nn.Module | None) -> Kind:
    """The axes that a traced operation may mix; `module` is the target of a call_module node."""
    if isinstance(module, MixingLayer):
        return "mixing"
    if module is not None and (module.training or tampered(module)):
        return "all"
    if isinstance(module, PointwiseLayer) or node.target is operator.getitem:
        return "channels" if getattr(module, "mixes_colours", False) else "elementwise"
    if module is not None and isinstance(module, nn.BatchNorm2d | nn.Conv2d):
        return _kind_of_layer(module)
    row = row_of(node, module)
    if row is None or _bound(row, node, module) is None:
        return "all"
    return row.kind


def _kind_of_layer(module: nn.BatchNorm2d | nn.Conv2d) -> Kind:
    if isinstance(module, nn.BatchNorm2d):
        running = module.track_running_stats and module.running_mean is not None
        return "elementwise" if running and plain(module, nn.BatchNorm2d) else "all"
    one = module.kernel_size == (1, 1) == module.stride and module.padding in ((0, 0), "valid", "same")
    return "channels" if one and plain(module, nn.Conv2d) else "all"


def row_of(node: fx.Node, module: nn.Module | None) -> Row | None:
    """The operation's row of the table, if any."""
    if module is not None:
        known = _known(module)
        row = _by_alias().get(known)
        return row if row is not None and plain(module, known) else None
    return _by_alias().get(node.target)


def row_of_function(function: Any) -> Row | None:
    """The row of a torch function, if any."""
    return _by_alias().get(function)


def _known(module: nn.Module) -> type[nn.Module]:
    """The class that the operation is known by; nn.Module if there is none.

    torch's parametrisation creates a subclass on the fly; other subclasses may override `forward`.
    """
    others = (nn.Conv2d, nn.BatchNorm2d, nn.Module)
    return next(cls for cls in type(module).__mro__ if cls in _by_alias() or cls in others)


_READING_MORE = (
    (PointwiseLayer, "does not give for each site of an image what it gives for that site alone"),
    ((nn.Conv2d, nn.BatchNorm2d), "reads more than its own site of its own image"),
)


def why_all(node: fx.Node, module: nn.Module | None) -> str:
    """Why an operation is assumed to mix everything: the end of a sentence that begins with its name."""
    if module is not None and hooked(module) and kind_of(node, module) != "all":
        return "has a hook that changes its output"
    if module is not None and (tampered(module) or not (_known(module) is nn.Module or plain(module, _known(module)))):
        return "runs different code from the class in the table of operations"
    for kinds, why in _READING_MORE:
        if isinstance(module, kinds):
            return why
    row = row_of(node, module)
    if row is None:
        return "is not in the table of operations"
    if _bound(row, node, module) is None:
        return "is called in a way that its row in the table of operations does not cover"
    return "does not map images [B, maps, h, w] to an image of the same size"


def call_of(node: fx.Node, module: nn.Module | None) -> Call | None:
    """The instruction that does what the operation does; None if there is none for these arguments."""
    if isinstance(module, Elementwise):
        return _brought(node, module)
    row = row_of(node, module)
    arguments = None if row is None else _bound(row, node, module)
    if arguments is None:
        return None
    assert row is not None
    try:
        call = row.call(**arguments)
    except (TypeError, ValueError, KeyError, AttributeError):  # for example a tensor for a number, or an unknown word
        return None
    numbers = () if call is None else call.numbers
    return call if all(isinstance(number, int | float) for number in numbers) else None


def _brought(node: fx.Node, module: Elementwise) -> Call | None:
    """The instruction that comes with the module, if it is about the module's own `forward`."""
    if node.kwargs or tampered(module) or not follows(module, "expression", "forward"):
        return None
    operands, numbers = (*node.args, *module.values()), tuple(module.numbers)
    return Call(Expression(module.expression), operands, numbers) if len(operands) <= 3 and len(numbers) <= 2 else None


def _bound(row: Row, node: fx.Node, module: nn.Module | None) -> Mapping[str, Any] | None:
    """The arguments under the parameter names of the row's `call`; None for a call that it does not support.

    For a module they are the node's arguments and the module's attributes of those names; it is in evaluation mode.
    """
    signature = _signature(row.call)
    given = dict(node.kwargs)
    if module is not None:
        own = list(signature.parameters)[1:]
        given |= {name: getattr(module, name) for name in own if name not in given and hasattr(module, name)}
        given |= {"training": False} if "training" in own else {}
    try:
        bound = signature.bind(*node.args, **given)
    except TypeError:
        return None
    bound.apply_defaults()
    arguments = bound.arguments
    if not isinstance(arguments.get("inplace", False), bool):
        return None  # ATen's elu_ takes different arguments from elu
    return arguments if row.only(arguments) else None


@functools.cache
def _signature(call: Callable[..., Call | None]) -> inspect.Signature:
    return inspect.signature(call)


@functools.cache
def _by_alias() -> dict[Any, Row]:
    """Every row by all that torch.fx may hand over for it: classes, functions and method names."""
    return {alias: row for row in ROWS for alias in aliases(row)}


def aliases(row: Row) -> Iterator[Any]:
    """The module classes, functions and method names of this operation, in place or not."""
    yield from row.modules
    yield from row.functions
    for name in (row.short, *row.also):
        for spelled in (name, f"{name}_"):
            if hasattr(torch.Tensor, spelled):
                yield spelled
            for place in (torch, F, torch.special):
                if hasattr(place, spelled):
                    yield getattr(place, spelled)
