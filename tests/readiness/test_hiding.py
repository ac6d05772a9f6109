"""Modules that hide a leak from what follows their operations: none is proved, and none crashes."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from plain_causal import TOKENS, WIDTH
from torch import nn

from pixkit.readiness import prove
from pixkit.readiness.elements.marks import LATEST

STEPS = torch.arange(TOKENS)[None, :, None].expand(1, -1, WIDTH)
X = torch.linspace(-1, 1, TOKENS * WIDTH).view(STEPS.shape)


class Hiding(nn.Module):
    """What is written to its buffer can be read as an array in the same memory."""

    calls = 0

    def __init__(self, forward):
        super().__init__()
        self.register_buffer("kept", torch.zeros(X.shape))
        self.array, self.does = self.kept.numpy(), forward

    def forward(self, x):
        return self.does(self, x)


def by_array(self, x):
    self.kept.copy_(x.flip(1))
    return torch.as_tensor(self.array.copy())


def by_bytes(self, x):
    memory = bytearray(4 * x.numel())
    torch.frombuffer(memory, dtype=torch.float32).copy_(x.flip(1).flatten())
    return torch.frombuffer(bytearray(memory), dtype=torch.float32).view(x.shape)


def by_class(self, x):
    return x.flip(1) if type(x) is torch.Tensor else torch.zeros(x.shape)


def by_error(self, x):
    try:
        torch._assert_async(x[0, -1, 0] > 0)
    except RuntimeError:
        return torch.ones(x.shape)
    return torch.zeros(x.shape)


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        *((each, "torch does not see them") for each in (by_array, by_bytes)),
        (by_class, "in a call whose operations are not followed: " + __file__),
        (by_error, "passed to Python"),
    ],
)
def test_what_no_operation_shows_is_seen_to_leak(forward, said):
    module = Hiding(forward)
    proof = prove(module, X, STEPS)
    assert proof.verdict == "leaks" and proof.evidence is not None
    assert any(said in reason for reason in proof.reasons)
    assert not bool(module.kept.any()), "what a try has written is put back"


def test_what_is_kept_outside_the_module_is_found_by_a_second_call():
    kept = []

    def forward(self, x):
        last = kept.pop() if kept else torch.zeros(x.shape)
        kept.append(x.clone())
        return last.flip(1)

    assert prove(Hiding(forward), X, STEPS).verdict == "unproved"


def test_a_module_that_counts_its_calls_elsewhere_is_not_said_to_leak():
    count = itertools.count()
    proof = prove(Hiding(lambda self, x: torch.full(x.shape, float(next(count)))), X, STEPS)
    assert proof.verdict == "unproved" and "behaves differently" in proof.reasons[0]


class Count:
    __slots__ = ("number",)
    made = 0

    def __init__(self):
        self.number = 0


def counts(self, x):
    """What a later call may go by: numbers in an object and in what a function closes over, and what piles up."""
    self.array.number += 1
    return x.cumsum(1) if self.array.number < 99 else x.flip(1)


CALLS = 0


def counts_in_a_global(self, x):
    global CALLS
    CALLS += 1
    return x.cumsum(1) if CALLS < 99 else x.flip(1)


def counts_in_its_class(self, x):
    type(self).calls += 1
    return x.cumsum(1) if type(self).calls < 99 else x.flip(1)


def counts_in_another_class(self, x):
    Count.made += 1
    return x.cumsum(1) if Count.made < 99 else x.flip(1)


def closes_over(number):
    def forward(self, x):
        nonlocal number
        number += 1
        return x.cumsum(1) if number < 99 else x.flip(1)

    return forward


def piles_up(self, x):
    self.array.append(x)
    return x.cumsum(1) if len(self.array) < 99 else self.array[0].flip(1)


@pytest.mark.parametrize(
    ("forward", "state", "name"),
    [
        (counts_in_a_global, None, "does"),
        (counts_in_its_class, None, "calls"),
        (counts_in_another_class, None, "does"),
        (counts, Count(), "array"),
        (counts, SimpleNamespace(number=0), "array"),
        (lambda self, x: x.cumsum(1) if next(self.array) < 99 else x.flip(1), iter(range(200)), "array"),
        (closes_over(0), None, "does"),
        (piles_up, [], "array"),
    ],
)
def test_a_module_of_which_every_call_leaves_something_else_is_not_proved(forward, state, name):
    module = Hiding(forward)
    module.array = state
    proof = prove(module, X, STEPS, strict=False)
    assert proof.verdict == "unproved"
    (reason,) = proof.reasons
    assert reason.startswith("the module's state differs after every call") and reason.endswith(f"Hiding ({name})")


@torch.library.custom_op("pixkit_tests::writes_unsaid", mutates_args=())
def writes_unsaid(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    y.copy_(x.flip(1))
    return x.new_zeros(1)


def test_a_foreign_operation_that_writes_what_it_does_not_say_is_blamed():
    def forward(self, x):
        y = torch.zeros(x.shape)
        writes_unsaid(x, y)
        return y

    proof = prove(Hiding(forward), X, STEPS)
    assert proof.verdict == "leaks" and proof.blame.text == "writes_unsaid(x, y)"
    assert "and is at an unknown step, by this path" in str(proof) and str(LATEST) not in str(proof)


def test_scalars_and_unsigned_integers_are_asked_about():
    total = prove(Hiding(lambda _, x: x.sum()), X, STEPS, out_steps=torch.tensor(3))
    assert total.verdict == "leaks" and total.blame.operation == "sum" and total.evidence.moved == ()
    short = prove(Hiding(lambda _, x: x.long().flip(1)), (X * 10 + 10).to(torch.uint16), STEPS)
    assert short.verdict == "leaks" and short.blame.operation == "flip"


@pytest.mark.parametrize("x", [torch.zeros(X.shape), X])
def test_what_rounding_moves_is_no_evidence(x):
    def forward(self, x):
        spectrum = torch.fft.rfft(x, 2 * TOKENS, dim=1) * torch.fft.rfft(self.filter, 2 * TOKENS, dim=1)
        return torch.fft.irfft(spectrum, 2 * TOKENS, dim=1)[:, :TOKENS]

    module = Hiding(forward)
    module.filter = nn.Parameter(torch.linspace(-1, 1, TOKENS)[None, :, None])
    assert prove(module, x, STEPS, strict=False).verdict == "unproved"
    module.filter = nn.Parameter(torch.linspace(-1, 1, 2 * TOKENS)[None, :, None])
    assert prove(module, x, STEPS, strict=False).verdict == "leaks"


def test_a_zero_of_unknown_sign_stays_one_when_it_is_written_to_in_place():
    def forward(self, x):
        y = torch.zeros(x.shape) * x.flip(1)
        return torch.sigmoid(y.reciprocal_())

    assert prove(Hiding(forward), X, STEPS).verdict == "leaks"


class MaskedInPlace(nn.Module):
    """A convolution whose weights are masked where they lie, as many PixelCNNs do it: they are put back afterwards."""

    def __init__(self, taps):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 5, padding=2, bias=False)
        self.register_buffer("mask", (torch.arange(5) < taps).float())

    def forward(self, x):
        self.conv.weight.data *= self.mask
        return self.conv(x.mT).mT


def test_weights_that_are_masked_in_place_are_looked_at_as_they_were():
    sound = prove(MaskedInPlace(2), X, STEPS)
    assert sound.verdict == "proved"
    assert sound.receptive_field((0, 4, 0))[0].any(1).nonzero().flatten().tolist() == [2, 3]
    leak = prove(MaskedInPlace(4), X, STEPS)
    assert leak.verdict == "leaks" and leak.blame.text == "return self.conv(x.mT).mT"
    assert leak.path[0].line is None and leak.path[0].ready == leak.path[-1].ready


class Turned(nn.Module):
    """A causal module that writes to the tensor that it gives."""

    def forward(self, x):
        out = x.cumsum(1).roll(1, 1)
        out[:, 0] = 0
        out[:, 1::2] = out[:, 1::2].flip(-1)
        return out


def test_what_is_written_in_place_last_is_no_trace_of_something_hidden():
    assert prove(Turned(), X, STEPS).verdict == "proved"


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x):
        hidden = torch.full((TOKENS, TOKENS), -torch.inf).triu(1)
        return self.attend(x, x, x, attn_mask=hidden, need_weights=False)[0]


@pytest.mark.parametrize("gradients", [True, False])
def test_the_mode_of_gradients_is_left_as_it_was(gradients):
    with torch.set_grad_enabled(gradients):
        assert prove(Attention().eval(), X, STEPS, strict=False).verdict == "proved"
        assert torch.is_grad_enabled() == gradients
