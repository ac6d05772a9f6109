"""Rewrites for each computing operation of ATen, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.readiness.adoption.attention import attended
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.convolution import convolved, pooled, spread
from pixkit.readiness.adoption.functions import Operand, computed
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import arranged
from pixkit.readiness.adoption.linear import linear, summed
from pixkit.readiness.adoption.norms import LAYER, RMS, normed
from pixkit.readiness.adoption.notation import einsum
from pixkit.readiness.adoption.pointwise import applied
from pixkit.readiness.adoption.products import product
from pixkit.readiness.adoption.recurrent import RECURRENT
from pixkit.readiness.adoption.scores import Scores
from pixkit.readiness.adoption.separable import Mixed

Handler = Callable[[Builder, dict[str, Any]], Any]
"""Called with the builder and the arguments by ATen's names; returns addresses."""


def _linear(builder: Builder, given: dict[str, Any]) -> Tensor:
    weight, bias = given["weight"], given["bias"]
    if not isinstance(given["input"], Tensor) or isinstance(weight, Tensor) or isinstance(bias, Tensor):
        raise Mixed("whose weight needs pixels")
    return linear(builder, given["input"], weight, bias)


def _addmm(builder: Builder, given: dict[str, Any]) -> Tensor:
    names = ("mat1", "mat2") if "mat1" in given else ("batch1", "batch2")
    first = _times(builder, given[names[0]], given["alpha"])
    out = product(builder, first, given[names[1]])
    if given["beta"] == 0:  # then the addend does not count, whatever it is
        return out  # type: ignore[return-value]
    addend = _times(builder, given["self"], given["beta"])
    if isinstance(out, Scores):
        if isinstance(addend, Known):
            return out.added(addend)  # type: ignore[return-value]
        raise Mixed("which adds values that need pixels to products of queries and keys")
    return applied(builder, torch.add, (out, addend), {})


def _times(builder: Builder, x: Any, number: float) -> Any:
    if number == 1:
        return x
    return Known(x.value * number, x.fixed) if isinstance(x, Known) else applied(builder, torch.mul, (x, number), {})


def _normed(kind: Any, flat: str) -> Handler:
    def handler(builder: Builder, given: dict[str, Any]) -> Tensor:
        x, axes = given["input"], len(given[flat])
        affine = (given["weight"], given.get("bias"))
        out = normed(builder, kind, x.flatten(x.ndim - axes), affine, given.get("eps"))
        return out.view(x.shape)

    return handler


def _batch_norm(builder: Builder, given: dict[str, Any]) -> Tensor:
    """With running statistics: a scale and a shift for each map."""
    if given.get("training") or given["running_mean"] is None:
        raise Mixed("which takes its statistics from the batch")
    mean, variance = given["running_mean"], given["running_var"]
    scale = (variance.value + given["eps"]).rsqrt()
    scale = scale if given["weight"] is None else scale * given["weight"].value
    shift = -mean.value * scale
    shift = shift if given["bias"] is None else shift + given["bias"].value
    x = given["input"]
    shape = (-1, *[1] * (x.ndim - 2))
    planes = [Known(one.view(shape), torch.zeros(one.view(shape).shape, dtype=torch.bool)) for one in (scale, shift)]
    return applied(builder, torch.add, (applied(builder, torch.mul, (x, planes[0]), {}), planes[1]), {})


def _group_norm(builder: Builder, given: dict[str, Any]) -> Tensor:
    """Groups of maps normalised to mean 0 and variance 1, then a scale and a shift for each map."""
    x, groups = given["input"], given["num_groups"]
    rows = x.reshape(len(x), groups, -1)
    out = normed(builder, LAYER, rows, (None, None), given["eps"]).view(x.shape)
    for function, plane in ((torch.mul, given["weight"]), (torch.add, given["bias"])):
        if plane is not None:
            shape = (-1, *[1] * (x.ndim - 2))
            out = applied(builder, function, (out, Known(plane.value.view(shape), plane.fixed.view(shape))), {})
    return out


def _softmax(function: Callable[..., Any]) -> Handler:
    def handler(builder: Builder, given: dict[str, Any]) -> Tensor:
        x = given["self"].movedim(given["dim"], -1)
        layout = arranged(builder.space, [x], 1)
        if layout.lead > 1:
            raise Mixed("which combines the maps of a site in parts")
        node = builder.node(x.flatten()[layout.index], layout.grid)
        out = builder.call(function, (node, 1), {}, x.shape[-1], layout.grid)
        return builder.scattered(layout, out, x.shape).movedim(-1, given["dim"])

    return handler


