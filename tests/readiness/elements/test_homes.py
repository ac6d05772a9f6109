"""Which site an element belongs to: sequences of homes, moved, padded, turned, or those of the slots they lie in."""

from types import SimpleNamespace

import pytest
import torch
from needs import run_of

from pixkit.readiness.elements.homes import Homes, _sequence, _shifted, _sites
from pixkit.readiness.elements.marks import uniform
from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.slots import (
    FAR,
    PURE,
    _beside,
    _by_data,
    _keys,
    _of_product,
    _of_window,
    _slots,
    _varies,
    homes_given,
)

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


MIXED = torch.tensor([8, 9, 5, 4])
"""The operation that mixed no site, and each of three sites, last."""


def test_of_values_side_by_side_that_which_was_never_mixed_counts_and_then_the_last_mixed():
    assert _keys(torch.tensor([0, 1, 2, 5, 7]), MIXED).tolist() == [0, 0, PURE * FAR + 1, 5 * FAR + 2, 4 * FAR + 3]
    one, other, lone = (torch.tensor(codes) for codes in ([2, 7, 0, 7], [4, 2, 6, 5], [6]))
    assert _beside([one, other, lone], (4,), MIXED).tolist() == [2, 1, 3, 2]
    for whole, expected in (([0, 0], [3, 3]), ([1, 1], [3, 3]), ([2, 2], [1, 1]), ([2, 0], [1, 0])):
        assert _beside([lone, torch.tensor(whole)], (2,), MIXED).tolist() == expected, "a whole one, if it has homes"
    codes = torch.tensor([[2, 4], [3, 5]])
    assert _varies(codes, -1) and not _varies(codes, -2)


ROWS_OF = torch.tensor([[2, 2], [4, 4], [6, 6]])
LATER = torch.tensor([[0, 0], [4, 4], [6, 6]])
NONE = torch.zeros(3, 3, dtype=torch.int64)
PRODUCTS = [
    ([ROWS_OF, NONE[:2, :2]], [[1, 1], [2, 2], [3, 3]]),  # weights right of rows
    ([NONE, ROWS_OF], [[1, 1], [2, 2], [3, 3]]),  # weights that mix sites, as many after as before
    ([ROWS_OF.mT, NONE], [[1, 2, 3], [1, 2, 3]]),
    ([ROWS_OF.mT, NONE[:, :2]], [[0, 0], [0, 0]]), ([NONE[:2], ROWS_OF], [[0, 0], [0, 0]]),  # not as many
    ([ROWS_OF, ROWS_OF.mT], [[1, 2, 3], [2, 2, 3], [3, 3, 3]]),  # pairs
    ([torch.tensor([[2, 4, 6], [4, 4, 6], [6, 6, 6]]), ROWS_OF], [[3, 3]] * 3),  # weights of pairs, and values
    ([NONE + 1, ROWS_OF], [[1, 1], [2, 2], [3, 3]]), ([ROWS_OF.mT, NONE + 1], [[1, 2, 3]] * 2),  # mixed, but no site's
    ([LATER, ROWS_OF.mT], [[1, 2, 3], [2, 2, 3], [3, 3, 3]]), ([ROWS_OF, LATER.mT], [[1, 2, 3], [2, 2, 3], [3, 3, 3]]),
    ([NONE + 2, ROWS_OF], [[1, 1]] * 3), ([ROWS_OF.mT, NONE + 2], [[1, 1, 1]] * 2),  # only the first site on one side
    ([torch.tensor([[2, 4], [2, 4]]), torch.tensor([[2, 6], [2, 6]])], [[1, 3], [1, 3]]),  # sites of rows are summed
    ([torch.tensor([[2, 2], [6, 6]]), torch.tensor([[2, 2], [4, 4]])], [[1, 1], [3, 3]]),  # or of columns
    ([NONE[:2], torch.tensor([[2, 0, 4, 0, 6]]).mT], [[3], [3]]),  # apart
    ([NONE[:2, :2], torch.tensor([[2, 4], [4, 6]])], [[2, 3], [2, 3]]),  # all sites, and some to each column
    ([NONE[:, :2], ROWS_OF[:2]], [[2, 2]] * 3), ([NONE[:2], ROWS_OF * torch.tensor([[1], [1], [0]])], [[2, 2]] * 2),
]  # fmt: skip


