"""Ways past the planes of storages: each is followed, or it is noted what it was."""

import followed
import not_followed
import pytest
import torch
from needs import needed, ready_of, run_of

from pixkit.readiness import prove
from pixkit.readiness.elements.marks import LATEST
from pixkit.readiness.elements.notes import UNKNOWN

STEPS = torch.arange(4)
FILE = not_followed.__file__
X = torch.tensor([0.3, -1.0, 2.0, -0.7], dtype=torch.float64)


@pytest.fixture(autouse=True)
def constants_as_they_were():
    yield
    followed.ZERO.zero_()
    followed.ARRAY[:] = 0


@pytest.mark.parametrize("name", followed.CASES)
def test_what_is_done_to_memory_is_followed(name):
    forward, expected = followed.CASES[name]
    run = run_of(forward, X, STEPS)
    assert not run.noted
    assert ready_of(run).tolist() == expected
    assert followed.ZERO.eq(0).all(), "constants are left as they were"
    assert (needed(forward, X, STEPS) <= ready_of(run)).all()


@pytest.mark.parametrize("name", not_followed.CASES)
def test_what_leaves_torch_is_noted(name):
    forward, kinds = not_followed.CASES[name]
    run = run_of(forward, X, STEPS)
    assert {noted.kind for noted in run.noted} == kinds
    assert all(noted.line.file == not_followed.__file__ for noted in run.noted)


@pytest.mark.parametrize("name", not_followed.UNWRITTEN)
def test_of_memory_in_which_nothing_has_been_written_nothing_is_proved(name):
    proof = prove(not_followed.UNWRITTEN[name], X, STEPS, strict=False)
    assert proof.verdict == "unproved" and len(proof.reasons) == 1
    assert proof.reasons[0].startswith(f"not deterministic: uninitialised memory is read: {FILE}:")


@pytest.mark.parametrize("name", not_followed.STORAGES)
def test_a_storage_that_no_operation_has_made_holds_anything(name):
    run = run_of(not_followed.STORAGES[name], X, STEPS)
    (found,) = run.unwritten(ready_of(run))
    assert (found.op.partition(".source")[0], found.line.file) == ("aten.set_", FILE)


def test_where_nobody_knows_what_an_operation_reads_it_gives_no_constants(tmp_path):
    zeros = torch.zeros(4, dtype=torch.float64)
    gradient = torch.ops.aten._softmax_backward_data
    run = run_of(lambda x: gradient(zeros, zeros, 0, x.dtype) * x.flip(0), X, STEPS)
    assert not run.noted and ready_of(run).tolist() == [4, 3, 2, 1]
    (tmp_path / "four").write_bytes(bytes(32))
    run = run_of(lambda x: x + torch.from_file(str(tmp_path / "four"), size=4, dtype=x.dtype), X, STEPS)
    assert [(noted.kind, noted.op) for noted in run.noted] == [(UNKNOWN, "aten.from_file.default")]


def test_of_an_operation_of_ones_own_nothing_is_known():
    for name in ("an operation of one's own", "what it writes without saying so"):
        assert ready_of(run_of(not_followed.CASES[name][0], X, STEPS)).eq(LATEST).all()
