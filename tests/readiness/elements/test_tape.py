"""Lines of user code: how they read, whose files they are of, and which modules were running."""

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

import pixkit.layers
import pixkit.modes
from pixkit.readiness import prove
from pixkit.readiness.elements.tape import SITE, Line, _name_of, line_here, line_of, serves

pytestmark = pytest.mark.quick
SERVED = {}
exec(
    compile("def quiet(names, outermost):\n    return line_here(names, outermost)", "<served>", "exec"),
    globals(),
    SERVED,
)
quiet = SERVED["quiet"]


class Inner(nn.Module):
    """Asks for the line."""

    def forward(self, names, outermost):
        return line_here(names, outermost)


class Quiet(nn.Module):
    """Has no line of its own."""

    forward = staticmethod(quiet)


class Outer(nn.Module):
    """Calls them."""

    def __init__(self):
        super().__init__()
        self.inner, self.quiet = Inner(), Quiet()

    def forward(self, which, names, outermost):
        return self.helped(which, names, outermost)

    def helped(self, which, names, outermost):
        return getattr(self, which)(names, outermost)


@pytest.mark.parametrize(("line", "text"), [
    (Line("a.py", 3, "f", "part (Net)"), "a.py:3 in f, part (Net)"), (Line("a.py", 3, "f", ""), "a.py:3 in f"),
    (Line("", 0, "", "part (Net)"), "part (Net)"), (Line("", 0, "", ""), "outside every module"),
])  # fmt: skip
def test_a_line_says_where_it_is(line, text):
    assert str(line) == text and (line.text, line.begin, line.callers) == ("", 0, ())
    assert line == Line(line.file, line.number, line.function, line.module, 0, (line,)) and "callers" not in repr(line)
    assert Line(__file__, 1, "", "").text == f'"""{__doc__}"""'


@pytest.mark.parametrize(("file", "servant"), [
    (torch.nn.functional.__file__, True), (np.__file__, True), (str(SITE / "einops" / "layers.py"), True),
    (json.__file__, True), ("<string>", True), (prove.__code__.co_filename, True), (pixkit.modes.__file__, True),
    (pixkit.layers.__file__, False), (__file__, False), (str(SITE / "other" / "net.py"), False), ("net.py", False),
])  # fmt: skip
def test_whose_files_call_operations_for_others(file, servant):
    assert serves(file) is servant


def test_a_module_is_named_by_its_path_and_class():
    part = nn.ReLU()
    assert [_name_of(part, names) for names in ({id(part): "body.act"}, {id(part): ""}, {})] == [
        "body.act (ReLU)", "ReLU", "ReLU"]  # fmt: skip
    assert _name_of(None, {}) == ""


def begins(function):
    return function.__code__.co_firstlineno


def test_the_running_line_has_its_modules_and_those_that_called_it():
    outer, here = Outer(), sys._getframe()
    names = {id(part): path for path, part in outer.named_modules()}
    calls = [
        (__file__, begins(function) + 1, f"Outer.{name}", "Outer", begins(function))
        for name, function in (("helped", Outer.helped), ("forward", Outer.forward))
    ]

    def told(line):
        return line.file, line.number, line.function, line.module, line.begin

    line = outer("inner", names, here)
    assert told(line) == (__file__, begins(Inner.forward) + 1, "Inner.forward", "inner (Inner)", begins(Inner.forward))
    assert [told(each) for each in line.callers] == calls
    line = outer("quiet", names, here)
    assert told(line) == (*calls[0][:3], "quiet (Quiet)", calls[0][4]), "the innermost module is the one that ran"
    assert [told(each) for each in line.callers] == calls[1:]
    assert outer.quiet(names, here) == Line("", 0, "", "quiet (Quiet)")
    assert quiet(names, here) == Line("", 0, "", "")
    whole = outer("inner", names, None)
    own = whole.callers[2]
    assert (own.file, own.function, own.module) == (__file__, here.f_code.co_qualname, "") and len(whole.callers) > 3


def test_an_error_is_raised_at_the_innermost_line_of_the_user():
    def wrong(x):
        return torch.nn.functional.interpolate(x, size=2, scale_factor=2.0)

    with pytest.raises(ValueError, match="only one of size or scale_factor") as error:
        wrong(torch.zeros(1, 1, 2))
    found = line_of(error.value)
    assert (found.file, found.number, found.begin, found.module) == (__file__, begins(wrong) + 1, begins(wrong), "")
    assert found.function == wrong.__qualname__
    assert line_of(ValueError("not raised")) == Line("", 0, "", "")
