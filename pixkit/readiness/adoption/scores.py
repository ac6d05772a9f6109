"""Products of queries and keys, and the operations on them before they weight values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from pixkit.layers.site_products import Products, Row
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.moves import keywords, positional
from pixkit.readiness.adoption.pointwise import applied
from pixkit.readiness.adoption.separable import Mixed, name_of

PLAIN = Products()
"""The row without any operations."""
LOST = "lost"
"""Stands for a row whose constants have different axes from the current products."""
LAST = frozenset(("softmax", "_softmax", "_safe_softmax", "log_softmax", "_log_softmax"))
"""Operations along a row that preserve its length."""
REDUCED = frozenset(("amax", "amin", "sum", "mean", "logsumexp"))
"""Operations that reduce a row to one number."""
TURNED = frozenset(("transpose", "permute", "t", "mT", "swapaxes", "swapdims", "movedim", "moveaxis", "numpy_T"))
"""Operations that may swap rows and columns."""
RESHAPED = frozenset(("view", "reshape", "_unsafe_view", "expand", "unsqueeze", "squeeze", "flatten", "unflatten"))
"""Operations that may regroup the axes of products before their last two."""


@dataclass(frozen=True)
class Scores:
    """Products of queries and keys, [..., T, U], kept in factored form until values are multiplied by them.

    Attributes:
        query: addresses [..., T, D].
        key: addresses [..., U, D].
        asked: the query of an equivalent attention, if not `query`.
        scale: the factor of the products in that attention; None if no attention is equivalent.
        bias: added after scaling, as torch broadcasts it, or None.
        weighed: whether a softmax has been applied.
        row: all operations on the products, a `Row` with `Known` constants, or PLAIN; LOST where axes were regrouped.
        reduced: whether there is one number per row.
    """

    query: Tensor
    key: Tensor
    asked: Tensor | None = None
    scale: float | None = 1.0
    bias: Known | None = None
    weighed: bool = False
    row: Any = PLAIN
    reduced: bool = False

    @property
    def shape(self) -> torch.Size:
        """The shape of the products."""
        lead = torch.broadcast_shapes(self.query.shape[:-2], self.key.shape[:-2])
        return torch.Size((*lead, self.query.shape[-2], 1 if self.reduced else self.key.shape[-2]))

    def reshaped(self, shape: torch.Size) -> Scores:
        """Reshape the axes before the last two, which must stay.

        Raises:
            Mixed: if they do not.
        """
        if shape[-2:] != self.shape[-2:] or self.scale is None:
            raise Mixed("which does not treat products of queries and keys row by row")
        lead = self.shape[:-2]
        query, key, asked = (
            x.expand(*lead, *x.shape[-2:]).reshape(*shape[:-2], *x.shape[-2:])
            for x in (self.query, self.key, self.query if self.asked is None else self.asked)
        )
        row = PLAIN if self.row is PLAIN else LOST
        bias = self.bias
        if bias is not None and bias.value.shape[:-2].numel() > 1:
            planes = (plane.expand(self.shape).reshape(shape) for plane in (bias.value, bias.fixed))
            bias = Known(*planes)
        return replace(self, query=query, key=key, asked=asked, bias=bias, row=row)

    def added(self, other: Known) -> Scores:
        """Add a bias to the current one."""
        if self.bias is None:
            return replace(self, bias=other)
        fixed = self.bias.fixed & other.fixed
        for each in (self.bias, other):
            fixed = fixed | (each.fixed & (each.value == -torch.inf).cpu())
        return replace(self, bias=Known(self.bias.value + other.value, fixed))


@dataclass(frozen=True)
class Turned:
    """Products whose rows have become columns."""

    scores: Scores

    @property
    def shape(self) -> torch.Size:
        """The shape of the products."""
        *lead, rows, columns = self.scores.shape
        return torch.Size((*lead, columns, rows))


def turned(value: Scores | Turned, node: fx.Node, arguments: dict[str, Any]) -> Scores | Turned:
    """Permute the axes: swap the last two, or none.

    Raises:
        Mixed: if others are permuted.
    """
    function: Any = node.target
    axes = len(value.shape)
    probe = torch.empty(0).new_empty(*range(1, axes + 1), device="meta")
    changed = {key: probe if each is value else each for key, each in arguments.items()}
    order = [size - 1 for size in function(*(changed[each] for each in positional(function))).shape]
    if order[:-2] != list(range(axes - 2)):
        raise Mixed("which does not treat products of queries and keys row by row")
    if order[-2:] == [axes - 2, axes - 1]:
        return value
    if isinstance(value, Turned):
        return value.scores
    return Scores(value.key, value.query) if value.row is PLAIN else Turned(value)


def of_scores(builder: Builder, node: fx.Node, arguments: dict[str, Any]) -> Scores:
    """Apply an operation to products.

    Args:
        builder: the graph in which queries are scaled.
        node: the exported operation.
        arguments: by ATen's names.

    Raises:
        Mixed: if it does not work row by row.
    """
    name, values = name_of(node), list(arguments.values())
    scores = next(value for value in values if isinstance(value, Scores))
    if name in RESHAPED:
        return scores.reshaped(node.meta["val"].shape)
    row = _row(node, name, scores, arguments)
    found = (
        None
        if scores.weighed or scores.scale is None or scores.reduced
        else _attention(builder, name, scores, arguments)
    )
    if found is None:
        if row is LOST:
            raise Mixed("which attention does not apply to products of queries and keys")
        found = replace(scores, scale=None)
    return replace(
        found, row=row, reduced=name in REDUCED or all(each.reduced for each in values if isinstance(each, Scores))
    )


def _row(node: fx.Node, name: str, scores: Scores, arguments: dict[str, Any]) -> Any:
    """The row after an operation; LOST if there is none."""
    function: Any = node.target
    operands = [each for each in arguments.values() if isinstance(each, Scores)]
    alike = all(each.query is scores.query and each.key is scores.key and each.row is not LOST for each in operands)
    if not alike or any(isinstance(each, Tensor) for each in arguments.values()):
        return LOST
    changed = {key: each.row if isinstance(each, Scores) else each for key, each in arguments.items()}
    if name in ("tril", "triu"):
        kept = function(torch.ones(scores.shape[-2:], dtype=torch.bool), arguments["diagonal"])
        return Row(torch.ops.aten.masked_fill.Scalar, (scores.row, Known.constant(~kept), 0.0), {})
    if name in LAST | REDUCED:
        dims = arguments["dim"] if isinstance(arguments["dim"], list | tuple) else [arguments["dim"]]
        if [dim % len(scores.shape) for dim in dims] != [len(scores.shape) - 1]:
            return LOST
        changed["dim"] = [-1] if isinstance(arguments["dim"], list | tuple) else -1
        changed |= {"keepdim": True} if name in REDUCED else {}
    elif torch.Tag.pointwise not in function.tags and name != "where":  # torch tags `where` only for tensors
        return LOST
    return Row(function, tuple(changed[each] for each in positional(function)), keywords(function, changed))


def _attention(builder: Builder, name: str, scores: Scores, arguments: dict[str, Any]) -> Scores | None:
    """The same as scale, bias and softmax of attention, if possible."""
    values = list(arguments.values())
    other = next((value for value in values if value is not scores), None)
    if isinstance(other, Scores):
        return None
    if name == "neg":
        return _scaled(builder, scores, -1.0, inverse=False)
    if name == "mul" or (name == "div" and values[0] is scores and not arguments.get("rounding_mode")):
        return _scaled(builder, scores, other, inverse=name == "div")
    found = None
    if name in ("add", "sub") and arguments.get("alpha", 1) == 1 and (name == "add" or values[0] is scores):
        found = _shifted(scores, other, negative=name == "sub")
    elif name in ("masked_fill", "where"):
        found = _masked(name, scores, arguments, builder.dtype)
    elif name in ("softmax", "_softmax", "_safe_softmax") and arguments["dim"] in (-1, len(scores.shape) - 1):
        found = replace(scores, weighed=True)
    return found


def _shifted(scores: Scores, other: Any, *, negative: bool) -> Scores | None:
    """Adding a number does not change the softmax."""
    if isinstance(other, Known):
        return scores.added(Known(-other.value, other.fixed) if negative else other)
    return scores if isinstance(other, int | float) else None


def _masked(name: str, scores: Scores, arguments: dict[str, Any], dtype: torch.dtype) -> Scores | None:
    mask = arguments["mask" if name == "masked_fill" else "condition"]
    if not isinstance(mask, Known):
        return None
    if name == "masked_fill":
        return _filled(scores, mask, arguments["value"], dtype)
    if arguments["self"] is scores:
        return _filled(scores, Known(~mask.value, mask.fixed), arguments["other"], dtype)
    return _filled(scores, mask, arguments["self"], dtype)


def _scaled(builder: Builder, scores: Scores, by: Any, *, inverse: bool) -> Scores | None:
    if isinstance(by, Known) and by.value.numel() == 1:
        by = float(by.value)
    if isinstance(by, Known | Tensor):
        shape = by.value.shape if isinstance(by, Known) else by.shape
        if scores.bias is not None or shape[-1] != 1:
            return None
        query = scores.query if scores.asked is None else scores.asked
        return replace(scores, asked=applied(builder, torch.div if inverse else torch.mul, (query, by), {}))
    if not isinstance(by, int | float) or (inverse and by == 0):
        return None
    assert scores.scale is not None
    factor = 1 / by if inverse else by
    bias = scores.bias
    if bias is not None:
        bias = Known(bias.value * factor, bias.fixed)
    return replace(scores, scale=scores.scale * factor, bias=bias)


def _filled(scores: Scores, mask: Known, value: Any, dtype: torch.dtype) -> Scores | None:
    number = float(value.value) if isinstance(value, Known) and value.value.numel() == 1 else value
    if not mask.all_fixed:
        raise Mixed("which hides keys depending on parameters")
    if number != -torch.inf:
        return None
    hide = torch.zeros(mask.value.shape, dtype=dtype, device=mask.value.device)
    return scores.added(Known.constant(hide.masked_fill(mask.value, -torch.inf)))
