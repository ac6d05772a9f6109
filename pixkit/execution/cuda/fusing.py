"""Fused operations for training, with pixkit's own kernels: one launch each, without intermediate tensors.

`fusing.cu` says what they compute. `driver.py` runs it on a GPU; tests compile it for the CPU with a C compiler.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.layers.fusing import WHOLE, Fusing
from pixkit.layers.geometry import Edges
from pixkit.layers.scan import require_first

REALS = {torch.float32: "float", torch.bfloat16: "bf16", torch.float64: "double"}
"""The storage types, and the kernels' names for them."""
LANES = 256
"""Lanes of a block."""
MANY = 4
"""Elements that a lane has in flight together, as in fusing.cu."""
LARGEST = 2**31
"""The number of elements of an image from which their indices would overflow."""


class Pointer(ctypes.c_void_p):
    """A tensor's memory, or null; keeps the tensor alive, because waiting for a thread may be interrupted."""

    def __init__(self, tensor: Tensor | None) -> None:
        super().__init__(None if tensor is None else tensor.data_ptr())
        self.tensor = tensor


Launch: TypeAlias = Callable[[torch.dtype, str, list[Any], int, int], None]
"""Runs a kernel, given its dtype, name, arguments, blocks per image, and images."""


class _Divisor(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("by", "magic", "shift")]

    @classmethod
    def of(cls, by: int) -> _Divisor:
        """Its `over` in fusing.cu is n // by."""
        shift = (by - 1).bit_length()
        return cls(by, 2**32 * (2**shift - by) // by + 1, shift)


class Shape(ctypes.Structure):
    """`Shape` of fusing.cu."""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("maps", "height", "width", "wide", "first", "rows", "columns")),
        *((name, ctypes.c_int) for name in ("top", "left")),
        ("last", ctypes.c_uint32),
        *((name, _Divisor) for name in ("inner", "across")),
    ]

    @classmethod
    def of(cls, x: Tensor, wide: Tensor, first: int, edges: Edges, over: Tensor) -> Shape:
        """Describe an image's maps within wider ones, iterating over the sites of `over`, one of the two."""
        (_, maps, height, width), (_, many, rows, columns) = x.shape, wide.shape
        # A single map or a single site has both layouts: then the other tensor tells them apart.
        last, sites = _last(x) or _last(wide), over.shape[2] * over.shape[3]
        divisors = _Divisor.of(maps if last else sites), _Divisor.of(over.shape[3])
        return cls(maps, height, width, many, first, rows, columns, edges[0], edges[2], int(last), *divisors)


def _last(x: Tensor) -> bool:
    """Whether the maps of a site are adjacent in memory, where there is a difference."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def layout(x: Tensor) -> torch.memory_format:
    """The memory format of an image."""
    return torch.channels_last if _last(x) else torch.contiguous_format


def run(launch: Launch, name: str, shape: Shape, over: Tensor, *rest: Tensor | float | None) -> None:
    """Launch a kernel over an image's maps at the sites of `over`."""
    count, batch = shape.maps * over.shape[2] * over.shape[3], len(over)
    if not count or not batch:
        return
    number = ctypes.c_double if over.dtype == torch.float64 else ctypes.c_float
    given: list[Any] = [shape, ctypes.c_uint32(count)]
    for value in rest:
        given.append(number(value) if isinstance(value, float) else Pointer(value))
    launch(over.dtype, name, given, -(-count // (LANES * MANY)), batch)


class _Activated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, launch: Launch, edges: Edges, kept: Tensor | None, scale: float, *parts: Tensor) -> Tensor:
        top, bottom, left, right = edges
        batch, _, height, width = parts[0].shape
        size = (batch, 2 * sum(part.shape[1] for part in parts), height + top + bottom, width + left + right)
        wide = torch.empty(size, dtype=parts[0].dtype, device=parts[0].device, memory_format=layout(parts[0]))
        first = 0
        for part in parts:
            run(launch, "activate", Shape.of(part, wide, first, edges, wide), wide, part, kept, scale, wide)
            first += 2 * part.shape[1]
        ctx.launch, ctx.edges, ctx.scale, ctx.masked = launch, edges, scale, kept is not None
        ctx.save_for_backward(*parts, *([] if kept is None else [kept]))
        return wide

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        require_first()
        parts, kept = ctx.saved_tensors, None
        if ctx.masked:
            *parts, kept = parts
        given, first, found = given.contiguous(memory_format=layout(parts[0])), 0, []
        for part in parts:
            out = torch.empty_like(part)
            shape = Shape.of(part, given, first, ctx.edges, part)
            run(ctx.launch, "activate_back", shape, part, part, kept, ctx.scale, given, out)
            first += 2 * part.shape[1]
            found.append(out)
        return None, None, None, None, *found


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, launch: Launch, x: Tensor, wide: Tensor) -> Tensor:
        out = torch.empty_like(x)
        run(launch, "gate", Shape.of(x, wide, 0, WHOLE, x), x, x, wide, out)
        ctx.launch = launch
        ctx.save_for_backward(wide)
        return out

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        require_first()
        (wide,) = ctx.saved_tensors
        ours, out = given.contiguous(memory_format=layout(wide)), torch.empty_like(wide)
        run(ctx.launch, "gate_back", Shape.of(ours, wide, 0, WHOLE, ours), ours, ours, wide, out)
        return None, given, out


