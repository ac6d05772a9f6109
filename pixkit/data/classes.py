"""Label classes are identified by name; a number is only a model's way to count them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.data.base import ImageSet, SourceImages
from pixkit.errors import DataError, RecipeError, listed

Names = tuple[str, ...]
BY_NAME = "name:"
"""Prefix for the name of a class that could be mistaken for something else."""
MOST = 500_000
"""The most characters, plus 16 per name, of all names that a run keeps in its lock."""


def in_order(names: Iterable[str]) -> list[str]:
    """Names of classes in the order of their numbers: numerically if all are numbers, else as text."""
    distinct = set(names)
    if all(name.isascii() and name.isdigit() for name in distinct):
        return sorted(distinct, key=lambda name: (int(name), name))
    return sorted(distinct)


def by_value(*arrays: NDArray[Any]) -> tuple[list[NDArray[np.int64]], Names]:
    """Convert labels, which may be any integers, to class numbers 0, 1, ...; return the values as names.

    The classes are the distinct values of the first array, ascending.

    Raises:
        DataError: if another array has other values; `where` is left to the caller.
    """
    values = np.unique(arrays[0])
    for array in arrays[1:]:
        strange = np.setdiff1d(array, values)
        if len(strange):
            raise DataError(
                "test images have classes that no training image has",
                found=listed(strange.tolist()),
                expected=f"among {listed(values.tolist())}",
            )
    return [np.searchsorted(values, array).astype(np.int64) for array in arrays], tuple(map(str, values.tolist()))


def plain_numbers(names: Sequence[str]) -> bool:
    """Whether the names are just the numbers 0, 1, ... in this order."""
    return all(name == str(number) for number, name in enumerate(names))


def with_names(images: SourceImages) -> SourceImages:
    """The images with names of their classes: their numbers, if the source gives none and they are not too many."""
    names = images.class_names
    if images.classes is not None and names is None and images.classes * 16 <= MOST:
        names = tuple(map(str, range(images.classes)))
    if names is not None and sum(len(name) + 16 for name in names) > MOST:
        names = None
    return replace(images, class_names=names)


def renamed(images: SourceImages, wanted: Sequence[str]) -> SourceImages:
    """The images with the classes that a recipe names, in its order, including all of the source's own names.

    If the source's are numbers, and as many, they are named in order.

    Raises:
        RecipeError: if there are no labels, or other classes.
    """
    names = images.class_names or ()
    if images.classes is None:
        raise RecipeError(
            "these images have no labels to be named",
            where="data.class_names",
            found=listed(wanted),
            hint="a key of the source says where labels are: data.labels, data.train_labels",
        )
    if by_number(names, images.classes, wanted):
        return replace(images, class_names=tuple(wanted))
    return renumbered(images, wanted)


def by_number(names: Sequence[str], count: int, wanted: Sequence[str]) -> bool:
    """Whether a recipe's names are for `count` numbers in order, rather than names that the source has.

    Raises:
        RecipeError: if they can be neither.
    """
    if set(names) <= set(wanted) and len(names) == count:
        return False
    if all(name.isascii() and name.isdigit() for name in names) and count == len(wanted):
        return True
    raise RecipeError(
        "classes that differ from those of the data",
        where="data.class_names",
        found=listed(wanted),
        expected=listed(names) if names else f"{count} names",
    )


def renumbered(images: SourceImages, wanted: Sequence[str]) -> SourceImages:
    """Renumber labels by the classes `wanted`, which include theirs; unchanged if there are no names."""
    names = images.class_names
    if names is None or tuple(names) == tuple(wanted):
        return images
    table = torch.tensor([wanted.index(name) for name in names])

    def translated(part: ImageSet) -> ImageSet:
        return part if part.labels is None else replace(part, labels=table[part.labels])

    return replace(
        images,
        train=translated(images.train),
        test=translated(images.test),
        validation=None if images.validation is None else translated(images.validation),
        classes=len(wanted),
        class_names=tuple(wanted),
    )


def table_of(
    names: Sequence[str] | None, count: int, wanted: Sequence[str] | None, classes: int, where: str
) -> Tensor | None:
    """A model's numbers for the classes of some data, int64 [count]; None if they are the same.

    Args:
        names: the data's classes by name; None if only their numbers are known.
        count: number of these classes.
        wanted: the model's classes; None if only their numbers are known: then their number must be the same.
        classes: number of these classes.
        where: the data, for the message.

    Raises:
        DataError: for classes that the model does not have.
    """
    if names is not None and wanted is not None:
        if tuple(names) == tuple(wanted):
            return None
        if not set(names) <= set(wanted):
            raise DataError(
                "classes that the model was not trained on",
                where=where,
                found=listed(name for name in names if name not in set(wanted)),
                expected=f"among {listed(wanted)}",
                hint="leave their images out; data.class_names=[...] renames classes that are the same",
            )
        return torch.tensor([wanted.index(name) for name in names])
    if count != classes:
        raise DataError(
            "the number of classes differs from that of the model, whose classes are known only by number",
            where=where,
            found=f"{count}{'' if names is None else f': {listed(names)}'}",
            expected=str(classes),
            hint="data.class_names=[...] gives the model's classes in the order of their numbers",
        )
    return None


def how_to_label(config: ComponentConfig) -> str | None:
    """The keys by which a source with this configuration reads labels, as overrides; None if it has no such keys."""
    given: dict[str, str] = {
        name: "true" if type(getattr(config, name)) is bool else "NAME"
        for name in type(config).model_fields
        if name in ("labels", "train_labels", "test_labels")
    }
    return " ".join(f"data.{name}={value}" for name, value in given.items()) or None


def number_of(text: str, classes: int, names: Sequence[str] | None) -> int | None:
    """The number of the class with this name; None if there is none.

    A number is accepted if no class has it as its name: with classes 1..10, "1" is the name of the first. After "name:"
    comes a name, whatever else it could mean, such as that of a class called all.
    """
    if names is not None and text not in names and text.startswith(BY_NAME):
        text = text.removeprefix(BY_NAME)
        return names.index(text) if text in names else None
    if names is not None and text in names:
        return names.index(text)
    by_number = names is None or plain_numbers(names) or not any(name.isdigit() for name in names)
    if by_number and re.fullmatch("[0-9]{1,9}", text) and int(text) < classes:
        return int(text)
    return None
