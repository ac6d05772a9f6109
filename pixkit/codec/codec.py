"""Images to bytes and back, losslessly, with a program and one of its two executors."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import torch

from pixkit.codec.ahead import ahead
from pixkit.codec.arithmetic import ARITHMETIC, WrongArithmetic
from pixkit.codec.coder import CPU, Coder, quickest
from pixkit.codec.container import Block, Reader, Writer
from pixkit.codec.frozen import Array, Frozen
from pixkit.codec.names import told
from pixkit.codec.packing import damaged
from pixkit.codec.part import Part, checked_images, checked_labels, joined
from pixkit.codec.sound import check
from pixkit.codec.tiles import Tiles, assembled
from pixkit.codec.walk import Walk
from pixkit.errors import DataError
from pixkit.memory import check_fits

Progress = Callable[[int, int], None]
"""Called as progress(done, total), in images; raises to stop. The total is 0 if unknown."""


class Codec:
    """Encodes and decodes the images of one model.

    Attributes:
        program: the program to run.
        content: the bytes of its codec file, which decoding needs.
        sha: their SHA-256, in hexadecimal.
        walk: the class that runs the program.
        threads: how many blocks are decoded at a time; by default torch's number of threads.
        coder: encodes and decodes its blocks.

    Raises:
        WrongArithmetic: if this machine's arithmetic differs from that of others.
    """

    def __init__(
        self,
        program: Frozen,
        content: bytes | None = None,
        walk: type[Walk] | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        self.program = program
        self.content = program.to_bytes() if content is None else content
        self.sha = hashlib.sha256(self.content).hexdigest()
        self.walk = walk or quickest()
        self.threads = torch.get_num_threads() if threads is None else threads
        self.coder = Coder(program, self.walk, self.threads)

    @classmethod
    def from_bytes(cls, content: bytes, where: str = "a codec file", walk: type[Walk] | None = None) -> Codec:
        """The codec of a codec file's bytes.

        Raises:
            DataError: if they are not a codec file.
        """
        program = Frozen.from_bytes(content, where)
        check(program, where)
        return cls(program, content, walk)

    def encode(
        self,
        images: Array | Sequence[Array],
        names: Sequence[str] = (),
        progress: Progress | None = None,
        *,
        labels: Array | None = None,
        tiles: bool = False,
        verify: bool = True,
    ) -> bytes:
        """Return a compressed file of images, integers [N, C, H, W]; see `write`."""
        file = io.BytesIO()
        self.write(file, images, names, progress, labels=labels, tiles=tiles, verify=verify)
        return file.getvalue()

    def decode(
        self, data: bytes, progress: Progress | None = None, *, images: range | None = None
    ) -> Array | list[Array]:
        """Return the images of a compressed file, or some of them, int64 [N, C, H, W]; see `read`.

        If their sizes differ, the result is a list of [C, H, W].
        """
        return joined(self.program, self.read(Reader(io.BytesIO(data)), images, progress))[0]

    def write(
        self,
        file: BinaryIO,
        images: Array | Sequence[Array],
        names: Sequence[str] = (),
        progress: Progress | None = None,
        *,
        labels: Array | None = None,
        tiles: bool = False,
        verify: bool = True,
    ) -> None:
        """Write a compressed file of images, block by block.

        Args:
            file: the file to write to.
            images: integers 0..K-1, [N, C, H, W]; with `tiles`, of any size, or a sequence of [C, H, W] of several
                sizes.
            names: names of all images, or none.
            progress: told how many images are done; how many tiles, with `tiles`.
            labels: integers [N], if the model's images have labels.
            tiles: cut images into tiles of the model's size; see `pixkit.codec.tiles` for the cost.
            verify: decode each block and compare it; with `tiles` also whole images, reassembled.

        Raises:
            DataError: if they are not such images or labels; or, with `verify`, if decoding gives something else.
        """
        cut = Tiles([*map(np.asarray, images)], self.program) if tiles else None
        coded = checked_images(self.program, np.asarray(images)) if cut is None else cut
        count = len(coded) if cut is None else len(cut.images)
        labels = checked_labels(self.program, labels, count)
        told(names)  # refuse before coding what cannot be written
        if names and len(names) != count:
            raise DataError("names do not fit the images", found=f"{len(names)} names", expected=f"{count}, or none")
        if cut is not None and labels is not None:
            labels = labels.repeat(cut.each)
        writer = Writer(file, self.coder.head(self.sha, () if cut is None else tuple(cut.tiling.sizes)))
        parts = _written(writer, self.blocks(coded, labels, verify), len(coded), progress)
        if cut is None or not verify:
            deque(parts, 0)
        else:
            cut.compare(parts)
        writer.end(names)

    def blocks(self, images: Array | Tiles, labels: Array | None, verify: bool) -> Iterator[tuple[Block, Part | None]]:
        """The blocks of a file, in order, each with its decoded content if `verify`.

        `write` compares tiles that come with a block. A subclass may override this method, for example to code blocks
        elsewhere; for the same bytes, each has to be `coder.block` from the first image that those before do not have.
        Where it decodes blocks itself, it gives None, and compares the images.

        Raises:
            DataError: with `verify`, if decoding gives something else.
        """
        coded = self._in_turn(images, labels)
        return ahead(self.coder.verified, coded, self.threads) if verify else ((block, None) for block in coded)

    def read(self, reader: Reader, images: range | None = None, progress: Progress | None = None) -> Iterator[Part]:
        """Read a compressed file, block by block.

        Args:
            reader: the reader of the file.
            images: the range of images; only blocks with some of these are decoded. By default all.
            progress: told how many are done; if all images are read, `total` is 0, since it is not known before the
                end.

        Raises:
            DataError: if the file is another model's, or damaged.
            WrongArithmetic: if it was written with another arithmetic.
        """
        head, program, tiling = reader.head, self.program, reader.head.tiling
        about = program.shape, program.levels, program.labels
        if head.codec != bytes.fromhex(self.sha)[:16] or (head.shape, head.levels, head.labels) != about:
            raise DataError(
                "written by another model",
                found=f"codec {head.codec.hex()}",
                expected=f"codec {self.sha[:32]}",
                hint="name its codec file; if this is the one, get another copy: it is damaged",
            )
        require_number(head.arithmetic)
        if tiling is None:
            yield from self._parts(reader, images, progress)
            return
        if any(self.coder.too_many(count, head.together) for count in reader.scan()):
            raise damaged()
        wanted = range(tiling.images)[slice(None) if images is None else slice(images.start, images.stop)]
        sizes = tiling.within(wanted)
        largest = max((size.height * size.width for size in sizes), default=0)
        check_fits(8 * program.shape[0] * largest, CPU, "the largest image", hint="use a machine with more memory")
        tiles = range(tiling.before(wanted.start), tiling.before(wanted.stop))
        yield from assembled(self._parts(reader, tiles, progress), tiling, wanted)

    def _parts(self, reader: Reader, images: range | None, progress: Progress | None) -> Iterator[Part]:
        """The contents of blocks, or the wanted part: images, or tiles."""
        done, together = 0, reader.head.together
        for found in ahead(lambda block: self.coder.decoded(block, together), reader.blocks(images), self.threads):
            part = found if images is None else found.within(images)
            done += len(part.images)
            yield part
            if progress is not None:
                progress(done, 0 if images is None else len(images))

    def _in_turn(self, images: Array | Tiles, labels: Array | None) -> Iterator[Block]:
        done = 0
        while done < len(images):
            yield (block := self.coder.block(images, labels, done))
            done += block.images


def require_number(arithmetic: int, where: str = "a compressed file") -> None:
    """Raise WrongArithmetic unless this is the current arithmetic."""
    if arithmetic != ARITHMETIC:
        raise WrongArithmetic(
            "written with another arithmetic", where=where, found=str(arithmetic), expected=str(ARITHMETIC)
        )


def _written(
    writer: Writer, blocks: Iterator[tuple[Block, Part | None]], total: int, progress: Progress | None
) -> Iterator[Part]:
    """Write blocks; yield the decoded content of each, if there is one."""
    for block, part in blocks:
        writer.write(block.images, block.words, block.checksum)
        if progress is not None:
            progress(block.first + block.images, total)
        if part is not None:
            yield part
