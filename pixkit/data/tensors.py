"""Arrays of safetensors files, HDF5 files, and of torch's own files where these hold tensors alone."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pixkit.data.container import MOST_NAMES, Container, library
from pixkit.errors import DataError

FLOATS = ("F64", "F32", "F16", "BF16")
WIDTHS = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4}
"""Bytes of safetensors' types; those not here have 8."""


class SafetensorsFile(Container):
    """A .safetensors file: nothing but tensors and their names."""

    format = "a safetensors file"
    damage = (SafetensorError, *Container.damage)

    def names(self) -> list[str]:
        """See Container."""
        with self.faults(), safe_open(self.path, framework="pt") as file:
            return sorted(file.keys())

    def read(self, name: str | None = None) -> NDArray[Any]:
        """See Container."""
        if name not in self.names():
            raise self.missing(name)
        with self.faults(name), safe_open(self.path, framework="pt") as file:
            part = file.get_slice(name)
            kind = part.get_dtype()
            letter = "f" if kind in FLOATS else "u" if kind[0] in "BUI" else "?"
            self.check(name, part.get_shape(), kind, WIDTHS.get(kind, 8), letter)
            return _array(file.get_tensor(name))


class TorchFile(Container):
    """A file that torch.save wrote: a tensor, or a dictionary or list of them; read without running what is in it."""

    format = "a file of torch"
    damage = (zipfile.BadZipFile, *Container.damage)

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, limit)
        held = self._load()
        single = isinstance(held, torch.Tensor)
        self.named = not single
        pairs = held.items() if isinstance(held, Mapping) else enumerate([held] if single else held)
        self._tensors = {str(name): value for name, value in pairs if isinstance(value, torch.Tensor)}

    def names(self) -> list[str]:
        """See Container; members of a list are called 0, 1, ..."""
        return list(self._tensors) if self.named else []

    def read(self, name: str | None = None) -> NDArray[Any]:
        """See Container."""
        tensor = self._tensors.get(name or "0") if not self.named or name is not None else None
        if tensor is None:
            raise self.missing(name)
        plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_complex()
        kind = "?" if not plain else "f" if tensor.is_floating_point() else "i"
        self.check(name, tensor.shape, str(tensor.dtype), tensor.element_size(), kind)
        return _array(tensor)

    def _load(self) -> Any:
        with self.faults(), zipfile.ZipFile(self.path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > 4 * self.limit:
            raise DataError(
                "the file unpacks to too large arrays",
                where=str(self.path),
                found=f"{size} bytes",
                expected=f"at most {4 * self.limit}",
                hint="data.max_bytes raises the limit",
            )
        try:
            with self.faults():
                held = torch.load(self.path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise self._refused("objects that are no tensors, which could run code when they are read") from error
        if not isinstance(held, torch.Tensor | Mapping | list | tuple):
            raise self._refused(type(held).__name__)
        return held

    def _refused(self, found: str) -> DataError:
        return DataError(
            "a torch file is read if it holds tensors alone",
            where=str(self.path),
            found=found,
            expected="a tensor, or a dictionary or list of tensors",
            hint="where you trust it: x = torch.load(FILE, weights_only=False); numpy.savez('images.npz', train=...)",
        )


class Hdf5File(Container):
    """An HDF5 file, MATLAB's v7.3 among them; arrays in groups are called group/array."""

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

    def read(self, name: str | None = None) -> NDArray[Any]:
        """See Container. Values that lie in other files are not read."""
        with self._opened(name) as file:
            held = file.get(name) if name and name in file else None
            if not isinstance(held, self._h5py.Dataset):
                raise self.missing(name)
            if held.external or held.is_virtual or held.file != file:
                raise DataError(
                    "the array's values lie in other files",
                    where=self.where(name),
                    hint="name these files: a list, or a pattern of names, joins them",
                )
            self.check(name, held.shape or (), str(held.dtype), held.dtype.itemsize, held.dtype.kind)
            if held.shape is None:
                raise DataError("the array has no values", where=self.where(name))
            return np.asarray(held[()])

    @contextmanager
    def _opened(self, name: str | None) -> Iterator[Any]:
        with self.faults(name), self._h5py.File(self.path, "r") as file:
            yield file


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    """A tensor as an array; bfloat16, which NumPy lacks, as float32."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
