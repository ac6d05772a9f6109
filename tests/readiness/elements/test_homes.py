"""Which site an element belongs to: sequences of homes, moved, padded, turned, or those of the slots they lie in."""

import pytest
import torch

from pixkit.readiness.elements.homes import Homes, _sequence, _shifted, _sites
from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.slots import FAR, PURE, _beside, _keys, _of_product, _of_window, _varies

pytestmark = pytest.mark.quick


def homes_of(steps):
    """Of a run without operations, whose input has these steps."""
    steps = torch.tensor(steps)
    place = Place(0, tuple(steps.shape), tuple(steps.stride()), 0, 8)
    return Homes([], [], place, steps)


@pytest.mark.parametrize(("steps", "sites", "by_site"), [
    ([[0, 1, 2]], [[1, 2, 3]], [-1, 0, 1, 2]), ([[4, 0, 2]], [[3, 1, 2]], [-1, 0, 2, 4]),
    ([[0, 1], [1, 2]], [[1, 2], [3, 4]], [-1, 0, 1, 1, 2]), ([[3, 3], [1, 1]], [[2, 2], [1, 1]], [-1, 1, 3]),
    ([[5, 5], [5, 5]], [[1, 1], [1, 1]], [-1, 5]),
])  # fmt: skip
def test_sites_are_numbered_in_the_order_of_their_steps_and_features_share_one(steps, sites, by_site):
    found, steps_of = _sites(torch.tensor(steps))
    assert (found.tolist(), steps_of.tolist()) == (sites, by_site)
    assert homes_of(steps).steps.tolist() == by_site


def test_a_sequence_is_what_lies_along_the_axes_on_which_homes_differ():
    homes = torch.tensor([1, 3, 2])
    for each in (homes, homes.expand(2, 3), homes[:, None].expand(3, 4), homes[None, :, None].expand(2, 3, 1)):
        assert _sequence(each).tolist() == [1, 3, 2]
    assert _sequence(torch.tensor([[1, 2], [3, 4]])).tolist() == [1, 2, 3, 4]
    assert _sequence(torch.tensor([[0, 2], [1, 2]]), [1]).tolist() == [1, 2]


@pytest.mark.parametrize(("found", "shifted"), [
    ([1, 2, 3, 4], True), ([0, 1, 2, 3], True), ([4, 1, 2, 3], True), ([2, 3, 4, 0], True), ([0, 0, 1, 0], True),
    ([1, 2, 4, 3], False), ([0, 2, 1, 0], False), ([1, 1, 2, 3], False),
])  # fmt: skip
def test_a_sequence_may_be_another_shifted(found, shifted):
    assert _shifted(torch.tensor(found), torch.arange(1, 5)) is shifted


@pytest.mark.parametrize(("found", "turned"), [
    ([1, 2, 3, 4], False), ([4, 1, 2, 3], True), ([2, 3, 4, 1], True), ([4, 3, 2, 1], False), ([0, 1, 2, 3], False),
])  # fmt: skip
def test_a_sequence_may_be_turned(found, turned):
    homes = homes_of([0, 1, 2, 3])
    assert homes._turned(torch.tensor(found)) is turned
    assert homes.moved(torch.tensor(found)) is (found != [1, 2, 3, 4])
    assert not homes.moved(torch.tensor(found[:3])) and not homes.moved(torch.tensor([1, 2, 3, 4]).expand(2, 4))


@pytest.mark.parametrize(("found", "padded"), [
    ([4, 1, 2, 3, 4], [1, 1, 2, 3, 4]), ([1, 2, 3, 4, 1], [1, 2, 3, 4, 4]), ([0, 1, 2, 3, 4], None),
    ([3, 4, 1, 2, 3, 4, 1], [1, 1, 1, 2, 3, 4, 4]), ([0, 1, 2, 3, 4, 1], [0, 1, 2, 3, 4, 4]),
    ([4, 1, 2, 4, 3], None), ([4, 0, 1, 2, 3, 4], [1, 0, 1, 2, 3, 4]), ([1, 2, 3, 4, 3], [1, 2, 3, 4, 4]),
    ([4, 3, 1, 2, 4], None), ([2, 3, 1, 4, 2, 0, 1], [3, 3, 1, 4, 2, 0, 2]),
])  # fmt: skip
def test_what_surrounds_a_sequence_counts_as_its_ends(found, padded):
    homes = homes_of([0, 1, 2, 3])
    homes._anchored(torch.tensor([3, 1, 4, 2]))
    given = homes._padded(torch.tensor(found))
    assert given is None if padded is None else given.tolist() == padded


ANCHORED = [
    ([0, 0, 0, 0], [0, 0, 0, 0]),  # nothing of a site
    ([1, 2, 3, 4], [1, 2, 3, 4]), ([4, 3, 2, 1], [4, 3, 2, 1]),  # as it is, or put in another order
    ([4, 1, 2, 3], [1, 2, 3, 4]), ([0, 1, 2, 3], [1, 2, 3, 4]), ([1, 1, 2, 3], [1, 2, 3, 4]),  # rolled, shifted, mixed
    ([1, 2, 3], [1, 2, 3]),  # fewer
    ([4, 1, 2, 3, 4], [1, 1, 2, 3, 4]), ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),  # more
    ([3, 4, 1, 2, 3, 4, 1], [1, 1, 1, 2, 3, 4, 4]),
    ([1, 2, 3, 4, 1, 2, 3, 4], [1, 2, 3, 4, 1, 2, 3, 4]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), ANCHORED)
