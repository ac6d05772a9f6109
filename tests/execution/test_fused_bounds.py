"""Kernels of training touch no memory but that of the tensors that they are given, scratch memory included."""

import ctypes
import itertools
import sys

import guarded
import pytest
import torch

from pixkit.execution.cuda import fusing as launched
from pixkit.execution.cuda.fusing import REALS, Pointer
from pixkit.execution.cuda.fusing_kernels import departure
from pixkit.execution.native import fusing as on_cpu
from pixkit.execution.native import rectified, sharing
from pixkit.layers.fusing import Filter

pytestmark = [
    pytest.mark.needs_compiler,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is fenced in Linux's way"),
]
EDGES = ((1, 0, 1, 1), (2, -1, -1, 3), (-2, -2, -3, -2))


class Lending:
    """Gives kernels fenced copies of tensors, and takes back what they have written."""

    def __init__(self, at_end):
        self.at_end, self.lent, self.share = at_end, [], sharing.share

    def pointer(self, tensor):
        if tensor is None:
            return Pointer(None)
        extent = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
        own = tensor.detach().as_strided((extent,), (1,))
        self.lent.append((own, guarded.fenced(own, self.at_end), own.clone()))
        return Pointer(self.lent[-1][1])

    def shared(self, *given, **named):
        self.share(*given, **named)
        for own, copy, before in self.lent:
            if not torch.equal(copy.view(torch.uint8), before.view(torch.uint8)):
                ctypes.memmove(own.data_ptr(), copy.data_ptr(), own.nbytes)
        self.lent.clear()


def activated():
    """Images with edges and cropped ones, in both layouts."""
    ops = on_cpu.FusedOnCPU()
    for edges, form in itertools.product(EDGES, (torch.contiguous_format, torch.channels_last)):
        x = torch.randn(2, 3, 5, 6).contiguous(memory_format=form).requires_grad_()
        out = ops.activated([x], edges, 0.25)
        torch.autograd.grad(out, x, torch.ones_like(out))


def convolved():
    """One convolution of ReLUs at a time, in strips of which an image has a whole one and a part."""
    for inner, outs, sides, edges in ((34, 40, (2, 3), (1, 0, 1, 1)), (34, 6, (1, 1), (0, 0, 0, 0))):
        x = torch.randn(2, inner, 9, 13, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(outs, inner, *sides, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            out = on_cpu.FusedOnCPU().rectified(x.requires_grad_(), [Filter(weight, None, edges)])
        torch.autograd.grad(out, [x, weight], torch.ones_like(out))


@pytest.mark.parametrize("at_end", [True, False])
def test_nothing_is_touched_but_what_they_are_given(at_end, monkeypatch, watch_arrays):
    """In their trials, whose sizes no vector divides; once with arrays on the stack watched as well."""
    if not at_end:
        watch_arrays()
    lending, empty = Lending(at_end), torch.empty

    def fenced(*size, **keys):
        made = empty(*size, **keys)
        return guarded.fenced(made.as_strided((made.numel(),), (1,)), at_end).as_strided(made.shape, made.stride())

    for module in (sharing, launched, rectified):
        monkeypatch.setattr(module, "Pointer", lending.pointer)
    for module in (sharing, on_cpu, rectified):
        monkeypatch.setattr(module, "share", lending.shared)

    monkeypatch.setattr(torch, "empty", fenced)  # for what convolutions of ReLUs are given by address

    def work():
        for dtype in REALS:
            assert on_cpu.departure_of(on_cpu.FusedOnCPU(), dtype) is None
            assert departure(on_cpu.launch, dtype, torch.device("cpu")) is None
        activated()
        convolved()

    assert guarded.apart(work) == 0, "at the end" if at_end else "at the beginning"
