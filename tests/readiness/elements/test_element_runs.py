"""What a run says of each element that a module gives."""

import torch
import torch.nn.functional as F
from torch import nn

from pixkit.readiness.elements import notes
from pixkit.readiness.elements import run as run_of_elements
from pixkit.readiness.elements.found import PATTERNS
from pixkit.readiness.elements.operation import describe
from pixkit.readiness.elements.rules import RULES
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


def test_a_storage_that_has_grown_holds_nothing_known_behind_what_it_held():
    x = torch.zeros(2, 4, dtype=torch.float64)
    grown = Run.of(lambda x: torch.ones(4, dtype=x.dtype).resize_(6) + 0 * x.sum(), [Given(x, STEPS)])
    assert grown.held(grown.output).marks.fixed.tolist() == [True] * 4 + [False] * 2


def test_a_run_records_no_gradients_unless_the_module_needs_them():
    asked = []

    def plain(x):
        asked.append(torch.is_grad_enabled())
        return x * 1

    def takes_one(x):
        x = plain(x).requires_grad_()
        return torch.autograd.grad(x.sum(), x)[0]

    for forward, recorded in ((plain, False), (takes_one, True)):
        with torch.enable_grad():
            Run.of(forward, [Given(torch.zeros(2, 4), STEPS)])
        assert (asked[0], asked[-1]) == (False, recorded)
        asked.clear()


def test_free_memory_is_filled_before_a_call_is_compared_and_twice_where_constants_may_lie_in_it(monkeypatch):
    filled, constant = [], torch.ones(4)
    monkeypatch.setattr(run_of_elements, "fill_free_memory", lambda *given: filled.append(given))
    for forward, expected in (
        (lambda x: x + 1, [(set(), PATTERNS[0])]),
        (lambda x: x * constant, [({16}, pattern) for pattern in PATTERNS]),
        (lambda x: x + float(x.sum()), []),
    ):
        Run.of(forward, [Given(torch.zeros(2, 4), STEPS)])
        assert filled == expected
        filled.clear()


def test_what_an_operation_does_not_draw_is_not_noted():
    assert ready(lambda x: torch.native_dropout(x, 0.5, False)[0])[0] == [1, 2, 3, 4]


def test_elements_of_several_bytes_are_known_if_all_their_bytes_are():
    def forward(x):
        y = torch.zeros(2, 4, dtype=x.dtype)
        y.view(torch.int16)[:, 3] = x[:, :1].contiguous().view(torch.int16)[:, 3]
        return y

    assert ready(forward) == ([1, 0, 0, 0], [False, True, True, True])


def test_where_a_tensor_lies_is_told_in_bytes():
    run = Run.of(lambda x: x.t()[1:, :1], [Given(torch.zeros(2, 4), STEPS)])
    assert run.held(run.output).place.addresses().tolist() == [[4], [8], [12]]
    assert run.held(run.output).place.storage == run.start.storage


def test_steps_that_are_negative_are_always_known():
    run = Run.of(lambda x: x * 1, [Given(torch.zeros(2, 4), STEPS - 2)])
    assert run.held(run.output).marks.ready[0].tolist() == [0, 0, 1, 2]
    assert not run.held(run.output).marks.fixed.any()


def test_of_elements_that_share_bytes_none_is_fixed_unless_all_are():
    def forward(x):
        y = torch.zeros(5, dtype=x.dtype)
        y.as_strided((4, 2), (1, 1)).copy_(torch.stack([x[0], torch.ones(4, dtype=x.dtype)], 1))
        return y.expand(1, 5)

    assert ready(forward) == ([1, 2, 3, 4, 0], [False] * 4 + [True])


def test_indicators_of_classes_are_followed_if_their_number_is_given():
    codes = torch.tensor([[0, 1, 2, 1], [2, 0, 0, 1]])
    given = ((4,), {}), ((), {"num_classes": 4}), ((), {}), ((-1,), {}), ((), {"num_classes": -1})
    runs = [Run.of(lambda x, a=args, k=named: F.one_hot(x, *a, **k), [Given(codes, STEPS)]) for args, named in given]
    assert [{noted.kind for noted in run.noted} for run in runs] == [set()] * 2 + [{notes.HOST}] * 3
    for run in runs[:2]:
        assert run.held(run.output).marks.ready[0].tolist() == [[step] * 4 for step in (1, 2, 3, 4)]


def test_random_numbers_need_nothing_of_what_they_replace():
    state = torch.random.get_rng_state()
    run = Run.of(lambda x: x.clone().uniform_(), [Given(torch.zeros(2, 4), STEPS)])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [noted.kind for noted in run.noted] == [notes.RANDOM]
    assert run.held(run.output).marks.ready.eq(0).all()


def test_a_line_is_noted_once():
    run = Run.of(lambda x: x + sum(x[0, 0].item() for _ in range(3)), [Given(torch.zeros(2, 4), STEPS)])
    assert len(run.noted) == 1


def test_what_a_rule_cannot_follow_is_unknown(monkeypatch):
    def failing(call):
        raise ValueError("no such case")

    monkeypatch.setitem(RULES, torch.ops.aten.sinc, failing)
    describe.cache_clear()
    run = Run.of(torch.sinc, [Given(torch.zeros(2, 4), STEPS)])
    describe.cache_clear()
    assert [(noted.kind, noted.op, noted.found) for noted in run.noted] == [
        (notes.UNKNOWN, "aten.sinc.default", "no such case")
    ]
    assert run.held(run.output).marks.ready.eq(4).all()


def test_tensors_that_are_kept_of_a_run_are_like_others_afterwards():
    kept = [None]
    run = Run.of(lambda x: kept.__setitem__(0, x) or x * 2, [Given(torch.ones(2, 4), STEPS)])
    operations = len(run.tape)
    assert operations == 2, "what is kept may be for the next call, so that there is one"
    assert (kept[0] + 1).tolist() == [[2.0] * 4] * 2
    assert len(run.tape) == operations


def test_a_run_within_inference_is_like_any_other():
    with torch.inference_mode():
        assert ready(lambda x: x.clone().mul_(2)) == ([1, 2, 3, 4], [False] * 4)


def test_what_is_computed_of_a_constant_relies_on_it():
    module = nn.Module()
    module.register_buffer("mask", torch.tensor([0.0, 1, 1, 0]))
    module.register_buffer("scale", torch.ones(4))
    module.forward = lambda x: x * module.scale * (1 - (module.mask + 1)).abs()
    run = Run.of(module, [Given(torch.ones(2, 4), STEPS)])
    assert run.held(run.output).marks.ready[0].tolist() == [0, 2, 3, 0]
    assert run.relies_on == {"mask"}
