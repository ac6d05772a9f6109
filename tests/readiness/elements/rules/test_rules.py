"""Rules of operations that sum or move, beside what changes when each element of their arguments is swapped."""

import pytest
import torch
from bounded import BOUNDED
from said import SAID
from samples import EXACT, aten, real
from settled import SETTLED
from swaps import Known, ask, said

from pixkit.readiness.elements.marks import Call, Marks
from pixkit.readiness.elements.rules import RULES
from pixkit.readiness.elements.rules.codes import latest


def called(row):
    """A row of a table: an operation, its arguments, others by name, and how many of its results are looked at."""
    return dict(zip(("func", "args", "kwargs", "first"), row, strict=False))


@pytest.mark.parametrize("name", EXACT)
def test_a_result_is_ready_with_the_last_element_that_changes_it(name):
    answer = ask(**called(EXACT[name]))
    assert answer.sound
    assert answer.exact


@pytest.mark.parametrize("name", SETTLED)
def test_what_one_argument_settles_needs_no_other(name):
    answer = ask(**called(SETTLED[name]), others=4)
    assert answer.sound
    assert answer.exact


@pytest.mark.parametrize("name", BOUNDED)
def test_nothing_changes_before_it_is_said_to_be_ready(name):
    if name == "lstm" and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch runs no recurrent layer whole")
    answer = ask(**called(BOUNDED[name]))
    assert answer.sound
    if name in SAID:
        assert answer.said == SAID[name]
    else:
        assert answer.exact


@pytest.mark.parametrize("name", ["rand_like", "uniform_", "bernoulli", "bernoulli_.Tensor", "native_dropout"])
def test_random_numbers_are_ready_with_their_distribution_and_never_fixed(name):
    packet, _, overload = name.partition(".")
    value = torch.rand(2)
    given = [
        Marks(torch.tensor(ready), torch.tensor([True, False]), value)
        for ready in ([0, 5], [0, 3])[: 1 + bool(overload)]
    ]
    given += {"uniform_": [0.0, 1.0], "native_dropout": [0.5, True]}.get(name, [])
    results = (value,) if name != "native_dropout" else (value, value > 0)
    ready, fixed = said(getattr(getattr(aten, packet), overload or "default"), given, {}, results)
    assert not fixed.any()
    assert ready.tolist() == [0, {"rand_like": 0, "uniform_": 0, "bernoulli_.Tensor": 3}.get(name, 5)] * len(results)


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


@pytest.mark.parametrize("dims", [None, [0], [1], [2], [0, 1], [-1, 0], []])
@pytest.mark.parametrize("shape", [(1, 3, 1), (2, 1, 1), (1, 1, 4), (2, 3, 4)])
def test_the_largest_code_is_the_same_of_planes_that_are_expanded(shape, dims):
    code = torch.randint(9, shape).expand(2, 3, 4)
    over = range(3) if dims is None else dims
    assert torch.equal(latest(code, dims), code.clone().amax(tuple(over), keepdim=True) if over else code)


def test_what_torch_computes_on_gpus_alone_mixes_a_row():
    """Of a cell, and of matrices of which a result is not one of each of the batch."""
    ready = torch.tensor([[1, 4, 2], [3, 0, 1]])
    marks = [Marks(each, each < 0, each) for each in (ready, ready.flip(1), ready.new_tensor([[0, 0], [5, 0]]))]
    drawn = said(aten.multinomial.default, [Marks(ready, ready.eq(ready[0]), ready), 2], {}, (torch.zeros(2, 2),))
    assert [plane.tolist() for plane in drawn] == [[0, 0, 3, 3], [False] * 4]
    found, _ = said(aten._thnn_fused_gru_cell.default, marks, {}, (torch.zeros(2, 2), torch.zeros(2, 5)))
    assert found.tolist() == [4] * 2 + [5] * 2 + [4] * 5 + [5] * 5
    batch = Marks(ready.view(2, 3, 1), ready.view(2, 3, 1) < 0, ready)
    assert said(aten.linalg_qr.default, [batch], {}, (torch.zeros(2, 2), torch.zeros(3)))[0].tolist() == [
        4,
        4,
        3,
        3,
        4,
        4,
        4,
    ]
    assert RULES[aten._linalg_check_errors](Call(aten._linalg_check_errors.default, (batch,), {}, ())) == []


def test_every_rule_has_a_sample():
    """But for what draws random numbers, and what torch computes on GPUs alone."""

    def name(rule):
        return getattr(rule, "__wrapped__", rule).__qualname__

    sampled = {
        name(RULES[func.overloadpacket])
        for func, *_ in (EXACT | BOUNDED | SETTLED).values()
        if func.overloadpacket in RULES
    }
    drawn = {"random", "unwritten", "drawn", "redrawn", "_drawn"}
    assert set(map(name, RULES.values())) - sampled - drawn == {"_cell", "_nothing"}
