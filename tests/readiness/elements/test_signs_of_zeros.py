"""A zero that a fixed one settles has a sign that nothing settles: what tells 0.0 from -0.0 needs the other factor."""

from types import SimpleNamespace

import pytest
import torch
from needs import needed, ready_of, run_of

from pixkit.readiness import prove
from pixkit.readiness.elements.marks import Marks
from pixkit.readiness.elements.operation import describe
from pixkit.readiness.elements.signs import _factored, latest_sign, tells_sign, told, with_sign
from pixkit.readiness.elements.storages import Storages

STEPS = torch.arange(4)
X = torch.tensor([0.3, -1.0, 2.0, -0.7], dtype=torch.float64)
ONE = torch.ones(4, dtype=torch.float64)
MINUS = -ONE
COMPLEX = {
    "angle": lambda z: torch.complex(MINUS, z).angle(),
    "angle of pairs": lambda z: torch.view_as_complex(torch.stack([MINUS, z], -1)).angle(),
    "angle of a conjugate": lambda z: torch.complex(MINUS, z).conj().angle(),
    "sqrt": lambda z: torch.complex(MINUS, z).sqrt().imag,
    "rsqrt": lambda z: torch.complex(MINUS, z).rsqrt().imag,
    "pow": lambda z: torch.complex(MINUS, z).pow(0.5).imag,
    "float_power": lambda z: torch.complex(MINUS, z).float_power(0.5).imag,
    "log": lambda z: torch.complex(MINUS, z).log().imag,
    "log2": lambda z: torch.complex(MINUS, z).log2().imag,
    "log10": lambda z: torch.complex(MINUS, z).log10().imag,
    "log1p": lambda z: torch.complex(2 * MINUS, z).log1p().imag,
    "acos": lambda z: torch.complex(2 * ONE, z).acos().imag,
    "acosh": lambda z: torch.complex(2 * MINUS, z).acosh().imag,
    "asin": lambda z: torch.complex(2 * ONE, z).asin().imag,
    "asinh": lambda z: torch.complex(z, 2 * ONE).asinh().real,
    "atan": lambda z: torch.complex(z, 2 * ONE).atan().real,
    "atanh": lambda z: torch.complex(2 * ONE, z).atanh().imag,
}
LISTS = {
    "reciprocals": lambda z: torch._foreach_reciprocal([z])[0],
    "quotients": lambda z: torch._foreach_div([ONE], [z])[0],
    "powers": lambda z: torch._foreach_pow([z], -1.0)[0],
    "powers of lists": lambda z: torch._foreach_pow([z], [MINUS])[0],
    "inverse roots": lambda z: torch._foreach_rsqrt([z])[0],
    "sums with quotients": lambda z: torch._foreach_addcdiv([ONE], [ONE], [z])[0],
}
CELLS = ONE.view(4, 1, 1)
MATRICES = {
    "inv_ex": lambda z: torch.linalg.inv_ex(z).inverse,
    "solve_ex": lambda z: torch.linalg.solve_ex(z, CELLS).result,
    "lu_solve": lambda z: torch.linalg.lu_solve(*torch.linalg.lu_factor_ex(z)[:2], CELLS),
    "solve_triangular": lambda z: torch.linalg.solve_triangular(z, CELLS, upper=False),
    "triangular_solve": lambda z: torch.triangular_solve(CELLS, z).solution,
}
WHOLE = {
    "in place": lambda z: z.pow_(MINUS),
    "in place, at twice the precision": lambda z: z.float_power_(MINUS),
    "a function without a rule": torch.inference_mode()(torch.special.psi),
    "polygamma": lambda z: torch.polygamma(0, z),
    "hashes": lambda z: torch.stack([torch.hash_tensor(each) for each in z.split(1)]).double(),
    "longer numbers": lambda z: torch.stack([z.float(), ONE.float() * 0], 1).view(torch.float64)[:, 0] * 1e200 * 1e200,
    "complex as longer": lambda z: torch.complex(z.float(), ONE.float() * 0).view(torch.float64) * 1e200 * 1e200,
    "a type without -0.0": lambda z: z.to(torch.float8_e4m3fn).view(torch.float8_e4m3fnuz).double(),
    **{f"lists: {name}": told for name, told in LISTS.items()},
    **{f"complex: {name}": told for name, told in COMPLEX.items()},
    **{f"matrices: {name}": lambda z, told=told: told(z.view(4, 1, 1)).flatten() for name, told in MATRICES.items()},
}


