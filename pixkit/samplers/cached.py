"""Cached sampling: at each step compute what became ready, and nothing twice. An image costs one forward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.autoregressive import Autoregressive
from pixkit.noise import Noise
from pixkit.readiness.executor import Executor, ReferenceExecutor
from pixkit.readiness.plan import Plan, make_plan
from pixkit.readiness.trace import Trace
from pixkit.samplers.base import Known, Progress, Sampler


class Cached(Sampler):
    """Exact, like ancestral sampling under the same noise, for every causal network that can be traced."""

    @torch.no_grad()
    def sample(
        self,
        network: Autoregressive,
        noise: Noise,
        *,
        temperature: float = 1.0,
        known: Known | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """See Sampler.sample; progress counts steps."""
        if known is not None:
            known.check(network.spec, len(noise))
        plan = make_plan(Trace(network), None if known is None else known.mask)
        executor = ReferenceExecutor(plan, len(noise))
        return draw(plan, executor, noise, temperature, known, progress)


def draw(
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
    dtype = torch.promote_types(reference.dtype, torch.float32)
    uniforms = noise.uniforms(head.draws, spec).to(reference.device, dtype).flatten(3)
    for step, (sites, due) in enumerate(plan.draws):
        executor.advance(step)
        if len(sites):
            drawn = head.distribution(executor.params(sites)).quantile(uniforms[..., sites], temperature)
            now = torch.where(due.to(drawn.device), drawn, pixels[:, sites].transpose(1, 2))
            pixels[:, sites] = now.transpose(1, 2)
        if progress is not None:
            progress(step + 1, len(plan.draws))
    return pixels.transpose(1, 2).unflatten(2, (spec.height, spec.width)).contiguous()
