"""Files of arrays, one reader for each format, all alike: names, and an array by its name."""

from __future__ import annotations

import importlib
import math
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pixkit.data.stored import Stored
from pixkit.errors import DataError, listed, reason

MOST_NAMES = 10_000
"""Arrays of one file that are looked at."""


class Container(ABC):
    """The arrays of a file.

    Args:
        path: the file.
        limit: bytes that one array may have.
    """

    format: str
    """What such a file is called."""
    named = True
    """Whether its arrays have names; else there is one, without a name."""
    damage: tuple[type[BaseException], ...] = (ValueError, TypeError, RuntimeError, EOFError, MemoryError)
    """What the format's library raises at damaged files."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit

    @abstractmethod
    def names(self) -> list[str]:
        """The names of the arrays; none where there is one without a name."""

    @abstractmethod
    def stored(self, name: str | None = None) -> Stored:
        """An array of integers, booleans or floats, to be read within `faults`.

        Raises:
            DataError: where the file is damaged, or the array is missing, too large, or of anything else.
        """

    def read(self, name: str | None = None) -> NDArray[Any]:
        """All of an array; DataError as `stored`."""
        found = self.stored(name)
        with self.faults(name):
            return found.read()

    def where(self, name: str | None) -> str:
        """The place of an array, for errors."""
        return f"{self.path}: {name}" if name else str(self.path)

    def check(self, name: str | None, shape: Sequence[int], dtype: str, itemsize: int, kind: str) -> None:
        """Hold what a header announces to what is read at all."""
        if kind not in "iubf":
            raise DataError("not an array of numbers", where=self.where(name), found=dtype)
        size = math.prod(shape) * itemsize
        if size > self.limit:
            raise DataError(
                "the header announces too large an array",
                where=self.where(name),
                found=f"{'x'.join(map(str, shape))} {dtype}: {size} bytes",
                expected=f"at most {self.limit}",
                hint="data.max_bytes raises the limit",
            )

    def missing(self, name: str | None) -> DataError:
        """That there is no such array."""
        return DataError(
            "there is no such array", where=self.where(name), expected=f"one of {listed(self.names()) or '(none)'}"
        )

    @contextmanager
    def faults(self, name: str | None = None) -> Iterator[None]:
        """Whatever a library raises at a damaged file, as DataError; a disk that fails is none."""
        try:
            yield
        except DataError:
            raise
        except OSError as error:
            if error.errno is not None:
                raise DataError("cannot be read", where=self.where(name), found=reason(error)) from error
            raise self._damaged(name, error) from error
        except self.damage as error:
            failure = error.__context__  # zipfile calls a disk that fails a damaged file
            if isinstance(failure, OSError):
                raise DataError("cannot be read", where=self.where(name), found=reason(failure)) from error
            raise self._damaged(name, error) from error

    def _damaged(self, name: str | None, error: BaseException) -> DataError:
        text = (str(error) or type(error).__name__).splitlines()[0]
        return DataError("the file is damaged", where=self.where(name), found=text, expected=self.format)


def library(name: str, extra: str, path: Path, what: str) -> Any:
    """A module that not every installation has.

    Raises:
        DataError: with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(
            f"reading {what} takes {name.partition('.')[0]}, which is not installed",
            where=str(path),
            hint=f"pip install 'pixkit-models[{extra}]'",
        ) from error


def is_torch(path: Path) -> bool:
    """Whether a zip archive is one that torch.save wrote; False if it is damaged, which its reader says."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return False
