"""The plain autoregressive model: one network, an exact likelihood."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from pixkit.autoregressive import assemble
from pixkit.backbone import InputConfig
from pixkit.component import BackboneRef, ComponentConfig, HeadRef, OrderingRef
from pixkit.image import Batch, ImageSpec
from pixkit.models.base import Losses, Model, Phase
from pixkit.noise import Noise
from pixkit.readiness.check import verify
from pixkit.samplers import Known, Sampler, sampler_for


class AutoregressiveModel(Model):
    """An ordering, a backbone and a head: log p(x) = sum over steps of log p(x_t | x_<t)."""

    class Config(ComponentConfig):
        """The parts."""

        ordering: OrderingRef = Field(default={"type": "raster"}, validate_default=True)
        """Which sub-pixels are drawn when."""
        input: InputConfig = Field(default_factory=InputConfig)
        """How levels enter the network."""
        backbone: BackboneRef
        """The network."""
        head: HeadRef = Field(default={"type": "softmax"}, validate_default=True)
        """The distribution of a sub-pixel."""

    config: Config

    def __init__(self, config: Config, spec: ImageSpec, classes: int | None = None) -> None:
        super().__init__(config, spec, classes)
        self.network = assemble(spec, config.ordering, config.input, config.backbone, config.head)

    def phases(self) -> list[Phase]:
        """One: maximum likelihood."""
        return [Phase("likelihood", self.parameters(), self._loss)]

    def _loss(self, batch: Batch, step: int) -> Losses:
        nats = -self.network.log_prob(batch.x).mean()
        return {"loss": nats / self.spec.dims, "nats": nats.detach()}

    @torch.no_grad()
    def score(self, batch: Batch) -> Tensor:
        """-log p(x), nats [B]."""
        return -self.network.log_prob(batch.x)

    @torch.no_grad()
    def log_prob(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """log p(x) of each image, nats [B], on the model's device, in batches of `batch_size`.

        Raises:
            DataError: if x is not a batch of such images.
        """
        self.spec.check(x)
        parts = [self.network.log_prob(part.long().to(self.device)) for part in x.split(batch_size)]
        return torch.cat(parts) if parts else torch.empty(0, device=self.device)

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        sampler: str | Sampler = "auto",
        batch_size: int = 64,
        first: int = 0,
        known: Known | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Draw images number first..first+n-1 of a seed, int64 [n, C, H, W].

        An image depends on the seed and its number, not on n, the batch size or the sampler.

        Args:
            n: how many.
            seed: names the noise, 0 <= seed < 2**64.
            temperature: divides logits (and scales); 1 is the model's own distribution.
            sampler: a sampler, or the name of one; "auto" is the fastest exact one.
            batch_size: images drawn together.
            first: number of the first image.
            known: sub-pixels that are given; values for all n images, or one for all.
            progress: called as progress(done, total).
        """
        return sampler_for(sampler).sample(
            self.network,
            Noise(seed, range(first, first + n)),
            temperature=temperature,
            known=known,
            batch_size=batch_size,
            progress=progress,
        )

    def verify(self) -> None:
        """Prove that no sub-pixel sees what is not drawn before it, and probe it numerically.

        Raises:
            CausalityError: naming the layer to blame.
        """
        verify(self.network)
