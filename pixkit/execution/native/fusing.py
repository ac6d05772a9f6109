"""Fused operations for training on a CPU, in the library built by a C compiler: one pass over memory each."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.execution.cuda.fusing import REALS, FusedOperations, Launch, Shape, alike, layout, run, suits
from pixkit.execution.cuda.fusing_kernels import departure
from pixkit.execution.native.causal import attended
from pixkit.execution.native.compile import NoCompiler, kernel
from pixkit.execution.native.products import multiplied, multiply, outrun
from pixkit.execution.native.rectified import pairs, rectified
from pixkit.execution.native.rectified import suits as suits_pairs
from pixkit.execution.native.rows import dropped, normalised_rows
from pixkit.execution.native.scanning import scanned
from pixkit.execution.native.sharing import library_for, share
from pixkit.execution.native.trying import departure as departure_of
from pixkit.layers.fusing import WHOLE, Filter, fusing
from pixkit.layers.geometry import Edges
from pixkit.layers.scan import require_first

LEANEST = 3
"""The latest set of operations."""


class FusedOnCPU(FusedOperations):
    """The operations in C, each of torch's threads taking a slice of the batch.

    `lean` selects the operations: 0 the original ones; 1 also recurrences, and dropout and RMS norms of torch's own
    modules; 2 also its causal attention, and tensors of which autocast has rounded some; 3 also linear layers in
    float32, and in bfloat16 convolutions of ReLUs, where the processor has what makes them faster than torch's.
    """

    def __init__(self, *, lean: int = LEANEST) -> None:
        self._lean = lean
        # Looked up once: this takes as long as a small operation.
        self._libraries = {real: kernel(real) for real in ("float", "double")}
        self._outruns, self._pairs = lean >= 3 and outrun(), lean >= 3 and pairs(self._libraries["float"])
        super().__init__(lambda *given: launch(*given, self._libraries))

    def keep(self, kept: Tensor, chance: float) -> Tensor:
        """See FusedOperations; counts from a key drawn by torch's generator, which is many times as fast."""
        key = int(torch.randint(2**63 - 1, ()))
        below = ctypes.c_uint32(min(round(chance * 2**32), 2**32 - 1))
        self._libraries["float"].keep(
            ctypes.c_void_p(kept.data_ptr()), ctypes.c_int64(kept.numel()), ctypes.c_uint64(key), below
        )
        return kept

    def scan(self, *given: Any) -> Tensor:
        """See Fusing."""
        return scanned(self._libraries, *given) if self._lean else super().scan(*given)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See Fusing; calls of torch's own modules are also replaced."""
        kwargs = kwargs or {}
        if self._lean >= 2 and not torch.is_grad_enabled():
            # Without gradients there is nothing to gain; besides, torch's reentrant checkpoints first run this way and
            # then again without this mode, and dropout has to drop the same elements.
            return None if func is fusing else func(*args, **kwargs)
        if self._lean and func is F.dropout:
            return dropped(self.keep, self._libraries, *args, **kwargs)
        if self._lean and func is F.rms_norm:
            return normalised_rows(self._libraries, *args, **kwargs)
        if self._lean >= 2 and func is F.scaled_dot_product_attention:
            return attended(self._libraries, *args, **kwargs)
        if self._outruns and func is F.linear:
            return multiplied(self._libraries, *args, **kwargs)
        return super().__torch_function__(func, types, args, kwargs)

    def gate(self, hidden: Tensor) -> Tensor:
        """See Fusing."""
        if not suits((hidden,)) or not hidden.numel():
            return super().gate(hidden)
        return _Gate.apply(self._launch, "gate_quotient" if self._lean >= 2 else "gate_tanh", hidden)

    def rectified(self, x: Tensor, layers: Sequence[Filter], *, added: bool = False) -> Tensor:
        """See Fusing."""
        if not self._pairs or not torch.is_autocast_enabled("cpu") or not suits_pairs(x, layers, added=added):
            return super().rectified(x, layers, added=added)
        return rectified(self._libraries["float"], x, [layers], added)

    def residual(self, x: Tensor, blocks: Sequence[Sequence[Filter]]) -> Tensor:
        """See Fusing; an image stays in the cache from block to block."""
        able = self._pairs and torch.is_autocast_enabled("cpu")
        if not able or not all(suits_pairs(x, layers, added=True) for layers in blocks):
            return super().residual(x, blocks)
        return rectified(self._libraries["float"], x, blocks, True)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A linear layer in float32 or float64 by the kernel, whether or not that is faster."""
        return multiply(self._libraries, x, weight, bias)

    def activated(self, parts: Sequence[Tensor], edges: Edges = WHOLE, dropout: float = 0.0) -> Tensor:
        """See Fusing."""
        return super().activated(self._rounded(parts), edges, dropout)

    def gated(self, x: Tensor, hidden: Tensor) -> Tensor:
        """See Fusing."""
        return super().gated(*self._rounded((x, hidden)))

    def _rounded(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """The tensors in autocast's type, if some have it already and the next layer rounds results of the others."""
        kinds, half = {one.dtype for one in tensors}, torch.get_autocast_dtype("cpu")
        if self._lean < 2 or len(kinds) == 1 or half not in kinds or not torch.is_autocast_enabled("cpu"):
            return tensors
        return [one.to(half) for one in tensors]


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, launch: Launch, name: str, hidden: Tensor) -> Tensor:
        (wide,) = alike((hidden,))
        out = torch.empty_like(wide[:, : wide.shape[1] // 2], memory_format=layout(wide))
        run(launch, name, Shape.of(out, wide, 0, WHOLE, out), out, out, wide, out)
        ctx.launch, ctx.back = launch, f"{name}_back"
        ctx.save_for_backward(wide)
        return out

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        require_first()
        (wide,) = ctx.saved_tensors
        ours, out = given.contiguous(memory_format=layout(wide)), torch.empty_like(wide)
        run(ctx.launch, ctx.back, Shape.of(ours, wide, 0, WHOLE, ours), ours, ours, wide, out)
        return None, None, out


def launch(dtype: torch.dtype, name: str, given: list[Any], *sizes: Any) -> None:
    """Run what a GPU would launch: see `Launch`. After blocks and images, preloaded libraries may follow."""
    shape, count, *rest = given
    _, images, *found = sizes
    libraries = found[0] if found else {real: kernel(real) for real in ("float", "double")}
    library = library_for(libraries, dtype)
    work = getattr(library, f"{name}_half" if dtype == torch.bfloat16 else name)
    share(lambda *part: work(ctypes.byref(shape), *part, *rest), images, count.value * images)


def tried() -> None:
    """Make the operations and compare them with torch's, once.

    Raises:
        NoCompiler: if they are unavailable or wrong.
    """
    if (fault := _fault(kernel("float"), kernel("double"))) is not None:
        raise NoCompiler("fused operations give other results than torch's", found=fault)


@functools.cache
def _fault(*libraries: ctypes.CDLL) -> str | None:
    """Describe what is wrong with the results of these libraries; None if nothing is."""
    for dtype in REALS:
        found = [departure_of(FusedOnCPU(lean=lean), dtype) for lean in (1, LEANEST)]
        if fault := departure(launch, dtype, torch.device("cpu")) or next(filter(None, found), None):
            return fault
    return None
