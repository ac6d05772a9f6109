"""Rules of operations that sum or move, beside what changes when each element of their arguments is swapped."""

import pytest
from samples import BOUNDED, EXACT
from swaps import ask


@pytest.mark.parametrize("name", EXACT)
def test_a_result_is_ready_with_the_last_element_that_changes_it(name):
    answer = ask(*EXACT[name])
    assert answer.sound
    assert answer.exact


@pytest.mark.parametrize("name", BOUNDED)
def test_nothing_changes_before_it_is_said_to_be_ready(name):
    assert ask(*BOUNDED[name]).sound
