"""Norms over the maps of a site."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixkit.layers.norms import SiteLayerNorm, SiteNorm, SiteRMSNorm
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import Layout, arranged


def normed(
    builder: Builder, kind: type[SiteNorm], x: Tensor, affine: tuple[Known | None, Known | None], eps: float | None
) -> Tensor:
    """Addresses of a norm of the last axis.

    Args:
        builder: the graph to add it to.
        kind: `SiteLayerNorm` or `SiteRMSNorm`.
        x: addresses [..., K].
        affine: weight and bias, [K] or None each.
        eps: added to the mean square.
    """
    weight, bias = affine
    layout = arranged(builder.space, [x], 1)
    count, out = x.shape[-1], []
    for part in layout.index.split(count, 1):  # for example, a norm for each head
        layer = kind(count, eps=eps, weight=weight is not None, bias=bias is not None)
        if weight is not None:
            layer.weight = nn.Parameter(weight.value.detach().flatten().clone())
        else:
            layer.to(builder.dtype)
        if bias is not None:
            layer.bias = nn.Parameter(bias.value.detach().flatten().clone())
        node = builder.read(x, layout if layout.lead == 1 else Layout(part, layout.grid, 1))
        out.append(builder.layer(layer, [node], count, layout.grid))
    return builder.scattered(layout, out[0] if len(out) == 1 else torch.cat(out, 1), x.shape)


LAYER, RMS = SiteLayerNorm, SiteRMSNorm
"""By ATen's names."""
