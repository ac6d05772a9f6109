"""Cached sampling: at each step compute what became ready, and nothing twice. An image costs one forward pass."""

from __future__ import annotations

import functools
from typing import Literal

import torch
from torch import Tensor

from pixkit.autoregressive import Autoregressive
from pixkit.component import ComponentConfig
from pixkit.noise import Noise
from pixkit.readiness.executor import Executor, ReferenceExecutor
from pixkit.readiness.plan import Plan, make_plan
from pixkit.readiness.trace import Trace
from pixkit.readiness.verify import require_law
from pixkit.samplers.base import Draw, Known, Progress, Sampler, noise_dtype


class Cached(Sampler):
    """Exact, like ancestral sampling under the same noise, for every causal network that can be traced."""

    class Config(ComponentConfig):
        """Which executor."""

        executor: Literal["auto", "reference"] = "auto"
        """Who runs the plan; auto is the fastest measured for the device and batch size."""

    config: Config

    def prepare(self, network: Autoregressive, known: Tensor | None) -> Draw:
        """Trace the network and plan it.

        Raises:
            Untraceable: if torch.fx cannot trace the network.
            CausalityError: if readiness does not prove it causal.
        """
        trace = Trace(network)
        require_law(trace)
        return functools.partial(_draw, make_plan(trace, known))


def _draw(plan: Plan, noise: Noise, temperature: float, known: Known | None, progress: Progress | None) -> Tensor:
    return walk(plan, ReferenceExecutor(plan, len(noise)), noise, temperature, known, progress)


def walk(  # noqa: PLR0917 - the arguments of Draw, and two
    plan: Plan,
    executor: Executor,
    noise: Noise,
    temperature: float,
    known: Known | None,
    progress: Progress | None,
) -> Tensor:
    """Walk the steps of a plan: compute, draw, write; int64 [B, C, H, W]."""
    network = plan.trace.network
    spec, head = network.spec, network.head
    reference = next(network.parameters())
    pixels = executor.pixels
    if known is not None:
        values = known.values.to(pixels.device).flatten(2).transpose(1, 2)
        pixels.copy_(torch.where(known.mask.to(pixels.device).flatten(1).T, values, pixels))
    uniforms = noise.uniforms(head.draws, spec).to(reference.device, noise_dtype(reference.dtype)).flatten(3)
    for step, (sites, due) in enumerate(plan.draws):
        executor.advance(step)
        if len(sites):
            drawn = head.distribution(executor.params(sites)).quantile(uniforms[..., sites], temperature)
            now = torch.where(due.to(drawn.device), drawn, pixels[:, sites].transpose(1, 2))
            pixels[:, sites] = now.transpose(1, 2)
        if progress is not None:
            progress(step + 1, len(plan.draws))
    return pixels.transpose(1, 2).unflatten(2, (spec.height, spec.width)).contiguous()
