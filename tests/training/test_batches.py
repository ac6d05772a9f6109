"""Which images a step sees."""

from collections import Counter

import pytest
import torch
from toys import toy_dataset

from pixkit.data.dataset import BatchSequence
from pixkit.errors import DataError


class Visits:
    """A data set of n images that remembers what it was asked for."""

    name = "visits"

    def __init__(self, count):
        self.count = count
        self.asked = []

    def size(self, split):
        return self.count

    def batch(self, split, indices, draw=0):
        from pixkit.image import Batch

        assert split == "train"
        self.asked += [(draw, int(index)) for index in indices]
        return Batch(indices.view(-1, 1, 1, 1), None, indices)


@pytest.mark.parametrize(("count", "size"), [(10, 3), (10, 5), (7, 10), (1, 4), (12, 12), (13, 12)])
def test_each_epoch_visits_every_image_once_and_batches_are_of_one_size(count, size):
    data = Visits(count)
    feed = BatchSequence(data, size, seed=3)
    batches = [feed.batch(number) for number in range(count * 2)]
    assert {len(batch.x) for batch in batches} == {size}
    epochs = (count * 2 * size) // count
    visits = Counter(data.asked)
    assert set(visits.values()) == {1}
    for epoch in range(epochs):
        assert sorted(index for draw, index in data.asked if draw == epoch) == list(range(count))
    assert [draw for draw, _ in data.asked] == sorted(draw for draw, _ in data.asked)


def test_epochs_have_different_orders_and_seeds_too():
    orders = []
    for seed in (0, 1):
        data = Visits(50)
        feed = BatchSequence(data, 50, seed)
        orders += [feed.batch(number).indices.tolist() for number in range(3)]
    assert len({tuple(order) for order in orders}) == 6


def test_a_batch_is_a_function_of_seed_and_number():
    data = toy_dataset()
    forward = [BatchSequence(data, 8, 5).batch(number).indices.tolist() for number in range(30)]
    feed = BatchSequence(data, 8, 5)
    backward = {number: feed.batch(number).indices.tolist() for number in reversed(range(30))}
    assert [backward[number] for number in range(30)] == forward


def test_the_same_whatever_torch_drew_before():
    data = toy_dataset()
    torch.manual_seed(1)
    first = BatchSequence(data, 8, 5).batch(9).x
    torch.manual_seed(2)
    torch.rand(7)
    assert torch.equal(first, BatchSequence(data, 8, 5).batch(9).x)


def test_a_batch_across_the_end_of_an_epoch_keeps_its_labels():
    data = toy_dataset()
    batch = BatchSequence(data, data.size("train") + 5, 0).batch(0)
    assert batch.labels.shape == batch.indices.shape
    whole = data.batch("train", batch.indices)
    assert torch.equal(whole.x, batch.x)
    assert torch.equal(whole.labels, batch.labels)


def test_epochs_are_counted_in_images():
    feed = BatchSequence(Visits(10), 4, 0)
    assert feed.epochs(0) == 0
    assert feed.epochs(5) == 2.0


def test_an_epochs_order_is_drawn_once_and_two_are_kept(monkeypatch):
    drawn, draw = [], BatchSequence.drawn_order
    monkeypatch.setattr(BatchSequence, "drawn_order", lambda self, epoch: drawn.append(epoch) or draw(self, epoch))
    feed = BatchSequence(Visits(10), 4, 0)
    for number in (0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 7):  # batches 2 and 7 go past the end of an epoch
        feed.batch(number)
    assert drawn == [0, 1, 2, 3] and set(feed._orders) == {2, 3}


def test_orders_are_those_that_runs_have_been_trained_in():
    feed = BatchSequence(Visits(8), 4, 3)
    assert [feed.order(epoch).tolist() for epoch in (0, 1)] == [[7, 0, 2, 5, 6, 4, 1, 3], [7, 0, 2, 6, 1, 3, 4, 5]]
    chosen = BatchSequence(Visits(9), 4, 3, torch.arange(8) + 10)
    assert torch.equal(chosen.order(1), feed.order(1) + 10)


def test_no_images_is_an_error():
    with pytest.raises(DataError, match="no training images"):
        BatchSequence(Visits(0), 4, 0)


def test_of_chosen_images_alone():
    data, chosen = Visits(50), torch.tensor([3, 41, 7, 20, 8])
    feed = BatchSequence(data, 4, 0, chosen)
    batches = [feed.batch(number).indices.tolist() for number in range(5)]
    assert {len(batch) for batch in batches} == {4}
    visits = Counter(data.asked)
    assert set(visits) == {(draw, index) for draw in range(4) for index in chosen.tolist()}
    assert set(visits.values()) == {1}
    assert feed.epochs(5) == 4
