"""Convolutions of ReLUs for training on a CPU in bfloat16, by the processor's products of pairs of such numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pixkit.execution.cuda.fusing import Pointer
from pixkit.execution.native.prebuilt import processor
from pixkit.execution.native.sharing import share
from pixkit.layers.fusing import ALL, Filter
from pixkit.layers.geometry import Edges
from pixkit.layers.scan import require_first

BROAD = 32
"""Maps of a panel of weights, as in rectified.h."""
BLOCK = 4
"""Images whose weight gradients are summed together, however many threads there are."""
NEARBY = 112
"""Sites of a strip, as in rectified.h."""
LARGEST = 2**18
"""Sites times maps of an image above which its copies would not fit the caches."""


class _Filter(ctypes.Structure):
    """`Filter` of rectified.h."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("height", "width", "inner", "outs", "rows", "columns", "top", "left", "used")
    ]

    @classmethod
    def of(cls, x: Tensor, weight: Tensor, edges: Edges, used: int) -> _Filter:
        """That of a layer; an image that is read site by site is one long row."""
        outs, inner, rows, columns = weight.shape
        grid = (1, x.shape[2] * x.shape[3]) if rows * columns == 1 else x.shape[2:]
        return cls(*grid, inner, outs, rows, columns, edges[0], edges[2], used)

    @property
    def back(self) -> _Filter:
        """That of its gradient."""
        after = self.rows - 1 - self.top, self.columns - 1 - self.left
        taps = self.taps
        used = sum((self.used >> tap & 1) << (taps - 1 - tap) for tap in range(taps)) if self.used != ALL else ALL
        return _Filter(self.height, self.width, self.outs, self.inner, self.rows, self.columns, *after, used)

    @property
    def taps(self) -> int:
        """The kernel's."""
        return self.rows * self.columns

    @property
    def strip(self) -> tuple[int, int]:
        """Rows and sites that are worked on together."""
        width = min(self.width, NEARBY) if self.taps == 1 else self.width
        return max(NEARBY // width, 1), width

    @property
    def copies(self) -> int:
        """Elements of a strip's copy with its edges."""
        tall, width = self.strip
        return (tall + self.rows - 1) * (width + self.columns - 1) * self.inner

    @property
    def room(self) -> int:
        """Elements of a strip's pairs of sites, and of those of its gradient; twice, an odd site apart, if a row of the
        kernel has several taps.
        """
        tall, width = self.strip
        pairs = (width + 1) // 2
        sites = (1 + (self.columns > 1)) * (tall + self.rows - 1) * (pairs + self.columns // 2)
        return 2 * (sites * _broad(self.inner) + tall * pairs * _broad(self.outs))


class _Link(ctypes.Structure):
    """`Link` of rectified.h."""

    _fields_ = [
        *((name, _Filter) for name in ("filter", "back")),
        ("added", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "x", "out", "packed", "packed_back")),
        *((name, ctypes.c_void_p) for name in ("biases", "zeros", "sums", "to_weight", "to_bias")),
    ]


def pairs(library: ctypes.CDLL) -> bool:
    """Whether the processor multiplies pairs of bfloat16 numbers, and the compiler could use that."""
    return "avx512_bf16" in processor() and hasattr(library, "rectified")


def suits(x: Tensor, layers: Sequence[Filter], *, added: bool = False) -> bool:
    """Whether the kernel takes this image and these layers: with an even number of maps, and of the image's size."""
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or x.ndim != 4 or not x.numel():
        return False
    maps = x.shape[1]
    for weight, bias, (top, bottom, left, right), _ in layers:
        outs, inner, rows, columns = weight.shape
        kept = (top + bottom, left + right) == (rows - 1, columns - 1) and min(top, bottom, left, right) >= 0
        single = weight.dtype == torch.float32 and (bias is None or bias.dtype == torch.float32)
        small = x.shape[2] * x.shape[3] * max(outs, inner) <= LARGEST
        if not (kept and single and small) or inner != maps or inner % 2 or outs % 2:
            return False
        maps = outs
    return (maps == x.shape[1] or not added) and x.is_contiguous(memory_format=torch.channels_last)


def rectified(library: ctypes.CDLL, x: Tensor, blocks: Sequence[Sequence[Filter]], added: bool) -> Tensor:
    """See Fusing.rectified, of each block in turn; for what `suits`."""
    layers = [layer for block in blocks for layer in block]
    # Without torch's modes, which every look at a tensor would ask.
    with torch._C.DisableTorchFunction():
        filters = [_Filter.of(x, *layer[::2], layer.taps) for layer in layers]
        ends = [len(block) * (added and one == len(block)) for block in blocks for one in range(1, len(block) + 1)]
        out: Tensor = _Rectified.apply(library, filters, ends, x, *(one for layer in layers for one in layer[:2]))
    return out


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, library: ctypes.CDLL, filters: Sequence[_Filter], ends: Sequence[int], x: Tensor, *given: Any
    ) -> Tensor:
        # Any: weights, and biases or None
        kept: list[Any] = [None if one is None else one.contiguous() for one in given]
        packed, seen = torch.empty(sum(map(_packed, filters))), [x]
        for filter in filters:
            size = len(x), filter.outs, *x.shape[2:]
            seen.append(torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last))
        links, count = _links(filters, ends, packed, seen), ctypes.c_int64(len(filters))
        for number, link in enumerate(links):
            link.out = seen[number + 1].data_ptr()
            link.weight, link.bias = (
                one if one is None else one.data_ptr() for one in kept[2 * number : 2 * number + 2]
            )
        library.rectified_packed(count, links)
        room = max(filter.copies for filter in filters)
        _shared(library.rectified, len(x), x.numel(), room, count, links)
        ctx.library, ctx.ends, ctx.filters = library, ends, filters
        ctx.shapes = [None if one is None else one.shape for one in given]
        ctx.save_for_backward(packed, *seen[:-1])
        return seen[-1]

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        require_first()
        packed, *seen = ctx.saved_tensors  # perhaps others than the forward pass saved: recomputed ones
        filters, x = ctx.filters, seen[0]
        given, out = given.contiguous(memory_format=torch.channels_last), torch.empty_like(x)
        blocks, sizes = (
            -(-len(x) // BLOCK),
            [one.outs * one.taps * _broad(one.inner) + _broad(one.outs) for one in filters],
        )
        sums, found, pairs = torch.empty(blocks * sum(sizes)), [], []
        links, first = _links(filters, ctx.ends, packed, seen), sums.data_ptr()
        for number, (link, size) in enumerate(zip(links, sizes, strict=True)):
            pair = torch.empty(ctx.shapes[2 * number]), torch.empty(link.filter.outs)
            link.sums, link.to_weight, link.to_bias = first, *(one.data_ptr() for one in pair)
            first += 4 * blocks * size
            found += [pair[0], pair[1] if ctx.shapes[2 * number + 1] else None]
            pairs.append(pair)  # until the sums are there
        room = max(one.height * one.width * max(one.inner, one.outs) for one in filters)
        whole = 3 * room + max(max(one.room, one.back.copies) for one in filters)
        count = ctypes.c_int64(len(filters))
        rest = ctypes.c_int64(BLOCK), ctypes.c_int64(len(x)), Pointer(given), Pointer(out), ctypes.c_int64(room)
        _shared(ctx.library.rectified_back, blocks, x.numel(), whole, count, links, *rest)
        ctx.library.rectified_sums(count, links, ctypes.c_int64(blocks))
        return None, None, None, out, *found


def _links(
    filters: Sequence[_Filter], ends: Sequence[int], packed: Tensor, seen: Sequence[Tensor]
) -> ctypes.Array[_Link]:
    """For each filter its image, its part of the memory for packed weights, and where its block's sum is made."""
    links, at = (_Link * len(filters))(), packed.data_ptr()
    for link, filter, end, x in zip(links, filters, ends, seen, strict=False):
        link.added = end
        outs, inner = _broad(filter.outs), _broad(filter.inner)
        link.filter, link.back, link.x = filter, filter.back, x.data_ptr()
        link.biases, link.zeros, link.packed = at, at + 4 * outs, at + 4 * (outs + inner)
        link.packed_back = link.packed + 2 * outs * filter.taps * filter.inner
        at += 4 * _packed(filter)
    return links


def _broad(maps: int) -> int:
    """Maps of whole panels."""
    return -(-maps // BROAD) * BROAD


def _packed(filter: _Filter) -> int:
    """Float32 numbers in which its weights are packed, for both directions, and its biases."""
    outs, inner = _broad(filter.outs), _broad(filter.inner)
    return outs + inner + (outs * filter.inner + inner * filter.outs) * filter.taps // 2


# Any: a function of the library
def _shared(work: Any, rows: int, elements: int, room: int, *rest: Any) -> None:
    """Run it on all rows, each thread with scratch memory for this many elements of two bytes."""
    share(lambda *part: work(*part, *rest, Pointer(torch.empty(room, dtype=torch.bfloat16))), rows, elements)
