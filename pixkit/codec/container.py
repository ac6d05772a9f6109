"""The file format: a header, independently readable blocks, an end. A checksum covers every byte.

    head    magic, version, number of the arithmetic, the codec's name (16 bytes), C, H, W, K, images in lockstep, how
            many labels there are; of tiles, which version 2 is of, the images' sizes; CRC
    block   images, words; CRC of these and of what follows, and of the head and the number of images before; CRC of the
            images' levels and labels; the words, 32 bits each
    end     0, images in all, bytes of names; CRC of these and of the names, and of all CRCs before; the names, as
            names.py has them, by zlib

A block's words belong only to its images: a reader of some images skips other blocks. Numbers have 7 bits per byte, the
lowest first; CRCs (zlib's CRC-32) and words have four bytes, the lowest first.
"""

from __future__ import annotations

import io
import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from pixkit.codec.frozen import Array
from pixkit.codec.names import MOST_NAMES, out_of_runs, told
from pixkit.codec.tiles import MOST_SIZES, MOST_TILES, Size, Tiling
from pixkit.errors import DataError, reason

MAGIC = b"\x89PXK"
VERSION, TILED = 1, 2
"""A file of tiles differs from one of images only by one more number and what it announces."""
MOST_WORDS = 1 << 28
"""The largest number of words in a block, a gigabyte."""
PIECE = 1 << 20
"""Bytes read at a time."""
MOST_TOGETHER = 1 << 12
"""The most images in lockstep: their memory is allocated together."""


@dataclass(frozen=True)
class Head:
    """The header of the file.

    Attributes:
        codec: the first 16 bytes of the codec file's SHA-256.
        shape: C, H, W.
        levels: K.
        together: the number of images coded in lockstep.
        arithmetic: its number.
        labels: the number of labels; 0: images have none.
        sizes: the sizes of the images whose tiles are this file's "images"; empty if they are not tiles.
    """

    codec: bytes
    shape: tuple[int, int, int]
    levels: int
    together: int
    arithmetic: int
    labels: int = 0
    sizes: tuple[Size, ...] = ()

    @property
    def tiling(self) -> Tiling | None:
        """How images are tiled, if they are."""
        return Tiling(self.sizes, self.shape) if self.sizes else None

    def to_bytes(self) -> bytes:
        """The bytes in the file."""
        numbers = b"".join(map(_number, (*self.shape, self.levels, self.together, self.labels)))
        if self.sizes:
            numbers += b"".join(map(_number, (len(self.sizes), *itertools.chain(*self.sizes))))
        head = MAGIC + bytes([TILED if self.sizes else VERSION, self.arithmetic]) + self.codec + numbers
        return head + _crc(head)


@dataclass(frozen=True)
class Block:
    """Images coded into one stream of words.

    Attributes:
        first: the number of earlier images.
        images: their number.
        words: uint32.
        checksum: over their levels and labels, see `checksum_of`.
    """

    first: int
    images: int
    words: Array
    checksum: bytes


class Writer:
    """Writes header, blocks and end to a file, in order."""

    def __init__(self, file: BinaryIO, head: Head) -> None:
        self._file, self._images = file, 0
        text = head.to_bytes()
        self._seal = self._all = text[-4:]
        file.write(text)

    def write(self, images: int, words: Sequence[int] | Array, checksum: bytes) -> None:
        """Write a block."""
        content = np.asarray(words, "<u4").tobytes()
        start = _number(images) + _number(len(words))
        whole = _crc(self._seal + _number(self._images) + start + checksum + content)
        self._file.write(start + whole + checksum + content)
        self._all = _crc(self._all + whole)
        self._images += images

    def end(self, names: Sequence[str] = ()) -> None:
        """Write the end; `names` are for all images, or empty."""
        text = zlib.compress(told(names), 9) if names else b""
        start = _number(0) + _number(self._images) + _number(len(text))
        self._file.write(start + _crc(self._all + start + text) + text)


