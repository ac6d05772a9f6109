"""Whatever comes in, there is an answer with an exit code of the table, and soon.

PIXKIT_FUZZ=N gives every target N / 8 inputs; 200 each otherwise. A find is had again from its target and number.
"""

import os
import signal
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import CODES, TARGETS, chance_of, make

INPUTS = int(os.environ.get("PIXKIT_FUZZ", "1600")) // len(TARGETS)
SECONDS = 60
"""After which an input is a hang: the slowest takes milliseconds."""


def hangs(number, frame):
    raise TimeoutError(f"an input took more than {SECONDS} s")


@pytest.fixture
def watch():
    """Raises TimeoutError in what takes too long after watch()."""
    before = signal.signal(signal.SIGALRM, hangs)
    yield lambda: signal.alarm(SECONDS)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="needs signal.alarm")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__.lower())
def test_inputs_by_number(target, tmp_path, watch):
    fuzzed = make(target, tmp_path)
    outcomes = Counter()
    for number in range(INPUTS):
        watch()
        try:
            code = fuzzed.run(chance_of(target, number))
        except BaseException as error:
            raise AssertionError(f"input {number} of {target.__name__}: {error!r}") from error
        assert code in CODES, number
        outcomes[code] += 1
    print(f"{target.__name__}: {INPUTS} inputs, exit codes {dict(sorted(outcomes.items()))}")
    assert len(outcomes) > 1, "inputs that all end alike test little"


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(TARGETS), st.randoms(use_true_random=False))
def test_inputs_that_hypothesis_finds_worth_trying(tmp_path_factory, target, chance):
    assert make(target, tmp_path_factory.mktemp("fuzz")).run(chance) in CODES
