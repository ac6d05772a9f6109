"""Turn a source's images into the splits of a recipe: choose, quantise or binarise, describe."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from pixkit.components.spec import ComponentSpec
from pixkit.context import ContextSpec
from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, ReadFile, SourceImages
from pixkit.data.beside import Beside, read_beside
from pixkit.data.classes import plain_numbers
from pixkit.data.dataset import Dataset, Part, digest
from pixkit.data.held import Seen, look_through, own_splits
from pixkit.data.levels import Binariser, images_at_once, quantise, storage, threshold
from pixkit.data.loading import Numbering, choose, loaded, numbered, spec_of
from pixkit.data.palette import as_tokens, palette_for
from pixkit.errors import listed
from pixkit.image import ImageSpec, Palette
from pixkit.randomness import Stream

STREAMS = {"train": Stream.TRAIN, "test": Stream.TEST, "validation": Stream.VALIDATION}
"""Streams of random numbers, for each of a source's own splits."""
SMALLER = 4
"""How many times smaller a model's levels must be for a copy of them to take little memory beside the source's."""


def prepare(
    ref: ComponentSpec,
    base: Path,
    progress: Progress | None = None,
    *,
    numbering: Numbering | None = None,
    palette: Palette | None = None,
    given: SourceImages | None = None,
) -> Dataset:
    """Load a source's images and prepare them according to its configuration.

    Args:
        ref: the data section of a recipe.
        base: the folder that its relative paths start from.
        progress: told of downloads and of long reading.
        numbering: how classes are numbered, if not by the source and `class_names`.
        palette: of tokens, instead of the configuration's.
        given: the source's images, if they need not be loaded.

    Raises:
        DataError: if images, or the file of a palette, are missing or damaged, or too few to be split.
        RecipeError: if more levels are asked for than the source has, or a palette for images without colours.
    """
    config = cast(DataConfig, ref.config)
    source, images = loaded(ref, base, progress, numbering, given)
    chosen = choose(config, images, ref.name)
    seen = look_through(images, ref.name)  # before they are overwritten
    palette, said = palette_for(source, images, chosen["train"], palette, progress)
    spec = spec_of(config, images, palette)
    beside = read_beside(config, images, spec, source.resolve, ref.name)
    parts = {split: _part(config, images, split, chosen[split], palette) for split in Dataset.SPLITS}
    own = own_splits(images)
    parts = {
        split: replace(part, context=beside.of(split if split in own else "train", part.numbers))
        for split, part in parts.items()
    }
    hashes = {split: part.digest for split, part in seen.items()} | {"split": digest(*chosen.values())}
    return Dataset(
        ref.name,
        replace(spec, context=beside.specs),
        images.classes,
        parts,
        description=f"{ref.name}, {_words(config, images.levels, palette)}",
        notes=(*images.notes, *_classes(images), *said, *_moved(parts, palette)),
        hashes=hashes | ({"context": beside.digest} if beside.digest else {}),
        source=source,
        values=_values(seen["train"], images.levels),
        class_names=images.class_names,
        source_levels=images.levels,
        files=images.files,
        highest=seen["train"].high,
    )


def _values(seen: Seen, levels: int) -> str:
    """The lowest and the highest level that occur, among those that could."""
    whole = (seen.low, seen.high) == (0, levels - 1)
    return f"values {seen.low}..{seen.high}" + ("" if whole else f" of 0..{levels - 1}")


def _part(
    config: DataConfig, images: SourceImages, split: str, numbers: Tensor, palette: Palette | None = None
) -> Part:
    dims = math.prod(images.train.pixels.shape[1:])
    binariser = Binariser(config.split_seed, dims, images.levels) if config.binarise in ("static", "dynamic") else None
    own = split if split in (sets := own_splits(images)) else "train"
    origin, stream = sets[own], STREAMS[own]
    labels = None if origin.labels is None else origin.labels[numbers]
    places = numbers if origin.rows is None else origin.rows[numbers]
    if palette is not None:
        tokens, moved = as_tokens(origin.pixels, palette, places)
        return Part(tokens, labels, numbers, moved=moved)
    wanted = config.levels or images.levels
    if config.binarise is None and wanted == images.levels:
        return Part(origin.pixels, labels, numbers, places=places)
    if config.binarise == "dynamic" and split == "train":
        return Part(origin.pixels, labels, numbers, binariser, places)

    def changed(some: slice) -> Tensor:
        levels = origin.pixels[places[some]]
        if binariser is not None:
            return binariser.draw(levels, numbers[some], stream)
        if config.binarise == "threshold":
            return threshold(levels, images.levels, config.threshold)
        return quantise(levels, images.levels, wanted)

    kind = storage(2 if config.binarise else wanted)
    # Images of the same type are overwritten by their result: a copy would take as much memory again.
    above = images.fresh and SMALLER * kind.itemsize > origin.pixels.element_size()
    pixels = origin.pixels if above else torch.empty((len(numbers), *origin.pixels.shape[1:]), dtype=kind)
    step = images_at_once(origin.pixels)
    for start in range(0, len(numbers), step):
        some = slice(start, start + step)
        pixels[places[some] if above else some] = changed(some).to(pixels.dtype)
    return Part(pixels, labels, numbers, places=places if above else None)