def _reduced(mean: bool) -> Handler:
    def handler(builder: Builder, given: dict[str, Any]) -> Tensor:
        x, named = given["self"], given.get("dim")
        axes = [named] if isinstance(named, int) else list(named or range(x.ndim))
        out = summed(builder, x, axes, mean=mean)
        for axis in sorted(axis % x.ndim for axis in axes) if given.get("keepdim") else ():
            out = out.unsqueeze(axis)
        return out

    return handler


def _cumulated(builder: Builder, given: dict[str, Any]) -> Tensor:
    x = given["self"].movedim(given["dim"], -1)
    before = torch.ones(x.shape[-1], x.shape[-1], dtype=builder.dtype).tril()
    return linear(builder, x, Known.constant(before), None).movedim(-1, given["dim"])


def _sdpa(builder: Builder, given: dict[str, Any]) -> Tensor:
    query, key, value, mask = given["query"], given["key"], given["value"], given["attn_mask"]
    if given["dropout_p"]:
        raise Mixed("which drops keys at random")
    if isinstance(mask, Tensor):
        raise Mixed("whose mask needs pixels")
    query, key, value = (builder.space.constant(x) if isinstance(x, Known) else x for x in (query, key, value))
    if given.get("enable_gqa") and key.shape[-3] != query.shape[-3]:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    count, seen = query.shape[-2], key.shape[-2]
    if given["is_causal"]:
        mask = Known.constant(torch.ones(count, seen, dtype=torch.bool).tril())
    if mask is not None and mask.value.dtype == torch.bool:
        mask = Known(mask.value.to(builder.dtype).log(), mask.fixed)  # 0 where it is seen, else -inf
    return attended(builder, (query, key, value), mask, given.get("scale"))


def _bilinear(builder: Builder, given: dict[str, Any]) -> Tensor:
    weight, bias = given["weight"], given["bias"]
    operands = [given["input1"], given["input2"]]
    if any(not isinstance(x, Tensor) for x in operands) or not isinstance(weight, Known):
        raise Mixed("with an operand that needs no pixel, or a weight that does")
    values = [None if each is None else each.value.detach().clone() for each in (weight, bias)]
    found: Tensor = computed(builder, F.bilinear, [*(Operand(x, 1, builder.dtype) for x in operands), *values])
    return found


def _prelu(builder: Builder, given: dict[str, Any]) -> Tensor:
    """max(x, 0) - weight * max(-x, 0), with a weight for each map."""
    x, weight = given["self"], given["weight"]
    if not isinstance(weight, Known):
        raise Mixed("whose weight needs pixels")
    shape = (1, -1, *[1] * (x.ndim - 2)) if weight.value.numel() > 1 else (1,)
    slope = Known(weight.value.view(shape), weight.fixed.view(shape))
    below = applied(builder, F.relu, (applied(builder, torch.neg, (x,), {}),), {})
    return applied(
        builder,
        torch.sub,
        (applied(builder, F.relu, (x,), {}), applied(builder, torch.mul, (below, slope), {})),
        {},
    )


def _glu(builder: Builder, given: dict[str, Any]) -> Tensor:
    """One half times the sigmoid of the other."""
    first, second = given["self"].chunk(2, given["dim"])
    return applied(builder, torch.mul, (first, applied(builder, torch.sigmoid, (second,), {})), {})


HANDLERS: dict[str, Handler] = {
    "linear": _linear,
    "matmul": lambda builder, given: product(builder, given["self"], given["other"]),
    "mm": lambda builder, given: product(builder, given["self"], given["mat2"]),
    "bmm": lambda builder, given: product(builder, given["self"], given["mat2"]),
    "mv": lambda builder, given: product(builder, given["self"], given["vec"]),
    "addmm": _addmm,
    "baddbmm": _addmm,
    "conv1d": convolved,
    "conv2d": convolved,
    "convolution": convolved,
    "conv_transpose1d": spread,
    "conv_transpose2d": spread,
    "avg_pool1d": pooled(mean=True),
    "avg_pool2d": pooled(mean=True),
    "max_pool1d": pooled(mean=False),
    "max_pool2d": pooled(mean=False),
    "layer_norm": _normed(LAYER, "normalized_shape"),
    "group_norm": _group_norm,
    "rms_norm": _normed(RMS, "normalized_shape"),
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": lambda builder, given: (_batch_norm(builder, given), None, None),
    "softmax": _softmax(F.softmax),
    "_softmax": _softmax(F.softmax),
    "log_softmax": _softmax(F.log_softmax),
    "_log_softmax": _softmax(F.log_softmax),
    "sum": _reduced(mean=False),
    "mean": _reduced(mean=True),
    "cumsum": _cumulated,
    "einsum": einsum,
    "scaled_dot_product_attention": _sdpa,
    **RECURRENT,
    "glu": _glu,
    "bilinear": _bilinear,
    "prelu": _prelu,
    "_prelu_kernel": _prelu,
}
