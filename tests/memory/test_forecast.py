"""How much memory work takes, learnt from a few images."""

import ctypes
import gc
import os
import random
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pixkit.memory import Recording, forecast, heap
from pixkit.memory.heap import PAGE, STATED, Heap, can_keep, glibc, keeping, taken
from pixkit.memory.recording import peak

CPU = torch.device("cpu")
FLOAT = 4


def recorded(work):
    with Recording() as found:
        kept = work()
    del kept
    return found


def test_what_is_alive_is_counted_once_however_many_views_it_has():
    def work():
        x = torch.zeros(100)
        return x, x[:3], x.view(10, 10).t(), x.detach()

    assert recorded(work).events == [(0, 100 * FLOAT)]


def test_what_was_there_before_is_not_counted():
    x = torch.zeros(100)
    assert recorded(lambda: (x.view(10, 10), x.add_(1), torch.cat([x[:50], x[50:]]))).events == [(0, 100 * FLOAT)]
    y = torch.zeros(100)
    assert recorded(lambda: (torch.add(x, 1, out=x), torch.add(x, 1, out=y))).events == []


def test_the_peak_is_that_of_what_is_alive_together():
    def work():
        for _ in range(10):
            torch.zeros(100) + 1

    assert recorded(work).peak == 2 * 100 * FLOAT


def test_what_was_there_before_and_dies_within_is_not_counted():
    before = [torch.zeros(100)]
    with Recording() as found:
        before[0].add_(1)
        before.clear()
        torch.zeros(10)
    assert found.events == [(0, 10 * FLOAT), (0, -10 * FLOAT)]


def test_nothing_is_recorded_after():
    with Recording() as found:
        x = torch.zeros(100)
    before = list(found.events)
    y = torch.zeros(100)
    del x, y
    gc.collect()
    assert found.events == before


def test_the_backward_pass_is_seen_and_what_it_gives_back():
    """After relu(x) * 1, of 3 tensors, the gradient of each is made before what it is made from goes."""
    x = torch.zeros(1000, requires_grad=True)

    def work():
        y = (x * 2).exp().exp()
        y.sum().backward()

    found = recorded(work)
    sizes = [size for _, size in found.events]
    assert sum(size == -1000 * FLOAT for size in sizes) >= 4, "activations and their gradients die"
    assert 4 * 1000 * FLOAT <= found.peak < 5 * 1000 * FLOAT
    assert sum(sizes) == 1000 * FLOAT, "what is left is the gradient of x"


def product(images, width=50):
    """Keeps its input and output for the backward pass, and a large thing that does not grow."""
    weight = torch.zeros(width, width, requires_grad=True)
    return torch.relu(torch.zeros(images, width) @ weight).sum()


@pytest.mark.parametrize("images", [1, 3, 4, 5, 64, 1000])
def test_a_forecast_is_what_the_work_takes(images):
    assert forecast(product, images, CPU).alive == recorded(lambda: product(images)).peak


def test_each_moment_is_extended_on_its_own():
    """With a few images the constant part is the peak, with many the growing one."""

    def work(images):
        torch.zeros(10_000)
        torch.zeros(images, 100)

    assert forecast(work, 1000, CPU).alive == 1000 * 100 * FLOAT


def test_what_is_made_once_for_good_does_not_count_for_every_image():
    kept = []

    def work(images):
        if not kept:
            kept.append(torch.zeros(100_000))
        return torch.zeros(images, 10)

    assert forecast(work, 1000, CPU).alive == 1000 * 10 * FLOAT


def test_work_that_differs_with_the_number_of_images_is_extended_by_its_peak():
    def work(images):
        return [torch.zeros(10) for _ in range(images)]

    assert forecast(work, 100, CPU).alive == 100 * 10 * FLOAT


def test_what_shrinks_with_the_number_of_images_is_foreseen_down_to_nothing():
    def work(images):
        torch.zeros(100 - 10 * images)
        torch.zeros(7)

    assert forecast(work, 8, CPU).alive == 20 * FLOAT
    assert forecast(work, 50, CPU).alive == 7 * FLOAT
    assert forecast(lambda images: [torch.zeros(9) for _ in range(6 - images)], 50, CPU).alive == 0


def test_what_only_more_than_a_few_images_need_is_foreseen():
    found = forecast(lambda images: [torch.zeros(9) for _ in range(images - 2)], 50, CPU)
    assert found.alive == 48 * 9 * FLOAT


