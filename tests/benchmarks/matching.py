"""One network's weights in another that computes the same: copied, and gradients compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.layers import MaskedConv2d, WeightNormConv2d, WeightNormConvTranspose2d
from pixkit.network import Autoregressive

Part = tuple[nn.Parameter, Any, Tensor]
"""A parameter of the plain network, which part of it, and pixkit's parameter."""


def parts(plain: nn.Module, net: Autoregressive) -> list[Part]:
    """What in a plain network, which has `pairs`, is each of pixkit's parameters.

    Raises:
        ValueError: if some parameter is left.
    """
    found = [part for pair in plain.pairs(net) for part in _parts(*pair)]
    own = {id(ours) for _, _, ours in found}
    left = [name for name, parameter in net.named_parameters() if id(parameter) not in own]
    if left:
        raise ValueError(f"no counterpart of {', '.join(left)}")
    return found


@torch.no_grad()
def take_over(plain: nn.Module, net: Autoregressive) -> None:
    """Give a plain network the weights of pixkit's."""
    for parameter, index, ours in parts(plain, net):
        parameter[index] = ours.view_as(parameter[index])


def apart(net: Autoregressive, plain: nn.Module, x: Tensor) -> tuple[float, float]:
    """How far outputs, and gradients of some function of them, are apart, relative to the largest."""
    outs = net(x), plain(net.encoding(x))
    weight = torch.randn(outs[0].shape, generator=torch.Generator().manual_seed(0)).to(outs[0])
    for module, out in zip((net, plain), outs, strict=True):
        module.zero_grad(set_to_none=True)
        (out * weight).sum().backward()
    pairs = [(ours.grad, parameter.grad[index].view_as(ours)) for parameter, index, ours in parts(plain, net)]
    largest = max(float(ours.abs().max()) for ours, _ in pairs)
    gradients = max(float((ours - theirs).abs().max()) for ours, theirs in pairs) / largest
    return float((outs[0] - outs[1]).detach().abs().max() / outs[0].detach().abs().max()), gradients


def _parts(plain: Any, ours: Any, order: Tensor | None = None) -> Iterator[Part]:
    """`order`: where pixkit's maps are among those that the plain layer reads."""
    if isinstance(ours, nn.Parameter):
        yield plain, (), ours
    elif isinstance(ours, list):
        yield from ((plain, (number,), one) for number, one in enumerate(ours))
    elif isinstance(ours, WeightNormConv2d | WeightNormConvTranspose2d):
        convolution = plain.parametrizations.weight
        maps = slice(None) if order is None else order
        yield convolution.original0, (), ours.gain
        yield convolution.original1, (slice(None), maps), ours.weight
        yield plain.bias, (), ours.bias
    else:
        kernel = plain.weight.ndim == 4
        yield plain.weight, (slice(None), slice(None), *_place(plain, ours)) if kernel else (), ours.weight
        if getattr(ours, "bias", None) is not None:
            yield plain.bias, (), ours.bias


def _place(plain: nn.Conv2d, ours: nn.Module) -> list[slice]:
    """Where the cropped kernel is in the whole one, which may have a single row."""
    crop = ours.crop if isinstance(ours, MaskedConv2d) else [slice(size) for size in ours.weight.shape[2:]]
    return [slice(0, 1) if size == 1 else part for size, part in zip(plain.weight.shape[2:], crop, strict=True)]
