"""Runs of modules: what counts as known of them, what they keep, and that they are left as they were."""

import math

import pytest
import torch
from needs import ready_of, run_of
from torch import nn
from torch.nn.utils import parametrizations

from pixkit.readiness.elements import notes

T, WIDTH = 5, 4
X = torch.randn(2, T, WIDTH, generator=torch.Generator().manual_seed(0))
STEPS = torch.arange(T)[:, None].expand(2, T, WIDTH)
CAUSAL, STRICT, ALL = [1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [T] * T
BELOW = torch.ones(T, T).tril(-1)
FUTURE = torch.full((T, T), -math.inf).triu(1)


class Does(nn.Module):
    """A module that does what a function says, with parts, parameters and buffers."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if type(part) is torch.Tensor:
                self.register_buffer(name, part.clone())
            else:
                setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def by_row(run):
    """The latest readiness of each row of the output, and of all batches and columns."""
    return ready_of(run).amax((0, 2)).tolist()


def masked_by_data(self, x):
    self.linear.weight.data = self.linear.weight.detach() * self.below  # which does not ask for `data` first
    return self.linear(x.mT).mT


def mask_made_once(self, x):
    if not hasattr(self, "seen"):
        self.seen = torch.ones(T, T).tril(-1)
    return self.seen @ x


def reads_the_last_call(self, x):
    last, self.last = getattr(self, "last", None), x
    return x if last is None else x + last.flip(1)


def keeps_in_a_list(self, x):
    self.kept.append(x)
    return self.kept.pop(0).flip(1) if len(self.kept) > 3 else x


def passes_on(self, x):
    y = x + self.line[-1]
    self.line[1:] = self.line[:-1].clone()
    self.line[0] = x.flip(1)
    return y


def adds_up(self, x):
    self.total += x.sum()
    return x * self.total


def takes_a_gradient(self, x):
    y = x.detach().requires_grad_()
    return torch.autograd.grad((y**3).sum(), y)[0]


def layer(**options):
    return nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True, **options)


MODULES = {
    "linear": (lambda: nn.Linear(WIDTH, WIDTH), CAUSAL),
    "a mask on weights": (lambda: Does(lambda self, x: (self.w * self.m) @ x, w=nn.Parameter(BELOW), m=BELOW), STRICT),
    "a mask written into weights": (lambda: Does(masked_by_data, linear=nn.Linear(T, T, False), below=BELOW), STRICT),
    "a mask made once": (lambda: Does(mask_made_once), STRICT),
    "a triangular parameter": (lambda: Does(lambda self, x: self.w @ x, w=nn.Parameter(BELOW)), ALL),
    "a frozen one": (lambda: Does(lambda self, x: self.w @ x, w=nn.Parameter(BELOW, requires_grad=False)), ALL),
    "a hidden one": (lambda: Does(lambda self, x: self.w[0].data @ x, w=[nn.Parameter(BELOW)]), ALL),
    "a buffer": (lambda: Does(lambda self, x: self.b @ x, b=BELOW), STRICT),
    "encoder": (lambda: Does(lambda self, x: self.l(x, src_mask=self.m), l=layer(), m=FUTURE), CAUSAL),
    "attention": (
        lambda: Does(
            lambda self, x: self.l(x, x, x, attn_mask=self.m)[0],
            l=nn.MultiheadAttention(WIDTH, 2, batch_first=True),
            m=FUTURE,
        ),
        CAUSAL,
    ),
    "gru": (lambda: Does(lambda self, x: self.l(x)[0], l=nn.GRU(WIDTH, 3, 2, batch_first=True)), CAUSAL),
    "batch norm": (lambda: Does(lambda self, x: self.l(x.mT).mT, l=nn.BatchNorm1d(WIDTH)), CAUSAL),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH)), CAUSAL),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH)), CAUSAL),
    "dropout": (lambda: nn.Dropout(0.5), CAUSAL),
    "the last call": (lambda: Does(reads_the_last_call), [5, 4, 3, 4, 5]),
    "calls in a list": (lambda: Does(keeps_in_a_list, kept=[]), [5, 4, 3, 4, 5]),
    "a line of calls": (lambda: Does(passes_on, line=torch.zeros(3, 2, T, WIDTH)), [5, 4, 3, 4, 5]),
    "a sum over calls": (lambda: Does(adds_up, total=torch.zeros(())), ALL),
    "a gradient": (lambda: Does(takes_a_gradient), CAUSAL),
    "compiled": (lambda: torch.compile(nn.Linear(WIDTH, WIDTH)), CAUSAL),
    "scripted": (lambda: torch.jit.script(nn.Linear(WIDTH, WIDTH)), CAUSAL),
    "inference": (lambda: Does(torch.inference_mode()(lambda self, x: x.cumsum(1))), CAUSAL),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_followed_and_left_as_they_were(name):
    build, expected = MODULES[name]
    module = build().eval()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    attributes, random = dict(vars(module)), torch.get_rng_state()
    lists = {key: list(value) for key, value in attributes.items() if type(value) is list}
    run = run_of(module, X, STEPS)
    assert not run.noted
    assert by_row(run) == expected
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in state.items())
    assert vars(module).keys() == attributes.keys()
    assert all(vars(module)[key] is value for key, value in attributes.items())
    assert all(getattr(module, key) == value for key, value in lists.items())
    assert not any(part.training for part in module.modules())
    assert torch.equal(random, torch.get_rng_state())


def test_a_module_that_keeps_state_is_called_again_whatever_is_noted():
    run = run_of(Does(lambda self, x: (float(x.sum()), reads_the_last_call(self, x))[1]), X, STEPS)
    assert {noted.kind for noted in run.noted} == {notes.HOST} and by_row(run) == [5, 4, 3, 4, 5]


@pytest.mark.parametrize(("length", "said"), [
    (5, []), (6, [(notes.KEPT, "the values written to tensors from outside", "")]),
])  # fmt: skip
def test_the_state_may_change_in_six_calls(length, said):
    run = run_of(Does(passes_on, line=torch.zeros(length, 2, T, WIDTH)), X, STEPS)
    assert [(noted.kind, noted.op, noted.line.module) for noted in run.noted] == said
    assert by_row(run) == ([5, 4, 3, 4, 5] if length == 5 else CAUSAL)


def test_a_parameter_can_be_taken_for_a_constant():
    module = Does(lambda self, x: self.w @ x, w=nn.Parameter(BELOW))
    run = run_of(module, X, STEPS, fixed={"w"})
    assert by_row(run) == STRICT
    assert run.relies_on == {"w"}


def test_a_buffer_that_training_writes_is_not_known():
    known = Does(lambda self, x: self.zeros[:, None] * x.flip(1) + x, zeros=torch.zeros(T)).eval()
    trained = Does(
        lambda self, x: (self.norm(x), self.norm.running_mean[:, None] * x.flip(1) + x)[1], norm=nn.BatchNorm1d(T)
    )
    assert by_row(run_of(known, X, STEPS)) == CAUSAL
    assert by_row(run_of(trained.eval(), X, STEPS)) == [5, 4, 3, 4, 5]


def test_statistics_that_a_forward_writes_are_put_back():
    module = nn.Sequential(nn.BatchNorm1d(T))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    assert by_row(run_of(module, X, STEPS)) == CAUSAL
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in before.items())
    assert all(part.training for part in module.modules())


def test_what_a_claim_rests_on_is_named():
    run = run_of(Does(lambda self, x: self.used @ x + self.added, used=BELOW, added=torch.ones(T, 1)), X, STEPS)
    assert run.relies_on == {"used"}


def test_random_numbers_are_noted_with_the_module_that_draws_them():
    run = run_of(nn.Sequential(nn.Identity(), nn.Dropout(0.5)), X, STEPS)
    assert [(noted.kind, noted.line.module) for noted in run.noted] == [(notes.RANDOM, "1 (Dropout)")]


def test_what_a_module_raises_by_itself_is_raised():
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run_of(nn.Linear(3, 3), X, STEPS)


def test_what_a_module_wrote_before_it_raised_is_put_back():
    def fails(self, x):
        self.w.data.add_(1)
        raise ValueError("as it does")

    module = Does(fails, w=nn.Parameter(torch.zeros(2)))
    with pytest.raises(ValueError, match="as it does"):
        run_of(module, X, STEPS)
    assert module.w.eq(0).all()


def test_a_buffer_that_training_replaces_is_not_known():
    def replaces(self, x):
        if self.training:
            self.zeros = self.zeros + 0
        return self.zeros * x.flip(1) + x

    module = Does(replaces, zeros=torch.zeros(T, 1)).eval()
    assert by_row(run_of(module, X, STEPS)) == [5, 4, 3, 4, 5]
    assert list(module._buffers) == ["zeros"]


def test_what_a_module_holds_may_hold_itself():
    module = Does(lambda self, x: x * 1)
    module.table = {"module": module}
    module.table["table"] = module.table
    assert by_row(run_of(module, X, STEPS)) == CAUSAL


def test_a_constant_that_numpy_writes_is_not_known():
    def writes(self, x):
        self.b.numpy()[2:] = 1
        return self.b * x.flip(1)

    module = Does(writes, b=torch.zeros(T, 1)).eval()
    assert [(noted.kind, noted.op) for noted in run_of(module, X, STEPS).noted] == [(notes.HOST, "numpy")]
    assert module.b.eq(0).all()
