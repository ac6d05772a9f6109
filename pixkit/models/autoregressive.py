"""The plain autoregressive model: one network, an exact likelihood."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.components.spec import BackboneRef, EncodingRef, HeadRef, OrderingRef
from pixkit.image import Batch, ImageSpec
from pixkit.models.labelled import ContextRef, LabelledModel
from pixkit.models.phase import Losses, Phase
from pixkit.models.request import SampleRequest
from pixkit.network import Autoregressive
from pixkit.samplers import Drawn


class AutoregressiveModel(LabelledModel):
    """An ordering, a backbone and a head: log p(x) = sum over steps of log p(x_t | x_<t).

    With `context`, every factor, and so every score, is conditioned on the image's label.

    Raises:
        RecipeError: if the recipe asks for labels and the data have none.
    """

    class Config(ComponentConfig):
        """The parts."""

        ordering: OrderingRef = Field(default={"type": "raster"}, validate_default=True)
        """The order in which sub-pixels are drawn."""
        input: EncodingRef = Field(default={"type": "scaled"}, validate_default=True)
        """How levels enter the network."""
        context: ContextRef = None
        """What images are conditioned on: `{type: label}` for the data's labels; a list of conditioners, of labels and
        the arrays of `data.context`; nothing if left out."""
        backbone: BackboneRef
        """The network."""
        head: HeadRef = Field(default={"type": "softmax"}, validate_default=True)
        """The distribution of a sub-pixel."""
        mutation: float = Field(default=0.0, ge=0, lt=1)
        """Each level of a training image is replaced with this probability by a random one: the model then learns the
        background of images, for likelihood ratios (Ren et al., 2019, arXiv 1906.02845, section 3)."""

    config: Config
    mapped = True

    def __init__(self, config: Config, spec: ImageSpec, classes: int | None = None) -> None:
        super().__init__(config, spec, classes)
        self.network = self.build_network(config.ordering)

    def phases(self) -> list[Phase]:
        """One: maximum likelihood."""
        return [Phase("likelihood", self.parameters(), self._loss, mean=True)]

    def _loss(self, batch: Batch, step: int) -> Losses:
        x = batch.x if not self.config.mutation else mutated(batch.x, self.spec.levels, self.config.mutation)
        nats = -self.network.log_prob(x, self.context_shown(batch)).mean()
        return {"loss": nats / self.spec.dims, "nats": nats.detach()}

    def score(self, batch: Batch) -> Tensor:
        """-log p(x), or -log p(x | label), nats [B]."""
        return -self.image_log_probs(batch.x, self.context_of(batch))

    def site_nats(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """See LabelledModel."""
        return -self.network.site_log_prob(x, labels)

    def image_log_probs(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """See LabelledModel."""
        return self.network.log_prob(x, labels)

    def completing(self, known: Tensor) -> Autoregressive:
        """See Model: the model's network."""
        return self.network

    def draw(self, request: SampleRequest) -> Drawn:
        """See Model."""
        return self.draw_by(self.network, request)


def mutated(x: Tensor, levels: int, rate: float) -> Tensor:
    """Images in which each level is replaced, with probability `rate`, by a uniformly drawn one.

    Draws from torch's generator. A level stays as it is with probability 1 - rate (K - 1) / K.
    """
    chosen = torch.rand(x.shape, device=x.device) < rate
    return torch.where(chosen, torch.randint_like(x, levels), x)