def told_by(name):
    return lambda x: WHOLE[name](x.flip(0) * torch.zeros(4, dtype=torch.float64))


@pytest.mark.filterwarnings("ignore:torch.triangular_solve is deprecated")
@pytest.mark.parametrize("name", WHOLE)
def test_the_sign_of_a_zero_needs_what_it_is_told_by(name):
    need = needed(told_by(name), X, STEPS, (1.0, -3.0))
    assert need.tolist() == [4, 3, 2, 1]
    assert (need <= ready_of(run_of(told_by(name), X, STEPS))).all()


def test_what_hangs_on_a_sign_alone_is_not_proved():
    assert prove(told_by("hashes"), X, STEPS, strict=False).verdict != "proved"


def test_a_complex_zero_settles_a_product_and_its_parts_are_zeros():
    run = run_of(lambda x: (torch.complex(x.flip(0), x) * torch.zeros(4, dtype=torch.complex128)).abs() + x, X, STEPS)
    assert not run.noted and ready_of(run).tolist() == [1, 2, 3, 4]


def test_an_operation_in_place_and_one_on_lists_tell_signs_where_it_does():
    aten = torch.ops.aten
    for func in (aten.pow_.Tensor, aten._foreach_pow.List, aten.pow_.Scalar):
        assert describe(func).signed == describe(aten.pow.Tensor_Tensor).signed == (0,)
    assert describe(aten.mul.Tensor).signed == ()
    assert describe(aten._fused_dropout.default).rule is None and 1 in describe(aten._fused_dropout.default).signed


NOTHING = torch.full((4,), -0.0, dtype=torch.float64)
ADDED = {
    "a product": lambda x: x + x.flip(0) * torch.zeros(4, dtype=torch.float64),
    "a product with a number": lambda x: x + x.flip(0) * 0.0,
    "a factor": lambda x: torch.add(x, x.flip(0), alpha=0),
    "a matrix": lambda x: torch.stack([x, x.flip(0)], 1) @ torch.tensor([1.0, 0.0], dtype=torch.float64),
    "a convolution": lambda x: torch.conv1d(x.view(1, 1, 4), torch.tensor([[[1.0, 0.0]]]).double(), padding=1)[
        0, 0, 1:
    ],
}
TOLD = {
    "atan2": lambda z: torch.atan2(z, MINUS),
    "copysign": lambda z: torch.copysign(ONE, z),
    "signbit": lambda z: z.signbit().double(),
    "nextafter of zero": lambda z: torch.nextafter(z, z) * 0 + torch.copysign(ONE, torch.nextafter(z, z)),
    "square roots": lambda z: torch.complex(MINUS, z).sqrt().imag,
    "logarithms, in place": lambda z: torch.complex(MINUS, z).log_().imag,
    "angles": lambda z: torch.complex(MINUS, z).angle(),
    "bits": lambda z: (z.view(torch.int64) < 0).double(),
}


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("added", ADDED)
def test_the_sign_of_what_a_settled_zero_is_added_to_needs_what_settles_it(added, told):
    def forward(x):
        return TOLD[told](ADDED[added](x))

    need, run = needed(forward, NOTHING, STEPS, (1.0, -3.0)), run_of(forward, NOTHING, STEPS)
    early = need > ready_of(run)
    assert not early.any().logical_and(torch.tensor(not run.noted))
    assert prove(forward, NOTHING, STEPS, strict=False).verdict != "proved"


@pytest.mark.parametrize("told", TOLD)
def test_a_sign_to_which_nothing_was_added_needs_its_number_alone(told):
    mask = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    assert prove(lambda x: TOLD[told](x * 2) * mask, NOTHING, STEPS, strict=False).verdict == "proved"


@pytest.mark.parametrize(("kwargs", "factored"), [
    ({}, False), ({"alpha": 0}, True), ({"alpha": 1}, False), ({"beta": 0.0}, True), ({"beta": 2.0, "alpha": 1}, False),
    ({"alpha": torch.zeros(())}, False), ({"alpha": None}, False), ({"other": 0}, False),
])  # fmt: skip
def test_a_factor_of_zero_hides_what_it_multiplies(kwargs, factored):
    assert _factored(kwargs) is factored


