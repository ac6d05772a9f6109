"""Whether images that a kernel drew are what the network's own forward pass says they have to be.

An image is the exact sample if every level in it is the quantile, at its uniform, of the distribution that the network
gives it given the image's earlier levels. One forward pass over drawn images gives all of these at once, for the cost
of one step of sampling without a cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.execution.plan import Plan
from pixkit.precision import float32_products

APART = {torch.float32: 0.02, torch.float64: 1e-6}
"""How far parameters may be apart, as a part of the largest: deep networks amplify what rounding does."""
TIES = 2e-3
"""The part of all levels that may differ: a uniform lies on the boundary between two."""


@torch.no_grad()
def departure(
    plan: Plan, levels: Tensor, params: Tensor, uniforms: Tensor, *, temperature: float, context: Tensor | None
) -> str | None:
    """What is wrong with images, in words; None if nothing is.

    Args:
        plan: by which they were drawn.
        levels: int64 [B, S, C], as an executor's `pixels`.
        params: the head's parameters that they were drawn from, [B, P, S].
        uniforms: [B, draws, C, S].
        temperature: what they were drawn at.
        context: of these images, if the network takes one.
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
    # `not <=`, so that what is no number is noticed.
    if not bool(((ours - theirs).abs() <= APART[params.dtype] * scale).all()):
        return f"parameters are {float((ours - theirs).abs().max()):.2g} apart, the largest being {float(scale):.2g}"
    drawn = network.fill(images, ~known, params, uniforms, temperature)
    different = int((drawn != images).sum())
    if different > TIES * images.numel() + 1:
        return f"{different} of {images.numel()} levels are not those of their uniforms"
    return None
