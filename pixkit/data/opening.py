"""The reader for a file of arrays, chosen by its contents, whatever its name."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from pixkit.data.container import Container, is_torch
from pixkit.data.contents import beginning, told
from pixkit.data.idx import IdxFile
from pixkit.data.npy import ArrayFile
from pixkit.data.parquet import ParquetFile
from pixkit.data.tensors import Hdf5File, SafetensorsFile, TorchFile
from pixkit.errors import DataError
from pixkit.files import is_there

READERS: dict[str, type[Container]] = {
    "an array of NumPy (.npy)": ArrayFile,
    "a zip archive": ArrayFile,
    "an empty zip archive": ArrayFile,
    "an HDF5 file": Hdf5File,
    "an IDX file": IdxFile,
    "a parquet file": ParquetFile,
    "a safetensors file": SafetensorsFile,
}
"""By the description that `told` returns."""
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of files of torch before 1.6."""
HINTS: dict[str | None, str] = {
    "a pickle": "a pickle can run code when it is read; if you trust it, numpy.savez('images.npz', train=...)",
    "a MATLAB file": "plugins/README.md has a data source for it, of 15 lines",
    "a FITS file": "plugins/README.md shows how to write a data source for it",
    "text": "the text of binarised MNIST is read by data.source=static_mnist",
}
EXPECTED = ".npz, .npy, .safetensors, HDF5, parquet, IDX, or a torch file of tensors"


def open_arrays(path: Path, limit: int, expected: str, key: str = "data.path") -> Container:
    """Open a file of arrays.

    Args:
        path: the file.
        limit: the most bytes of an array.
        expected: what is looked for, for the error if there is no file.
        key: of the recipe, which names the file.

    Raises:
        DataError: if there is no file, or it contains something else, which is named.
    """
    if not is_there(path):
        raise DataError("there is no such file", where=str(path), expected=expected, hint=f"{key}=FILE names yours")
    head = beginning(path)
    found = told(head)
    if found == "a gzip archive" and told(_unpacked(path)) == "an IDX file":
        found = "an IDX file"
    if found == "a zip archive" and is_torch(path):
        return TorchFile(path, limit)
    if found in READERS:
        return READERS[found](path, limit)
    hint = HINTS.get(found)
    if head.startswith(OLD_TORCH):
        found = "a file of torch before 1.6"
        hint = "torch.save(torch.load(FILE, weights_only=True), FILE) saves its tensors again"
    raise DataError(
        "not a file of arrays",
        where=str(path),
        found=found or f"bytes {head[:8].hex(' ')}",
        expected=EXPECTED,
        hint=hint,
    )


def _unpacked(path: Path) -> bytes:
    """The first bytes of the contents of a gzip archive; empty if it is damaged."""
    try:
        with gzip.open(path) as file:
            return file.read(4)
    except (OSError, EOFError, zlib.error):
        return b""