@pytest.mark.parametrize(("kind", "other", "tells"), [
    (torch.float32, torch.int32, True), (torch.float32, torch.float32, False), (torch.float32, torch.float64, True),
    (torch.int32, torch.float32, False), (torch.int32, torch.int32, False), (torch.complex64, torch.float32, False),
    (torch.complex64, torch.complex64, False), (torch.complex64, torch.float64, True),
    (torch.float64, torch.complex64, True),
])  # fmt: skip
def test_a_view_as_numbers_of_another_kind_tells_signs(kind, other, tells):
    for ready, fixed, late in (([0, 5], [1, 0], 6), ([5, 0], [0, 1], 6), ([5, 5], [0, 0], 5), ([0, 0], [1, 1], 6)):
        marks = Marks(torch.tensor(ready), torch.tensor(fixed).bool(), torch.zeros(2, dtype=kind))
        assert tells_sign(marks, torch.zeros(2, dtype=other), late) is (tells and 0 in fixed and late == 6)


def marks_of(ready, fixed, values):
    return Marks(torch.tensor(ready), torch.tensor(fixed).bool(), torch.tensor(values))


def record_of(*marks, **kwargs):
    call = SimpleNamespace(kwargs=kwargs, marks=list(marks))
    return SimpleNamespace(call=call, inputs=[SimpleNamespace(marks=each) for each in marks])


def planes(marks):
    return marks.ready.tolist(), marks.fixed.tolist()


LATE, FIXED = marks_of([2, 5], [0, 0], [0.0, 0.0]), marks_of([0, 0], [1, 1], [1.0, 0.0])
ONES = marks_of([7, 0], [1, 1], [1.0, 1.0])
HIDDEN = {
    "nothing": ([], 0), "no zero": ([record_of(LATE, ONES)], 0), "no fixed zero": ([record_of(LATE)], 0),
    "a zero": ([record_of(LATE, FIXED)], 5),
    "a zero of two": ([record_of(FIXED, marks_of([3, 0], [0, 1], [1.0, 0]))], 3),
    "only zeros": ([record_of(FIXED, FIXED)], 0), "all fixed": ([record_of(FIXED, ONES)], 0),
    "a factor": ([record_of(LATE, alpha=0)], 5), "another": ([record_of(LATE, alpha=1)], 0),
    "then less": ([record_of(LATE, FIXED), record_of(marks_of([1], [0], [0.0]), beta=0)], 5),
    "then more": ([record_of(marks_of([1], [0], [0.0]), beta=0), record_of(LATE, FIXED)], 5),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_the_latest_that_a_zero_has_hidden(name):
    tape, expected = HIDDEN[name]
    storages = Storages()
    assert latest_sign(tape, storages) == expected
    storages.of(LATE.value).settled = 6
    reads = any(each is LATE for record in tape for each in record.call.marks)
    assert latest_sign(tape, storages) == (6 if reads and expected else expected), "or was hidden before"


def test_what_tells_a_sign_is_as_late_as_what_any_zero_has_hidden():
    seen = with_sign(marks := marks_of([1, 1, 6], [0, 1, 0], [0.0, 0.0, 0.0]), 5)
    assert planes(seen) == ([5, 1, 6], [False, True, False]) and seen.value is marks.value
    tape, storages, real = [record_of(LATE, FIXED)], Storages(), marks_of([1, 1], [0, 1], [0.0, 0.0])
    pair = marks_of([1, 1], [0, 1], [0j, 0j])
    clamped, same = ([5, 1], [False, True]), ([1, 1], [False, True])
    asked = [  # signed, telling, cuts: of three positional arguments and a named one
        ((), (0, 1, 2, 3), True, [same] * 4), ((0, 1, 2, 3), (), False, [same] * 4),
        ((0, 2), (0, 1, 2), False, [clamped, same, clamped, same]), ((0, 1), (1,), False, [same, clamped, same, same]),
        ((0,), (3,), False, [same, same, same, clamped]), ((0, 1, 2), (), True, [same, same, clamped, clamped]),
    ]  # fmt: skip
    for signed, telling, cuts, expected in asked:
        about = SimpleNamespace(signed=signed, telling=telling, cuts=cuts)
        args, kwargs = told(about, tape, storages, (real, [real], pair), {"other": pair, "n": 2})
        assert [planes(each) for each in (args[0], args[1][0], args[2], kwargs["other"])] == expected
        args, kwargs = told(about, [], storages, (real, 3, pair), {"other": pair})
        assert (args[0], args[1], args[2], kwargs["other"]) == (real, 3, pair, pair), "nothing was hidden"
