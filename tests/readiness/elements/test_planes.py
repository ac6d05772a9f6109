"""Planes of a storage, beside what each of its bytes was told; and storages from outside."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixkit.readiness.elements.marks import LATEST, Marks
from pixkit.readiness.elements.planes import Place, Planes
from pixkit.readiness.elements.storages import Storages, _is_bits

TYPES = (torch.uint8, torch.int16, torch.float32, torch.float64)
VIEWS = st.tuples(
    st.sampled_from(TYPES),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=2),
    st.integers(0, 2),
)
WRITES = st.lists(st.tuples(VIEWS, st.booleans(), st.booleans()), min_size=1, max_size=4)


def indices(place):
    return itertools.product(*map(range, place.shape))


def written(place, ready, fixed):
    """What bytes are told: of elements that share one, the latest, and fixed if all are."""
    told = {}
    for index in indices(place):
        for byte in range(place.address(index), place.address(index) + place.itemsize):
            told.setdefault(byte, []).append((int(ready[index]), bool(fixed[index])))
    return {byte: (max(r for r, _ in each), all(f for _, f in each)) for byte, each in told.items()}


@settings(deadline=None, max_examples=50, derandomize=True)
@given(WRITES, st.sampled_from([1, 2, 8]), st.integers(0, 9))
def test_an_element_has_what_its_bytes_were_told_last(writes, unit, seed):
    draws = torch.Generator().manual_seed(seed)
    storage = torch.zeros(48, dtype=torch.uint8).untyped_storage()
    planes = Planes(storage, 0, unit, torch.tensor(2), torch.tensor(True))
    told = [(2, True)] * 48
    for (dtype, axes, offset), alike, grows in writes:
        if grows:
            storage.resize_(len(told) + 16)
            told += [(0, False)] * 16
        place = Place(0, tuple(n for n, _ in axes), tuple(s for _, s in axes), offset, dtype.itemsize)
        if max([0, *(place.address(index) for index in indices(place))]) + dtype.itemsize > len(told):
            continue
        tensor = torch.empty(0, dtype=dtype).set_(storage, offset, place.shape, place.stride)
        drawn = torch.randint(9, () if alike else place.shape, generator=draws)
        planes.write(tensor, drawn, drawn > 4)
        new = written(place, drawn.expand(place.shape), (drawn > 4).expand(place.shape))
        told = [new.get(byte, before) for byte, before in enumerate(told)]
    for dtype in reversed(TYPES):
        ready, fixed = planes.read(torch.empty(0, dtype=dtype).set_(storage, 0, (len(told) // dtype.itemsize,)))
        elements = [told[i : i + dtype.itemsize] for i in range(0, len(told), dtype.itemsize)]
        assert ready.tolist() == [max(r for r, _ in each) for each in elements]
        assert fixed.tolist() == [all(f for _, f in each) for each in elements]


@settings(deadline=None, max_examples=25, derandomize=True)
@given(VIEWS)
def test_each_byte_belongs_to_the_first_element_that_has_it(view):
    dtype, axes, offset = view
    place = Place(0, tuple(n for n, _ in axes), tuple(s for _, s in axes), offset, dtype.itemsize)
    begins = [sum(i * s for i, (_, s) in zip(index, axes, strict=True)) + offset for index in indices(place)]
    assert place.addresses().shape == place.shape
    assert place.addresses().flatten().tolist() == [each * dtype.itemsize for each in begins]
    for byte in range(80):
        there = [index for index in indices(place) if 0 <= byte - place.address(index) < dtype.itemsize]
        assert place.index(byte) == (there[0] if there else None)


def test_of_constants_that_overlap_nothing_is_known_and_the_same_memory_has_the_same_planes():
    array = np.zeros(6)
    storages = Storages()
    inner = storages.of(torch.from_numpy(array[2:4]))
    for apart in (array[:2], array[4:]):
        marks = storages.marks(torch.from_numpy(apart))
        assert (marks.ready.tolist(), marks.fixed.tolist()) == ([0, 0], [True, True])
    assert storages.of(torch.from_numpy(array[2:4])) is inner
    for over in (array[:3], array[3:], array[1:5]):
        marks = storages.marks(torch.from_numpy(over))
        assert marks.ready.eq(LATEST).all()
        assert not marks.any_fixed
    assert storages.knows(again := torch.from_numpy(array[2:4])) is False and storages.of(again) is inner
    assert storages.knows(again)
    assert not storages.reached
    made = storages.made(reached := torch.zeros(2))
    assert storages.of(torch.from_numpy(reached.numpy())) is made
    assert storages.reached == [made]


def test_memory_that_begins_before_another_and_ends_in_it_is_unknown():
    array, storages = np.zeros(6), Storages()
    for apart in (array[2:4], array[4:]):
        storages.of(torch.from_numpy(apart))
    assert storages.marks(torch.from_numpy(array[:3])).ready.eq(LATEST).all()


@pytest.mark.parametrize(("ready", "fixed", "written"), [(0, True, False), (3, True, True), (0, False, True)])
def test_what_was_written_with_the_same_values_may_differ_in_another_call(ready, fixed, written):
    storages, held = Storages(), torch.zeros(2)
    storages.keep(held)
    planes = storages.of(held)
    planes.write(held, torch.tensor(ready), torch.tensor(fixed))
    assert storages.written == [planes] * written


def test_what_is_written_outside_is_no_longer_known_and_put_back():
    storages = Storages()
    held, other, moved = torch.arange(3.0), torch.zeros(2), torch.ones(2)
    for tensor in (held, other):
        storages.keep(tensor)
    storages.keep(moved, moves=True)
    assert not storages.written
    held[1] = 7
    moved.set_(torch.zeros(4))
    assert storages.written == [storages.of(held)]
    storages.keep(held)
    storages.unfix()
    assert not storages.marks(held).any_fixed
    assert storages.marks(other).all_fixed
    held.resize_(5)
    storages.restore()
    assert held.untyped_storage().tolist() == torch.arange(3.0).untyped_storage().tolist()
    assert moved.tolist() == [1, 1]


SETTLED = [
    ([0.0, 1.0, -0.0, 0.0], [1, 1, 1, 0], [7, 0, 7, 3], [0, 1, 0, 0]), ([1.0, 2.0], [1, 1], [0, 0], [1, 1]),
    ([0j, 1j, 1 + 0j, 1 + 1j], [1, 1, 1, 1], [7, 7, 7, 0], [0, 0, 0, 1]), ([0.0, 0.0], [0, 0], [3, 3], [0, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "fixed", "ready", "left"), SETTLED)
def test_a_settled_zero_may_be_either_for_what_tells_its_sign(values, fixed, ready, left):
    storages, value, known = Storages(), torch.tensor(values), torch.tensor(fixed).bool()
    marks = Marks(torch.where(known, 0, 3), known, value)
    assert storages.signed(marks) is marks
    storages.of(value).settled = 7
    seen = storages.signed(marks)
    assert (seen.ready.tolist(), seen.fixed.tolist(), seen.value) == (ready, [*map(bool, left)], value)
    assert (seen is marks) is (not any(fixed))


@pytest.mark.parametrize(("kind", "unit", "bits"), [
    (torch.float32, 4, False), (torch.float32, 8, False), (torch.float64, 4, True), (torch.int32, 4, True),
    (torch.bool, 1, True), (torch.complex64, 4, False), (torch.complex64, 8, False), (torch.complex128, 4, True),
    (torch.float8_e4m3fn, 1, False), (torch.float8_e4m3fnuz, 1, True), (torch.int8, 4, True),
])  # fmt: skip
def test_as_another_type_a_settled_zero_is_its_bits(kind, unit, bits):
    assert _is_bits(torch.zeros(2, dtype=kind), unit) is bits


def test_bits_of_a_settled_zero_are_as_late_as_its_sign():
    storages, value = Storages(), torch.zeros(2)
    for settled, ready, fixed in ((0, 0, True), (7, 7, False)):
        storages.of(value).settled = settled
        for seen, now, known in ((value, 0, True), (value.view(torch.int32), ready, fixed)):
            marks = storages.marks(seen)
            assert (marks.ready.tolist(), marks.fixed.tolist()) == ([now] * 2, [known] * 2)
            held = storages.held(seen)
            assert held.marks.ready.equal(marks.ready) and held.marks.fixed.equal(marks.fixed)
            assert held.place == storages.place(seen) == Place(0, (2,), (1,), 0, 4)


def test_storages_are_numbered_and_what_is_from_outside_is_known_unless_it_is_trained():
    named = []
    storages = Storages(lambda tensor: named.append(tensor) or f"constant {len(named)}")
    constant, trained, made, parameter = torch.ones(2), torch.ones(2, requires_grad=True), torch.ones(2), torch.ones(2)
    parameter = torch.nn.Parameter(parameter, requires_grad=False)
    assert not storages.knows(constant) and storages.count == 0
    told = [storages.of(constant), storages.of(trained), storages.made(made), storages.of(parameter)]
    assert [(each.number, bool(each.fixed), each.outside, each.unit) for each in told] == [
        (0, True, True, 4), (1, False, True, 4), (2, False, False, 4), (3, False, True, 4)]  # fmt: skip
    assert all(int(each.ready) == 0 for each in told) and storages.count == 4 and storages.knows(constant)
    assert [each.sources for each in told] == [frozenset({"constant 1"}), frozenset(), frozenset(), frozenset()]
    assert [*storages.constants] == ["constant 1"] and storages.constants["constant 1"].equal(constant)
    assert storages.of(constant) is told[0] and len(named) == 1
    assert (storages.met(torch.ones(3), fixed=False, name="x").sources, storages.count) == (frozenset(), 5)
    complex_, unknown = torch.zeros(2, dtype=torch.complex64), torch.zeros(2)
    assert storages.of(complex_).unit == 4
    assert storages.grows(unknown, 9) and int(storages.of(unknown).ready) == 9 and not storages.of(unknown).fixed
    assert not storages.grows(unknown, 9)
    unknown.resize_(3)
    assert storages.grows(unknown, 9) and not storages.grows(unknown, 9)


def test_a_copy_of_what_is_about_to_be_written_keeps_its_values_and_planes():
    storages, held, made = Storages(), torch.arange(3.0), torch.zeros(2)
    marks, planes = storages.marks(held), storages.made(made)
    copy, unfixed = storages.copied(marks), marks.unfixed()
    held.fill_(9)
    assert copy.value.tolist() == [0, 1, 2] and marks.value.tolist() == [9, 9, 9]
    assert storages.of(copy.value) is storages.of(held) and storages.copied(unfixed) is unfixed
    storages.keep(made)
    made.fill_(1)
    planes.write(made, torch.tensor(5), torch.tensor(False))
    assert not storages.written, "what the run has made is nobody else's"