def test_a_gpu_takes_what_is_alive():
    found = forecast(product, 1000, torch.device("cuda"))
    assert found.taken == found.alive == forecast(product, 1000, CPU).alive < forecast(product, 1000, CPU).taken


def test_what_a_process_takes_is_what_its_allocator_does_and_a_tenth_for_its_kernels(monkeypatch):
    events = recorded(lambda: product(4, 300)).events
    assert len({taken(events), taken(events, kept=True), peak(events)}) == 3
    for there, kept, touched in (
        *((True, kept, taken(events, kept=kept)) for kept in (False, True)),
        (False, False, peak(events)),
    ):
        monkeypatch.setitem(forecast.__globals__, "glibc", lambda there=there: there)
        found = forecast(lambda images: product(images, 300), 4, CPU, kept=kept)
        assert found.taken == round(1.1 * touched)


def test_convolutions_and_their_gradients_are_foreseen():
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())

    def work(images):
        network.zero_grad(set_to_none=True)
        network(torch.zeros(images, 1, 12, 12)).square().mean().backward()

    found, real = forecast(work, 40, CPU), recorded(lambda: work(40))
    assert found.alive == real.peak
    assert found.alive <= found.taken <= 2 * found.alive


def test_blocks_above_the_threshold_leave_no_gaps():
    sizes = [100 << 20, 60 << 20, 40 << 20]
    events = [(number, size) for number, size in enumerate(sizes)] + [(1, -sizes[1]), (3, 50 << 20)]
    assert peak(events) <= taken(events) <= peak(events) + 5 * 4096


def test_small_blocks_leave_gaps():
    """Every second block is given back; a larger one fits none of the gaps."""
    size = 64 << 10
    events = [(number, size) for number in range(100)]
    events += [(number, -size) for number in range(0, 100, 2)] + [(100, 2 * size)]
    assert peak(events) == 100 * size
    assert taken(events, 1) >= 102 * size


def test_gaps_beside_each_other_become_one():
    heap = Heap()
    blocks = [heap.take(64 << 10) for _ in range(4)]
    heap.give_back(blocks[1])
    heap.give_back(blocks[0])
    before = heap.most
    assert heap.take(120 << 10)[0] == blocks[0][0]
    assert heap.most == before


def test_the_end_of_the_heap_goes_back_to_the_system():
    heap = Heap()
    for block in [heap.take(100 << 10) for _ in range(10)]:
        heap.give_back(block)
    assert heap.most < 11 * (100 << 10)
    before = heap.most
    heap.give_back(heap.take(900 << 10))
    assert heap.most <= before + (64 << 10)


PADDED = 64
"""What a block takes beside its bytes, so that it can be aligned."""
NEEDED = 112
"""What there has to be room for beside them: a header and a smallest gap as well."""
MAPPED = 128 << 10
"""What is as large as this, with what is needed beside it, is mapped by itself at first."""


def test_a_block_is_mapped_by_itself_from_the_threshold_on():
    in_heap, mapped = Heap(), Heap()
    assert in_heap.take(MAPPED - NEEDED - 1) == (0, MAPPED - NEEDED - 1 + PADDED)
    assert in_heap.most == MAPPED - NEEDED - 1 + PADDED
    assert mapped.take(MAPPED - NEEDED) == (-1, MAPPED) and mapped.most == MAPPED
    assert mapped.take(MAPPED - NEEDED + 1) == (-1, MAPPED + 4096) and mapped.most == 2 * MAPPED + 4096


@pytest.mark.parametrize("more", [0, 1])
def test_what_is_free_at_the_end_of_the_heap_is_taken_before_a_block_is_mapped(more):
    """It grows by 128 KiB more than is needed, and keeps as much when the rest goes back to the system."""
    first, size = Heap(), 100 << 10
    first.give_back(first.take(size))
    assert first.take(size + MAPPED + more)[0] == -more
    trimmed = Heap()
    for block in [trimmed.take(size) for _ in range(3)]:
        trimmed.give_back(block)
    assert trimmed.take(MAPPED - NEEDED + more)[0] == -more
    less = Heap()
    for block in [less.take(size) for _ in range(3)][:0:-1]:  # two and a half times the threshold
        less.give_back(block)
    assert less.take(2 * size)[0] == -1


