"""Models with a latent code: an encoder, a prior, and an autoregressive decoder of any backbone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pixkit.errors import UsageError, listed
from pixkit.execution.reference import Progress
from pixkit.image import Batch
from pixkit.layers import initialise_from_data
from pixkit.models import deprecated
from pixkit.models.base import Model
from pixkit.models.batches import MOST, batches
from pixkit.models.capabilities import FIGURES
from pixkit.models.request import SampleRequest
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.samplers import Drawn, Sampler, sampler_for

ACTIVE = 0.01
"""A unit is active if its posterior mean has more variance over images than this (Burda et al., 2015, 1509.00519)."""

WEIGHED = 64
"""Images at a time whose importance is estimated: each has many codes."""


class LatentModel(Model):
    """Base of models with a latent code z for the content of an image, and a network that draws the pixels given z.

        p(x | z) = prod over steps t of p(x_t | x_<t, z)

    With several levels the decoder reads z_1, and each other one describes the level below it. A subclass creates
    `network` and implements `means` and `latents`.

    Attributes:
        network: the decoder; its conditioner takes z_1, [B, ...].
        levels: number of latent levels.
    """

    network: Autoregressive
    levels: int = 1
    has_latent = True

    @abstractmethod
    def means(self, x: Tensor) -> list[Tensor]:
        """The encoder's mean z of each level, [B, ...], z_1 first, for images int64 [B, C, H, W]."""

    @abstractmethod
    def latents(self, noise: Sequence[Noise], codes: Tensor | None = None) -> Tensor:
        """Draw z_1 of some images from the prior, [B, ...].

        Args:
            noise: the noise of each level, z_1 first. Images with equal numbers at a level have equal noise there.
            codes: int64 [B], the categorical codes, if the model has any; drawn as well by default.
        """

    def log_prob(self, x: Tensor) -> Tensor:
        """Latent models have no exact likelihood.

        Raises:
            UsageError: always.
        """
        instead = "bound(x) is a lower bound on log p(x), importance_log_prob(x, 1000) an estimate of it"
        raise UsageError(
            "the likelihood of a latent-variable model is an integral over z that cannot be computed",
            where=type(self).__name__,
            hint=instead if self.score_kind == "bound" else FIGURES,
        )

    def nll_map(self, x: Tensor, *, batch_size: int | None = None) -> Tensor:
        """Nats of each site given z, [B, H, W]: for a model that is `mapped`, the site's share of the bound.

        They sum to the bound's 'reconstruction', for one draw of z from torch's generator; the other terms of the
        bound, divergences of z, belong to no site.

        Args:
            x: int64 [B, C, H, W].
            batch_size: images at a time; by default 256 if no gradient is recorded, otherwise all of them.

        Raises:
            DataError: if x is not a batch of such images.
            UsageError: unless the model is `mapped`.
        """
        self.require("mapped", "nll_map")
        return torch.cat([self.assess_sites(batch)[1] for batch in self._batches(x, batch_size)])

    def encode(self, x: Tensor, *, batch_size: int | None = None) -> Tensor:
        """Encode images to z_1, [B, ...], on the model's device: the encoder's mean, which `decode` takes.

        Args:
            x: int64 [B, C, H, W].
            batch_size: images at a time; by default 256 if no gradient is recorded, otherwise all of them.

        Raises:
            DataError: if x is not a batch of such images.
        """
        return self._means(x, batch_size)[0]

    @torch.no_grad()
    def draw_from(
        self,
        z: Tensor,
        noise: Noise,
        *,
        temperature: float = 1.0,
        sampler: str | Sampler = "auto",
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> Drawn:
        """Draw an image for each code; whatever depends only on the code is computed once.

        Args:
            z: z_1, [B, ...].
            noise: that of the pixels, for B images.
            temperature: divides logits (and scales); 1 is the model's own distribution.
            sampler: a sampler or its name.
            batch_size: images drawn together.
            progress: called as progress(done, total).

        Raises:
            UsageError: if z is not a batch of the model's codes, one for each image.
        """
        return sampler_for(sampler).draw(
            self.network,
            noise,
            temperature=temperature,
            context=z.to(self.network.reference),
            batch_size=batch_size,
            progress=progress,
        )

    # Any: the keywords of `draw_from`
    def decode(self, z: Tensor, noise: Noise, **options: Any) -> Tensor:
        """The images that `draw_from` returns for these arguments, int64 [B, C, H, W]."""
        return deprecated.draw_from_of(self)(z, noise, **options).images

    def resolve_context(self, noise: Noise, context: Tensor | None) -> Tensor | None:
        """See Model: the categorical codes; None if they are to be drawn."""
        if context is not None:
            self.require("codes", "context")
            self.check_codes(context)
        return super().resolve_context(noise, context)

    def check_codes(self, codes: Tensor) -> None:
        """Raise UsageError unless these are values of the model's categorical code."""
        if not (self.codes and bool(((codes >= 0) & (codes < self.codes)).all())):
            raise UsageError(
                "the model has no such categorical code",
                where=type(self).__name__,
                found=listed(codes.unique().tolist()),
                expected=f"0..{self.codes - 1}" if self.codes else "none",
            )

    def draw(self, request: SampleRequest) -> Drawn:
        """See Model: z from the prior, then images given z. The temperature applies only to pixels."""
        size, context = request.batch_size, request.context
        parts = list(request.noise.split(size)) or [request.noise]
        chosen = [None if context is None else context[part * size :][:size] for part in range(len(parts))]
        z = torch.cat([self.latents([part] * self.levels, some) for part, some in zip(parts, chosen, strict=True)])
        return self.draw_from(
            z,
            request.noise,
            temperature=request.temperature,
            sampler=request.sampler,
            batch_size=size,
            progress=request.progress,
        )

    @torch.no_grad()
    def active_units(self, x: Tensor, *, batch_size: int = 256) -> list[tuple[int, int]]:
        """For each level, z_1 first, the number of units active on these images and the number of units."""
        spread = [mean.flatten(1).double().var(0, correction=0) for mean in self._means(x, batch_size)]
        return [(int((variance > ACTIVE).sum()), len(variance)) for variance in spread]

    def initialise(self, batch: Batch) -> None:
        """Initialise the decoder's data-dependent layers (`pixkit.layers.DataInitialised`)."""
        initialise_from_data(self.network, lambda: self.network(batch.x, self.means(batch.x)[0]))

    def _means(self, x: Tensor, batch_size: int | None) -> list[Tensor]:
        self.spec.check(x)
        parts = [self.means(x[some].long().to(self.device)) for some in batches(self, len(x), batch_size)]
        return [torch.cat(level) for level in zip(*parts, strict=True)]

    def _batches(self, x: Tensor, batch_size: int | None, most: int = MOST) -> Iterator[Batch]:
        self.spec.check(x)
        for some in batches(self, len(x), batch_size, most):
            part = x[some]
            yield Batch(part.long().to(self.device), None, torch.arange(len(part)))


class VariationalModel(LatentModel):
    """Base of latent models whose score is a bound on -log p(x), from one draw of z.

    A subclass implements `assess`, whose 'nats' are the bound, and `importance`.
    """

    score_kind = "bound"
    importance_sampled = True

    @abstractmethod
    def assess(self, batch: Batch) -> Mapping[str, Tensor]:
        """Per-image figures, [B] each: 'nats', the bound, and named terms that sum to it; uses torch's generator."""

    @abstractmethod
    def importance(self, batch: Batch, count: int, progress: Progress | None = None) -> Tensor:
        """See Model: log 1/S sum over s of p(x, z_s) / q(z_s | x), negated, from S = `count` draws of z."""

    def score(self, batch: Batch) -> Tensor:
        """A bound on -log p(x), nats [B]; draws z from torch's generator."""
        return self.assess(batch)["nats"]

    def bound(self, x: Tensor, *, batch_size: int | None = None) -> Tensor:
        """A lower bound on log p(x), in expectation, nats [B]; draws z from torch's generator.

            loss = -model.bound(x).mean()
            loss.backward()  # of a model that pixkit.build_model gave, or pixkit.load(run, trainable=True)

        Args:
            x: int64 [B, C, H, W].
            batch_size: images at a time; by default 256 if no gradient is recorded, otherwise all of them.

        Raises:
            DataError: if x is not a batch of such images.
        """
        return torch.cat([-self.score(batch) for batch in self._batches(x, batch_size)])

    def forward(self, x: Tensor) -> Tensor:
        """`bound` of all images together, for wrappers of modules such as DistributedDataParallel."""
        return self.bound(x, batch_size=max(1, x.shape[0]))

    def importance_log_prob(self, x: Tensor, count: int, *, batch_size: int | None = None) -> Tensor:
        """log p(x) of each image, nats [B], estimated from `count` importance samples each.

        Args:
            x: int64 [B, C, H, W].
            count: importance samples of each image.
            batch_size: images at a time; by default 64 if no gradient is recorded, otherwise all of them.

        Raises:
            DataError: if x is not a batch of such images.
        """
        return torch.cat([-self.importance(batch, count) for batch in self._batches(x, batch_size, WEIGHED)])
