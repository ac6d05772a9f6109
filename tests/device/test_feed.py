"""Batches that are put together on a device: those of the CPU, bit for bit, with no wait and one thread that ends."""

import threading
from types import SimpleNamespace

import pytest
import torch
from pretend import DEVICE, OnDevice, Pretending

from pixkit.components.plugins import plugins
from pixkit.data import feed
from pixkit.data.dataset import BatchSequence, Dataset, Part
from pixkit.data.feed import feeding, size_of
from pixkit.data.levels import Binariser
from pixkit.image import Batch, ImageSpec
from pixkit.ranks import ALONE
from pixkit.recipe.schema import TrainConfig
from pixkit.training.batches import Batches
from pixkit.training.parts import Parts

CASES = {
    "levels": {"levels": 256},
    "many levels": {"levels": 400},
    "bits": {"binarised": True},
    "bits of some": {"binarised": True, "chosen": torch.tensor([9, 2, 3, 7])},
    "some": {"chosen": torch.tensor([1, 4, 5])},
    "unlabelled": {"labelled": False},
    "large batches": {"binarised": True, "size": 27},
}


def data_of(levels=5, *, binarised=False, labelled=True, count=11, shape=(1, 3, 5)):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(levels, (count, *shape), generator=generator)
    pixels = pixels.to(torch.uint8 if levels <= 256 else torch.int16)
    labels = torch.arange(count) % 3 if labelled else None
    numbers = torch.arange(count) * 2 // 1 + (torch.arange(count) > 4) * 7  # with gaps
    part = Part(pixels, labels, numbers, Binariser(3, pixels[0].numel(), levels) if binarised else None)
    spec = ImageSpec(*shape, 2 if binarised else levels)
    source = plugins().registry.get("data", "digits")
    return Dataset("some", spec, 3, {"train": part}, description="", notes=(), hashes={}, source=source)


def sequence_of(size=4, chosen=None, seed=1, **data):
    return BatchSequence(data_of(**data), size, seed, chosen)


def same(batch, expected):
    assert isinstance(batch.x, OnDevice)
    pairs = [(batch.x, expected.x), (batch.indices, expected.indices), (batch.labels, expected.labels)]
    for one, other in pairs:
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype and torch.equal(one.cpu(), other)


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pixkit-visits")]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("first", [0, 8])
def test_batches_are_those_of_the_cpu_from_any_place_on(case, first, monkeypatch):
    monkeypatch.setattr(feed, "AT_ONCE", 3)
    sequence, expected = sequence_of(**CASES[case]), sequence_of(**CASES[case])
    with Pretending(), feeding({"one": sequence}, DEVICE) as feeds:
        for number in (*range(first, first + 9), first + 8, first + 7):
            same(feeds["one"].batch(number), expected.batch(number))


def test_phases_with_images_of_their_own_have_feeds_of_their_own():
    shared, own = sequence_of(binarised=True), sequence_of(binarised=True, chosen=torch.tensor([8, 1]), seed=2)
    with Pretending(), feeding({"a": shared, "b": own, "c": shared}, DEVICE) as feeds:
        assert feeds["a"] is feeds["c"]
        for number in range(7):
            for name, sequence in (("a", shared), ("b", own)):
                same(feeds[name].batch(number), sequence.batch(number))


def test_nothing_waits_and_what_is_sent_is_sent_once_an_epoch():
    sequence = sequence_of(binarised=True, count=24)
    with Pretending() as seen, feeding({"one": sequence}, DEVICE) as feeds:
        seen.clear()
        for number in range(18):  # of 6 batches an epoch
            feeds["one"].batch(number)
        assert (seen.reads, seen.copies, seen.waits) == ({}, {"to": 3 * 2}, 0)


def test_the_next_epoch_is_drawn_by_a_thread_while_one_is_under_way(monkeypatch):
    drawn, draw = [], Binariser.draw
    monkeypatch.setattr(
        Binariser, "draw", lambda *given: drawn.append((given[4], threading.current_thread().name)) or draw(*given)
    )
    with Pretending(), feeding({"one": sequence_of(binarised=True, size=11)}, DEVICE) as feeds:
        for epoch in range(3):
            feeds["one"].batch(epoch)
    assert [epoch for epoch, _ in drawn][:3] == [0, 1, 2]
    assert all(name.startswith("pixkit-visits") for _, name in drawn)


