"""Sums weighted by functions of query-key products, row by row, as foreign networks have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixkit.layers.base import MixingLayer
from pixkit.layers.geometry import Grid


@dataclass(frozen=True)
class Kept:
    """A constant of `SiteProducts`, by its number."""

    number: int


@dataclass(frozen=True)
class Products:
    """The products themselves."""


@dataclass(frozen=True)
class Row:
    """An operation on rows of products, applied to each row separately.

    Attributes:
        function: elementwise, or along the last axis.
        arguments: `Row` for another operation's result, `Products`, `Kept` for constants, anything else as it is.
        named: the same, by name.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: dict[str, Any]


class SiteProducts(MixingLayer):
    """Retention (Sun et al., 2023, arXiv 2307.08621), attention without a softmax, with a cap, and the like.

    `forward(query, key, value)` maps [B, M, h, w], [B, M, h', w'] and [B, V, h', w'] to [B, V, h, w]; without a value,
    a number for each row and head, [B, heads, h, w]. Queries are R runs of T sites, keys R runs of U; a run of queries
    reads the run of keys with its number. Every map reads all maps, whatever their colour groups.

    Args:
        row: the function of the products.
        visible: bool [R, T, U], the keys whose products, or values, are read.
        constants: [1 or heads, R, T, U or 1] each.
        heads: number of heads; divides M and V, head by head.
    """

    visible: Tensor

    def __init__(
        self, row: Row | Products, visible: Tensor, constants: Sequence[Tensor] = (), *, heads: int = 1
    ) -> None:
        super().__init__()
        self.row, self.heads = row, heads
        self.register_buffer("visible", visible, persistent=False)
        for number, constant in enumerate(constants):
            self.register_buffer(f"constant_{number}", constant, persistent=False)

    def forward(self, query: Tensor, key: Tensor, *value: Tensor) -> Tensor:
        """All rows."""
        every = torch.arange(self.visible.shape[0] * self.visible.shape[1], device=query.device)
        memories = [x.flatten(2).transpose(1, 2) for x in (query, key, *value)]
        out: Tensor = self._rows(every, *memories).transpose(1, 2).unflatten(2, tuple(query.shape[2:]))
        return out

    def _rows(self, sites: Tensor, query: Tensor, key: Tensor, value: Tensor | None = None) -> Tensor:
        """[B, S, V] of some sites; keys that are not read do not count, whatever they hold."""
        runs, count, _ = self.visible.shape
        run, place = sites.div(count, rounding_mode="floor"), sites % count

        def of_runs(memory: Tensor) -> Tensor:
            """[B, heads, U, D], or [B, heads, S, U, D] of several runs."""
            split = memory.unflatten(2, (self.heads, -1)).unflatten(1, (runs, -1)).permute(0, 3, 1, 2, 4)
            out: Tensor = split[:, :, 0] if runs == 1 else split[:, :, run]
            return out

        own = query[:, sites].unflatten(2, (self.heads, -1)).transpose(1, 2)
        hidden = ~self.visible[run, place]
        products = _times(own, of_runs(key).transpose(-2, -1))
        found = self._made(self.row, products.masked_fill(hidden, 0.0), (run, place), {})
        if value is not None:
            found = _times(found.masked_fill(hidden, 0.0), of_runs(value))
        out: Tensor = found.transpose(1, 2).flatten(2)
        return out

    def _made(self, row: Any, products: Tensor, where: tuple[Tensor, Tensor], done: dict[int, Tensor]) -> Any:
        """The value that an argument stands for."""
        if isinstance(row, Products):
            return products
        if isinstance(row, Kept):
            return getattr(self, f"constant_{row.number}")[:, where[0], where[1]]
        if not isinstance(row, Row):
            return row
        if id(row) not in done:
            arguments = [self._made(each, products, where, done) for each in row.arguments]
            done[id(row)] = row.function(*arguments, **row.named)
        return done[id(row)]

    def _spread(self) -> Tensor:
        """The sites that are read, bool [R * T, R * U]."""
        runs, count, seen = self.visible.shape
        own = torch.eye(runs, dtype=torch.bool)[:, None, :, None]
        return (own & self.visible.cpu()[:, :, None]).reshape(runs * count, runs * seen)

    def ready(self, *inputs: Tensor) -> Tensor:
        """The query, and the latest of the keys and values that are read; rows that read nothing are ready at 0."""
        query, *others = (ready.amax(0) for ready in inputs)
        visible = self._spread()
        latest = torch.where(visible, torch.stack(others).amax(0).flatten(), 0).amax(1)
        seeing = torch.where(visible.any(1), torch.maximum(query.flatten(), latest), 0)
        return seeing.view(query.shape).expand(inputs[0].shape)

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """The query itself; keys and values that some unit reads."""
        visible = self._spread()
        seeing = units.any(0) & visible.any(1).view(units.shape[1:])
        seen = visible[seeing.flatten()].any(0).view(grids[1]).expand(len(units), -1, -1)
        return [seeing.expand_as(units), *[seen] * (len(grids) - 1)]

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: None) -> Tensor:
        """Some of the rows."""
        query, key, *values = (memory[:, :-1] for memory in inputs)
        return self._rows(sites, query, key, values[0] if values else None)[..., group::groups]

    def extra_repr(self) -> str:
        """Heads and sites for print(model)."""
        return f"heads={self.heads}, queries={self.visible.shape[1]}, keys={self.visible.shape[2]}"


def _times(rows: Tensor, matrix: Tensor) -> Tensor:
    """[B, heads, S, K] times one matrix for all, or one for each of S."""
    return rows @ matrix if matrix.ndim == rows.ndim else (rows[..., None, :] @ matrix)[..., 0, :]
