"""Where numbers are carried from storage to storage, and how one of many causes is found."""

import itertools

import pytest
import torch
from needs import run_of

from pixkit.readiness.elements.path import _flat, _halved, way_back
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


def filled(x):
    y = torch.zeros(3)
    y[0], y[1] = x[1], x[2]
    return y


def overwritten(x):
    y = x * 1
    z = y.flip(0)
    y.zero_()
    return z


WAYS = [  # from an output element: operations, which input and which element each read; and the input element
    (lambda x: x.flip(0) * 2, (0,), [("flip", 0, (2,)), ("mul", 0, (0,))], (2,)),
    (lambda x: x.flip(0), (2,), [("flip", 0, (0,))], (0,)), (lambda x: x.view(3, 1), (1, 0), [], (1,)),
    (lambda x: x.cumsum(0), (1,), [("cumsum", 0, (1,))], (1,)), (lambda x: x.sum(), (), [("sum", 0, (2,))], (2,)),
    (lambda x: x[:1] + x.sum(), (0,), [("sum", 0, (2,)), ("add", 1, ())], (2,)),
    (lambda x: x + x.sum(), (2,), [("add", 0, (2,))], (2,)), (lambda x: torch.ones(3), (0,), [], None),
    (lambda x: x * torch.tensor([1.0, 0.0, 1.0]), (1,), [], None),
    (lambda x: x[:, None] + x, (0, 2), [("add", 1, (2,))], (2,)),
    (lambda x: x[:, None] + x, (2, 0), [("add", 0, (2, 0))], (2,)),
    (lambda x: x[:, None] + x, (1, 1), [("add", 0, (1, 0))], (1,)),
    (lambda x: torch.var_mean(x, 0)[1] + 0 * x, (1,), [("var_mean", 0, (2,)), ("add", 0, ())], (2,)),
    (lambda x: torch.cat([x[:0], x]), (1,), [("cat", 1, (1,))], (1,)),
    (filled, (0,), [("copy_", 1, ())], (1,)), (filled, (1,), [("copy_", 1, ())], (2,)), (filled, (2,), [], None),
    (lambda x: torch.addcmul(x, x.flip(0), x), (2,), [("addcmul", 0, (2,))], (2,)),
    (lambda x: torch.addcmul(x, x.flip(0), x), (0,), [("flip", 0, (2,)), ("addcmul", 1, (0,))], (2,)),
    (overwritten, (0,), [("mul", 0, (2,)), ("flip", 0, (2,))], (2,)),
]  # fmt: skip


@pytest.mark.parametrize(("forward", "index", "expected", "source"), WAYS)
def test_the_way_back_is_that_of_the_latest_element(forward, index, expected, source):
    run = run_of(forward, torch.tensor([0.3, -1.0, 2.0]), torch.arange(3))
    way, found = way_back(run.tape, run.start, run.held(run.output).place, index)
    names = [run.tape[step.number].op.split(".")[1] for step in way]
    assert [(name, *step.source) for name, step in zip(names, way, strict=True)] == expected
    assert found == source and all(step.result[1] in (index, ()) for step in way[-1:])
    assert [step.result[0] for step in way] == [int(name == "var_mean") for name in names]
    assert [step.number for step in way] == sorted(step.number for step in way)
