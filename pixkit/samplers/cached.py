"""Cached sampling: at each step compute what became ready, and nothing twice. An image costs one forward pass."""

from __future__ import annotations

import functools
from typing import Literal

import torch
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.execution import choose as executors
from pixkit.execution.plan import Plan, make_plan
from pixkit.execution.reference import Executor
from pixkit.network import Autoregressive
from pixkit.readiness.law import require_law
from pixkit.readiness.trace import Trace
from pixkit.samplers.base import Draw, Request, Sampler, noise_dtype


class Cached(Sampler):
    """Exact, like ancestral sampling under the same noise, for every causal network that can be traced.

    `steps` holds the number of steps in which the last `sample` drew something.
    """

    class Config(ComponentConfig):
        """Which executor."""

        executor: Literal["auto", "reference", "eager", "native", "graphs"] = "auto"
        """Who runs the plan; auto is the fastest measured for the device and batch size."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._executors: set[str] = set()
        self.steps = 0

    def summary(self) -> str:
        """Which executor ran the plan, and in how many steps."""
        ran = f"cached sampling by {', '.join(sorted(self._executors))} in {self.steps} steps"
        said = [super().summary(), ran]
        return "; ".join(filter(None, said))

    def prepare(self, network: Autoregressive, known: Tensor | None) -> Draw:
        """Trace the network and plan it.

        Raises:
            Untraceable: if torch.fx cannot trace the network.
            CausalityError: if readiness does not prove it causal.
        """
        trace = Trace(network)
        require_law(trace)
        make = executors.CHOICES[self.config.executor]

        def executor(plan: Plan, batch: int, context: Tensor | None) -> Executor:
            made = make(plan, batch, context)
            self._executors.add(type(made).__name__)
            return made

        plan = make_plan(trace, known)
        self.steps = sum(len(sites) > 0 for sites, _ in plan.draws)
        return functools.partial(_draw, plan, executor)


def _draw(plan: Plan, make: executors.Make, request: Request) -> Tensor:
    noise, known = request.noise, request.known
    network = plan.trace.network
    spec, reference = network.spec, next(network.parameters())
    executor = make(plan, len(noise), request.context)
    pixels = executor.pixels
    if known is not None:
        values = known.values.to(pixels.device).flatten(2).transpose(1, 2)
        pixels.copy_(torch.where(known.mask.to(pixels.device).flatten(1).T, values, pixels))
    uniforms = noise.uniforms(network.head.draws, spec).to(reference.device, noise_dtype(reference.dtype))
    executor.walk(uniforms.flatten(3), request.temperature, request.progress)
    return pixels.transpose(1, 2).unflatten(2, (spec.height, spec.width)).contiguous()