@pytest.mark.parametrize(("codes", "expected"), PRODUCTS)
def test_rows_of_products_have_homes_or_columns_or_both(codes, expected):
    shape = tuple(torch.tensor(expected).shape)
    nowhere = torch.zeros(shape, dtype=torch.bool)
    assert _of_product("mm", codes, shape, MIXED, nowhere).tolist() == expected
    assert _of_product("addmm", [NONE, *codes], shape, MIXED, nowhere).tolist() == expected
    assert _of_product("linear", [codes[0], codes[1].mT, NONE], shape, MIXED, nowhere).tolist() == expected
    batch = [each.expand(2, *each.shape) for each in codes]
    assert _of_product("bmm", batch, (2, *shape), MIXED, nowhere).tolist() == [expected] * 2


def test_products_of_sequences_over_all_sites_belong_nowhere():
    weights, values = torch.tensor([[2, 4], [4, 2]]), torch.tensor([[2, 2], [6, 6]])
    everything = torch.tensor([[True, False], [False, False]])
    assert _of_product("mm", [weights, values], (2, 2), MIXED, everything).tolist() == [[0, 3], [3, 3]]
    vector = torch.tensor([2, 4, 6])
    assert _of_product("dot", [vector, ROWS_OF], (), MIXED, everything).tolist() == 0
    assert _of_product("mv", [ROWS_OF, vector], (3,), MIXED, everything).tolist() == [0, 0, 0]


def test_windows_have_the_slots_with_homes_one_after_another():
    line, high = torch.tensor([[[0, 0, 1, 2, 3], [0, 0, 1, 0, 0]]]), torch.tensor(7)
    assert _of_window(line, (1, 4, 4), high).tolist() == [[[1, 2, 3, 0]] * 4]
    assert _of_window(line, (1, 4, 3), high).tolist() == [[[1, 2, 3]] * 4]
    assert _of_window(line, (1, 4, 2), high) is high is _of_window(0 * line, (1, 4, 4), high)
    plane = torch.tensor([[[[0, 0, 0], [0, 1, 2], [0, 3, 4]]]])
    assert _of_window(plane, (1, 1, 2, 3), high).tolist() == [[[[1, 2, 0], [3, 4, 0]]]]
    assert _of_window(plane, (1, 1, 3, 2), high).tolist() == [[[[1, 2], [3, 4], [0, 0]]]]


A, B, FIRST, LAST, ALL = [2, 0, 4], [6, 2, 2], [1, 1, 2], [2, 3, 3], [3, 3, 3]
"""Codes of two tensors, the first and the last homes that elements read, and the last ones if all sites are read."""
LINE = [[[0, 2, 4, 6], [0, 2, 0, 0]]]
SLOTS = [
    *((name, [A, B], FIRST, LAST, [3, 1, 2]) for name in ("add.Tensor", "where.self", "masked_fill", "cat", "stack")),
    ("mm", [ROWS_OF.tolist(), [[0, 0], [0, 0]]], [[1, 1]] * 3, [[3, 3]] * 3, [[1, 1], [2, 2], [3, 3]]),
    ("mm", [[[2, 4, 6]] * 2, ROWS_OF.tolist()], [[1, 2], [1, 1]], [[3, 3], [2, 3]], [[0, 3], [3, 0]]),
    ("mkldnn_rnn_layer", [[[[2, 0]], [[4, 4]], [[0, 6]]], [2]], [[[1] * 3]] * 3, [[[3] * 3]] * 3,
     [[[1] * 3], [[2] * 3], [[3] * 3]]),
    ("mkldnn_rnn_layer", [[[[2, 0]], [[0, 4]]], [2]], [[[1] * 2]] * 2, [[[2] * 2]] * 2, [[[1] * 2], [[2] * 2]]),
    ("mkldnn_rnn_layer", [[[[2, 0]], [[4, 4]]], [2]], [[[1] * 3]] * 3, [[[2] * 3]] * 3, [[[2] * 3]] * 3),
    ("convolution", [LINE, [[[0]]]], [[[1] * 4] * 3], [[[2] * 4] * 3], [[[1, 2, 3, 0]] * 3]),
    ("max_pool2d_with_indices", [[[[[2, 4], [6, 0]]]]], [[[[1] * 2] * 2]], [[[[2] * 2] * 2]], [[[[1, 2], [3, 0]]]]),
    ("avg_pool1d", [[A, B]], [FIRST, FIRST], [LAST, LAST], [[1, 0, 2], [3, 1, 1]]),  # without a batch
    ("im2col", [[LINE]], [[[1] * 4] * 3], [[[2] * 4] * 3], [[[2] * 4] * 3]),  # as windows of a sequence: no slots
    ("_softmax", [A], FIRST, LAST, FIRST), ("_softmax", [[0, 0, 0]], FIRST, LAST, LAST),
    ("logsumexp", [[A, B]], FIRST, LAST, LAST), ("logsumexp", [[A, B]], FIRST, ALL, [0, 0, 0]),
    ("sum", [[A, B]], FIRST, LAST, LAST), ("sum", [A], FIRST, LAST, LAST), ("sum", [A], [1], [2], [0]),
    ("sum", [A], [2, 2], [2, 2], [0, 0]), ("sum", [A], [1, 1], [3, 2], [3, 2]),
    ("cumsum", [A], FIRST, LAST, [1, 0, 2]), ("cumsum", [A, B], [1] * 3, ALL, [1, 0, 2]),
    ("cumsum", [[0, 0, 0], B], FIRST, LAST, [3, 1, 1]), ("cumsum", [[6, 6], A], FIRST, LAST, [1, 0, 2]),
    ("cumsum", [[6, 6]], FIRST, LAST, LAST), ("cumsum", [[6, 6]], [1, 1, 1], ALL, [0, 0, 0]),
    ("cumsum", [[6, 6]], [1, 1, 2], ALL, ALL), ("cumsum", [[6, 6]], [1, 1, 1], LAST, LAST),
    ("cumsum", [[6, 6]], FIRST, [2, 2, 2], [2, 2, 2]),
]  # fmt: skip


