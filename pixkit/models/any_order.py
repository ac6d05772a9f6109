"""One network for every ordering: trained on random ones, so that it continues an image exactly from any part."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from pixkit.components.spec import OrderingRef
from pixkit.errors import RecipeError
from pixkit.image import Batch, ImageSpec
from pixkit.models.order_agnostic import OrderAgnosticModel
from pixkit.models.phase import Losses, Phase
from pixkit.network import Autoregressive
from pixkit.orderings import KnownFirst, Permutation


class AnyOrderModel(OrderAgnosticModel):
    """One set of weights for all orderings, trained on random ones (Uria et al., 2014, arXiv 1310.1757).

    The backbone's weights mean the same in every ordering (`reorders`); for that, sigma-GPT (Pannatier et al., 2024,
    arXiv 2404.09562) makes the ordering an input of the network. A training step divides its images among
    `batch_orderings` random permutations of the sites, and so lowers the mean of -log p_o(x) over all orderings o.

    Each p_o is a distribution by the chain rule; how close they are to one another depends on training. The score is
    that of the mixture over the `orderings` in the recipe, by default one permutation, and images are drawn from it as
    by `order_agnostic`.

    A partly known image is continued in the ordering that has the known sites first, with both parts in the sequence of
    the first ordering in the recipe. This is exact, p(missing | known), for every mask of whole sites. The last few
    plans are kept, so only the first image with a mask waits for one.

    Raises:
        RecipeError: for a backbone whose weights belong to one ordering.
    """

    class Config(OrderAgnosticModel.Config):
        """The parts."""

        orderings: tuple[OrderingRef, ...] = Field(
            default=({"type": "permutation"},), min_length=1, max_length=64, strict=False, validate_default=True
        )
        """Those that images are scored and drawn in; left out, one permutation."""
        batch_orderings: int = Field(default=8, ge=1, le=4096)
        """Random orderings in a training batch; at most one for each image."""

    config: Config

    def __init__(self, config: Config, spec: ImageSpec, classes: int | None = None) -> None:
        if not config.backbone.cls.reorders:
            raise RecipeError(
                "the backbone's weights belong to one ordering",
                where=config.backbone.config.where("type"),
                found=config.backbone.name,
                expected="a backbone whose weights mean the same in every ordering (`reorders`), as transformer",
                hint="the model order_agnostic has one network an ordering",
            )
        super().__init__(config, spec, classes)

    def phases(self) -> list[Phase]:
        """One: maximum likelihood in orderings drawn for each batch from torch's generator on the CPU."""
        return [Phase("likelihood", self.parameters(), self._loss, mean=True)]

    def random_network(self) -> Autoregressive:
        """The network in a random ordering, from torch's generator."""
        config = Permutation.Config(seed=int(torch.randint(2**63 - 1, ())))
        return self.network.under(Permutation(config, self.spec, self.network.ordering.colours))

    def _loss(self, batch: Batch, step: int) -> Losses:
        labels, count = self.context_shown(batch), min(self.config.batch_orderings, len(batch.x))
        parts = [
            self.random_network().log_prob(batch.x[some], None if labels is None else labels[some])
            for some in torch.arange(len(batch.x), device=batch.x.device).tensor_split(count)
        ]
        nats = -torch.cat(parts).mean()
        return {"loss": nats / self.spec.dims, "nats": nats.detach()}

    def completing(self, known: Tensor) -> Autoregressive:
        """See Model: the network in the ordering with the known sites first."""
        return self.network.under(KnownFirst(self.network.ordering, known))
