"""Causality of a network: exhaustive finite swaps, and gradients, against the declared steps."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from pixkit.network import Autoregressive
from pixkit.testing.parts import built_context, random_images, same_context

TOGETHER = 256
"""Images in one batch: small ones take hardly longer than a single one."""


def influence(net: Autoregressive, images: Tensor) -> Tensor:
    """Which sub-pixel affects which prediction: bool [G, H, W, C, H, W], by exhaustive finite swaps.

    Entry [g, h, w, c, i, j] is True if changing sub-pixel (c, i, j) of some image in `images`, to any other level,
    changes any bit of a parameter of colour group g at (h, w).
    """
    spec, groups = net.spec, net.ordering.groups
    seen = torch.zeros(groups, spec.height, spec.width, spec.dims, dtype=torch.bool)
    swaps = torch.cartesian_prod(torch.arange(spec.dims), torch.arange(1, spec.levels)).view(-1, 2)
    for some in swaps.split(max(TOGETHER // len(images), 1)):
        before = images.repeat(len(some), 1, 1, 1)
        places, shifts = some.repeat_interleave(len(images), 0).T
        changed, rows = before.flatten(1).clone(), torch.arange(len(before))
        changed[rows, places] = (changed[rows, places] + shifts) % spec.levels
        context = same_context(net, len(before))
        moved = moves(net, (before, context), (changed.view_as(before), context))
        for place, each in zip(some[:, 0], moved.split(len(images)), strict=True):
            seen[..., place] |= each.any(0)
    out: Tensor = seen.unflatten(3, spec.shape)
    return out


@torch.no_grad()
def moves(net: Autoregressive, before: tuple[Tensor, Tensor | None], after: tuple[Tensor, Tensor | None]) -> Tensor:
    """Which predictions differ between two batches of images and contexts, in any bit: bool [B, G, H, W].

    The batches have the same size, so that the arithmetic at each place in them is the same.
    """
    out: Tensor = (net(*after) != net(*before)).unflatten(1, (-1, net.ordering.groups)).any(1)
    return out


def permitted(net: Autoregressive) -> Tensor:
    """The sub-pixels that the ordering allows each prediction to see: bool [G, H, W, C, H, W]."""
    steps, target = net.ordering.steps, net.ordering.group_steps
    return steps[None, None, None] < target[..., None, None, None]


def check_causality(net: Autoregressive, *, seed: int = 0, images: int = 4) -> Tensor:
    """Check by finite swaps that nothing of the same or a later step has an effect; return `influence`."""
    seen = influence(net, random_images(net.spec, images, seed))
    leaks = seen & ~permitted(net)
    assert not leaks.any(), f"leak: (g, h, w) <- (c, i, j) at {leaks.nonzero()[0].tolist()}"
    return seen


def check_some(net: Autoregressive, count: int, *, seed: int = 0) -> None:
    """Check the same of a few sub-pixels only, one in each of `count` images: for sizes with too many for all swaps."""
    generator = torch.Generator().manual_seed(seed)
    x = random_images(net.spec, 1, seed).expand(count, -1, -1, -1)
    places = torch.randperm(net.spec.dims, generator=generator)[:count]
    changed, rows = x.flatten(1).clone(), torch.arange(len(places))
    changed[rows, places] = (changed[rows, places] + 1) % net.spec.levels
    context = same_context(net, count)
    moved = moves(net, (x, context), (changed.view_as(x), context))
    leaks = moved & ~permitted(net).flatten(3)[..., places].movedim(3, 0)
    assert not leaks.any(), f"leak at {net.spec}: {leaks.nonzero()[0].tolist()}"


def check_gradients(net: Autoregressive, seen: Tensor, *, seed: int = 0) -> None:
    """Check that gradients with respect to encoded pixels agree with swaps: zero and non-zero in the same places.

    Only for encodings with one map per colour, so that a gradient belongs to one sub-pixel.
    """
    generator = torch.Generator().manual_seed(seed)
    size = (64, *net.spec.shape)
    x = (4 * torch.rand(size, generator=generator, dtype=torch.float64) - 2).requires_grad_()
    params = net.projection(net.backbone(x, *built_context(net, len(x)))).unflatten(1, (-1, net.ordering.groups))
    for g, h, w in itertools.product(*map(range, seen.shape[:3])):
        weights = torch.randn(params.shape[:2], generator=generator, dtype=torch.float64)
        (gradient,) = torch.autograd.grad((params[:, :, g, h, w] * weights).sum(), x, retain_graph=True)
        found = (gradient != 0).any(0)
        assert not (found & ~permitted(net)[g, h, w]).any(), f"({g}, {h}, {w}) has a gradient to a later sub-pixel"
        missing = seen[g, h, w] & ~found
        assert not missing.any(), f"({g}, {h}, {w}) has no gradient to {missing.nonzero()[0].tolist()}"
