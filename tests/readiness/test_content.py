"""Whatever a module's calls depend on, a change of it is noticed."""

import builtins
import copy
import enum
import functools
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from pixkit.readiness import values
from pixkit.readiness.content import Content, Untold
from pixkit.readiness.libraries import is_known
from pixkit.readiness.telling import Telling

pytestmark = pytest.mark.quick

OUTER, NEAR, BY = types.ModuleType("outer"), types.ModuleType("outer.near"), {"by": 1.0}
OUTER.near = NEAR


def twice(x):
    return 2 * x


def read(x):
    return x * BY["by"]


def times(factors, x, more):
    return x * factors[0] * more["by"]


NEAR.turned = NEAR.shifted = lambda x: x


class Mode(enum.Enum):
    LIST = [1.0]  # noqa: RUF012 - that it can change is the point


class Slotted:
    __slots__ = ("by",)


class Calm:
    def last(self, x):
        return x


class Wild:
    def last(self, x):
        return 2 * x


def last():
    """Of a class of its own, since its bases change."""

    class Last(Calm, nn.Module):
        def forward(self, x):
            return self.last(x)

    return Last()


class Doubled(nn.Tanh):
    def forward(self, x):
        return 2 * x


class Sly(nn.Module):
    """Its forward goes far for what it computes."""

    __slots__ = ("slotted",)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2, 1, 1))
        self.tied, self.weight.gain = self.weight, 1.0
        self.table, self.array, self.held, self.slotted, self.mode = {"by": 1.0}, np.ones(1), Slotted(), 1.0, Mode.LIST
        self.held.by, self.get, self.swap, self.last = 1.0, self.table.get, nn.Tanh(), last()
        self.drop = nn.Dropout(0.5).eval()
        self.count, self.word, self.kind = 1, "one", torch.float32
        self.part, self.space = functools.partial(times, [1.0], more={"by": 1.0}), types.SimpleNamespace(by=1.0)
        factors = self.factors = [1.0]
        self.closed = lambda x: x * factors[0]

    def forward(self, x):
        from outer.near import shifted

        x = OUTER.near.turned(shifted(x)) * self.get("by") * self.held.by * self.slotted * self.mode.value[0]
        x = self.last(self.closed(self.swap(abs(x)) * self.weight * self.weight.gain * float(self.array[0])))
        x = self.part(x).to(self.kind) * self.space.by * self.count * len(self.word)
        return self.drop(torch.cosh(x)) * (1.0 if self.tied.requires_grad else 2.0)


def set_to(name, value):
    return lambda sly, patch: setattr(sly, name, value)


def strided(sly, patch):
    sly.weight.data = sly.weight.data.to(memory_format=torch.channels_last).as_strided((2, 2, 1, 1), (1, 2, 1, 1))


CHANGES = {
    "a helper two imports away": lambda sly, patch: patch.setattr(NEAR, "turned", twice),
    "what is imported as it runs": lambda sly, patch: patch.setattr(NEAR, "shifted", twice),
    "a function of torch": lambda sly, patch: patch.setattr(torch, "cosh", twice),
    "what a known class calls": lambda sly, patch: patch.setitem(BY, "by", 2.0),
    "a known class": lambda sly, patch: patch.setattr(nn.Tanh, "forward", lambda self, x: x),
    "a global in place of a builtin": lambda sly, patch: patch.setitem(globals(), "abs", twice),
    "the class of a part": lambda sly, patch: setattr(sly.swap, "__class__", Doubled),
    "the class itself": lambda sly, patch: setattr(sly, "__class__", type("Other", (Sly,), {})),
    "the bases of a class": lambda sly, patch: setattr(type(sly.last), "__bases__", (Wild, nn.Module)),
    "an attribute of a tensor": lambda sly, patch: setattr(sly.weight, "gain", 2.0),
    "a slot": lambda sly, patch: setattr(sly.held, "by", 2.0),
    "a slot of a module": set_to("slotted", 2.0),
    "what a method in C is of": lambda sly, patch: sly.get.__self__.update(by=2.0),
    "what a member stands for": lambda sly, patch: patch.setattr(Mode.LIST, "_value_", [2.0]),
    "what a member's list holds": lambda sly, patch: Mode.LIST.value.append(Mode.LIST.value.pop() * 2),
    "what is closed over": lambda sly, patch: sly.factors.append(sly.factors.pop() * 2),
    "what a part of a call is given": lambda sly, patch: sly.part.args[0].append(sly.part.args[0].pop() * 2),
    "what it is given by name": lambda sly, patch: sly.part.keywords["more"].update(by=2.0),
    "a number": set_to("count", 2),
    "a truth in its place": set_to("count", True),
    "a word": set_to("word", "four"),
    "a type of numbers": set_to("kind", torch.float64),
    "a namespace": lambda sly, patch: setattr(sly.space, "by", 2.0),
    "an array": lambda sly, patch: sly.array.__imul__(2),
    "a dropout that trains": lambda sly, patch: sly.drop.train(),
    "no gradient": lambda sly, patch: sly.weight.requires_grad_(False),
    "weights that are tied no more": lambda sly, patch: setattr(sly, "tied", nn.Parameter(sly.weight.detach().clone())),
    "where numbers lie": strided,
    "a hook before": lambda sly, patch: sly.swap.register_forward_pre_hook(lambda module, args: (2 * args[0],)),
    "equals": lambda sly, patch: torch.utils.swap_tensors(sly.weight, nn.Parameter(2 * sly.weight.detach())),
}


