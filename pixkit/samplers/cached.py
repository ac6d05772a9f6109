"""Cached sampling: each step computes only what became ready. An image costs the arithmetic of one forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.execution.choose import PLAINEST, choose
from pixkit.execution.native.buffers import one_for_all
from pixkit.execution.native.rounded import RoundedExecutor
from pixkit.execution.reference import Executor
from pixkit.network import Autoregressive
from pixkit.samplers.base import Sampler
from pixkit.samplers.batch import BatchRequest
from pixkit.samplers.kept import Prepared, prepared

FEW = 16
"""The number of images by which the effect of rounded weights is measured."""


class Cached(Sampler):
    """Draw the same images as ancestral sampling, far faster, from any causal network that can be traced.

    Example:
        >>> model = pixkit.build_model("digits-pixelcnn")  # untrained
        >>> sampler = pixkit.component("sampler", "cached", executor="eager").build()
        >>> drawn = sampler.draw(model.network, pixkit.Noise(0, [5, 6]))  # images 5 and 6 of seed 0
        >>> drawn.images.shape
        torch.Size([2, 1, 8, 8])
        >>> drawn.summary
        'cached sampling by the executor eager in 64 steps'
    """

    class Config(ComponentConfig):
        """The executor."""

        executor: Literal["auto", "reference", "eager", "native", "bfloat16", "persistent", "graphs"] = "auto"
        """The executor that runs the plan; auto is the fastest measured for the device and batch size. bfloat16 is the
        native one with weights of linear layers and convolutions rounded to bfloat16: it draws exactly from that
        network."""

    config: Config

    def prepare(self, network: Autoregressive, known: Tensor | None) -> CachedBatches:
        """Trace and plan the network, unless a kept plan still holds.

        Raises:
            Untraceable: if torch.fx cannot trace the network.
            CausalityError: if readiness does not prove it causal.
        """
        return CachedBatches(prepared(network, known), self.config.executor)


class CachedBatches:
    """Draws batches by a plan.

    Attributes:
        plan: the plan.
        steps: the number of steps that draw something.
        reasons: by name of each executor that ran the plan so far, why no faster one did.
    """

    def __init__(self, prepared: Prepared, executor: str) -> None:
        self.prepared, self.plan, self.executor = prepared, prepared.plan, executor
        self.steps = sum(len(sites) > 0 for sites, _ in self.plan.draws)
        self.reasons: dict[str, tuple[str, ...]] = {}
        self._plainest: set[int] = set()  # batch sizes that only the executor that runs every plan can do

    def summary(self) -> str:
        """The executors that ran the plan, the number of steps, and why no faster executor ran it."""
        if not self.reasons:
            return ""
        why = dict.fromkeys(reason for reasons in self.reasons.values() for reason in reasons)
        ran = f"cached sampling by the executor {' and '.join(sorted(self.reasons))} in {self.steps} steps"
        changed = self.prepared.departure if self.executor == "bfloat16" else None
        return "; ".join(filter(None, [ran, *why, changed]))

    def __call__(self, request: BatchRequest) -> Tensor:
        """See BatchSampler.

        Raises:
            Untraceable: if a rewritten network behaves differently with this number of images.
        """
        network = self.plan.trace.network
        count = len(request.noise)
        with self.executor_for(count, request.context) as executor:
            levels, _ = request.start(network)
            executor.pixels.copy_(levels.flatten(2).transpose(1, 2))
            executor.walk(network.uniforms(request.noise).flatten(3), request.temperature, request.progress)
            images = executor.pixels.transpose(1, 2).unflatten(2, levels.shape[2:])
            images = images.clone(memory_format=torch.contiguous_format)  # the executor may draw others
            if isinstance(executor, RoundedExecutor) and self.prepared.departure is None and count:
                self.prepared.departure = departure(executor, images[:FEW], request.context)
        out: Tensor = images
        return out

    @contextmanager
    def executor_for(self, count: int, context: Tensor | None) -> Iterator[Executor]:
        """An executor for that many images, each with its context; afterwards it is kept for other batches, unless an
        error was raised.

        Raises:
            Untraceable: if a rewritten network behaves differently with this number of images.
        """
        self.prepared.require_same(count)
        name = PLAINEST if count in self._plainest else self.executor
        kept = (self.executor, count, torch.get_num_threads(), one_for_all(context))
        waited = self.prepared.take(kept, context)
        chosen = waited or choose(name, self.plan, count, context)
        lasts = waited is not None or self.prepared.lasts(chosen)
        if chosen.name == PLAINEST:
            self._plainest.add(count)
        self.reasons.setdefault(chosen.name, chosen.reasons)
        yield chosen.executor
        if lasts:
            self.prepared.give_back(kept, chosen)


def departure(executor: RoundedExecutor, images: Tensor, context: Tensor | None) -> str:
    """How much likelier the first images drawn are under rounded weights than under the network, in words.

    For images drawn at temperature 1, the mean estimates the divergence of the rounded network from the network itself.
    Only the sub-pixels that were drawn count, given the others.
    """
    network = executor.plan.trace.network
    sites = torch.cat([sites for sites, _ in executor.draws]).unique()
    if not len(sites):
        return ""
    given = None if context is None else context[: len(images)]
    levels, params = images.flatten(2)[..., sites], network(images, given).flatten(2)[..., sites]
    rounded = executor.params(sites)[: len(images)]
    nats, own = (network.head.distribution(each).log_prob(levels).double() for each in (rounded, params))
    change = nats - own
    spread = f" +- {float(change.std()) / len(change) ** 0.5:.2g}" if len(change) > 1 else ""
    bits = float(change.mean()) / math.log(2) / levels[0].numel()
    return (
        f"weights are rounded to bfloat16: the log-probability of what is drawn is {float(change.mean()):+.3g}{spread} "
        f"nats an image ({bits:+.2g} bits a sub-pixel) from the model's own, the mean of {len(change)}"
    )
