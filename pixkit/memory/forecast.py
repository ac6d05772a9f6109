"""Predict how much memory work on many images takes, from the same work on a few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from pixkit.memory.heap import glibc, taken
from pixkit.memory.recording import Event, Recording, peak

FEW, MORE = 2, 4
"""Numbers of images with which the work is run to see how its tensors grow."""
BESIDE = 0.1
"""Scratch memory of a CPU's kernels, relative to the tensors, since it is not allocated as tensors. Measured with
tests/benchmarks/memory.py: without it most recipes take 0 to 20% more than predicted."""


@dataclass(frozen=True)
class Forecast:
    """Peak memory of some work in bytes, above what is in use before.

    `alive` counts the tensors; `taken` is what the process takes from the system for them, which is more because the
    allocator leaves gaps and kernels allocate scratch memory.
    """

    alive: int
    taken: int


def forecast(work: Callable[[int], object], images: int, device: torch.device, *, kept: bool = False) -> Forecast:
    """Run some work with 2 and with 4 images, and predict its peak with `images`.

    Each tensor's size is extrapolated separately along the line through the two runs, because the peak with many images
    may be at a different moment than with few. If the two runs differ in their operations, the peak itself is
    extrapolated.

    Args:
        work: called with a number of images; its result is kept until memory has been recorded.
        images: the number to predict for.
        device: where it runs.
        kept: whether the process keeps freed memory meanwhile (`keeping`).
    """
    if images <= MORE:
        return _forecast(_record(work, images), device, kept)
    few, more = _record(work, FEW), _record(work, MORE)
    if not _alike(few, more):  # something may have been made once and kept
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
    """Extrapolate the line through FEW and MORE images."""
    value = round(few + (more - few) / (MORE - FEW) * (images - FEW))
    return max(value, 0) if few >= 0 else min(value, 0)
