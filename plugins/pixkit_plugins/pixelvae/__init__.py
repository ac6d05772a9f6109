"""PixelVAE (Gulrajani, Kumar, Ahmed, Ali Taiga, Visin, Vazquez and Courville, 2016, arXiv 1611.05013)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

import pixkit
from pixkit.backbones import Conditioner
from pixkit.models import (
    CodeConfig,
    CodeMaps,
    DecoderConfig,
    Encoder,
    EncoderConfig,
    VariationalModel,
    draw_by_number,
    split_gaussian,
)
from pixkit_plugins.pixelvae.prior import GridPrior, LevelsConfig

pixkit_api_version = 1

COLLAPSED = 0.01
"""Nats of KL per image below which a level counts as collapsed."""
SITES = 2**16
"""Sites that the decoder processes at once for importance samples, which bounds their memory.

Few enough that feature maps are allocated from the heap: larger ones are mapped again each time, page by page."""


class PixelVAE(VariationalModel):
    """A variational autoencoder whose decoder is an autoregressive network, with any backbone and head.

    With one level, z_1 is a vector with the prior N(0, I). With `spatial` there are two: z_1 is a grid, z_2 the vector,
    p(z_1 | z_2) as `spatial` says, and the encoder has q(z_1 | x) and q(z_2 | x), both diagonal Gaussians:

        -log p(x) <= E[-log p(x | z_1)]                       reconstruction
                     + E[KL(q(z_1 | x) || p(z_1 | z_2))]      kl_1
                     + KL(q(z_2 | x) || N(0, I))              kl_2            (section 3)

    with z_1 ~ q(z_1 | x), z_2 ~ q(z_2 | x), one draw each. The score is this bound, whatever the training's beta and
    free bits. An autoregressive p(z_1 | z_2) is teacher-forced on the drawn z_1; the KL of a site, given the sites
    before it, is in closed form, as all other KLs are. The likelihood itself is estimated (`importance`) by

        log 1/S sum over s of p(x | z_1) p(z_1 | z_2) p(z_2) / q(z_1, z_2 | x)     (Burda et al., 2015, 1509.00519)

    whose expectation rises with S to log p(x), from below.

    z_1 enters the decoder as the context of its backbone (`condition`): as feature maps, by transposed convolutions, or
    as a vector, the same at every site. The backbone decides how it is used: `pixelcnn` takes it in once after its
    first layer, which is the paper's plain PixelVAE; `gated_pixelcnn` in every gate, the paper's gated one, whose
    variant without upsampling is `condition: vector`. Under the ordering `at_once` no pixel sees another, and the model
    is a plain VAE.

    Training minimises reconstruction + beta * sum over levels l of max(kl_l, free_bits) + the encoder's penalty, means
    over the batch; beta rises linearly from 0 to 1 over `warmup` steps.

    Departures: encoder and upsampling are plain strided and transposed convolutions with ELUs, not the paper's residual
    ones, and each level has its own encoder; scales are exp(s), s clamped to -7..7, where the authors' code
    (github.com/igul222/PixelVAE) has (softsign(s) + 1) / 2 and clips z to -50..50; the loss has free bits (Kingma et
    al., 2016, arXiv 1606.04934), one group per level; beta = 1 and no free bits (the defaults) are the paper's
    objective.
    """

    draws_by_number = True

    class Config(CodeConfig, LevelsConfig, DecoderConfig):
        """The parts."""

        condition: Literal["maps", "vector"] = "maps"
        """Whether z_1 enters the backbone as feature maps, or as a vector without upsampling."""
        encoder: EncoderConfig = Field(default_factory=EncoderConfig)
        """The encoder of each level."""
        warmup: int = Field(default=0, ge=0)
        """Steps over which beta rises from 0 to 1."""
        free_bits: float = Field(default=0.0, ge=0)
        """Nats of each level's KL that are free in training."""

    config: Config
    mapped = True

    def __init__(self, config: Config, spec: pixkit.ImageSpec, classes: int | None = None) -> None:
        super().__init__(config, spec, classes)
        self.levels = 1 if config.spatial is None else 2
        sizes, halvings = [config.latent], None
        self.prior: GridPrior | None = None
        if config.spatial is not None:
            halvings, sizes = config.spatial.halvings, [config.spatial.maps, config.latent]
            self.prior = GridPrior(config.spatial, (spec.height, spec.width), config.latent)
        self.encoders = nn.ModuleList(
            Encoder(spec, config.input, config.encoder, 2 * size, None if level else halvings)
            for level, size in enumerate(sizes)
        )
        self.network = config.decoder(spec, self._conditioner())

    def _conditioner(self) -> Conditioner:
        config, image = self.config, (self.spec.height, self.spec.width)
        if config.spatial is None or self.prior is None:
            return config.conditioner(config.latent, self.spec)
        if config.condition == "vector":
            raise pixkit.RecipeError(
                "a latent on a grid is not a vector",
                where="model.condition",
                found="vector, and a section model.spatial",
                expected="maps",
            )
        return CodeMaps(self.prior.shape, config.features, image, config.spatial.halvings)

    def phases(self) -> list[pixkit.Phase]:
        """One phase: the bound."""
        # Free bits apply to the mean of a batch, and sparsity is also a batch's.
        mean = not self.config.free_bits and self.config.encoder.sparsity is None
        return [pixkit.Phase("bound", self.parameters(), self._loss, varies=self._beta, mean=mean)]

    def _beta(self, step: int) -> float:
        """The weight of the KL terms, which rises to 1."""
        return min(1.0, step / self.config.warmup) if self.config.warmup else 1.0

    def _loss(self, batch: pixkit.Batch, step: int) -> dict[str, Tensor]:
        posteriors, penalty = self._encode(batch.x)
        drawn = [posterior.rsample() for posterior in posteriors]
        means = {name: part.mean() for name, part in self.terms(batch.x, posteriors, drawn).items()}
        beta = self._beta(step)
        kls = [means[f"kl_{level}"] for level in range(1, self.levels + 1)]
        loss = means["reconstruction"] + beta * sum(kl.clamp_min(self.config.free_bits) for kl in kls) + penalty
        shown = {"nats": sum(means.values()), **means, "sparsity": penalty, "beta": loss.new_full((), beta)}
        if self.config.encoder.sparsity is None:
            del shown["sparsity"]
        return {
            "loss": loss / self.spec.dims,
            **{name: torch.as_tensor(value).detach() for name, value in shown.items()},
        }

    def assess(self, batch: pixkit.Batch) -> dict[str, Tensor]:
        """The bound at beta = 1 as 'nats', and its terms, [B] each; draws z with torch's generator."""
        return self.assess_sites(batch)[0]

    def assess_sites(self, batch: pixkit.Batch) -> tuple[dict[str, Tensor], Tensor]:
        """See Model: for the same draw of z."""
        posteriors, _ = self._encode(batch.x)
        drawn = [draw_by_number(posterior, batch.indices) for posterior in posteriors]
        sites = -self.network.site_log_prob(batch.x, drawn[0])
        parts = {"reconstruction": sites.flatten(1).sum(1), **self.divergences(posteriors, drawn)}
        return {"nats": torch.stack(list(parts.values())).sum(0), **parts}, sites

    def terms(self, x: Tensor, posteriors: Sequence[Normal], drawn: Sequence[Tensor]) -> dict[str, Tensor]:
        """The bound's terms, [B] each, for one draw of each level's z, [B, ...]."""
        return {"reconstruction": -self.network.log_prob(x, drawn[0]), **self.divergences(posteriors, drawn)}

    def divergences(self, posteriors: Sequence[Normal], drawn: Sequence[Tensor]) -> dict[str, Tensor]:
        """KL of each level's q(z_l | x) from its prior given the draws, [B] each."""
        pairs = zip(posteriors, self._priors(drawn), strict=True)
        return {f"kl_{level}": kl_divergence(*pair).flatten(1).sum(1) for level, pair in enumerate(pairs, 1)}

    def importance(self, batch: pixkit.Batch, count: int, progress: Callable[[int, int], None] | None = None) -> Tensor:
        """See Model: float64 [B]."""
        posteriors, _ = self._encode(batch.x)
        weights = []
        at_once = max(1, SITES // (self.spec.sites * max(1, len(batch.x))))
        for done in range(0, count, at_once):
            size = torch.Size([min(at_once, count - done)])
            weights.append(self.log_weights(batch.x, posteriors, [one.rsample(size) for one in posteriors]))
            if progress is not None:
                progress(done + size[0], count)
        return math.log(count) - torch.cat(weights).logsumexp(0)

    def log_weights(self, x: Tensor, posteriors: Sequence[Normal], drawn: Sequence[Tensor]) -> Tensor:
        """log p(x, z) - log q(z | x), float64 [S, B], for S draws for each image: [S, B, ...] for each level."""
        flat = [z.flatten(0, 1) for z in drawn]
        count = len(drawn[0])
        weights = self.network.log_prob(x.repeat(count, 1, 1, 1), flat[0]).double().view(count, -1)
        for prior, posterior, z in zip(self._priors(flat), posteriors, drawn, strict=True):
            said = prior.log_prob(z.flatten(0, 1)).double().view_as(z) - posterior.log_prob(z).double()
            weights = weights + said.flatten(2).sum(2)
        return weights

    def means(self, x: Tensor) -> list[Tensor]:
        """See LatentModel: the means of q(z_1 | x) and of q(z_2 | x)."""
        return [posterior.mean for posterior in self._encode(x)[0]]

    @torch.no_grad()
    def latents(self, noise: Sequence[pixkit.Noise], codes: Tensor | None = None) -> Tensor:
        """See LatentModel."""
        if codes is not None:
            self.check_codes(codes)
        reference = next(self.parameters())
        names = [f"latent {level}" for level in range(1, self.levels + 1)]
        streams = [one.stream(name) for one, name in zip(noise, names, strict=True)]
        z = streams[-1].normals((self.config.latent,)).to(reference)
        return z if self.prior is None else self.prior.sample(z, streams[0].normals(self.prior.shape).to(reference))

    def remarks(self, parts: Mapping[str, float], step: int | None = None) -> list[str]:
        """Warnings of collapsed levels; none while beta rises."""
        if step is not None and step < self.config.warmup:
            return []
        return [
            f"posterior collapse: the KL of z_{level} is {parts[f'kl_{level}']:.4f} nats an image, so it says "
            "nothing about the image; try a longer model.warmup, model.free_bits, or a decoder that sees less"
            for level in range(1, self.levels + 1)
            if parts[f"kl_{level}"] < COLLAPSED
        ]

    def _encode(self, x: Tensor) -> tuple[list[Normal], Tensor]:
        """q(z_l | x) of each level, z_1 first, and the sparsity penalty."""
        found, penalties = [], []
        for encoder in self.encoders:
            outputs, activations = encoder(x)
            found.append(split_gaussian(outputs))
            penalties.append(encoder.penalty(activations))  # type: ignore[operator]  # a ModuleList knows no classes
        return found, torch.stack(penalties).sum()

    def _priors(self, drawn: Sequence[Tensor]) -> list[Normal]:
        """The prior of each level's z given the draws, z_1 first."""
        top = Normal(torch.zeros_like(drawn[-1]), torch.ones_like(drawn[-1]), validate_args=False)
        return [top] if self.prior is None else [self.prior(*drawn), top]


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the model."""
    registry.add("model", "pixelvae", PixelVAE)
