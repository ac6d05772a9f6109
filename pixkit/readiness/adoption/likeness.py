"""Reuse of results for tables of addresses that are alike: most blocks of a network are."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

Found = TypeVar("Found")


class Likenesses:
    """Tables are alike if they differ only in the operation that they point to.

    Each lies in memory that was allocated for the addresses of one operation, in a known order: views of two such
    memories are alike if the operations have the same shape, the orders are equal, and so are the views' offsets and
    strides.
    """

    def __init__(self) -> None:
        self._lying: dict[StorageWeakRef, tuple[Any, int]] = {}
        self._found: dict[Hashable, Any] = {}
        self._orders: list[Tensor] = []

    def note(self, addresses: Tensor, source: Any, order: int = -1) -> Tensor:
        """Register addresses: all those of one operation, in some order, in memory that is not shared."""
        self._lying[StorageWeakRef(addresses.untyped_storage())] = (source, order)
        return addresses

    def source(self, addresses: Tensor) -> Any:
        """The operation that they belong to, if it is known."""
        return self._lying.get(StorageWeakRef(addresses.untyped_storage()), (None, -1))[0]

    def remembered(self, what: Hashable, operands: Sequence[Tensor], find: Callable[[], Found]) -> Found:
        """The result found earlier for operands that were alike; else computed now.

        Args:
            what: identifies the result; whatever it depends on besides the operands, except which operations they are
                from.
            operands: addresses.
            find: computes the result.
        """
        described = [self._describe(operand) for operand in operands]
        if None in described:
            return find()
        sources = [self.source(operand) for operand in operands]
        same = tuple(next(at for at, one in enumerate(sources) if one is source) for source in sources)
        key = (what, tuple(described), same)
        if key not in self._found:
            self._found[key] = find()
        return cast(Found, self._found[key])

    def placed(self, what: Hashable, addresses: Tensor, place: Callable[[], Tensor]) -> Tensor:
        """All addresses of an operation in another order.

        Args:
            what: identifies the order.
            addresses: in the operation's own order.
            place: puts them in the new order.
        """
        source = self.source(addresses)
        if source is None:
            return place()
        number = self.remembered(what, [addresses], lambda: self._number(place() - source.first))
        return self.note(self._orders[number] + source.first, source, number)

    def _number(self, order: Tensor) -> int:
        """The number of an order; equal orders have the same number."""
        known = (number for number, other in enumerate(self._orders) if torch.equal(order, other))
        number = next(known, None)
        if number is None:
            self._orders.append(order)
        return len(self._orders) - 1 if number is None else number

    def _describe(self, addresses: Tensor) -> Hashable | None:
        source, order = self._lying.get(StorageWeakRef(addresses.untyped_storage()), (None, -1))
        if source is None:
            return None
        kind = (source.maps, source.grid, source.static, source.groups)
        return kind, order, addresses.storage_offset(), addresses.shape, addresses.stride()
