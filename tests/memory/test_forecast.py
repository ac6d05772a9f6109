"""How much memory work takes, learnt from a few images."""

import gc

import pytest
import torch
from torch import nn

from pixkit.memory import Recording, forecast
from pixkit.memory.heap import Heap, taken
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


def test_the_peak_is_that_of_what_is_alive_together():
    def work():
        for _ in range(10):
            torch.zeros(100) + 1

    assert recorded(work).peak == 2 * 100 * FLOAT


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
