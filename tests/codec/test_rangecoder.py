"""Whole numbers to words and back: what constriction's range coder writes, and never another symbol than was put in."""

import bisect
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixkit.codec.frequencies import Categorical, weights
from pixkit.codec.packing import NARROW, Packer, Unpacker, edge
from pixkit.codec.rangecoder import Decoder, Encoder

WHOLE = 1 << 24
EDGES = [
    [0, 1, WHOLE],
    [0, WHOLE - 1, WHOLE],
    [0, 1, 2, 3, WHOLE],
    [0, WHOLE // 2, WHOLE],
    [0, 5_592_405, 11_184_810, WHOLE],
]
"""Of distributions, those likely to need a carry or a second word among them."""
WORDS = {
    "one word": ([(0, 1)], [256]),
    "a zero at the end": ([(4, 2), (4, 2), (2, 0), (3, 1), (4, 1), (4, 1)], [3817748615, 0]),
    "held, no carry": ([(2, 2), (4, 0), (2, 0)], [511, 4294967294]),
    "held, a carry": ([(2, 1), (0, 0), (4, 1)], [256, 21844]),
    "two held, no carry": ([(2, 2), (0, 0), (1, 1), (1, 1)], [512, 65532, 4294967295, 65536]),
    "two held, a carry": (
        [(0, 0), (0, 0), (4, 1), (2, 1), (0, 1), (2, 2), (1, 1), (1, 0)],
        [0, 21845, 0, 1431567017],
    ),
    "five held": (
        [(4, 0), (0, 0), *[(1, 1)] * 7, (4, 0)],
        [85, 1426063359, *[4294967295] * 4, 2863333376],
    ),
}
"""Symbols of EDGES, and the words of constriction 0.5.0."""
PAIRS = [(number, symbol) for number, edges in enumerate(EDGES) for symbol in range(len(edges) - 1)]
SYMBOLS = st.lists(st.sampled_from(PAIRS), max_size=90)


def encoded(symbols):
    encoder = Encoder()
    for number, symbol in symbols:
        start, end = EDGES[number][symbol : symbol + 2]
        encoder.encode(start, end - start)
    return encoder.finish()


@given(SYMBOLS)
def test_what_is_decoded_is_what_was_encoded(symbols):
    decoder, found = Decoder(encoded(symbols)), []
    for number, _ in symbols:
        found.append((number, bisect.bisect_right(EDGES[number], decoder.quantile()) - 1))
        start, end = EDGES[number][found[-1][1] :][:2]
        decoder.take(start, end - start)
    assert found == symbols


def test_beyond_the_words_are_zeros_and_two_of_them_may_be_read():
    decoder = Decoder([7])
    assert (decoder.point, decoder.next, decoder.beyond) == (7 << 32, 2, False)
    for read, beyond in ((2, False), (3, False), (4, True)):
        decoder.take(0, 1)
        assert (decoder.next, decoder.beyond, decoder.point & 0xFFFF_FFFF) == (read, beyond, 0)


@given(st.lists(st.tuples(st.integers(0, 2**16), st.lists(st.sampled_from([0, 1, 9, 2**34]), min_size=1, max_size=15))))
def test_digits_come_back_from_intervals_that_are_shared(given):
    """Each has weights of 0 among them, but for the first digit's; their sum is less than 2^39."""
    symbols = [(each % (len(rest) + 1), [0, *itertools.accumulate(rest, initial=1)]) for each, rest in given]
    packer = Packer()
    for digit, below in symbols:
        packer.put(below, digit)
        assert NARROW <= packer.width <= WHOLE
    unpacker = Unpacker(packer.finish())
    assert [unpacker.get(below) for _, below in symbols] == [digit for digit, _ in symbols]
    assert not unpacker.beyond


def test_near_certain_digits_cost_next_to_nothing():
    """By themselves the 500 of a round would cost the range coder more bits than all else."""
    packer = Packer()
    for _ in range(9):
        for below in ([0, 1, 256],) * 4 + ([0, (1 << 32) - 1, 1 << 32],) * 500:
            packer.put(below, 0)
    assert len(packer.finish()) == 10


def test_words_are_those_of_constriction():
    """Its `RangeEncoder` with `Categorical(frequencies - 1, perfect=False)`."""
    assert encoded([]) == []
    for name, (symbols, words) in WORDS.items():
        assert encoded(symbols) == words, name


@given(st.integers(2, 300), st.integers(0, 2**32), st.sampled_from([0.1, 3.0, 60.0, float("inf"), float("nan")]))
def test_every_level_has_frequencies_by_which_it_is_found_again(levels, seed, scale):
    random = np.random.default_rng(seed)
    logits = random.standard_normal((2, levels)).astype(np.float32) * np.float32(1 if np.isnan(scale) else scale)
    logits[:, random.integers(levels)] = scale
    digits = Categorical(weights(logits, "softmax"))
    level, shares = random.integers(levels), 1.0
    prefix = np.zeros(2, np.int64)
    for number in range(digits.number):
        below, counts = digits.weights(prefix, number)
        first = prefix[0] << 4 * (digits.number - number)
        there = [first + (each << 4 * (digits.number - 1 - number)) < levels for each in range(16)]
        assert (counts == sum(there)).all()
        edges = np.array([[edge(row[: counts[0] + 1], WHOLE, each) for each in range(counts[0] + 1)] for row in below])
        assert (edges[:, 0] == 0).all()
        assert (edges[:, -1] == WHOLE).all()
        frequencies = np.diff(edges)
        assert (frequencies > 0).all()
        digit = (level >> 4 * (digits.number - 1 - number)) & 15
        shares = shares * frequencies[:, digit] / WHOLE
        prefix = prefix * 16 + digit
    assert (prefix == level).all()
    if scale <= 3:
        exact = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
        exact = exact[:, level] / exact.sum(1)
        assert (np.abs(shares - exact) < 1e-5 * exact + 4 / WHOLE).all()


def test_a_bernoulli_head_gives_the_logit_of_level_1():
    found = weights(np.float32([[0], [10], [-200], [np.nan]]), "bernoulli")
    assert found[0, 0] == found[0, 1]
    assert abs(np.log(found[1, 1] / found[1, 0]) - 10) < 1e-6
    assert found[2, 1] == 1
    assert found[3, 1] == 1


@pytest.mark.parametrize(("levels", "number"), [(2, 1), (16, 1), (17, 2), (256, 2), (257, 3), (65536, 4)])
def test_a_level_has_no_more_digits_than_it_needs(levels, number):
    digits = Categorical(np.ones((1, levels), np.int64))
    assert digits.number == number
    below, counts = digits.weights(np.array([0]), 0)
    size = 16 ** (number - 1)
    most = -(-levels // size)
    assert counts.tolist() == [most]
    assert below[0, : most + 1].tolist() == [min(size * digit, levels) for digit in range(most + 1)]
