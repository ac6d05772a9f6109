"""Causal attention for training on a CPU, called through torch's own function: later keys are not computed."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.execution.cuda.fusing import REALS
from pixkit.execution.lowering.instruction import LANES
from pixkit.execution.native.sharing import Libraries, library_for, work_on
from pixkit.layers.scan import require_first

BLOCK = 64
"""Sites in a block: BLOCKED of causal.h."""
WIDEST = 256
"""Maps per head above which torch computes attention: the kernel's blocks would not fit the caches."""
NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
"""Those of torch's arguments that may be positional."""


def attended(libraries: Libraries, *given: Any, **named: Any) -> Tensor:
    """torch.nn.functional.scaled_dot_product_attention; all but plain causal attention is left to torch."""
    asked = dict(zip(NAMES, given, strict=False)) | named
    query, key, value = (asked[name] for name in ("query", "key", "value"))
    alone = asked.get("attn_mask") is None and not asked.get("dropout_p") and not asked.get("enable_gqa")
    if not alone or not asked.get("is_causal") or not _suits(query, key, value):
        return F.scaled_dot_product_attention(**asked)
    scale = asked.get("scale")
    factor = query.shape[3] ** -0.5 if scale is None else scale
    return _Attended.apply(library_for(libraries, query.dtype), float(factor), query, key, value)


def _suits(*given: Tensor) -> bool:
    """Whether the kernel supports these queries, keys and values."""
    query, key, value = given
    if not query.ndim == value.ndim == 4 or query.shape != key.shape or key.shape[:3] != value.shape[:3]:
        return False
    known = query.dtype in REALS and query.dtype == key.dtype == value.dtype
    # Under autocast torch would first round float32 tensors.
    rounds = torch.is_autocast_enabled("cpu") and query.dtype != torch.bfloat16
    kept = all(one.device.type == "cpu" and one.numel() and one.shape[3] <= WIDEST for one in given)
    return known and kept and not rounds


class _Attended(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, library: ctypes.CDLL, scale: float, *given: Tensor) -> Tensor:
        query, key, value = (_rows(one) for one in given)
        out = _like(value)
        real = torch.float32 if value.dtype == torch.bfloat16 else value.dtype
        logs = torch.empty(value.shape[:3], dtype=real)
        (images, heads, sites, inner), values = query.shape, value.shape[3]
        scratch = _scratch(sites, inner, values, wholes=1)
        sizes = _sizes(query, key, value, out)
        rest = (sizes, scale, query, key, value, out, logs)
        work_on(library, "causal", value, images * heads, *rest, scratch=scratch)
        ctx.library, ctx.scale = library, scale
        ctx.save_for_backward(query, key, value, out, logs)
        return out

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        require_first()
        query, key, value, out, logs = ctx.saved_tensors
        given, found = _rows(given), [_like(one) for one in (query, key, value)]
        (images, heads, sites, inner), values = query.shape, value.shape[3]
        scratch = _scratch(sites, inner, values, wholes=2)
        sizes = _sizes(query, key, value, out, given, *found)
        rest = (sizes, ctx.scale, query, key, value, out, logs, given, *found)
        work_on(ctx.library, "causal_back", value, images * heads, *rest, scratch=scratch)
        return None, None, *found


def _rows(x: Tensor) -> Tensor:
    """The same tensor with the maps of a site adjacent."""
    return x if x.stride(3) == 1 else x.contiguous()


def _like(x: Tensor) -> Tensor:
    """An empty tensor of the same shape, with the heads of a site adjacent, as torch returns it."""
    images, heads, sites, maps = x.shape
    return x.new_empty(images, sites, heads, maps).transpose(1, 2)


def _scratch(sites: int, inner: int, values: int, *, wholes: int) -> int:
    """Numbers of a thread's scratch memory: `wholes` whole sequences, and as many blocks; one more that are as deep as
    queries.
    """
    rows = wholes * (-(-sites // BLOCK) + 1) * BLOCK
    deep, wide = (-(-maps // LANES) * LANES for maps in (inner, values))
    return rows * (deep + wide) + BLOCK * deep


def _sizes(query: Tensor, key: Tensor, value: Tensor, *others: Tensor) -> Tensor:
    """`Heads` of causal.h."""
    strides = [stride for one in (query, key, value, *others) for stride in one.stride()[:3]]
    return torch.tensor([*query.shape[1:], value.shape[3], *strides])
