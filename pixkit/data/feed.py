"""Training batches that are put together on a device that is not a CPU, of images that lie there.

What a batch needs from the host then is sent once an epoch: in which order the images are visited and, under dynamic
binarisation, one bit a sub-pixel. Both are drawn by a thread while the epoch before is under way. The batches are those
of the `BatchSequence`, bit for bit.
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

from pixkit.data.dataset import BatchSequence, Dataset, join
from pixkit.data.levels import images_at_once
from pixkit.image import Batch, sent
from pixkit.randomness import Stream

AT_ONCE = 256
"""Images whose bits the thread draws before it looks whether to stop."""
KEPT = 2
"""Epochs that are kept on the device: a step may be made again."""


@dataclass(frozen=True)
class Visits:
    """What an epoch needs.

    Attributes:
        rows: int64 [n], the images' numbers in the order of the visits.
        bits: uint8 [n, ceil(C H W / 8)], under dynamic binarisation: the images' bits in that order, the lowest first.
    """

    rows: Tensor
    bits: Tensor | None

    def to(self, device: torch.device) -> Visits:
        """The same on a device; the host does not wait."""
        return Visits(sent(self.rows, device), None if self.bits is None else sent(self.bits, device))


class DrawnAhead:
    """Draws the next epoch's visits of some sequences in a thread of its own, from when they are first asked for."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pixkit-visits")
        self._coming: dict[int, tuple[int, Future[Visits]]] = {}

    def visits(self, sequence: BatchSequence, epoch: int) -> Visits:
        """An epoch's visits; those of the next one are drawn from now on.

        Raises what the drawing of them raised.
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
        sequence: whose batches.
        device: where.
        images: the training images there, as `upload` gives them.
        ahead: draws what an epoch needs.
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
        labels = None if images.labels is None else images.labels.index_select(0, rows)
        if found.bits is None:
            return Batch(images.pixels.index_select(0, rows).long(), labels, rows)
        return Batch(unpacked(found.bits[visits], images.places, images.shape), labels, rows)

    def _epoch(self, epoch: int) -> Visits:
        if epoch not in self._epochs:
            latest = list(self._epochs.items())[1 - KEPT :]
            self._epochs = dict([*latest, (epoch, self._ahead.visits(self._sequence, epoch).to(self._device))])
        return self._epochs[epoch]


@dataclass(frozen=True)
class Images:
    """The training images on a device.

    Attributes:
        pixels: as the data set keeps them, [n, C, H, W]; none, [0, C, H, W], where their bits are drawn for each visit.
        labels: int64 [n], or None.
        places: uint8 [8], the places of bits in a byte.
    """

    pixels: Tensor
    labels: Tensor | None
    places: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return tuple(self.pixels.shape[1:])


def upload(dataset: Dataset, device: torch.device) -> Images:
    """Bring the training images to a device."""
    part = dataset.part("train")
    one, count = part.levels(slice(1)), 0 if part.renewed_by is not None else len(part)
    pixels = torch.empty((count, *one.shape[1:]), dtype=one.dtype, device=device)
    step = images_at_once(one)
    for start in range(0, count, step):  # they may be in a file, and all of them more than the host's memory
        pixels[start : start + step] = part.levels(slice(start, start + step))
    labels = None if part.labels is None else sent(part.labels, device)
    return Images(pixels, labels, sent(torch.arange(8, dtype=torch.uint8), device))


def size_of(dataset: Dataset) -> int:
    """Bytes that images and visits take on the device."""
    part = dataset.part("train")
    count, dims = len(part), dataset.spec.dims
    labels = 0 if part.labels is None else part.labels.nbytes
    if part.renewed_by is None:
        return count * part.pixels[0].nbytes + labels + KEPT * 8 * count
    return labels + KEPT * count * (8 + -(-dims // 8))


@contextmanager
def feeding(sequences: dict[str, BatchSequence], device: torch.device) -> Iterator[dict[str, Feed]]:
    """Feeds of some sequences of one data set, by the same names, for a while; the thread ends with it."""
    ahead = DrawnAhead()
    try:
        images = upload(next(iter(sequences.values())).dataset, device)
        feeds = {id(sequence): Feed(sequence, device, images, ahead) for sequence in sequences.values()}
        yield {name: feeds[id(sequence)] for name, sequence in sequences.items()}
    finally:
        ahead.close()


def draw(sequence: BatchSequence, epoch: int, stop: threading.Event) -> Visits:
    """What an epoch needs, on the CPU.

    Raises:
        CancelledError: if it is to stop before it is done.
    """
    part, rows = sequence.dataset.part("train"), sequence.drawn_order(epoch)
    if part.renewed_by is None:
        return Visits(rows, None)
    # In the order of their numbers: noise of consecutive images is drawn several times as fast.
    ordered, visit = rows.sort()
    packed = np.empty((len(rows), -(-part.pixels[0].numel() // 8)), dtype=np.uint8)
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
