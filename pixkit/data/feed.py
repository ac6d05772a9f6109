"""Training batches assembled on a device other than a CPU, from images stored there.

The host then sends its part once per epoch: the order in which the images are visited and, under dynamic binarisation,
one bit per sub-pixel. A thread draws both during the previous epoch. The batches are those of the `BatchSequence`, bit
for bit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pixkit.context import rows_of
from pixkit.data.dataset import BatchSequence, Dataset, join
from pixkit.data.levels import images_at_once
from pixkit.image import Batch, sent
from pixkit.randomness import Stream

AT_ONCE = 256
"""Images whose bits the thread draws before it checks whether to stop."""
KEPT = 2
"""Epochs that are kept on the device, since a step may be repeated."""


@dataclass(frozen=True)
class Visits:
    """The visits of an epoch.

    Attributes:
        rows: int64 [n], the images' numbers in the order of the visits.
        bits: uint8 [n, ceil(C H W / 8)], under dynamic binarisation: the images' bits in that order, the lowest first.
    """

    rows: Tensor
    bits: Tensor | None

    def to(self, device: torch.device) -> Visits:
        """Copy to a device; the host does not wait."""
        return Visits(sent(self.rows, device), None if self.bits is None else sent(self.bits, device))


class DrawnAhead:
    """Draws the next epoch's visits of some sequences in a separate thread, once they have been requested."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pixkit-visits")
        self._coming: dict[int, tuple[int, Future[Visits]]] = {}

    def visits(self, sequence: BatchSequence, epoch: int) -> Visits:
        """Return an epoch's visits; begin to draw those of the next one.

        Raises whatever drawing them raised.
        """
        coming, found = self._coming.get(id(sequence), (-1, None))
        if found is None or coming != epoch:
            found = self._begin(sequence, epoch)
        self._coming[id(sequence)] = epoch + 1, self._begin(sequence, epoch + 1)
        return found.result()

    def close(self) -> None:
        """Stop drawing, and wait for the thread's end."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, sequence: BatchSequence, epoch: int) -> Future[Visits]:
        return self._pool.submit(draw, sequence, epoch, self._stop)


class Feed:
    """The batches of a sequence, on a device.

    Args:
        sequence: the sequence of batches.
        device: where.
        images: the training images there, as returned by `upload`.
        ahead: draws the visits of epochs.
    """

    def __init__(self, sequence: BatchSequence, device: torch.device, images: Images, ahead: DrawnAhead) -> None:
        self._sequence = sequence
        self._device = device
        self._images = images
        self._ahead = ahead
        self._epochs: dict[int, Visits] = {}

    def batch(self, number: int) -> Batch:
        """Batch `number` = 0, 1, ... of the sequence."""
        return join([self._some(epoch, visits) for epoch, visits in self._sequence.visits(number)])

    def _some(self, epoch: int, visits: slice) -> Batch:
        found = self._epoch(epoch)
        rows, images = found.rows[visits], self._images
        labels, stored = (
            None if each is None else each.index_select(0, rows) for each in (images.labels, images.context)
        )
        if found.bits is None:
            x = images.pixels.index_select(0, rows).long()
        else:
            x = unpacked(found.bits[visits], images.places, images.shape)
        return Batch(x, labels, rows, rows_of(self._sequence.dataset.spec.context, x, stored))

    def _epoch(self, epoch: int) -> Visits:
        if epoch not in self._epochs:
            latest = list(self._epochs.items())[1 - KEPT :]
            self._epochs = dict([*latest, (epoch, self._ahead.visits(self._sequence, epoch).to(self._device))])
        return self._epochs[epoch]


@dataclass(frozen=True)
class Images:
    """The training images on a device.

    Attributes:
        pixels: as stored in the data set, [n, C, H, W]; empty, [0, C, H, W], if their bits are drawn for each visit.
        labels: int64 [n], or None.
        context: rows of the arrays beside them, as stored in the data set, or None.
        places: uint8 [8], the positions of bits in a byte.
    """

    pixels: Tensor
    labels: Tensor | None
    context: Tensor | None
    places: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return tuple(self.pixels.shape[1:])


def upload(dataset: Dataset, device: torch.device) -> Images:
    """Copy the training images to a device."""
    part = dataset.part("train")
    one, count = part.levels(slice(1)), 0 if part.renewed_by is not None else len(part)
    pixels = torch.empty((count, *one.shape[1:]), dtype=one.dtype, device=device)
    step = images_at_once(one)
    for start in range(0, count, step):  # they may be in a file that is larger than the host's memory
        pixels[start : start + step] = part.levels(slice(start, start + step))
    labels, context = (None if each is None else sent(each, device) for each in (part.labels, part.context))
    return Images(pixels, labels, context, sent(torch.arange(8, dtype=torch.uint8), device))


def size_of(dataset: Dataset) -> int:
    """Bytes that images and visits take on the device."""
    part = dataset.part("train")
    count, dims = len(part), dataset.spec.dims
    beside = sum(each.nbytes for each in (part.labels, part.context) if each is not None)
    if part.renewed_by is None:
        return count * dims * part.pixels.element_size() + beside + KEPT * 8 * count
    return beside + KEPT * count * (8 + -(-dims // 8))


@contextmanager
def feeding(sequences: dict[str, BatchSequence], device: torch.device) -> Iterator[dict[str, Feed]]:
    """Context with feeds of some sequences of one data set, by the same names; the thread ends with it."""
    ahead = DrawnAhead()
    try:
        images = upload(next(iter(sequences.values())).dataset, device)
        feeds = {id(sequence): Feed(sequence, device, images, ahead) for sequence in sequences.values()}
        yield {name: feeds[id(sequence)] for name, sequence in sequences.items()}
    finally:
        ahead.close()


def draw(sequence: BatchSequence, epoch: int, stop: threading.Event) -> Visits:
    """Draw the visits of an epoch, on the CPU.

    Raises:
        CancelledError: if stopped before it is done.
    """
    part, rows = sequence.dataset.part("train"), sequence.drawn_order(epoch)
    if part.renewed_by is None:
        return Visits(rows, None)
    # In the order of their numbers: noise of consecutive images is drawn several times as fast.
    ordered, visit = rows.sort()
    packed = np.empty((len(rows), -(-sequence.dataset.spec.dims // 8)), dtype=np.uint8)
    for some, visits in zip(ordered.split(AT_ONCE), visit.split(AT_ONCE), strict=True):
        if stop.is_set():
            raise CancelledError
        levels = part.renewed_by.draw(part.levels(some), part.numbers[some], Stream.VISIT, epoch)
        packed[visits.numpy()] = np.packbits(levels.flatten(1).numpy(), axis=1, bitorder="little")
    return Visits(rows, torch.from_numpy(packed))


def unpacked(bits: Tensor, places: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Bits [n, ceil(C H W / 8)] as levels, int64 [n, C, H, W]."""
    dims = int(np.prod(shape))
    out: Tensor = ((bits[:, :, None] >> places) & 1).flatten(1)[:, :dims].unflatten(1, shape).long()
    return out
