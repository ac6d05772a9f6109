"""Load a source's images: read, checked, with classes numbered and assigned to splits; and their shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from pixkit.components.faults import Blamed, built
from pixkit.components.spec import ComponentSpec
from pixkit.data.base import DataConfig, DataSource, Progress, SourceImages, set_apart
from pixkit.data.beside import read_beside
from pixkit.data.classes import Names, by_number, renamed, with_names
from pixkit.data.held import check, look_through
from pixkit.data.palette import size_for
from pixkit.errors import DataError, RecipeError, reason
from pixkit.image import ImageSpec, Palette
from pixkit.randomness import Stream, permutation

Numbering = Callable[[str, SourceImages], SourceImages]
"""Called as numbering(the source's name, images): numbers their classes as a run does."""


def loaded(
    ref: ComponentSpec,
    base: Path,
    progress: Progress | None = None,
    numbering: Numbering | None = None,
    given: SourceImages | None = None,
) -> tuple[DataSource, SourceImages]:
    """A source and its images, with their classes numbered; arguments and errors are those of `prepare`.

    Everything is checked except the range of the levels, which `pixkit.data.held.look_through` does.
    """
    config = cast(DataConfig, ref.config)
    if config.class_names is not None:
        classes_of(ref, base)
    try:
        source: DataSource = built(ref, base)
        with Blamed.of_entry(ref.entry).at("to load its images", "load(progress), which gives SourceImages"):
            images = source.load(progress) if given is None else replace(given, fresh=False)
    except OSError as error:
        raise DataError("cannot be read", where=error.filename or ref.name, found=reason(error)) from error
    check(images, ref.entry.recipe_name)
    images = numbered(ref, images, numbering)
    if config.levels is not None and config.levels > images.levels:
        raise RecipeError(
            "quantising can only reduce the number of levels",
            where="data.levels",
            found=str(config.levels),
            expected=f"at most {images.levels}, the levels of {ref.name}",
        )
    return source, images


def numbered(ref: ComponentSpec, images: SourceImages, numbering: Numbering | None) -> SourceImages:
    """The images with their classes numbered: by `class_names`, else by `numbering`, else by the source.

    Raises:
        RecipeError: if `class_names` are not those of the data.
    """
    images, names = with_names(images), cast(DataConfig, ref.config).class_names
    if names is not None:
        return renamed(images, names)
    return images if numbering is None else numbering(ref.name, images)


def classes_of(ref: ComponentSpec, base: Path) -> Names | None:
    """The names of the classes that `prepare` finds, without reading images; None if only that can tell.

    Raises:
        DataError: if what lists the classes is missing, damaged, or inconsistent.
        RecipeError: if `class_names` are not those of the data.
    """
    source: DataSource = ref.build(base)
    try:
        names = source.known_classes()
    except OSError as error:
        raise DataError("cannot be read", where=error.filename or ref.name, found=reason(error)) from error
    wanted = cast(DataConfig, ref.config).class_names
    if names is None or wanted is None:
        return names
    by_number(names, len(names), wanted)
    return tuple(wanted)


def choose(config: DataConfig, images: SourceImages, name: str) -> dict[str, Tensor]:
    """Numbers of the images of each split, ascending.

    A limited split is a seeded choice, not the first few: a source may be sorted by class.
    """
    groups = images.train.groups
    order = _order(config.split_seed, len(images.train), groups)
    if images.validation is None:
        train, validation = set_apart(order, config.validation, where=name, key="validation", groups=groups)
    else:
        train, validation = order, torch.arange(len(images.validation))
    test = torch.from_numpy(permutation(config.split_seed, Stream.SPLIT_TEST, len(images.test)))
    return {
        "train": train[: config.limit_train].sort().values,
        "validation": validation.sort().values,
        "test": test[: config.limit_test].sort().values,
    }


def _order(seed: int, count: int, groups: Tensor | None) -> Tensor:
    """A seeded order of the training images; images of one group, if there are groups, are adjacent."""
    if groups is None:
        return torch.from_numpy(permutation(seed, Stream.SPLIT_TRAIN, count))
    kinds, members = groups.unique(return_inverse=True)
    places = torch.from_numpy(permutation(seed, Stream.SPLIT_TRAIN, len(kinds))).argsort()
    return places[members].argsort(stable=True)


def spec_of(config: DataConfig, images: SourceImages, palette: Palette | None) -> ImageSpec:
    """Shape and levels of images, or of tokens of a palette."""
    _, channels, height, width = images.train.pixels.shape
    if palette is not None:
        return ImageSpec(1, height, width, len(palette), palette)
    return ImageSpec(channels, height, width, 2 if config.binarise else config.levels or images.levels)


def measure(ref: ComponentSpec, base: Path, progress: Progress | None = None) -> tuple[ImageSpec, int | None]:
    """Shape and levels of the images of `prepare`, and the number of classes, without preparing the images.

    Tokens have no palette here, since no colours are clustered.

    Raises:
        DataError, RecipeError: as for `prepare`.
    """
    config = cast(DataConfig, ref.config)
    source, images = loaded(ref, base, progress)
    look_through(images, ref.name)
    chosen = choose(config, images, ref.name)
    spec, size = spec_of(config, images, None), size_for(source, images, chosen["train"])
    spec = spec if size is None else ImageSpec(1, spec.height, spec.width, size)
    beside = read_beside(config, images, spec, source.resolve, ref.name)
    return replace(spec, context=beside.specs), images.classes
