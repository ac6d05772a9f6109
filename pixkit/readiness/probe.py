"""A numerical check for leaks: change one sub-pixel and see which parameters move."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from pixkit.components.faults import Blamed
from pixkit.errors import CausalityError
from pixkit.network import Autoregressive

ROUNDING = 1e-9
"""Relative to the largest parameter: above float64 rounding, below any real dependence at this scale of weights."""
TYPED = "a forward that keeps the type of its input: no .float(), no torch.float32"


def probe(network: Autoregressive, *, probes: int = 16, seed: int = 0, together: int = 1) -> None:
    """Swap random sub-pixels of a random image for other levels, in float64 on the CPU with random weights.

    No parameter of a sub-pixel of the same or an earlier step may move by more than rounding: some kernels change their
    summation order when a far pixel changes. This is a spot check; the proof is readiness. Weights are redrawn so that
    zero-initialised layers hide nothing; buffers (running statistics) are kept.

    Each pass swaps `together` sub-pixels that are drawn one after another; nothing before the earliest may move. If
    something does, they are swapped one by one. Smaller values of `together` find more and take longer.

    A leak is checked again with attention computed by its definition: with float64 queries, torch's faster kernel
    (2.13, on a CPU) misreads a mask that a forward makes in float32.

    Raises:
        CausalityError: naming the changed sub-pixel and one that saw it too early.
        PluginError: if the backbone fails in float64.
    """
    twin = _randomised(network, seed)
    with Blamed.of("backbone", twin.backbone).at("in float64, in which leaks are looked for", TYPED):
        try:
            _look(twin, probes, seed, together)
        except CausalityError:
            with sdpa_kernel(SDPBackend.MATH):
                _look(twin, probes, seed, together)


def _look(twin: Autoregressive, probes: int, seed: int, together: int) -> None:
    spec, steps = twin.spec, twin.ordering.steps.flatten()
    generator = torch.Generator().manual_seed(seed)
    base = torch.randint(spec.levels, (1, *spec.shape), generator=generator)
    chosen = torch.randperm(spec.dims, generator=generator)[:probes]
    context = twin.example_context(1)
    shifts = torch.randint(1, spec.levels, (len(chosen),), generator=generator)
    with torch.no_grad():
        before = twin(base, context)
        rounding = ROUNDING * before.abs().max()

        def swap(which: Tensor) -> None:
            changed = base.flatten().clone()
            changed[chosen[which]] = (changed[chosen[which]] + shifts[which]) % spec.levels
            after = twin(changed.view_as(base), context)
            moved = (after != before) & ~((after - before).abs() <= rounding)
            leaks = moved_subpixels(twin, moved[0]) & (twin.ordering.group_steps <= steps[chosen[which[0]]])
            if leaks.any():
                for each in which.split(1) if len(which) > 1 else ():
                    swap(each)
                raise _leak(twin, leaks, int(chosen[which[0]]))

        for which in (steps[chosen].argsort(stable=True) if together > 1 else torch.arange(len(chosen))).split(
            together
        ):
            swap(which)


def moved_subpixels(network: Autoregressive, moved: Tensor) -> Tensor:
    """Which sub-pixels' parameters moved: bool [P, H, W] to [G, H, W]; parameter map p belongs to group p % G."""
    return moved.unflatten(0, (-1, network.ordering.groups)).any(0)


def _leak(network: Autoregressive, leaks: Tensor, swapped: int) -> CausalityError:
    ordering = network.ordering
    group, row, column = leaks.nonzero()[0].tolist()
    site = tuple(int(i) for i in np.unravel_index(swapped, network.spec.shape))
    return CausalityError(
        "the network leaks",
        where=type(network.backbone).__name__,
        found=f"the prediction for (colour {group}, row {row}, column {column}), "
        f"step {int(ordering.group_steps[group, row, column])}, "
        f"depends on (colour {site[0]}, row {site[1]}, column {site[2]}), step {int(ordering.steps[site])}",
        expected="dependence on earlier steps only",
    )


def _randomised(network: Autoregressive, seed: int) -> Autoregressive:
    twin = copy.deepcopy(network).to("cpu", torch.float64).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in twin.parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values / max(parameter[0].numel() if parameter.ndim > 1 else 1, 1) ** 0.5)
    return twin
