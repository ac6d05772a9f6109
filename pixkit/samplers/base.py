"""The interface of samplers."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.execution.reference import Progress
from pixkit.layers.modes import evaluating
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.precision import float32_products
from pixkit.ranks import ALONE, Ranks
from pixkit.samplers import deprecated
from pixkit.samplers.batch import BatchRequest, BatchSampler, Drawn, check_batch_size, check_temperature, summary_of
from pixkit.samplers.known import CLAMPED, Known
from pixkit.wrappers import unwrapped


class Sampler(deprecated.FormerSampler, ABC):
    """Base of sampler components: ``Sampler(config)``; a subclass implements `prepare`.

    With several `ranks`, set by `shared`, each draws its own batches, and all of them end up with all images.

    A sampler keeps no state: what it prepares for a network is in the result of `prepare`, and what it did is in that
    of `draw`. So one sampler may serve several networks, one after the other or at once.
    """

    class Config(ComponentConfig):
        """No keys."""

    ranks: Ranks = ALONE

    # Any: each class has its own Config
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        deprecated.adapt(cls, Sampler)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sampler{_said(self.config)}>"

    def shared(self, ranks: Ranks) -> Self:
        """The same sampler for ranks that draw together; all of them must draw the same images in the same order."""
        if ranks.alone:
            return self
        other = copy.copy(self)
        other.ranks = ranks
        return other

    @abstractmethod
    def prepare(self, network: Autoregressive, known: Tensor | None) -> BatchSampler:
        """Prepare what a network and a mask of known sub-pixels, bool [C, H, W] or None, need once."""

    @float32_products()
    @torch.no_grad()
    def draw(
        self,
        network: Autoregressive,
        noise: Noise,
        *,
        temperature: float = 1.0,
        known: Known | None = None,
        context: Tensor | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Drawn:
        """Draw one image for each image of the noise, on the network's device.

        Args:
            network: the network, in eval mode while it draws and in its own mode again afterwards.
            noise: that of the images to draw.
            temperature: see `PixelDistribution.quantile`; 1e-20..1e20.
            known: sub-pixels that are known.
            context: the conditioner's input for each image; None if the network has none.
            batch_size: the number of images drawn together; all of them if None.
            progress: called as progress(done, total).

        Raises:
            UsageError: if the temperature or the batch size is out of range, or `known` or `context` does not fit.
        """
        network = unwrapped(network)
        check_temperature(temperature)
        if batch_size is not None:
            check_batch_size(batch_size)
        if known is not None:
            known.check(network.spec, len(noise))
        network.check_context(context, len(noise))
        clamped = known is not None and not known.precede(network.ordering)
        with evaluating(network), deprecated.drawing(clamped):
            prepared = self.prepare(network, None if known is None else known.mask)
            size = max(len(noise), 1) if batch_size is None else batch_size
            batches = list(noise.split(size))
            drawn = [
                prepared(
                    BatchRequest(
                        part,
                        temperature,
                        None if known is None else known.part(number * size, len(part)),
                        None if context is None else context[number * size :][: len(part)],
                        _share(progress, number, len(batches)),
                    )
                )
                for number, part in self.ranks.shared(list(enumerate(batches)))
            ]
            said = [CLAMPED if clamped else "", summary_of(prepared)]
        device = network.reference.device
        images = torch.cat(drawn) if drawn else torch.empty(0, *network.spec.shape, dtype=torch.int64, device=device)
        images = self.ranks.in_order(images, [len(part) for part in batches])
        return Drawn(images, "; ".join(filter(None, said)))

    # Any: the keywords of `draw`
    def sample(self, network: Autoregressive, noise: Noise, **options: Any) -> Tensor:
        """The images that `draw` returns for these arguments, int64 [B, C, H, W]."""
        return deprecated.draw_of(self)(network, noise, **options).images


def _said(config: Any) -> str:
    """The keys of a configuration, for an object's representation."""
    return "".join(f", {key}={value!r}" for key, value in config) if isinstance(config, ComponentConfig) else ""


def _share(progress: Progress | None, part: int, parts: int) -> Progress | None:
    """Report the progress of one batch as progress of all."""
    if progress is None:
        return None
    return lambda done, total: progress(part * total + done, parts * total)
