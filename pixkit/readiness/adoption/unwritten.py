"""Uninitialised memory, and operations on it that need no pixels: followed by the rules of `elements`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pixkit.readiness.adoption.chosen import CHOSEN, chooses
from pixkit.readiness.adoption.complex import Pairs
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.moves import CASTS, MOVED, SAME, SHAPED
from pixkit.readiness.adoption.scores import Scores, Turned
from pixkit.readiness.adoption.separable import Mixed
from pixkit.readiness.elements.carrying import Carrying
from pixkit.readiness.elements.marked import Operations, mark, plainly
from pixkit.readiness.elements.marks import UNWRITTEN
from pixkit.readiness.elements.rules import UNSETTLED


def followed(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Apply an operation to known values, some of which are uninitialised.

    Raises:
        Mixed: if its result depends on uninitialised values.
    """
    carrying = Carrying({}, sys._getframe())
    args, kwargs = pytree.tree_map(lambda leaf: _given(leaf, carrying), (args, kwargs))
    with torch.no_grad(), Operations(carrying):
        result = function(*args, **kwargs)
    carrying.over()
    computing = (record for record in carrying.tape if record.call.func.overloadpacket not in UNSETTLED)
    if any(held.marks.latest >= UNWRITTEN for record in computing for held in record.results):
        raise Mixed("which reads uninitialised memory")
    with plainly():
        return pytree.tree_map(lambda tensor: _found(tensor, carrying), result)


def read_by(name: str, arguments: dict[str, Any]) -> list[Any]:
    """The arguments that an operation reads and does not merely move.

    Args:
        name: ATen's name.
        arguments: by ATen's names.
    """
    read = dict(arguments)
    if name in ("addmm", "baddbmm") and read["beta"] == 0:  # then the addend does not count, whatever it is
        del read["self"]
    leaves = pytree.tree_leaves(read)
    if name in SHAPED:
        return [read.get("fill_value")]
    moves = name in SAME | CASTS or (name in MOVED and not (name in CHOSEN and chooses(name, arguments)))
    return [] if moves and not any(isinstance(each, Scores | Turned | Pairs) for each in leaves) else leaves


def _given(leaf: Any, carrying: Carrying) -> Any:
    """A value's marks: parameters need something, though nothing late."""
    if not isinstance(leaf, Known):
        return leaf
    unwritten = torch.zeros_like(leaf.fixed) if leaf.unwritten is None else leaf.unwritten
    tensor = leaf.value.detach().clone()
    ready = torch.where(unwritten, UNWRITTEN, (~leaf.fixed).long())
    carrying.give(tensor, ready, leaf.fixed & ~unwritten)
    return mark(tensor, carrying)


def _found(tensor: Tensor, carrying: Carrying) -> Known:
    marks = carrying.storages.marks(tensor.detach())
    unwritten = marks.ready >= UNWRITTEN
    return Known(marks.value, marks.fixed | unwritten, unwritten)
