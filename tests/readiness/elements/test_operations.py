"""What is read from torch's schemas, and what is said where no rule knows more."""

import pytest
import torch

from pixkit.readiness.elements.catching import caught, may_raise
from pixkit.readiness.elements.marks import Call, Marks, mixed
from pixkit.readiness.elements.operation import describe
from pixkit.readiness.elements.relying import relied_on
from pixkit.readiness.elements.rules.absorbing import product
from pixkit.readiness.elements.rules.pointwise import elementwise
from pixkit.readiness.elements.tape import Line

aten = torch.ops.aten
FUNCTIONAL = {
    aten.add_.Tensor: aten.add.Tensor,
    aten.add.out: aten.add.Tensor,
    aten.add.Tensor: aten.add.Tensor,
    aten.mm.out: aten.mm.default,
    aten.mean.out: aten.mean.dim,
    aten.cumsum.out: aten.cumsum.default,
    aten.__iand__.Tensor: aten.__and__.Tensor,
    aten.__ilshift__.Scalar: aten.__lshift__.Scalar,
    aten._foreach_add_.Scalar: aten._foreach_add.Scalar,
    aten.uniform_.default: aten.uniform.default,
    aten.bernoulli_.float: aten.bernoulli_.float,
    aten.max.dim_max: aten.max.dim_max,
    aten.masked_select.out: aten.masked_select.default,
}
"""Operations and their variants that write to nothing, or themselves where none takes the same arguments."""


def test_the_variant_that_writes_to_nothing_is_found():
    assert {func: describe(func).functional for func in FUNCTIONAL} == FUNCTIONAL


WRITES = {
    aten.add_.Tensor: ([(0, "self")], set()),
    aten.mm.out: ([(2, "out")], {"out"}),
    aten.max.dim_max: ([(3, "max"), (4, "max_values")], {"max", "max_values"}),
    aten.native_batch_norm.default: ([(3, "running_mean"), (4, "running_var")], set()),
    aten.relu.default: ([], set()),
}


def test_what_is_written_to_and_not_read_is_known():
    assert {func: ([*describe(func).writes], {*describe(func).out}) for func in WRITES} == WRITES


@pytest.mark.parametrize(
    ("said", "yes", "no"),
    [
        ("views", [aten.t.default, aten.split.Tensor], [aten.t_.default, aten.add_.Tensor, aten.cat.default]),
        ("moves", [aten.t_.default, aten.set_.source_Tensor], [aten.t.default, aten.add_.Tensor]),
        ("numbers", [aten.item.default, aten.equal.default], [aten.is_same_size.default, aten.add.Tensor]),
        ("sized", [aten.nonzero.default, aten.index.Tensor, aten.masked_select.out], [aten.gather.default]),
        ("random", [aten.uniform_.default, aten.native_dropout.default], [aten.relu.default, aten.add.Tensor]),
        ("rule", [aten.add.Tensor, aten.sinc.default, aten._foreach_add.List], [aten._fused_dropout.default]),
        ("training", [aten.native_batch_norm.default], [aten.relu.default]),
    ],
)  # fmt: skip
def test_what_an_operation_does_is_known(said, yes, no):
    assert all(getattr(describe(func), said) for func in yes)
    assert not any(getattr(describe(func), said) for func in no)


def test_where_signs_of_zeros_and_switches_stand_is_known():
    assert [describe(func).signed for func in (aten.div_.Tensor, aten.atan2.default, aten.mul.Tensor)] == [
        (1,),
        (0, 1),
        (),
    ]
    switches = [
        describe(func).switch for func in (aten.native_dropout.default, aten.scaled_dot_product_attention.default)
    ]
    assert switches == [(2, "train"), (4, "dropout_p")]


X = Marks(torch.tensor([1, 2]), torch.tensor([False, False]), torch.ones(2))
WEIGHT = Marks(torch.tensor([0, 0]), torch.tensor([False, False]), torch.ones(2))
MASK = Marks(torch.tensor([0, 0]), torch.tensor([True, True]), torch.tensor([0.0, 1.0]))


def called(*args, results=1):
    return Call(aten.mul.Tensor, args, {}, (torch.ones(2),) * results)


@pytest.mark.parametrize(
    ("read", "ready", "fixed"),
    [((X, WEIGHT, MASK), 2, False), ((WEIGHT, MASK), 0, False), ((MASK,), 0, True), ((), 0, False)],
)
def test_where_nothing_better_is_known_all_is_needed(read, ready, fixed):
    (found,) = mixed(called(*read))
    assert (found.ready.tolist(), found.fixed.tolist()) == ([ready] * 2, [fixed] * 2)


def test_a_constant_is_relied_on_if_any_result_would_else_be_later():
    """Not if all that is read is constant, as then nothing is."""
    sources = {id(X): frozenset(), id(MASK): frozenset({"mask"})}
    for rule, args, names in (
        (lambda call: [*elementwise(called(*call.args)), *product(call)], (X, MASK), {"mask"}),
        (lambda call: [*product(call), *elementwise(called(*call.args))], (X, MASK), {"mask"}),
        (elementwise, (X, MASK), set()),
        (product, (MASK, MASK), set()),
    ):
        call = called(*args, results=2)
        assert relied_on(rule, call, rule(call), sources) == names


TRYING = """\
try:
    one()
    two()
    three(
        3)
except ValueError:
    four()
with suppress(ValueError):
    five()
with open("file"):
    six()
try:
    seven()
finally:
    eight()
"""


def test_an_error_is_caught_within_a_body_after_which_code_goes_on(tmp_path):
    path = tmp_path / "trying.py"
    path.write_text(TRYING, encoding="utf-8")
    lines = [Line(str(path), number, "f", "") for number in range(1, TRYING.count("\n") + 1)]
    assert [line.number for line in lines if caught(line)] == [2, 3, 4, 5, 9]
    assert caught(Line("elsewhere.py", 1, "g", "", callers=(lines[0], lines[2])))
    assert not caught(Line("elsewhere.py", 1, "g", "", callers=(lines[0],)))


@pytest.mark.parametrize(
    ("func", "args", "may"),
    [
        (aten.gather.default, (X, 0, MASK), False),
        (aten.gather.default, (X, 0, Marks(X.ready, X.fixed, torch.tensor([0, 1]))), True),
        (aten.gather.default, (X, 0, Marks(X.ready, ~X.fixed, torch.tensor([0, 1]))), False),
        (aten.add.Tensor, (X, Marks(X.ready, X.fixed, torch.tensor([0, 1]))), False),
        (aten._linalg_check_errors.default, (X, "inv"), True),
        (aten._linalg_check_errors.default, (MASK, "inv"), False),
    ],
)
def test_whether_values_decide_if_an_operation_raises_is_known(func, args, may):
    assert may_raise(Call(func, args, {}, ())) is may