class FusedOperations(Fusing):
    """The operations, given a function that launches a kernel.

    Tensors of several dtypes, of an unsupported one, or too large are computed without fusing.
    """

    def __init__(self, launch: Launch) -> None:
        super().__init__()
        self._launch = launch

    def activated(self, parts: Sequence[Tensor], edges: Edges = WHOLE, dropout: float = 0.0) -> Tensor:
        """See Fusing."""
        parts, kept, scale = alike(parts), None, 1.0
        if dropout > 0:
            (part,) = parts
            size = (len(part), 2 * part.shape[1], *part.shape[2:])
            kept = torch.empty(size, dtype=torch.bool, device=part.device, memory_format=layout(part))
            kept, scale = self.keep(kept, 1 - dropout), 1 / (1 - dropout)
        if suits(parts):
            return _Activated.apply(self._launch, edges, kept, scale, *parts)
        return plain_activated(parts, edges, kept, scale)

    def keep(self, kept: Tensor, chance: float) -> Tensor:
        """Choose the elements that dropout keeps, bool, each with this probability; fills and returns `kept`."""
        return kept.bernoulli_(chance)

    def gated(self, x: Tensor, hidden: Tensor) -> Tensor:
        """See Fusing."""
        if suits((x, hidden)):
            return _Gated.apply(self._launch, *alike((x, hidden)))
        return plain_gated(x, hidden)

    def normalised(self, weight: Tensor, gain: Tensor) -> Tensor:
        """See Fusing; uses torch's own kernel."""
        # The kernel behind torch's own parametrization, which has no public name.
        return torch._weight_norm(weight, gain.view(-1, *[1] * (weight.ndim - 1)), 0)


def plain_activated(
    parts: Sequence[Tensor], edges: Edges = WHOLE, kept: Tensor | None = None, scale: float = 1
) -> Tensor:
    """What `FusedOperations.activated` computes, in torch's operations; `kept` marks what dropout keeps."""
    top, bottom, left, right = edges
    active = F.elu(torch.cat([half for part in parts for half in (part, -part)], 1))
    return F.pad(active if kept is None else active * kept * scale, (left, right, top, bottom))


def plain_gated(x: Tensor, hidden: Tensor) -> Tensor:
    """What `FusedOperations.gated` computes, in torch's operations."""
    value, gate = hidden.chunk(2, 1)
    return x + value * torch.sigmoid(gate)


def suits(tensors: Sequence[Tensor]) -> bool:
    """Whether the kernels can take these tensors."""
    dtype = tensors[0].dtype
    return dtype in REALS and all(one.dtype == dtype and one[:1].numel() < LARGEST // 4 for one in tensors)


def alike(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, dense and in the memory format of the first."""
    kind = layout(tensors[0])
    return [one.contiguous(memory_format=kind) for one in tensors]
