"""The kernels of fused operations on a GPU, compiled once per GPU model, and compared with torch's operations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixkit.execution.cuda.driver import Module
from pixkit.execution.cuda.fusing import LANES, REALS, FusedOperations, Launch, plain_activated, plain_gated
from pixkit.execution.cuda.kernels import image
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.native.keep import places

SOURCE = Path(__file__).with_name("fusing.cu")
APART = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float64: 1e-12}
"""How far results may be apart, relative to the largest; unfused operations round to bf16 several times."""
CASES = ((3, 5, 7, torch.contiguous_format), (40, 8, 8, torch.contiguous_format), (6, 9, 4, torch.channels_last))
"""Maps, height, width and layout of trial images."""


def fused_operations(device: torch.device) -> FusedOperations:
    """The fused operations of a CUDA device; compiled in a second or so, and kept.

    Raises:
        NoKernel: if the kernels cannot be compiled or loaded, or give wrong results.
    """
    found = _found(device)
    if isinstance(found, NoKernel):
        raise found.with_traceback(None)
    return FusedOperations(found)


@functools.cache
def _found(device: torch.device) -> Launch | NoKernel:
    if device.type != "cuda":
        return NoKernel("only CUDA devices have fused operations", found=str(device))
    try:
        launch = launcher(device)
        for dtype in REALS:
            if (fault := departure(launch, dtype, device)) is not None:
                return NoKernel("fused operations give other results than torch's", found=fault)
    except NoKernel as error:
        return error
    return launch


def launcher(device: torch.device) -> Launch:
    """A function that launches the kernels on a CUDA device, without checking results.

    Raises:
        NoKernel: if they cannot be compiled or loaded.
    """
    modules = {dtype: Module(image(real, device, places(), SOURCE), device) for dtype, real in REALS.items()}

    def launch(dtype: torch.dtype, name: str, given: list[Any], blocks: int, images: int) -> None:
        modules[dtype].run(name, given, (blocks, images), LANES)

    return launch


@torch.enable_grad()
def departure(launch: Launch, dtype: torch.dtype, device: torch.device) -> str | None:
    """Describe what is wrong with the operations and their gradients; None if nothing is."""
    ops, random = FusedOperations(launch), torch.Generator().manual_seed(0)
    for maps, height, width, form in CASES:
        sizes = (maps, 2 * maps, maps)
        given = [torch.randn(2, size, height, width, generator=random).to(device, dtype) for size in sizes]
        inputs = [one.contiguous(memory_format=form).requires_grad_() for one in given]
        exact = [one.detach().double().requires_grad_() for one in inputs]
        ours = _results(inputs, ops.activated, ops.gated)
        theirs = _results(exact, plain_activated, plain_gated)
        for one, other in zip(ours, theirs, strict=True):
            apart = float((one.double() - other).abs().max() / other.abs().max())
            if not apart <= APART[dtype]:  # not >, so that NaN is caught
                return f"{dtype}, {maps} maps, {form}: {apart:.2g} apart, relative to the largest"
    return None


def _results(inputs: list[Tensor], activated: Callable[..., Tensor], gated: Callable[..., Tensor]) -> list[Tensor]:
    """Results of the operations, and gradients."""
    outs = [activated(inputs[:1], (1, 0, 2, 1)), activated(inputs[::2]), gated(*inputs[:2])]
    weights = [torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out) for out in outs]
    total = torch.stack([(out * weight.to(out)).sum() for out, weight in zip(outs, weights, strict=True)]).sum()
    return [one.detach() for one in (*outs, *torch.autograd.grad(total, inputs))]