@pytest.mark.parametrize(("size", "is_learnt"), [(MAPPED + 4096, True), (32 << 20, True), ((32 << 20) + 4096, False)])
def test_the_threshold_rises_to_the_largest_that_was_given_back_up_to_32_mib(size, is_learnt):
    heap = Heap()
    heap.give_back(heap.take(size - NEEDED))
    assert heap.most == size
    assert (heap.take(size - NEEDED - 1)[0] == 0) == is_learnt
    assert heap.take(size - NEEDED)[0] == -1, "one that needs as much again is mapped"


def test_the_smallest_gap_that_fits_is_taken_and_what_is_left_of_it_stays_one():
    heap = Heap()
    sizes = [5000, 100, 3000, 100, 4000, 100]
    blocks = [heap.take(size) for size in sizes]
    assert [address for address, _ in blocks] == [sum(sizes[:n]) + n * PADDED for n in range(6)]
    for number in (0, 2, 4):
        heap.give_back(blocks[number])
    before = heap.most
    assert heap.take(3000 + PADDED - NEEDED) == (blocks[2][0], 3000 + 2 * PADDED - NEEDED)
    first = heap.take(3000 + PADDED - NEEDED + 1)
    assert first[0] == blocks[4][0], "a byte more has to go into the next larger gap"
    assert heap.take(4000 - sum(first[1:]) + PADDED - NEEDED)[0] == first[0] + first[1]
    assert heap.most == before


def test_a_heap_that_keeps_what_is_freed_maps_little_by_itself_and_gives_nothing_back():
    for size, kept in ((20 << 20, 70 << 20), (40 << 20, 50 << 20)):
        events = [(0, size), (0, -size), (1, 50 << 20)]
        assert 0 < taken(events, 1) - (50 << 20) <= PAGE and 0 < taken(events, 1, kept=True) - kept <= 2 * PAGE
    heap = Heap(kept=True)
    assert heap.take((32 << 20) - NEEDED - 1)[0] == 0 and heap.take((32 << 20) - NEEDED)[0] == -1


def pages_taken(size, times):
    """How many pages the system gives while four tensors of so many bytes are made and freed, again and again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        [torch.zeros(size // FLOAT) for _ in range(4)].clear()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def memory_of_the_process():
    """Its bytes, those included that it has freed and not given back."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not can_keep(), reason="another C library, or one that was told otherwise")
def test_what_is_freed_is_kept_while_it_is_to_be_and_goes_back_after():
    size, times = 20 << 20, 4
    with keeping():
        pages_taken(size, 4)
        assert pages_taken(size, times) < times * size // PAGE
        held = memory_of_the_process()
    assert memory_of_the_process() < held - 2 * size
    assert pages_taken(size, times) > times * size // PAGE


def test_what_the_allocator_is_told_and_where_its_thresholds_are_left(monkeypatch):
    told = []
    library = SimpleNamespace(mallopt=lambda option, value: told.append((option, value)), malloc_trim=told.append)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(heap, "glibc", lambda: True)
    for name in (*STATED, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    with keeping():
        assert told == [(-3, 32 << 20), (-1, -1)]
    assert told[2:] == [(-1, 64 << 20), 0]


@pytest.mark.parametrize("name", [*STATED, "GLIBC_TUNABLES"])
def test_an_allocator_that_a_user_has_told_something_is_told_nothing(monkeypatch, name):
    monkeypatch.setenv(name, "glibc.malloc.trim_threshold=1")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: pytest.fail("it is told something"))
    with keeping():
        assert not can_keep()
    monkeypatch.delenv(name)
    assert can_keep() == (glibc() and not any(variable in os.environ for variable in (*STATED, "GLIBC_TUNABLES")))


def test_what_a_session_of_tensors_takes():
    """Estimates of builds hang on it: 600 events with sizes on all sides of the allocator's thresholds."""
    draw = random.Random(0)
    events, alive = [], {}
    for number in range(600):
        if alive and draw.randrange(100) < 45:
            gone = draw.choice(list(alive))
            events.append((gone, -alive.pop(gone)))
        else:
            alive[number] = draw.randrange(64, 2 ** draw.randrange(7, 27))
            events.append((number, alive[number]))
    assert [taken(events, turns) for turns in (1, 2, 3)] == [203369195, 222013722, 222013722]
    assert taken(events) == taken(events, 3) > peak(events)
