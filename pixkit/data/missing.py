"""Errors about an array that a file does not have, or that does not consist of numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pixkit.errors import DataError, listed


class MissingArray(DataError):
    """A file has no array of a name.

    Args:
        where: the file and the name.
        names: of the arrays that it has.
    """

    def __init__(self, where: str, names: Sequence[str]) -> None:
        super().__init__("there is no such array", where=where, expected=f"one of {listed(names) or '(none)'}")
        self._names = names

    def suggest(self, key: str) -> None:
        """Say how a key of `data` names the array that is most likely meant by it."""
        split = "val" if key.startswith("val") else key.partition("_")[0]
        labels = [name for name in self._names if re.match("y|.*label", name.lower())]
        likely = labels if key.endswith("labels") else [name for name in self._names if name not in labels]
        alike = [name for name in likely if split in name.lower()]
        self.hint = f"data.{key}={[*alike, *likely, 'NAME'][0]} names one"
        if key == "test" and not alike:
            self.hint = "data.test=null holds out some of the training images"


class NotNumbers(DataError):
    """An array of text, objects, records or complex numbers.

    Args:
        where: the array.
        found: its type.
    """

    def __init__(self, where: str, found: str) -> None:
        super().__init__("not an array of numbers", where=where, found=found)

    def suggest_numbers(self) -> None:
        """Say how names of classes become labels."""
        self.hint = "names, number = numpy.unique(labels, return_inverse=True): save number as the labels, and "
        self.hint += "data.class_names=[...] has the names"
