"""Restore images that `compress` wrote, all or some of them, on any machine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixkit.codec.codec import Codec
from pixkit.codec.container import Head, Reader
from pixkit.codec.part import joined
from pixkit.codec.tiles import Size
from pixkit.errors import DataError, UsageError
from pixkit.files import is_there, open_regular
from pixkit.image import ImageSpec, Shown
from pixkit.runs.run import Run
from pixkit.runs.runfile import RunFile
from pixkit.tasks.compress import MOST, codec_home, name_of
from pixkit.tasks.unpacked import require_target, unpacked

NAME = "name the run that has it with --run, or the file with --codec"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, repr=False)
class Contents(Shown):
    """The result of `contents`.

    Attributes:
        images: their number.
        spec: the spec of the images, or of their tiles.
        sizes: sizes of images that have tiles; empty if they have none.
        names: their names; empty if they have none.
        size: the file's size in bytes.
        blocks: the number of images, or tiles, in each block, which are decoded together.
        labels: the number of labels; 0 if images have none.
        arithmetic: the number of the arithmetic with which it was written.
        codec: the name of the codec file that it needs.
    """

    images: int
    spec: ImageSpec
    sizes: list[Size]
    names: list[str]
    size: int
    blocks: list[int]
    labels: int
    arithmetic: int
    codec: str

    @property
    def dims(self) -> int:
        """Sub-pixels of all images."""
        if not self.sizes:
            return self.images * self.spec.dims
        return self.spec.channels * sum(math.prod(size) for size in self.sizes)

    def dump(self) -> dict[str, Any]:
        """As plain data; `sizes` are [number of images, height, width], one after the other."""
        facts = {"images": self.images, "shape": list(self.spec.shape), "levels": self.spec.levels, "bytes": self.size}
        rest = {"labels": self.labels, "arithmetic": self.arithmetic, "codec": self.codec, "names": self.names}
        tiled = {"sizes": [list(size) for size in self.sizes], "tiles": sum(self.blocks)} if self.sizes else {}
        return {
            **facts,
            **tiled,
            "bits_per_dim": 8 * self.size / max(self.dims, 1),
            "blocks": self.blocks,
            **rest,
        }


@dataclass(frozen=True, repr=False)
class Decompressed(Shown):
    """The result of `decompress`.

    Attributes:
        images: int64 [N, C, H, W], or a list of [C, H, W] if sizes differ; None if they were written to files.
        count: their number.
        first: the number of the first of them in the compressed file.
        names: their names; empty if they have none.
        labels: int64 [N]; None if there are none, or if they were written to files.
        spec: the spec of the images, or of their tiles if sizes differ.
        codec: the codec file with which they were decoded.
    """

    images: Tensor | list[Tensor] | None
    count: int
    first: int
    names: list[str]
    labels: Tensor | None
    spec: ImageSpec
    codec: Path

    def save(self, path: str | Path) -> Path:
        """Write a .npz with their levels in the array `samples`, or a folder of pictures 00000.png and so on."""
        if self.images is None:
            raise UsageError("the images were written to files already", hint="decompress without `out`")
        if not isinstance(self.images, Tensor):
            _require_folder(path)
        batches = [self.images] if isinstance(self.images, Tensor) else [image[None] for image in self.images]
        labels = None if self.labels is None else self.labels.numpy()
        done = 0
        with unpacked(path, self.spec, self.count) as write:
            for x in batches:
                write(self.first + done, x.numpy(), None if labels is None else labels[done : done + len(x)])
                done += len(x)
        return Path(path)


def contents(file: str | Path) -> Contents:
    """Describe a file that `compress` wrote, as far as possible without decoding it.

    Raises:
        DataError: if it is truncated, or a different kind of file.
    """
    with _opened(file) as reader:
        blocks, head = [*reader.scan()], reader.head
        size = Path(file).stat().st_size
        return Contents(
            _count(head, blocks),
            ImageSpec(*head.shape, head.levels),
            [*head.sizes],
            reader.names,
            size,
            blocks,
            head.labels,
            head.arithmetic,
            name_of(head.codec.hex()),
        )


def decompress(
    file: str | Path,
    out: str | Path | None = None,
    *,
    images: slice | None = None,
    run: Run | str | Path | None = None,
    codec: str | Path | None = None,
    progress: Progress | None = None,
) -> Decompressed:
    """Restore the images, or some of them, from a file that `compress` wrote.

        pixkit.decompress("digits.pxk", run="runs/mnist", images=slice(100, 164)).images

    Only the blocks with these images are decoded, one at a time; with `out`, at most one block is in memory.

    Args:
        file: the compressed file.
        out: where to write them: a folder or a .npz; by default nowhere.
        images: the range of images, in the order of the file; by default all.
        run: the run with the codec file.
        codec: the codec file. Without either, it is looked for in the folder of the compressed file.
        progress: called as progress(done, total), in images, or in tiles.

    Raises:
        UsageError: if there are no such images, or their sizes differ and `out` is a .npz, which cannot hold them.
        DataError: if the file is damaged, truncated, or another model's, or if the codec file is damaged or missing.
        WrongArithmetic: if this machine's arithmetic does not match that of the file.
        RunError: if something cannot be written.
    """
    if out is not None:
        require_target(out)
    with _opened(file) as reader:
        path = _codec_file(reader.head.codec.hex(), Path(file), run, codec)
        decoder = Codec.from_bytes(_content(path, reader.head.codec.hex()), str(path))
        wanted = _range(images, _count(reader.head, reader.scan()))
        (spec, several), names = _spec(reader.head, wanted), reader.names[wanted.start : wanted.stop]
        parts = decoder.read(reader, wanted, progress)
        if out is None:
            x, y = joined(decoder.program, parts)
            own = [*map(torch.from_numpy, x)] if isinstance(x, list) else torch.from_numpy(x)
            labels = None if y is None else torch.from_numpy(y)
            return Decompressed(own, len(wanted), wanted.start, names, labels, spec, path)
        if several:
            _require_folder(out)
        with unpacked(out, spec, len(wanted)) as write:
            for part in parts:
                write(*part)
        return Decompressed(None, len(wanted), wanted.start, names, None, spec, path)


def _range(images: slice | None, total: int) -> range:
    """The images that a slice selects."""
    wanted = range(total)[images or slice(None)]
    if wanted.step != 1 or (images is not None and not wanted):
        asked = images if images is not None else slice(None)
        raise UsageError(
            "no such images",
            where="images",
            found=":".join("" if each is None else str(each) for each in (asked.start, asked.stop)),
            expected=f"a part of 0:{total}",
        )
    return wanted


@contextmanager
def _opened(file: str | Path) -> Iterator[Reader]:
    try:
        with open_regular(Path(file)) as opened:
            yield Reader(opened, str(file))
    except OSError as error:
        raise DataError("cannot be read", where=str(file), found=error.strerror) from error


def _count(head: Head, blocks: Sequence[int]) -> int:
    """The number of images."""
    return sum(blocks) if head.tiling is None else head.tiling.images


def _spec(head: Head, wanted: range) -> tuple[ImageSpec, bool]:
    """The spec of images, or of their tiles if sizes differ; and whether they do."""
    spec, tiling = ImageSpec(*head.shape, head.levels), head.tiling
    sizes = [] if tiling is None else [*{size[1:] for size in tiling.within(wanted)}]
    return (spec.of_size(*sizes[0]) if len(sizes) == 1 else spec), len(sizes) > 1


def _require_folder(out: str | Path) -> None:
    """Raise UsageError for an archive, which has one array of images."""
    if Path(out).suffix.lower() == ".npz":
        raise UsageError(
            "images of several sizes do not fit into an array",
            where="out",
            found=str(out),
            expected="a folder, for pictures",
            hint="name one, or take images of one size: images=slice(...)",
        )


def _content(path: Path, expected: str) -> bytes:
    """The content of a codec file, not trusted unless it is the expected one."""
    content = RunFile(path, MOST, error=DataError, hint=NAME).content()
    if not (found := hashlib.sha256(content).hexdigest()).startswith(expected):
        raise DataError(
            "not the codec file that the images were compressed with",
            where=str(path),
            found=name_of(found),
            expected=name_of(expected),
            hint="take another copy, if it has the right name: then it is damaged",
        )
    return content


def _codec_file(name: str, source: Path, run: Run | str | Path | None, codec: str | Path | None) -> Path:
    if codec is not None:
        return Path(codec)
    folder = source.parent if run is None else codec_home(run if isinstance(run, Run) else Run.open(run), source)
    path = folder / name_of(name)
    if not is_there(path):
        raise DataError(
            "written by another model" if run is not None else "which codec file?",
            where=str(source),
            found=f"none of the name {path.name} in {folder}",
            hint=NAME,
        )
    return path