class Reader:
    """Reads a file, block by block.

    Raises:
        DataError: here and in each method, if the file is damaged, truncated, or of another kind.
    """

    def __init__(self, file: BinaryIO, where: str = "a compressed file") -> None:
        self._file, self._where, self._images = file, where, 0
        self.names: list[str] = []
        start = self._read(len(MAGIC) + 2)
        if start[:4] != MAGIC:
            raise self._damaged("this is not a compressed file of pixkit's", "another beginning")
        if start[4] not in (VERSION, TILED):
            expected = f"{VERSION} or {TILED}"
            raise DataError("a file of a newer version", where=where, found=f"{start[4]}", expected=expected)
        codec = self._read(16)
        numbers = [self._number() for _ in range(6)]
        many = self._number(MOST_SIZES) if start[4] == TILED else 0
        sizes = tuple(Size(*(self._number() for _ in range(3))) for _ in range(many))
        shape = numbers[0], numbers[1], numbers[2]
        self.head = Head(codec, shape, numbers[3], numbers[4], start[5], numbers[5], sizes)
        text = self.head.to_bytes()
        self._seal = self._all = self._read(4)
        if self._seal != text[-4:] or min(numbers[:5]) < 1 or numbers[4] > MOST_TOGETHER:
            raise self._damaged("damaged", "another checksum of its head")
        self._tiling = self.head.tiling
        if self._tiling is not None and not self._tiling.fits:
            raise self._damaged("damaged", "impossible image sizes")

    def scan(self) -> Sequence[int]:
        """The number of images, or tiles, in each block of a seekable file; sets `names`.

        Nothing is decoded; a block's own checksum is verified when it is read.
        """
        start, seal = self._file.tell(), self._all
        sizes: list[int] = []
        for _ in self.blocks(range(0), sizes.append):
            pass
        self._file.seek(start)
        self._images, self._all = 0, seal
        return sizes

    def blocks(self, wanted: range | None = None, seen: Callable[[int], None] | None = None) -> Iterator[Block]:
        """All blocks, or those with images in `wanted`; at the end, `names` is set.

        Args:
            wanted: range of images; other blocks are skipped, if the file is seekable.
            seen: told the number of images in each block.
        """
        while images := self._number():
            count = self._number(MOST_WORDS)
            checksums = self._read(8)
            if seen is not None:
                seen(images)
            if wanted is not None and (self._images >= wanted.stop or self._images + images <= wanted.start):
                self._all = _crc(self._all + checksums[:4])
                self._file.seek(4 * count, io.SEEK_CUR)
                self._images += images
                continue
            content = self._read(4 * count)
            start = _number(images) + _number(count)
            if checksums[:4] != _crc(self._seal + _number(self._images) + start + checksums[4:] + content):
                raise self._damaged("damaged", f"another checksum of the block from image {self._images} on")
            self._all = _crc(self._all + checksums[:4])
            yield Block(self._images, images, np.frombuffer(content, "<u4"), checksums[4:])
            self._images += images
        total, length = self._number(), self._number(MOST_NAMES)
        checksum, text = self._read(4), self._read(length)
        if checksum != _crc(self._all + _number(0) + _number(total) + _number(length) + text) or total != self._images:
            raise self._damaged("damaged", "another checksum of its end")
        if self._tiling is not None and total != self._tiling.tiles:
            raise self._damaged("damaged", f"{total} tiles of images that have {self._tiling.tiles}")
        if self._file.read(1):
            raise self._damaged("damaged", "bytes after its end")
        self.names = self._names(text) if text else []

    def _names(self, text: bytes) -> list[str]:
        unpacker, images = zlib.decompressobj(), self._images if self._tiling is None else self._tiling.images
        try:
            names = out_of_runs(json.loads(unpacker.decompress(text, MOST_NAMES)), images)
            whole = unpacker.eof and not unpacker.unused_data
        except (zlib.error, ValueError, RecursionError):
            names, whole = None, False
        if not whole or names is None:
            raise self._damaged("damaged", "invalid names, or not as many as images")
        return names

    def _number(self, most: int = MOST_TILES) -> int:
        value, shift = 0, 0
        while True:
            (byte,) = self._read(1)
            value |= (byte & 127) << shift
            shift += 7
            if value > most or shift > 42 or (byte == 0 and shift > 7):
                raise self._damaged("damaged", "an impossible number")
            if byte < 128:
                return value

    def _read(self, count: int) -> bytes:
        """Read in pieces: there might not be enough memory for all, and the file might be shorter."""
        pieces = []
        try:
            while count and (piece := self._file.read(min(count, PIECE))):
                pieces.append(piece)
                count -= len(piece)
        except OSError as error:
            raise DataError("cannot be read", where=self._where, found=reason(error)) from error
        if count:
            raise self._damaged("cut short", "the end of the file, where more was expected")
        return b"".join(pieces)

    def _damaged(self, what: str, found: str) -> DataError:
        return DataError(what, where=self._where, found=found, hint="get another copy of the file")


def checksum_of(levels: Array, labels: Array | None = None) -> bytes:
    """CRC of images [N, C, H, W]: levels in that order, two bytes each, and labels, [N], four bytes each."""
    text = np.ascontiguousarray(levels, "<u2").tobytes()
    return _crc(text if labels is None else text + np.ascontiguousarray(labels, "<u4").tobytes())


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _number(value: int) -> bytes:
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
