"""An integer range coder: 64 bits of state, words of 32 bits, frequencies that sum to 2^24.

A symbol is given by the numbers below it and its own, `start` and `frequency` of 2^24. The words are those of the range
coder of constriction (Bamler, arXiv 2201.01741; `stream.queue`) for the same frequencies: after Martin (1979), with
carries settled once it is known whether there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

PRECISION = 24
"""Frequencies are out of 2^24."""
_WORD, _STATE = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF


class Encoder:
    """Collects `words`; `low` and `range` are the state of 64 bits.

    `held` are words whose last bits a carry may still change: their number, and the first of them.
    """

    def __init__(self) -> None:
        self.words: list[int] = []
        self.low, self.range = 0, _STATE
        self.held, self.first = 0, 0

    @property
    def bits(self) -> int:
        """Bits of the words so far, without the few in the state."""
        return 32 * (len(self.words) + self.held)

    def encode(self, start: int, frequency: int) -> None:
        """Encode a symbol."""
        scale = self.range >> PRECISION
        low = self.low + scale * start
        carried, low, width = low > _STATE, low & _STATE, scale * frequency
        if self.held and (carried or low + width <= _STATE):
            self._settle(carried)
        if width <= _WORD:
            word, low, width = low >> 32, low << 32 & _STATE, width << 32
            if self.held:
                self.held += 1
            elif low + width > _STATE:  # the next symbol decides whether this word is incremented
                self.held, self.first = 1, word
            else:
                self.words.append(word)
        self.low, self.range = low, width

    def finish(self) -> list[int]:
        """All words; nothing more can be encoded."""
        if self.range == _STATE:
            return self.words
        point = self.low + _WORD
        if self.held:
            self._settle(point > _STATE)
        word = (point & _STATE) >> 32
        self.words.append(word)
        if (self.low + self.range & _STATE) >> 32 == word:
            self.words.append(0)
        return self.words

    def _settle(self, carried: bool) -> None:
        self.words.append(self.first + carried & _WORD)
        self.words += [0 if carried else _WORD] * (self.held - 1)
        self.held = 0


class Decoder:
    """Reads `words`, `next` of them so far, and zeros after the last one."""

    def __init__(self, words: Sequence[int]) -> None:
        self.words, self.next = words, 0
        self.low, self.range, self.point = 0, _STATE, 0
        for _ in range(2):
            self._read()

    @property
    def beyond(self) -> bool:
        """Whether more words were read than `finish` leaves to zeros: the symbols do not match the words."""
        return self.next > len(self.words) + 2

    def quantile(self) -> int:
        """Which of the 2^24 numbers is coded: it belongs to the next symbol; 2^24 or more for damaged words."""
        return (self.point - self.low & _STATE) // (self.range >> PRECISION)

    def take(self, start: int, frequency: int) -> None:
        """Move past the symbol that contains the quantile."""
        scale = self.range >> PRECISION
        self.low = self.low + scale * start & _STATE
        self.range = scale * frequency
        if self.range <= _WORD:
            self.low, self.range = self.low << 32 & _STATE, self.range << 32
            self._read()

    def _read(self) -> None:
        word = self.words[self.next] if self.next < len(self.words) else 0
        self.next += 1
        self.point = self.point << 32 & _STATE | word
