"""Rules of operations that sum or move, beside what changes when each element of their arguments is swapped."""

import pytest
import torch
from bounded import BOUNDED
from samples import EXACT, aten, real
from swaps import Known, ask

from pixkit.readiness.elements.rules import RULES, absorbing, factories


@pytest.mark.parametrize("name", EXACT)
def test_a_result_is_ready_with_the_last_element_that_changes_it(name):
    answer = ask(*EXACT[name])
    assert answer.sound
    assert answer.exact


@pytest.mark.parametrize("name", BOUNDED)
def test_nothing_changes_before_it_is_said_to_be_ready(name):
    if name == "lstm" and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch runs no recurrent layer whole")
    assert ask(*BOUNDED[name]).sound


def test_places_that_are_fixed_stay_moves_beside_others_that_are_not():
    index = Known(torch.tensor([[0, 2], [1, 0]]), torch.tensor([[True, False], [True, True]]))
    source = Known(real(3, 2), torch.tensor([[False], [False], [True]]))
    answers = [
        ask(aten.gather.default, [source, 0, index]),
        ask(aten.take.default, [source, index]),
        ask(aten.index.Tensor, [source, [index, Known(torch.tensor([[0, 1], [0, 1]]))]]),
    ]
    known = index.fixed.flatten()
    for answer in answers:
        assert answer.sound
        assert torch.equal(answer.changed.any(1)[known], ~answer.fixed[0, known])
        assert torch.equal(answer.ready[:, known], answer.needed[:, known])


def test_every_rule_has_a_sample():
    """But for what draws random numbers, and what torch computes on GPUs alone."""
    elsewhere = {*factories.RULES.values(), *absorbing.RULES.values()}
    ours = {rule.__wrapped__.__qualname__ for rule in RULES.values() if rule not in elsewhere}
    sampled = {RULES[func.overloadpacket].__wrapped__.__qualname__ for func, *_ in (EXACT | BOUNDED).values()}
    assert ours - sampled == {"_drawn", "_cell", "_nothing"}
