"""Memory that the C library's allocator takes from the system for live memory: it cannot use every gap."""

from __future__ import annotations

import bisect
import ctypes
import functools
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from pixkit.memory.recording import Event

PAGE = 4096
PAD = 128 << 10
"""Bytes by which the heap grows beyond the request (M_TOP_PAD)."""
FIRST_THRESHOLD, LAST_THRESHOLD = 128 << 10, 32 << 20
"""Blocks above the threshold are mapped separately; it rises to the size of the largest such block freed so far."""
ALIGNMENT, HEADER, SMALLEST = 64, 16, 32
"""torch aligns tensors; the allocator finds room for that, and frees what is left of it."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""`mallopt` options: how many free bytes at the heap's end are given back, and above what size blocks are mapped."""
STATED = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_")
"""Variables by which a user sets the same for a process, like `glibc.malloc.` in GLIBC_TUNABLES."""

Block: TypeAlias = tuple[int, int]
"""(address, bytes); the address is -1 for a block that is mapped separately."""


def taken(events: Iterable[Event], repeat: int = 3, *, kept: bool = False) -> int:
    """Peak bytes that a process takes from the system for tensors that come and go like this, repeatedly.

    Args:
        events: allocations and frees, in order; whatever is left at the end is freed before the next turn.
        repeat: number of turns: the allocator adapts in the first.
        kept: whether freed memory is kept meanwhile (`keeping`).
    """
    events = [event for event in events if event[1]]
    heap = Heap(kept=kept)
    for _ in range(repeat):
        blocks: dict[int, Block] = {}
        for number, size in events:
            if size > 0:
                blocks[number] = heap.take(size)
            elif number in blocks:
                heap.give_back(blocks.pop(number))
        for block in blocks.values():
            heap.give_back(block)
    return heap.most


@functools.cache
def glibc() -> bool:
    """Whether this process's allocator is glibc's, as far as can be told."""
    return platform.libc_ver()[0] == "glibc"


def trim() -> None:
    """Return freed memory to the system: glibc keeps it for later, and until then it counts as the process's."""
    if glibc():
        ctypes.CDLL(None).malloc_trim(0)


def can_keep() -> bool:
    """Whether `keeping` has an effect: the allocator is glibc's, and no variable overrides it."""
    told = any(name in os.environ for name in STATED) or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    return glibc() and not told


@contextmanager
def keeping() -> Iterator[None]:
    """Keep freed memory for a while, where possible (`can_keep`): each training step allocates the same memory again.

    Otherwise the end of the heap is returned to the system after most steps, which must zero every page when it is
    taken again: a tenth of a step's time, and more. At the end everything is returned, and the thresholds are left
    where glibc itself moves them in a process that frees large blocks.
    """
    if not can_keep():
        yield
        return
    library = ctypes.CDLL(None)
    library.mallopt(MMAP_THRESHOLD, LAST_THRESHOLD)
    library.mallopt(TRIM_THRESHOLD, -1)  # never
    try:
        yield
    finally:
        library.mallopt(TRIM_THRESHOLD, 2 * LAST_THRESHOLD)
        trim()


class Heap:
    """A model of glibc's malloc, as far as tensors are affected: one best-fit heap with gaps.

    `most` is the peak of the bytes in use: in the heap, gaps included, and mapped separately. With `kept` it behaves as
    within `keeping`.
    """

    def __init__(self, *, kept: bool = False) -> None:
        self.most = 0
        self._gaps: list[tuple[int, int]] = []  # (size, address), sorted
        self._starts: dict[int, int] = {}  # gap sizes by address, and gap addresses by end
        self._ends: dict[int, int] = {}
        self._top = self._end = self._touched = self._mapped = 0
        self._threshold, self._kept = LAST_THRESHOLD if kept else FIRST_THRESHOLD, kept

    def take(self, size: int) -> Block:
        """Allocate a tensor."""
        used = size + ALIGNMENT  # padding before an aligned block is lost while the block lives
        need = size + HEADER + ALIGNMENT + SMALLEST
        place = bisect.bisect(self._gaps, (need, -1))
        if place < len(self._gaps):
            room, address = self._gaps[place]
            self._close(room, address)
            self._open(room - used, address + used)
            block = (address, used)
        elif self._end - self._top < need and need >= self._threshold:
            block = (-1, -(-need // PAGE) * PAGE)
            self._mapped += block[1]
        else:
            if self._end - self._top < need:
                self._end = self._top + need + PAD
            block = (self._top, used)
            self._top += used
            self._touched = max(self._touched, self._top)
        self.most = max(self.most, self._touched + self._mapped)
        return block

    def give_back(self, block: Block) -> None:
        """Free a block, merging adjacent gaps; separately mapped memory and a large end go back to the system."""
        address, size = block
        if address < 0:
            self._mapped -= size
            if self._threshold < size <= LAST_THRESHOLD:
                self._threshold = size
            return
        if address + size in self._starts:
            size += self._close(self._starts[address + size], address + size)
        if address in self._ends:
            address = self._ends[address]
            size += self._close(self._starts[address], address)
        if address + size < self._top:
            self._open(size, address)
            return
        self._top = address
        if self._end - self._top >= 2 * self._threshold and not self._kept:
            self._end = self._top + PAD
            self._touched = min(self._touched, self._end)

    def _open(self, size: int, address: int) -> None:
        bisect.insort(self._gaps, (size, address))
        self._starts[address] = size
        self._ends[address + size] = address

    def _close(self, size: int, address: int) -> int:
        del self._gaps[bisect.bisect_left(self._gaps, (size, address))]
        del self._starts[address], self._ends[address + size]
        return size
