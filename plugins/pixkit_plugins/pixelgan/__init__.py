"""PixelGAN autoencoder (Makhzani and Frey, 2017, arXiv 1706.00531)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import pixkit
from pixkit.models import CodeConfig, DecoderConfig, Encoder, LatentModel
from pixkit_plugins.pixelgan.clusters import RULE, figures, gather
from pixkit_plugins.pixelgan.discriminator import (
    Discriminator,
    DiscriminatorConfig,
    accuracy,
    draw_prior,
    fooling_loss,
    telling_loss,
)
from pixkit_plugins.pixelgan.labelled import LabelledConfig, choose

pixkit_api_version = 1

DEVIATION = 3.0
"""Standard deviation of each category's logit over the images of a batch. Then q of an image whose category is one of K
equal ones is 1 / (1 + (K - 1) exp(-3 K / sqrt(K - 1))): 0.9996 for K = 10."""


class SizesConfig(pixkit.ComponentConfig):
    """The codes that make up z."""

    gaussian: int = Field(default=0, ge=0, le=65536)
    """Entries of the Gaussian code; 0 for none."""
    categorical: int = Field(default=0, ge=0, le=65536)
    """Categories of the categorical code; 0 for none."""


class PixelGAN(LatentModel):
    """An autoencoder whose decoder is an autoregressive network, and whose codes are trained to match a prior.

    The code z of an image is the encoder's output: `gaussian` numbers whose prior is N(0, I), the softmax of
    `categorical` logits whose prior is a uniform one-hot vector, or both, concatenated. A discriminator for each learns
    to tell z of images from draws of its prior, and the encoder learns to fool it, so that all images' codes together
    (the aggregated posterior) have the prior's distribution. A step consists of these phases, with an optimiser each:

        reconstruction    encoder and decoder lower -log p(x | z(x))
        discriminator     the discriminators lower their cross-entropy, given draws of the priors and z(x)
        adversarial       the encoder lowers -log D(z(x)), summed over the codes
        supervised        only with `labelled`: the encoder lowers -log q(label | x) of a batch of labelled images,
                          where category number l stands for the label l

    The decoder reads z as PixelVAE's does (`condition`). Its receptive field divides the work: the code need not carry
    what nearby pixels tell (style, texture); with a small receptive field and a categorical code, the code mostly
    carries what the image shows.

    Each category's logit is batch-normalised, to the standard deviation 3. Without that a softmax sends all images to
    one corner, where its slope is 0, before the decoder makes use of the code, and is slow to come back.

    z is a function of x alone. In training, Gaussian noise of standard deviation `noise` may be added to the encoder's
    input, which makes q(z | x) an implicit distribution, z = f(x, n); codes that are scored, shown or decoded have
    n = 0.

    Scores are not likelihoods, nor bounds on them: the information in the code of a single image is not charged for.

        reconstruction        -log p(x | z(x)), nats an image; the best checkpoint is the one of the lowest
        accuracy_CODE         share that the code's discriminator tells right, of z(x) and as many draws of the prior;
                              1/2 where it only guesses
        clustering_error      share of images whose likeliest category has another label; see `clusters`. For data with
                              labels
        clusters              how many categories are some image's likeliest

    Departures: the encoder is plain strided convolutions, normalised only at the logits; the discriminators are small.
    """

    score_kind = "none"
    metric = "reconstruction"

    class Config(CodeConfig, SizesConfig, DecoderConfig):
        """The parts."""

        condition: Literal["maps", "vector"] = "vector"
        """Whether the code enters the backbone as feature maps, or as a vector, the same at every site."""
        noise: float = Field(default=0.0, ge=0)
        """Standard deviation of the noise added to the encoder's input in training."""
        discriminator: DiscriminatorConfig = Field(default_factory=DiscriminatorConfig)
        """The discriminator of each code."""
        labelled: LabelledConfig | None = None
        """Images whose labels train the categorical code; none by default."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.ImageSpec, classes: int | None = None) -> None:
        super().__init__(config, spec, classes)
        self._check(classes)
        sizes = {"gaussian": config.gaussian, "categorical": config.categorical}
        self.sizes = {name: size for name, size in sizes.items() if size}
        self.codes = config.categorical
        total = sum(self.sizes.values())
        self.encoder = Encoder(spec, config.input, config.encoder, total)
        self.network = config.decoder(spec, config.conditioner(total, spec))
        self.discriminators = nn.ModuleDict(
            {name: Discriminator(size, config.discriminator) for name, size in self.sizes.items()}
        )
        self.norm = nn.BatchNorm1d(config.categorical, affine=False) if config.categorical else nn.Identity()

    def _check(self, classes: int | None) -> None:
        config, labelled = self.config, self.config.labelled
        if not config.gaussian and not config.categorical:
            raise pixkit.RecipeError(
                "an autoencoder needs a code", where="model", found="gaussian 0, categorical 0", expected="one above 0"
            )
        if labelled is not None and (classes is None or config.categorical < classes):
            raise pixkit.RecipeError(
                "labels are taught as categories, so there must be as many",
                where="model.labelled",
                found=f"{config.categorical} categories, {classes or 'no'} classes of labels",
                expected="labelled data, and a category for each class",
            )

    def phases(self) -> list[pixkit.Phase]:
        """Reconstruction, discriminator, adversarial and, with labelled images, supervised."""
        encoder = list(self.encoder.parameters())
        phases = [
            pixkit.Phase("reconstruction", [*encoder, *self.network.parameters()], self._reconstruction),
            pixkit.Phase("discriminator", list(self.discriminators.parameters()), self._discriminator),
            pixkit.Phase("adversarial", encoder, self._adversarial),
        ]
        if self.config.labelled is not None:
            chosen = functools.partial(choose, self.config.labelled)
            phases.append(pixkit.Phase("supervised", encoder, self._supervised, chosen))
        return phases

    def _reconstruction(self, batch: pixkit.Batch, step: int) -> dict[str, Tensor]:
        outputs, penalty = self._outputs(batch.x)
        z = self._codes(outputs)
        nats = -self.network.log_prob(batch.x, z).mean()
        return {"loss": (nats + penalty) / self.spec.dims, "nats": nats.detach()}

    def _discriminator(self, batch: pixkit.Batch, step: int) -> dict[str, Tensor]:
        with torch.no_grad():
            z = self._codes(self._outputs(batch.x)[0])
        told = self._told(z)
        shown = {f"accuracy_{name}": accuracy(*pair).mean().detach() for name, pair in told.items()}
        return {"loss": torch.stack([telling_loss(*pair) for pair in told.values()]).sum(), **shown}

    def _adversarial(self, batch: pixkit.Batch, step: int) -> dict[str, Tensor]:
        found = self._split(self._codes(self._outputs(batch.x)[0]))
        return {"loss": torch.stack([fooling_loss(self.discriminators[name](found[name])) for name in found]).sum()}

    def _supervised(self, batch: pixkit.Batch, step: int) -> dict[str, Tensor]:
        """The mean over a batch of labelled images, nats."""
        if batch.labels is None:
            raise pixkit.DataError("the images have no labels to teach", where="model.labelled")
        logits = self._logits(self._outputs(batch.x)[0])["categorical"]
        return {"loss": F.cross_entropy(logits, batch.labels)}

    def assess(self, batch: pixkit.Batch) -> dict[str, Tensor]:
        """'reconstruction' and the accuracies, [B] each; the prior is drawn with torch's generator."""
        z = self.means(batch.x)[0]
        accuracies = {f"accuracy_{name}": accuracy(*pair) for name, pair in self._told(z).items()}
        return {"reconstruction": -self.network.log_prob(batch.x, z), **accuracies}

    @torch.no_grad()
    def measure(self, scored: Iterable[pixkit.Batch], reference: Iterable[pixkit.Batch]) -> dict[str, float]:
        """With a categorical code and labels: 'clustering_error', and 'clusters'."""
        if not self.codes:
            return {}
        return figures(*(gather(batches, self._category) for batches in (scored, reference)))

    def _category(self, x: Tensor) -> Tensor:
        return self._split(self.means(x)[0])["categorical"]

    def remarks(self, parts: Mapping[str, float], step: int | None = None) -> list[str]:
        """Notes on the figures, once training is over; at any time, a warning of a code equal for all images."""
        said = []
        if parts.get("clusters") == 1:
            said.append("collapse: all images have one category; try a lower rate of the adversarial phase, or noise")
        if step is None:
            said.append("reconstruction: nats of an image given its own code; not a bound on a likelihood")
            said += [RULE] if "clustering_error" in parts else []
        return said

    def means(self, x: Tensor) -> list[Tensor]:
        """See LatentModel: z, the Gaussian code before the categorical one's probabilities, [B, D + K]."""
        return [self._codes(self.encoder(x)[0])]

    @torch.no_grad()
    def latents(self, noise: Sequence[pixkit.Noise], codes: Tensor | None = None) -> Tensor:
        """See LatentModel: [B, D + K].

        Raises:
            UsageError: for codes of a model without any, or codes that it does not have.
        """
        drawn = []
        if self.config.gaussian:
            drawn.append(noise[0].stream("gaussian").normals((self.config.gaussian,)))
        if codes is not None:
            self.check_codes(codes)
        if self.codes:
            if codes is None:
                uniforms = noise[0].stream("category").uniforms(1, pixkit.ImageSpec(1, 1, 1, 2)).flatten()
                codes = (uniforms * self.codes).long()
            drawn.append(F.one_hot(codes.long().cpu(), self.codes).double())
        return torch.cat(drawn, 1).to(next(self.parameters()))

    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's output with the noise of training, and the sparsity penalty."""
        outputs, activations = self.encoder(x, self.config.noise)
        return outputs, self.encoder.penalty(activations)

    def _codes(self, outputs: Tensor) -> Tensor:
        parts = self._logits(outputs)
        return torch.cat([part.softmax(1) if name == "categorical" else part for name, part in parts.items()], 1)

    def _logits(self, outputs: Tensor) -> dict[str, Tensor]:
        """The encoder's output for each code, float32 or wider; the categories' logits are normalised."""
        parts = self._split(outputs.to(torch.promote_types(outputs.dtype, torch.float32)))
        return {name: DEVIATION * self.norm(part) if name == "categorical" else part for name, part in parts.items()}

    def _split(self, z: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.sizes, z.split(list(self.sizes.values()), 1), strict=True))

    def _told(self, z: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Each discriminator's output, by its code's name: logits of as many draws of the prior, and of z's part."""
        return {
            name: (self.discriminators[name](draw_prior(name, found)), self.discriminators[name](found))
            for name, found in self._split(z).items()
        }


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the model."""
    registry.add("model", "pixelgan", PixelGAN)
