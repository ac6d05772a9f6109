"""JPEG XL: size, orientation and depth from its header, pixels by imagecodecs.

ISO/IEC 18181-1, annex D: a codestream, either bare or within one or several boxes, begins with its size and metadata,
bit by bit, the lowest first. None of its Python decoders returns the size before decoding.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from pixkit.data.depth import Stored, Unread

STREAM = b"\xff\x0a"
BOXES = b"\0\0\0\x0cJXL \r\n\x87\n"
HEADER = 256
"""The most bytes of a codestream that its size and metadata take."""
MOST_BOXES = 1000
RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
LENGTHS = ((1, 9), (1, 13), (1, 18), (1, 30))
"""For a height or width: the number to add to how many bits, by the two bits before them."""
TURNED = (5, 6, 7, 8)


@dataclass(frozen=True)
class Header:
    """A picture's properties before its pixels; height and width are those of the upright picture."""

    height: int
    width: int
    bits: int
    floats: bool
    animated: bool


def is_jpegxl(head: bytes) -> bool:
    """Whether a file that begins like this is JPEG XL."""
    return head.startswith((STREAM, BOXES))


def header(file: BinaryIO) -> Header:
    """Parse the header of a file, from its beginning.

    Raises:
        ValueError: if it is damaged.
    """
    bits = _Bits(_codestream(file))
    height, width = _size(bits)
    if bits.take(1):
        return Header(height, width, 8, False, False)
    orientation, animated = 1, False
    if bits.take(1):
        orientation = 1 + bits.take(3)
        if bits.take(1):
            _size(bits)
        if bits.take(1):
            _preview(bits)
        if animated := bool(bits.take(1)):
            for widths in ((0, 0, 10, 30), (0, 0, 8, 10), (0, 3, 16, 32)):
                bits.skip(*widths)
            bits.take(1)
    floats = bool(bits.take(1))
    depth = bits.choose((32, 0), (16, 0), (24, 0), (1, 6)) if floats else bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    if orientation in TURNED:
        height, width = width, height
    return Header(height, width, depth, floats, animated)


def decoded(file: BinaryIO, found: Header) -> tuple[Stored, bool]:
    """The first frame, upright, and whether it has no colours.

    Raises:
        Unread: if imagecodecs is not installed, or values are not whole numbers of up to 16 bits.
        ValueError: if the file is damaged.
    """
    if found.floats or found.bits > 16:
        raise Unread(f"JPEG XL of {found.bits} bits{', floats' if found.floats else ''}")
    try:
        imagecodecs: Any = importlib.import_module("imagecodecs")
    except ImportError as error:
        raise Unread("JPEG XL", "pip install 'pixkit-models[jxl]' installs imagecodecs to read it") from error
    file.seek(0)
    try:
        pixels = imagecodecs.jpegxl_decode(file.read(), index=0)
    except imagecodecs.JpegxlError as error:
        raise ValueError(str(error)) from error
    values = pixels.astype(np.int64).reshape(*pixels.shape[:2], -1)
    channels = values.shape[2]
    if pixels.dtype.kind != "u" or values.shape[:2] != (found.height, found.width) or channels > 4:
        raise Unread(f"JPEG XL of {pixels.dtype} {pixels.shape}")
    most = 2**found.bits - 1 if found.bits > 8 else 255
    opacity = values[..., -1] if channels in (2, 4) else None
    return Stored(values if opacity is None else values[..., :-1], most, opacity), channels < 3


class _Bits:
    """Reads numbers of a codestream, bit by bit."""

    def __init__(self, content: bytes) -> None:
        self._value, self._left = int.from_bytes(content, "little"), 8 * len(content)

    def take(self, count: int) -> int:
        """The next `count` bits."""
        if count > self._left:
            raise ValueError("the header is cut short")
        found = self._value & ((1 << count) - 1)
        self._value, self._left = self._value >> count, self._left - count
        return found

    def choose(self, *ways: tuple[int, int]) -> int:
        """A number encoded in one of four ways, selected by two bits: a constant plus some bits."""
        offset, count = ways[self.take(2)]
        return offset + self.take(count)

    def skip(self, *counts: int) -> None:
        """Skip a number encoded in one of four ways; `counts` are their numbers of bits."""
        self.take(counts[self.take(2)])


def _size(bits: _Bits) -> tuple[int, int]:
    """Height and width."""
    small = bits.take(1)

    def length() -> int:
        return 8 * (1 + bits.take(5)) if small else bits.choose(*LENGTHS)

    height, ratio = length(), bits.take(3)
    across, down = RATIOS.get(ratio, (0, 1))
    return height, height * across // down if ratio else length()


def _preview(bits: _Bits) -> None:
    """Skip the size of a preview."""
    widths = (0, 0, 5, 9) if bits.take(1) else (6, 8, 10, 12)  # in eighths, in pixels
    bits.skip(*widths)
    if not bits.take(3):
        bits.skip(*widths)


def _codestream(file: BinaryIO) -> bytes:
    """The beginning of the codestream, without its signature."""
    found = b""
    if (head := file.read(len(BOXES))).startswith(STREAM):
        found = head + file.read(HEADER)
    else:
        for kind, start, size in _boxes(file):
            if kind in (b"jxlc", b"jxlp"):
                file.seek(start + 4 * (kind == b"jxlp"))
                found += file.read(min(size - 4 * (kind == b"jxlp"), HEADER) if size else HEADER)
            if kind == b"jxlc" or len(found) >= HEADER:
                break
    if not found.startswith(STREAM):
        raise ValueError("no codestream of JPEG XL")
    return found[len(STREAM) :]


def _boxes(file: BinaryIO) -> Any:
    """Kind, start and size of the contents of each box; a size of 0 extends to the end."""
    place = len(BOXES)
    for _ in range(MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind, inside = int.from_bytes(head[:4], "big"), head[4:8], place + 8
        if size == 1:
            size, inside = int.from_bytes(head[8:16], "big"), place + 16
        if size and size < inside - place:
            raise ValueError("a box that ends before it begins")
        yield kind, inside, size and size - (inside - place)
        if not size:
            return
        place += size
