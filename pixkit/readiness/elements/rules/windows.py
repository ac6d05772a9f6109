"""Convolutions, and pooling over windows."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import NOTHING, Code, Given
from pixkit.readiness.elements.rules.contraction import contract
from pixkit.readiness.elements.rules.merging import merge


def convolve(x: Code, weight: Code, stride: Sequence[int], dilation: Sequence[int], groups: int) -> Code:
    """The code of a convolution without padding, [N, C, ...] with [O, C / groups, ...]; NOTHING is 0.

    Equal batch elements, groups and channels are computed once.
    """
    first, of = merge(x.flatten(1))
    kinds = [_convolve_one(x[i], weight, stride, dilation, groups) for i in first.tolist()]
    return torch.stack(kinds)[of]


def _convolve_one(x: Code, weight: Code, stride: Sequence[int], dilation: Sequence[int], groups: int) -> Code:
    parts, filters = x.unflatten(0, (groups, -1)), weight.unflatten(0, (groups, -1))
    first, of = merge(torch.cat([parts.flatten(1), filters.flatten(1)], 1))
    return torch.stack([_group(parts[i], filters[i], stride, dilation) for i in first.tolist()])[of].flatten(0, 1)


def _group(x: Code, weight: Code, stride: Sequence[int], dilation: Sequence[int]) -> Code:
    first, of = merge(x.flatten(1))
    if len(first) < len(of):
        channels = weight.new_full((weight.shape[0], len(first), *weight.shape[2:]), NOTHING)
        index = of.view(1, -1, *[1] * (weight.dim() - 2)).expand_as(weight)
        weight, x = channels.scatter_reduce(1, index, weight, "amax"), x[first]
    windows = x
    for d, size in enumerate(weight.shape[2:], 1):
        windows = windows.unfold(d, (size - 1) * dilation[d - 1] + 1, stride[d - 1])[..., :: dilation[d - 1]]
    places = windows.shape[1 : weight.dim() - 1]
    rows = windows.movedim(0, len(places)).reshape(places.numel(), -1)
    return contract(weight.flatten(1), rows.mT).view(-1, *places)


def _convolution(given: Given) -> Code:
    x, weight = given.code("input", 0), given.code("weight", 0)
    spatial = weight.dim() - 2
    stride, padding, dilation = (_each(given[name], spatial) for name in ("stride", "padding", "dilation"))
    if given["transposed"]:
        extra = _each(given["output_padding"], spatial)
        x, weight = _transposed(x, weight, stride, given)
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        margins = [(r - p, r - p + e) for r, p, e in zip(reach, padding, extra, strict=True)]
        stride = [1] * spatial
    else:
        margins = [(p, p) for p in padding]
    x = F.pad(x, [side for margin in reversed(margins) for side in margin], value=given.nothing)
    code = convolve(x, weight, stride, dilation, given["groups"])
    bias = given.optional("bias")
    return code if bias is None else codes.join(code, bias.view(-1, *[1] * spatial))


def _each(number: int | Sequence[int], count: int) -> list[int]:
    given = [number] if isinstance(number, int) else list(number)
    return given * count if len(given) == 1 else given


def _transposed(x: Code, weight: Code, stride: Sequence[int], given: Given) -> tuple[Code, Code]:
    """An image with zeros between its pixels, and flipped filters [O, C / groups, ...]: these are convolved."""
    spread = x.new_full(
        (*x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], stride, strict=True))), given.nothing
    )
    places: tuple[Any, ...] = (..., *(slice(None, None, s) for s in stride))
    spread[places] = x
    turned = weight.unflatten(0, (given["groups"], -1)).transpose(1, 2).flatten(0, 1)
    return spread, turned.flip(*range(2, weight.dim()))


def _conv_tbc(given: Given) -> Code:
    """Over time, batch and channels, with a weight [K, C, O]."""
    x, weight, pad = given.code("self", 0).permute(1, 2, 0), given.code("weight", 0).permute(2, 1, 0), given["pad"]
    found = convolve(F.pad(x, (pad, pad), value=given.nothing), weight, [1], [1], 1)
    return codes.join(found.permute(2, 0, 1), given.code("bias"))


def _pooled(given: Given) -> Code:
    """The largest code in each window, also for means: codes are ranked, and pooled by torch's own max pooling."""
    name = given.call.func.__name__.split(".")[0]
    dims = int(name[name.index("d", name.index("pool")) - 1])
    code = given.code("self")
    levels, ranks = codes.ranked(code)
    if "adaptive" in name:
        pooled = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[dims - 1](
            ranks, given["output_size"]
        )
    else:
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[dims - 1]
        options = {"dilation": given.arguments.get("dilation") or 1, "ceil_mode": given["ceil_mode"]}
        pooled = pool(ranks, given["kernel_size"], given["stride"] or None, given["padding"], **options)
    return levels[pooled.long()]


def _fractional(given: Given) -> Code:
    levels, ranks = codes.ranked(given.code("self"))
    samples = given["random_samples"]
    pool = getattr(torch.ops.aten, given.call.func.__name__.split(".")[0])
    pooled, _ = pool(ranks, given["kernel_size"], given["output_size"], samples.value.double())
    return codes.join(levels[pooled.long()], codes.whole(codes.of(samples)))


def _unpooled(given: Given) -> Code:
    """Values at given positions, zeros elsewhere: a position of an image may get any of its values."""
    code = codes.join(given.code("self"), given.code("indices"))
    places: Tensor = given["indices"].value
    count = given.call.func.__name__.count("3d") + 2
    flat = code.flatten(-count)
    if given["indices"].all_fixed:
        zeros = flat.new_zeros(*flat.shape[:-1], given.shape[-count:].numel())
        return zeros.scatter_reduce(-1, places.flatten(-count), flat, "amax").view(given.shape)
    return codes.latest(flat, [-1]).view(*flat.shape[:-1], *[1] * count)


POOLS = (
    *("max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d"),
    *(
        "_adaptive_avg_pool2d",
        "_adaptive_avg_pool3d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "adaptive_avg_pool1d",
    ),
    *("max_pool2d", "max_pool3d", "mkldnn_max_pool2d", "adaptive_max_pool1d", "max_pool1d_with_indices"),
)
RULES = codes.table(
    {
        **dict.fromkeys(
            ("convolution", "_convolution", "convolution_overrideable", "mkldnn_convolution"), _convolution
        ),
        "conv_tbc": _conv_tbc,
        **dict.fromkeys(POOLS, _pooled),
        **dict.fromkeys(("fractional_max_pool2d", "fractional_max_pool3d"), _fractional),
        **dict.fromkeys(("max_unpool2d", "max_unpool3d"), _unpooled),
    }
)
