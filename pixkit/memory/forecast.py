"""How much memory work on many images takes, learnt from the same work on a few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from pixkit.memory.heap import glibc, taken
from pixkit.memory.recording import Event, Recording, peak

FEW, MORE = 2, 4
"""Images with which the work is done to see how its tensors grow with their number."""
BESIDE = 0.1
"""What a CPU's kernels take for themselves beside the tensors, as a part of these: scratch memory, which is no
tensor. Found with tests/benchmarks/memory.py: without it most recipes take 0 to 20% more than is foreseen."""


@dataclass(frozen=True)
class Forecast:
    """Bytes that work takes at its peak, above what there is before it.

    `alive` are the tensors; `taken` is what the process takes from the system for them, which is more where the
    allocator leaves gaps, and kernels take memory for themselves.
    """

    alive: int
    taken: int


def forecast(work: Callable[[int], object], images: int, device: torch.device, *, kept: bool = False) -> Forecast:
    """Do some work with 2 and with 4 images, and say what it takes with `images`.

    Each tensor's size is extended on its own, a straight line through the two: the peak with many images may be at
    another moment than with few. Where the work is not the same operation for operation, the peak is extended instead.

    Args:
        work: called with a number of images; what it returns is kept until its memory is recorded.
        images: how many it will be.
        device: where it is done.
        kept: whether the process keeps what it frees meanwhile (`keeping`).
    """
    if images <= MORE:
        return _forecast(_record(work, images), device, kept)
    few, more = _record(work, FEW), _record(work, MORE)
    if not _alike(few, more):  # something may have been made once, for good
        few = _record(work, FEW)
    if _alike(few, more):
        events = [(number, _line(a, b, images)) for (number, a), (_, b) in zip(few, more, strict=True)]
        return _forecast(events, device, kept)
    alive = _line(peak(few), peak(more), images)
    return Forecast(alive, alive)


def _record(work: Callable[[int], object], images: int) -> list[Event]:
    with Recording() as found:
        kept = work(images)
    del kept
    return found.events


def _forecast(events: list[Event], device: torch.device, kept: bool) -> Forecast:
    alive = peak(events)
    if device.type != "cpu":
        return Forecast(alive, alive)
    touched = taken(events, kept=kept) if glibc() else alive
    return Forecast(alive, round(touched * (1 + BESIDE)))


def _alike(few: list[Event], more: list[Event]) -> bool:
    """Whether storages come and go in the same order."""
    return [(number, size > 0) for number, size in few] == [(number, size > 0) for number, size in more]


def _line(few: int, more: int, images: int) -> int:
    """Where a straight line from FEW to MORE images comes to."""
    value = round(few + (more - few) / (MORE - FEW) * (images - FEW))
    return max(value, 0) if few >= 0 else min(value, 0)
