"""Which operation on the way of a leak is to blame: each question that is asked of it, on runs of a few numbers."""

from types import SimpleNamespace

import pytest
import torch
from needs import run_of

from pixkit.readiness.elements.blame import Leak
from pixkit.readiness.elements.homes import Homes
from pixkit.readiness.elements.path import Pass, way_back

pytestmark = pytest.mark.quick
STEPS = torch.tensor([-1, 0, 1])
"""Of no site, and of two sites."""


def record(name, *ready):
    func = SimpleNamespace(overloadpacket=SimpleNamespace(__name__=name))
    held = [SimpleNamespace(marks=SimpleNamespace(ready=torch.tensor(each)), place=None) for each in ready]
    return SimpleNamespace(call=SimpleNamespace(func=func), inputs=held, results=held)


def leak(records, way=(), output=(0, 0), strict=False, step=0, **homes):
    """Of one-dimensional tensors; the way leads through the first element of each."""
    home, ready = output
    held = SimpleNamespace(place=None, marks=SimpleNamespace(ready=torch.tensor([ready])))
    told = SimpleNamespace(steps=STEPS, at_output=lambda place: torch.tensor([home]))
    for name, given in homes.items():
        setattr(told, name, [[torch.tensor(each) for each in one] for one in given])
    told.given = lambda number, place: told.returned[number][place]
    passes = [Pass(number, (0, (0,)), (0, (0,))) for number in way]
    return Leak(records, (), passes, told, held, (0,), step, strict)


MIXING = [  # operations, the mixing ones, those on the way, and the one to blame
    (["bmm", "mul", "_softmax", "bmm"], [0, 3], [0, 3], 2), (["bmm", "mul", "bmm", "_softmax"], [0, 2], [0, 2], 0),
    (["bmm", "relu", "mean"], [0, 2], [0, 1, 2], 0), (["convolution", "_softmax"], [0, 1], [0, 1], 0),
    (["mean", "mean", "mean"], [1], [0, 2], 1), (["mean", "mean", "mean"], [0, 2], [1, 2], 2),
    (["mul", "add", "relu"], [], [0, 1], 1), (["mul", "bmm", "_softmax", "bmm"], [1, 3], [0, 1, 2, 3], 2),
    (["bmm", "_softmax", "mul", "bmm"], [0], [0], 1),
    (["_softmax", "bmm", "add", "logsumexp", "_softmax"], [1], [1], 3),
]  # fmt: skip


@pytest.mark.parametrize(("names", "mixing", "way", "expected"), MIXING)
def test_where_all_is_late_what_mixes_first_is_to_blame_and_in_attention_the_softmax(names, mixing, way, expected):
    mixes = [[[number in mixing, False]] for number in range(len(names))]
    assert leak(list(map(record, names)), way, mixing=mixes)._mixing() == expected


@pytest.mark.parametrize(("homes", "ready", "slack", "harmless"), [
    ([[1, 2]], [[1, 2]], 1, True), ([[1, 2]], [[1, 2]], 0, False), ([[1, 2]], [[0, 1]], 0, True),
    ([[1, 2]], [[1, 3]], 1, False), ([[2, 1]], [[2, 2]], 1, False), ([[0, 2]], [[9, 2]], 1, True),
    ([[0, 0]], [[2, 2]], 1, False), ([[0, 0]], [[1, 1]], 1, False), ([[0, 0]], [[0, 0]], 1, True),
    ([[0, 0]], [[1, 2]], 1, True), ([[0, 1]], [[1, 1]], 1, True), ([[1, 2], [1, 2]], [[1, 2], [1, 3]], 1, False),
    ([[1, 2], [1, 2]], [[1, 2], [1, 2]], 1, True),
])  # fmt: skip
def test_a_call_is_harmless_if_nothing_is_late_for_its_home(homes, ready, slack, harmless):
    assert leak([record("relu"), record("add", *ready)], returned=[[], homes])._harmless(1, slack) is harmless


@pytest.mark.parametrize(("home", "ready", "in_time"), [
    (1, [0, 9], (True, True)), (1, [1, 0], (False, True)), (1, [2, 0], (False, False)), (2, [1, 9], (True, True)),
    (2, [2, 0], (False, True)), (2, [3, 0], (False, False)), (0, [1, 2], (False, True)), (0, [2, 2], (False, False)),
])  # fmt: skip
def test_what_is_read_is_in_time_by_the_step_of_its_home(home, ready, in_time):
    found = leak([record("add", ready)], [0], output=(home, ready[0]), read=[[[home, 2]]])
    assert tuple(found._in_time(found.way[0], slack) for slack in (0, 1)) == in_time
    assert tuple(found._output_in_time(slack) for slack in (0, 1)) == (in_time if home else (False, False))


