"""A packed plan whose operations are computed together where one follows the other element by element."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from pixkit.execution.native.layout import ELEMENTWISE
from pixkit.execution.native.packed import Packed
from pixkit.execution.plan import Schedule
from pixkit.readiness.row import Expression

POINTWISE = {*(name for names in ELEMENTWISE.values() for name in names), "AFFINE"}
"""Kinds that read and write the same element, beside those that plugins bring."""


def pointwise(kind: str) -> bool:
    """Whether an instruction reads and writes the same element."""
    return kind in POINTWISE or isinstance(kind, Expression)


class Chained(Packed, ABC):
    """Operations of a chain are due at the same sites in the same steps, and have equally many elements.

    An operation reads what existed before the chain, or the same element written earlier in the chain. Kernels differ
    in the kinds that lead a chain, and those that follow.
    """

    @abstractmethod
    def _leads(self, number: int) -> bool:
        """Whether others can be chained to an operation."""

    @abstractmethod
    def _joins(self, number: int) -> bool:
        """Whether an operation can be chained to the previous one."""

    @abstractmethod
    def _domain(self, number: int) -> int:
        """The number of elements that the kernel computes at a site."""

    def _fuse(self) -> list[int]:
        fused, head = [0] * len(self._parts), 0
        written = self._written(head) if self._parts else {}
        for number in range(1, len(self._parts)):
            if self._leads(head) and self._joins(number) and self._follows(number, head, written):
                fused[head] += 1
                written |= self._written(number)
            else:
                head, written = number, self._written(number)
        return fused

    def _follows(self, number: int, head: int, written: dict[int, Tensor | None]) -> bool:
        """Whether an operation is due with those since `head`, which wrote `written`, and reads the same element."""
        (name, part), (first, _) = self._parts[number], self._parts[head]
        if self._domain(number) != self._domain(head) or not self._together(name, first):
            return False
        for operand in part.inputs:
            if not isinstance(operand, str) or self._is_pixels(operand):
                continue
            data = self._data[operand]
            if data.untyped_storage().data_ptr() in written:
                same = written[data.untyped_storage().data_ptr()]
                apart = not (pointwise(part.kind) or part.kind in ("CONCATENATED_ELU", "COPY"))
                if apart or same is None or same.data_ptr() != data.data_ptr():
                    return False
        return True

    def _written(self, number: int) -> dict[int, Tensor | None]:
        """The memory that an operation writes, and its result if the kernel's element is stored there, or None."""
        name, part = self._parts[number]
        data = self._data[part.out or name]
        elsewhere = part.kind in ("COPY", "CONSTANT", "CONCATENATED_ELU") or part.to > 0
        beside = {self._data[kept.name].untyped_storage().data_ptr(): None for kept in part.kept}
        return beside | {data.untyped_storage().data_ptr(): None if elsewhere else data}

    def _together(self, name: str, other: str) -> bool:
        """Whether two operations are computed at the same sites in the same steps, colour group by colour group."""
        first, second = self._by_name.get(name, []), self._by_name.get(other, [])
        return len(first) == len(second) and all(
            a.group == b.group
            and torch.equal(a.times, b.times)
            and torch.equal(a.starts, b.starts)
            and torch.equal(a.sites, b.sites)
            for a, b in zip(first, second, strict=True)
        )

    def _ops(self) -> None:
        self._by_name: dict[str, list[Schedule]] = {}
        for schedule in self._schedules:
            self._by_name.setdefault(schedule.operation.name, []).append(schedule)
        super()._ops()