def test_homes_are_those_of_a_known_arrangement_or_of_the_slots(given, expected):
    homes = homes_of([0, 1, 2, 3])
    for shape in ((-1,), (1, -1), (-1, 1)):
        found = homes.anchored(torch.tensor(given).view(shape))
        assert found.shape == torch.tensor(given).view(shape).shape and found.flatten().tolist() == expected
    assert len(homes._known) == 1, "nothing was learnt"


def test_a_new_order_is_learnt_and_what_resembles_it_more_than_not_is_in_it():
    homes, plain, order = homes_of([*range(6)]), [1, 2, 3, 4, 5, 6], [3, 1, 5, 2, 6, 4]
    near, half = [3, 1, 5, 2, 2, 2], [3, 1, 5, 5, 5, 5]
    asked = [(near, plain), (order, order), (near, order), (half, plain), ([0, 3, 1, 5, 2, 6], order), (order, order)]
    for given, expected in asked:
        assert homes._anchored(torch.tensor(given)).tolist() == expected, given
    assert [each.tolist() for each in homes._known] == [plain, order]


MIXED = torch.tensor([0, 9, 5, 4])
"""The operation that mixed each of three sites last."""


def test_of_values_side_by_side_that_which_was_never_mixed_counts_and_then_the_last_mixed():
    assert _keys(torch.tensor([0, 2, 5, 7]), MIXED).tolist() == [0, PURE * FAR + 1, 5 * FAR + 2, 4 * FAR + 3]
    one, other, lone = (torch.tensor(codes) for codes in ([2, 7, 0, 7], [4, 2, 6, 5], [6]))
    assert _beside([one, other, lone], (4,), MIXED).tolist() == [2, 1, 3, 2]
    assert _beside([lone, torch.zeros(4, dtype=torch.int64)], (4,), MIXED).tolist() == [3] * 4
    codes = torch.tensor([[2, 4], [3, 5]])
    assert _varies(codes, -1) and not _varies(codes, -2)


ROWS_OF = torch.tensor([[2, 2], [4, 4], [6, 6]])
NONE = torch.zeros(3, 3, dtype=torch.int64)
PRODUCTS = [
    ([ROWS_OF, NONE[:2, :2]], [[1, 1], [2, 2], [3, 3]]),  # weights right of rows
    ([NONE, ROWS_OF], [[1, 1], [2, 2], [3, 3]]),  # weights that mix sites, as many after as before
    ([ROWS_OF.mT, NONE], [[1, 2, 3], [1, 2, 3]]),
    ([ROWS_OF.mT, NONE[:, :2]], [[0, 0], [0, 0]]), ([NONE[:2], ROWS_OF], [[0, 0], [0, 0]]),  # not as many
    ([ROWS_OF, ROWS_OF.mT], [[1, 2, 3], [2, 2, 3], [3, 3, 3]]),  # pairs
    ([torch.tensor([[2, 4, 6], [4, 4, 6], [6, 6, 6]]), ROWS_OF], [[3, 3]] * 3),  # weights of pairs, and values
    ([ROWS_OF[:, 0], ROWS_OF], 0),
]  # fmt: skip


@pytest.mark.parametrize(("codes", "expected"), PRODUCTS)
def test_rows_of_products_have_homes_or_columns_or_both(codes, expected):
    shape = tuple(torch.tensor(expected).shape)
    nowhere = torch.zeros(shape, dtype=torch.bool)
    assert _of_product("mm", codes, shape, MIXED, nowhere).tolist() == expected
    assert _of_product("addmm", [NONE, *codes], shape, MIXED, nowhere).tolist() == expected
    assert _of_product("linear", [codes[0], codes[1].mT], shape, MIXED, nowhere).tolist() == expected


def test_windows_have_the_slots_with_homes_one_after_another():
    line, high = torch.tensor([[[0, 0, 1, 2, 3], [0, 0, 1, 0, 0]]]), torch.tensor(7)
    assert _of_window(line, (1, 4, 4), high).tolist() == [[[1, 2, 3, 0]] * 4]
    assert _of_window(line, (1, 4, 3), high).tolist() == [[[1, 2, 3]] * 4]
    assert _of_window(line, (1, 4, 2), high) is high is _of_window(0 * line, (1, 4, 4), high)
    plane = torch.tensor([[[[0, 0, 0], [0, 1, 2], [0, 3, 4]]]])
    assert _of_window(plane, (1, 1, 2, 3), high).tolist() == [[[[1, 2, 0], [3, 4, 0]]]]
    assert _of_window(plane, (1, 1, 3, 2), high).tolist() == [[[[1, 2], [3, 4], [0, 0]]]]