def test_an_error_of_the_thread_is_raised_where_its_epoch_begins(monkeypatch):
    draw = Binariser.draw

    def broken(self, pixels, numbers, stream, epoch):
        if epoch == 1:
            raise ValueError("no noise today")
        return draw(self, pixels, numbers, stream, epoch)

    monkeypatch.setattr(Binariser, "draw", broken)
    with Pretending(), feeding({"one": sequence_of(binarised=True, size=11)}, DEVICE) as feeds:
        feeds["one"].batch(0)
        with pytest.raises(ValueError, match="no noise today"):
            feeds["one"].batch(1)
    assert not threads()


def test_the_thread_ends_in_the_middle_of_an_epoch_that_nobody_needs(monkeypatch):
    monkeypatch.setattr(feed, "AT_ONCE", 1)
    begun, draws, draw = threading.Event(), [], Binariser.draw

    def slow(self, pixels, numbers, stream, epoch):
        if epoch:
            draws.append(epoch)
            begun.set()
            stopped.wait(60)
        return draw(self, pixels, numbers, stream, epoch)

    monkeypatch.setattr(Binariser, "draw", slow)
    stopped = threading.Event()
    with (
        pytest.raises(KeyboardInterrupt),
        Pretending(),
        feeding({"one": sequence_of(binarised=True, size=11)}, DEVICE) as feeds,
    ):
        feeds["one"].batch(0)
        assert begun.wait(60)
        feeds["one"]._ahead._stop.set = lambda set_it=feeds["one"]._ahead._stop.set: (set_it(), stopped.set())
        raise KeyboardInterrupt
    assert draws == [1] and not threads()


def batches_of(sequence, device=DEVICE):
    return Batches(sequence, [], Parts(torch.nn.Module(), 4), TrainConfig(), seed=0, device=device)


def test_batches_of_phases_are_fed_within_their_context_if_the_images_are_kept_and_are_the_same():
    sequence, phase = sequence_of(binarised=True), SimpleNamespace(name="p", phase=SimpleNamespace(choose=None))
    with Pretending() as seen:
        batches = Batches(sequence, [phase], Parts(torch.nn.Module(), 4), TrainConfig(), seed=0, device=DEVICE)
        expected = [next(batches.of(step, "p")) for step in range(1, 6)]
        assert batches.keep(2**40)
        with batches.feeding():
            next(batches.of(1, "p"))
            seen.clear()
            for step in (1, 2):  # of 2 in the first epoch
                next(batches.of(step, "p"))
            assert (seen.copies, seen.waits) == ({}, 0)
            for step, batch in enumerate(expected, 1):
                ((part, found),) = (each for some in batches.shared(step, "p", ALONE, 1) for each in some)
                same(found, Batch(batch.x.cpu(), batch.labels.cpu(), batch.indices.cpu()))
                assert part == 0
        seen.clear()
        next(batches.of(1, "p"))
        assert seen.copies and not threads()


def test_images_that_take_too_much_of_what_is_left_stay_on_the_cpu():
    for binarised in (False, True):
        sequence = sequence_of(binarised=binarised)
        batches = batches_of(sequence)
        needed = size_of(sequence.dataset)
        assert batches.keep(4 * needed) and not batches.keep(4 * needed - 1)
        assert not batches_of(sequence, torch.device("cpu")).keep(2**60)
        with batches.feeding():
            assert batches._feeds == {} and not threads()


@pytest.mark.parametrize("binarised", [False, True])
def test_a_split_takes_as_many_bytes_as_is_said(binarised):
    sequence = sequence_of(levels=400, binarised=binarised)
    with Pretending(), feeding({"one": sequence}, DEVICE) as feeds:
        for number in (0, 3, 6, 9):
            feeds["one"].batch(number)
        images, epochs = feeds["one"]._images, feeds["one"]._epochs
        visited = [part.nbytes for visits in epochs.values() for part in (visits.rows, visits.bits) if part is not None]
        held = images.pixels.nbytes + images.labels.nbytes + sum(visited)
    assert held == size_of(sequence.dataset)