def slots(name, codes, low, high, marks=()):
    packet, _, overload = name.partition(".")
    func = getattr(torch.ops.aten, packet)
    record = SimpleNamespace(call=SimpleNamespace(func=getattr(func, overload or func.overloads()[0]), marks=marks))
    low, high = torch.tensor(low), torch.tensor(high)
    return _slots(record, list(map(torch.tensor, codes)), tuple(high.shape), (low, high), MIXED).tolist()


@pytest.mark.parametrize(("name", "codes", "low", "high", "expected"), SLOTS)
def test_what_reads_several_homes_has_that_of_its_slot(name, codes, low, high, expected):
    assert slots(name, codes, low, high) == expected


def test_what_is_put_where_the_input_says_belongs_nowhere():
    numbers, unknown, known = (
        uniform(torch.zeros(2, dtype=kind), fixed=fixed)
        for kind, fixed in ((torch.float32, False), (torch.int64, False), (torch.int64, True))
    )
    for marks, told in (([numbers, known], False), ([], False), ([numbers, unknown], True), ([unknown, known], True)):
        assert _by_data(SimpleNamespace(call=SimpleNamespace(marks=marks))) is told
        assert slots("scatter.src", [[6, 6]], FIRST, LAST, marks) == ([0, 0, 0] if told else LAST)
        assert slots("scatter.src", [A], FIRST, LAST, marks) == [1, 0, 2]
        assert slots("cumsum", [[6, 6]], FIRST, LAST, marks) == LAST


RUN = [
    (lambda x: x.flip(0), [2, 5, 6], [6, 5, 2], [False] * 3), (lambda x: x.sum(), [2, 4, 6], 1, True),
    (lambda x: x.cumsum(0), [2, 4, 6], [2, 5, 7], [False, True, True]),
    (lambda x: x.cumsum(0), [1, 4, 6], [1, 4, 7], [False, False, True]),
    (lambda x: x.cumsum(0), [1, 4, 5], [1, 4, 5], [False] * 3), (lambda x: x + 1, [2, 5, 0], [2, 5, 0], [False] * 3),
    (lambda x: x + 1, [0, 0, 0], [0, 0, 0], [False] * 3), (lambda x: x.softmax(0), [2, 4, 6], [3, 3, 3], [True] * 3),
    (lambda x: x.amax(0), [[2, 4], [6, 4]], [7, 4], [True, False]),
]  # fmt: skip


@pytest.mark.parametrize(("forward", "codes", "expected", "several"), RUN)
def test_codes_tell_the_home_and_whether_sites_were_mixed(forward, codes, expected, several):
    x = torch.randn(torch.tensor(codes).shape)
    steps = torch.arange(len(x)).view(-1, *[1] * (x.ndim - 1)).expand(x.shape)
    record = run_of(forward, x, steps).tape[0]
    beside = [torch.zeros(held.place.shape, dtype=torch.int64) for held in record.inputs[1:]]
    (found, mixes), *_ = homes_given(record, [torch.tensor(codes), *beside], MIXED)
    assert (found.tolist(), mixes.tolist()) == (expected, several)
