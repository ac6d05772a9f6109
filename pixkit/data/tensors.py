"""Arrays of safetensors files, HDF5 files, and of torch's own files if these contain only tensors."""

from __future__ import annotations

import json
import math
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pixkit.data.container import MOST_NAMES, Container, library
from pixkit.data.stored import Blocks, Stored, in_file, rows_at_once
from pixkit.errors import DataError

FLOATS = ("F64", "F32", "F16", "BF16")
NUMPY = {"U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8"}
NUMPY |= {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
"""Their types in NumPy, for values that are read as stored in the file."""
WIDTHS = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4}
"""Bytes of safetensors' types; those not listed have 8."""


class SafetensorsFile(Container):
    """A .safetensors file: nothing but tensors and their names."""

    format = "a safetensors file"
    damage = (SafetensorError, *Container.damage)

    def names(self) -> list[str]:
        """See Container."""
        with self.faults(), safe_open(self.path, framework="pt") as file:
            return sorted(file.keys())

    def stored(self, name: str | None = None) -> Stored:
        """See Container."""
        if name is None or name not in self.names():
            raise self.missing(name)
        with self.faults(name), safe_open(self.path, framework="pt") as file:
            part = file.get_slice(name)
            kind, shape = part.get_dtype(), tuple(part.get_shape())
            letter = "f" if kind in FLOATS else "u" if kind[0] in "BUI" else "?"
            self.check(name, shape, kind, WIDTHS.get(kind, 8), letter)
            if kind in NUMPY:
                return in_file(self.path, self._start(name), shape, np.dtype(NUMPY[kind]))

        def blocks() -> Blocks:
            with safe_open(self.path, framework="pt") as file:
                yield (...,), _array(file.get_tensor(name))

        return Stored(shape, np.dtype(np.float32 if kind == "BF16" else bool), blocks)

    def _start(self, name: str) -> int:
        """Where the values of an array begin; the library, which has opened the file, has checked the header."""
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            start = json.loads(file.read(length))[name]["data_offsets"][0]
        return 8 + length + int(start)


class TorchFile(Container):
    """A file written by torch.save: a tensor, or a dictionary or list of them; read without running any code in it."""

    format = "a file of torch"
    # torch's unpickler raises whatever its stack and its memo do, if the program is damaged.
    damage = (zipfile.BadZipFile, LookupError, AssertionError, AttributeError, struct.error, *Container.damage)

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, limit)
        held = self._load()
        single = isinstance(held, torch.Tensor)
        self.named = not single
        pairs = held.items() if isinstance(held, Mapping) else enumerate([held] if single else held)
        self._tensors = {str(name): value for name, value in pairs if isinstance(value, torch.Tensor)}

    def names(self) -> list[str]:
        """See Container; items of a list are named 0, 1, ..."""
        return list(self._tensors) if self.named else []

    def stored(self, name: str | None = None) -> Stored:
        """See Container. The file is mapped, and read when a block is requested."""
        tensor = self._tensors.get(name or "0") if not self.named or name is not None else None
        if tensor is None:
            raise self.missing(name)
        plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_complex()
        self.check(name, tensor.shape, str(tensor.dtype), tensor.element_size(), "f" if plain else "?")
        shape, dtype = tuple(tensor.shape), _array(tensor[:0] if tensor.ndim else tensor).dtype

        def blocks() -> Blocks:
            if not shape:
                yield (), _array(tensor)
                return
            step = rows_at_once(shape, tensor.element_size())
            for start in range(0, shape[0], step):
                some = slice(start, start + step)
                yield (some,), _array(tensor[some])

        whole = None if tensor.dtype == torch.bfloat16 else lambda: _array(tensor)
        return Stored(shape, dtype, blocks, whole, tensor.nbytes)

    def _load(self) -> Any:
        with self.faults(), zipfile.ZipFile(self.path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > 4 * self.limit:
            raise DataError(
                "the file unpacks to arrays that are too large",
                where=str(self.path),
                found=f"{size} bytes",
                expected=f"at most {4 * self.limit}",
                hint="data.max_bytes raises the limit",
            )
        try:
            with self.faults():
                held = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)
        except pickle.UnpicklingError as error:
            raise self._refused("objects other than tensors, which could run code when they are read") from error
        if not isinstance(held, torch.Tensor | Mapping | list | tuple):
            raise self._refused(type(held).__name__)
        return held

    def _refused(self, found: str) -> DataError:
        return DataError(
            "a torch file is read only if it contains nothing but tensors",
            where=str(self.path),
            found=found,
            expected="a tensor, or a dictionary or list of tensors",
            hint="if you trust it: x = torch.load(FILE, weights_only=False); numpy.savez('images.npz', train=...)",
        )


