"""The planes of the tensors that an operation returned and wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from pixkit.readiness.elements.marks import LATEST, Call, Marks, plain, uniform
from pixkit.readiness.elements.planes import Planes
from pixkit.readiness.elements.storages import Storages
from pixkit.readiness.elements.tape import Held


def marked(
    storages: Storages, call: Call, ruled: list[Marks], given: Sequence[Tensor], written: list[Tensor]
) -> Iterator[Held]:
    """Mark the tensors of an operation.

    Args:
        storages: the run's storages.
        call: the operation.
        ruled: marks for each tensor that it returned.
        given: these tensors.
        written: the tensors that it wrote to; nothing is known of those that it did not return.
    """
    for tensor, marks in zip(given, ruled, strict=True):
        known = storages.knows(tensor)
        if known and not any(tensor is each for each in written):
            continue  # it lies in an input, whatever the schema says
        planes = storages.of(tensor) if known else storages.made(tensor)
        yield _put(storages, planes, tensor, marks)
        if marks.any_fixed:
            planes.settled = max(planes.settled, _settled(storages, call, tensor))
            planes.sources = planes.sources.union(*(storages.of(each.value).sources for each in call.marks))
    for tensor in written:
        if not any(tensor is each for each in given):
            yield _put(storages, storages.of(tensor), tensor, uniform(tensor, LATEST))


def _settled(storages: Storages, call: Call, result: Tensor) -> int:
    if not (result.is_floating_point() or result.is_complex()):
        return 0
    of_others = [each.latest for each in call.marks if not each.all_fixed]
    return max([*of_others, *(storages.of(each.value).settled for each in call.marks)], default=0)


def _put(storages: Storages, planes: Planes, tensor: Tensor, marks: Marks) -> Held:
    ready, shape = marks.ready, tensor.shape
    planes.write(tensor, ready, marks.fixed)
    return Held(storages.place(tensor), Marks(ready.expand(shape), marks.fixed.expand(shape), plain(tensor)))
