import sys
from types import SimpleNamespace

import pytest
import torch

from pixkit.modes import Mode, taken_apart


class Counting(Mode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func.name())
        return func(*args, **(kwargs or {}))


class Named(Counting):
    """One that takes the method from the class before it."""


def test_looking_at_operations_does_not_import_the_compiler_and_keeps_one_off_that_is_there(monkeypatch):
    kept = []
    compiler = SimpleNamespace(disable=lambda plain, recursive, wrapping: kept.append(plain) or plain)
    monkeypatch.setitem(torch.__dict__, "_dynamo", compiler)
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    modes = [Counting(), Named()]
    for mode in modes:
        with mode:
            torch.ones(2) + 1
    assert "torch._dynamo" not in sys.modules and kept == []
    monkeypatch.setitem(sys.modules, "torch._dynamo", compiler)
    for mode in modes:
        with mode:
            torch.ones(2) + 1
        assert mode.seen == ["aten::ones", "aten::add.Tensor"] * 2
    assert [plain.__qualname__ for plain in kept] == ["Counting.__torch_dispatch__"]


def test_operations_of_operations_are_called_through_their_functions():
    cond = SimpleNamespace(name=lambda: "cond")
    branches = (lambda x: x + 1), (lambda x: x - 1)
    assert [taken_apart(cond, (torch.tensor(flag), *branches, (5,)), {}) for flag in (True, False)] == [6, 4]
    dense = {torch._C.DispatchKey.CompositeExplicitAutograd: lambda *given, **named: (given, named)}
    assert taken_apart(SimpleNamespace(name=lambda: "scan", py_kernels=dense), (1, 2), {"a": 3}) == ((1, 2), {"a": 3})
    with pytest.raises(TypeError, match="does not consist of other operations"):
        taken_apart(SimpleNamespace(name=lambda: "scan", py_kernels={}), (), {})
