"""Write images as they arrive, some at a time; they appear under their name only once all of them are there."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from pixkit.data.picture import SUFFIXES
from pixkit.errors import UsageError
from pixkit.figures.grids import kept_type, write_pictures
from pixkit.figures.targets import filling, require_empty, require_file, saving
from pixkit.files import is_folder, replacing
from pixkit.image import ImageSpec

Array = NDArray[Any]
Write = Callable[[int, Array, Array | None], None]
"""Called with the number of earlier images, the images [n, C, H, W], and their labels [n], if any."""


def require_target(out: str | Path) -> Path:
    """Return the path if images can be written there: a .npz, or a folder that is new or empty.

    Raises:
        RunError: if it is something else.
        UsageError: if its name is that of a picture or an array, which was hardly meant as a folder.
    """
    suffix = Path(out).suffix.lower()
    if suffix in SUFFIXES | {".npy"} and not is_folder(out):
        raise UsageError(
            "images cannot be written to this kind of file", where=str(out), expected="a folder, or FILE.npz"
        )
    return require_file(out) if suffix == ".npz" else require_empty(out)


@contextmanager
def unpacked(out: str | Path, spec: ImageSpec, count: int) -> Iterator[Write]:
    """A function that writes `count` images there, in order.

    A .npz has the arrays `samples`, levels [N, C, H, W], and `labels`; a folder has pictures 00000.png and so on,
    numbered as in the whole file, and labels.npy. If the block raises, nothing is left behind.

    Raises:
        RunError: if something cannot be written.
    """
    target = require_target(out)
    with saving(target), (_archive if target.suffix.lower() == ".npz" else _folder)(target, spec, count) as write:
        yield write


@contextmanager
def _archive(target: Path, spec: ImageSpec, count: int) -> Iterator[Write]:
    kept = np.dtype(kept_type(spec))
    labels: list[Array] = []
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("samples.npy", "w", force_zip64=True) as file:
            header = {"descr": kept.str, "fortran_order": False, "shape": (count, *spec.shape)}
            npy_format.write_array_header_1_0(file, header)

            def write(first: int, images: Array, own: Array | None) -> None:
                file.write(np.ascontiguousarray(images, kept).tobytes())
                labels.extend([] if own is None else [own])

            yield write
        if labels:
            with archive.open("labels.npy", "w") as file:
                npy_format.write_array(file, np.concatenate(labels))


@contextmanager
def _folder(target: Path, spec: ImageSpec, count: int) -> Iterator[Write]:
    labels: list[Array] = []
    with filling(target) as temporary:

        def write(first: int, images: Array, own: Array | None) -> None:
            if len(images):
                write_pictures(images, spec, temporary, first)
            labels.extend([] if own is None else [own])

        yield write
        if labels:
            np.save(temporary / "labels.npy", np.concatenate(labels))
