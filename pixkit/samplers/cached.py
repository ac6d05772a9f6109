"""Cached sampling: at each step compute what became ready, and nothing twice. An image costs one forward pass."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.execution.choose import PLAINEST, choose
from pixkit.network import Autoregressive
from pixkit.samplers.base import Sampler
from pixkit.samplers.batch import BatchRequest
from pixkit.samplers.kept import Prepared, prepared


class Cached(Sampler):
    """Exact, like ancestral sampling under the same noise, for every causal network that can be traced."""

    class Config(ComponentConfig):
        """Which executor."""

        executor: Literal["auto", "reference", "eager", "native", "persistent", "graphs"] = "auto"
        """Who runs the plan; auto is the fastest measured for the device and batch size."""

    config: Config

    def prepare(self, network: Autoregressive, known: Tensor | None) -> CachedBatches:
        """Trace the network and plan it, unless a plan of it is there that holds.

        Raises:
            Untraceable: if torch.fx cannot trace the network.
            CausalityError: if readiness does not prove it causal.
        """
        return CachedBatches(prepared(network, known), self.config.executor)


class CachedBatches:
    """Draws batches by a plan.

    Attributes:
        plan: the plan.
        steps: number of steps in which something is drawn.
        reasons: of each executor that ran the plan so far, by name, why no quicker one did.
    """

    def __init__(self, prepared: Prepared, executor: str) -> None:
        self.prepared, self.plan, self.executor = prepared, prepared.plan, executor
        self.steps = sum(len(sites) > 0 for sites, _ in self.plan.draws)
        self.reasons: dict[str, tuple[str, ...]] = {}
        self._plainest: set[int] = set()  # batch sizes at which only the one that runs every plan does

    def summary(self) -> str:
        """Which executors ran the plan, in how many steps, and what kept quicker ones away."""
        if not self.reasons:
            return ""
        why = dict.fromkeys(reason for reasons in self.reasons.values() for reason in reasons)
        ran = f"cached sampling by the executor {' and '.join(sorted(self.reasons))} in {self.steps} steps"
        return "; ".join([ran, *why])

    def __call__(self, request: BatchRequest) -> Tensor:
        """See BatchSampler."""
        network = self.plan.trace.network
        count = len(request.noise)
        name = PLAINEST if count in self._plainest else self.executor
        kept = (self.executor, count, torch.get_num_threads())
        waited = self.prepared.take(kept, request.context)
        chosen = waited or choose(name, self.plan, count, request.context)
        lasts = waited is not None or self.prepared.lasts(chosen)
        if chosen.name == PLAINEST:
            self._plainest.add(count)
        self.reasons.setdefault(chosen.name, chosen.reasons)
        executor = chosen.executor
        levels, _ = request.start(network)
        executor.pixels.copy_(levels.flatten(2).transpose(1, 2))
        executor.walk(network.uniforms(request.noise).flatten(3), request.temperature, request.progress)
        images = executor.pixels.transpose(1, 2).unflatten(2, levels.shape[2:])
        images = images.clone(memory_format=torch.contiguous_format)  # the executor may draw others
        if lasts:
            self.prepared.give_back(kept, chosen)
        return images
