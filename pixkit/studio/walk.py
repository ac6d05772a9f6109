"""Draw images step by step in the model's order, so that each pixel can be shown at once.

The plan is that of a whole image, whatever is given: it is made once, and the given sub-pixels are in place before the
walk reaches them. So a new drawing is completed at once, whereas a plan for just its missing part, which
`pixkit.complete` makes, would take longer than drawing. The images are the same.
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
"""Called with the sites of a step, int64 [S], as soon as they are drawn, and the levels of all images so far, int64 [B,
H * W, C]; raises to stop."""


@dataclass(frozen=True)
class Walked:
    """The result of a walk.

    Attributes:
        images: int64 [B, C, H, W], on the network's device.
        params: the head's parameters of every sub-pixel given what precedes it in the order, [B, P, H, W].
        summary: the executor, or why there was none.
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
    """Draw what is not given, one image for each of the noise, with the levels that any exact sampler draws.

    Args:
        network: draws as in eval mode.
        given: given sub-pixels, checked.
        noise: identifies the images.
        temperature: divides logits, checked.
        context: the context of each image for the network's conditioner; None if it takes none.
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
        # The executor may draw more images.
        return Walked(images.contiguous().clone(), params.clone(), summary)


@contextmanager
def _executor(network: Autoregressive, count: int, context: Tensor | None) -> Iterator[tuple[Executor, str]]:
    """The executor, and a remark on it."""
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
    """Several would have to synchronise after every step, which takes longer than a step for a few images."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class WholePasses(Executor):
    """One forward pass per step, for networks without a plan."""

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
