"""What an output really needs, found by putting other numbers in place of each input element."""

import torch

from pixkit.readiness.elements.run import Given, Run

NUMBERS = (0.0, -0.0, 1.0, -3.0, 1e3, 0.5, -1e-3)


def needed(forward, x, steps, numbers=NUMBERS):
    """Int64 of the output's shape: 1 + the latest step whose elements change it, 0 if none does; all are swapped."""
    base = forward(x.clone())
    need = torch.zeros(base.shape, dtype=torch.int64)
    for step in steps.unique().tolist():
        for number in numbers:
            other = x.clone()
            other[steps == step] = number
            changed = ~torch.isclose(forward(other), base, rtol=0, atol=0, equal_nan=True)
            need[changed] = step + 1
    return need


def run_of(forward, x, steps, **options):
    return Run.of(forward, [Given(x.clone(), steps)], **options)


def ready_of(run):
    return run.held(run.output).marks.ready