class Outlined:
    """The results of `prepare` for a source that can list its images without reading them, and reads them one by one.

    Args:
        name: the source's registered name.
        source: the source.
        outline: its images, as in `DataSource.outline`, with their classes numbered.
        read: reads one of its files.
        spec: of the images.

    Attributes:
        name: the source's registered name.
        source: the source.
        classes: number of label classes, None if there are no labels.
        class_names: their names in the order of their numbers; None if only their numbers are known.
        files: see `SourceImages.files`.
    """

    def __init__(self, name: str, source: DataSource, outline: SourceImages, read: ReadFile, spec: ImageSpec) -> None:
        self.name, self.source = name, source
        self.classes, self.class_names, self.files = outline.classes, outline.class_names, outline.files
        self._outline, self._read, self._spec = outline, read, spec
        self._chosen = choose(source.config, outline, name)

    @classmethod
    def of(cls, ref: ComponentSpec, base: Path, spec: ImageSpec, numbering: Numbering | None = None) -> Outlined | None:
        """Return None if a source cannot do that; arguments and errors are those of `prepare`."""
        source: DataSource = ref.build(base)
        found = source.outline(spec)
        return None if found is None else cls(ref.name, source, numbered(ref, found[0], numbering), found[1], spec)

    def size(self, split: str) -> int:
        """Number of images of a split: train, validation or test."""
        return len(self._chosen[split])

    def labels(self, split: str) -> Tensor | None:
        """The labels of a split's images, int64 [n]; None if there are none."""
        sets = own_splits(self._outline)
        labels = sets[split if split in sets else "train"].labels
        return None if labels is None else labels[self._chosen[split]]

    def context(self, split: str) -> tuple[tuple[ContextSpec, ...], Tensor | None]:
        """See `Dataset.context`; the arrays are read at the first call, with the errors of `prepare`."""
        own = split if split in own_splits(self._outline) else "train"
        return self._beside.specs, self._beside.of(own, self._chosen[split])

    def hashes(self) -> dict[str, str]:
        """The part of `Dataset.hashes` that is known without reading images: `context`, of arrays beside them."""
        return {"context": self._beside.digest} if self._beside.digest else {}

    @functools.cached_property
    def _beside(self) -> Beside:
        return read_beside(self.source.config, self._outline, self._spec, self.source.resolve, self.name)

    def image(self, split: str, number: int) -> tuple[Tensor, float | None]:
        """An image by its number in a split, int64 [C, H, W], and its `Part.moved`.

        Raises:
            DataError: if it cannot be read.
        """
        sets = own_splits(self._outline)
        row, own = self._chosen[split][number : number + 1], split if split in sets else "train"
        pixels = self._read(own, int(sets[own].levels(row)))[None]
        # The same picture stands for all, which takes no memory: only this row is used.
        same = ImageSet(pixels.expand(len(sets[own]), -1, -1, -1))
        validation = same if own == "validation" else None
        part = _part(
            self.source.config,
            SourceImages(same, same, self._outline.levels, validation=validation),
            split,
            row,
            self._spec.palette,
        )
        x = part.levels(torch.tensor([0]))
        if part.renewed_by is not None:
            x = part.renewed_by.draw(x, part.numbers, Stream.VISIT, 0)
        return x[0].long(), part.moved


def _classes(images: SourceImages) -> list[str]:
    """Describe the classes: their names, unless these are just the numbers 0, 1, ..."""
    names = images.class_names
    return [] if names is None or plain_numbers(names) else [f"classes: {listed(names)}"]


def _moved(parts: dict[str, Part], palette: Palette | None) -> list[str]:
    """How far a palette moved colours, in each split."""
    if palette is None:
        return []
    ways = (f"{split} {part.moved:.2f}" for split, part in parts.items() if len(part))
    return [f"colours were moved to the nearest of the palette's, levels RMS: {', '.join(ways)}"]


def _words(config: DataConfig, source_levels: int, palette: Palette | None) -> str:
    if palette is not None:
        return f"tokens of {len(palette)} colours (palette {palette.digest[:8]})"
    match config.binarise:
        case "threshold":
            return f"threshold binarisation at {config.threshold:g}"
        case "static":
            return f"seeded static binarisation (seed {config.split_seed})"
        case "dynamic":
            return f"dynamic binarisation (validation and test drawn once, seed {config.split_seed})"
    if config.levels is not None and config.levels < source_levels:
        return f"{config.levels} levels, quantised from {source_levels}"
    return f"{source_levels} levels"
