"""Combine several symbols into one of the range coder's.

A symbol takes a part of the interval that earlier ones have left of 2^24; once this is narrow it is encoded, and a new
one begins. The range coder loses up to 2^-8 of a nat with each symbol; near-certain symbols, of which some data have
hundreds in one bit, should not each pay that.
"""

from __future__ import annotations

from collections.abc import Sequence

from pixkit.codec.rangecoder import PRECISION, Decoder, Encoder
from pixkit.errors import DataError

WHOLE = 1 << PRECISION
NARROW = 1 << 20
"""Intervals at least this wide are split further."""


class Packer(Encoder):
    """Encodes digits: `start` and `width` are the interval of those not encoded yet."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.width = 0, WHOLE

    def put(self, below: Sequence[int], digit: int) -> None:
        """Encode one of the digits 0..n-1, given the weight below each, [n + 1], in total less than 2^39."""
        low = edge(below, self.width, digit)
        self.width = edge(below, self.width, digit + 1) - low
        self.start += low
        if self.width < NARROW:
            self._flush()

    def finish(self) -> list[int]:
        """All words; nothing more can be encoded."""
        if self.width < WHOLE:
            self._flush()
        return super().finish()

    def _flush(self) -> None:
        self.encode(self.start, self.width)
        self.start, self.width = 0, WHOLE


class Unpacker(Decoder):
    """Decodes digits. `wanted` is which of the 2^24 numbers is coded, or -1 if not known yet."""

    def __init__(self, words: Sequence[int]) -> None:
        super().__init__(words)
        self.start, self.width, self.wanted = 0, WHOLE, -1

    def get(self, below: Sequence[int]) -> int:
        """The next digit, given the same weights as `put`.

        Raises:
            DataError: if `put` cannot have made these words.
        """
        if self.wanted < 0:
            self.wanted = self.quantile()
        if self.wanted >= WHOLE:
            raise damaged()
        digit, end = 0, len(below) - 1
        while end - digit > 1:
            middle = (digit + end) // 2
            if self.start + edge(below, self.width, middle) <= self.wanted:
                digit = middle
            else:
                end = middle
        low = edge(below, self.width, digit)
        self.width = edge(below, self.width, digit + 1) - low
        self.start += low
        if self.width < NARROW:
            self.take(self.start, self.width)
            self.start, self.width, self.wanted = 0, WHOLE, -1
        return digit


def edge(below: Sequence[int], width: int, digit: int) -> int:
    """Where a digit's part of an interval begins: each has one number, and a proportional share of the rest."""
    count = len(below) - 1
    return digit + below[digit] * (width - count) // below[count]


def damaged() -> DataError:
    """The error for words that no encoder can have written."""
    return DataError("a damaged stream")
