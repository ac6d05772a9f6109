"""Check images drawn by a kernel against the network's own forward pass.

An image is an exact sample if every level is the quantile, at its uniform, of the network's distribution given the
image's earlier levels. One forward pass over drawn images gives all these distributions at once, for the cost of one
step of sampling without a cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.execution.plan import Plan
from pixkit.precision import float32_products

APART = {torch.float32: 0.02, torch.float64: 1e-6}
"""How far parameters may be apart, relative to the largest: deep networks amplify rounding errors."""
TIES = 2e-3
"""The share of levels that may differ: a uniform may lie on the boundary between two."""


@torch.no_grad()
def departure(
    plan: Plan, levels: Tensor, params: Tensor, uniforms: Tensor, *, temperature: float, context: Tensor | None
) -> str | None:
    """Describe what is wrong with images; None if nothing is.

    Args:
        plan: the plan by which they were drawn.
        levels: int64 [B, S, C], as an executor's `pixels`.
        params: the head's parameters that they were drawn from, [B, P, S].
        uniforms: [B, draws, C, S].
        temperature: the temperature at which they were drawn.
        context: the context of these images, if the network takes one.
    """
    network, known = plan.trace.network, plan.known.flatten(1).to(levels.device)
    images = levels.transpose(1, 2)
    if not bool(((images >= 0) & (images < network.spec.levels)).all()):
        return "levels out of range"
    given = images.unflatten(2, network.spec.shape[1:]).contiguous()
    with float32_products():
        expected = (network(given) if context is None else network(given, context)).flatten(2)
    needed = plan.needed[plan.trace.output].flatten(1).to(levels.device)
    needed = needed.repeat(params.shape[1] // len(needed), 1).expand_as(params)
    ours, theirs = params[needed], expected[needed]
    scale = theirs.abs().max() if theirs.numel() else torch.tensor(0.0)
    # `not <=`, so that NaN is caught.
    if not bool(((ours - theirs).abs() <= APART[params.dtype] * scale).all()):
        return f"parameters are {float((ours - theirs).abs().max()):.2g} apart, the largest being {float(scale):.2g}"
    drawn = network.fill(images, ~known, params, uniforms, temperature)
    different = int((drawn != images).sum())
    if different > TIES * images.numel() + 1:
        return f"{different} of {images.numel()} levels do not match their uniforms"
    return None
