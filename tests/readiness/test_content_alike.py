"""Two networks that hold equal things are told alike, and those that hold different ones are told apart."""

import enum
import functools
import types
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from pixkit.memory.keep import Keep
from pixkit.readiness.content import Content, Untold

pytestmark = pytest.mark.quick
NAN = float("nan")


class Mode(enum.Enum):
    ONE, TWO = 1, 2


class Plain:
    def __init__(self, **kept):
        vars(self).update(kept)

    def does(self, x):
        return x


class Other(Plain):
    pass


class Slotted:
    __slots__ = ("one", "two")

    def __init__(self, **kept):
        for name, value in kept.items():
            setattr(self, name, value)


class Listed(list):
    pass


class Named(dict):
    pass


def listed(*items, **kept):
    made = Listed(items)
    vars(made).update(kept)
    return made


def closing(number, default=1, *, keyword=1, **kept):
    """A function that closes over a number."""

    def function(x, more=default, *, by=keyword):
        return x * number * more * by

    vars(function).update(kept)
    return function


def twice(x):
    return 2 * x


def sums(x):
    return x + x


def caching(function):
    return functools.lru_cache(2)(function)


def described(getter):
    """An object of a class that has such a property."""
    return type("Described", (Plain,), {"__module__": __name__, "told": getter})()


def strided(*strides):
    return torch.zeros(4).as_strided((1, 2), strides)


KEPT, LATER = Plain(one=1), [1.0]
SHARED, INDEX = [1], LATER.index
ALIKE = {
    "numbers": lambda: [1, 2.5, NAN, -0.0, True, None, ..., "one", b"one", range(3)],
    "types of torch": lambda: [torch.float32, torch.device("cpu"), torch.strided, torch.channels_last],
    "lists": lambda: [[1, [2]], (3, [4]), {"five": [6]}, {7, 8}, frozenset({9})],
    "objects": lambda: [Plain(one=[1]), Slotted(one=[1]), types.SimpleNamespace(one=[1]), slice(1, 2), listed(1, by=2)],
    "functions": lambda: [twice, closing(1), closing(1, 2, keyword=3, gain=4), functools.partial(twice, [1])],
    "methods": lambda: [Plain(one=1).does, weakref.ref(KEPT), INDEX, Mode.ONE, Plain],
    "arrays": lambda: [np.arange(3), np.float32(1), torch.arange(3), torch.zeros(2, requires_grad=True)],
    "tensors in other orders": lambda: [torch.arange(6.0)[::2], torch.arange(6.0).view(2, 3).mT, torch.arange(3) > 1],
    "one thing twice": lambda: [SHARED, SHARED],
}
APART = [
    (1, 2), (1, True), (1, 1.0), (0.0, -0.0), (1.0, 2.0), ("1", 1), ("a", "b"), (b"a", "a"), (range(2), range(3)),
    (None, ...), (torch.float32, torch.float64), ([1], [2]), ([1], (1,)), ([1], [1, 1]), ([[1], 2], [[1, 2]]),
    ([[1], []], [[], [1]]), ([SHARED, SHARED], [[1], [1]]), ({"a": 1}, {"a": 2}), ({"a": 1}, {"b": 1}),
    ({1}, {2}), ({1}, frozenset({1})), (listed(1), [1]), (listed(1, by=1), listed(1, by=2)), (Named(a=1), {"a": 1}),
    (Plain(one=1), Plain(one=2)), (Plain(one=1), Plain(two=1)), (Plain(one=1), Other(one=1)), (Plain(), Other()),
    (Slotted(one=1), Slotted(one=2)), (Slotted(one=1), Slotted(two=1)), (slice(1), slice(2)),
    (types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)), (types.SimpleNamespace(a=1), Plain(a=1)),
    (twice, sums), (closing(1), closing(2)), (closing(1), closing(1, 2)), (closing(1), closing(1, keyword=2)),
    (closing(1), closing(1, gain=2)), (functools.partial(twice, 1), functools.partial(twice, 2)),
    (functools.partial(twice, 1), functools.partial(sums, 1)),
    (functools.partial(twice, x=1), functools.partial(twice, x=2)), (caching(twice), caching(sums)),
    (Plain(one=1).does, Plain(one=2).does), (KEPT.does, KEPT.__init__), (Plain, Other), (Mode.ONE, Mode.TWO),
    (LATER.index, LATER.count), ([1].index, [2].index), (weakref.ref(KEPT), weakref.ref(Mode.ONE)),
    (np.arange(3), np.arange(1, 4)), (np.zeros(2), np.zeros(2, np.float32)), (np.zeros(2), np.zeros((1, 2))),
    (np.zeros(1, np.int64), np.zeros(1)), (np.float32(1), np.float64(1)), (torch.zeros(2), torch.ones(2)),
    (torch.zeros(2), -torch.zeros(2)), (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
    (torch.zeros(2), torch.zeros(1, 2)), (torch.zeros(2), nn.Parameter(torch.zeros(2), False)),
    (torch.zeros(2), torch.zeros(2, requires_grad=True)), (strided(1, 1), strided(2, 1)),
    (torch.tensor([True]), torch.tensor([False])), (nn.Tanh(), nn.Sigmoid()), (nn.Tanh(), nn.Tanh().eval()),
    (nn.Sequential(nn.Tanh()), nn.Sequential()), (nn.ReLU(), nn.ReLU(True)), (nn.Linear(1, 1), nn.Linear(1, 1, False)),
    (described(property(twice)), described(property(sums))),
    (described(property(twice, sums)), described(property(twice))),
    (described(staticmethod(twice)), described(staticmethod(sums))),
    (described(classmethod(twice)), described(classmethod(sums))),
    (described(functools.cached_property(twice)), described(functools.cached_property(sums))),
]  # fmt: skip


