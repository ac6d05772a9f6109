"""The plain autoregressive model: one network, an exact likelihood."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from pixkit.backbones.conditioners import LabelConfig
from pixkit.backbones.encodings import InputConfig
from pixkit.components.config import ComponentConfig
from pixkit.components.spec import BackboneRef, HeadRef, OrderingRef
from pixkit.image import Batch, ImageSpec
from pixkit.models.labelled import LabelledModel
from pixkit.models.phase import Losses, Phase
from pixkit.models.request import SampleRequest
from pixkit.network import Autoregressive
from pixkit.samplers import Drawn


class AutoregressiveModel(LabelledModel):
    """An ordering, a backbone and a head: log p(x) = sum over steps of log p(x_t | x_<t).

    With `context` every factor, and so every score, is given the image's label.

    Raises:
        RecipeError: if labels are asked for and the data have none.
    """

    class Config(ComponentConfig):
        """The parts."""

        ordering: OrderingRef = Field(default={"type": "raster"}, validate_default=True)
        """Which sub-pixels are drawn when."""
        input: InputConfig = Field(default_factory=InputConfig)
        """How levels enter the network."""
        context: LabelConfig | None = None
        """What images are conditioned on: `{type: label}` for the data's labels; nothing if left out."""
        backbone: BackboneRef
        """The network."""
        head: HeadRef = Field(default={"type": "softmax"}, validate_default=True)
        """The distribution of a sub-pixel."""

    config: Config

    def __init__(self, config: Config, spec: ImageSpec, classes: int | None = None) -> None:
        super().__init__(config, spec, classes)
        self.network = self.build_network(config.ordering)

    def phases(self) -> list[Phase]:
        """One: maximum likelihood."""
        return [Phase("likelihood", self.parameters(), self._loss, mean=True)]

    def _loss(self, batch: Batch, step: int) -> Losses:
        nats = -self.network.log_prob(batch.x, self.labels_shown(batch.labels)).mean()
        return {"loss": nats / self.spec.dims, "nats": nats.detach()}

    def score(self, batch: Batch) -> Tensor:
        """-log p(x), or -log p(x | label), nats [B]."""
        return -self.image_log_probs(batch.x, batch.labels if self.labelled else None)

    def image_log_probs(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """See LabelledModel."""
        return self.network.log_prob(x, labels)

    def completing(self, known: Tensor) -> Autoregressive:
        """See Model: the one network."""
        return self.network

    def draw(self, request: SampleRequest) -> Drawn:
        """See Model."""
        return self.draw_by(self.network, request)
