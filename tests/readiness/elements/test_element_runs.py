"""What a run says of each element that a module gives."""

import torch
from torch import nn

from pixkit.readiness.elements.run import Given, Run

STEPS = torch.arange(4).expand(2, 4)


def ready(forward, *constants):
    """Readiness and fixed plane of what a function of one batch of four values gives."""
    x = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    run = Run.of(forward, [Given(x, STEPS), *constants])
    held = run.held(run.output)
    assert not run.noted
    return held.marks.ready[0].tolist(), held.marks.fixed[0].tolist()


def test_a_fixed_zero_settles_a_product_and_a_parameter_that_is_zero_does_not():
    mask = torch.tensor([0.0, 1, 1, 0])
    assert ready(lambda x: x * mask) == ([0, 2, 3, 0], [True, False, False, True])
    assert ready(lambda x: x * nn.Parameter(mask)) == ([1, 2, 3, 4], [False] * 4)


def test_writes_through_views_land():
    def forward(x):
        y = torch.zeros_like(x)
        y[:, 1:].add_(x[:, :3])
        y.t()[0] = x[:, 3]
        return y

    assert ready(forward) == ([4, 1, 2, 3], [False] * 4)


def test_a_fixed_condition_chooses_and_another_joins():
    mask = torch.tensor([True, False, True, False])
    assert ready(lambda x: torch.where(mask, x, x[:, :1]) + 0 * x)[0] == [1, 1, 3, 1]
    assert ready(lambda x: torch.where(x > 0, 0.0, 1.0)) == ([1, 2, 3, 4], [False] * 4)


def test_a_line_of_the_tape_is_the_users():
    run = Run.of(lambda x: x + 1, [Given(torch.zeros(2, 4), STEPS)])
    assert [record.op for record in run.tape] == ["aten.add.Tensor"]
    assert run.tape[0].line.text.startswith("run = Run.of(lambda x: x + 1")