def holding(value):
    module = nn.Identity()
    module.held = value
    return module


@pytest.mark.parametrize("name", ALIKE)
def test_equal_contents_are_alike(name):
    one, other = holding(ALIKE[name]()), holding(ALIKE[name]())
    assert Content(one).holds(one) and Content(one).holds(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_different_contents_are_told_apart(one, other):
    one, other = holding(one), holding(other)
    for first, second in ((one, other), (other, one)):
        content = Content(first)
        assert content.holds(first) and not content.holds(second) and content.holds(first)


def test_the_names_of_attributes_and_the_class_and_mode_of_the_whole_count():
    one, other = holding(1), nn.Identity()
    other.other = 1
    assert not Content(one).holds(other) and not Content(other).holds(one)
    more = holding(1)
    more.other = 2
    assert not Content(one).holds(more) and not Content(more).holds(one)
    assert not Content(one).holds(holding(1).eval()) and Content(one).holds(holding(1))
    sub = holding(1)
    sub.__class__ = type("Identity", (nn.Identity,), {})
    assert not Content(one).holds(sub)


def test_a_change_of_the_whole_is_noticed():
    def more(module):
        module.more = 1

    def another(module):
        module.__class__ = type("Identity", (nn.Identity,), {})

    def of_another_class(module):
        module.held[0].__class__ = type("Tensor", (torch.Tensor,), {})

    for change in (more, another, of_another_class):
        module = holding([torch.zeros(2)])
        content = Content(module)
        assert content.holds(module)
        change(module)
        assert not content.holds(module)


@pytest.mark.parametrize("register", ["register_module_forward_hook", "register_module_forward_pre_hook"])
def test_nothing_is_told_where_every_module_has_a_hook(register):
    module = holding(1)
    content = Content(module)
    handle = getattr(nn.modules.module, register)(lambda *args: None)
    try:
        with pytest.raises(Untold, match="a global module hook"):
            Content(module)
        assert not content.stands() and not content.holds(module)
    finally:
        handle.remove()
    assert content.stands() and content.holds(module)


def test_copies_are_shared_with_those_near_that_are_alike():
    """Of the same numbers, type and shape in the same place, of a network with as many tensors."""
    one, zero = holding([torch.ones(2), torch.zeros(2)]), torch.zeros(2)
    content = Content(one)
    assert content.nbytes == 16
    near = Content(holding([torch.ones(2), zero]), [content])
    assert [a is b for a, b in zip(near.copies, content.copies, strict=True)] == [True, True]
    for other in (torch.ones(2), torch.zeros(2, dtype=torch.int32), torch.zeros(1, 2), -zero):
        made = Content(holding([torch.ones(2), other]), [content])
        alike = other.dtype is torch.int32  # as bits
        assert [a is b for a, b in zip(made.copies, content.copies, strict=True)] == [True, alike]
    more = Content(holding([torch.ones(2), zero, zero + 1]), [content])
    assert not any(a is b for a, b in zip(more.copies, content.copies, strict=False))
    zero.fill_(1)
    assert near.copies[1].eq(0).all() and not near.stands()


def test_a_change_of_the_other_is_noticed_as_well():
    one, other = holding([[1], torch.zeros(2)]), holding([[1], torch.zeros(2)])
    content = Content(one)
    assert content.holds(other) and content.holds(other)
    other.held[0].append(2)
    assert not content.holds(other) and content.holds(one)
    other.held[0].pop()
    assert content.holds(other)
    other.held[1].add_(1)
    assert not content.holds(other) and content.holds(one)


def test_what_is_cached_in_a_network_does_not_count():
    one, other = holding(1), holding(1)
    one.cache = Keep()
    content = Content(one)
    assert content.holds(other) and Content(other).holds(one)
    one.cache = Keep()
    assert content.stands() and content.holds(one)
