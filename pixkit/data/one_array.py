"""One array of a file, by its name if the file has several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pixkit.data.opening import open_arrays
from pixkit.data.reference import references
from pixkit.errors import DataError
from pixkit.files import is_file


def read_array(given: str | Path, limit: int, expected: str, key: str) -> NDArray[Any]:
    """Read the array that FILE or FILE:NAME means; the name may be left out if the file has only one.

    Args:
        given: the file, and the name.
        limit: the most bytes of the array.
        expected: what is looked for, for the error if there is no file.
        key: what the array is for, which errors name.

    Raises:
        DataError: if there is no file or no such array, if there are several of either, if the file is damaged, or if
            the array is empty.
    """
    path, name = Path(given), None
    if not is_file(path):
        reference, *more = references(str(given), Path, key)
        if more:
            raise DataError("several files match", where=str(given), found=str(1 + len(more)), expected="one")
        path, name = reference.file or path, reference.name
    container = open_arrays(path, limit, expected, key)
    names = container.names() if name is None and container.named else []
    if len(names) > 1:
        raise DataError(
            "the file has several arrays",
            where=str(given),
            found=", ".join(names),
            expected="one",
            hint=f"{key}={given}:{names[0]}",
        )
    found = container.read(names[0] if names else name)
    if not found.size:
        raise DataError("the array is empty", where=str(given), found=f"{found.shape}", expected=expected)
    return found
