"""Files of arrays, with one reader per format and a common interface: names, and an array by its name."""

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

from pixkit.data.missing import MissingArray, NotNumbers
from pixkit.data.stored import Stored
from pixkit.errors import DataError, reason

MOST_NAMES = 10_000
"""The most arrays of a file that are examined."""


class Container(ABC):
    """The arrays of a file.

    Args:
        path: the file.
        limit: the most bytes of an array.
    """

    format: str
    """The name of the format."""
    named = True
    """Whether its arrays have names; else there is one, without a name."""
    damage: tuple[type[BaseException], ...] = (ValueError, TypeError, RuntimeError, EOFError, MemoryError)
    """Errors that the format's library raises for damaged files."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit

    @abstractmethod
    def names(self) -> list[str]:
        """The names of the arrays; empty if there is one without a name."""

    @abstractmethod
    def stored(self, name: str | None = None) -> Stored:
        """Return an array of integers, booleans or floats, to be read within `faults`.

        Raises:
            DataError: if the file is damaged, or the array is missing, too large, or of another type.
        """

    def read(self, name: str | None = None) -> NDArray[Any]:
        """Read an array completely; DataError as for `stored`."""
        found = self.stored(name)
        with self.faults(name):
            return found.read()

    def where(self, name: str | None) -> str:
        """The location of an array, for errors."""
        return f"{self.path}: {name}" if name else str(self.path)

    def check(self, name: str | None, shape: Sequence[int], dtype: str, itemsize: int, kind: str) -> None:
        """Check the header before anything else is read."""
        if kind not in "iubf":
            raise NotNumbers(self.where(name), dtype)
        size = math.prod(shape) * itemsize
        if size > self.limit:
            raise DataError(
                "the header announces too large an array",
                where=self.where(name),
                found=f"{'x'.join(map(str, shape))} {dtype}: {size} bytes",
                expected=f"at most {self.limit}",
                hint="data.max_bytes raises the limit",
            )

    def missing(self, name: str | None) -> MissingArray:
        """The error for a missing array."""
        return MissingArray(self.where(name), self.names())

    @contextmanager
    def faults(self, name: str | None = None) -> Iterator[None]:
        """Turn a library's errors about damaged files into DataError; a failing disk is reported as such."""
        try:
            yield
        except DataError:
            raise
        except OSError as error:
            if error.errno is not None:
                raise DataError("cannot be read", where=self.where(name), found=reason(error)) from error
            raise self._damaged(name, error) from error
        except self.damage as error:
            failure = error.__context__  # zipfile reports a failing disk as a damaged file
            if isinstance(failure, OSError):
                raise DataError("cannot be read", where=self.where(name), found=reason(failure)) from error
            raise self._damaged(name, error) from error

    def _damaged(self, name: str | None, error: BaseException) -> DataError:
        text = (str(error) or type(error).__name__).splitlines()[0]
        return DataError("the file is damaged", where=self.where(name), found=text, expected=self.format)


def library(name: str, extra: str, path: Path, what: str) -> Any:
    """Import an optional module.

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
    """Whether a zip archive was written by torch.save; False if it is damaged, which its reader reports."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return False