@pytest.fixture
def sly(monkeypatch):
    for name, module in (("outer", OUTER), ("outer.near", NEAR)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(nn.Tanh, "forward", lambda self, x: read(torch.tanh(x)))
    return nn.Sequential(Sly())


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(change, sly, monkeypatch):
    content = Content(sly)
    assert content.foreign and content.holds(sly)
    sly(torch.ones(1, 2, 2, 2))
    assert content.holds(sly)
    CHANGES[change](sly[0], monkeypatch)
    assert not content.holds(sly)
    if change == "a hook before":
        with pytest.raises(Untold):
            Content(sly)
    else:
        assert Content(sly).holds(sly)


def test_other_weights_for_a_while(sly):
    content, seen = Content(sly), []

    class Outside(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = sly

        def forward(self):
            seen.append(content.holds(self.inner))

    torch.func.functional_call(Outside(), {"inner.0.weight": 2 * sly[0].weight}, ())
    assert seen == [False] and content.holds(sly)


def test_what_lies_deep_is_told():
    deep = nn.Identity()
    deep.inner = inner = [1.0]
    for _ in range(3000):
        deep.inner = [deep.inner]
    content = Content(deep)
    assert content.holds(deep)
    inner[0] = 2.0
    assert not content.holds(deep)


def test_a_copy_changes_nothing():
    class Fresh(nn.Identity):
        """In whose dictionary Python notes something when it is first copied."""

    fresh = Fresh()
    content = Content(fresh)
    copy.copy(fresh)
    assert "__slotnames__" in vars(Fresh) and content.holds(fresh)


def test_a_module_is_told_up_to_some_size(monkeypatch):
    class Holding(nn.Module):
        def __init__(self):
            super().__init__()
            self.many = [[1.0], [1.0], [1.0]]
            self.many.append(self.many[-1])

    held = Holding()
    told = len(Telling(held)._numbers)
    monkeypatch.setattr(values, "MOST", told - 1)
    assert Content(held).holds(held)
    held.many.append([1.0])
    with pytest.raises(Untold, match="too many"):
        Content(held)


UNTOLD = [{Calm(), 1}, np.array([None]), torch.zeros(2).to_sparse(), iter([1]), torch._neg_view(torch.zeros(2))]
UNTOLD += [torch.zeros(2, dtype=torch.complex64).conj(), torch.zeros(2, dtype=torch.complex128)]


@pytest.mark.parametrize("held", UNTOLD)
def test_what_cannot_be_told(held):
    module = nn.Identity()
    module.held = [1.0]
    assert Content(module).holds(module)
    module.held.append(held)
    with pytest.raises(Untold):
        Content(module)


def test_what_is_not_told():
    class Rooted(nn.Module):
        __slots__ = ("by",)

    with pytest.raises(Untold):
        Content(Rooted())


def test_a_file_that_is_called_like_one_of_pythons(monkeypatch):
    assert is_known("builtins") and is_known(builtins.__name__) and is_known("json.decoder") and is_known("torch.nn")
    assert not is_known("__main__") and not is_known(None) and not is_known("outer")
    mine = types.ModuleType("chunk")
    mine.__file__ = "/home/me/chunk.py"
    monkeypatch.setitem(sys.modules, "chunk", mine)
    assert not is_known("chunk")
