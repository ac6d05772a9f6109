"""Whatever a network holds, a change of it is noticed, also if what is there now is equal to what was."""

import enum
import functools

import numpy as np
import pytest
import torch
from test_content_alike import Other, Plain, Slotted, closing, holding, sums, twice
from torch import nn

from pixkit.readiness.content import Content

pytestmark = pytest.mark.quick


def unfinished():
    """A function that closes over something that is not there yet."""

    def function(x):
        return x * later

    return function
    later = 1


def filled(function):
    function.__closure__[0].cell_contents = 2


def renamed(table):
    table["b"] = table.pop("a")


class Alike:
    """Whose instances have the slots of another class."""

    __slots__ = ("one", "two")


class Owned:
    """Whose class is of its own."""

    def __init__(self):
        self.one = 1


def owned(**kept):
    return type("Own", (Owned,), {"__module__": __name__, **kept})()


def within(name, wrap):
    """An object whose class has a function within something else, and a change of that function."""

    def change(held):
        getattr(vars(type(held))["two"], name).__defaults__ = (2,)

    return lambda: owned(two=wrap(closing(1))), change


CHANGED = {
    "how a property is read": within("fget", property),
    "how a property is set": within("fset", lambda function: property(twice, function)),
    "a static method": within("__func__", staticmethod),
    "a class's method": within("__func__", classmethod),
    "a property that is kept": within("func", functools.cached_property),
    "a function whose results are kept": within("__wrapped__", functools.lru_cache(2)),
    "an item that moves to another list": (lambda: [[1], [2]], lambda held: held[0].append(held[1].pop())),
    "an entry that moves to another table": (
        lambda: [{"a": 1}, {"b": 2}], lambda held: held[0].update(b=held[1].pop("b"))
    ),
    "a name": (lambda: {"a": 1}, renamed),
    "an item": (lambda: [[1]], lambda held: held[0].append(2)),
    "another item": (lambda: [[1]], lambda held: held.__setitem__(0, [1])),
    "another entry": (lambda: {"a": [1]}, lambda held: held.update(a=[1])),
    "a member": (lambda: {1}, lambda held: held.add(2)),
    "a number of an array": (lambda: np.zeros(2), lambda held: held.__setitem__(0, 1.0)),
    "a shape": (lambda: np.zeros(2), lambda held: setattr(held, "shape", (1, 2))),
    "an attribute": (lambda: Plain(one=1), lambda held: setattr(held, "one", 2)),
    "all attributes": (lambda: Plain(one=1), lambda held: setattr(held, "__dict__", {"one": 2})),
    "a slot": (lambda: Slotted(one=1), lambda held: setattr(held, "one", 2)),
    "a slot that was empty": (lambda: Slotted(one=1), lambda held: setattr(held, "two", 2)),
    "a class": (lambda: Plain(one=1), lambda held: setattr(held, "__class__", Other)),
    "a class of slots": (lambda: Slotted(one=1), lambda held: setattr(held, "__class__", Alike)),
    "what a method in C is of": (lambda: {"a": 1}.get, lambda held: held.__self__.update(a=2)),
    "an attribute of a list's class": (
        type("Own", (list,), {"__module__": __name__}), lambda held: setattr(type(held), "two", 2)
    ),
    "an attribute of a class that is held": (lambda: type(owned()), lambda held: setattr(held, "two", 2)),
    "an attribute of a member's class": (
        lambda: enum.Enum("Own", "ONE", module=__name__).ONE, lambda held: setattr(type(held), "two", 2)
    ),
    "an attribute of a class": (owned, lambda held: setattr(type(held), "two", 2)),
    "another of a class": (lambda: owned(two=1), lambda held: setattr(type(held), "two", 2)),
    "the bases of a class": (owned, lambda held: setattr(type(held), "__bases__", (Plain,))),
    "a property": (lambda: owned(two=property(twice)), lambda held: setattr(type(held), "two", property(sums))),
    "code": (lambda: closing(1), lambda held: setattr(held, "__code__", held.__code__.replace(co_name="other"))),
    "a default": (lambda: closing(1), lambda held: setattr(held, "__defaults__", (2,))),
    "a default by name": (lambda: closing(1), lambda held: setattr(held, "__kwdefaults__", {"by": 2})),
    "another default by name": (lambda: closing(1), lambda held: held.__kwdefaults__.update(by=2)),
    "an attribute of a function": (lambda: closing(1), lambda held: setattr(held, "gain", 2)),
    "what is closed over": (lambda: closing(1), filled),
    "what is closed over at last": (unfinished, filled),
    "the numbers of a tensor": (lambda: torch.zeros(2), lambda held: held.add_(1)),
    "where a tensor lies": (lambda: torch.zeros(2), lambda held: setattr(held, "data", torch.zeros(2))),
    "whether a tensor has a gradient": (lambda: torch.zeros(2), lambda held: held.requires_grad_()),
    "an attribute of a tensor": (lambda: torch.zeros(2), lambda held: setattr(held, "gain", 2)),
    "the mode of a part": (lambda: [nn.Tanh()], lambda held: held[0].eval()),
    "a buffer of a part": (lambda: [nn.Tanh()], lambda held: held[0].register_buffer("one", torch.zeros(1))),
    "a hook of a part": (lambda: [nn.Tanh()], lambda held: held[0].register_forward_hook(lambda *args: None)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_what_was_examined_stands_until_it_changes(name):
    """Equal things in place of others change it as well: they may differ later, and a plan refers to the first."""
    make, change = CHANGED[name]
    module = holding(make())
    content = Content(module)
    assert content.stands() and content.holds(module)
    change(module.held)
    assert not content.stands() and not content.holds(module)
