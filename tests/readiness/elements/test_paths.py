"""Where numbers are carried from storage to storage, and how one of many causes is found."""

import itertools

import pytest
import torch

from pixkit.readiness.elements.path import _flat, _halved
from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.replay import Carried
from pixkit.readiness.elements.slots import axes_of

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(("index", "shape", "expected"), [
    ((1, 2), (2, 3), 5), ((1, 2), (3,), 2), ((1, 2), (1, 3), 2), ((1, 2), (2, 1), 1), ((1, 2), (), 0),
    ((1, 2), (1, 2), None), ((2, 0), (2, 3), None), ((1,), (2, 3), None), ((0, 1, 2), (2, 3), 5), ((1, 1), (1, 1), 0),
])  # fmt: skip
def test_the_element_that_broadcasting_puts_at_a_place(index, shape, expected):
    assert _flat(index, torch.Size(shape)) == expected


@pytest.mark.parametrize("pointwise", [True, False])
@pytest.mark.parametrize("cause", range(7))
def test_a_cause_is_found_by_halving(cause, pointwise):
    ready = torch.zeros(2, 5)
    asked = []

    def is_late(chosen):
        asked.append(len(chosen))
        return bool((chosen == cause).any())

    found = _halved(torch.arange(7), is_late, ready, (1, 1), pointwise)
    assert found == (cause // 5, cause % 5)
    assert len(asked) <= (3 if not pointwise else 4) and (asked != [1] or cause == 6)


def test_of_several_causes_the_one_in_place_is_taken():
    assert _halved(torch.arange(10), lambda chosen: True, torch.zeros(2, 5), (1, 1), True) == (1, 1)
    assert _halved(torch.arange(10), lambda chosen: True, torch.zeros(2, 5), (1, 1), False) == (0, 0)
    assert _halved(torch.arange(3), lambda chosen: True, torch.zeros(2, 5), (1, 1), True) == (0, 0)


PLACES = [
    Place(0, (2, 3), (3, 1), 0, 4), Place(0, (3,), (2,), 1, 4), Place(0, (2, 2), (4, 1), 3, 4), Place(0, (), (), 9, 4),
    Place(0, (3, 2), (1, 0), 2, 4), Place(0, (0,), (1,), 5, 4), Place(1, (2, 3), (3, 1), 0, 4),
    Place(0, (4,), (1,), 2, 8), Place(0, (5,), (1,), 3, 2), Place(0, (2, 1), (3, 1), 1, 1),
]  # fmt: skip


def units(place, unit):
    """Entries of the storage's plane that a tensor's elements begin in, in order."""
    indices = itertools.product(*map(range, place.shape))
    return [(place.storage, place.address(index) // unit) for index in indices]


WRITTEN = [place for place in PLACES if 0 not in place.stride]
"""torch refuses to write to elements that share memory."""


@pytest.mark.parametrize("first", WRITTEN)
@pytest.mark.parametrize("second", WRITTEN)
def test_what_is_carried_is_read_where_it_was_written(first, second):
    carried, told = Carried(), {}
    unit = {first.storage: first.itemsize}
    for number, place in enumerate((first, second), 1):
        values = torch.arange(place.addresses().numel()).view(place.shape) + 100 * number
        carried.write(place, values)
        unit.setdefault(place.storage, place.itemsize)
        told |= zip(units(place, unit[place.storage]), values.flatten().tolist(), strict=True)
    for place in PLACES:
        if place.storage in unit:
            expected = [told.get(each, 0) for each in units(place, unit[place.storage])]
            assert carried.read(place).flatten().tolist() == expected
        else:
            assert not carried.read(place).any()
        assert carried.read(place).shape == place.shape


@pytest.mark.parametrize(("homes", "axes"), [
    ([[1, 2], [1, 2]], [1]), ([[1, 1], [2, 2]], [0]), ([[1, 2], [3, 4]], [0, 1]), ([[1, 1], [1, 1]], []),
    ([[0, 1], [0, 1]], []), ([[0, 1], [2, 0]], []), ([[1, 0], [0, 1]], []), ([[3, 0], [2, 0]], [0]), ([[1], [2]], [0]),
    ([[2], [1]], [0]),
])  # fmt: skip
def test_along_which_axes_sites_lie(homes, axes):
    assert axes_of(torch.tensor(homes)) == axes
    assert axes_of(torch.tensor(homes)[:, None].expand(-1, 3, -1)) == [axis * 2 for axis in axes]
