"""Which line is to blame of those that led to an operation, by hand-made calls."""

from types import SimpleNamespace

import pytest

from pixkit.readiness.elements.callers import _common, responsible
from pixkit.readiness.elements.tape import Line

pytestmark = pytest.mark.quick
BEGINS = {"cell": 1, "block": 10, "loop": 20, "main": 30}


def line(function, number, *callers):
    """A line and those that called it, innermost first."""
    given = tuple(Line("net.py", n, f, "", BEGINS[f]) for f, n in callers)
    return Line("net.py", number, function, "", BEGINS[function], given)


OURS = line("cell", 2, ("block", 11), ("loop", 21), ("main", 31))
TWICE = line("cell", 2, ("block", 11), ("loop", 21), ("main", 32))
ELSEWHERE = line("cell", 3, ("block", 12), ("loop", 21), ("main", 31))
BESIDE = line("cell", 2, ("block", 11), ("loop", 22), ("main", 31))
DEEPER = line("block", 15, ("cell", 4), ("block", 12), ("loop", 21), ("main", 31))
OUTSIDE = line("loop", 23, ("main", 31))
CASES = [
    ([OURS], [], 2), ([OURS, OUTSIDE], [1], 2), ([OURS, ELSEWHERE], [1], 11), ([OURS, ELSEWHERE], [], 2),
    ([OURS, TWICE], [1], 31), ([OURS, TWICE, ELSEWHERE], [1, 2], 31), ([OURS, TWICE, ELSEWHERE], [2], 11),
    ([OURS, BESIDE], [1], 21), ([OURS, DEEPER], [1], 11), ([OURS, DEEPER], [0], 2),
    # Of one call only what it did last counts; of two from the same line both do.
    ([OURS, ELSEWHERE, ELSEWHERE], [2], 11), ([OURS, ELSEWHERE, ELSEWHERE], [1], 2),
    ([ELSEWHERE, OURS, ELSEWHERE], [2], 2), ([ELSEWHERE, OURS, ELSEWHERE], [0, 2], 11),
    ([OURS, ELSEWHERE, DEEPER], [2], 11), ([OURS, OURS], [0, 1], 2),
]  # fmt: skip


@pytest.mark.parametrize(("ran", "harmless", "blamed"), CASES)
def test_the_innermost_line_that_no_harmless_call_shares(ran, harmless, blamed):
    records = [SimpleNamespace(line=each) for each in ran]
    assert responsible(OURS, records, lambda number: number in harmless).number == blamed


def test_a_function_of_the_same_name_elsewhere_is_another():
    other = Line("other.py", 2, "cell", "", 1, TWICE.callers)
    later = Line("net.py", 2, "cell", "", 5, TWICE.callers)
    for each in (other, later):
        assert responsible(OURS, [SimpleNamespace(line=each)], lambda number: True) is OURS
    recursive = line("cell", 2)
    shared = Line("net.py", 2, "cell", "", 1, (*OURS.callers, Line("net.py", 41, "main", "", 40)))
    assert responsible(recursive, [SimpleNamespace(line=OURS)], lambda number: True) is recursive
    assert responsible(OURS, [SimpleNamespace(line=shared)], lambda number: True) is OURS


@pytest.mark.parametrize(("one", "other", "count"), [
    ("ab", "ab", 2), ("ab", "ac", 1), ("ab", "bb", 0), ("ab", "a", 1), ("", "a", 0), ("abc", "abd", 2),
])  # fmt: skip
def test_how_many_lines_are_common(one, other, count):
    assert _common(tuple(one), tuple(other)) == count == _common(tuple(other), tuple(one))
