"""Images, drawn step by step in the model's order, so that each pixel can be shown as soon as it is there.

The plan is that of a whole image, whatever is given: it is made once, and the given sub-pixels stand in their places
before the walk comes to them. So a drawing that nobody has seen before is completed at once, where a plan for what is
missing of it, which `pixkit.complete` makes, would take longer than drawing. The images are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from pixkit.execution.plan import draws_of
from pixkit.execution.reference import Executor
from pixkit.layers.modes import evaluating
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.precision import float32_products
from pixkit.samplers import Cached, Known
from pixkit.samplers.kept import REFUSALS

Drawn = Callable[[Tensor, Tensor], None]
"""Called with the sites of a step, int64 [S], as soon as they are drawn, and the levels of all images so far, int64
[B, H * W, C]; raises to stop."""


@dataclass(frozen=True)
class Walked:
    """What a walk leaves.

    Attributes:
        images: int64 [B, C, H, W], on the network's device.
        params: the head's parameters of every sub-pixel given what came before it in the order, [B, P, H, W].
        summary: which executor it was, or why it was none.
    """

    images: Tensor
    params: Tensor
    summary: str


@float32_products()
@torch.no_grad()
def walk(
    network: Autoregressive,
    given: Known,
    noise: Noise,
    *,
    temperature: float = 1.0,
    context: Tensor | None = None,
    drawn: Drawn = lambda sites, pixels: None,
) -> Walked:
    """Draw what is not given, an image for each of the noise, with the levels that any exact sampler draws.

    Args:
        network: it draws as in eval mode.
        given: sub-pixels that are given, checked.
        noise: says which images.
        temperature: divides logits, checked.
        context: what the network's conditioner takes, of each image; None if it takes none.
        drawn: see `Drawn`.
    """
    spec, device, count = network.spec, network.reference.device, len(noise)
    start = torch.where(given.mask, given.values.cpu(), 0).expand(count, -1, -1, -1)
    draws = draws_of(network.ordering, given.mask)
    with evaluating(network), _executor(network, count, context) as (executor, summary):
        executor.pixels.copy_(start.flatten(2).transpose(1, 2))
        uniforms = network.uniforms(noise).flatten(3)
        for step, (sites, due) in enumerate(draws):
            executor.advance(step)
            if len(sites):
                executor.draw(sites.to(device), due.to(device), uniforms, temperature)
                drawn(sites, executor.pixels)
        params = executor.params(torch.arange(spec.sites, device=device)).unflatten(2, (spec.height, spec.width))
        images = executor.pixels.transpose(1, 2).unflatten(2, (spec.height, spec.width))
        # The executor may draw others.
        return Walked(images.contiguous().clone(), params.clone(), summary)


@contextmanager
def _executor(network: Autoregressive, count: int, context: Tensor | None) -> Iterator[tuple[Executor, str]]:
    """Who walks, and what is to be known of that."""
    with ExitStack() as stack:
        if network.reference.device.type == "cpu":
            stack.enter_context(_one_thread())
        executor: Executor
        try:
            planned = Cached(Cached.Config()).prepare(network, None)
            executor = stack.enter_context(planned.executor_for(count, context))
            summary = planned.summary()
        except REFUSALS as error:
            executor = WholePasses(network, count, context)
            summary = f"by whole passes, since no plan can be made: {' '.join(str(error).split())}"
        yield executor, summary


@contextmanager
def _one_thread() -> Iterator[None]:
    """Several would meet after every step, which takes longer than a step of an image or a few."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class WholePasses(Executor):
    """A forward pass a step, for networks of which there is no plan."""

    def __init__(self, network: Autoregressive, batch: int, context: Tensor | None) -> None:
        self._network, self._context = network, context
        spec = network.spec
        self.pixels = torch.zeros(batch, spec.sites, spec.channels, dtype=torch.int64, device=network.reference.device)
        self.draws = draws_of(network.ordering, torch.zeros(spec.shape, dtype=torch.bool))

    @property
    def network(self) -> Autoregressive:
        """See Executor."""
        return self._network

    def advance(self, step: int) -> None:
        """See Executor: everything, each time."""
        spec = self.network.spec
        images = self.pixels.transpose(1, 2).unflatten(2, (spec.height, spec.width))
        self._params = self.network(images, self._context).flatten(2)

    def params(self, sites: Tensor) -> Tensor:
        """See Executor."""
        return self._params[..., sites]
