"""Several symbols as one of the range coder's.

A symbol takes a part of the interval that those before have left of 2^24; once this is narrow it is encoded, and a new
one begins. The range coder loses up to 2^-8 of a nat with each symbol, which near-certain ones, of which some data have
hundreds in one bit, do not have to pay alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from pixkit.codec.rangecoder import PRECISION, Decoder, Encoder
from pixkit.errors import DataError

WHOLE = 1 << PRECISION
NARROW = 1 << 20
"""Intervals that are as wide are split again."""


class Packer(Encoder):
    """Takes in digits: `start` and `width` are the interval of those that are not encoded yet."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.width = 0, WHOLE

    def put(self, below: Sequence[int], digit: int) -> None:
        """Take in one of the digits 0..n-1, of which so much weight is below each, [n + 1], in all less than 2^39."""
        low = edge(below, self.width, digit)
        self.width = edge(below, self.width, digit + 1) - low
        self.start += low
        if self.width < NARROW:
            self._flush()

    def finish(self) -> list[int]:
        """All words; nothing can be taken in any more."""
        if self.width < WHOLE:
            self._flush()
        return super().finish()

    def _flush(self) -> None:
        self.encode(self.start, self.width)
        self.start, self.width = 0, WHOLE


class Unpacker(Decoder):
    """Gives digits back. `wanted` is which of the 2^24 numbers is meant, or -1 if that is not known yet."""

    def __init__(self, words: Sequence[int]) -> None:
        super().__init__(words)
        self.start, self.width, self.wanted = 0, WHOLE, -1

    def get(self, below: Sequence[int]) -> int:
        """The next digit, given what `put` was given.

        Raises:
            DataError: if the words are not what `put` can have made.
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
    """Where a digit's part of an interval begins: each has one number at least, and of the others in proportion."""
    count = len(below) - 1
    return digit + below[digit] * (width - count) // below[count]


def damaged() -> DataError:
    """What words that nothing can have written are."""
    return DataError("a damaged stream")