class Hdf5File(Container):
    """An HDF5 file, including MATLAB's v7.3; arrays in groups are named group/array."""

    format = "an HDF5 file"

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, limit)
        self._h5py = library("h5py", "hdf5", path, "HDF5")

    def names(self) -> list[str]:
        """See Container."""
        found: list[str] = []

        def note(name: str, held: Any) -> bool | None:
            if isinstance(held, self._h5py.Dataset):
                found.append(name)
            return True if len(found) >= MOST_NAMES else None

        with self._opened(None) as file:
            file.visititems(note)
        return found

    def stored(self, name: str | None = None) -> Stored:
        """See Container. Values stored in other files are not read."""
        with self._opened(name) as file:
            held = file.get(name) if name and name in file else None
            if not isinstance(held, self._h5py.Dataset):
                raise self.missing(name)
            if held.external or held.is_virtual or held.file != file:
                raise DataError(
                    "the array's values are in other files",
                    where=self.where(name),
                    hint="name these files: a list, or a pattern of names, joins them",
                )
            self.check(name, held.shape or (), str(held.dtype), held.dtype.itemsize, held.dtype.kind)
            if held.shape is None:
                raise DataError("the array has no values", where=self.where(name))
            self._all_written(name, held)
            shape, dtype, chunks, matlab = held.shape, held.dtype, held.chunks, held.attrs.get("MATLAB_class")
            dtype = np.dtype(bool) if matlab == b"logical" else dtype
            start = held.id.get_offset() if chunks is None and file.userblock_size == 0 else None

        def blocks() -> Blocks:
            with self._h5py.File(self.path, "r") as file:
                held = file[name]
                if not shape:
                    yield (), np.asarray(held[()], dtype)
                    return
                step = rows_at_once(shape, dtype.itemsize, 1 if chunks is None else chunks[0])
                for first in range(0, shape[0], step):
                    some = slice(first, first + step)
                    yield (some,), held[some].astype(dtype, copy=False)

        found = Stored(shape, dtype, blocks, column_major=matlab is not None)
        if start is not None and dtype.kind in "iuf":
            plain = in_file(self.path, start, shape, dtype)
            found = replace(found, mapped=plain.mapped, size=plain.size, at=plain.at)
        return found

    def _all_written(self, name: str | None, held: Any) -> None:
        """Raise DataError if values were never written: the library returns the fill value, that is, blank images."""
        whole, parts, what = min(held.size, 1), int(held.id.get_storage_size() > 0), "the values"
        if held.chunks is not None:
            whole = math.prod(-(-length // chunk) for length, chunk in zip(held.shape, held.chunks, strict=True))
            parts, what = held.id.get_num_chunks(), f"{whole} chunks"
        if parts < whole:
            raise DataError(
                "values of the array were never written",
                where=self.where(name),
                found=f"{parts or 'none'} of {what} written; elsewhere {held.fillvalue}, the fill value, would be read",
                expected=f"all of {what}",
                hint=f"h5py.File(FILE, 'r+')[{name!r}].resize(N, axis=0) cuts it to the N that were written"
                if parts
                else "write the images, or name another array",
            )

    @contextmanager
    def _opened(self, name: str | None) -> Iterator[Any]:
        with self.faults(name), self._h5py.File(self.path, "r") as file:
            yield file


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    """A tensor as an array; bfloat16, which NumPy lacks, becomes float32."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
