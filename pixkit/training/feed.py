"""Which images a step sees."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.data.dataset import Dataset
from pixkit.errors import DataError
from pixkit.image import Batch
from pixkit.randomness import derive


class Feed:
    """The training batches, by number: a pure function of the seed.

    Of all training images, or of those with the numbers `chosen`, int64 [n], if that is given. Epochs follow one
    another without a gap. Each visits every image once, in the order of a permutation drawn from (seed, epoch); a batch
    that reaches past the end of one goes on at the start of the next, so that all batches are of one size.
    """

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, chosen: Tensor | None = None) -> None:
        self.images = dataset.size("train") if chosen is None else len(chosen)
        if not self.images:
            raise DataError("there are no training images", where=dataset.name)
        self.batch_size = batch_size
        self.dataset = dataset
        self._seed = seed
        self._chosen = chosen
        self._orders: dict[int, Tensor] = {}

    def batch(self, number: int) -> Batch:
        """Batch `number` = 0, 1, ...: images number * size to (number + 1) * size of the endless sequence."""
        start, stop = number * self.batch_size, (number + 1) * self.batch_size
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self.images)
            end = min(offset + stop - start, self.images)
            parts.append(self.dataset.batch("train", self._order(epoch)[offset:end], draw=epoch))
            start += end - offset
        return parts[0] if len(parts) == 1 else join(parts)

    def epochs(self, batches: int) -> float:
        """How many times the images were visited after that many batches."""
        return batches * self.batch_size / self.images

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(derive(self._seed, "epoch", epoch))
            latest = {number: order for number, order in self._orders.items() if number == epoch - 1}
            order = torch.randperm(self.images, generator=generator)
            self._orders = {**latest, epoch: order if self._chosen is None else self._chosen[order]}
        return self._orders[epoch]


def join(parts: list[Batch]) -> Batch:
    """Several batches as one."""
    labels = [part.labels for part in parts if part.labels is not None]
    return Batch(
        torch.cat([part.x for part in parts]),
        torch.cat(labels) if labels else None,
        torch.cat([part.indices for part in parts]),
    )
