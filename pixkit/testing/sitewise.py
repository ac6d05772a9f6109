"""Shared by the contracts of activations, norms and encodings: sites, images and colour groups stay apart."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pixkit.network import Autoregressive
from pixkit.readiness.law import require_law
from pixkit.readiness.trace import Trace
from pixkit.testing.samplers import check_drawing

GROUPS = (1, 3)
ROUNDING = 2.0**-6
"""Tolerance of bfloat16, with 8 bits, relative to the largest value in float64."""


@torch.no_grad()
def check_apart(module: nn.Module, x: Tensor, changes: Tensor, groups: int, maps: int) -> None:
    """A module returns `maps` maps, and a change of one group's maps, at one site of one image, changes only the same.

    Args:
        module: in evaluation mode; map m belongs to group m % `groups`.
        x: [2, M, 2, 3].
        changes: the values of x where it changes.
        groups: G.
        maps: the promised number.
    """
    out = module(x)
    expected = (2, maps, *x.shape[2:])
    assert tuple(out.shape) == expected, f"{list(x.shape)} becomes {list(out.shape)}, not {list(expected)}"
    assert out.isfinite().all(), f"of finite numbers it gives {out[~out.isfinite()][0].item()}"
    assert torch.equal(module(x), out), "asked again, it gives other values"
    assert maps % groups == 0, f"{maps} maps do not divide among {groups} colour groups"
    for group in range(groups):
        changed = x.clone()
        changed[1, group::groups, 0, 2] = changes[1, group::groups, 0, 2]
        moved = (module(changed) != out).unflatten(1, (-1, groups)).any(1)
        moved[1, group, 0, 2] = False
        found = moved.nonzero().tolist()
        assert not found, f"(image, colour group, row, column) = {found[0]} reads (1, {group}, 0, 2), which is another"
    part = module(x[:, :, 1:, 1:])
    assert torch.allclose(part, out[:, :, 1:, 1:], rtol=0, atol=1e-12), "a subset of the sites gives other values"


@torch.no_grad()
def check_precision(module: nn.Module, x: Tensor) -> None:
    """The result has the precision of the module, and of an input that is not levels; in bfloat16 it is rounded."""
    x, wide = (x.bfloat16(), x.bfloat16().double()) if x.is_floating_point() else (x, x)
    exact = module(wide)
    found = copy.deepcopy(module).bfloat16()(x)
    for name, each in (("float64", exact), ("bfloat16", found)):
        assert str(each.dtype) == f"torch.{name}", f"for a network in {name} it returns {each.dtype}"
    away = (found.double() - exact).abs().amax() / exact.abs().amax().clamp_min(1e-30)
    assert float(away) <= ROUNDING, f"in bfloat16 it is {float(away):.2g} of its largest value away from float64"


def check_gradient(module: nn.Module, x: Tensor) -> None:
    """The gradient matches the values; x is float64."""
    x = x.clone().requires_grad_()
    assert module(x).requires_grad, "its result has no gradient: it is detached from x"
    assert torch.autograd.gradcheck(module, (x,)), "the gradient is not that of the values"


def check_drawn(net: Autoregressive) -> None:
    """A network is followed by readiness, proved causal, and drawn from a cache as by ancestral sampling."""
    trace = Trace(net)
    require_followed(each.label for each in trace.operations.values() if each.kind == "all")
    require_law(trace)
    check_drawing(net)


def require_followed(mixing: Iterable[str]) -> None:
    """Raise AssertionError if there are operations that readiness takes to mix everything."""
    named = ", ".join(mixing)
    assert not named, (
        f"readiness cannot follow {named}: use only operations of its table in `forward`, or also derive the "
        "class from pixkit.layers.PointwiseLayer, which states that sites and colours stay apart"
    )


def values(maps: int) -> Tensor:
    """Values of both signs, float64 [2, maps, 2, 3]."""
    generator = torch.Generator().manual_seed(maps)
    return 2 * torch.randn(2, maps, 2, 3, generator=generator, dtype=torch.float64)
