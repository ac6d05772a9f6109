"""What `prove` is asked: steps that fit or do not, and which of several outputs is meant."""

import pytest
import torch
from torch import nn

from pixkit.errors import UsageError
from pixkit.readiness.asked import question

pytestmark = pytest.mark.quick


def asked(steps=(2, 5), out_steps=None, output=None, strict=True):
    given = None if out_steps is None else torch.zeros(out_steps, dtype=torch.int32)
    x, zeros = torch.zeros(2, 5), torch.zeros(steps, dtype=torch.int32)
    return question(nn.Identity(), x, zeros, out_steps=given, strict=strict, output=output)


@pytest.mark.parametrize(("options", "size", "said", "hint"), [
    ({}, (2, 5, 3), ("the shapes of the output and the steps differ", "out_steps", "output [2, 5, 3], steps [2, 5]"),
     "out_steps=steps[..., None], equal for all features"),
    ({"out_steps": (2, 5)}, (2, 4), ("out_steps does not fit the output", "out_steps", "[2, 5]"),
     "out_steps=steps.narrow(1, 0, 1), if steps are equal along axis 1"),
    ({"steps": (3,)}, (2, 5), ("steps does not fit the input", "steps", "[3]"), None),
])  # fmt: skip
def test_steps_that_do_not_fit_are_told_with_both_shapes(options, size, said, hint):
    with pytest.raises(UsageError) as caught:
        asked(**options).allowed(torch.Size(size))
    assert (caught.value.message, caught.value.where, caught.value.found) == said and caught.value.hint == hint


def test_an_output_that_is_not_there_is_told_with_what_is():
    one, other = torch.zeros(1), torch.ones(1)
    assert (
        asked().chosen({"count": 1, "parts": [2, (one, other)]}) is one
        and asked(output=1).chosen((one, other)) is other
    )
    assert asked(output="b").chosen({"a": one, "b": other}) is other and asked().chosen(one) is one
    for output, given, said in (
        (None, {"count": 2}, ("the module's output contains no tensor", "output", "a dictionary of count")),
        ("c", {"a": one, "b": 1}, ("the module's output has no tensor 'c'", "output", "a dictionary of a, b")),
        (2, (one, other), ("the module's output has no tensor 2", "output", "tuple of 2")),
        (0, [1, one], ("the module's output has no tensor 0", "output", "list of 2")),
    ):
        with pytest.raises(UsageError) as caught:
            asked(output=output).chosen(given)
        assert (caught.value.message, caught.value.where, caught.value.found) == said


def test_what_an_output_may_depend_on_is_of_earlier_steps_or_its_own_as_well():
    for strict in (True, False):
        found = question(nn.Identity(), torch.zeros(3), torch.tensor([0, 4, 7]), out_steps=torch.tensor([1, 5, 2]),
                         strict=strict, output=None)  # fmt: skip
        assert found.steps.tolist() == [0, 4, 7]
        assert found.allowed(torch.Size((3,))).tolist() == ([1, 5, 2] if strict else [2, 6, 3])
