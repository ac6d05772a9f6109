"""Kernels of training on a CPU are compared with torch's operations before a build uses any; attention is torch's."""

import ctypes
import math

import pytest
import torch
import torch.nn.functional as F
from teacher import many_threads

from pixkit.execution.native import causal, products, rows, scanning, sharing
from pixkit.execution.native import fusing as on_cpu
from pixkit.execution.native.fusing import LEANEST, FusedOnCPU
from pixkit.layers import fusing

pytestmark = pytest.mark.needs_compiler
KERNELS = {
    **dict.fromkeys(["rms", "rms_back", "drop"], rows),
    **dict.fromkeys(["scan_read", "scan_read_back", "scan_cell", "scan_cell_back"], scanning),
    **dict.fromkeys(["causal", "causal_back"], causal),
    "product": products,
    **dict.fromkeys(["gate_tanh", "gate_tanh_back", "gate_quotient", "gate_quotient_back"], on_cpu),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_that_computes_something_else_is_noticed(name, monkeypatch):
    """Of one element of its last result; the trial leaves torch's generator as it was."""
    where = "work_on" if KERNELS[name] is not on_cpu else "launch"
    as_it_is, before = getattr(KERNELS[name], where), torch.get_rng_state()

    def wrong(*given, **named):
        as_it_is(*given, **named)
        if given[1] == name:
            last = [one for one in given if isinstance(one, torch.Tensor)] or [given[2][-1].tensor]
            last[-1][(0,) * last[-1].ndim] += 1

    assert on_cpu._fault.__wrapped__() is None
    monkeypatch.setattr(KERNELS[name], where, wrong)
    assert "apart, relative to the largest" in on_cpu._fault.__wrapped__()
    assert torch.equal(torch.get_rng_state(), before)


class Recorded:
    """In place of the compiled kernel: what its functions are called with."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda first, last, *given: self.calls.append((name, (first.value, last.value), given))


@pytest.mark.parametrize(
    ("dtype", "name", "real", "kept"),
    [
        (torch.float64, "drop", ctypes.c_double, torch.float64),
        (torch.float32, "drop", ctypes.c_float, torch.float32),
        (torch.bfloat16, "drop_half", ctypes.c_float, torch.float32),
    ],
)
def test_what_a_kernel_is_called_with(dtype, name, real, kept, monkeypatch):
    """In several threads from some elements on, each with memory of its own, unless all write to one place."""
    monkeypatch.setattr(sharing, "LEAST", 10)
    one, expected = torch.ones(2), [(0, 2), (2, 4), (4, 7)]
    for count, elements, alone, parts in (
        (7, 10, False, expected),
        (7, 9, False, [(0, 7)]),
        (2, 10, False, [(0, 1), (1, 2)]),
        (7, 10, True, [(0, 7)]),
    ):
        library = Recorded()
        with many_threads(3):
            given = (torch.zeros(elements, dtype=dtype), count, None, 5, 2.5, one)
            sharing.work_on(library, "drop", *given, alone=alone, scratch=6)
        assert sorted(part for _, part, _ in library.calls) == parts
        assert len({rest[-1].value for *_, rest in library.calls}) == len(parts)
        for called, _, (nothing, number, factor, tensor, scratch) in library.calls:
            assert (called, nothing.value, tensor.tensor) == (name, None, one)
            assert (type(number), number.value, type(factor), factor.value) == (ctypes.c_int64, 5, real, 2.5)
            assert (scratch.tensor.dtype, scratch.tensor.shape) == (kept, (6,))


TIES = torch.tensor([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3.3e38, 3.4e38, 2**-133, 3 * 2**-134, math.inf])
"""Numbers half-way between two of bfloat16, of which one rounds up, one down, and others at the ends of its range."""


def test_numbers_become_bfloat16_as_torchs_do_and_back():
    numbers = torch.cat([TIES, -TIES, torch.tensor([math.nan]), given_to(9)[0].detach().float().flatten()])
    library, out = on_cpu.kernel("float"), torch.empty(len(numbers), dtype=torch.bfloat16)
    sharing.work_on(library, "scan_read", out, len(out), 1, 1, 0, numbers, out)
    assert torch.equal(out.nan_to_num(7.0), numbers.bfloat16().nan_to_num(7.0))
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16)
    back = torch.zeros(len(every))
    sharing.work_on(library, "scan_read_back", every, len(every), 1, 1, 0, every, back)
    assert torch.equal(back.nan_to_num(7.0), every.float().nan_to_num(7.0))


def given_to(*sizes, dtype=torch.float64, sites=67):
    random = torch.Generator().manual_seed(0)
    made = [torch.randn(2, sites, 3, maps, generator=random, dtype=torch.float64) for maps in sizes]
    return [one.to(dtype).transpose(1, 2).requires_grad_() for one in made]


def attended(given, **named):
    out = F.scaled_dot_product_attention(*given, **named)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out, *torch.autograd.grad(out, given, weights)]


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float64, 1e-13), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize(("sites", "sizes"), [(1, (3, 3, 2)), (67, (5, 5, 18)), (130, (33, 33, 1))])
def test_causal_attention_is_torchs(dtype, apart, sites, sizes, monkeypatch):
    """In blocks of sites or not, as wide as vectors or not; by two threads with the bits of one."""
    given, exact = (given_to(*sizes, dtype=one, sites=sites) for one in (dtype, torch.float64))
    theirs, empty = attended(exact, is_causal=True, scale=0.3), torch.empty
    # Memory as it may be found: what is read before it is written gives NaN.
    monkeypatch.setattr(torch, "empty", lambda *size, **keys: empty(*size, **keys).fill_(float("nan")))
    with FusedOnCPU():
        ours = attended(given, is_causal=True, scale=0.3)
        monkeypatch.setattr(sharing, "LEAST", 0)
        with many_threads(2):
            assert all(map(torch.equal, ours, attended(given, is_causal=True, scale=0.3)))
    assert "_Attended" in str(ours[0].grad_fn) and ours[0].dtype == dtype
    assert ours[0].transpose(1, 2).is_contiguous(), "as the next layer reads it"
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape and (one.double() - other).detach().abs().max() < apart * max(1, sites / 10)


def test_attention_of_large_logits_neither_overflows_nor_vanishes():
    """Later keys have by far the larger ones, so that what was added up before gets less by as good as all."""
    query, key, value = given_to(4, 4, 4, sites=70)
    key = (key * torch.linspace(1, 400, 70)[:, None]).detach().requires_grad_()
    with FusedOnCPU():
        ours = attended([query, key, value], is_causal=True)
    for one, other in zip(ours, attended([query, key, value], is_causal=True), strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


def test_other_attention_is_left_to_torch(monkeypatch):
    """With a mask, with dropout, to all sites, to another sequence, of other types, or rounded by autocast first."""
    query, key, value = given_to(4, 4, 4, sites=5)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    with FusedOnCPU():
        assert torch.allclose(
            F.scaled_dot_product_attention(query, key, value, mask),
            F.scaled_dot_product_attention(query, key, value, is_causal=True),
        )
        widest = given_to(256, 256, 256, sites=2)
        assert "_Attended" in str(F.scaled_dot_product_attention(*widest, is_causal=True).grad_fn)
        monkeypatch.setattr(causal, "work_on", None)
        for sizes in ((257, 257, 1), (1, 1, 257)):
            F.scaled_dot_product_attention(*given_to(*sizes, sites=2), is_causal=True)
        assert not causal._suits(query, key, value[:, :, :3]), "of which torch says nothing"
        for named in ({"attn_mask": mask}, {"is_causal": False}, {"is_causal": True, "dropout_p": 0.5}):
            F.scaled_dot_product_attention(query, key, value, **named)
        for others in ((query[:, :, :3], key, value), (query[0], key[0], value[0]), (query, key[:, :1], value[:, :1])):
            F.scaled_dot_product_attention(*others, is_causal=True, enable_gqa=others[1].shape[-3] == 1)
        F.scaled_dot_product_attention(query[:0], key[:0], value[:0], is_causal=True)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), is_causal=True)
        assert rounded.dtype == torch.bfloat16
        with torch.no_grad():
            F.scaled_dot_product_attention(query, key, value, is_causal=True)
    with FusedOnCPU(lean=1):
        F.scaled_dot_product_attention(query, key, value, is_causal=True)


@pytest.mark.parametrize(("lean", "kernel"), [(1, "gate_tanh"), (2, "gate_quotient")])
def test_older_runs_keep_their_gate(lean, kernel, monkeypatch):
    asked = []
    monkeypatch.setattr(on_cpu, "launch", lambda dtype, name, *rest: asked.append(name))
    FusedOnCPU(lean=lean).gate(torch.zeros(1, 2, 1, 1))
    assert asked == [kernel]


def test_second_derivatives_of_attention_are_refused():
    given = given_to(3, 3, 3, sites=2)
    with FusedOnCPU():
        loss = F.scaled_dot_product_attention(*given, is_causal=True).square().sum()
    with pytest.raises(RuntimeError, match="differentiated once"):
        torch.autograd.grad(loss, given, create_graph=True)


def test_where_nothing_is_recorded_dropout_is_torchs():
    """As in what torch's reentrant checkpoints compute at first; they compute it again without the operations."""
    x = torch.randn(50, requires_grad=True)
    for ways, same in ((FusedOnCPU(), True), (FusedOnCPU(lean=1), False)):
        with torch.no_grad(), ways:
            torch.manual_seed(1)
            found = F.dropout(x, 0.5)
            assert (fusing(x) is None) == same
        torch.manual_seed(1)
        assert torch.equal(found, F.dropout(x, 0.5)) == same


def test_of_what_autocast_has_rounded_in_part_all_is_rounded():
    """Plainly computed it would be float32 again, in more passes, for the next layer to round."""
    x, hidden = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 4, 5).bfloat16()
    for lean, dtype, kernel in ((LEANEST, torch.bfloat16, True), (1, torch.float32, False)):
        ops = FusedOnCPU(lean=lean)
        with torch.autocast("cpu", torch.bfloat16):
            x.requires_grad_()
            found, active = ops.gated(x, hidden), ops.activated([x, hidden])
        assert found.dtype == active.dtype == dtype and ("_Gated" in str(found.grad_fn)) == kernel
        assert torch.autograd.grad(found.sum() + active.sum(), x)[0].dtype == torch.float32
        assert ops.gated(x, hidden).dtype == torch.float32, "nothing is to be rounded without autocast"
        assert torch.allclose(found.double(), ops.gated(x.double(), hidden.double()), atol=0.05)
