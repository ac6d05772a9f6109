"""References to arrays in recipes: `NAME`, `FILE` or `FILE:NAME`; a list, or a pattern of files, joins several."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pixkit.errors import DataError
from pixkit.files import is_there

SUFFIXES = (".npy", ".npz", ".safetensors", ".h5", ".hdf5", ".parquet", ".pt", ".pth", ".mat", "-ubyte", "-ubyte.gz")
"""Suffixes of files of arrays: a reference with one of these, at the end or before a colon, names a file."""

Given: TypeAlias = str | list[str]
"""The value of a recipe's key: a reference or several."""


@dataclass(frozen=True)
class Reference:
    """One array: of a file, the default one if None; `name` is None if only the file is named."""

    file: Path | None
    name: str | None


def references(given: str | Sequence[str], resolve: Callable[[str], Path], key: str) -> list[Reference]:
    """The arrays that a key refers to, in order; for a pattern the files in natural order (2 before 10).

    Args:
        given: one reference, or a list of them.
        resolve: makes a path of the recipe absolute.
        key: of the recipe, for errors.

    Raises:
        DataError: if no file matches a pattern, or nothing is given.
    """
    found: list[Reference] = []
    for text in [given] if isinstance(given, str) else given:
        file, name = _parts(text)
        if file is None:
            found.append(Reference(None, name))
            continue
        found += [Reference(path, name) for path in _files(resolve(file), f"data.{key}")]
    if not found:
        raise DataError("no array is named", where=f"data.{key}", expected="NAME, FILE, FILE:NAME or a list of these")
    return found


def _parts(text: str) -> tuple[str | None, str | None]:
    """File and name."""
    for suffix in re.finditer("|".join(map(re.escape, sorted(SUFFIXES, key=len, reverse=True))), text, re.IGNORECASE):
        file, rest = text[: suffix.end()], text[suffix.end() :]
        if not rest or rest.startswith(":"):
            return file, rest[1:] or None
    return None, text


def _files(path: Path, where: str) -> list[Path]:
    if not glob.has_magic(str(path)) or is_there(path):
        return [path]
    found = sorted(map(Path, glob.glob(str(path))), key=_natural)
    if not found:
        raise DataError("no file matches the pattern", where=where, found=str(path))
    return found


def _natural(path: Path) -> list[tuple[int, int | str]]:
    pieces = re.split(r"(\d+)", str(path))
    return [(1, int(piece)) if piece.isdigit() else (0, piece) for piece in pieces]
