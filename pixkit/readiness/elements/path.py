"""The path back from an output element to an input element that makes it late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tag, Tensor

from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.replay import replayed
from pixkit.readiness.elements.tape import Record

Index = tuple[int, ...]


@dataclass(frozen=True)
class Pass:
    """An operation on the path: it read one element and returned another.

    Attributes:
        number: its number in the run.
        source: which of its inputs, and the index in that.
        result: which of its results, and the index in that.
    """

    number: int
    source: tuple[int, Index]
    result: tuple[int, Index]


def way_back(records: Sequence[Record], start: Place, output: Place, index: Index) -> tuple[list[Pass], Index | None]:
    """The operations, in order, that made an output element as late as it is, and the input element.

    The input element is None if the path ends elsewhere: at an operation without a rule.
    """
    by_storage: dict[int, list[int]] = {}
    for number, record in enumerate(records):
        for held in record.results:
            by_storage.setdefault(held.place.storage, []).append(number)
    way: list[Pass] = []
    storage, address, before = output.storage, output.address(index), len(records)
    while True:
        found = _written_by(records, by_storage.get(storage, []), storage, address, before)
        if found is None:
            break
        number, place, at = found
        source = _reason(records[number], place, at)
        if source is None:
            break
        way.append(Pass(number, source, (place, at)))
        read = records[number].inputs[source[0]].place
        storage, address, before = read.storage, read.address(source[1]), number
    at_start = start.index(address) if storage == start.storage else None
    return way[::-1], at_start


def _written_by(
    records: Sequence[Record], numbers: Sequence[int], storage: int, address: int, before: int
) -> tuple[int, int, Index] | None:
    """The last operation before `before` that wrote to an address: its number, which result, and the index in that."""
    for number in reversed(numbers):
        if number >= before:
            continue
        for result, held in enumerate(records[number].results):
            if held.place.storage == storage and (index := held.place.index(address)) is not None:
                return number, result, index
    return None


def _reason(record: Record, result: int, index: Index) -> tuple[int, Index] | None:
    """An input element that by itself makes an element of a result as late as it is, found by bisection."""
    late = int(record.results[result].marks.ready[index])
    ready = [held.marks.ready for held in record.inputs]
    latest = max((int(each.max()) for each in ready if each.numel()), default=0)
    if not latest or not late:
        return None
    target = min(late, latest)
    pointwise = Tag.pointwise in record.call.func.tags
    others = [torch.where(each >= target, 0, each) for each in ready]
    for place, each in enumerate(ready):
        candidates = (each >= target).flatten().nonzero().flatten()
        if not len(candidates):
            continue

        def is_late(chosen: Tensor, place: int = place, each: Tensor = each) -> bool:
            tried = others[place].flatten().clone()
            tried[chosen] = each.reshape(-1)[chosen]
            given = replayed(record, [*others[:place], tried.view(each.shape), *others[place + 1 :]])
            return int(given[result][index]) >= target

        if is_late(candidates):
            return place, _halved(candidates, is_late, each, index, pointwise)
    return None


def _halved(
    candidates: Tensor, is_late: Callable[[Tensor], bool], ready: Tensor, index: Index, pointwise: bool
) -> Index:
    same = _flat(index, ready.shape) if pointwise else None
    if same is not None and bool((candidates == same).any()) and is_late(candidates.new_tensor([same])):
        candidates = candidates.new_tensor([same])
    while len(candidates) > 1:
        first, second = candidates[: len(candidates) // 2], candidates[len(candidates) // 2 :]
        candidates = first if is_late(first) else second
    return tuple(int(i) for i in torch.unravel_index(candidates[0], ready.shape))


def _flat(index: Index, shape: torch.Size) -> int | None:
    """The flat index of the element that broadcasting puts at an index of a result with at least as many axes."""
    if len(shape) > len(index):
        return None
    flat = 0
    for place, size in zip(index[len(index) - len(shape) :], shape, strict=True):
        if size > 1 and place >= size:
            return None
        flat = flat * size + (place if size > 1 else 0)
    return flat
