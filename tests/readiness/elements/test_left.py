"""What a call leaves for the next one: every kind of state, looked at directly."""

from array import array
from collections import OrderedDict, deque
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from pixkit.readiness.elements.left import Left, left
from pixkit.readiness.elements.marks import Marks

pytestmark = pytest.mark.quick
COUNTS = {"calls": 0}


class Slotted:
    __slots__ = ("calls",)

    def __init__(self):
        self.calls = 0


class Own:
    shared = 0

    def __init__(self):
        self.calls = 0


def counting():
    return COUNTS["calls"]


def made():
    calls = [0]

    def call(more=[0], *, named=[0]):  # noqa: B006 - state is what is looked for
        return calls[0] + more[0] + named[0] + counting()

    return call, calls


class Net(nn.Module):
    classes = [0]  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.number, self.text, self.raw, self.none = 0, "a", bytearray(b"a"), None
        self.list, self.deep, self.queue = [0, 1], {"a": ({"b": [0]},)}, deque([0, 1])
        self.order, self.array, self.packed = OrderedDict(a=0, b=1), np.zeros(2), array("d", [0.0])
        self.tensor, self.space, self.slotted, self.own = torch.zeros(2), SimpleNamespace(calls=0), Slotted(), Own()
        self.row, (self.call, self.calls) = iter([1, 2, 3]), made()
        self.register_buffer("buffer", torch.zeros(2))
        self.part = nn.Module()
        self.part.number = 0

    def forward(self, x):
        return self.helped(x) + COUNTS["calls"]

    def helped(self, x):
        return x + self.unhelped.__name__.count("x") * other()

    def unhelped(self, x):
        return x


def other():
    return 0


LEFT = {
    "number": lambda net: setattr(net, "number", 1),
    "text": lambda net: setattr(net, "text", "b"),
    "raw": lambda net: net.raw.__setitem__(0, 98),
    "none": lambda net: setattr(net, "none", False),
    "list": lambda net: net.list.reverse(),
    "deep": lambda net: net.deep["a"][0]["b"].append(0),
    "queue": lambda net: net.queue.rotate(),
    "order": lambda net: net.order.move_to_end("a"),
    "array": lambda net: net.array.__setitem__(1, 1),
    "packed": lambda net: net.packed.__setitem__(0, 1.0),
    "tensor": lambda net: net.tensor[1:].add_(1),
    "space": lambda net: setattr(net.space, "calls", 1),
    "slotted": lambda net: setattr(net.slotted, "calls", 1),
    "own": lambda net: setattr(net.own, "calls", 1),
    "row": lambda net: next(net.row),
    "call": lambda net: net.calls.append(net.calls.pop() + 1),
    "new": lambda net: setattr(net, "new", None),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_an_attribute_holds_is_left_by_its_name(name):
    net = Net()
    before = left(net)
    assert before.differing(left(net)) is None
    LEFT[name](net)
    assert before.differing(left(net)) == ("Net", name) == left(net).differing(before)


@pytest.mark.parametrize("change", [
    lambda call: call.__defaults__[0].append(call.__defaults__[0].pop() + 1),
    lambda call: call.__kwdefaults__["named"].append(call.__kwdefaults__["named"].pop() + 1),
    lambda call: call.__dict__.update(calls=1),
])  # fmt: skip
def test_what_a_function_holds_is_left(change):
    net = Net()
    before = left(net)
    change(net.call)
    assert before.differing(left(net)) == ("Net", "call")


def test_a_part_a_class_and_what_code_names_are_left(monkeypatch):
    net, here = Net(), f"{__name__}.Net"
    before = left(net)
    net.part.number = 1
    assert before.differing(left(net)) == ("part (Module)", "number")
    net.part.number = 0
    monkeypatch.setattr(Net, "classes", [1])
    assert before.differing(left(net)) == (here, "classes")
    monkeypatch.undo()
    monkeypatch.setitem(COUNTS, "calls", 1)
    assert before.differing(left(net)) == (here, "forward"), "which names it"
    monkeypatch.undo()
    monkeypatch.setattr(Own, "shared", 1)
    assert before.differing(left(net)) == ("Net", "own")
    monkeypatch.undo()
    assert before.differing(left(net)) is None


def test_what_a_later_call_does_not_find_is_not_left():
    net = Net()
    before = left(net)
    net.buffer.add_(1)
    net.register_forward_hook(lambda *args: None)
    net.eval()
    assert before.differing(left(net)) == ("Net", "training")
    net.train()
    assert before.differing(left(net)) is None, "hooks may look, and buffers are followed"


def test_a_callable_that_is_no_module_is_looked_at_as_well():
    call, calls = made()
    before = left(call)
    assert before.differing(left(call)) is None
    calls[0] = 1
    assert before.differing(left(call)) == ("", "what it refers to")


def marks(ready, fixed, values, kind=torch.float32):
    return Marks(torch.tensor(ready), torch.tensor(fixed), torch.tensor(values, dtype=kind))


def test_tensors_that_are_kept_are_told_by_what_is_known_of_them():
    net, given = Net(), ([1, 0], [False, True], [5.0, 2.0])
    first = _kept(net, marks(*given))
    assert first.differing(_kept(net, marks([1, 0], [False, True], [6.0, 2.0]))) is None, "what is not fixed"
    others = [
        *(marks([1, 0], [False, True], [5.0, 3.0]), marks([2, 0], [False, True], [5.0, 2.0])),
        *(marks([1, 0], [False, False], [5.0, 2.0]), marks(*given, torch.float64), marks([1], [False], [5.0])),
    ]
    said = ("", "the values of tensors kept from its calls")
    assert [first.differing(_kept(net, other)) for other in others] == [said] * len(others)


def _kept(net, *kept):
    return left(net, kept, SimpleNamespace(written=(), count=0))


@pytest.mark.parametrize(("later", "known", "same"), [
    ({0: "a"}, 1, True), ({0: "b"}, 1, False), ({}, 1, False), ({0: "a", 1: "b"}, 1, True),
    ({0: "a", 1: "b"}, 2, False), ({0: "a", 2: "b"}, 2, True),
])  # fmt: skip
def test_memory_that_only_the_later_call_has_met_is_its_own(later, known, same):
    before = Left({}, frozenset(), {0: "a"}, known)
    expected = None if same else ("", "the values written to tensors from outside")
    assert before.differing(Left({}, frozenset(), later, 9)) == expected
