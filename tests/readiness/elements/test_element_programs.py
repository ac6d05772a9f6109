"""Whatever changes an element, when input elements are swapped, is waited for: over random programs, in float64."""

import programs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from needs import needed, ready_of, run_of

OPERANDS = st.integers(0, 3)
PROGRAMS = st.lists(st.tuples(st.sampled_from(sorted(programs.OPERATIONS)), OPERANDS, OPERANDS), min_size=1, max_size=5)


def drawn(seed, each):
    """A matrix, and steps for its elements, or for its rows."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(programs.ROWS, programs.COLUMNS, dtype=torch.float64, generator=draws)
    order = torch.randperm(x.numel() if each else len(x), generator=draws)
    return x, order.view(x.shape) if each else order[:, None].expand(x.shape)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(PROGRAMS, st.integers(0, 9), st.booleans())
def test_readiness_is_never_too_early(steps_of_program, seed, each):
    x, steps = drawn(seed, each)
    forward = programs.program(steps_of_program)
    run = run_of(forward, x, steps)
    assert not run.noted
    assert (needed(forward, x, steps) <= ready_of(run)).all()


def test_readiness_of_single_operations_is_as_early_as_can_be():
    """Of all but those in which it depends on values that are not looked at, or on equal ones."""
    x, steps = drawn(0, True)
    loose = set()
    for name in programs.OPERATIONS:
        forward = programs.program([(name, 1, 0)])
        if not torch.equal(needed(forward, x, steps), ready_of(run_of(forward, x, steps))):
            loose.add(name)
    chosen_by_values = {"choose by data", "fill by data", "take by data", "complex", "attend", "attend additively"}
    signs_of_zeros, alone_in_a_row, same_twice = (
        {"invert", "angle"},
        {"softmax of some"},
        {"put", "scatter", "stretched"},
    )
    assert loose == chosen_by_values | signs_of_zeros | alone_in_a_row | same_twice
