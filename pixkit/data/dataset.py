"""The images that a model is trained on and scored on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pixkit.context import ContextSpec, rows_of
from pixkit.data.base import DataSource, ImageSet
from pixkit.data.classes import table_of
from pixkit.data.levels import Binariser
from pixkit.errors import DataError, UsageError
from pixkit.image import Batch, ImageSpec
from pixkit.randomness import Stream, derive


@dataclass(frozen=True)
class Part:
    """One split. Shapes: pixels uint8, int16 or int32 [n, C, H, W]; labels int64 [n] or None.

    `numbers`, int64 [n], are the images' numbers within the source's own train, test or validation images. With
    `places`, int64 [n], the split consists of these rows of the pixels: the others belong to other splits, and nothing
    is copied. With `renewed_by` the pixels are still the source's levels, and every visit draws new bits from them.
    """

    pixels: Tensor
    labels: Tensor | None
    numbers: Tensor
    renewed_by: Binariser | None = None
    places: Tensor | None = None
    context: Tensor | None = None
    """Rows of the arrays beside the images, [n, D'], but for those that are the image itself (`pixkit.context`)."""
    moved: float | None = None
    """How far colours were moved to a palette's: the root mean square difference of a value, in levels."""

    def __len__(self) -> int:
        return len(self.numbers)

    def levels(self, rows: Tensor | slice) -> Tensor:
        """The pixels of some images, by their numbers in the split."""
        rows = rows if self.places is None else self.places[rows]
        return self.pixels[rows] if isinstance(rows, slice) else self.pixels.index_select(0, rows)


class Dataset:
    """Images ready for a model, in the splits train, validation and test.

    Attributes:
        name: the source's registered name.
        spec: shape and levels of an image.
        classes: number of label classes, None if there are no labels.
        class_names: their names in the order of their numbers; None if only their numbers are known.
        description: the source and how its levels were transformed, in words.
        values: which of the source's levels occur in its training images, in words.
        notes: what the user should know (files skipped, and why).
        source: the component that the images came from.
        source_levels: number of levels of the source's images; None if there are none.
        files: see `SourceImages.files`.
        highest: the highest of the source's levels that occurs in its training images; None if that is not known.
    """

    SPLITS = ("train", "validation", "test")

    def __init__(
        self,
        name: str,
        spec: ImageSpec,
        classes: int | None,
        parts: dict[str, Part],
        *,
        description: str,
        notes: tuple[str, ...],
        hashes: dict[str, str],
        source: DataSource,
        values: str = "",
        class_names: tuple[str, ...] | None = None,
        source_levels: int | None = None,
        files: str = "",
        highest: int | None = None,
    ) -> None:
        self.name = name
        self.spec = spec
        self.classes = classes
        self.class_names = class_names
        self.description = description
        self.values = values
        self.notes = notes
        self.source = source
        self.source_levels = source_levels
        self.files, self.highest = files, highest
        self._parts = parts
        self._hashes = hashes

    def __repr__(self) -> str:
        sizes = ", ".join(f"{self.size(split)} {split}" for split in self.SPLITS)
        classes = "" if self.classes is None else f", {self.classes} classes"
        return f"<Dataset {self.description}: {self.spec}{classes}; {sizes}>"

    def size(self, split: str) -> int:
        """Number of images of a split."""
        return len(self.part(split))

    def labels(self, split: str) -> Tensor | None:
        """The labels of a split's images, int64 [n]; None if there are none."""
        return self.part(split).labels

    def context(self, split: str) -> tuple[tuple[ContextSpec, ...], Tensor | None]:
        """The arrays beside a split's images, and the rows of those that are stored, [n, D'], as for `rows_of`."""
        return self.spec.context, self.part(split).context

    def hashes(self) -> dict[str, str]:
        """SHA-256 in hexadecimal: `train` and `test`, the source's images and labels as loaded; `split`, the choice."""
        return dict(self._hashes)

    def labelled_for(self, classes: int, names: tuple[str, ...] | None) -> Dataset:
        """The same images labelled by a model's classes, matched by name; names None: it knows only numbers.

        Raises:
            DataError: for classes that the model does not have; without names, for a different number of classes.
        """
        if self.classes is None:
            return self
        table = table_of(self.class_names, self.classes, names, classes, self.name)
        if table is None:
            return self
        parts = {
            split: part if part.labels is None else replace(part, labels=table[part.labels])
            for split, part in self._parts.items()
        }
        return Dataset(
            self.name,
            self.spec,
            classes,
            parts,
            description=self.description,
            notes=self.notes,
            hashes=self._hashes,
            source=self.source,
            values=self.values,
            class_names=names,
            source_levels=self.source_levels,
            files=self.files,
            highest=self.highest,
        )

    def batch(self, split: str, indices: Tensor, draw: int = 0) -> Batch:
        """Some images of a split, by their numbers in it, int64 [B].

        `draw` counts the visits (epochs). Only training images under dynamic binarisation depend on it, and then on
        nothing else: not on which other images are in the batch.

        Raises:
            UsageError: for an unknown split, or numbers that are not integers or out of range.
        """
        part = self.part(split)
        rows = self._check(indices, len(part), split)
        x = part.levels(rows)
        if part.renewed_by is not None:
            x = part.renewed_by.draw(x, part.numbers[rows], Stream.VISIT, draw)
        labels, stored = (None if each is None else each[rows] for each in (part.labels, part.context))
        return Batch(x.long(), labels, rows, rows_of(self.spec.context, x, stored))

    def batches(self, split: str, batch_size: int, draw: int = 0, limit: int | None = None) -> Iterator[Batch]:
        """Yield the images of a split in order, `batch_size` at a time; the last batch may be smaller.

        With a `limit`, only that many images, from the first.
        """
        if batch_size < 1:
            raise UsageError("a batch needs at least one image", where="batch_size", found=str(batch_size))
        count = self.size(split) if limit is None else min(limit, self.size(split))
        for start in range(0, count, batch_size):
            yield self.batch(split, torch.arange(start, min(start + batch_size, count)), draw)

    def part(self, split: str) -> Part:
        """All of a split, as it is stored."""
        if split not in self._parts:
            raise UsageError("no such split", where=self.name, found=split, expected=", ".join(self.SPLITS))
        return self._parts[split]

    def _check(self, indices: Tensor, count: int, split: str) -> Tensor:
        if indices.ndim != 1 or indices.is_floating_point() or indices.dtype == torch.bool:
            raise UsageError(
                "images must be chosen by a list of their numbers",
                where=f"{self.name}, {split}",
                found=f"{indices.dtype} {tuple(indices.shape)}",
                expected="an integer tensor of shape (B,)",
            )
        rows = indices.long().cpu()
        if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < count:
            raise UsageError(
                "no such image",
                where=f"{self.name}, {split}",
                found=f"numbers {int(rows.min())}..{int(rows.max())}",
                expected=f"0..{count - 1}",
            )
        return rows


class BatchSequence:
    """The training batches, by number: a pure function of the seed.

    They contain all training images, or those with the numbers `chosen`, int64 [n]. Epochs follow one another without a
    gap. Each visits every image once, in the order of a permutation drawn from (seed, epoch); a batch that reaches past
    the end of one continues at the start of the next, so all batches have the same size.
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
        return join(
            [
                self.dataset.batch("train", self.order(epoch)[visits], draw=epoch)
                for epoch, visits in self.visits(number)
            ]
        )

    def visits(self, number: int) -> Iterator[tuple[int, slice]]:
        """The epochs that a batch belongs to, and its visits in each: more than one epoch if it goes past an end."""
        start, stop = number * self.batch_size, (number + 1) * self.batch_size
        while start < stop:
            epoch, offset = divmod(start, self.images)
            end = min(offset + stop - start, self.images)
            yield epoch, slice(offset, end)
            start += end - offset

    def epochs(self, batches: int) -> float:
        """How many times the images have been visited after that many batches."""
        return batches * self.batch_size / self.images

    def order(self, epoch: int) -> Tensor:
        """The images' numbers in the order of an epoch's visits, int64 [n]."""
        if epoch not in self._orders:
            latest = {number: order for number, order in self._orders.items() if number == epoch - 1}
            self._orders = {**latest, epoch: self.drawn_order(epoch)}
        return self._orders[epoch]

    def drawn_order(self, epoch: int) -> Tensor:
        """The same, drawn anew, in any thread."""
        generator = torch.Generator().manual_seed(derive(self._seed, "epoch", epoch))
        order = torch.randperm(self.images, generator=generator)
        return order if self._chosen is None else self._chosen[order]


def join(parts: list[Batch]) -> Batch:
    """Several batches as one."""
    if len(parts) == 1:
        return parts[0]
    labels = [part.labels for part in parts if part.labels is not None]
    context = [part.context for part in parts if part.context is not None]
    return Batch(
        torch.cat([part.x for part in parts]),
        torch.cat(labels) if labels else None,
        torch.cat([part.indices for part in parts]),
        torch.cat(context) if context else None,
    )


def digest(*parts: Tensor | ImageSet | None, look: Callable[[Tensor], None] | None = None) -> str:
    """SHA-256, in hexadecimal, of the values, types and shapes of some tensors or images; None counts as absent.

    `look` is called with each block of images on the way, so that other statistics need no second pass.
    """
    total = hashlib.sha256()
    for part in parts:
        if part is None:
            total.update(b"absent;")
            continue
        images = part if isinstance(part, ImageSet) else ImageSet(part)
        kind = images.pixels[:0].numpy().dtype
        total.update(f"{kind.name}{(len(images), *images.pixels.shape[1:])};".encode())
        for block in images.blocks():
            if look is not None and isinstance(part, ImageSet):
                look(block)
            little = np.ascontiguousarray(block.numpy(), kind.newbyteorder("<"))
            total.update(little.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
