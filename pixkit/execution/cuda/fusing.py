"""Fused operations for training, by kernels of pixkit's own: a launch each, and no tensor in between.

`fusing.cu` says what they compute. A GPU runs it by way of `driver.py`; for tests a C compiler makes it for the CPU.
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
"""What values may be stored as, and what the kernels call it."""
LANES = 256
"""Lanes of a block."""
MANY = 4
"""Elements that a lane has under way together, as in fusing.cu."""
LARGEST = 2**31
"""Elements of an image from which on they could not be counted."""


class Pointer(ctypes.c_void_p):
    """A tensor's memory, or none, which stays as long as this does: whoever waits for a thread may be interrupted."""

    def __init__(self, tensor: Tensor | None) -> None:
        super().__init__(None if tensor is None else tensor.data_ptr())
        self.tensor = tensor


Launch: TypeAlias = Callable[[torch.dtype, str, list[Any], int, int], None]
"""Runs a kernel: of which dtype, its name, its arguments, blocks for an image, and images."""


class _Divisor(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("by", "magic", "shift")]

    @classmethod
    def of(cls, by: int) -> _Divisor:
        """Whose `over` in fusing.cu is n // by."""
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
        """Of an image's maps within wider ones, to go through the sites of `over`, one of the two."""
        (_, maps, height, width), (_, many, rows, columns) = x.shape, wide.shape
        # Of a single map, or a single site, both layouts are one: then the other of the two tells them apart.
        last, sites = _last(x) or _last(wide), over.shape[2] * over.shape[3]
        divisors = _Divisor.of(maps if last else sites), _Divisor.of(over.shape[3])
        return cls(maps, height, width, many, first, rows, columns, edges[0], edges[2], int(last), *divisors)


def _last(x: Tensor) -> bool:
    """Whether the maps of a site lie side by side, where there is a difference."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def layout(x: Tensor) -> torch.memory_format:
    """How an image lies."""
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
    """The operations, by whatever launches a kernel.

    Tensors of several dtypes, or of one that the kernels do not know, are computed plainly; so are larger ones.
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
        """Which elements dropout leaves, bool, each with this chance: the same tensor, filled."""
        return kept.bernoulli_(chance)

    def gated(self, x: Tensor, hidden: Tensor) -> Tensor:
        """See Fusing."""
        if suits((x, hidden)):
            return _Gated.apply(self._launch, *alike((x, hidden)))
        return plain_gated(x, hidden)

    def normalised(self, weight: Tensor, gain: Tensor) -> Tensor:
        """See Fusing; by torch's own."""
        # What torch's own parametrization calls: one kernel, which has no public name of its own.
        return torch._weight_norm(weight, gain.view(-1, *[1] * (weight.ndim - 1)), 0)


def plain_activated(
    parts: Sequence[Tensor], edges: Edges = WHOLE, kept: Tensor | None = None, scale: float = 1
) -> Tensor:
    """What `FusedOperations.activated` computes, by torch's operations; `kept` says which elements dropout leaves."""
    top, bottom, left, right = edges
    active = F.elu(torch.cat([half for part in parts for half in (part, -part)], 1))
    return F.pad(active if kept is None else active * kept * scale, (left, right, top, bottom))


def plain_gated(x: Tensor, hidden: Tensor) -> Tensor:
    """What `FusedOperations.gated` computes, by torch's operations."""
    value, gate = hidden.chunk(2, 1)
    return x + value * torch.sigmoid(gate)


def suits(tensors: Sequence[Tensor]) -> bool:
    """Whether kernels take them."""
    dtype = tensors[0].dtype
    return dtype in REALS and all(one.dtype == dtype and one[:1].numel() < LARGEST // 4 for one in tensors)


def alike(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, dense and in one layout, that of the first."""
    kind = layout(tensors[0])
    return [one.contiguous(memory_format=kind) for one in tensors]
