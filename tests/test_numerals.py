"""Numbers as people read them."""

import math

import pytest

from pixkit.memory.available import in_words
from pixkit.numerals import significant


@pytest.mark.parametrize(
    "value, digits, written",
    [
        (0.00012345, 3, "0.000123"),
        (9.994, 3, "9.99"),
        (99.96, 3, "100"),
        (999.4, 3, "999"),
        (999.6, 3, "1000"),
        (1000.4, 3, "1000"),
        (-17034.8, 4, "-17035"),
        (96, 1, "96"),
        (9.6, 1, "10"),
        (0.0, 2, "0"),
        (math.inf, 3, "inf"),
        (-math.inf, 3, "-inf"),
        (math.nan, 3, "nan"),
    ],
)
def test_large_numbers_have_no_exponent(value, digits, written):
    assert significant(value, digits) == written


def test_sizes_just_below_the_next_unit():
    sizes = 1023, 1024, 1023 << 10, 1 << 20
    assert [in_words(size) for size in sizes] == ["1023 bytes", "1 KiB", "1023 KiB", "1 MiB"]
