"""Getting back images that `compress` wrote, all or some of them, on any machine."""

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
    """What `contents` tells of a compressed file.

    Attributes:
        images: how many there are.
        spec: of the images, or of their tiles.
        sizes: of images that have tiles; empty if they have none.
        names: what they are called; empty if they have no names.
        size: the file's bytes.
        blocks: how many images, or tiles, each block has, which are decoded together.
        labels: how many labels there are; 0 if images have none.
        arithmetic: the number of the arithmetic that it was written with.
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
        """As plain data; `sizes` are [how many images, height, width], one after the other."""
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
    """What `decompress` gives.

    Attributes:
        images: int64 [N, C, H, W], a list of [C, H, W] if they have several sizes; None if they were written to files.
        count: how many they are.
        first: the number of the first of them in the compressed file.
        names: what they were called; empty if they had no names.
        labels: int64 [N]; None if they have none, or were written to files.
        spec: of the images; of their tiles, if they have several sizes.
        codec: the codec file that they were decoded with.
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
            raise UsageError("images that are in files", hint="decompress without `out`")
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
    """What is in a file that `compress` wrote, as far as that is told without decoding it.

    Raises:
        DataError: if it is cut short, or something else.
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
    """The images of a file that `compress` wrote, or some of them.

        pixkit.decompress("digits.pxk", run="runs/mnist", images=slice(100, 164)).images

    Only the blocks that have them are decoded, a block at a time; with `out` no more than a block is in memory.

    Args:
        file: the compressed file.
        out: where to write them: a folder, or a .npz; nowhere if left out.
        images: which of them, in the order of the file; all if left out.
        run: the run that has the codec file.
        codec: the codec file. Of neither, the folder of the compressed file is looked into.
        progress: called as progress(done, total), in images, or in tiles.

    Raises:
        UsageError: if there are no such images, or they have several sizes, which `out`, a .npz, cannot hold.
        DataError: if the file is damaged, cut short, or another model's, or if the codec file is damaged or not there.
        WrongArithmetic: if this machine does not compute what the file was written with.
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
    """Which images a slice means."""
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
    """How many images there are."""
    return sum(blocks) if head.tiling is None else head.tiling.images


def _spec(head: Head, wanted: range) -> tuple[ImageSpec, bool]:
    """Of images, or of their tiles if they have several sizes; and whether they have."""
    spec, tiling = ImageSpec(*head.shape, head.levels), head.tiling
    sizes = [] if tiling is None else [*{size[1:] for size in tiling.within(wanted)}]
    return (spec.of_size(*sizes[0]) if len(sizes) == 1 else spec), len(sizes) > 1


def _require_folder(out: str | Path) -> None:
    """Raise UsageError of an archive, which has one array of images."""
    if Path(out).suffix.lower() == ".npz":
        raise UsageError(
            "images of several sizes, which are no array",
            where="out",
            found=str(out),
            expected="a folder, for pictures",
            hint="name one, or take images of one size: images=slice(...)",
        )


def _content(path: Path, expected: str) -> bytes:
    """What is in a codec file, of which nothing is believed unless it is the one that is meant."""
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
