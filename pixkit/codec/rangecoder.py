"""A range coder in whole numbers: 64 bits of state, words of 32 bits, frequencies that add up to 2^24.

A symbol is given as the numbers below it and its own, `start` and `frequency` of 2^24. Its words are those of the range
coder of constriction (Bamler, arXiv 2201.01741; `stream.queue`) for the same frequencies: after Martin (1979), with
carries that are settled once it is known whether there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

PRECISION = 24
"""Frequencies are of 2^24."""
_WORD, _STATE = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF


class Encoder:
    """Collects words.

    `_held` are words whose last bits a carry may still change: how many there are, and the first of them.
    """

    def __init__(self) -> None:
        self._words: list[int] = []
        self._low, self._range = 0, _STATE
        self._held, self._first = 0, 0

    @property
    def bits(self) -> int:
        """Of the words so far, but for the few of the state."""
        return 32 * (len(self._words) + self._held)

    def encode(self, start: int, frequency: int) -> None:
        """Take in a symbol."""
        scale = self._range >> PRECISION
        low = self._low + scale * start
        carried, low, width = low > _STATE, low & _STATE, scale * frequency
        if self._held and (carried or low + width <= _STATE):
            self._settle(carried)
        if width <= _WORD:
            word, low, width = low >> 32, low << 32 & _STATE, width << 32
            if self._held:
                self._held += 1
            elif low + width > _STATE:  # the next symbol decides whether this word is one more
                self._held, self._first = 1, word
            else:
                self._words.append(word)
        self._low, self._range = low, width

    def finish(self) -> list[int]:
        """All words; nothing can be encoded any more."""
        if self._range == _STATE:
            return self._words
        point = self._low + _WORD
        if self._held:
            self._settle(point > _STATE)
        word = (point & _STATE) >> 32
        self._words.append(word)
        if (self._low + self._range & _STATE) >> 32 == word:
            self._words.append(0)
        return self._words

    def _settle(self, carried: bool) -> None:
        self._words.append(self._first + carried & _WORD)
        self._words += [0 if carried else _WORD] * (self._held - 1)
        self._held = 0


class Decoder:
    """Reads words; zeros after the last of them."""

    def __init__(self, words: Sequence[int]) -> None:
        self._words, self._next = words, 0
        self._low, self._range, self._point = 0, _STATE, 0
        for _ in range(2):
            self._read()

    @property
    def beyond(self) -> bool:
        """Whether more words were read than `finish` leaves to zeros: the symbols are not those of the words."""
        return self._next > len(self._words) + 2

    def quantile(self) -> int:
        """Which of the 2^24 numbers is meant: the symbol is the one that has it; 2^24 or more of damaged words."""
        self._scale = self._range >> PRECISION
        return (self._point - self._low & _STATE) // self._scale

    def take(self, start: int, frequency: int) -> None:
        """Go on behind the symbol that has the last quantile."""
        self._low = self._low + self._scale * start & _STATE
        self._range = self._scale * frequency
        if self._range <= _WORD:
            self._low, self._range = self._low << 32 & _STATE, self._range << 32
            self._read()

    def _read(self) -> None:
        word = self._words[self._next] if self._next < len(self._words) else 0
        self._next += 1
        self._point = self._point << 32 & _STATE | word
