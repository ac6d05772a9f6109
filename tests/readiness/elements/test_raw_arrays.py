"""Arrays of numpy in which nothing has been written, and what is noted of them."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy import empty as unwritten

from pixkit.readiness.elements import found as found_memory
from pixkit.readiness.elements.arrays import raw_arrays
from pixkit.readiness.elements.found import PATTERNS, differing, fill_free_memory
from pixkit.readiness.elements.tape import line_here

pytestmark = pytest.mark.quick
MAKERS = np.empty, np.empty_like


def made():
    """Two that are noted, the first by another name; none that numpy fills, and none of no bytes, or in a thread."""
    unwritten(2), np.empty_like([1.0]), np.ones(3), np.pad([1.0], 1), np.empty(0)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(np.empty, 2).result()


def test_whoever_makes_an_array_and_does_not_fill_it_is_noted():
    noted = []
    with raw_arrays(made, noted.append):
        assert made().shape == (2,) and np.empty.__name__ == "empty"
    assert noted == ["numpy.empty", "numpy.empty_like"]
    assert (np.empty, np.empty_like) == MAKERS and unwritten is MAKERS[0]


def test_what_is_typed_in_is_somebodys_code():
    noted, names = [], {}
    exec("import numpy as np\ndef typed(): return np.empty(2)", names)
    with raw_arrays(names["typed"], noted.append):
        names["typed"]()
    assert noted == ["numpy.empty"]


def test_what_is_the_same_in_each_call_is_looked_at_once_if_it_was_there_before():
    there, calls = torch.ones(2), []

    def call():
        calls.append(torch.ones(2).to_sparse().to_dense() * there)

    def computed():
        calls.append(torch.from_numpy(np.ones(2)) * there)

    def counted():
        calls.append(torch.from_numpy(np.full(2, len(calls))) * there)

    frame = sys._getframe()
    found = []
    for each in (call, computed, counted):
        noted = list(differing(each, [there], lambda: line_here({}, frame)))
        found.append((len(calls), [one.file for one in noted]))
        calls.clear()
    assert found == [(1, []), (3, []), (3, [__file__])]


def test_memory_of_the_sizes_that_were_read_is_filled_before_each_further_call(monkeypatch):
    filled = []
    monkeypatch.setattr(found_memory, "fill_free_memory", lambda sizes, pattern: filled.append(({*sizes}, pattern)))
    there, frame = torch.ones(2), sys._getframe()
    assert not list(differing(lambda: torch.from_numpy(np.ones(2)) * there, [there], lambda: line_here({}, frame)))
    assert filled == [(set(), 0), *(({16}, pattern) for pattern in PATTERNS)]


def test_who_asks_for_memory_that_was_filled_finds_that():
    fill_free_memory([64], 0xC1)
    assert (np.ndarray(64, np.uint8) == 0xC1).any()