@pytest.mark.parametrize(("output", "way", "expected"), [
    (2, [0, 1, 2], 1), (2, [0, 2], 0), (2, [2], None), (1, [0, 1, 2], None), (0, [0, 1, 2], None),
])  # fmt: skip
def test_what_moved_sites_last_is_to_blame_if_the_output_is_of_a_later_one(output, way, expected):
    found = leak([record("flip"), record("roll"), record("add")], way, output=(output, 2))._misplaced()
    assert (found and found.number) == expected
    assert leak([record("flip")], [0], output=(output, 2), step=1)._misplaced() is None


@pytest.mark.parametrize(("homes", "output", "itself"), [
    ([1, 1], 1, True), ([1, 2], 1, False), ([2, 1], 1, False), ([1, 1], 2, False), ([0, 0], 0, True),
])  # fmt: skip
def test_a_path_that_stays_at_one_site_sees_itself(homes, output, itself):
    found = leak([record("add")] * 2, [0, 1], output=(output, 1), read=[[[home]] for home in homes])
    assert found.sees_itself() is itself


@pytest.mark.parametrize(("ready", "mixing", "place", "expected"), [
    ([1, 1, 1], [1, 2], 2, 1), ([1, 1, 1], [1, 2], 1, None), ([1, 1, 1], [0, 1], 2, 0), ([1, 1, 1], [], 2, None),
    ([1, 2, 1], [0, 1], 2, None), ([1, 1, 2], [0], 1, None),
])  # fmt: skip
def test_on_a_branch_late_by_its_own_site_what_mixes_first_is_to_blame(ready, mixing, place, expected):
    records = [record("add", [each, 0]) for each in ready]
    mixes = [[[False, number in mixing]] for number in range(3)]
    found = leak(records, [0, 1, 2], read=[[[1, 2]]] * 3, mixing=mixes)._mixed_before(place)
    assert (found and found.number) == expected


def added(x):
    return x + x.flip(0)


JOINS = [  # an output element, its step, whether strict; the last operation's homes in time, the mover, and the join
    (added, (0,), 0, False, {1}, "flip", "flip"), (added, (2,), 2, False, {1}, None, "add"),
    (added, (0,), 0, True, set(), None, None), (lambda x: x + x.sum(), (0,), 0, False, {1}, None, "add"),
    (lambda x: x * x, (1,), 1, False, {2}, None, "mul"), (lambda x: x * x, (1,), 1, True, set(), None, None),
    (lambda x: x * x, (1,), 2, True, {2}, None, "mul"), (lambda x: x.flip(0), (0,), 0, False, set(), None, None),
    (lambda x: torch.stack([x, x.flip(0)]), (1, 0), 0, False, set(), None, None),
    (lambda x: torch.stack([x, x.flip(0)]), (1, 0), 2, False, {3}, None, "stack"),
    (lambda x: torch.where(torch.tensor([False, True, True]), x, x.flip(0)), (0,), 0, False, set(), None, None),
    (lambda x: torch.where(torch.tensor([False, True, True]), x.flip(0), x), (1,), 1, False, set(), None, None),
    (lambda x: x[:1] + x[1:2].exp() + 0 * x.sum(), (0,), 0, False, set(), None, "add"),
]  # fmt: skip


@pytest.mark.parametrize(("forward", "index", "step", "strict", "others", "mover", "joined"), JOINS)
def test_of_a_late_branch_that_joins_one_in_time_what_moved_it_is_to_blame(
    forward, index, step, strict, others, mover, joined
):
    steps = torch.arange(3)
    run = run_of(forward, torch.tensor([0.3, -1.0, 2.0]), steps)
    output = run.held(run.output)
    way, _ = way_back(run.tape, run.start, output.place, index)
    found = Leak(run.tape, run.views, way, Homes(run.tape, run.views, run.start, steps), output, index, step, strict)

    def name(each):
        return each and found._name(each)

    assert (found._timely_others(way[-1]), name(found._mover(len(way) - 1))) == (others, mover)
    assert name(found._joined()) == joined
