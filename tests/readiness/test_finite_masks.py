"""Which line hides by a large finite number: the last one before a softmax, where other elements vary."""

from types import SimpleNamespace

import pytest
import torch

from pixkit.readiness.elements.marks import Marks
from pixkit.readiness.elements.tape import Line
from pixkit.readiness.explaining import _finite_mask

pytestmark = pytest.mark.quick


def marked(*values, fixed=(True, False)):
    """Some numbers, and which of them are fixed."""
    held = Marks(torch.zeros(len(values), dtype=torch.int64), torch.tensor(fixed), torch.tensor(values))
    return SimpleNamespace(marks=held)


def record(name, number, *inputs, result=None):
    call = SimpleNamespace(func=SimpleNamespace(overloadpacket=SimpleNamespace(__name__=name)))
    results = [marked(0.0, 1.0) if result is None else result]
    line = Line("net.py", number, "forward", "part (Net)")
    return SimpleNamespace(call=call, inputs=inputs, results=results, line=line, op=f"aten.{name}.default")


HIDES, OTHER, WEAK, VARIES = (marked(low, 0.0) for low in (-1e9, -1e4, -30.0, 0.0))
WHOLE, HIGH = marked(-1e9, 0.0, fixed=(True, True)), marked(1e9, 0.0)
SOFTMAX = record("_softmax", 9, VARIES)


@pytest.mark.parametrize(("records", "last", "number", "value"), [
    ([record("add", 1, VARIES, HIDES), SOFTMAX], 1, 1, -1e9),
    ([record("add", 1, VARIES, result=HIDES), SOFTMAX], 1, 1, -1e9),
    ([record("add", 1, VARIES, HIDES), SOFTMAX], 0, None, 0.0),
    ([SOFTMAX, record("add", 1, VARIES, HIDES)], 1, None, 0.0),
    ([record("add", 1, VARIES, HIDES)], 0, None, 0.0),
    ([record("add", 1, VARIES, VARIES), SOFTMAX], 1, None, 0.0),
    ([record("add", 1, VARIES, WEAK), SOFTMAX], 1, None, 0.0),
    ([record("add", 1, VARIES, marked(-30.5, 0.0)), SOFTMAX], 1, 1, -30.5),
    ([record("add", 1, VARIES, HIDES), record("add", 2, VARIES, OTHER), SOFTMAX], 2, 2, -1e4),
    ([record("add", 1, HIDES, OTHER), SOFTMAX], 1, 1, -1e9),
    ([record("add", 1, VARIES, HIDES), record("relu", 2, VARIES), SOFTMAX], 2, 1, -1e9),
    ([record("add", 1, VARIES, HIDES), SOFTMAX, record("add", 2, VARIES, OTHER), SOFTMAX], 3, 2, -1e4),
    ([record("add", 1, VARIES, HIDES), SOFTMAX, record("add", 2, VARIES, OTHER)], 2, 1, -1e9),
    ([record("add", 1, VARIES, HIDES), record("_softmax", 9, HIDES), record("exp", 3, VARIES)], 2, 1, -1e9),
    ([record("mul", 1, WHOLE, result=WHOLE), SOFTMAX], 1, None, 0.0),
    ([record("sub", 1, VARIES, HIGH), SOFTMAX], 1, 1, -1e9),
    ([record("rsub", 1, HIGH, VARIES), SOFTMAX], 1, 1, -1e9),
    ([record("add", 1, VARIES, HIGH), SOFTMAX], 1, None, 0.0),
    ([record("add", 1, VARIES, HIDES), record("exp", 2, VARIES)], 1, 1, -1e9),
    ([record("add", 1, VARIES, HIDES), record("sigmoid", 2, VARIES)], 1, 1, -1e9),
    ([record("add", 1, VARIES, HIDES), record("tanh", 2, VARIES)], 1, None, 0.0),
    ([], 0, None, 0.0),
])  # fmt: skip
def test_which_line_hides_by_a_large_number(records, last, number, value):
    line, found = _finite_mask(records, last)
    name = next((each.call.func.overloadpacket.__name__ for each in records if each.line.number == number), None)
    assert found == value and (None if line is None else (line.line, line.operation)) == (number and (number, name))
